//! The end of a session, and what is tidied up then.

use super::{Ending, Event, Seat};
use crate::session::date::Moment;
use crate::session::document::{State, Vocabulary};

impl Seat {
    /// The session is closed: somebody's document says so.
    pub(super) fn closed(&mut self, ending: Ending, now: Moment) {
        self.end(ending);
        let spread_ms = self.random(self.timing.hygiene_wait_ms / 2);
        let wait_ms = self.timing.hygiene_wait_ms + spread_ms;
        let own = self.topics.ready(&self.me);
        match &mut self.member {
            Some(member) => {
                member.tidy_at(now.mono_ms + wait_ms);
                self.empty(own);
            }
            None => self.is_over = true,
        }
    }

    /// Publishes that the session is closed, for a creator that is gone.
    pub(super) fn close_for_creator(&mut self, now: Moment) {
        let Some(document) = &mut self.document else {
            return;
        };
        document.state = Some(State::Closed);
        document.version += 1;
        document.last_updated = Some(now.local);
        let mut closed = document.clone();
        if self.is_single_writer {
            let writer = closed.writer.get_or_insert_default();
            writer.instance.clone_from(&self.me);
        }
        for (topic, vocabulary) in [
            (self.topics.planned_state(), Vocabulary::Planned),
            (self.topics.state(), Vocabulary::Running),
        ] {
            self.publish(topic, closed.write(vocabulary), true);
        }
        self.tell(Event::StateChanged(State::Closed));
        self.closed(Ending::CreatorLost, now);
    }

    /// Takes away all that the broker has kept of the session.
    pub(super) fn tidy_up(&mut self) {
        let mut topics = vec![
            self.topics.planned_state(),
            self.topics.state(),
            self.topics.discovery(),
            self.topics.seed(),
            self.topics.all_selected(),
            self.topics.claim(),
        ];
        if crate::plant::active("kept_behind") {
            topics.truncate(2);
        }
        let instances = std::mem::take(&mut self.known);
        topics.extend(instances.iter().map(|instance| self.topics.ready(instance)));
        topics.push(self.topics.ready(&self.me));
        for player in std::mem::take(&mut self.known_players) {
            for level in self.levels_of(&player) {
                topics.push(self.topics.reservation(&level));
                topics.push(self.topics.registration(&level));
            }
        }
        for topic in topics {
            self.empty(topic);
        }
        self.is_over = true;
    }
}
