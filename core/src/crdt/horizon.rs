//! The horizon: one entry for all lives that have ended.
//!
//! *Every operation stamped until then by a source that is not counted has been taken in.* How it
//! comes about is told in `document/ended.rs`.

use crate::crdt::log::Counts;
use crate::crdt::source;
use crate::crdt::stamp::{ReplicaIndex, Replicas, Stamp};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Horizon {
    /// Unix milliseconds; 0 when no life was ever folded.
    pub until_ms: u64,
    /// The operations that said so, by source the last one: who has seen these has seen it all.
    pub by: Counts,
}

impl Horizon {
    pub fn raise(&mut self, until_ms: u64, by: &Counts) {
        self.until_ms = self.until_ms.max(until_ms);
        self.by.raise(by);
    }

    /// Whether somebody with this clock and horizon has seen what it stands for.
    pub fn is_seen(&self, clock: &Counts, until_ms: u64) -> bool {
        self.until_ms <= until_ms || (!self.by.is_empty() && clock.covers(&self.by))
    }

    /// Whether a source, if it is not counted, is one of those that it stands for.
    pub fn has(&self, source: &str) -> bool {
        is_behind(source, self.until_ms)
    }
}

/// Whether a source, if somebody with this horizon does not count it, was counted before.
pub(super) fn is_behind(source: &str, until_ms: u64) -> bool {
    until_ms > 0 && source::birth_ms(source).is_some_and(|birth| birth <= until_ms)
}

/// What somebody has seen: a clock and a horizon.
pub(super) struct Seen<'a> {
    clock: &'a Counts,
    until_ms: u64,
    /// By source, whether it is one of those that the horizon stands for.
    folded: Vec<bool>,
}

impl<'a> Seen<'a> {
    pub fn new(replicas: &Replicas, clock: &'a Counts, until_ms: u64) -> Self {
        let is_folded = |(at, name): (usize, &str)| {
            clock.get(at as ReplicaIndex) == 0 && is_behind(name, until_ms)
        };
        Self {
            clock,
            until_ms,
            folded: match until_ms {
                0 => Vec::new(),
                _ => replicas.names().enumerate().map(is_folded).collect(),
            },
        }
    }

    pub fn is_folded(&self, replica: ReplicaIndex) -> bool {
        self.folded.get(replica as usize).copied().unwrap_or(false)
    }

    /// Whether an operation of a source was seen.
    pub fn has(&self, replica: ReplicaIndex, seq: u64, t: u64) -> bool {
        self.clock.get(replica) >= seq || (self.is_folded(replica) && t <= self.until_ms)
    }

    pub fn has_write(&self, stamp: &Stamp) -> bool {
        self.has(stamp.replica, stamp.seq, stamp.time.t)
    }
}
