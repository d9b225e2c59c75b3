//! A member's part: it asks, and reads in the document what has become of that.

use super::{Ending, Event, Refusal, Seat, Timing};
use crate::error::Result;
use crate::session::date::Moment;
use crate::session::document::{Document, State};
use crate::session::message::{Claim, Player};
use crate::session::topic::Topics;
use crate::time::earliest;

#[derive(Debug)]
pub(super) struct Member {
    phase: Phase,
    /// Whether it has been in before.
    was_in: bool,
    presence_at_ms: u64,
    /// Since when nobody could join.
    refused_since_ms: Option<u64>,
    /// When it looks what has become of the document that it has written; only in sessions of the
    /// originals.
    verify_at_ms: Option<u64>,
    /// The term that it has asked for.
    claimed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Joining {
        since_ms: u64,
    },
    In,
    /// It takes itself out of a document of the originals.
    Leaving {
        until_ms: u64,
    },
    /// The session is over; the topics are to be emptied if nobody else does.
    Over {
        tidy_at_ms: u64,
    },
}

impl Member {
    fn new(since_ms: u64, was_in: bool) -> Self {
        Self {
            phase: Phase::Joining { since_ms },
            was_in,
            presence_at_ms: 0,
            refused_since_ms: None,
            verify_at_ms: None,
            claimed: None,
        }
    }

    /// One that has been in the session before.
    pub(super) fn again(now: Moment) -> Self {
        Self::new(now.mono_ms, true)
    }

    pub(super) fn is_in(&self) -> bool {
        self.phase == Phase::In
    }

    fn may_vote(&self) -> bool {
        matches!(self.phase, Phase::In | Phase::Joining { .. }) && self.was_in
    }

    pub(super) fn tidy_at(&mut self, tidy_at_ms: u64) {
        self.phase = Phase::Over { tidy_at_ms };
    }
}

impl Seat {
    /// A seat that joins a session.
    ///
    /// Error: `invalid_argument` for ids that can't be levels of a topic.
    pub fn join(session: &str, me: &str, timing: Timing, random: u64) -> Result<Self> {
        let mut seat = Self::new(session, me, timing, random)?;
        seat.member = Some(Member::new(0, false));
        Ok(seat)
    }

    /// A seat that joins a session of an original whose id is in its topics as it is; `None` where that
    /// makes no difference, or can't be.
    pub fn join_as_it_is(session: &str, me: &str, timing: Timing, random: u64) -> Option<Self> {
        let topics = Topics::of_level(session).ok()?;
        let mut seat = Self::join(session, me, timing, random).ok()?;
        (topics != seat.topics).then(|| {
            seat.topics = topics;
            seat
        })
    }

    pub(super) fn member_connected(&mut self, now: Moment) {
        let hygiene_wait_ms = self.timing.hygiene_wait_ms;
        let Some(member) = &mut self.member else {
            return;
        };
        member.verify_at_ms = None;
        member.refused_since_ms = None;
        // A claim on a link that was dead already has reached nobody.
        member.claimed = None;
        match &mut member.phase {
            // The time without a connection does not count.
            Phase::Joining { since_ms } => *since_ms = now.mono_ms,
            Phase::In => {}
            Phase::Leaving { .. } => {
                self.say_leave(now);
                self.is_over = true;
                return;
            }
            Phase::Over { tidy_at_ms } => {
                *tidy_at_ms = now.mono_ms + hygiene_wait_ms;
                self.empty(self.topics.ready(&self.me));
                return;
            }
        }
        self.resume_election(now);
        self.show_presence(now);
    }

    /// Whether a closed session is one that it has been in: otherwise it is refused.
    pub(super) fn has_joined(&self) -> bool {
        self.member.as_ref().is_none_or(|member| member.was_in)
    }

    fn show_presence(&mut self, now: Moment) {
        let presence_ms = self.timing.presence_ms;
        if let Some(member) = &mut self.member {
            member.presence_at_ms = now.mono_ms + presence_ms;
        }
        self.publish_presence(now);
    }

