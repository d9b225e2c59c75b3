//! Seats on a simulated broker, with a clock of their own, and what must hold of them at any time.

use std::collections::{BTreeMap, BTreeSet};

use distflow_core::session::seat::{CreateOptions, Event, Seat, Timing};
use distflow_core::session::{Document, LocalTime, Moment};

use crate::broker::{Broker, Up};

pub const SESSION: &str = "s-1";

/// Numbers that look random and can be had again (SplitMix64).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

pub struct Client {
    pub seat: Seat,
    pub events: Vec<(u64, Event)>,
    /// Whether its process lives.
    pub is_alive: bool,
    /// Whether it wants to be in the session.
    pub wants_in: bool,
    /// By how many hours its wall clock differs.
    pub hours: i64,
    was_closed: bool,
}

pub struct World {
    pub broker: Broker,
    pub clients: Vec<Client>,
    pub now_ms: u64,
    pub random: Random,
    pub timing: Timing,
    creators: BTreeMap<u64, String>,
    looked_at: usize,
    /// Whether two creators of one term are excused: the broker has lost a claim.
    pub is_amnesic: bool,
    /// What the clocks show beside their hours.
    pub step_us: i64,
}

pub fn name(client: usize) -> String {
    format!("c{client:03}")
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            broker: Broker::default(),
            clients: Vec::new(),
            now_ms: 1_000,
            random: Random(seed),
            timing: Timing::default(),
            creators: BTreeMap::new(),
            looked_at: 0,
            is_amnesic: false,
            step_us: 0,
        }
    }

    pub fn moment(&self, client: usize) -> Moment {
        let hours = self.clients.get(client).map_or(0, |client| client.hours);
        let us = 1_800_000_000_000_000 + self.now_ms as i64 * 1_000 + hours * 3_600_000_000;
        Moment {
            mono_ms: self.now_ms,
            local: LocalTime(us + self.step_us),
            offset_s: (hours * 3_600) as i32,
        }
    }

    fn add(&mut self, seat: Seat) -> usize {
        self.clients.push(Client {
            seat,
            events: Vec::new(),
            is_alive: true,
            wants_in: true,
            hours: 0,
            was_closed: false,
        });
        let client = self.clients.len() - 1;
        self.connect(client);
        client
    }

    pub fn create(&mut self, options: &CreateOptions) -> usize {
        let me = name(self.clients.len());
        let random = self.random.below(u64::MAX);
        let now = self.moment(usize::MAX);
        self.add(Seat::create(SESSION, &me, options, self.timing, random, now).unwrap())
    }

    pub fn join(&mut self) -> usize {
        let me = name(self.clients.len());
        let random = self.random.below(u64::MAX);
        self.add(Seat::join(SESSION, &me, self.timing, random).unwrap())
    }

    pub fn connect(&mut self, client: usize) {
        let now = self.moment(client);
        let seat = &mut self.clients[client].seat;
        self.broker.connect(client, seat.will_topic());
        seat.connected(now);
        self.pump(client);
    }

    /// What comes now is another session of the same id.
    pub fn begin_another(&mut self) {
        self.creators.clear();
    }

    /// The connection breaks; the process lives.
    pub fn cut(&mut self, client: usize) {
        self.broker.cut(client);
        let now = self.moment(client);
        self.clients[client].seat.disconnected(now);
        self.pump(client);
    }

    /// The process ends without a word.
    pub fn kill(&mut self, client: usize) {
        self.clients[client].is_alive = false;
        self.clients[client].wants_in = false;
        self.broker.cut(client);
    }

    /// The process stands still; its connection stays.
    pub fn freeze(&mut self, client: usize) {
        self.clients[client].is_alive = false;
    }

    pub fn restart_broker(&mut self, keeps: bool) {
        self.broker.restart(keeps);
        self.is_amnesic |= !keeps;
        for client in 0..self.clients.len() {
            let now = self.moment(client);
            self.clients[client].seat.disconnected(now);
            self.pump(client);
        }
    }

    pub fn leave(&mut self, client: usize) {
        let now = self.moment(client);
        self.clients[client].wants_in = false;
        self.clients[client].seat.leave(now);
        self.pump(client);
    }

    /// What the seat wants goes on the link; what happened is written down.
    pub fn pump(&mut self, client: usize) {
        let one = &mut self.clients[client];
        if !one.is_alive {
            return;
        }
        while let Some(action) = one.seat.pop_action() {
            if let Some(link) = self.broker.links.get_mut(&client) {
                link.up.push_back(Up::from(action));
            }
        }
        while let Some(event) = one.seat.pop_event() {
            let is_last = |event: &Event| {
                matches!(
                    event,
                    Event::Ended(_) | Event::Refused(_) | Event::Failed(_)
                )
            };
            let before = one.events.last().map(|(_, event)| event);
            assert!(
                !before.is_some_and(is_last),
                "client {client} says {event:?} after {before:?}"
            );
            if is_last(&event) {
                one.wants_in = false;
            }
            one.events.push((self.now_ms, event));
        }
        // Closed is final.
        let is_closed = one.seat.document().is_some_and(Document::is_closed);
        assert!(
            is_closed || !one.was_closed,
            "client {client} opened a closed session again"
        );
        one.was_closed = is_closed;
        if one.seat.is_over() && one.is_alive && self.broker.links.contains_key(&client) {
            self.broker.disconnect(client);
            one.is_alive = false;
            self.look();
        }
    }

    /// One message on one of the seats' links, in one direction; whether there was any.
    pub fn step(&mut self) -> bool {
        let mut ready = Vec::new();
        let ours = self.clients.len();
        for (client, link) in self.broker.links.range(..ours) {
            if !link.up.is_empty() {
                ready.push((*client, true));
            }
            if !link.down.is_empty() {
                ready.push((*client, false));
            }
        }
        if ready.is_empty() {
            return false;
        }
        let (client, is_up) = ready[self.random.below(ready.len() as u64) as usize];
        if is_up {
            self.broker.step_up(client);
            self.look();
            return true;
        }
        let down = self
            .broker
            .links
            .get_mut(&client)
            .and_then(|link| link.down.pop_front());
        if let Some(down) = down {
            let now = self.moment(client);
            let seat = &mut self.clients[client].seat;
            seat.message(&down.topic, &down.payload, down.retained, now);
            self.pump(client);
        }
        true
    }

    /// What creators publish: never more than there is room for, and one creator for each term.
    fn look(&mut self) {
        for (topic, payload) in &self.broker.published[self.looked_at..] {
            if !topic.ends_with("/session_state") || payload.is_empty() {
                continue;
            }
            let document = Document::parse(payload, 0).unwrap();
            let Some(writer) = &document.writer else {
                continue;
            };
            if writer.instance != document.creator || document.is_closed() {
                continue;
            }
            let count = document.members.len();
            assert!(count <= document.players_max as usize, "{count} members");
            let unique: BTreeSet<&String> = document.members.iter().collect();
            assert_eq!(unique.len(), count, "a member twice");
            let known = self
                .creators
                .entry(writer.term)
                .or_insert(document.creator.clone());
            assert!(
                *known == document.creator || self.is_amnesic,
                "term {} has {} and {}",
                writer.term,
                known,
                document.creator
            );
        }
        self.looked_at = self.broker.published.len();
    }

    /// Time passes, up to the next thing that anybody has to do.
    pub fn pass(&mut self, at_most_ms: u64) {
        let deadlines = self.clients.iter().filter(|client| client.is_alive);
        let next = deadlines
            .filter_map(|client| client.seat.deadline_ms())
            .min();
        let until_ms = self.now_ms + at_most_ms;
        self.now_ms = next.unwrap_or(until_ms).clamp(self.now_ms, until_ms);
        for client in 0..self.clients.len() {
            if self.clients[client].is_alive {
                let now = self.moment(client);
                let is_due = self.clients[client].seat.deadline_ms();
                self.clients[client].seat.tick(now);
                self.pump(client);
                let is_due_again = self.clients[client].seat.deadline_ms();
                assert!(
                    is_due.is_none_or(|due| due > self.now_ms) || is_due_again != is_due,
                    "client {client} has a deadline that is over: {is_due:?} at {}, {:?}",
                    self.now_ms,
                    self.clients[client].seat
                );
            }
        }
    }

    /// All links are whole, and everything arrives, for so long.
    pub fn settle(&mut self, ms: u64) {
        for client in 0..self.clients.len() {
            let one = &self.clients[client];
            if one.is_alive && !self.broker.links.contains_key(&client) {
                self.connect(client);
            }
        }
        self.elapse(ms);
    }

    /// Everything arrives on the links that are whole, for so long.
    pub fn elapse(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while self.now_ms < until_ms {
            while self.step() {}
            self.pass(until_ms - self.now_ms);
            self.now_ms += 1;
        }
        while self.step() {}
    }

    pub fn document(&self) -> Option<Document> {
        let payload = self
            .broker
            .retained
            .get(&format!("{SESSION}/session_state"))?;
        Some(Document::parse(payload, 0).unwrap())
    }

    pub fn members(&self) -> BTreeSet<String> {
        let members = self
            .document()
            .map(|document| document.members)
            .unwrap_or_default();
        members.into_iter().collect()
    }

    /// Who is alive and in, as each of them sees it.
    pub fn alive_in(&self) -> BTreeSet<String> {
        let is_in = |client: &&Client| client.is_alive && client.seat.is_in();
        let clients = self.clients.iter().filter(is_in);
        clients
            .map(|client| client.seat.instance().to_owned())
            .collect()
    }

    pub fn has(&self, client: usize, wanted: impl Fn(&Event) -> bool) -> bool {
        self.clients[client]
            .events
            .iter()
            .any(|(_, event)| wanted(event))
    }

    pub fn when(&self, client: usize, wanted: impl Fn(&Event) -> bool) -> Option<u64> {
        let found = self.clients[client]
            .events
            .iter()
            .find(|(_, event)| wanted(event));
        found.map(|(at_ms, _)| *at_ms)
    }
}
