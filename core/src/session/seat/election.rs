//! Who continues a session: members vote, so that no order of a broker decides.
//!
//! Whoever wants to continue claims the next term. Every member votes for one claimant of a term, and
//! says so in its presence; of two it prefers the lower id, also when it has voted already. Who has voted
//! for another does not claim that term. A claimant continues when all members that are there have
//! voted for it: then no other can have, or get, the vote of this instance itself or of that other,
//! whatever came first to whom.

use std::collections::BTreeMap;

use super::{Action, Seat};
use crate::session::date::Moment;
use crate::session::message::{Claim, Presence, Vote};

/// How long votes are waited for of those of whom the broker has kept nothing.
const VOTES_MS: u64 = 1_000;

/// The election of one term, as it is seen here.
#[derive(Debug, Default)]
pub(super) struct Election {
    /// The vote of this instance. What it has once voted for a term stays known.
    vote: Option<Vote>,
    /// Whether the claim of this instance has come back: its link works.
    is_heard: bool,
    /// The creator that has asked for it; it is asked for no vote, and stays a member.
    handed_by: Option<String>,
    /// Whether the creator was heard of again: this instance does not continue in this term.
    is_void: bool,
    /// Since when the presence of others is heard.
    watched_since_ms: Option<u64>,
    /// Since when what the broker has kept of the presence of all has come.
    kept_since_ms: Option<u64>,
    /// What is known of the others.
    voters: BTreeMap<String, Voter>,
}

#[derive(Debug, Clone)]
enum Voter {
    /// It is there until its lease is over, and has voted so.
    There {
        lease_ms: u64,
        vote: Option<Vote>,
    },
    /// It has no vote: originals know of none.
    Original,
    Gone,
}

impl Election {
    /// The broker remembers nothing of the connection before.
    pub(super) fn connected(&mut self) {
        self.watched_since_ms = None;
        self.kept_since_ms = None;
        self.is_heard = false;
        self.voters.clear();
    }

    pub(super) fn term(&self) -> u64 {
        self.vote.as_ref().map_or(0, |vote| vote.term)
    }
}

impl Seat {
    /// The vote as the others have to know it.
    pub(super) fn vote_to_tell(&self) -> Option<Vote> {
        let current = self.document.as_ref().map_or(0, |document| document.term());
        let vote = self.election.vote.as_ref();
        vote.filter(|vote| vote.term > current && self.member.is_some())
            .cloned()
    }

    /// Claims a term; nothing happens to one in which it has voted already.
    pub(super) fn claim(&mut self, term: u64, now: Moment) {
        if term <= self.election.term() {
            return;
        }
        let claim = Claim {
            instance: self.me.clone(),
            term,
            handed_by: None,
        };
        self.publish(self.topics.claim(), claim.write(now.local), true);
        self.consider(&claim, now);
    }

    /// Somebody wants to continue the session in a term.
    pub(super) fn consider(&mut self, claim: &Claim, now: Moment) {
        let vote = Vote {
            term: claim.term,
            instance: claim.instance.clone(),
        };
        let is_better = match &self.election.vote {
            None => true,
            Some(old) if old.term == vote.term => vote.instance < old.instance,
            Some(old) => vote.term > old.term,
        };
        let is_another_term = vote.term > self.election.term();
        if is_better {
            self.election.vote = Some(vote);
        }
        if is_another_term {
            self.election.is_heard = false;
            self.election.is_void = false;
            self.election.handed_by = None;
        }
        if claim.instance == self.me && claim.handed_by.is_some() {
            self.election.handed_by.clone_from(&claim.handed_by);
        }
        if !is_better {
            return;
        }
        self.watch_votes(now);
        self.publish_presence(now);
    }

    fn watch_votes(&mut self, now: Moment) {
        if self.is_online && self.election.watched_since_ms.is_none() {
            self.election.watched_since_ms = Some(now.mono_ms);
            let filter = self.topics.every("instance_ready");
            self.actions.push_back(Action::Subscribe(filter));
        }
    }

    /// After a break, too: the votes are there still.
    pub(super) fn resume_election(&mut self, now: Moment) {
        let current = self.document.as_ref().map_or(0, |document| document.term());
        if self.election.term() > current {
            self.watch_votes(now);
        }
    }

