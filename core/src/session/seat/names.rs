//! Players' names in topics, and what the broker does not take.

use super::{Event, KNOWN_MAX, Seat};
use crate::error::{Error, ErrorKind, Result};
use crate::session::topic::{Topic, encode, is_level, name_of};

/// Names of players as they travel.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Players whose names an original has written into topics as they are.
    as_they_are: std::collections::BTreeSet<String>,
    /// Topics that the broker does not take.
    refused: std::collections::BTreeSet<String>,
}

impl Seat {
    /// The levels that stand for a player. Where an original is the creator, names are written as it
    /// does; where one takes part, in both ways.
    pub(super) fn levels_of(&self, player: &str) -> Vec<String> {
        let encoded = encode(player).into_owned();
        if self.is_of_original() && is_level(player) {
            return vec![player.to_owned()];
        }
        match self.names.as_they_are.contains(player) && encoded != player {
            true => vec![encoded, player.to_owned()],
            false => vec![encoded],
        }
    }

    pub(super) fn publish_reservation(&mut self, player: &str, payload: &[u8]) {
        for level in self.levels_of(player) {
            self.publish(self.topics.reservation(&level), payload.to_vec(), true);
        }
    }

    pub(super) fn publish_registration(&mut self, player: &str, payload: &[u8]) {
        for level in self.levels_of(player) {
            self.publish(self.topics.registration(&level), payload.to_vec(), false);
        }
    }

    pub(super) fn empty_reservation(&mut self, player: &str) {
        self.publish_reservation(player, b"");
    }

    /// Originals of the first generation keep registrations.
    pub(super) fn empty_registration(&mut self, player: &str) {
        for level in self.levels_of(player) {
            self.empty(self.topics.registration(&level));
        }
    }

    /// Whether a level of a topic stands for a player of this name; if so, how it was written is
    /// remembered.
    pub(super) fn note_level(&mut self, level: &str, player: &str) -> bool {
        if encode(player) == level {
            return true;
        }
        let is_as_it_is = level == player;
        if is_as_it_is && self.names.as_they_are.len() < KNOWN_MAX {
            self.names.as_they_are.insert(player.to_owned());
        }
        is_as_it_is
    }

    /// Whether a player's name can be told to those who are in the session.
    pub(super) fn check_name(&self, player: &str) -> Result<()> {
        let refused = |text: String| Err(Error::new(ErrorKind::Refused, text));
        if self.is_of_original() && !is_level(player) {
            return refused(format!(
                "the session's creator is an original: players' names are parts of topics there, and {player:?} can't be one because of '/', '+' or '#'"
            ));
        }
        let is_refused = |level: &String| {
            let topics = [
                self.topics.reservation(level),
                self.topics.registration(level),
            ];
            topics
                .iter()
                .any(|topic| self.names.refused.contains(topic))
        };
        match self.levels_of(player).iter().any(is_refused) {
            true => refused(format!(
                "the broker does not take messages about the player {player:?}"
            )),
            false => Ok(()),
        }
    }

    /// The broker does not let this instance publish something, or subscribe to it. It is told once,
    /// and a wish that is the reason is not repeated.
    pub fn not_allowed(&mut self, is_publication: bool, topic: &str, why: &str) {
        if self.names.refused.len() >= KNOWN_MAX || !self.names.refused.insert(topic.to_owned()) {
            return;
        }
        if let Some(
            Topic::Reservation { session, player } | Topic::Registration { session, player },
        ) = Topic::parse(topic)
            && session == self.topics.session()
        {
            for player in [name_of(player), player.to_owned()] {
                self.wishes.reserved.remove(&player);
                self.wishes.released.remove(&player);
                if self.wishes.registered.as_deref() == Some(&*player) {
                    self.wishes.registered = None;
                }
            }
        }
        self.tell(Event::NotAllowed {
            is_publication,
            topic: topic.to_owned(),
            why: why.to_owned(),
        });
    }
}
