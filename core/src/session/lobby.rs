//! The list of sessions on a broker, as it changes.

use std::collections::{BTreeMap, VecDeque};

use super::completeness::{Completeness, Probing};
use super::date::Moment;
use super::document::{Document, State};
use super::message::{Announcement, Player};
use super::seat::{Action, Timing};
use super::topic::{DISCOVERY, STATE, Topic, Topics, name_of};
use crate::limits::{SESSION_LIST_MAX, SESSION_MEMBERS_MAX};
use crate::time::earliest;

/// The last level of the list's own message, and what it is subscribed to by.
const PROBE: &str = "session_probe";
const PROBES: &str = "+/session_probe";

/// How long a session's heartbeat may stand still before its topics are emptied by whoever sees it.
const ABANDONED_MS: u64 = 60_000;
/// How long a closed session's topics may stay.
const CLOSED_MS: u64 = 20_000;
/// How much longer at most. All lists see a session end at the same moment: the one that waits least
/// empties its topics, and the others see that there is nothing left.
const TIDY_SPREAD_MS: u64 = 20_000;

/// A session of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The session's id.
    pub session_id: String,
    /// The model's name.
    pub model_name: String,
    /// Where it is in its life.
    pub state: State,
    /// Who is in it. Empty until its document has come.
    pub members: Vec<String>,
    /// Members without which the game can't start.
    pub players_min: u32,
    /// Members for whom there is room.
    pub players_max: u32,
    /// The creator's id.
    pub creator: String,
    /// Players that were seen to be registered.
    pub players: Vec<String>,
    /// When it was first seen, on the scale of the lobby's clock.
    pub found_at_ms: u64,
    /// Whether somebody can join.
    pub is_joinable: bool,
}

#[derive(Debug, Default)]
struct Entry {
    announcement: Option<Announcement>,
    document: Option<Document>,
    /// Who plays whom, by the player's level of its topics.
    players: BTreeMap<String, String>,
    /// Order of first sight; sessions that were found in the same millisecond keep it.
    number: u64,
    found_at_ms: u64,
    /// When something of the creator's last changed.
    alive_at_ms: u64,
    /// How much longer than it has to this list waits before it empties the topics.
    patience_ms: u64,
    is_silent: bool,
    /// Whether it is new, and was not among what the broker had kept.
    was_missing: bool,
}

/// See the module. A state machine, like [`super::Seat`].
#[derive(Debug)]
pub struct Lobby {
    timing: Timing,
    tidies_up: bool,
    is_online: bool,
    entries: BTreeMap<String, Entry>,
    next_number: u64,
    ignored: u64,
    is_changed: bool,
    /// The level of the list's own message.
    probe: String,
    probing: Probing,
    completeness: Completeness,
    random: u64,
    actions: VecDeque<Action>,
}

