//! When something was written: hybrid logical time, and the replica that wrote it.
//!
//! Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally Distributed
//! Databases" (2014), as far as the originals follow it (json-crdt.md 2).

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use crate::crdt::op::COUNT_MAX;
use crate::limits::CRDT_TIME_MS_MAX;

/// A replica's number in the tables of one document; means nothing elsewhere.
pub type ReplicaIndex = u32;

/// A point in hybrid logical time: Unix milliseconds and a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Time {
    /// Unix milliseconds.
    pub t: u64,
    /// Counter within the millisecond.
    pub c: u64,
}

impl Time {
    /// The next one after this that everybody takes, if there is one.
    pub fn next(self) -> Option<Self> {
        let (t, c) = match self.c < COUNT_MAX || crate::plant::active("stamps_without_edge") {
            true => (self.t, self.c + 1),
            false => (self.t + 1, 0),
        };
        Self { t, c }.checked()
    }

    /// This, unless it is too late to have an effect.
    pub fn checked(self) -> Option<Self> {
        let is_in_time = self.t <= CRDT_TIME_MS_MAX || crate::plant::active("stamps_without_edge");
        is_in_time.then_some(self)
    }
}

/// What orders writes: time, then replica, then the replica's sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// When.
    pub time: Time,
    /// By whom.
    pub replica: ReplicaIndex,
    /// Which of its operations; 0 only for what was there before all of them.
    pub seq: u64,
}

impl Stamp {
    /// Before every write: of the initial document.
    pub const INITIAL: Self = Self {
        time: Time { t: 0, c: 0 },
        replica: ReplicaIndex::MAX,
        seq: 0,
    };
}

const FEW: usize = 8;

/// The replicas that one document has heard of.
#[derive(Debug, Clone, Default)]
pub struct Replicas {
    names: Vec<Arc<str>>,
    indices: HashMap<Arc<str>, ReplicaIndex>,
}

impl Replicas {
    /// The number of a replica, given to it at the first time.
    pub fn intern(&mut self, name: &str) -> ReplicaIndex {
        if let Some(index) = self.find(name) {
            return index;
        }
        let index = self.names.len() as ReplicaIndex;
        let name: Arc<str> = Arc::from(name);
        self.names.push(name.clone());
        self.indices.insert(name, index);
        index
    }

    /// The number of a replica that was heard of.
    pub fn find(&self, name: &str) -> Option<ReplicaIndex> {
        // Few are found sooner by looking than by hashing.
        if self.names.len() <= FEW {
            let found = self.names.iter().position(|known| **known == *name);
            return found.map(|at| at as ReplicaIndex);
        }
        self.indices.get(name).copied()
    }

    /// Its name.
    pub fn name(&self, index: ReplicaIndex) -> &str {
        self.names.get(index as usize).map_or("", |name| name)
    }

    /// Its name, shared.
    pub fn shared(&self, index: ReplicaIndex) -> Arc<str> {
        let name = self.names.get(index as usize);
        name.cloned().unwrap_or_else(|| Arc::from(""))
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Takes out the one that was heard of last: nothing refers to it yet.
    pub(in crate::crdt) fn forget_last(&mut self) {
        if let Some(name) = self.names.pop() {
            self.indices.remove(&name);
        }
    }

    /// Keeps those that are used; gives the new number of each old one. Their order stays.
    pub(in crate::crdt) fn keep(&mut self, used: &[bool]) -> Vec<ReplicaIndex> {
        let mut places = Vec::with_capacity(used.len());
        let mut kept = Self::default();
        for (name, used) in self.names.iter().zip(used) {
            places.push(if *used {
                kept.intern(name)
            } else {
                ReplicaIndex::MAX
            });
        }
        *self = kept;
        places
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The order of writes.
    pub fn compare(&self, a: &Stamp, b: &Stamp) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        a.time.cmp(&b.time).then_with(|| {
            if a.replica == b.replica {
                return a.seq.cmp(&b.seq);
            }
            if a.seq == 0 || b.seq == 0 {
                return a.seq.cmp(&b.seq);
            }
            compare_utf16(self.name(a.replica), self.name(b.replica)).then(a.seq.cmp(&b.seq))
        })
    }

    /// Whether the first is later.
    #[inline]
    pub fn is_after(&self, a: &Stamp, b: &Stamp) -> bool {
        let time = |stamp: &Stamp| u128::from(stamp.time.t) << 64 | u128::from(stamp.time.c);
        match time(a) == time(b) {
            true => self.compare(a, b) == Ordering::Greater,
            false => time(a) > time(b),
        }
    }

    /// The later one.
    pub fn later(&self, a: Stamp, b: Stamp) -> Stamp {
        if self.is_after(&a, &b) { a } else { b }
    }

    /// Puts a stamp in the place of an earlier one.
    pub fn raise(&self, place: &mut Stamp, stamp: &Stamp) {
        if self.is_after(stamp, place) {
            *place = *stamp;
        }
    }

    /// The earlier one.
    pub fn earlier(&self, a: Stamp, b: Stamp) -> Stamp {
        if self.is_after(&a, &b) { b } else { a }
    }
}

/// Text in the order of JavaScript's `<`: by UTF-16 units, which is not the order of UTF-8 bytes.
pub fn compare_utf16(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_every_time_but_the_last_there_is_a_next_one() {
        let time = |t, c| Time { t, c };
        assert_eq!(time(5, 7).next(), Some(time(5, 8)));
        assert_eq!(time(5, COUNT_MAX).next(), Some(time(6, 0)));
        assert_eq!(
            time(CRDT_TIME_MS_MAX, 0).next(),
            Some(time(CRDT_TIME_MS_MAX, 1))
        );
        assert_eq!(time(CRDT_TIME_MS_MAX, COUNT_MAX).next(), None);
        assert_eq!(time(COUNT_MAX, 0).next(), None);
    }

    #[test]
    fn replicas_are_ordered_as_javascript_does() {
        assert_eq!(compare_utf16("\u{ffff}", "😀"), Ordering::Greater);
        assert_eq!("\u{ffff}".cmp("😀"), Ordering::Less);
        assert_eq!(compare_utf16("A", "a"), Ordering::Less);
    }
}
