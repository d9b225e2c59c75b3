//! A run: processes come and go, time passes, and in the end everything must be right.

use distflow_core::names::{Alias, Host, NodeId};
use distflow_core::node_state::Config;
use distflow_core::registry;
use distflow_core::wire::pmd::Register;

use crate::checks::Check;
use crate::env::{Env, Ready};
use crate::faults::Fault;
use crate::node_process::{NodeProcess, NodeSetup};
use crate::plan::Plan;
use crate::pmd_process::PmdProcess;
use crate::queue::{Event, MS, Pid, SECOND};
use crate::raw_client::RawClient;

pub enum Process {
    Pmd(Box<PmdProcess>),
    Node(Box<NodeProcess>),
    Raw(Box<RawClient>),
}

/// What remains of a slot's past.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    pub births: u64,
    /// A process of it ended, so its messages can't be accounted for exactly.
    pub ended: bool,
    restart_queued: bool,
}

pub struct World {
    pub env: Env,
    pub plan: Plan,
    pub procs: Vec<Process>,
    pub slots: Vec<Slot>,
    pub pmd: Option<Pid>,
    pmd_births: u64,
    /// Applications have stopped; what is left has to settle.
    calm: bool,
}

/// Faults have ended this long after the last one began.
const FAULTS_OVER_US: u64 = 21 * SECOND;
/// Then everything converges within this.
const CONVERGES_US: u64 = 16 * SECOND;
/// Time for the last messages.
const LAST_WORDS_US: u64 = 15 * SECOND;

impl World {
    pub fn new(seed: u64, verbose: bool) -> Self {
        let plan = Plan::new(seed);
        let sites = 1 + plan.slots.len() + plan.raws;
        let mut env = Env::new(seed, sites, verbose);
        env.log(|| format!("seed {seed}: {plan:#?}"));
        env.net.params = Some(plan.net.clone());
        for &(at_us, kind) in &plan.faults {
            env.queue.push(at_us, Event::Fault(Fault(kind)));
        }
        Self {
            env,
            procs: Vec::new(),
            slots: vec![Slot::default(); plan.slots.len()],
            plan,
            pmd: None,
            pmd_births: 0,
            calm: false,
        }
    }

    /// Runs to the end or to the first broken promise.
    pub fn run(&mut self) {
        if self.plan.pmd_first || !self.plan.slots.iter().any(|slot| slot.may_launch) {
            self.start_pmd(false);
        }
        for slot in 0..self.plan.slots.len() {
            let in_us = self.env.rng.below(1_500 * MS);
            self.queue_restart(slot, in_us);
            self.env.at(SECOND, Event::Work(slot));
        }
        for raw in 0..self.plan.raws {
            self.start_raw(self.plan.slots.len() + raw);
        }
        let mut until_us = self.plan.chaos_us + FAULTS_OVER_US;
        self.go(until_us);
        self.calm_down();
        until_us += CONVERGES_US;
        self.go(until_us);
        self.say_last_words();
        until_us += LAST_WORDS_US;
        self.go(until_us);
        if self.env.failure.is_none() {
            self.check_rest();
        }
    }

    fn go(&mut self, until_us: u64) {
        while self.env.failure.is_none() {
            let Some((at_us, event)) = self.env.queue.pop(until_us) else {
                break;
            };
            self.env.now_us = at_us;
            self.env.steps += 1;
            self.dispatch(event);
        }
        self.env.now_us = until_us.max(self.env.now_us);
    }

    fn dispatch(&mut self, event: Event) {
        let env = &mut self.env;
        env.note(&[env.now_us]);
        match event {
            Event::Arrive(conn, side, segment) => {
                env.note(&[1, conn as u64, side as u64]);
                env.arrive(conn, side, segment);
            }
            Event::Syn(conn, attempt) => env.syn(conn, attempt),
            Event::Dialled(conn, dial) => env.dialled(conn, dial),
            Event::Room(conn, side) => env.room(conn, side),
            Event::Silence(conn, side, number) => env.silence(conn, side, number),
            Event::Turn(pid) => self.turn(pid),
            Event::Timer(pid) => self.tick(pid),
            Event::Reap(pid) => env.reap(pid),
            Event::Launched(pid) => self.launched(pid),
            Event::Work(slot) => self.work(slot),
            Event::Consume(pid) => self.consume(pid),
            Event::Restart(slot) => self.queue_restart(slot, 0),
            Event::RestartPmd => self.start_pmd(false),
            Event::Fault(fault) => self.inflict(fault),
            Event::Heal(a, b, number) => self.heal(a, b, number),
            Event::Thaw(pid) => self.thaw(pid),
            Event::Check(check) => self.check(&check),
            Event::Birth(slot) => self.start_node(slot),
        }
    }

    // ------------------------------------------------------------------ processes

