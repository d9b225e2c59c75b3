//! Promises that are checked after a while, or when everything is at rest.

use std::collections::BTreeMap;

use distflow_core::wire::pmd::{NodeInfo, Register};

use crate::checks::Check;
use crate::node_process::NodeProcess;
use crate::pmd_process::PmdProcess;
use crate::queue::{MS, Pid};
use crate::world::{Process, World};

/// What everyone must agree on about a node.
type Facts = (Option<String>, u16, Vec<String>, Option<String>);

fn facts(info: &NodeInfo) -> (String, Facts) {
    let caps = info.caps.clone();
    let meta = info.meta.as_ref().map(|meta| meta.get().to_owned());
    let facts = (info.alias.clone(), info.port, caps, meta);
    (info.node_id.clone(), facts)
}

fn registered(node: &Register) -> (String, Facts) {
    let alias = node.alias.as_ref().map(|alias| alias.as_str().to_owned());
    let caps = node
        .caps
        .as_deref()
        .map_or(Vec::new(), |caps| serde_json::from_str(caps).unwrap());
    let meta = node.meta.as_deref().map(str::to_owned);
    let facts = (alias, node.port, caps, meta);
    (node.node_id.as_str().to_owned(), facts)
}

/// What a PMD can know of a node: an original keeps neither capabilities nor metadata.
fn kept(pmd: &PmdProcess, (id, mut facts): (String, Facts)) -> (String, Facts) {
    if pmd.original {
        (facts.2, facts.3) = (Vec::new(), None);
    }
    (id, facts)
}

impl World {
    pub fn live_pmd(&self) -> Option<&PmdProcess> {
        match &self.procs[self.pmd?] {
            Process::Pmd(pmd) => Some(pmd),
            _ => None,
        }
    }

    pub fn live_nodes(&self) -> impl Iterator<Item = &NodeProcess> {
        let current = self.env.current.iter().flatten();
        current.filter_map(|&pid| match &self.procs[pid] {
            Process::Node(node) if self.env.meta[pid].alive && !node.stopped => Some(&**node),
            _ => None,
        })
    }

    pub fn check(&mut self, check: &Check) {
        match check {
            Check::Gone {
                promise,
                id,
                port,
                pid,
                since_us,
            } => self.check_gone(promise, (id, *port, *pid), *since_us),
            Check::Back { since_us } => self.check_back(*since_us),
            Check::Rejoined { pid, since_us } => self.check_rejoined(*pid, *since_us),
            Check::Ended { pid, since_us } => self.check_ended(*pid, *since_us),
        }
    }

    fn check_gone(&mut self, promise: &str, (id, port, pid): (&str, u16, Pid), since_us: u64) {
        // A successor at the same address is not told apart, and need not be.
        let successor = self
            .env
            .current
            .iter()
            .flatten()
            .any(|&other| other != pid && self.env.ids[other] == id);
        let Some(pmd) = self.live_pmd() else { return };
        if promise == "R3" && pmd.original {
            // It is told of no heartbeats, and expels nobody.
            return;
        }
        // A good-bye does not get through a cut.
        let cut = promise == "R1" && !self.env.is_quiet(self.env.meta[pid].site, since_us);
        if cut || successor || !self.env.is_quiet(0, since_us.saturating_sub(2_000 * MS)) {
            return;
        }
        let mut problem = None;
        if pmd.registry.nodes().any(|node| node.node_id.as_str() == id) {
            problem = Some(format!("{promise}: {id} is still registered"));
        }
        for watcher in self.live_nodes() {
            let meta = &self.env.meta[watcher.pid];
            let there = meta.started_us.is_some_and(|at| at < since_us);
            if there && self.env.is_quiet(meta.site, since_us) && watcher.pid != pid {
                let peers = watcher.state.peers();
                if peers
                    .iter()
                    .any(|peer| peer.node_id == id && peer.port == port)
                {
                    let watcher = watcher.pid;
                    problem = Some(format!("{promise}: process {watcher} still knows {id}"));
                }
            }
        }
        if let Some(problem) = problem {
            self.env.fail(|| problem);
        }
    }

    /// Whether the registry has the process, and the process thinks so too.
    fn is_registered(&self, node: &NodeProcess) -> bool {
        let in_registry = self.live_pmd().is_some_and(|pmd| {
            let mut nodes = pmd.registry.nodes();
            nodes.any(|other| {
                other.node_id.as_str() == node.id && other.port == node.setup.config.node.port
            })
        });
        in_registry && node.state.is_registered()
    }

    fn check_back(&mut self, since_us: u64) {
        if !self.env.is_quiet(0, since_us) {
            return;
        }
        let missing = self.live_nodes().find(|node| {
            let meta = &self.env.meta[node.pid];
            let there = meta.started_us.is_some_and(|at| at < since_us);
            let quiet = self
                .env
                .is_quiet(meta.site, since_us.saturating_sub(8_000 * MS));
            there && quiet && !meta.stopping && !self.is_registered(node)
        });
        if let Some(pid) = missing.map(|node| node.pid) {
            self.env
                .fail(|| format!("R4: process {pid} is not back 5 s after the PMD"));
        }
    }

