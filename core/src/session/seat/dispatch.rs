//! What a message means, by its topic.

use super::{Event, Seat};
use crate::session::date::Moment;
use crate::session::document::Document;
use crate::session::message::{Announcement, Claim, GameStart, Presence, Seed};
use crate::session::topic::{Topic, name_of};

impl Seat {
    /// A message has come; `retained` when the broker had kept it. Those of other sessions, and those
    /// that can't be understood, are ignored and counted.
    pub fn message(&mut self, topic: &str, payload: &[u8], retained: bool, now: Moment) {
        if self.is_over {
            return;
        }
        let is_understood = match Topic::parse(topic) {
            Some(topic) => self.understand(&topic, payload, retained, now),
            None => false,
        };
        if !is_understood {
            self.ignored += 1;
        }
        self.tick(now);
    }

    fn understand(
        &mut self,
        topic: &Topic<'_>,
        payload: &[u8],
        retained: bool,
        now: Moment,
    ) -> bool {
        let is_mine = |session: &&str| *session == self.topics.session();
        match topic {
            Topic::State { session } | Topic::PlannedState { session } if self.is_mine(session) => {
                let is_planned = matches!(topic, Topic::PlannedState { .. });
                if payload.is_empty() {
                    self.is_emptied |= !is_planned;
                    return true;
                }
                // Mostly it is the same on both topics, to the byte.
                if self.last_payload == payload {
                    return true;
                }
                self.last_payload.clear();
                self.last_payload.extend_from_slice(payload);
                match Document::parse(payload, now.offset_s) {
                    Ok(document) if document.session_id == *session => {
                        self.note_spelling(session);
                        self.is_emptied = false;
                        self.on_document(document, is_planned, now);
                        true
                    }
                    _ => false,
                }
            }
            Topic::Ready { session, instance } if is_mine(session) => {
                self.on_ready(instance, payload, retained, now)
            }
            Topic::Disconnect { session, who } if is_mine(session) => {
                self.on_disconnect(who, payload, now)
            }
            Topic::Seed { session } if is_mine(session) => match Seed::parse(payload) {
                Ok(seed) => {
                    self.on_seed(seed, retained, now);
                    true
                }
                Err(_) => payload.is_empty(),
            },
            Topic::Registration { session, player } if is_mine(session) => {
                self.on_registration(player, payload, now)
            }
            Topic::Reservation { session, player } if is_mine(session) => {
                self.on_reservation(player, payload, now)
            }
            Topic::GameStart { session } if is_mine(session) => match GameStart::parse(payload) {
                Ok(start) => {
                    self.note_start(&start.instance);
                    if start.instance != self.me {
                        self.tell(Event::GameStarted {
                            by: start.instance,
                            kind: start.kind,
                        });
                    }
                    true
                }
                Err(_) => payload.is_empty(),
            },
            Topic::AllSelected { session } if is_mine(session) => {
                if payload.is_empty() {
                    self.players.are_all_selected &= self.creator.is_some();
                } else if !self.players.are_all_selected {
                    self.players.are_all_selected = true;
                    self.tell(Event::AllPlayersSelected);
                }
                true
            }
            Topic::Discovery { session } if is_mine(session) => {
                match Announcement::parse(payload) {
                    Ok(announcement) => {
                        self.sign_of_life(&announcement.instance, retained, now);
                        true
                    }
                    Err(_) => payload.is_empty(),
                }
            }
            Topic::Claim { session } if is_mine(session) => match Claim::parse(payload) {
                Ok(claim) => {
                    self.on_claim(claim, now);
                    true
                }
                Err(_) => payload.is_empty(),
            },
            Topic::Game { session, name } if is_mine(session) => {
                self.note_game(payload, now);
                self.tell(Event::Game {
                    name: name_of(name),
                    payload: payload.to_vec(),
                });
                true
            }
            _ => false,
        }
    }

    fn on_ready(&mut self, instance: &str, payload: &[u8], retained: bool, now: Moment) -> bool {
        if payload.is_empty() {
            if instance == self.me {
                self.on_own_absence(now);
            } else if self.creator.is_some() {
                self.on_absence(instance, now);
            } else {
                self.note_absence(instance, now);
                self.note_voter_gone(instance);
            }
            return true;
        }
        if instance == self.me {
            self.hear_own_presence(payload);
        }
        match Presence::parse(payload, now.offset_s) {
            Ok(presence) if presence.instance == instance => {
                if self.creator.is_some() {
                    self.on_presence(&presence, retained, now);
                } else {
                    self.note_peer(&presence, retained, now);
                    self.note_voter(&presence, retained, now);
                }
                true
            }
            _ => false,
        }
    }
}