impl Lobby {
    /// An empty list. With `tidies_up` it empties the topics of sessions whose creator is long
    /// gone. `random` is any number that differs from list to list.
    pub fn new(timing: Timing, tidies_up: bool, random: u64) -> Self {
        Self {
            timing,
            tidies_up,
            is_online: false,
            entries: BTreeMap::new(),
            next_number: 0,
            ignored: 0,
            is_changed: true,
            probe: format!("list-{random:016x}"),
            probing: Probing::default(),
            completeness: Completeness::Unknown,
            random: random | 1,
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn pop_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether the list has changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// Messages that could not be understood, or for which there was no room.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// The connection is there, for the first time or again.
    pub fn connected(&mut self, now: Moment) {
        self.is_online = true;
        for entry in self.entries.values_mut() {
            entry.alive_at_ms = now.mono_ms;
        }
        self.probing.connected(now);
        self.publish_probe(b"list".to_vec());
        for filter in [
            format!("{DISCOVERY}/+"),
            format!("{STATE}/+"),
            format!("+/{STATE}"),
            "+/session_player_registration/+".to_owned(),
            // The last: what the broker has kept comes in this order.
            PROBES.to_owned(),
        ] {
            self.actions.push_back(Action::SubscribeLoosely(filter));
        }
        self.judge(now);
    }

    fn publish_probe(&mut self, payload: Vec<u8>) {
        self.actions.push_back(Action::Publish {
            topic: self.will_topic(),
            payload,
            retain: true,
            expires_s: Some(60),
        });
    }

    /// The message that the broker is to publish, retained, when it loses this list. Empty.
    pub fn will_topic(&self) -> String {
        format!("{}/{PROBE}", self.probe)
    }

    /// Completeness of the list: how much of what is on the broker it has.
    pub fn completeness(&self) -> Completeness {
        self.completeness
    }

    /// Looks how complete the list is by now.
    fn judge(&mut self, now: Moment) {
        if self.probing.take_over(now) {
            self.publish_probe(Vec::new());
            self.actions
                .push_back(Action::Unsubscribe(PROBES.to_owned()));
        }
        let completeness = self.probing.completeness(&self.timing, now);
        self.is_changed |= completeness != self.completeness;
        self.completeness = completeness;
    }

    /// The connection is lost: the list stays as it is.
    pub fn disconnected(&mut self, now: Moment) {
        self.is_online = false;
        self.actions.clear();
        self.probing.disconnected();
        self.judge(now);
    }

    /// A message has come; `retained` when the broker had kept it.
    pub fn message(&mut self, topic: &str, payload: &[u8], retained: bool, now: Moment) {
        if let Some(probe) = topic.strip_suffix(PROBE) {
            if retained && probe.strip_suffix('/') == Some(&*self.probe) {
                self.probing.is_back();
                self.judge(now);
            }
            return;
        }
        let count = self.entries.len();
        self.understand(topic, payload, now);
        let Some(
            Topic::State { session }
            | Topic::PlannedState { session }
            | Topic::Discovery { session },
        ) = Topic::parse(topic)
        else {
            return;
        };
        let is_new = self.entries.len() > count;
        if let Some(entry) = self.entries.get_mut(session) {
            entry.was_missing |= is_new && !retained;
            if let Some(document) = entry.document.as_ref().filter(|_| entry.was_missing) {
                self.probing.note_new(document, now);
                entry.was_missing = false;
                self.judge(now);
            }
        }
    }

    fn understand(&mut self, topic: &str, payload: &[u8], now: Moment) {
        let is_understood = match Topic::parse(topic) {
            Some(Topic::Discovery { session }) => self.on_announcement(session, payload, now),
            Some(Topic::State { session }) => self.on_document(session, payload, false, now),
            Some(Topic::PlannedState { session }) => self.on_document(session, payload, true, now),
            Some(Topic::Registration { session, player }) => {
                self.on_registration(session, player, payload)
            }
            _ => false,
        };
        if !is_understood {
            self.ignored += 1;
        }
    }

    fn entry(&mut self, session: &str, now: Moment) -> Option<&mut Entry> {
        let is_known = self.entries.contains_key(session);
        if !is_known && self.entries.len() >= SESSION_LIST_MAX {
            self.probing.is_cut_off();
            self.judge(now);
        }
        if !is_known
            && (self.entries.len() >= SESSION_LIST_MAX || Topics::of_level(session).is_err())
        {
            return None;
        }
        if !is_known {
            self.next_number += 1;
            self.is_changed = true;
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
        }
        let number = self.next_number;
        let patience_ms = match crate::plant::active("tidies_in_step") {
            true => 0,
            false => self.random % TIDY_SPREAD_MS,
        };
        Some(
            self.entries
                .entry(session.to_owned())
                .or_insert_with(|| Entry {
                    number,
                    found_at_ms: now.mono_ms,
                    alive_at_ms: now.mono_ms,
                    patience_ms,
                    ..Entry::default()
                }),
        )
    }

    fn on_announcement(&mut self, session: &str, payload: &[u8], now: Moment) -> bool {
        if payload.is_empty() {
            if let Some(entry) = self.entries.get_mut(session) {
                entry.announcement = None;
                self.is_changed = true;
                self.forget_if_empty(session);
            }
            return true;
        }
        let Ok(announcement) = Announcement::parse(payload) else {
            return false;
        };
        let lost_ms = self.timing.lost_ms;
        let Some(entry) = self.entry(session, now) else {
            return false;
        };
        // A retained one comes once; whatever comes again is live.
        let is_changed = entry.announcement.as_ref() != Some(&announcement);
        let was_announced = entry.announcement.replace(announcement).is_some();
        if was_announced {
            let was_dead = now.mono_ms > entry.alive_at_ms + lost_ms;
            entry.alive_at_ms = now.mono_ms;
            self.is_changed |= was_dead;
        }
        self.is_changed |= is_changed;
        true
    }

    fn on_document(
        &mut self,
        session: &str,
        payload: &[u8],
        is_planned: bool,
        now: Moment,
    ) -> bool {
        if payload.is_empty() {
            if let Some(entry) = self.entries.get_mut(session) {
                entry.document = None;
                self.is_changed = true;
                self.forget_if_empty(session);
            }
            return true;
        }
        let document = match Document::parse(payload, now.offset_s) {
            Ok(document) if document.session_id == session => document,
            _ => return false,
        };
        let lost_ms = self.timing.lost_ms;
        let Some(entry) = self.entry(session, now) else {
            return false;
        };
        let Some(known) = &entry.document else {
            entry.document = Some(document);
            self.is_changed = true;
            return true;
        };
        let heartbeat = |document: &Document| {
            let count = document.writer.as_ref().map(|writer| writer.heartbeat);
            (document.last_heartbeat, count, document.version)
        };
        let is_same_session = known.creator == document.creator;
        if known.is_closed() && is_same_session {
            return true;
        }
        if heartbeat(known) == heartbeat(&document) && is_same_session {
            // The same, under its other name; the planned words say more.
            if is_planned && known.state != document.state {
                entry.document = Some(document);
                self.is_changed = true;
            }
            return true;
        }
        let is_older = is_same_session
            && !document.is_closed()
            && !known.is_original()
            && !document.is_original()
            && (document.term(), document.version) < (known.term(), known.version);
        // Between peers of ours and originals the creator's own documents count.
        let is_foreign = is_same_session && !known.is_original() && document.is_original();
        if is_older || (is_foreign && !document.is_closed()) {
            return true;
        }
        let was_dead = now.mono_ms > entry.alive_at_ms + lost_ms;
        entry.alive_at_ms = now.mono_ms;
        let shown = |document: &Document| {
            (
                document.state,
                document.members.clone(),
                document.creator.clone(),
                document.version,
            )
        };
        let is_changed = was_dead || shown(known) != shown(&document);
        entry.document = Some(document);
        self.is_changed |= is_changed;
        true
    }

    fn on_registration(&mut self, session: &str, player: &str, payload: &[u8]) -> bool {
        let Some(entry) = self.entries.get_mut(session) else {
            return true;
        };
        match Player::parse(payload) {
            Ok(registration) if entry.players.len() < SESSION_MEMBERS_MAX => {
                let before = entry
                    .players
                    .insert(player.to_owned(), registration.instance);
                self.is_changed |= before.is_none();
                true
            }
            Ok(_) => false,
            Err(_) => payload.is_empty(),
        }
    }

    fn forget_if_empty(&mut self, session: &str) {
        let is_empty = |entry: &Entry| entry.announcement.is_none() && entry.document.is_none();
        if self.entries.get(session).is_some_and(is_empty) {
            self.entries.remove(session);
        }
    }

    /// Lets time pass: sessions whose creator is silent go.
    pub fn tick(&mut self, now: Moment) {
        if !self.is_online {
            return;
        }
        self.judge(now);
        let lost_ms = self.timing.lost_ms;
        let mut abandoned = Vec::new();
        for (session, entry) in &mut self.entries {
            let silent_ms = now.mono_ms.saturating_sub(entry.alive_at_ms);
            if silent_ms > lost_ms && !entry.is_silent {
                // It is told once that it has gone from the list.
                self.is_changed = true;
            }
            if silent_ms > entry.kept_ms() {
                abandoned.push(session.clone());
            } else {
                entry.is_silent = silent_ms > lost_ms;
            }
        }
        for session in abandoned {
            let entry = self.entries.remove(&session);
            self.is_changed = true;
            if let (Some(entry), true) = (entry, self.tidies_up) {
                self.tidy_up(&session, &entry);
            }
        }
    }

    fn tidy_up(&mut self, session: &str, entry: &Entry) {
        let Ok(topics) = Topics::of_level(session) else {
            return;
        };
        let mut emptied = vec![
            topics.planned_state(),
            topics.state(),
            topics.discovery(),
            topics.seed(),
            topics.all_selected(),
            topics.claim(),
        ];
        let members = entry
            .document
            .as_ref()
            .map(|document| document.members.as_slice());
        let members = members.unwrap_or_default();
        emptied.extend(members.iter().map(|member| topics.ready(member)));
        emptied.extend(
            entry
                .players
                .keys()
                .map(|player| topics.reservation(player)),
        );
        for topic in emptied {
            self.actions.push_back(Action::Publish {
                topic,
                payload: Vec::new(),
                retain: true,
                expires_s: None,
            });
        }
    }

    /// When something is to be done without anything happening.
    pub fn deadline_ms(&self) -> Option<u64> {
        if !self.is_online {
            return None;
        }
        let of = |entry: &Entry| {
            let wait_ms = match entry.is_silent {
                false => self.timing.lost_ms,
                true => entry.kept_ms(),
            };
            entry.alive_at_ms + wait_ms + 1
        };
        let entries = self.entries.values().map(of).min();
        let probing = self.probing.deadline_ms(&self.timing, self.completeness);
        earliest([entries, probing])
    }

    /// The sessions that are alive, the newest first; those that can't be joined as well.
    pub fn sessions(&self, now: Moment) -> Vec<Listing> {
        let is_alive = |entry: &Entry| now.mono_ms <= entry.alive_at_ms + self.timing.lost_ms;
        let mut alive: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| is_alive(entry))
            .collect();
        alive.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.number));
        let listings = alive
            .into_iter()
            .filter_map(|(session, entry)| entry.listing(session));
        listings.collect()
    }
}