    fn check_rejoined(&mut self, pid: Pid, since_us: u64) {
        let Process::Node(node) = &self.procs[pid] else {
            return;
        };
        let meta = &self.env.meta[pid];
        let alive = meta.alive && !node.stopped && !meta.stopping;
        let quiet = self.env.is_quiet(meta.site, since_us)
            && self.env.is_quiet(0, since_us.saturating_sub(8_000 * MS));
        if alive && quiet && !self.is_registered(node) {
            self.env
                .fail(|| format!("R3: process {pid} is not back 2 s after it went on"));
        }
    }

    fn check_ended(&mut self, pid: Pid, since_us: u64) {
        let Process::Node(node) = &self.procs[pid] else {
            return;
        };
        let meta = &self.env.meta[pid];
        let quiet = self.env.is_quiet(meta.site, since_us) && self.env.is_quiet(0, since_us);
        if meta.alive && !node.stopped && quiet {
            self.env
                .fail(|| format!("F2: process {pid} goes on 2 s after it was asked to end"));
        }
    }

    // ------------------------------------------------------------------ at rest

    /// Everything has healed and settled: now all must agree, and every message be accounted
    /// for.
    pub fn check_rest(&mut self) {
        let problem = self
            .registry_problem()
            .or_else(|| self.live_nodes().find_map(|node| self.node_problem(node)))
            .or_else(|| self.message_problem());
        if let Some(problem) = problem {
            self.env.fail(|| format!("at rest: {problem}"));
        }
    }

    fn registry_problem(&self) -> Option<String> {
        let Some(pmd) = self.live_pmd() else {
            return Some("there is no PMD".into());
        };
        let live: BTreeMap<String, Facts> = self
            .live_nodes()
            .map(|node| registered(&node.setup.config.node))
            .map(|node| kept(pmd, node))
            .collect();
        if live.len() != self.slots.len() {
            return Some(format!("only {} nodes run", live.len()));
        }
        let known = pmd.registry.nodes().map(|node| registered(&node));
        let known: BTreeMap<String, Facts> = known.filter(|(id, _)| id.starts_with('s')).collect();
        (known != live).then(|| format!("R4: the registry has {known:?}, but these live: {live:?}"))
    }

    fn node_problem(&self, node: &NodeProcess) -> Option<String> {
        let pid = node.pid;
        let pmd = self.live_pmd()?;
        let nodes = pmd.registry.nodes();
        let mut want: BTreeMap<String, Facts> = nodes.map(|node| registered(&node)).collect();
        want.remove(&node.id);
        let peers = node.state.peers();
        let have = peers.iter().map(|peer| kept(pmd, facts(peer)));
        let have: BTreeMap<String, Facts> = have.collect();
        let told: BTreeMap<String, Facts> = node.view.values().map(|peer| facts(peer)).collect();
        let names = |facts: &BTreeMap<String, Facts>| {
            let names = facts.iter();
            let names: Vec<_> = names
                .map(|(id, (_, port, ..))| (id.clone(), *port))
                .collect();
            names
        };
        if have != want {
            return Some(format!(
                "R7: process {pid} knows {have:?}, but registered are {want:?}"
            ));
        }
        if names(&told) != names(&have) {
            return Some(format!(
                "R7: the events of process {pid} add up to {told:?}, but it knows {have:?}"
            ));
        }
        if !self.is_registered(node) {
            return Some(format!("process {pid} is not registered"));
        }
        let waiting = self.env.ledger.waiting_calls(pid);
        (!waiting.is_empty()).then(|| {
            let (count, first) = (waiting.len(), waiting[0]);
            format!("{count} calls of process {pid} never ended, the first is {first:?}")
        })
    }

    /// M2, for every pair of which neither side ever ended.
    fn message_problem(&self) -> Option<String> {
        let mut nodes = self.live_nodes();
        if let Some(node) = nodes.find(|node| !node.mailbox.is_empty()) {
            let (pid, waiting) = (node.pid, node.mailbox.len());
            return Some(format!(
                "{waiting} messages stay in the mailbox of process {pid}"
            ));
        }
        for (&(sender, slot), fate) in &self.env.ledger.fates {
            let sender_slot = self.env.meta[sender].slot?;
            let exact = !self.slots[sender_slot].ended && !self.slots[slot].ended;
            // Under an original PMD nobody knows who understands the opening of a link.
            let opens = self.plan.slots[slot].opens && self.plan.original_pmds == 0;
            if let Some(problem) = fate.problem().filter(|_| exact && opens) {
                return Some(format!("M2: from process {sender} to n{slot}: {problem}"));
            }
        }
        None
    }
}
