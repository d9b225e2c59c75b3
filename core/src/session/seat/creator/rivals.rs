//! Documents that others have written: originals', and other creators'.

use super::{Creator, Phase};
use crate::error::{Error, ErrorKind};
use crate::session::date::Moment;
use crate::session::document::{Document, State};
use crate::session::message::{Claim, SEED_MAX, Seed};
use crate::session::seat::document::takes_over;
use crate::session::seat::{Action, Ending, Event, Member, Seat};

impl Seat {
    pub(in crate::session::seat) fn creator_on_document(
        &mut self,
        document: Document,
        now: Moment,
    ) {
        let Some(own) = &self.document else {
            return;
        };
        if document.creator == self.me {
            let is_own = document
                .writer
                .as_ref()
                .is_some_and(|writer| writer.instance == self.me);
            if is_own {
                self.on_own_document(document.is_closed(), now);
            } else if document.is_closed() {
                self.close_as_creator(Ending::CreatorLost, document.version, now);
            } else {
                self.merge(&document, now);
            }
            return;
        }
        let is_new = self
            .creator
            .as_ref()
            .is_some_and(|creator| !creator.is_created);
        if document.is_closed() {
            if !is_new && takes_over(own, &document) {
                // Its successor has ended it meanwhile.
                self.close_as_creator(Ending::Closed, document.version, now);
            } else {
                // Of an earlier session under this id.
                self.overwrite(document.version, now);
            }
            return;
        }
        if takes_over(own, &document) && (!is_new || document.term() > 0 || self.is_running()) {
            self.step_down(document, now);
            return;
        }
        match self.creator.as_mut().map(|creator| &mut creator.phase) {
            Some(Phase::Checking { until_ms, found }) if is_new => {
                // Somebody has this id. If it lives, its heartbeat changes.
                let is_alive = found.as_ref().is_some_and(|found| {
                    found.creator == document.creator
                        && (found.last_heartbeat != document.last_heartbeat
                            || found.version != document.version
                            || found.writer != document.writer)
                });
                if found.is_none() {
                    *until_ms = now.mono_ms + self.timing.heartbeat_ms + self.timing.check_ms;
                }
                let creator = document.creator.clone();
                let version = document.version;
                *found = Some(Box::new(document));
                if is_alive {
                    self.fail(&creator);
                } else {
                    self.raise_version(version);
                }
            }
            _ => self.overwrite(document.version, now),
        }
    }

    fn is_running(&self) -> bool {
        let creator = self.creator.as_ref();
        creator.is_some_and(|creator| matches!(creator.phase, Phase::Running))
    }

    pub(super) fn raise_version(&mut self, version: u64) {
        if let Some(own) = &mut self.document {
            own.version = own.version.max(version);
        }
    }

    /// Publishes the own document over another.
    fn overwrite(&mut self, version: u64, now: Moment) {
        self.raise_version(version);
        self.change(now);
    }

    fn fail(&mut self, by: &str) {
        let text = format!(
            "session '{}' exists already: {by} has created it",
            self.topics.name()
        );
        self.tell(Event::Failed(Error::new(ErrorKind::Refused, text)));
        self.empty(self.topics.ready(&self.me));
        self.is_over = true;
    }

    fn on_own_document(&mut self, is_closed: bool, now: Moment) {
        let Some(creator) = &mut self.creator else {
            return;
        };
        creator.has_closed |= is_closed;
        if matches!(creator.phase, Phase::Running) && !creator.is_created {
            creator.is_created = true;
            self.tell(Event::Created);
            self.start_if_full(now);
        }
    }

