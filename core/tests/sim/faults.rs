//! What is done to a run, and for how long the registry may rightly be wrong because of it.

use crate::checks::Check;
use crate::env::Env;
use crate::queue::{Event, MS, Pid, SECOND};
use crate::world::{Process, World};

/// How long after the end of a fault its consequences may still show.
const AFTERMATH_US: u64 = 14 * SECOND;

/// A kind of fault, by its number in the plan.
#[derive(Debug, Clone, Copy)]
pub struct Fault(pub usize);

impl Fault {
    /// While everyone comes back to a new PMD, some lose it again.
    pub const AFTERSHOCK: Fault = Fault(99);
}

impl World {
    pub fn inflict(&mut self, fault: Fault) {
        match fault.0 {
            0 => self.kill(false),
            1 => self.kill(true),
            2 => self.freeze(),
            3 => self.freeze_pmd(),
            4 => self.kill_pmd(),
            5 => self.cut_from_pmd(),
            6 => self.cut_peers(),
            7 => self.reset_some(),
            8 => self.reset_pmd_conn(),
            9 => self.shut_down(),
            10 => self.suspend(),
            _ => {
                for _ in 0..3 {
                    let in_us = self.env.rng.below(2 * SECOND);
                    self.env.at(in_us, Event::Fault(Fault(8)));
                }
            }
        }
    }

    /// A live node, if there is one where one looks.
    fn victim(&mut self) -> Option<(usize, Pid)> {
        let slot = self.env.rng.below(self.plan.slots.len() as u64) as usize;
        let pid = self.env.current[slot]?;
        self.env.meta[pid].alive.then_some((slot, pid))
    }

    /// Whether the registry knows the process and nothing is in the way.
    fn is_settled(&self, pid: Pid) -> bool {
        let meta = &self.env.meta[pid];
        let since = self.env.now_us.saturating_sub(2 * SECOND);
        let known = meta.started_us.is_some_and(|at| at <= since);
        let whole = meta
            .registered_over
            .is_some_and(|conn| self.env.net.is_whole(conn));
        known && whole && !meta.stopping && !meta.frozen && self.env.is_quiet(meta.site, since)
    }

    fn expect_gone(&mut self, promise: &'static str, pid: Pid, in_us: u64) {
        let check = Check::Gone {
            promise,
            id: self.env.ids[pid].clone(),
            port: self.env.meta[pid].port,
            pid,
            since_us: self.env.now_us,
        };
        self.env.at(in_us, Event::Check(check));
    }

    /// Kill, or loss of power: then nobody closes the sockets.
    fn kill(&mut self, power: bool) {
        let Some((slot, pid)) = self.victim() else {
            return;
        };
        self.env
            .log(|| format!("kill process {pid}, power {power}"));
        let settled = self.is_settled(pid);
        self.bury(slot, pid);
        let mut closed_us = 0;
        if power {
            self.env.vanish(pid);
            self.env.haunted_until_us[slot] = self.env.now_us + 8 * SECOND;
        } else {
            closed_us = self.env.rng.below(200 * MS);
            self.env.at(closed_us, Event::Reap(pid));
        }
        if settled && power {
            self.expect_gone("R2", pid, 10 * SECOND);
        } else if settled {
            self.expect_gone("R1", pid, closed_us + self.leave_us());
        }
        let in_us = match self.env.rng.below(3) {
            0 => self.env.rng.below(30 * MS),
            1 => self.env.rng.below(2 * SECOND),
            _ => self.env.rng.below(10 * SECOND),
        };
        self.env.at(in_us, Event::Restart(slot));
    }

    /// How long a leave takes from the close of a socket to every watcher: what is promised for
    /// loopback, where the network of this run is as fast as that.
    fn leave_us(&self) -> u64 {
        let net = &self.plan.net;
        let fast = net.delay_us <= MS && net.spike_us <= MS;
        let wide = net.piece_bytes >= 1_460 && net.window_bytes >= 64 << 10;
        if fast && wide { 100 * MS } else { SECOND }
    }

    fn duration_us(env: &mut Env) -> u64 {
        match env.rng.below(3) {
            0 => env.between(100, 4_000) * MS,
            1 => env.between(7_000, 11_000) * MS,
            _ => env.between(16_500, 20_000) * MS,
        }
    }