impl Entry {
    /// How long it may be silent before its topics are emptied.
    fn kept_ms(&self) -> u64 {
        let is_closed = self.document.as_ref().is_some_and(Document::is_closed);
        let least_ms = if is_closed { CLOSED_MS } else { ABANDONED_MS };
        least_ms + self.patience_ms
    }

    fn listing(&self, session: &str) -> Option<Listing> {
        let players = self.players.keys().map(|level| name_of(level)).collect();
        let session_id = name_of(session);
        let found_at_ms = self.found_at_ms;
        if let Some(document) = &self.document {
            return Some(Listing {
                session_id,
                model_name: document.model_name.clone(),
                // A word that nobody knows can't be joined.
                state: document.state.unwrap_or(State::Starting),
                members: document.members.clone(),
                players_min: document.players_min,
                players_max: document.players_max,
                creator: document.creator.clone(),
                players,
                found_at_ms,
                is_joinable: document.is_joinable(),
            });
        }
        let announcement = self.announcement.as_ref()?;
        Some(Listing {
            session_id,
            model_name: announcement.model_name.clone(),
            state: State::Open,
            members: Vec::new(),
            players_min: announcement.players_min,
            players_max: announcement.players_max,
            creator: announcement.instance.clone(),
            players,
            found_at_ms,
            is_joinable: true,
        })
    }
}