    fn turn(&mut self, pid: Pid) {
        if !self.env.begin_turn(pid) {
            return;
        }
        let Self { env, procs, .. } = self;
        env.note(&[2, pid as u64]);
        match &mut procs[pid] {
            Process::Pmd(pmd) => pmd.turn(env),
            Process::Node(node) => node.turn(env),
            Process::Raw(raw) => raw.turn(env),
        }
        self.after(pid);
    }

    fn tick(&mut self, pid: Pid) {
        if !self.env.timer(pid) {
            return;
        }
        let Self { env, procs, .. } = self;
        env.note(&[3, pid as u64]);
        match &mut procs[pid] {
            Process::Pmd(pmd) => pmd.tick(env),
            Process::Node(node) => node.tick(env),
            Process::Raw(_) => {}
        }
        self.after(pid);
    }

    fn after(&mut self, pid: Pid) {
        self.after_node(pid);
        if let Process::Pmd(pmd) = &self.procs[pid]
            && pmd.stopped
            && self.pmd == Some(pid)
        {
            self.env.log(|| format!("PMD {pid} ends by itself"));
            self.pmd = None;
            self.pmd_is_gone(pid);
        }
    }

    /// A node that ended by itself is started again.
    pub fn after_node(&mut self, pid: Pid) {
        let Process::Node(node) = &self.procs[pid] else {
            return;
        };
        if !node.stopped || self.slots[node.setup.slot].restart_queued {
            return;
        }
        if self.env.current[node.setup.slot] != Some(pid) {
            return;
        }
        let (slot, failed) = (node.setup.slot, node.start_error.is_some());
        if !failed && !node.stopping {
            self.env.fail(|| format!("process {pid} ended by itself"));
        }
        let waiting = self.env.ledger.waiting_calls(pid).len();
        if waiting > 0 {
            self.env
                .fail(|| format!("process {pid} ended, but {waiting} of its calls did not"));
        }
        self.slots[slot].ended = true;
        let in_us = self.env.between(5, 2_000) * MS;
        self.queue_restart(slot, in_us);
    }

    /// A process ends without being asked.
    pub fn bury(&mut self, slot: usize, pid: Pid) {
        self.slots[slot].ended = true;
        self.env.bury(pid);
        self.env.ledger.bury(pid);
    }

    fn queue_restart(&mut self, slot: usize, in_us: u64) {
        if !std::mem::replace(&mut self.slots[slot].restart_queued, true) {
            self.env.at(in_us, Event::Birth(slot));
        }
    }

    fn start_node(&mut self, slot: usize) {
        self.slots[slot].restart_queued = false;
        let before = self.env.current[slot];
        if before.is_some_and(|pid| self.env.meta[pid].alive) {
            return;
        }
        let births = self.slots[slot].births;
        self.slots[slot].births += 1;
        let setup = self.setup(slot, births);
        let id = setup.config.node.node_id.as_str().to_owned();
        let pid = self.env.spawn(slot + 1);
        self.env
            .log(|| format!("start process {pid}: {id} at {}", setup.config.node.port));
        self.env.ids[pid] = id;
        self.env.meta[pid].slot = Some(slot);
        self.env.meta[pid].says = setup.config.node.meta.clone();
        if let Some(before) = before {
            // What was done to the site is not over because of a new process.
            self.env.excuse_until_us[pid] = self.env.excuse_until_us[before];
        }
        self.env.current[slot] = Some(pid);
        let node = NodeProcess::new(pid, setup, &mut self.env);
        self.procs.push(Process::Node(Box::new(node)));
    }

    fn setup(&mut self, slot: usize, births: u64) -> NodeSetup {
        let plan = self.plan.slots[slot].clone();
        let id = if plan.fixed_id {
            format!("s{slot}")
        } else {
            format!("s{slot}x{births}")
        };
        let node = Register {
            node_id: NodeId::new(id).unwrap(),
            alias: Some(Alias::new(&plan.alias).unwrap()),
            host: Host::new("localhost").unwrap(),
            port: self.free_port(slot, plan.fixed_port),
            caps: plan.opens.then(|| "[\"link\"]".into()),
            // Every process has something of its own to say.
            meta: Some(format!("{{\"birth\":{births}}}").into()),
            session: None,
        };
        // The clock of a run that is later shows more.
        let incarnation = 1_000 + self.env.now_us;
        let mut config = Config::new(node, incarnation, self.env.rng.next_u64());
        config.heartbeat_ms = plan.heartbeat.then_some(1_000);
        config.may_launch = plan.may_launch;
        config.queue_bytes_max = plan.queue_bytes_max;
        NodeSetup {
            slot,
            config,
            mailbox: plan.mailbox,
            opens: plan.opens && self.plan.original_pmds == 0,
            consume_us: plan.consume_us,
        }
    }

    /// A port of few, so that the next process soon gets one that others still remember.
    fn free_port(&mut self, slot: usize, fixed: bool) -> u16 {
        let own = 20_000 + slot as u16;
        if fixed {
            return own;
        }
        loop {
            let port = 10_000 + self.env.rng.below(self.slots.len() as u64 + 1) as u16;
            if !self.env.net.listeners.contains_key(&port) {
                return port;
            }
        }
    }