    fn freeze(&mut self) {
        let Some((slot, pid)) = self.victim() else {
            return;
        };
        if self.env.meta[pid].frozen {
            return;
        }
        let for_us = Self::duration_us(&mut self.env);
        self.env
            .log(|| format!("freeze process {pid} for {} ms", for_us / MS));
        let settled = self.is_settled(pid);
        let heartbeat = self.plan.slots[slot].heartbeat;
        if !settled || heartbeat && for_us > 12 * SECOND {
            self.env.excuse(pid, for_us + AFTERMATH_US);
        }
        if settled && heartbeat && for_us > 15 * SECOND {
            self.expect_gone("R3", pid, 15 * SECOND);
        }
        let site = self.env.meta[pid].site;
        self.env.disturb(site);
        self.env.meta[pid].frozen = true;
        self.env.at(for_us, Event::Thaw(pid));
    }

    pub fn thaw(&mut self, pid: Pid) {
        self.env.log(|| format!("process {pid} goes on"));
        let site = self.env.meta[pid].site;
        self.env.relieve(site);
        self.env.meta[pid].frozen = false;
        self.env.schedule_turn(pid);
        let in_us = self.env.rng.below(MS);
        self.env.at(in_us, Event::Timer(pid));
        if self.pmd == Some(pid) {
            self.pmd_is_back();
        } else if self.env.meta[pid].started_us.is_some() {
            let since_us = self.env.now_us;
            self.env
                .at(2 * SECOND, Event::Check(Check::Rejoined { pid, since_us }));
        }
    }

    /// Those who are about to register can't; they will give up and come again.
    fn excuse_unregistered(&mut self, for_us: u64) {
        for pid in 0..self.procs.len() {
            if self.env.meta[pid].registered_over.is_none() {
                self.env.excuse(pid, for_us);
            }
        }
    }

    /// A new PMD has started, which knows nothing of who is frozen.
    pub fn excuse_frozen(&mut self) {
        for pid in 0..self.procs.len() {
            if self.env.meta[pid].frozen {
                self.env.excuse(pid, 20 * SECOND + AFTERMATH_US);
            }
        }
    }

    /// What happened while the PMD was away shows only now.
    pub fn pmd_is_back(&mut self) {
        if let Some(since_us) = self.env.pmd_away_since_us.take() {
            self.env.extend_excuses(since_us, AFTERMATH_US);
        }
    }

    fn freeze_pmd(&mut self) {
        let Some(pid) = self.pmd.filter(|&pid| !self.env.meta[pid].frozen) else {
            return;
        };
        let for_us = Self::duration_us(&mut self.env);
        self.env
            .log(|| format!("freeze the PMD for {} ms", for_us / MS));
        self.excuse_unregistered(for_us + AFTERMATH_US);
        self.env.disturb(0);
        self.env.meta[pid].frozen = true;
        self.env.pmd_away_since_us.get_or_insert(self.env.now_us);
        self.env.at(for_us, Event::Thaw(pid));
    }

    /// The machine sleeps: everyone stops, and goes on at about the same time. Nobody has left.
    fn suspend(&mut self) {
        let all: Vec<Pid> = self.env.current.iter().flatten().copied().collect();
        let all: Vec<Pid> = all.into_iter().chain(self.pmd).collect();
        let awake = |pid: &Pid| self.env.meta[*pid].alive && !self.env.meta[*pid].frozen;
        if !all.iter().all(awake) {
            return;
        }
        let for_us = Self::duration_us(&mut self.env);
        self.env
            .log(|| format!("suspend everyone for {} ms", for_us / MS));
        self.excuse_unregistered(for_us + AFTERMATH_US);
        self.env.pmd_away_since_us.get_or_insert(self.env.now_us);
        for pid in all {
            let site = self.env.meta[pid].site;
            self.env.disturb(site);
            self.env.meta[pid].frozen = true;
            let late_us = self.env.rng.below(50 * MS);
            self.env.at(for_us + late_us, Event::Thaw(pid));
        }
    }

    fn kill_pmd(&mut self) {
        let Some(pid) = self.pmd.take() else { return };
        self.env.log(|| format!("kill the PMD, process {pid}"));
        if self.env.meta[pid].frozen {
            // What was written to it is gone, and whoever wrote it may wait for the answer.
            self.excuse_unregistered(AFTERMATH_US);
        }
        self.pmd_is_gone(pid);
    }

