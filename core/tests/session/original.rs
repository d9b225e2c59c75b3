//! Peers that behave as mqtt-session.md describes the originals, of both generations.

use std::collections::{BTreeMap, BTreeSet};

use distflow_core::session::{Document, LocalTime, State, Vocabulary};

use crate::broker::{Down, Up};
use crate::world::{SESSION, World};

/// From which number on clients of the broker are originals.
pub const ORIGINALS: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Reads, changes, publishes, and reads again whether its version is there: up to three times.
    Planned,
    /// Reads, changes and publishes; takes whatever arrives.
    Running,
}

/// One of them.
#[derive(Debug)]
pub struct Original {
    pub id: String,
    generation: Generation,
    is_creator: bool,
    pub document: Option<Document>,
    began_at_ms: u64,
    heartbeat_at_ms: u64,
    verify: Option<(u64, u64)>,
    attempts: u32,
    has_asked: bool,
    pub has_closed: bool,
    pub has_left: bool,
    /// Whether its game runs: its heartbeat has ended with its dialog.
    pub has_started: bool,
    seed_at_ms: u64,
    announce_at_ms: u64,
    dialog: Option<Dialog>,
    up: Vec<Up>,
}

/// The dialog in which a player is chosen: it hears registrations while it is open, and that all are
/// selected once it waits for that.
#[derive(Debug)]
struct Dialog {
    registered: BTreeMap<String, String>,
    waits_from_ms: u64,
    checks_at_ms: u64,
    is_done: bool,
}

impl Original {
    pub fn new(id: &str, generation: Generation, is_creator: bool, now_ms: u64) -> Self {
        Self {
            id: id.to_owned(),
            generation,
            is_creator,
            document: None,
            began_at_ms: now_ms,
            heartbeat_at_ms: now_ms,
            verify: None,
            attempts: 0,
            has_asked: false,
            has_closed: false,
            has_left: false,
            has_started: false,
            seed_at_ms: now_ms,
            announce_at_ms: now_ms,
            dialog: None,
            up: Vec::new(),
        }
    }

    fn state_topic(&self) -> String {
        match self.generation {
            Generation::Planned => format!("session_state/{SESSION}"),
            Generation::Running => format!("{SESSION}/session_state"),
        }
    }

    pub fn say(&mut self, topic: String, payload: Vec<u8>, retain: bool) {
        self.up.push(Up::Publish {
            topic,
            payload,
            retain,
        });
    }

    pub fn publish(&mut self) {
        let vocabulary = match self.generation {
            Generation::Planned => Vocabulary::Planned,
            Generation::Running => Vocabulary::Running,
        };
        // `to_dict` knows nothing of what distflow has added.
        let payload = self.document.as_mut().map(|document| {
            document.writer = None;
            document.write(vocabulary)
        });
        if let Some(payload) = payload {
            self.say(self.state_topic(), payload, true);
        }
    }

    pub fn ready_topic(&self) -> String {
        format!("{SESSION}/session_instance_ready/{}", self.id)
    }

    pub fn connected(&mut self, local: LocalTime) {
        self.up.push(Up::Subscribe(self.state_topic()));
        if self.generation == Generation::Running {
            let ready = format!(
                r#"{{"clientId": "{}", "timestamp": "{local}", "seed_synced": true, "game_start_subscribed": true}}"#,
                self.id
            );
            self.say(self.ready_topic(), ready.into_bytes(), true);
        }
        if self.is_creator {
            self.document = Some(Document {
                session_id: SESSION.to_owned(),
                creator: self.id.clone(),
                model_name: "Original".to_owned(),
                state: Some(State::Open),
                members: vec![self.id.clone()],
                version: 1,
                last_heartbeat: Some(local),
                created_at: Some(local),
                last_updated: Some(local),
                players_min: 1,
                players_max: 30,
                writer: None,
            });
            self.publish();
        }
    }

    pub fn message(&mut self, down: &Down, now_ms: u64) {
        if down.payload.is_empty() {
            return;
        }
        self.hear_in_dialog(down, now_ms);
        if down.topic != self.state_topic() {
            return;
        }
        let document = Document::parse(&down.payload, 0).unwrap();
        let is_closed = document.is_closed();
        self.document = Some(document);
        if is_closed {
            self.has_closed = true;
        } else if !self.has_asked && !self.is_creator {
            self.has_asked = true;
            self.ask(now_ms);
        }
    }

