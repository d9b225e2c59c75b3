//! What every process of a run shares: time, randomness, the network, and what is written down.

use std::collections::BTreeMap;

use distflow_core::error::{Error, ErrorKind};
use distflow_core::ids::Rng;
use distflow_core::time::Now;

use crate::ledger::Ledger;
use crate::network::{ConnIx, Network, Site};
use crate::queue::{Dial, Event, MS, Pid, Queue, SECOND};

/// Unix time at the start of every run.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// Something a process can go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    Accepted(ConnIx),
    Dialled(ConnIx, Dial),
    Readable(ConnIx),
    Writable(ConnIx),
    Launched(bool),
    /// The process' own note to itself.
    Own(u64),
}

/// What the kernel knows of a process.
#[derive(Debug)]
pub struct Meta {
    pub site: Site,
    pub alive: bool,
    pub frozen: bool,
    /// The slot whose application it runs; none for the PMD.
    pub slot: Option<usize>,
    /// Its metadata, unlike that of any other process of its id.
    pub says: Option<Box<str>>,
    /// Port it listens on.
    pub port: u16,
    /// When its start succeeded.
    pub started_us: Option<u64>,
    /// Asked to end.
    pub stopping: bool,
    /// It believes to be registered, over this connection.
    pub registered_over: Option<ConnIx>,
    pub ready: Vec<Ready>,
    turn_queued: bool,
    timer_at_us: Option<u64>,
    ticks_at_ms: (u64, u32),
}

/// Since when a site has been left in peace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Health {
    active: u32,
    last_us: u64,
    /// What it gets until then may be old news.
    late_until_us: u64,
}

pub struct Env {
    pub now_us: u64,
    pub queue: Queue,
    pub rng: Rng,
    pub net: Network,
    pub ledger: Ledger,
    pub meta: Vec<Meta>,
    /// The node id of each process.
    pub ids: Vec<String>,
    pub port_sites: BTreeMap<u16, Site>,
    pub health: Vec<Health>,
    /// Until when the registry may rightly believe that a process left.
    pub excuse_until_us: Vec<u64>,
    /// Since when the PMD is down or frozen.
    pub pmd_away_since_us: Option<u64>,
    /// The process that runs in each slot.
    pub current: Vec<Option<Pid>>,
    /// Until when an alias may rightly be held by a slot's earlier process.
    pub haunted_until_us: Vec<u64>,
    pub failure: Option<String>,
    pub verbose: bool,
    hash: u64,
    pub steps: u64,
}

impl Env {
    pub fn new(seed: u64, sites: usize, verbose: bool) -> Self {
        Self {
            now_us: 0,
            queue: Queue::default(),
            rng: Rng::new(seed),
            net: Network::default(),
            ledger: Ledger::default(),
            meta: Vec::new(),
            ids: Vec::new(),
            port_sites: BTreeMap::new(),
            health: vec![Health::default(); sites],
            excuse_until_us: Vec::new(),
            pmd_away_since_us: None,
            current: vec![None; sites],
            haunted_until_us: vec![0; sites],
            failure: None,
            verbose,
            hash: 0xcbf2_9ce4_8422_2325,
            steps: 0,
        }
    }

    pub fn now(&self) -> Now {
        Now {
            mono_ms: self.now_us / MS,
            wall_ms: EPOCH_MS + self.now_us / MS,
        }
    }

    pub fn at(&mut self, in_us: u64, event: Event) {
        self.queue.push(self.now_us + in_us, event);
    }

