//! A replica of a shared document.

mod events;
mod inspect;
mod original;
mod snapshot;
mod tidy;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use self::events::Event;
pub use self::inspect::{Inspect, diff_snapshots};
pub use self::snapshot::Plan;
use crate::crdt::json::Json;
use crate::crdt::log::{Counts, Log};
use crate::crdt::metrics::{Metrics, Rates};
use crate::crdt::op::{Kind, Op};
use crate::crdt::path::{self, Segment};
use crate::crdt::pending::{Dot, Pending};
use crate::crdt::shape::Write;
use crate::crdt::stamp::{ReplicaIndex, Replicas, Stamp, Time};
use crate::crdt::tree::{Outcome, Settled, Tree, Written};
use crate::crdt::watch::{Pattern, Watches};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// How many operations of each replica somebody has seen.
pub type VectorClock = BTreeMap<Arc<str>, u64>;

/// Options of a replica. All have defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// Operations kept for peers; at twice as many the oldest go. Default 1,000.
    pub log_ops_max: usize,
    /// Operations that may wait for others before them. Default 10,000.
    pub pending_ops_max: usize,
    /// Milliseconds that they wait before they are given up. Default 60,000.
    pub pending_ms: u64,
    /// Writes remembered above which [`Event::TooManyRegisters`] says so. Default 100,000.
    pub registers_max: usize,
    /// Milliseconds by which a stamp may be ahead without being reported. Default 300,000.
    pub drift_ms: u64,
    /// Age in milliseconds at which a delete that all members have seen may be forgotten. Default
    /// 3,600,000.
    pub tombstone_grace_ms: u64,
    /// Trims and forgets by itself. Default true.
    pub auto_gc: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_ops_max: limits::CRDT_LOG_OPS_DEFAULT,
            pending_ops_max: limits::CRDT_PENDING_OPS_DEFAULT,
            pending_ms: limits::CRDT_PENDING_MS_DEFAULT,
            registers_max: limits::CRDT_REGISTERS_DEFAULT,
            drift_ms: limits::CRDT_DRIFT_MS_DEFAULT,
            tombstone_grace_ms: limits::CRDT_TOMBSTONE_GRACE_MS_DEFAULT,
            auto_gc: true,
        }
    }
}

/// What became of an operation of another replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It was taken in, and whatever had waited for it.
    Applied,
    /// It had been taken in before, or waits already.
    Duplicate,
    /// It waits for others before it.
    Pending,
}

/// Which events a document keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    /// None.
    Nothing,
    /// Those that tell of the document as such, not of single writes; see [`Event::is_notable`].
    Notable,
    /// All.
    All,
}

/// Operations for a peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What it lacks, as far as it is still kept.
    pub ops: Vec<Op>,
    /// Whether that is all; otherwise it needs a snapshot.
    pub is_complete: bool,
}

/// A replica of a shared document. Two that have taken in the same operations are the same, in
/// whatever order they came.
#[derive(Debug, Clone)]
pub struct Document {
    name: Arc<str>,
    /// As whom it writes: its name, or after a rollback one made from it.
    src: Arc<str>,
    me: ReplicaIndex,
    options: Options,
    replicas: Replicas,
    tree: Tree,
    clock: Counts,
    /// Of the last local operation that followed this host's clock.
    local: Time,
    log: Log,
    pending: Pending,
    members: Option<Vec<Arc<str>>>,
    /// What it had seen before it went back to a snapshot: that can come again, and late.
    lost: Counts,
    unsettled: usize,
    settled: Settled,
    is_over_limit: bool,
    metrics: Metrics,
    rates: Rates,
    watches: Watches,
    listening: Listening,
    events: VecDeque<Event>,
}