    /// Reads, adds itself, and writes.
    fn ask(&mut self, now_ms: u64) {
        let Some(document) = &mut self.document else {
            return;
        };
        self.attempts += 1;
        if document.state != Some(State::Open) || document.has(&self.id) {
            return;
        }
        document.members.push(self.id.clone());
        document.version += 1;
        let version = document.version;
        self.publish();
        self.verify = Some((now_ms + 300, version));
    }

    pub fn tick(&mut self, now_ms: u64, local: LocalTime) {
        if self.has_left {
            return;
        }
        self.tick_dialog(now_ms, local);
        if self.is_creator && now_ms >= self.seed_at_ms {
            self.seed_at_ms = now_ms + 3_000;
            let seed = format!(
                r#"{{"clientId": "{}", "seed": 7, "is_leader": true, "timestamp": "{local}"}}"#,
                self.id
            );
            self.say(
                format!("{SESSION}/session_seed_sync"),
                seed.into_bytes(),
                true,
            );
        }
        if self.is_creator && now_ms >= self.announce_at_ms {
            self.announce_at_ms = now_ms + 5_000;
            let text = format!(
                r#"{{"session_id": "{SESSION}", "clientId": "{}", "num_players_min": 1, "num_players_max": 30, "model_name": "Original", "timestamp": "{local}"}}"#,
                self.id
            );
            self.say(
                format!("session_discovery/{SESSION}"),
                text.into_bytes(),
                true,
            );
        }
        let has_heartbeat = self.is_creator && !self.has_closed && !self.has_started;
        if has_heartbeat && now_ms >= self.heartbeat_at_ms {
            self.heartbeat_at_ms = now_ms + 5_000;
            if let Some(document) = &mut self.document {
                document.last_heartbeat = Some(local);
                document.last_updated = Some(local);
            }
            self.publish();
        }
        if self.generation == Generation::Planned
            && let Some((at_ms, version)) = self.verify
            && now_ms >= at_ms
        {
            self.verify = None;
            let is_mine = self
                .document
                .as_ref()
                .is_some_and(|document| document.has(&self.id) && document.version >= version);
            if !is_mine && self.attempts < 3 {
                self.ask(now_ms);
            }
        }
        // It looks every three seconds, ten seconds after it joined at first.
        let is_looking = !self.is_creator && !self.has_closed && now_ms > self.began_at_ms + 10_000;
        if let Some(document) = self.document.as_mut().filter(|_| is_looking) {
            let age_us = document.last_heartbeat.map_or(0, |beat| local.0 - beat.0);
            if age_us > 15_000_000 && document.state == Some(State::Open) {
                document.state = Some(State::Closed);
                document.version += 1;
                self.has_closed = true;
                self.publish();
            }
        }
    }

    /// The user clicks Start.
    pub fn start(&mut self, local: LocalTime) {
        let start = format!(
            r#"{{"clientId": "{}", "timestamp": "{local}", "start_type": "manual", "countdown_finished": false}}"#,
            self.id
        );
        self.say(
            format!("{SESSION}/session_game_start"),
            start.into_bytes(),
            false,
        );
        if let Some(document) = &mut self.document {
            document.state = Some(State::InProgress);
            document.version += 1;
        }
        self.publish();
        self.has_started = true;
    }

    /// The dialog opens, and its user has chosen a player at once.
    pub fn choose(&mut self, player: &str, now_ms: u64, local: LocalTime) {
        let registrations = format!("{SESSION}/session_player_registration/+");
        self.up.push(Up::Subscribe(registrations));
        let selected = format!("{SESSION}/session_all_players_selected");
        self.up.push(Up::Subscribe(selected));
        let registration = format!(
            r#"{{"clientId": "{}", "assigned_player_name": "{player}", "num_players_min": 1, "num_players_max": 30, "timestamp": "{local}"}}"#,
            self.id
        );
        let topic = format!("{SESSION}/session_player_registration/{player}");
        self.say(topic, registration.into_bytes(), false);
        self.dialog = Some(Dialog {
            registered: [(player.to_owned(), self.id.clone())].into(),
            waits_from_ms: now_ms + 200,
            checks_at_ms: now_ms + 800,
            is_done: false,
        });
    }

    /// Whether its dialog has seen that all are selected.
    pub fn has_chosen(&self) -> bool {
        self.dialog.as_ref().is_some_and(|dialog| dialog.is_done)
    }