    /// An original has written the document: what it means is done, and no more (9.6 there).
    fn merge(&mut self, foreign: &Document, now: Moment) {
        let (Some(creator), Some(own)) = (&self.creator, &self.document) else {
            return;
        };
        let is_stale = |id: &String| {
            let left = creator.departed.get(id);
            left.is_some_and(|version| foreign.version <= *version)
        };
        let is_added = |id: &&String| !own.has(id) && !is_stale(id);
        let added: Vec<String> = foreign.members.iter().filter(is_added).cloned().collect();
        let missing: Vec<&String> = own.members.iter().filter(|id| !foreign.has(id)).collect();
        let left = match missing[..] {
            [id] if foreign.version == own.version + 1
                && *id != self.me
                && !creator.present.contains(id) =>
            {
                Some(id.clone())
            }
            _ => None,
        };
        self.raise_version(foreign.version);
        self.change(now);
        if let Some(left) = left {
            self.remove(&left, now);
        }
        for added in added {
            self.ask_to_join(&added, None, now);
        }
    }

    /// Somebody else continues the session. This instance stays in it, if it finds room.
    fn step_down(&mut self, document: Document, now: Moment) {
        let Some(creator) = self.creator.take() else {
            return;
        };
        if !creator.is_created {
            self.fail(&document.creator.clone());
            return;
        }
        self.member = Some(Member::again(now));
        if creator.leaves_by_ms.is_some() {
            self.adopt(document, now);
            self.leave(now);
            return;
        }
        for name in ["instance_ready", "player_disconnect"] {
            let filter = self.topics.every(name);
            self.actions.push_back(Action::Unsubscribe(filter));
        }
        let own = self.topics.ready(&self.me);
        self.actions.push_back(Action::Subscribe(own));
        self.adopt(document, now);
        self.publish_presence(now);
        self.member_on_document(now);
    }

    /// Continues the session of which this instance was a member. A creator that has asked for it
    /// stays a member until it leaves; one that was lost is gone.
    pub(in crate::session::seat) fn take_over(&mut self, claim: &Claim, now: Moment) {
        let term = claim.term;
        if self.seed.is_none() {
            // The broker lost it before it was seen here.
            let drawn = self.random(SEED_MAX.into()) as u32 + 1;
            self.seed = Some(Seed {
                instance: self.me.clone(),
                seed: drawn,
                is_leader: true,
            });
            self.tell(Event::SeedChanged(drawn));
        }
        let Some(document) = &mut self.document else {
            return;
        };
        let before = std::mem::replace(&mut document.creator, self.me.clone());
        let stays = claim.handed_by.as_ref() == Some(&before);
        document
            .members
            .retain(|member| *member != self.me && (stays || *member != before));
        document.members.insert(0, self.me.clone());
        let writer = document.writer.get_or_insert_default();
        writer.instance.clone_from(&self.me);
        writer.term = term;
        writer.heartbeat = 0;
        writer.connection = 0;
        if document.state == Some(State::Starting) {
            // The countdown has died with whoever counted.
            document.state = Some(State::Open);
            self.events.push_back(Event::CountdownStopped);
            self.events.push_back(Event::StateChanged(State::Open));
        }
        let mut creator = Creator::new(Phase::Running, false);
        if !stays {
            creator
                .departed
                .insert(before.clone(), document.version + 1);
            creator.lost.insert(before.clone());
        }
        let lease_ms = now.mono_ms + self.timing.lease_ms;
        let others = document.members.iter().filter(|member| **member != self.me);
        creator.leases = others
            .map(|member| (member.clone(), Some(lease_ms)))
            .collect();
        self.creator = Some(creator);
        self.member = None;
        self.claims.retain(|claimed, _| *claimed > term);
        self.election.connected();
        self.subscribe_as_creator();
        if !stays {
            self.empty(self.topics.ready(&before));
            for player in self.players.remove_instance(&before) {
                self.empty_reservation(&player);
                self.tell(Event::Released { player });
            }
            self.tell(Event::MemberLeft(before));
        }
        self.tell(Event::CreatorChanged {
            creator: self.me.clone(),
            term,
        });
        self.change(now);
        // Before what only its creator may say.
        self.publish_document(now);
        self.begin_running(now);
        self.start_if_full(now);
    }
}
