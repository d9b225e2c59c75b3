//! A session whose creator is an original: its signs of life, and members of ours that are gone.
//!
//! An original's heartbeat ends with its dialog, when the game starts; and it takes nobody out who is
//! gone without a word. Both are made up for here.

use std::collections::BTreeMap;

use super::{Action, KNOWN_MAX, Seat};
use crate::session::date::Moment;
use crate::session::document::{Document, State, Vocabulary};
use crate::session::json::{self, Fields};
use crate::session::message::Presence;

/// How long a member of ours is gone before another takes it out: until then it may be back.
const GONE_MS: u64 = 2_000;

/// What is known beside an original creator.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Whether what others say of themselves was subscribed to on this connection.
    is_watching: bool,
    /// Whether the creator has said that the game starts.
    has_started: bool,
    /// Instances of ours, by their presence.
    peers: BTreeMap<String, Peer>,
}

#[derive(Debug)]
struct Peer {
    /// Until when its presence is good.
    lease_ms: u64,
    /// Since when the broker has none of it.
    gone_at_ms: Option<u64>,
    /// Before this it is not tried again to take it out.
    not_before_ms: u64,
}

impl Beside {
    /// The broker remembers nothing of the connection before.
    pub(super) fn connected(&mut self) {
        self.is_watching = false;
        self.peers.clear();
    }
}

impl Seat {
    /// Whether an original has created the session, as far as that is known.
    pub(super) fn is_of_original(&self) -> bool {
        self.creator.is_none() && !self.is_single_writer && self.document.is_some()
    }

    /// Whether the game of an original creator has started: then only it ends the session.
    pub(super) fn is_started_by_original(&self) -> bool {
        let is_open = |document: &Document| document.state == Some(State::Open);
        self.is_of_original()
            && !crate::plant::active("closes_game")
            && (self.beside.has_started || !self.document.as_ref().is_some_and(is_open))
    }

    /// Subscribes to what tells of an original creator, and of the others; or ends that.
    pub(super) fn watch_original(&mut self) {
        let wants = self.is_of_original() && self.ending.is_none();
        if !self.is_online || wants == self.beside.is_watching {
            return;
        }
        self.beside.is_watching = wants;
        let mut filters = vec![self.topics.discovery()];
        if self.member.is_some() {
            filters.push(self.topics.every("instance_ready"));
        }
        for filter in filters {
            self.actions.push_back(match wants {
                true => Action::Subscribe(filter),
                false => Action::Unsubscribe(filter),
            });
        }
    }

    /// An instance has said something just now; an original creator lives as long as it does.
    pub(super) fn sign_of_life(&mut self, instance: &str, retained: bool, now: Moment) {
        let is_creator = |document: &Document| document.creator == instance;
        if !retained
            && self.is_of_original()
            && self.document.as_ref().is_some_and(is_creator)
            && !crate::plant::active("deaf_to_original")
        {
            self.alive_at_ms = now.mono_ms;
        }
    }

    /// The creator has said that the game starts.
    pub(super) fn note_start(&mut self, by: &str) {
        let is_creator = |document: &Document| document.creator == by;
        if self.is_of_original() && self.document.as_ref().is_some_and(is_creator) {
            self.beside.has_started = true;
        }
    }

    /// A message of the game names who has sent it, if an original wrote it.
    pub(super) fn note_game(&mut self, payload: &[u8], now: Moment) {
        if !self.is_of_original() {
            return;
        }
        let Ok(object) = json::object(payload) else {
            return;
        };
        if let Ok(Some(instance)) = Fields::new(&object).optional_text("clientId") {
            self.sign_of_life(instance, false, now);
        }
    }

