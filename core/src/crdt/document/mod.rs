//! A replica of a shared document.

mod ended;
mod events;
mod inspect;
mod kept;
mod members;
mod original;
mod received;
mod snapshot;
mod tidy;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use self::ended::Lives;
pub use self::events::Event;
pub use self::inspect::{Inspect, diff_snapshots};
pub use self::kept::Waited;
pub use self::snapshot::Plan;
use crate::crdt::horizon::Seen;
use crate::crdt::json::Json;
use crate::crdt::log::{Counts, Log};
use crate::crdt::metrics::{Metrics, Rates};
use crate::crdt::op::{COUNT_MAX, HORIZON, Kind, Op};
use crate::crdt::path::{self, Segment};
use crate::crdt::pending::{Dot, Pending};
use crate::crdt::shape::Write;
use crate::crdt::source;
use crate::crdt::stamp::{ReplicaIndex, Replicas, Stamp, Time};
use crate::crdt::tree::{Outcome, Settled, Tree, Written};
use crate::crdt::watch::{Pattern, Watches};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Rng;
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
    /// Milliseconds that they wait before they are given up: where the members are known, at the latest after
    /// the grace period (unless that is 0), when anything is taken in; otherwise when there are many.
    /// Default 60,000.
    pub pending_ms: u64,
    /// Writes remembered above which [`Event::TooManyRegisters`] says so. Default 100,000.
    pub registers_max: usize,
    /// Milliseconds by which a stamp may be ahead without being reported. Default 300,000.
    pub drift_ms: u64,
    /// Age in milliseconds at which a delete that all members have seen may be forgotten. Default
    /// 3,600,000.
    pub tombstone_grace_ms: u64,
    /// Lives that have ended before an operation says so. Default 16.
    pub ended_lives_min: usize,
    /// Trims and forgets by itself. Default true.
    pub auto_gc: bool,
    /// Source that it writes as at first, for a host that makes sure by itself that nobody else ever
    /// writes as the same, in no later life either. Default: one of its own for each life of a
    /// [`JsonCrdt`](crate::JsonCrdt).
    pub source: Option<String>,
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
            ended_lives_min: limits::CRDT_ENDED_LEAST_DEFAULT,
            auto_gc: true,
            source: None,
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
    /// As whom it writes; none until the first write of a life.
    me: Option<ReplicaIndex>,
    /// Where the marks of its sources come from.
    random: Rng,
    options: Options,
    replicas: Replicas,
    tree: Tree,
    clock: Counts,
    /// Of which sources more has been taken in than its source's last operation says, in order.
    fresh: Vec<ReplicaIndex>,
    lives: Lives,
    /// Whether something that waits may have become ready.
    has_folded: bool,
    /// Whether the numbers in all stamps are those of the operations; an original's snapshot has none.
    is_exact: bool,
    /// Of the last local operation that followed this host's clock.
    local: Time,
    log: Log,
    pending: Pending,
    members: Option<Vec<Arc<str>>>,
    /// What it had seen before it went back to a snapshot: that can come again, and late.
    lost: Counts,
    /// Whether it is kept, so that what is given up must be told.
    is_kept: bool,
    given_up: Vec<Dot>,
    /// The horizon it had then, and the latest time of what it had seen.
    lost_horizon_ms: u64,
    lost_until_ms: u64,
    unsettled: usize,
    /// When it was last looked for what can be forgotten; 0 before anything was collected.
    settled_ms: u64,
    settled: Settled,
    is_over_limit: bool,
    metrics: Metrics,
    rates: Rates,
    watches: Watches,
    listening: Listening,
    events: VecDeque<Event>,
}

