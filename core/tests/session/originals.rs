//! Peers that behave as mqtt-session.md describes the originals, of both generations, beside ours; and
//! what they do among themselves, as a control: the same tests have to fail there.

use distflow_core::session::seat::{CreateOptions, Ending, Event};
use distflow_core::session::{Document, LocalTime, State, Vocabulary};

use crate::broker::{Down, Up};
use crate::world::{SESSION, World, name};

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
    has_left: bool,
    up: Vec<Up>,
}

impl Original {
    fn new(id: &str, generation: Generation, is_creator: bool, now_ms: u64) -> Self {
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
            up: Vec::new(),
        }
    }

    fn state_topic(&self) -> String {
        match self.generation {
            Generation::Planned => format!("session_state/{SESSION}"),
            Generation::Running => format!("{SESSION}/session_state"),
        }
    }

    fn say(&mut self, topic: String, payload: Vec<u8>, retain: bool) {
        self.up.push(Up::Publish {
            topic,
            payload,
            retain,
        });
    }

    fn publish(&mut self) {
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

    fn ready_topic(&self) -> String {
        format!("{SESSION}/session_instance_ready/{}", self.id)
    }

    fn connected(&mut self, local: LocalTime) {
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

    fn message(&mut self, down: &Down, now_ms: u64) {
        if down.payload.is_empty() || down.topic != self.state_topic() {
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

    fn tick(&mut self, now_ms: u64, local: LocalTime) {
        if self.has_left {
            return;
        }
        if self.is_creator && now_ms >= self.heartbeat_at_ms && !self.has_closed {
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

    fn leave(&mut self, local: LocalTime) {
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
struct Mixed {
    world: World,
    originals: Vec<Original>,
}

impl Mixed {
    fn new(seed: u64) -> Self {
        Self {
            world: World::new(seed),
            originals: Vec::new(),
        }
    }

    fn add(&mut self, generation: Generation, is_creator: bool) -> usize {
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

    fn send(&mut self) {
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

    fn settle(&mut self, ms: u64) {
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

    fn all(&self) -> std::collections::BTreeSet<String> {
        let originals = self.originals.iter().filter(|original| !original.has_left);
        let mut all: std::collections::BTreeSet<_> = originals.map(|one| one.id.clone()).collect();
        all.extend(self.world.alive_in());
        all
    }
}

fn big() -> CreateOptions {
    CreateOptions {
        players_max: 30,
        ..CreateOptions::default()
    }
}

#[test]
fn originals_join_our_sessions_and_leave_them() {
    for seed in 0..100 {
        let mut mixed = Mixed::new(seed);
        mixed.world.create(&big());
        mixed.settle(100);
        mixed.world.join();
        for generation in [
            Generation::Running,
            Generation::Planned,
            Generation::Running,
        ] {
            mixed.add(generation, false);
        }
        mixed.world.join();
        mixed.settle(3_000);
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        assert_eq!(mixed.all().len(), 6);
        // Everybody sees everybody.
        for original in &mixed.originals {
            let members = &original.document.as_ref().unwrap().members;
            assert_eq!(members.len(), 6, "seed {seed}: {}", original.id);
        }
        for at in 0..2 {
            let local = mixed.world.moment(usize::MAX).local;
            mixed.originals[at].leave(local);
            mixed.send();
            mixed.settle(3_000);
            assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        }
        assert!(
            mixed
                .world
                .has(1, |event| *event == Event::MemberLeft("h000".into()))
        );
        mixed.settle(30_000);
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
    }
}

#[test]
fn ours_join_sessions_of_originals_and_leave_them() {
    for seed in 0..100 {
        let mut mixed = Mixed::new(seed);
        mixed.add(Generation::Running, true);
        mixed.settle(200);
        mixed.world.join();
        mixed.world.join();
        mixed.settle(8_000);
        mixed.add(Generation::Running, false);
        mixed.settle(8_000);
        for member in [0, 1] {
            assert!(
                mixed.world.has(member, |event| *event == Event::Joined),
                "seed {seed}"
            );
        }
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        assert_eq!(mixed.all().len(), 4);
        assert_eq!(
            mixed.originals[0].document.as_ref().unwrap().members.len(),
            4
        );
        mixed.world.leave(0);
        mixed.settle(8_000);
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        assert!(
            mixed
                .world
                .has(1, |event| *event == Event::MemberLeft(name(0)))
        );
    }
}

#[test]
fn ours_notice_when_an_original_creator_dies_and_originals_when_ours_does() {
    let mut mixed = Mixed::new(1);
    mixed.add(Generation::Running, true);
    mixed.settle(200);
    mixed.world.join();
    mixed.settle(8_000);
    mixed.originals[0].has_left = true;
    mixed.world.broker.cut(ORIGINALS);
    let at_ms = mixed.world.now_ms;
    mixed.settle(25_000);
    let lost = Event::Ended(Ending::CreatorLost);
    let when = mixed.world.when(0, |event| *event == lost).unwrap();
    assert!(when <= at_ms + 20_000, "{}", when - at_ms);

    let mut mixed = Mixed::new(1);
    mixed.world.create(&big());
    mixed.settle(100);
    mixed.add(Generation::Running, false);
    mixed.settle(12_000);
    mixed.world.kill(0);
    mixed.settle(20_000);
    assert!(mixed.originals[0].has_closed);
}

#[test]
fn an_original_that_closes_our_session_ends_it_for_all() {
    let mut mixed = Mixed::new(1);
    mixed.world.create(&big());
    mixed.settle(100);
    mixed.world.join();
    mixed.add(Generation::Running, false);
    mixed.settle(3_000);
    let document = mixed.originals[0].document.as_mut().unwrap();
    document.state = Some(State::Closed);
    document.version += 1;
    mixed.originals[0].publish();
    mixed.send();
    mixed.settle(30_000);
    for client in [0, 1] {
        assert!(
            mixed
                .world
                .has(client, |event| matches!(event, Event::Ended(_))),
            "{client}"
        );
    }
}

/// How many of so many that join at once are in the document afterwards.
fn storm(seed: u64, joiners: usize, is_ours: bool) -> usize {
    let mut mixed = Mixed::new(seed);
    if is_ours {
        mixed.world.create(&big());
    } else {
        mixed.add(Generation::Running, true);
    }
    mixed.settle(200);
    for _ in 0..joiners {
        if is_ours {
            mixed.world.join();
        } else {
            mixed.add(Generation::Running, false);
        }
    }
    mixed.settle(3_000);
    mixed.world.members().len() - 1
}

#[test]
fn ten_that_join_at_once_are_all_in_and_without_us_they_are_not() {
    let mut lost = 0;
    for seed in 0..50 {
        assert_eq!(storm(seed, 10, true), 10, "seed {seed}");
        lost += 10 - storm(seed, 10, false);
    }
    assert!(lost > 0, "the control has to fail");
}

#[test]
fn originals_stay_when_ours_hands_over() {
    for seed in 0..20 {
        let mut mixed = Mixed::new(seed);
        mixed.world.create(&CreateOptions {
            hand_over: true,
            ..big()
        });
        mixed.settle(100);
        mixed.world.join();
        mixed.add(Generation::Running, false);
        mixed.settle(3_000);
        assert_eq!(mixed.all().len(), 3, "seed {seed}");
        let now = mixed.world.moment(0);
        mixed.world.clients[0].seat.hand_over(None, now).unwrap();
        mixed.world.pump(0);
        mixed.settle(60_000);
        assert_eq!(mixed.world.document().unwrap().creator, name(1));
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        assert_eq!(mixed.all().len(), 3, "seed {seed}");
    }
}