impl Document {
    /// A replica. Every replica of a document has a name of its own, and the same initial value.
    ///
    /// Errors: `invalid_argument` for a name that is empty or longer than
    /// [`CRDT_OWN_REPLICA_BYTES_MAX`](limits::CRDT_OWN_REPLICA_BYTES_MAX), or a value that is nested too
    /// deep.
    pub fn new(replica: &str, initial: impl Into<Json>, options: Options) -> Result<Self> {
        let initial = initial.into();
        if replica.is_empty() || replica.len() > limits::CRDT_OWN_REPLICA_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a replica's name must be 1 to {} bytes long",
                    limits::CRDT_OWN_REPLICA_BYTES_MAX
                ),
            ));
        }
        path::check(&[], Some(&initial))?;
        let mut replicas = Replicas::default();
        let me = replicas.intern(replica);
        Ok(Self {
            name: replicas.shared(me),
            src: replicas.shared(me),
            me,
            options,
            replicas,
            tree: Tree::new(initial),
            clock: Counts::default(),
            local: Time::default(),
            log: Log::default(),
            pending: Pending::default(),
            members: None,
            lost: Counts::default(),
            unsettled: 0,
            settled: Settled::default(),
            is_over_limit: false,
            metrics: Metrics::default(),
            rates: Rates::default(),
            watches: Watches::default(),
            listening: Listening::Nothing,
            events: VecDeque::new(),
        })
    }

    /// This replica's name.
    pub fn replica(&self) -> &str {
        &self.name
    }

    /// As whom it writes: its name, or one made from it after it went back to an older snapshot.
    pub fn source(&self) -> &str {
        &self.src
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The whole document.
    pub fn json(&mut self) -> Json {
        self.tree.json(&self.replicas)
    }

    /// Appends the text of the whole document.
    pub fn write_json(&mut self, out: &mut Vec<u8>) {
        self.tree.write_json(&self.replicas, out);
    }

    /// What is at a path.
    pub fn get(&mut self, path: &[Segment]) -> Option<Json> {
        self.tree.get(&self.replicas, path)
    }

    /// Whether there is an array at a path.
    pub fn is_array(&mut self, path: &[Segment]) -> bool {
        self.tree.is_array(&self.replicas, path)
    }

    /// The canonical text: the same on every replica that has seen the same. Members are in the order
    /// of their names' UTF-8 bytes; a number is written in one way.
    pub fn canonical(&mut self) -> String {
        self.json().value().canonical()
    }

    /// The SHA-256 of the canonical text, in lower-case hexadecimal digits.
    pub fn hash(&mut self) -> String {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(self.canonical());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How many operations of each replica were taken in.
    pub fn clock(&self) -> VectorClock {
        let counts = self.clock.iter();
        counts
            .map(|(replica, count)| (self.replicas.shared(replica), count))
            .collect()
    }

    /// Who takes part. Only then deletes can be forgotten, and arrays made shorter to remember: when
    /// all of these have seen what was written. `None` means that it is not known, and all is kept.
    pub fn set_members(&mut self, members: Option<&[&str]>) {
        self.members = members.map(|names| names.iter().map(|name| Arc::from(*name)).collect());
    }

    /// Which events are kept for [`Document::next_event`]; at first none are. Whoever wants them has
    /// to ask for them, or they pile up.
    pub fn set_listening(&mut self, listening: Listening) {
        self.listening = listening;
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Tells of writes that touch what a pattern means by [`Event::Watch`], which has this number.
    pub fn watch(&mut self, pattern: Pattern) -> u64 {
        self.watches.add(pattern)
    }

    /// Ends that; whether there was one of this number.
    pub fn unwatch(&mut self, id: u64) -> bool {
        self.watches.remove(id)
    }

    fn tell(&mut self, event: Event) {
        let is_wanted = match self.listening {
            Listening::Nothing => false,
            Listening::Notable => event.is_notable(),
            Listening::All => true,
        };
        if is_wanted {
            self.events.push_back(event);
        }
    }

    /// Sets the value at a path. Missing objects on the way are made.
    ///
    /// Errors: `invalid_argument`, with the texts of the originals for a path that leads through
    /// something else than it says, and for what is beyond the limits; `too_large`. Then nothing has
    /// changed.
    pub fn set(&mut self, path: &[Segment], value: impl Into<Json>, now_ms: u64) -> Result<Op> {
        self.write(path, Write::Set(value.into()), now_ms, |_| Ok(()))
    }

    /// Takes away what is at a path; without it, nothing else changes.
    ///
    /// Errors: `invalid_argument` for what is beyond the limits; `too_large`.
    pub fn delete(&mut self, path: &[Segment], now_ms: u64) -> Result<Op> {
        self.write(path, Write::Delete, now_ms, |_| Ok(()))
    }

    /// Makes a local write. `keep` is given the operation before anything has changed, and can refuse
    /// it: so that it can be kept first.
    ///
    /// Errors: as [`Document::set`]; that of `keep`.
    pub fn write(
        &mut self,
        path: &[Segment],
        write: Write,
        now_ms: u64,
        mut keep: impl FnMut(&Op) -> Result<()>,
    ) -> Result<Op> {
        let kind = match &write {
            Write::Set(value) => Kind::Set(value.clone()),
            Write::Delete => Kind::Tombstone,
        };
        path::check(path, kind.value())?;
        let local = match now_ms > self.local.t {
            true => Time { t: now_ms, c: 0 },
            false => self.local.next(),
        };
        let seq = self.clock.get(self.me) + 1;
        let mut deps = Vec::with_capacity(self.replicas.len());
        for (replica, count) in self.clock.iter().filter(|(replica, _)| *replica != self.me) {
            deps.push((self.replicas.shared(replica), count));
        }
        deps.push((self.src.clone(), seq));
        let mut op = Op {
            own_id: None,
            kind,
            path: path.into(),
            time: local,
            src: self.src.clone(),
            deps,
        };
        let stamp = |latest: Time| {
            // Later than what it touches, so that it is the last word here; but what is stamped far
            // ahead there does not pull other writes along (R11).
            if latest >= local && !crate::plant::active("local_write_not_last") {
                op.time = latest.next();
            }
            op.check_size()?;
            keep(&op)?;
            Ok(Stamp {
                time: op.time,
                replica: self.me,
                seq,
            })
        };
        let Written { outcome, deleted } =
            self.tree.write_local(&self.replicas, path, write, stamp)?;
        self.local = local;
        self.metrics.local_ops += 1;
        self.rates.op(now_ms);
        self.metrics.path_conflicts += deleted.len() as u64;
        for deleted in deleted {
            let path = op.path.to_vec();
            self.tell(Event::ParentTombstone { path, deleted });
        }
        self.count_in(self.me, seq);
        self.log.push(self.me, &op, self.clock.iter());
        if self.listening == Listening::All {
            self.tell(Event::Change(op.clone()));
            self.tell_watches(&op, outcome, true);
        }
        self.collect(now_ms);
        Ok(op)
    }

    /// Whether an operation was taken in already, or waits.
    pub fn has(&self, op: &Op) -> bool {
        let seq = op.seq();
        let waits = || self.pending.len() > 0 && self.pending.contains(&(op.src.clone(), seq));
        self.count(&op.src) >= seq || waits()
    }

    /// What has been taken in until now does not count as done here: it was read from a disk.
    pub fn begin_life(&mut self) {
        self.metrics = Metrics::default();
        self.rates = Rates::default();
        self.events.clear();
    }

    /// Takes in an operation of another replica, or keeps it until those before it have come.
    ///
    /// Errors: `busy` when too many wait: it is given again with the next exchange; `too_large` for
    /// one of yet another replica when there are [`CRDT_DEPS_MAX`](limits::CRDT_DEPS_MAX) already.
    pub fn receive(&mut self, op: Op, now_ms: u64) -> Result<Received> {
        if self.has(&op) {
            return Ok(Received::Duplicate);
        }
        if self.replicas.find(&op.src).is_none() && self.replicas.len() >= limits::CRDT_DEPS_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the document has {} replicas, and takes no more",
                    self.replicas.len()
                ),
            ));
        }
        if let Some(needs) = self.missing(&op) {
            self.make_room(now_ms)?;
            self.pending.insert(op, needs, now_ms);
            return Ok(Received::Pending);
        }
        self.metrics.remote_ops += 1;
        let dot = (self.pending.len() > 0).then(|| (op.src.clone(), op.seq()));
        self.take_in_foreign(op, now_ms);
        if let Some(dot) = dot {
            self.wake(vec![dot], now_ms);
        }
        self.collect(now_ms);
        Ok(Received::Applied)
    }

    /// Takes in what has waited for these, and for those in turn.
    fn wake(&mut self, mut came: Vec<Dot>, now_ms: u64) {
        while let Some(dot) = came.pop() {
            let mut woken = self.pending.woken_by(&dot);
            if crate::plant::active("pending_lost") {
                woken.truncate(1);
            }
            for woken in woken {
                let needs = self.pending.get(&woken).map(|op| self.missing(op));
                match needs {
                    Some(Some(needs)) => self.pending.wait_again(&woken, needs),
                    Some(None) => {
                        let Some(op) = self.pending.take(&woken) else {
                            continue;
                        };
                        if self.count(&woken.0) < woken.1 {
                            self.take_in_foreign(op, now_ms);
                            came.push(woken);
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// Tries again whatever waits.
    pub fn drain_pending(&mut self, now_ms: u64) {
        let needed = self.pending.needed();
        let came = |dot: &Dot| self.count(&dot.0) >= dot.1;
        let came: Vec<Dot> = needed.into_iter().filter(came).collect();
        self.wake(came, now_ms);
    }

    fn count(&self, replica: &str) -> u64 {
        let known = self.replicas.find(replica);
        known.map_or(0, |replica| self.clock.get(replica))
    }

    /// An operation that has to come before this one and has not.
    fn missing(&self, op: &Op) -> Option<Dot> {
        let before = op.seq() - 1;
        if self.count(&op.src) < before {
            return Some((op.src.clone(), before));
        }
        let mut others = op.deps.iter().filter(|(replica, _)| *replica != op.src);
        others
            .find(|(replica, count)| self.count(replica) < *count)
            .cloned()
    }

    fn take_in_foreign(&mut self, op: Op, now_ms: u64) {
        self.rates.op(now_ms);
        self.rates.latency(now_ms.saturating_sub(op.time.t));
        let ahead_ms = op.time.t.saturating_sub(now_ms);
        if ahead_ms > self.options.drift_ms {
            let op = op.clone();
            self.tell(Event::ClockDrift { op, ahead_ms });
        }
        if let Kind::Nothing { .. } = op.kind {
            self.tell(Event::Ignored(op.clone()));
        }
        let outcome = self.take_in(&op);
        if let (Outcome::HiddenByDelete(deleted), Kind::Set(_)) = (outcome, &op.kind) {
            self.metrics.tombstone_conflicts += 1;
            let op = op.clone();
            let by = self.replicas.shared(deleted.replica);
            self.tell(Event::TombstoneWins {
                op,
                deleted: deleted.time,
                by,
            });
        }
        if self.listening == Listening::All {
            self.tell_watches(&op, outcome, false);
            self.tell(Event::Sync(op));
        }
    }

    fn tell_watches(&mut self, op: &Op, outcome: Outcome, is_local: bool) {
        if outcome != Outcome::Visible {
            return;
        }
        for id in self.watches.touched(&op.path) {
            let op = op.clone();
            self.tell(Event::Watch { id, op, is_local });
        }
    }

    /// Counts an operation.
    fn count_in(&mut self, src: ReplicaIndex, seq: u64) {
        self.clock.set(src, seq);
        self.metrics.total_ops += 1;
        self.unsettled += 1;
    }

    /// Counts an operation of another replica, and writes it.
    fn take_in(&mut self, op: &Op) -> Outcome {
        // Whoever it depends on is known by now.
        let src = self.replicas.intern(&op.src);
        let seq = op.seq();
        self.count_in(src, seq);
        let stamp = Stamp {
            time: op.time,
            replica: src,
            seq,
        };
        let deps = op.deps.iter();
        let known = deps.filter_map(|(name, count)| Some((self.replicas.find(name)?, *count)));
        self.log.push(src, op, known);
        match op.write() {
            Some(write) => self.tree.write(&self.replicas, &op.path, stamp, write),
            None => Outcome::Hidden,
        }
    }

    fn counts(&self, clock: &VectorClock) -> Counts {
        let mut counts = Counts::default();
        for (name, count) in clock {
            if let Some(replica) = self.replicas.find(name) {
                counts.set(replica, *count);
            }
        }
        counts
    }

    /// Whether the log still has every operation that somebody with this clock lacks.
    pub fn covers(&self, clock: &VectorClock) -> bool {
        self.log.covers(&self.counts(clock))
    }

    /// The operations that somebody with this clock lacks.
    pub fn since(&self, clock: &VectorClock) -> Difference {
        let since = self.counts(clock);
        Difference {
            ops: self.log.since(&self.replicas, &since),
            is_complete: self.log.covers(&since),
        }
    }
}
