//! The operations that a document keeps for its peers.
//!
//! An entry holds what its source's clock had gained since its last operation, not the whole clock, and
//! so it is handed out: who has taken in the source's operation before has all the rest (dots).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::crdt::horizon::{self, Horizon, Seen};
use crate::crdt::op::{Ended, Kind, Op};
use crate::crdt::path::Segment;
use crate::crdt::stamp::{ReplicaIndex, Replicas, Time};

/// Counts of operations by replica, in order of the replicas' numbers; those without one are not
/// there, or many replicas that know few of each other would cost their square.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts(Vec<(ReplicaIndex, u64)>);

impl Counts {
    fn find(&self, replica: ReplicaIndex) -> std::result::Result<usize, usize> {
        self.0.binary_search_by_key(&replica, |(known, _)| *known)
    }

    pub fn get(&self, replica: ReplicaIndex) -> u64 {
        let at = self.find(replica);
        at.ok()
            .and_then(|at| self.0.get(at))
            .map_or(0, |(_, count)| *count)
    }

    pub fn set(&mut self, replica: ReplicaIndex, count: u64) {
        match self.find(replica) {
            Ok(at) => self.0[at].1 = count,
            Err(at) => self.0.insert(at, (replica, count)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn retain(&mut self, stays: impl Fn(ReplicaIndex, u64) -> bool) {
        self.0.retain(|(replica, count)| stays(*replica, *count));
    }

    /// Gives the replicas other numbers, in the same order.
    pub fn renumber(&mut self, place: impl Fn(ReplicaIndex) -> ReplicaIndex) {
        self.0
            .iter_mut()
            .for_each(|(replica, _)| *replica = place(*replica));
    }

    /// Whether it counts at least as many of each.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .iter()
            .all(|(replica, count)| self.get(replica) >= count)
    }

    /// Counts at least as many of each from now on.
    pub fn raise(&mut self, other: &Self) {
        for (replica, count) in other.iter() {
            if count > self.get(replica) {
                self.set(replica, count);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (ReplicaIndex, u64)> {
        self.0.iter().copied()
    }
}

#[derive(Debug, Clone)]
struct Entry {
    src: ReplicaIndex,
    seq: u64,
    time: Time,
    own_id: Option<Arc<str>>,
    kind: Kind,
    path: Arc<[Segment]>,
    ended: Option<Arc<Ended>>,
    /// What the source had seen more than at its operation before, itself excepted.
    gained: Box<[(ReplicaIndex, u64)]>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// How many entries went before the first one.
    gone: u64,
    /// By source, the places of its entries in the whole log, those that went included.
    places: Vec<VecDeque<u64>>,
    /// By source, the number of its last operation that was trimmed.
    trimmed: Counts,
    /// By source, its clock at its last operation of all.
    last: Vec<Counts>,
    /// Sources of entries that are counted no longer.
    forgotten: HashSet<ReplicaIndex>,
    /// What was folded by operations that were trimmed.
    trimmed_folds: Horizon,
}

fn of<T: Default>(entries: &mut Vec<T>, replica: ReplicaIndex) -> &mut T {
    let at = replica as usize;
    if entries.len() <= at {
        entries.resize_with(at + 1, T::default);
    }
    &mut entries[at]
}

impl Log {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds an operation of a source, which had seen so many of each replica by then: all of them, or
    /// those of which it had seen more than at its operation before.
    pub fn push(
        &mut self,
        src: ReplicaIndex,
        op: &Op,
        clock: impl Iterator<Item = (ReplicaIndex, u64)>,
    ) {
        let last = of(&mut self.last, src);
        let (mut seq, mut gained) = (0, Vec::new());
        for (replica, count) in clock {
            if replica == src {
                seq = count;
            } else if count > last.get(replica) {
                last.set(replica, count);
                gained.push((replica, count));
            }
        }
        last.set(src, seq.max(last.get(src)));
        of(&mut self.places, src).push_back(self.gone + self.entries.len() as u64);
        self.entries.push_back(Entry {
            src,
            seq,
            time: op.time,
            own_id: op.own_id.clone(),
            kind: op.kind.clone(),
            path: op.path.clone(),
            ended: op.ended.clone(),
            gained: gained.into(),
        });
    }

    /// What a replica had seen at its last operation that was seen here.
    pub fn seen_by(&self, replica: ReplicaIndex) -> Option<&Counts> {
        self.last.get(replica as usize)
    }

    /// Forgets the oldest until so many are left; how many went.
    pub fn trim(&mut self, keep: usize) -> usize {
        let removed = self.entries.len().saturating_sub(keep);
        for entry in self.entries.drain(..removed) {
            let places = of(&mut self.places, entry.src);
            places.pop_front();
            let is_counted = !self.forgotten.contains(&entry.src);
            if is_counted {
                self.trimmed.set(entry.src, entry.seq);
            } else if places.is_empty() {
                self.forgotten.remove(&entry.src);
            }
            if let Some(ended) = entry.ended {
                let mut by = Counts::default();
                if is_counted {
                    by.set(entry.src, entry.seq);
                }
                self.trimmed_folds.raise(ended.until_ms, &by);
            }
        }
        self.gone += removed as u64;
        removed
    }

    /// Whether an operation of a source, if it is still here, is this one; the number is the
    /// operation's.
    pub fn is_same(&self, src: ReplicaIndex, op: &Op) -> Option<bool> {
        let seq = op.seq();
        let places = self.places.get(src as usize)?;
        let entry = |place: &u64| self.entries.get((place - self.gone) as usize);
        let at = places.partition_point(|place| entry(place).is_some_and(|entry| entry.seq < seq));
        let entry = places.get(at).and_then(entry)?;
        (entry.seq == seq)
            .then(|| entry.time == op.time && entry.path == op.path && entry.kind.is_same(&op.kind))
    }

    /// Whether every operation that somebody with this clock lacks is still here, as far as their sources
    /// are counted.
    pub fn covers(&self, seen: &Seen<'_>, stamped: &Counts) -> bool {
        let mut trimmed = self.trimmed.iter();
        trimmed.all(|(src, seq)| seen.has(src, seq, stamped.get(src)))
    }

    /// The same of sources that are not counted any more, for somebody with this clock and horizon.
    pub fn covers_folds(&self, replicas: &Replicas, since: &Counts, until_ms: u64) -> bool {
        if !self.trimmed_folds.is_seen(since, until_ms) {
            return false;
        }
        let is_here = |(name, seq): &(Arc<str>, u64)| {
            let src = replicas.find(name).unwrap_or(ReplicaIndex::MAX);
            let has = since.get(src);
            let is_behind = || has == 0 && horizon::is_behind(name, until_ms);
            has >= *seq || is_behind() || self.count_after(src, has) == seq - has
        };
        let lacked = |entry: &&Entry| entry.seq > since.get(entry.src);
        let folds = self.entries.iter().filter(lacked);
        let mut folds = folds.filter_map(|entry| entry.ended.as_ref());
        folds.all(|ended| ended.until_ms <= until_ms || ended.sources.iter().all(is_here))
    }

    /// How many entries of a source have greater numbers.
    fn count_after(&self, src: ReplicaIndex, seq: u64) -> u64 {
        let Some(places) = self.places.get(src as usize) else {
            return 0;
        };
        let entry = |place: &u64| self.entries.get((place - self.gone) as usize);
        let at = places.partition_point(|place| entry(place).is_some_and(|entry| entry.seq <= seq));
        (places.len() - at) as u64
    }

    /// Forgets of sources how many operations of theirs were seen, by whomever.
    pub fn forget_sources(&mut self, gone: &HashSet<ReplicaIndex>) {
        let stays = |replica: ReplicaIndex, _: u64| !gone.contains(&replica);
        self.trimmed.retain(stays);
        self.trimmed_folds.by.retain(stays);
        for (src, last) in self.last.iter_mut().enumerate() {
            match gone.contains(&(src as ReplicaIndex)) {
                true => *last = Counts::default(),
                false => last.retain(stays),
            }
        }
        for &src in gone {
            if !of(&mut self.places, src).is_empty() {
                self.forgotten.insert(src);
            }
        }
    }

    /// Calls with the source, number and time of every operation.
    pub fn each_time(&self, look: &mut impl FnMut(ReplicaIndex, u64, Time)) {
        for entry in &self.entries {
            look(entry.src, entry.seq, entry.time);
        }
    }

    /// Calls with every replica that something here refers to.
    pub fn each_replica(&self, mark: &mut impl FnMut(ReplicaIndex)) {
        for entry in &self.entries {
            mark(entry.src);
            entry.gained.iter().for_each(|(replica, _)| mark(*replica));
        }
        for (src, last) in self.last.iter().enumerate() {
            if !last.is_empty() {
                mark(src as ReplicaIndex);
            }
            last.iter().for_each(|(replica, _)| mark(replica));
        }
        for counts in [&self.trimmed, &self.trimmed_folds.by] {
            counts.iter().for_each(|(replica, _)| mark(replica));
        }
        self.forgotten.iter().for_each(|replica| mark(*replica));
    }

    /// Gives the replicas other numbers, in the same order; those that nothing refers to have none.
    pub fn renumber(&mut self, places: &[ReplicaIndex]) {
        let place = |replica: ReplicaIndex| {
            places
                .get(replica as usize)
                .copied()
                .unwrap_or(ReplicaIndex::MAX)
        };
        for entry in &mut self.entries {
            entry.src = place(entry.src);
            for (replica, _) in &mut entry.gained {
                *replica = place(*replica);
            }
        }
        for counts in [&mut self.trimmed, &mut self.trimmed_folds.by] {
            counts.renumber(place);
        }
        self.last.iter_mut().for_each(|last| last.renumber(place));
        let kept = |at: usize| place(at as ReplicaIndex) != ReplicaIndex::MAX;
        let last = std::mem::take(&mut self.last).into_iter().enumerate();
        self.last = last
            .filter(|(at, _)| kept(*at))
            .map(|(_, last)| last)
            .collect();
        let old = std::mem::take(&mut self.places).into_iter().enumerate();
        self.places = old
            .filter(|(at, _)| kept(*at))
            .map(|(_, places)| places)
            .collect();
        self.forgotten = self
            .forgotten
            .iter()
            .map(|replica| place(*replica))
            .collect();
    }

    /// The operations that somebody with this clock lacks, in the order in which they were applied.
    pub fn since(&self, replicas: &Replicas, seen: &Seen<'_>) -> Vec<Op> {
        let lacked = |entry: &&Entry| !seen.has(entry.src, entry.seq, entry.time.t);
        let entries = self.entries.iter().filter(lacked);
        entries.map(|entry| entry.op(replicas)).collect()
    }

    /// The operations at these places of the log.
    pub fn range(&self, replicas: &Replicas, from: usize, to: usize) -> Vec<Op> {
        let count = to.saturating_sub(from);
        let entries = self.entries.iter().skip(from).take(count);
        entries.map(|entry| entry.op(replicas)).collect()
    }

    /// Forgets all operations; the clocks of the sources at their last ones are these.
    pub fn begin_after(&mut self, last: Vec<Counts>, horizon: &Horizon) {
        *self = Self::default();
        self.trimmed_folds = horizon.clone();
        for (at, clock) in last.iter().enumerate() {
            let src = at as ReplicaIndex;
            let count = clock.get(src);
            if count > 0 {
                self.trimmed.set(src, count);
            }
        }
        self.last = last;
    }

    /// What was learned without operations: the clocks of sources that somebody else had seen more
    /// of. Their operations go, as those after them are missing here.
    pub fn skip_to(&mut self, last: Vec<Counts>, horizon: &Horizon) {
        self.trimmed_folds.raise(horizon.until_ms, &horizon.by);
        let mut has_gone = false;
        for (at, clock) in last.into_iter().enumerate() {
            let src = at as ReplicaIndex;
            if clock.get(src) > of(&mut self.last, src).get(src) {
                self.trimmed.set(src, clock.get(src));
                self.forgotten.remove(&src);
                *of(&mut self.last, src) = clock;
                if !crate::plant::active("log_with_gaps") {
                    has_gone |= !std::mem::take(of(&mut self.places, src)).is_empty();
                }
            }
        }
        if has_gone {
            self.entries.retain(|entry| {
                let places = self.places.get(entry.src as usize);
                places.is_some_and(|places| !places.is_empty())
            });
            self.places.iter_mut().for_each(VecDeque::clear);
            for (at, entry) in self.entries.iter().enumerate() {
                of(&mut self.places, entry.src).push_back(self.gone + at as u64);
            }
        }
    }

    /// By source, its clock at its last operation.
    pub fn last(&self) -> &[Counts] {
        &self.last
    }
}

impl Entry {
    fn op(&self, replicas: &Replicas) -> Op {
        let own = (self.src, self.seq);
        let gained = self.gained.iter().chain([&own]);
        Op {
            own_id: self.own_id.clone(),
            kind: self.kind.clone(),
            path: self.path.clone(),
            ended: self.ended.clone(),
            time: self.time,
            deps: gained
                .map(|(replica, count)| (replicas.shared(*replica), *count))
                .collect(),
            src: replicas.shared(self.src),
        }
    }
}
