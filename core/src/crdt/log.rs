//! The operations that a document keeps for its peers.
//!
//! An entry holds what its source's clock had gained since its last operation, not the whole clock:
//! clocks are put together again when operations are handed out.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::crdt::op::{Kind, Op};
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
    /// What the source had seen more than at its operation before, itself excepted.
    gained: Box<[(ReplicaIndex, u64)]>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// By source, its clock at its last operation that was trimmed.
    trimmed: Vec<Counts>,
    /// By source, its clock at its last operation of all.
    last: Vec<Counts>,
}

fn of(clocks: &mut Vec<Counts>, replica: ReplicaIndex) -> &mut Counts {
    let at = replica as usize;
    if clocks.len() <= at {
        clocks.resize(at + 1, Counts::default());
    }
    &mut clocks[at]
}

impl Log {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds an operation of a source, which had seen so many of each replica by then.
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
        self.entries.push_back(Entry {
            src,
            seq,
            time: op.time,
            own_id: op.own_id.clone(),
            kind: op.kind.clone(),
            path: op.path.clone(),
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
            advance(&mut self.trimmed, &entry);
        }
        removed
    }

    /// Whether every operation that somebody with this clock lacks is still here.
    pub fn covers(&self, since: &Counts) -> bool {
        let mut trimmed = self.trimmed.iter().enumerate();
        trimmed.all(|(at, clock)| {
            let src = at as ReplicaIndex;
            clock.get(src) <= since.get(src)
        })
    }

    /// The operations that somebody with this clock lacks, in the order in which they were applied.
    pub fn since(&self, replicas: &Replicas, since: &Counts) -> Vec<Op> {
        let mut ops = Vec::new();
        self.each(|entry, clock| {
            if entry.seq > since.get(entry.src) {
                ops.push(entry.op(replicas, clock));
            }
        });
        ops
    }

    /// The operations at these places of the log.
    pub fn range(&self, replicas: &Replicas, from: usize, to: usize) -> Vec<Op> {
        let (mut ops, mut at) = (Vec::new(), 0);
        self.each(|entry, clock| {
            if (from..to).contains(&at) {
                ops.push(entry.op(replicas, clock));
            }
            at += 1;
        });
        ops
    }

    fn each(&self, mut look: impl FnMut(&Entry, &Counts)) {
        let mut clocks = self.trimmed.clone();
        for entry in &self.entries {
            look(entry, advance(&mut clocks, entry));
        }
    }

    /// Forgets all operations; the clocks of the sources at their last ones are these.
    pub fn begin_after(&mut self, last: Vec<Counts>) {
        self.entries.clear();
        self.trimmed.clone_from(&last);
        self.last = last;
    }

    /// What was learned without operations: the clocks of sources that somebody else had seen more
    /// of. Their operations go, as those after them are missing here.
    pub fn skip_to(&mut self, last: Vec<Counts>) {
        for (at, clock) in last.into_iter().enumerate() {
            let src = at as ReplicaIndex;
            if clock.get(src) > of(&mut self.last, src).get(src) {
                *of(&mut self.trimmed, src) = clock.clone();
                *of(&mut self.last, src) = clock;
                if !crate::plant::active("log_with_gaps") {
                    self.entries.retain(|entry| entry.src != src);
                }
            }
        }
    }

    /// By source, its clock at its last operation.
    pub fn last(&self) -> &[Counts] {
        &self.last
    }
}

fn advance<'a>(clocks: &'a mut Vec<Counts>, entry: &Entry) -> &'a Counts {
    let clock = of(clocks, entry.src);
    clock.set(entry.src, entry.seq);
    for (replica, count) in &entry.gained {
        clock.set(*replica, *count);
    }
    clock
}

impl Entry {
    fn op(&self, replicas: &Replicas, clock: &Counts) -> Op {
        Op {
            own_id: self.own_id.clone(),
            kind: self.kind.clone(),
            path: self.path.clone(),
            time: self.time,
            deps: clock
                .iter()
                .map(|(replica, count)| (replicas.shared(replica), count))
                .collect(),
            src: replicas.shared(self.src),
        }
    }
}