    /// The PMD ended. Somebody starts it again, unless a node does so earlier.
    pub fn pmd_is_gone(&mut self, pid: Pid) {
        self.env.disturb(0);
        self.env.pmd_away_since_us.get_or_insert(self.env.now_us);
        self.env.bury(pid);
        self.env.jolt(0);
        let in_us = self.env.rng.below(50 * MS);
        self.env.at(in_us, Event::Reap(pid));
        let in_us = match self.env.rng.below(3) {
            0 => self.env.rng.below(200 * MS),
            1 => self.env.rng.below(3 * SECOND),
            _ => self.env.between(5_000, 20_000) * MS,
        };
        self.env.at(in_us, Event::RestartPmd);
    }

    fn cut_from_pmd(&mut self) {
        let Some((slot, pid)) = self.victim() else {
            return;
        };
        let site = self.env.meta[pid].site;
        if self.env.net.is_cut(0, site) {
            return;
        }
        let for_us = Self::duration_us(&mut self.env);
        self.env
            .log(|| format!("cut process {pid} from the PMD for {} ms", for_us / MS));
        if self.is_settled(pid) && for_us > 10 * SECOND {
            self.expect_gone("R2", pid, 10 * SECOND);
        }
        self.env.excuse(pid, for_us + AFTERMATH_US);
        self.env.haunted_until_us[slot] = self.env.now_us + for_us + 10 * SECOND;
        self.env.disturb(site);
        let number = self.env.cut(0, site);
        self.env.at(for_us, Event::Heal(0, site, number));
    }

    pub fn heal(&mut self, a: usize, b: usize, number: u64) {
        self.env.log(|| format!("heal {a} and {b}"));
        self.env.heal(a, b, number);
        if a == 0 {
            self.env.relieve(b);
        }
    }

    fn cut_peers(&mut self) {
        let (Some((_, a)), Some((_, b))) = (self.victim(), self.victim()) else {
            return;
        };
        let (a, b) = (self.env.meta[a].site, self.env.meta[b].site);
        if a == b || self.env.net.is_cut(a, b) {
            return;
        }
        let for_us = Self::duration_us(&mut self.env);
        self.env
            .log(|| format!("cut sites {a} and {b} for {} ms", for_us / MS));
        let number = self.env.cut(a, b);
        self.env.at(for_us, Event::Heal(a, b, number));
    }

    fn reset(&mut self, conn: usize) {
        let (dialler, listener) = (self.env.net.pid(conn, 0), self.env.net.pid(conn, 1));
        self.env
            .log(|| format!("reset connection {conn}, {dialler} to {listener}"));
        if self.env.meta[listener].site == 0 {
            self.env.excuse(dialler, AFTERMATH_US);
            let site = self.env.meta[dialler].site;
            self.env.jolt(site);
        }
        self.env.reset(conn);
    }

    fn reset_some(&mut self) {
        for _ in 0..1 + self.env.rng.below(6) {
            let mut whole = self.env.net.whole();
            if self.env.chance(50) && whole.iter().any(|&conn| self.env.net.is_blocked(conn)) {
                // The most there is to lose, and to send again.
                whole.retain(|&conn| self.env.net.is_blocked(conn));
            }
            if whole.is_empty() {
                return;
            }
            let at = self.env.rng.below(whole.len() as u64) as usize;
            self.reset(whole[at]);
        }
    }

    fn reset_pmd_conn(&mut self) {
        let Some((_, pid)) = self.victim() else {
            return;
        };
        let conn = self.env.meta[pid].registered_over;
        if let Some(conn) = conn.filter(|&conn| self.env.net.is_whole(conn)) {
            self.reset(conn);
        }
    }

    fn shut_down(&mut self) {
        let Some((_, pid)) = self.victim() else {
            return;
        };
        let meta = &self.env.meta[pid];
        if meta.frozen || meta.stopping {
            return;
        }
        self.env.log(|| format!("shut process {pid} down"));
        if self.is_settled(pid) && self.env.is_quiet(0, self.env.now_us.saturating_sub(SECOND)) {
            self.expect_gone("R1", pid, 2 * SECOND + 200 * MS);
            let since_us = self.env.now_us;
            self.env
                .at(2 * SECOND, Event::Check(Check::Ended { pid, since_us }));
        }
        let World { env, procs, .. } = self;
        if let Process::Node(node) = &mut procs[pid] {
            node.shutdown(env);
        }
        self.after_node(pid);
    }
}