    /// After whatever a document has changed.
    pub(super) fn member_on_document(&mut self, now: Moment) {
        let (Some(member), Some(document)) = (&mut self.member, &self.document) else {
            return;
        };
        let is_named = document.has(&self.me) || crate::plant::active("joined_unread");
        // Its own entry in a document of the originals counts when it is still there a while later.
        let is_sure = member.verify_at_ms.is_none();
        match member.phase {
            Phase::Joining { .. } if document.is_closed() && self.ending.is_none() => {
                self.refuse(Refusal::Closed);
            }
            Phase::Joining { .. } if document.creator == self.me && !member.was_in => {
                // It would take the creator's place at the broker, and be taken for it.
                self.refuse(Refusal::SameId);
            }
            Phase::Joining { .. } if is_named && is_sure => self.is_now_in(now),
            Phase::Joining { .. } => {
                let is_refused = document.writer.as_ref().is_some_and(|writer| {
                    writer.instance == document.creator && writer.refused.contains(&self.me)
                });
                if is_refused {
                    self.refuse_by_state();
                }
            }
            Phase::In if !is_named && !document.is_closed() => {
                // Somebody has overwritten it, or the creator had not heard of it for too long.
                member.phase = Phase::Joining {
                    since_ms: now.mono_ms,
                };
                self.show_presence(now);
            }
            Phase::Leaving { .. } if !is_named => self.is_over = true,
            _ => {}
        }
    }

    fn is_now_in(&mut self, now: Moment) {
        let Some(member) = &mut self.member else {
            return;
        };
        member.phase = Phase::In;
        member.refused_since_ms = None;
        if std::mem::replace(&mut member.was_in, true) {
            // The creator has given its players to others, or to nobody.
            self.repeat_wishes(now);
        } else {
            self.tell(Event::Joined);
        }
    }

    fn refuse_by_state(&mut self) {
        self.refuse(match self.state() {
            State::Open => Refusal::Full,
            State::Starting | State::InProgress => Refusal::Started,
            State::Closed => Refusal::Closed,
        });
    }

    fn refuse(&mut self, refusal: Refusal) {
        let was_in = self.member.as_ref().is_some_and(|member| member.was_in);
        if was_in {
            self.end(Ending::Removed);
        } else {
            self.tell(Event::Refused(refusal));
        }
        self.empty(self.topics.ready(&self.me));
        self.is_over = true;
    }

    pub(super) fn tick_member(&mut self, now: Moment) {
        let Some(member) = &self.member else {
            return;
        };
        match member.phase {
            Phase::Joining { since_ms } => self.tick_joining(since_ms, now),
            Phase::In => {
                self.remove_gone(now);
                self.continue_if_elected(now);
            }
            Phase::Leaving { until_ms } => {
                self.tick_leaving(until_ms, now);
                return;
            }
            Phase::Over { tidy_at_ms } => {
                if self.is_emptied {
                    self.is_over = true;
                } else if now.mono_ms >= tidy_at_ms {
                    self.tidy_up();
                }
                return;
            }
        }
        if self.is_over {
            return;
        }
        let is_due = |member: &Member| now.mono_ms >= member.presence_at_ms;
        if self.member.as_ref().is_some_and(is_due) {
            self.show_presence(now);
        }
        self.watch_creator(now);
    }

    fn tick_joining(&mut self, since_ms: u64, now: Moment) {
        let (Some(member), timing) = (&mut self.member, self.timing) else {
            return;
        };
        let Some(document) = &self.document else {
            if now.mono_ms >= since_ms + timing.unknown_ms {
                self.refuse(Refusal::Unknown);
            }
            return;
        };
        let is_named = document.has(&self.me);
        let is_original = !self.is_single_writer;
        let comes_back = member.was_in && document.has_room() && !document.is_closed();
        if document.is_joinable() || is_named || (is_original && comes_back) {
            member.refused_since_ms = None;
        } else {
            let refused_since_ms = *member.refused_since_ms.get_or_insert(now.mono_ms);
            if now.mono_ms >= refused_since_ms + timing.refuse_ms {
                self.refuse_by_state();
                return;
            }
        }
        if now.mono_ms >= since_ms + timing.join_ms {
            self.refuse(Refusal::NoAnswer);
            return;
        }
        if self.is_single_writer || now.mono_ms < since_ms + timing.write_after_ms {
            return;
        }
        match member.verify_at_ms {
            Some(verify_at_ms) if now.mono_ms < verify_at_ms => {}
            Some(_) if is_named => {
                member.verify_at_ms = None;
                self.is_now_in(now);
            }
            _ => self.write_myself(true, now),
        }
    }