    fn start_raw(&mut self, slot: usize) {
        let pid = self.env.spawn(slot + 1);
        self.env.ids[pid] = format!("r{slot}");
        self.env.current[slot] = Some(pid);
        let extended = self.env.chance(50);
        let raw = RawClient::new(pid, slot, extended, &mut self.env);
        self.procs.push(Process::Raw(Box::new(raw)));
        self.env.at(SECOND, Event::Work(slot));
    }

    fn start_pmd(&mut self, by_node: bool) {
        if self.pmd.is_some() {
            return;
        }
        let again = self.pmd_births > 0;
        let original = !by_node && self.plan.original_pmds >> (self.pmd_births % 64) & 1 == 1;
        self.pmd_births += 1;
        let mut config = registry::Config::new(format!("epoch-{}", self.pmd_births), [7; 32]);
        // What a node launches ends when nobody needs it.
        config.auto_shutdown_ms = by_node.then_some(30_000);
        let pid = self.env.spawn(0);
        self.env.log(|| {
            format!("start the PMD, process {pid}, by a node: {by_node}, original: {original}")
        });
        self.env.ids[pid] = "pmd".into();
        let bound = self.plan.watcher_bytes_max;
        let pmd = PmdProcess::new(pid, config, bound, original, &mut self.env);
        self.procs.push(Process::Pmd(Box::new(pmd)));
        self.pmd = Some(pid);
        if again {
            self.env.relieve(0);
            self.excuse_frozen();
            self.pmd_is_back();
            let since_us = self.env.now_us;
            self.env
                .at(5 * SECOND, Event::Check(Check::Back { since_us }));
            if self.env.chance(30) && !self.calm {
                self.env.at(0, Event::Fault(Fault::AFTERSHOCK));
            }
        }
    }

    fn launched(&mut self, pid: Pid) {
        if !self.env.meta[pid].alive {
            return;
        }
        let ok = self.pmd.is_some() || !self.env.chance(5);
        if ok {
            self.start_pmd(true);
        }
        self.env.wake(pid, Ready::Launched(ok));
    }

    // ------------------------------------------------------------------ applications

    fn work(&mut self, slot: usize) {
        let Some(pid) = self.env.current[slot] else {
            return self.env.at(50 * MS, Event::Work(slot));
        };
        let Self {
            env, procs, plan, ..
        } = self;
        match &mut procs[pid] {
            Process::Raw(raw) => return raw.work(env),
            Process::Node(node) if !self.calm => {
                let in_us = env.between(plan.work_us / 10, plan.work_us);
                env.at(in_us, Event::Work(slot));
                let meta = &env.meta[pid];
                if meta.alive && !meta.frozen && node.started && !node.stopped {
                    let target = env.rng.below(plan.slots.len() as u64) as usize;
                    if target != slot {
                        burst(env, node, target);
                    }
                }
            }
            _ => {}
        }
        self.after_node(pid);
    }

    fn consume(&mut self, pid: Pid) {
        let meta = &self.env.meta[pid];
        if meta.frozen {
            return self.env.at(50 * MS, Event::Consume(pid));
        }
        if meta.alive
            && let Process::Node(node) = &mut self.procs[pid]
        {
            node.consume(&mut self.env);
        }
    }

    // ------------------------------------------------------------------ the end

    /// Every fault has ended. Who is down is started again, and applications only listen.
    fn calm_down(&mut self) {
        self.env.log(|| "faults are over".into());
        self.calm = true;
        self.start_pmd(false);
        for slot in 0..self.slots.len() {
            self.queue_restart(slot, 0);
        }
        for pid in 0..self.procs.len() {
            match &mut self.procs[pid] {
                Process::Node(node) if self.env.meta[pid].alive => node.hurry(&mut self.env),
                Process::Raw(raw) => raw.over = true,
                _ => {}
            }
        }
    }

    /// One more message to everyone it ever wrote to shows each receiver what it missed.
    fn say_last_words(&mut self) {
        let pairs: Vec<(Pid, usize)> = self.env.ledger.fates.keys().copied().collect();
        for (pid, slot) in pairs {
            let Self { env, procs, .. } = self;
            if let Process::Node(node) = &mut procs[pid]
                && env.meta[pid].alive
                && !node.stopped
            {
                let target = format!("n{slot}");
                node.send(env, &target, slot, 0, true);
            }
        }
    }
}

/// Some messages to one target, by its alias or its node id, waiting or not.
fn burst(env: &mut Env, node: &mut NodeProcess, target: usize) {
    let by_id = env.chance(20);
    let current = env.current[target].map(|pid| env.ids[pid].clone());
    let name = match current {
        Some(id) if by_id => id,
        _ => format!("n{target}"),
    };
    let wait = env.chance(70);
    for _ in 0..1 + env.rng.below(8) {
        let padding = if env.chance(5) {
            env.rng.below(3_000)
        } else {
            env.rng.below(60)
        };
        node.send(env, &name, target, padding as usize, wait);
    }
}