    /// Whether something of that probability happens.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    /// A number in a range, the upper end included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.rng.below(high - low + 1)
    }

    // ------------------------------------------------------------------ the trace

    /// Adds numbers to the run's hash: two runs of a seed must agree on all of them.
    pub fn note(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3);
            self.hash ^= self.hash >> 29;
        }
    }

    pub fn note_bytes(&mut self, bytes: &[u8]) {
        let sum = bytes
            .iter()
            .fold(0u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
        self.note(&[bytes.len() as u64, sum]);
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn log(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("{:>12.3} ms  {}", self.now_us as f64 / 1_000.0, text());
        }
    }

    /// A promise is broken. The first one is kept; the run ends.
    pub fn fail(&mut self, text: impl FnOnce() -> String) {
        if self.failure.is_none() {
            let text = format!("at {} ms: {}", self.now_us / MS, text());
            self.log(|| format!("FAILED {text}"));
            self.failure = Some(text);
        }
    }

    // ------------------------------------------------------------------ processes

    pub fn spawn(&mut self, site: Site) -> Pid {
        self.meta.push(Meta {
            site,
            alive: true,
            frozen: false,
            slot: None,
            says: None,
            port: 0,
            started_us: None,
            stopping: false,
            registered_over: None,
            ready: Vec::new(),
            turn_queued: false,
            timer_at_us: None,
            ticks_at_ms: (0, 0),
        });
        self.excuse_until_us.push(0);
        self.ids.push(String::new());
        self.meta.len() - 1
    }

    pub fn listen(&mut self, pid: Pid, port: u16) {
        self.net.listeners.insert(port, pid);
        self.meta[pid].port = port;
        self.port_sites.insert(port, self.meta[pid].site);
    }

    /// The process is gone; its sockets are closed separately.
    pub fn bury(&mut self, pid: Pid) {
        let meta = &mut self.meta[pid];
        meta.alive = false;
        meta.ready.clear();
        self.net.listeners.retain(|_, listener| *listener != pid);
    }

    /// Tells a process that it can go on with something.
    pub fn wake(&mut self, pid: Pid, ready: Ready) {
        let Some(meta) = self.meta.get_mut(pid) else {
            return;
        };
        if meta.alive && !meta.ready.contains(&ready) {
            meta.ready.push(ready);
            self.schedule_turn(pid);
        }
    }

    pub fn schedule_turn(&mut self, pid: Pid) {
        let meta = &mut self.meta[pid];
        if meta.alive && !meta.frozen && !meta.turn_queued && !meta.ready.is_empty() {
            meta.turn_queued = true;
            let in_us = self.rng.below(600);
            self.at(in_us, Event::Turn(pid));
        }
    }

    /// Whether the process may run now, at the moment its turn comes.
    pub fn begin_turn(&mut self, pid: Pid) -> bool {
        let meta = &mut self.meta[pid];
        meta.turn_queued = false;
        meta.alive && !meta.frozen
    }

    /// One thing that is ready, in no particular order; but that a connection is there comes
    /// before what happens on it.
    pub fn take_ready(&mut self, pid: Pid) -> Option<Ready> {
        let count = self.meta[pid].ready.len();
        if count == 0 {
            return None;
        }
        let at = self.rng.below(count as u64) as usize;
        let ready = &mut self.meta[pid].ready;
        let first = match ready[at] {
            Ready::Readable(conn) | Ready::Writable(conn) => ready
                .iter()
                .position(|other| matches!(other, Ready::Dialled(dialled, _) if *dialled == conn)),
            _ => None,
        };
        Some(ready.swap_remove(first.unwrap_or(at)))
    }

    pub fn arm(&mut self, pid: Pid, deadline_ms: Option<u64>) {
        let Some(deadline_ms) = deadline_ms.filter(|_| self.meta[pid].alive) else {
            return;
        };
        let at_us = (deadline_ms * MS).max(self.now_us);
        if self.meta[pid].timer_at_us.is_none_or(|at| at > at_us) {
            self.meta[pid].timer_at_us = Some(at_us);
            let late_us = self.rng.below(400);
            self.queue.push(at_us + late_us, Event::Timer(pid));
        }
    }

    /// Whether the process' timer counts now. Frozen ones look at it when they go on.
    pub fn timer(&mut self, pid: Pid) -> bool {
        let meta = &mut self.meta[pid];
        meta.timer_at_us = None;
        meta.alive && !meta.frozen
    }

    /// A machine that wants to be ticked again and again at one moment spins.
    pub fn note_tick(&mut self, pid: Pid) {
        let now_ms = self.now_us / MS;
        let ticks = &mut self.meta[pid].ticks_at_ms;
        *ticks = if ticks.0 == now_ms {
            (now_ms, ticks.1 + 1)
        } else {
            (now_ms, 1)
        };
        if ticks.1 > 50 {
            self.fail(|| format!("process {pid} spins: its deadline stays in the past"));
        }
    }

    // ------------------------------------------------------------------ health

    pub fn disturb(&mut self, site: Site) {
        self.health[site].active += 1;
        self.health[site].last_us = self.now_us;
    }

    pub fn relieve(&mut self, site: Site) {
        let health = &mut self.health[site];
        health.active = health.active.saturating_sub(1);
        health.last_us = self.now_us;
        health.late_until_us = self.now_us + 2 * SECOND;
    }

    /// A fault without duration.
    pub fn jolt(&mut self, site: Site) {
        self.health[site].last_us = self.now_us;
    }

    /// Whether nothing was done to a site since that moment.
    pub fn is_quiet(&self, site: Site, since_us: u64) -> bool {
        self.health[site].active == 0 && self.health[site].last_us <= since_us
    }

    /// Whether what reaches a site may have happened long ago.
    pub fn is_late(&self, site: Site) -> bool {
        let health = &self.health[site];
        health.active > 0 || health.late_until_us > self.now_us
    }

    /// Allows the registry to lose a process until then; while the PMD is away, until it has
    /// had the time to notice.
    pub fn excuse(&mut self, pid: Pid, for_us: u64) {
        let until = self.now_us.saturating_add(for_us);
        self.excuse_until_us[pid] = self.excuse_until_us[pid].max(until);
    }

    pub fn is_excused(&self, pid: Pid) -> bool {
        self.excuse_until_us[pid] >= self.now_us
    }

    /// The PMD is back: what happened meanwhile shows only now.
    pub fn extend_excuses(&mut self, since_us: u64, for_us: u64) {
        let until = self.now_us + for_us;
        for excuse in &mut self.excuse_until_us {
            if *excuse >= since_us && *excuse > 0 {
                *excuse = (*excuse).max(until);
            }
        }
    }
}

/// An error of the network, as a shell reports it.
pub fn broken() -> Error {
    Error::new(ErrorKind::ConnectionFailed, "the connection broke")
}