    /// Writes the document of an original, which does not look at presence, with this instance in it
    /// or without.
    fn write_myself(&mut self, is_in: bool, now: Moment) {
        let spread_ms = self.random(self.timing.verify_spread_ms);
        let verify_at_ms = now.mono_ms + self.timing.verify_ms + spread_ms;
        let (Some(member), Some(document)) = (&mut self.member, &self.document) else {
            return;
        };
        member.verify_at_ms = Some(verify_at_ms);
        // Nobody there takes in again who was gone while the game runs.
        let comes_back = member.was_in && document.has_room() && !document.is_closed();
        if is_in && !document.is_joinable() && !comes_back {
            return;
        }
        let me = self.me.clone();
        self.write_as_originals(now, |document| {
            document.members.retain(|other| *other != me);
            if is_in {
                document.members.push(me);
            }
        });
    }

    fn watch_creator(&mut self, now: Moment) {
        let is_in = self.member.as_ref().is_some_and(Member::is_in);
        if !is_in || !self.is_creator_lost(now) {
            return;
        }
        if !self.is_link_proven(self.silent_since_ms(), now) {
            return;
        }
        if !self.document.as_ref().is_some_and(Document::hands_over) {
            self.close_for_creator(now);
            return;
        }
        if self
            .claim_ms()
            .is_some_and(|claim_ms| now.mono_ms >= claim_ms)
        {
            let term = self.next_term();
            if let Some(member) = &mut self.member {
                member.claimed = Some(term);
            }
            self.claim(term, now);
        }
    }

    /// From when on the silence of the creator is its own.
    fn silent_since_ms(&self) -> u64 {
        self.alive_at_ms + self.timing.lost_ms
    }

    /// The term after all that are known or claimed.
    fn next_term(&self) -> u64 {
        let current = self.document.as_ref().map_or(0, |document| document.term());
        let claimed = self.claims.keys().max().copied().unwrap_or(0);
        current.max(claimed).max(self.election.term()) + 1
    }

    pub(super) fn on_claim(&mut self, claim: Claim, now: Moment) {
        let current = self.document.as_ref().map_or(0, |document| document.term());
        if claim.term <= current || self.claims.len() >= 64 || self.ending.is_some() {
            return;
        }
        let is_first = self
            .claims
            .insert(claim.term, claim.instance.clone())
            .is_none();
        if is_first {
            // Whoever continues the session has as long as any creator to be heard of.
            self.alive_at_ms = now.mono_ms;
            if claim.handed_by.as_ref() != Some(&self.me) {
                self.show_that_creator_is_there(now);
            }
        }
        if self.member.as_ref().is_some_and(Member::may_vote) {
            self.consider(&claim, now);
            self.note_claim_heard(&claim);
        }
    }

    pub(super) fn member_deadline_ms(&self) -> Option<u64> {
        let member = self.member.as_ref()?;
        let timing = &self.timing;
        match member.phase {
            Phase::Joining { since_ms } => {
                let unknown_ms = since_ms + timing.unknown_ms;
                let write_ms = since_ms + timing.write_after_ms;
                let is_original = !self.is_single_writer && self.document.is_some();
                earliest([
                    Some(since_ms + timing.join_ms),
                    self.document.is_none().then_some(unknown_ms),
                    member
                        .refused_since_ms
                        .map(|since_ms| since_ms + timing.refuse_ms),
                    is_original.then_some(member.verify_at_ms.unwrap_or(write_ms)),
                    Some(member.presence_at_ms),
                ])
            }
            Phase::In => {
                let is_handed_over = self.document.as_ref().is_some_and(Document::hands_over);
                let act_ms = match is_handed_over {
                    true => self.claim_ms(),
                    false => self.loss_ms(),
                };
                let act_ms = act_ms.filter(|_| !self.waits_for_proof(self.silent_since_ms()));
                earliest([
                    act_ms,
                    Some(member.presence_at_ms),
                    self.removal_deadline_ms(),
                    self.election_deadline_ms(),
                ])
            }
            Phase::Leaving { until_ms } => earliest([Some(until_ms), member.verify_at_ms]),
            Phase::Over { tidy_at_ms } => Some(tidy_at_ms),
        }
    }