impl Document {
    /// A replica, which writes as the source of the options, or as its name; see
    /// [`Document::begin_source`]. All replicas of a document have the same initial value.
    ///
    /// Errors: `invalid_argument` for a name that is empty or longer than
    /// [`CRDT_OWN_REPLICA_BYTES_MAX`](limits::CRDT_OWN_REPLICA_BYTES_MAX), for such a source, and for a
    /// value that is nested too deep.
    pub fn new(replica: &str, initial: impl Into<Json>, options: Options) -> Result<Self> {
        let initial = initial.into();
        check_name("a replica's name", replica)?;
        let source = options.source.as_deref().unwrap_or(replica);
        check_name("a source", source)?;
        path::check(&[], Some(&initial))?;
        let mut replicas = Replicas::default();
        let me = replicas.intern(source);
        Ok(Self {
            name: Arc::from(replica),
            me: Some(me),
            random: Rng::new(0),
            options,
            replicas,
            tree: Tree::new(initial),
            clock: Counts::default(),
            fresh: Vec::new(),
            lives: Lives::default(),
            has_folded: false,
            is_exact: true,
            local: Time::default(),
            log: Log::default(),
            pending: Pending::default(),
            members: None,
            lost: Counts::default(),
            is_kept: false,
            given_up: Vec::new(),
            lost_horizon_ms: 0,
            lost_until_ms: 0,
            unsettled: 0,
            settled_ms: 0,
            settled: Settled::default(),
            is_over_limit: false,
            metrics: Metrics::default(),
            rates: Rates::default(),
            watches: Watches::default(),
            listening: Listening::Nothing,
            events: VecDeque::new(),
        })
    }

    /// Lets it write as a source of its own from the next write on: its name with the time of that
    /// write and some random letters, which are made from `random`. So no other life, of whatever
    /// process, counts under the same.
    pub fn begin_source(&mut self, random: u64) {
        self.random = Rng::new(random);
        self.me = None;
        if self.clock.is_empty() && self.pending.len() == 0 {
            self.replicas = Replicas::default();
        }
    }

    /// Finds out what its next operation has to say of the others.
    fn compare_clocks(&mut self) {
        self.fresh.clear();
        let Some(me) = self.me else { return };
        let said = self.log.seen_by(me);
        for (replica, count) in self.clock.iter() {
            if replica != me && said.is_none_or(|said| said.get(replica) < count) {
                self.fresh.push(replica);
            }
        }
    }

    /// The replica's name.
    pub fn replica(&self) -> &str {
        &self.name
    }

    /// As whom it writes: `src` of its operations, and its key in clocks. Before the first write of a
    /// life, its name.
    pub fn source(&self) -> &str {
        self.me.map_or(&self.name, |me| self.replicas.name(me))
    }

    /// How many operations it has written as its source.
    fn own(&self) -> u64 {
        self.me.map_or(0, |me| self.clock.get(me))
    }

    /// A source for a write at a time.
    fn draw_source(&mut self, at: Time) -> Result<ReplicaIndex> {
        if self.clock.len() >= limits::CRDT_DEPS_MAX {
            return Err(self.too_many());
        }
        // Of the lives of one name the latest born stands for it, also if the host's clock was set back.
        let latest = at.t.saturating_add(self.options.drift_ms);
        let lives = self.replicas.names().filter_map(source::life);
        let before = lives.filter(|(name, birth)| **name == *self.name && *birth <= latest);
        let birth = before.map(|(_, birth)| birth + 1).max();
        let birth = at.t.max(birth.unwrap_or(0));
        if crate::plant::active("source_again") {
            return Ok(self.replicas.intern(&self.name));
        }
        loop {
            let source = source::of_life(&self.name, birth, self.random.next_u64());
            if self.replicas.find(&source).is_none() {
                return Ok(self.replicas.intern(&source));
            }
        }
    }

    fn too_many(&self) -> Error {
        Error::new(
            ErrorKind::TooLarge,
            format!(
                "the document counts {} sources, and takes no more: see set_members",
                self.clock.len()
            ),
        )
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
        let mut clock: VectorClock = counts
            .map(|(replica, count)| (self.replicas.shared(replica), count))
            .collect();
        if self.lives.horizon.until_ms > 0 {
            clock.insert(Arc::from(HORIZON), self.lives.horizon.until_ms);
        }
        clock
    }