    /// Somebody continues the session, or is not lost: the votes of that term are worth nothing.
    pub(super) fn end_election(&mut self, term: u64) {
        self.election.is_void = true;
        if self.election.watched_since_ms.is_some() && self.election.term() <= term {
            let filter = self.topics.every("instance_ready");
            self.actions.push_back(Action::Unsubscribe(filter));
            self.election.connected();
        }
    }

    /// The creator of the document that holds has been heard of: whoever is about to take its place
    /// leaves it to it, unless it has asked for that.
    pub(super) fn creator_is_there(&mut self) {
        if self.election.handed_by.is_none() {
            self.election.is_void = true;
        }
    }

    pub(super) fn note_claim_heard(&mut self, claim: &Claim) {
        let is_mine = claim.instance == self.me && claim.term == self.election.term();
        self.election.is_heard |= is_mine;
    }

    /// Somebody is there, and tells its vote.
    pub(super) fn note_voter(&mut self, presence: &Presence, retained: bool, now: Moment) {
        if self.election.watched_since_ms.is_none() {
            return;
        }
        if presence.instance == self.me {
            // What it has kept of the others comes with this, in whatever order.
            if retained {
                self.election.kept_since_ms.get_or_insert(now.mono_ms);
            }
            return;
        }
        let voter = match presence.lease_ms {
            None => Voter::Original,
            Some(_) => Voter::There {
                lease_ms: now.mono_ms + self.timing.lease_ms,
                vote: presence.vote.clone(),
            },
        };
        self.election
            .voters
            .insert(presence.instance.clone(), voter);
        if let Some(vote) = &presence.vote {
            // Its claim may have been lost.
            let claim = Claim {
                instance: vote.instance.clone(),
                term: vote.term,
                handed_by: None,
            };
            self.on_claim(claim, now);
        }
    }

    pub(super) fn note_voter_gone(&mut self, instance: &str) {
        if self.election.watched_since_ms.is_some() && instance != self.me {
            self.election
                .voters
                .insert(instance.to_owned(), Voter::Gone);
        }
    }

    /// When those of whom nothing is heard count as gone.
    fn silent_ms(&self) -> Option<u64> {
        let election = &self.election;
        let watched_since_ms = election.watched_since_ms?;
        Some(match election.kept_since_ms {
            Some(kept_since_ms) => kept_since_ms.max(watched_since_ms) + VOTES_MS,
            None => watched_since_ms + self.timing.presence_ms + VOTES_MS,
        })
    }

    /// Until when the vote of a member is waited for; `None` once it has voted for this instance, or
    /// has none.
    fn waits_for(&self, member: &str) -> Option<u64> {
        if crate::plant::active("first_claim_wins") {
            return None;
        }
        match self.election.voters.get(member) {
            None => self.silent_ms(),
            Some(Voter::Gone | Voter::Original) => None,
            Some(Voter::There { vote, .. }) if *vote == self.election.vote => None,
            Some(Voter::There { lease_ms, .. }) => Some(*lease_ms),
        }
    }

    /// When this instance continues the session at the latest, should nobody vote any more; `None` if it
    /// has not claimed it.
    pub(super) fn election_deadline_ms(&self) -> Option<u64> {
        let document = self.document.as_ref()?;
        let vote = self.election.vote.as_ref()?;
        let is_mine = vote.instance == self.me && vote.term > document.term();
        if !is_mine || !self.election.is_heard || self.election.is_void {
            return None;
        }
        let is_voter = |member: &&String| **member != self.me && **member != document.creator;
        let voters = document.members.iter().filter(is_voter);
        let waits = voters.filter_map(|member| self.waits_for(member)).max();
        Some(waits.unwrap_or(0))
    }

    /// Continues the session, if all that are there have voted for it.
    pub(super) fn continue_if_elected(&mut self, now: Moment) {
        let is_elected = self
            .election_deadline_ms()
            .is_some_and(|at_ms| now.mono_ms >= at_ms);
        if !is_elected {
            return;
        }
        let claim = Claim {
            instance: self.me.clone(),
            term: self.election.term(),
            handed_by: self.election.handed_by.take(),
        };
        self.take_over(&claim, now);
        self.tick_creator(now);
    }
}