    /// Somebody is there, beside an original creator.
    pub(super) fn note_peer(&mut self, presence: &Presence, retained: bool, now: Moment) {
        self.sign_of_life(&presence.instance, retained, now);
        let peers = &mut self.beside.peers;
        let is_known = peers.contains_key(&presence.instance);
        let is_other = presence.instance != self.me;
        if presence.lease_ms.is_some() && is_other && (is_known || peers.len() < KNOWN_MAX) {
            let peer = Peer {
                lease_ms: now.mono_ms + self.timing.lease_ms,
                gone_at_ms: None,
                not_before_ms: 0,
            };
            peers.insert(presence.instance.clone(), peer);
        }
    }

    /// The broker keeps nobody's presence there any more.
    pub(super) fn note_absence(&mut self, instance: &str, now: Moment) {
        if let Some(peer) = self.beside.peers.get_mut(instance) {
            peer.gone_at_ms.get_or_insert(now.mono_ms);
        }
    }

    /// When a member of ours is to be taken out of an original's document by this instance: since
    /// when it is gone for sure, and from when on this instance does it. The one with the lowest id
    /// does it first.
    fn removal_ms(&self, instance: &str, peer: &Peer) -> Option<(u64, u64)> {
        let document = self.document.as_ref().filter(|one| one.has(instance))?;
        let is_started = self.is_started_by_original();
        let since_ms = match peer.gone_at_ms {
            // Once the game has started, who is out may not come in again.
            Some(gone_at_ms) if is_started => gone_at_ms + self.timing.lease_ms,
            Some(gone_at_ms) => gone_at_ms + GONE_MS,
            None => peer.lease_ms,
        };
        let is_ours = |id: &&String| self.beside.peers.contains_key(*id);
        let before = document.members.iter().filter(is_ours);
        let rank = before
            .filter(|id| **id < self.me && *id != instance)
            .count() as u64;
        let wait_ms = rank.min(4) * self.timing.candidate_ms;
        Some((since_ms, (since_ms + wait_ms).max(peer.not_before_ms)))
    }

    pub(super) fn removal_deadline_ms(&self) -> Option<u64> {
        if !self.is_of_original() {
            return None;
        }
        let due = |(instance, peer): (&String, &Peer)| self.removal_ms(instance, peer);
        let counts = |(since_ms, at_ms): (u64, u64)| {
            let is_asked = self.waits_for_proof(since_ms);
            (!is_asked).then_some(at_ms)
        };
        let due = self.beside.peers.iter().filter_map(due);
        due.filter_map(counts).min()
    }

    /// Takes members of ours that are gone out of an original's document: nobody else does.
    pub(super) fn remove_gone(&mut self, now: Moment) {
        if !self.is_of_original() {
            return;
        }
        let due = |(instance, peer): (&String, &Peer)| {
            let (since_ms, at_ms) = self.removal_ms(instance, peer)?;
            (now.mono_ms >= at_ms).then(|| (since_ms, instance.clone()))
        };
        let due: Vec<_> = self.beside.peers.iter().filter_map(due).collect();
        for (since_ms, instance) in due {
            if !self.is_link_proven(since_ms, now) {
                continue;
            }
            let spread_ms = self.random(self.timing.verify_spread_ms);
            let not_before_ms = now.mono_ms + 4 * self.timing.verify_ms + spread_ms;
            if let Some(peer) = self.beside.peers.get_mut(&instance) {
                peer.not_before_ms = not_before_ms;
            }
            self.write_as_originals(now, |document| {
                document.members.retain(|member| *member != instance);
            });
        }
    }

    /// Reads, changes and writes the document, as the originals do it.
    pub(super) fn write_as_originals(&mut self, now: Moment, change: impl FnOnce(&mut Document)) {
        let Some(mut document) = self.document.clone() else {
            return;
        };
        change(&mut document);
        document.version += 1;
        document.last_updated = Some(now.local);
        document.writer = None;
        for (topic, vocabulary) in [
            (self.topics.planned_state(), Vocabulary::Planned),
            (self.topics.state(), Vocabulary::Running),
        ] {
            self.publish(topic, document.write(vocabulary), true);
        }
    }
}