    fn hear_in_dialog(&mut self, down: &Down, now_ms: u64) {
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        if down.topic.ends_with("/session_all_players_selected") {
            dialog.is_done |= now_ms >= dialog.waits_from_ms;
        } else if down.topic.contains("/session_player_registration/") {
            let said: serde_json::Value = serde_json::from_slice(&down.payload).unwrap();
            let text = |name: &str| said[name].as_str().unwrap().to_owned();
            let player = text("assigned_player_name");
            dialog.registered.insert(player, text("clientId"));
        }
    }

    fn tick_dialog(&mut self, now_ms: u64, local: LocalTime) {
        let required = self
            .document
            .as_ref()
            .map_or(usize::MAX, |document| document.members.len());
        let Some(dialog) = self.dialog.as_mut().filter(|dialog| !dialog.is_done) else {
            return;
        };
        if now_ms < dialog.checks_at_ms {
            return;
        }
        dialog.checks_at_ms = now_ms + 500;
        if dialog.registered.len() >= required {
            dialog.is_done = true;
            let text = format!(
                r#"{{"clientId": "{}", "timestamp": "{local}", "all_players_selected": true}}"#,
                self.id
            );
            self.say(
                format!("{SESSION}/session_all_players_selected"),
                text.into_bytes(),
                true,
            );
        }
    }

    pub fn leave(&mut self, local: LocalTime) {
        let me = self.id.clone();
        if let Some(document) = &mut self.document {
            document.members.retain(|member| *member != me);
            document.version += 1;
        }
        self.publish();
        if self.generation == Generation::Running {
            self.say(self.ready_topic(), Vec::new(), true);
            let notice = format!(
                r#"{{"clientId": "{me}", "assigned_player_name": null, "timestamp": "{local}"}}"#
            );
            self.say(
                format!("{SESSION}/session_player_disconnect/{me}"),
                notice.into_bytes(),
                false,
            );
        }
        self.has_left = true;
    }
}

/// A world with originals in it.
pub struct Mixed {
    pub world: World,
    pub originals: Vec<Original>,
}

impl Mixed {
    pub fn new(seed: u64) -> Self {
        Self {
            world: World::new(seed),
            originals: Vec::new(),
        }
    }

    pub fn add(&mut self, generation: Generation, is_creator: bool) -> usize {
        let at = self.originals.len();
        let mut original = Original::new(
            &format!("h{at:03}"),
            generation,
            is_creator,
            self.world.now_ms,
        );
        original.connected(self.world.moment(usize::MAX).local);
        self.world.broker.connect(ORIGINALS + at, None);
        self.originals.push(original);
        self.send();
        at
    }

    pub fn send(&mut self) {
        for (at, original) in self.originals.iter_mut().enumerate() {
            if let Some(link) = self.world.broker.links.get_mut(&(ORIGINALS + at)) {
                link.up.extend(original.up.drain(..));
            }
        }
    }

    /// One thing on one link.
    fn step(&mut self) -> bool {
        let total = self.world.clients.len() + self.originals.len();
        let is_original =
            self.world.random.below(total as u64) as usize >= self.world.clients.len();
        if !(is_original && self.step_original()) {
            return self.world.step() || self.step_original();
        }
        true
    }

    fn step_original(&mut self) -> bool {
        let count = self.originals.len();
        let first = self.world.random.below(count.max(1) as u64) as usize;
        for turn in 0..count {
            let at = (first + turn) % count;
            let client = ORIGINALS + at;
            let prefers_up = self.world.random.below(2) == 0;
            if prefers_up && self.world.broker.step_up(client) {
                return true;
            }
            let link = self.world.broker.links.get_mut(&client);
            if let Some(down) = link.and_then(|link| link.down.pop_front()) {
                self.originals[at].message(&down, self.world.now_ms);
                self.send();
                return true;
            }
            if self.world.broker.step_up(client) {
                return true;
            }
        }
        false
    }

    /// Everything arrives on the links that are whole, for so long.
    pub fn settle(&mut self, ms: u64) {
        let until_ms = self.world.now_ms + ms;
        while self.world.now_ms < until_ms {
            while self.step() {}
            self.world.pass(50);
            self.world.now_ms += 1;
            let local = self.world.moment(usize::MAX).local;
            let now_ms = self.world.now_ms;
            for original in &mut self.originals {
                original.tick(now_ms, local);
            }
            self.send();
        }
        while self.step() {}
    }

    pub fn all(&self) -> BTreeSet<String> {
        let originals = self.originals.iter().filter(|original| !original.has_left);
        let mut all: BTreeSet<_> = originals.map(|one| one.id.clone()).collect();
        all.extend(self.world.alive_in());
        all
    }
}