    /// When this instance claims the next term, should nobody be heard of by then; `None` if it has.
    /// Whoever joined earlier has the first word.
    fn claim_ms(&self) -> Option<u64> {
        let (member, document) = (self.member.as_ref()?, self.document.as_ref()?);
        let current = document.term();
        let is_under_way = |term: u64| term > current && !self.claims.contains_key(&term);
        if member.claimed.is_some_and(is_under_way) {
            return None;
        }
        let others = document
            .members
            .iter()
            .filter(|member| **member != document.creator);
        let rank = others.take_while(|member| **member != self.me).count() as u64;
        let wait_ms = rank.min(4) * self.timing.candidate_ms;
        Some(self.alive_at_ms + self.timing.lost_ms + wait_ms + 1)
    }

    fn say_leave(&mut self, now: Moment) {
        let player = self.wishes.registered.take();
        self.empty(self.topics.ready(&self.me));
        let notice = Player {
            instance: self.me.clone(),
            player: player.clone(),
            repeats: false,
        };
        self.publish(
            self.topics.disconnect(&self.me),
            notice.write_disconnect(now.local),
            false,
        );
        if let Some(player) = player {
            // Originals of the first generation keep them.
            self.empty_registration(&player);
        }
        let reserved = std::mem::take(&mut self.wishes.reserved);
        for player in reserved {
            if self.players.reserved.get(&player) == Some(&self.me) {
                self.empty_reservation(&player);
            }
        }
    }

    /// Leaves the session. A creator hands it over, if it was created so and somebody else is there,
    /// or closes it. The seat ends by itself a little later; see [`Seat::is_over`].
    pub fn leave(&mut self, now: Moment) {
        if self.is_over {
            return;
        }
        if self.creator.is_some() {
            self.leave_as_creator(now);
            return;
        }
        let Some(member) = &mut self.member else {
            self.end(Ending::Left);
            self.is_over = true;
            return;
        };
        match member.phase {
            Phase::Leaving { .. } => return,
            // The creator tidies up behind itself; behind one that is gone, whoever is there.
            Phase::Over { .. } => {
                match self.ending {
                    Some(Ending::CreatorLost) => self.tidy_up(),
                    _ => self.is_over = true,
                }
                return;
            }
            Phase::Joining { .. } | Phase::In => {}
        }
        let was_in = member.phase == Phase::In;
        self.end(Ending::Left);
        if !self.is_online {
            // The broker's will says it.
            self.is_over = true;
            return;
        }
        self.say_leave(now);
        let is_original = !self.is_single_writer && self.document.is_some();
        if was_in && is_original {
            if let Some(member) = &mut self.member {
                member.phase = Phase::Leaving {
                    until_ms: now.mono_ms + 2_000,
                };
            }
            self.write_myself(false, now);
        } else {
            self.is_over = true;
        }
    }

    fn tick_leaving(&mut self, until_ms: u64, now: Moment) {
        let is_named = self
            .document
            .as_ref()
            .is_some_and(|document| document.has(&self.me));
        let verify_at_ms = self.member.as_ref().and_then(|member| member.verify_at_ms);
        if now.mono_ms >= until_ms {
            self.is_over = true;
        } else if verify_at_ms.is_none_or(|at_ms| now.mono_ms >= at_ms) {
            match is_named {
                true => self.write_myself(false, now),
                false => self.is_over = true,
            }
        }
    }
}
