//! An observer of a session under another spelling of its id.
//!
//! Ours write an id as a level of a topic that every broker takes; originals write it as it is. Who
//! joins learns by a refusal which of both there is; who only looks has nobody to ask, and listens to
//! the other spelling when nothing is under the first.

use super::{Action, Seat};
use crate::session::date::Moment;
use crate::session::topic::Topics;

/// How long the first spelling has on a new connection before the other is listened to, too.
const WAIT_MS: u64 = 1_500;

/// On so many connections. A broker that does not take the other spelling may break the connection.
const TRIES_MAX: u32 = 2;

/// The other spelling, until a document was seen under either.
#[derive(Debug, Default)]
pub(super) struct Spelling {
    other: Option<Topics>,
    at_ms: Option<u64>,
    tries: u32,
}

impl Spelling {
    /// Of a session's id; there is none for most.
    pub(super) fn of(session: &str, first: &Topics) -> Self {
        let as_it_is = Topics::of_level(session).ok();
        Self {
            other: as_it_is.filter(|other| other != first),
            ..Self::default()
        }
    }

    /// When the other is to be listened to.
    pub(super) fn at_ms(&self) -> Option<u64> {
        self.at_ms
    }
}

/// Where a session's document is.
fn documents_of(topics: &Topics) -> [String; 2] {
    [topics.planned_state(), topics.state()]
}

impl Seat {
    pub(super) fn spelling_connected(&mut self, now: Moment) {
        let spelling = &mut self.spelling;
        let is_open = spelling.other.is_some() && spelling.tries < TRIES_MAX;
        spelling.at_ms = is_open.then_some(now.mono_ms + WAIT_MS);
    }

    /// Listens to the other spelling when it is time.
    pub(super) fn tick_spelling(&mut self, now: Moment) {
        if self.spelling.at_ms.is_none_or(|at_ms| now.mono_ms < at_ms) {
            return;
        }
        self.spelling.at_ms = None;
        if let Some(other) = &self.spelling.other {
            self.spelling.tries += 1;
            let filters = documents_of(other);
            self.actions.extend(filters.map(Action::Subscribe));
        }
    }

    /// A session has a document. If it is under the other spelling, and none was seen under the
    /// first, that is the one that is observed.
    pub(super) fn note_spelling(&mut self, session: &str) {
        let Some(other) = self.spelling.other.take() else {
            return;
        };
        let was_tried = self.spelling.at_ms.take().is_none();
        if other.session() != session {
            if was_tried {
                let filters = documents_of(&other);
                self.actions.extend(filters.map(Action::Unsubscribe));
            }
            return;
        }
        let first = std::mem::replace(&mut self.topics, other);
        for filter in Self::filters(&first) {
            self.actions.push_back(Action::Unsubscribe(filter));
        }
        for filter in Self::filters(&self.topics) {
            self.actions.push_back(Action::Subscribe(filter));
        }
    }

    /// Whether a level of a topic is this session's id, in whatever spelling it may have.
    pub(super) fn is_mine(&self, session: &str) -> bool {
        let other = self.spelling.other.as_ref();
        session == self.topics.session() || other.is_some_and(|other| other.session() == session)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;
    use crate::session::seat::Timing;
    use crate::session::{Document, LocalTime, State, Vocabulary};

    fn at(mono_ms: u64) -> Moment {
        Moment {
            mono_ms,
            local: LocalTime(1_700_000_000_000 + mono_ms as i64),
            offset_s: 0,
        }
    }

    fn filters(seat: &mut Seat) -> Vec<String> {
        let mut filters = Vec::new();
        while let Some(action) = seat.pop_action() {
            match action {
                Action::Subscribe(filter) => filters.push(format!("+ {filter}")),
                Action::Unsubscribe(filter) => filters.push(format!("- {filter}")),
                _ => {}
            }
        }
        filters
    }

    fn document(session: &str) -> Vec<u8> {
        let local = Some(at(0).local);
        let document = Document {
            session_id: session.to_owned(),
            creator: "i-1".to_owned(),
            model_name: "Original".to_owned(),
            state: Some(State::Open),
            members: vec!["i-1".to_owned()],
            version: 1,
            last_heartbeat: local,
            created_at: local,
            last_updated: local,
            players_min: 1,
            players_max: 4,
            writer: None,
        };
        document.write(Vocabulary::Running)
    }

    #[test]
    fn a_session_under_an_id_as_it_is_is_found() {
        let mut seat = Seat::observe("Game 1.a", "me", Timing::default(), 1).unwrap();
        seat.connected(at(0));
        let first = filters(&mut seat);
        assert!(first.iter().all(|filter| !filter.contains("Game 1.a")));
        assert_eq!(seat.deadline_ms(), Some(WAIT_MS));
        seat.tick(at(WAIT_MS));
        let other = ["+ session_state/Game 1.a", "+ Game 1.a/session_state"];
        assert_eq!(filters(&mut seat), other);
        seat.message(
            "Game 1.a/session_state",
            &document("Game 1.a"),
            true,
            at(WAIT_MS + 1),
        );
        assert!(seat.document().is_some());
        assert!(filters(&mut seat).contains(&"+ Game 1.a/+".to_owned()));
        // What is said there is understood from then on.
        seat.message("Game 1.a/game_move", b"1", false, at(WAIT_MS + 2));
        assert_eq!(seat.ignored(), 0);
    }

    #[test]
    fn a_session_of_ours_is_looked_for_no_further() {
        let mut seat = Seat::observe("Game 1.a", "me", Timing::default(), 1).unwrap();
        seat.connected(at(0));
        let level = seat.topics.session().to_owned();
        seat.message(
            &format!("{level}/session_state"),
            &document(&level),
            true,
            at(1),
        );
        assert!(seat.document().is_some());
        filters(&mut seat);
        seat.tick(at(WAIT_MS));
        assert!(filters(&mut seat).is_empty());
        // And where both spellings are one, there is nothing to look for.
        let mut seat = Seat::observe("s-1", "me", Timing::default(), 1).unwrap();
        seat.connected(at(0));
        assert_eq!(seat.deadline_ms(), None);
    }

    #[test]
    fn a_broker_that_breaks_the_connection_over_it_is_let_alone() {
        let mut seat = Seat::observe("Game 1.a", "me", Timing::default(), 1).unwrap();
        for _ in 0..TRIES_MAX {
            seat.connected(at(0));
            filters(&mut seat);
            seat.tick(at(WAIT_MS));
            assert_eq!(filters(&mut seat).len(), 2);
            seat.disconnected(at(WAIT_MS));
        }
        seat.connected(at(0));
        assert_eq!(seat.deadline_ms(), None);
    }
}