    /// How many names of sources it keeps, also of those that are not counted any more.
    pub fn names(&self) -> usize {
        self.replicas.len()
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

    /// The numbers of all that is watched.
    pub fn watched(&self) -> Vec<u64> {
        self.watches.ids().collect()
    }

    /// The document was replaced by a snapshot's, or has taken one in.
    fn tell_restore(&mut self, is_merge: bool) {
        if !crate::plant::active("merge_untold") {
            for id in self.watched() {
                self.tell(Event::LookAgain { id });
            }
        }
        self.tell(Event::Restore { is_merge });
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
    /// something else than it says, for what is beyond the limits, and where something is stamped so late
    /// that nothing can be later; `too_large`. Then nothing has changed.
    pub fn set(&mut self, path: &[Segment], value: impl Into<Json>, now_ms: u64) -> Result<Op> {
        self.write(path, Write::Set(value.into()), now_ms, |_, _| Ok(()))
    }

    /// Takes away what is at a path; without it, nothing else changes.
    ///
    /// Errors: `invalid_argument` for what is beyond the limits; `too_large`.
    pub fn delete(&mut self, path: &[Segment], now_ms: u64) -> Result<Op> {
        self.write(path, Write::Delete, now_ms, |_, _| Ok(()))
    }

    /// Makes a local write. `keep` is given the operation before anything has changed, and this
    /// replica's own time from then on, and can refuse it: so that it can be kept first.
    ///
    /// Errors: as [`Document::set`]; that of `keep`.
    pub fn write(
        &mut self,
        path: &[Segment],
        write: Write,
        now_ms: u64,
        mut keep: impl FnMut(&Op, Time) -> Result<()>,
    ) -> Result<Op> {
        let kind = match &write {
            Write::Set(value) => Kind::Set(value.clone()),
            Write::Delete => Kind::Tombstone,
        };
        path::check(path, kind.value())?;
        let local = match now_ms > self.local.t {
            true => Time { t: now_ms, c: 0 }.checked(),
            false => self.local.next(),
        };
        let local = local.ok_or_else(|| no_stamp("this host's clock"))?;
        let ended = self.ended_lives(now_ms);
        let (me, is_new) = match self.me.filter(|me| self.has_numbers(*me)) {
            Some(me) => (me, false),
            None => (self.draw_source(local)?, true),
        };
        let src = self.replicas.shared(me);
        let seq = self.clock.get(me) + 1;
        // Whoever takes it in has taken in the one before, and with it all that has not changed since.
        let seen: Vec<(ReplicaIndex, u64)> = match is_new {
            true => self.clock.iter().collect(),
            false => {
                let fresh = self.fresh.iter();
                fresh
                    .map(|replica| (*replica, self.clock.get(*replica)))
                    .collect()
            }
        };
        let mut deps = Vec::with_capacity(seen.len() + 1);
        for (replica, count) in &seen {
            deps.push((self.replicas.shared(*replica), *count));
        }
        deps.push((src.clone(), seq));
        let mut op = Op {
            own_id: None,
            kind,
            path: path.into(),
            time: local,
            src,
            deps,
            ended,
        };
        let stamp = |latest: Time| {
            // Later than what it touches, so that it is the last word here; but what is stamped far
            // ahead there does not pull other writes along (R11).
            if latest >= local && !crate::plant::active("local_write_not_last") {
                op.time = latest.next().ok_or_else(|| no_stamp("what is there"))?;
            }
            op.check_size()?;
            keep(&op, local)?;
            Ok(Stamp {
                time: op.time,
                replica: me,
                seq,
            })
        };
        let written = self.tree.write_local(&self.replicas, path, write, stamp);
        if written.is_err() && is_new {
            self.replicas.forget_last();
        }
        let Written { outcome, deleted } = written?;
        self.me = Some(me);
        self.local = local;
        self.metrics.local_ops += 1;
        self.rates.op(now_ms);
        self.metrics.path_conflicts += deleted.len() as u64;
        for deleted in deleted {
            let path = op.path.to_vec();
            self.tell(Event::ParentTombstone { path, deleted });
        }
        self.count_in(me, seq, op.time.t);
        self.fresh.clear();
        self.log.push(me, &op, seen.into_iter().chain([(me, seq)]));
        if let Some(ended) = &op.ended {
            self.fold(me, seq, ended);
        }
        if self.listening == Listening::All {
            self.tell(Event::Change(op.clone()));
            self.tell_watches(&op, outcome, true);
        }
        self.collect(now_ms);
        Ok(op)
    }

    /// Whether a source has a number left for another operation: somebody may have said that it has used
    /// them up.
    fn has_numbers(&self, source: ReplicaIndex) -> bool {
        self.clock.get(source) < COUNT_MAX || crate::plant::active("stamps_without_edge")
    }

    /// Whether it has a source to write as; otherwise it makes one at the next write.
    pub fn has_source(&self) -> bool {
        self.me.is_some()
    }

    /// What has been taken in until now does not count as done here: it was read from a disk, and what
    /// happens from now on is kept there.
    pub fn begin_life(&mut self) {
        self.is_kept = true;
        self.metrics = Metrics::default();
        self.rates = Rates::default();
        self.events.clear();
        self.compare_clocks();
    }

    fn count(&self, replica: &str) -> u64 {
        let known = self.replicas.find(replica);
        known.map_or(0, |replica| self.clock.get(replica))
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
    fn count_in(&mut self, src: ReplicaIndex, seq: u64, t: u64) {
        self.clock.set(src, seq);
        if t > self.lives.stamped.get(src) {
            self.lives.stamped.set(src, t);
        }
        if self.me != Some(src)
            && let Err(at) = self.fresh.binary_search(&src)
        {
            self.fresh.insert(at, src);
        }
        self.metrics.total_ops += 1;
        self.unsettled += 1;
    }

    /// Counts an operation of another replica, and writes it.
    fn take_in(&mut self, op: &Op) -> Outcome {
        // Whoever it depends on is known by now.
        let src = self.replicas.intern(&op.src);
        let seq = op.seq();
        self.count_in(src, seq, op.time.t);
        let stamp = Stamp {
            time: op.time,
            replica: src,
            seq,
        };
        let deps = op.deps.iter();
        let known = deps.filter_map(|(name, count)| Some((self.replicas.find(name)?, *count)));
        let counted = known.filter(|(replica, _)| self.clock.get(*replica) > 0);
        self.log.push(src, op, counted);
        let outcome = match op.write() {
            Some(write) => self.tree.write(&self.replicas, &op.path, stamp, write),
            None => Outcome::Hidden,
        };
        if let Some(ended) = &op.ended {
            self.fold(src, seq, ended);
        }
        outcome
    }

    /// Whether the log still has every operation that somebody with this clock lacks.
    pub fn covers(&self, clock: &VectorClock) -> bool {
        let (since, until_ms) = self.counts(clock);
        let seen = Seen::new(&self.replicas, &since, until_ms);
        self.log.covers(&seen, &self.lives.stamped)
            && (self.lives.horizon.is_seen(&since, until_ms)
                || self.log.covers_folds(&self.replicas, &since, until_ms))
    }

    /// The operations that somebody with this clock lacks.
    pub fn since(&self, clock: &VectorClock) -> Difference {
        let (since, until_ms) = self.counts(clock);
        let seen = Seen::new(&self.replicas, &since, until_ms);
        Difference {
            ops: self.log.since(&self.replicas, &seen),
            is_complete: self.covers(clock),
        }
    }
}

fn no_stamp(after: &str) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!("the write would have to be stamped later than the year 9999, as {after} is"),
    )
}

fn check_name(what: &str, name: &str) -> Result<()> {
    let max = limits::CRDT_OWN_REPLICA_BYTES_MAX;
    let max = if what == "a source" {
        limits::CRDT_REPLICA_BYTES_MAX
    } else {
        max
    };
    if name == HORIZON {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{what} can't be {HORIZON:?}"),
        ));
    }
    if (1..=max).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!("{what} must be 1 to {max} bytes long, not {}", name.len()),
    ))
}
