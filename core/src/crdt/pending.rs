//! Operations that came before others that they depend on.
//!
//! Each waits for one operation at a time, so that nothing is looked through when one arrives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::crdt::op::Op;

/// An operation's source, and its number among the source's.
pub(super) type Dot = (Arc<str>, u64);

#[derive(Debug, Clone)]
struct Waiting {
    op: Op,
    came_ms: u64,
    bytes: usize,
    needs: Dot,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    ops: HashMap<Dot, Waiting>,
    needed: HashMap<Dot, Vec<Dot>>,
    /// In order of arrival: two of one millisecond are told apart by a number.
    arrivals: BTreeMap<(u64, u64), Dot>,
    arrived: u64,
    bytes: usize,
}

impl Pending {
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn contains(&self, dot: &Dot) -> bool {
        self.ops.contains_key(dot)
    }

    /// Keeps an operation until another has come.
    pub fn insert(&mut self, op: Op, needs: Dot, now_ms: u64) {
        let dot = (op.src.clone(), op.seq());
        let bytes = op.size();
        self.bytes += bytes;
        self.arrived += 1;
        self.arrivals.insert((now_ms, self.arrived), dot.clone());
        self.needed
            .entry(needs.clone())
            .or_default()
            .push(dot.clone());
        let came_ms = now_ms;
        self.ops.insert(
            dot,
            Waiting {
                op,
                came_ms,
                bytes,
                needs,
            },
        );
    }

    /// Lets one wait for another operation.
    pub fn wait_again(&mut self, dot: &Dot, needs: Dot) {
        if let Some(waiting) = self.ops.get_mut(dot) {
            self.needed
                .entry(needs.clone())
                .or_default()
                .push(dot.clone());
            waiting.needs = needs;
        }
    }

    /// Those that waited for an operation.
    pub fn woken_by(&mut self, dot: &Dot) -> Vec<Dot> {
        self.needed.remove(dot).unwrap_or_default()
    }

    /// All that is waited for.
    pub fn needed(&self) -> Vec<Dot> {
        self.needed.keys().cloned().collect()
    }

    /// Those that wait the longest, so many.
    pub fn oldest(&self, count: usize) -> Vec<&Op> {
        let ops = self.arrivals.values().filter_map(|dot| self.get(dot));
        ops.take(count).collect()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// One that waits.
    pub fn get(&self, dot: &Dot) -> Option<&Op> {
        self.ops.get(dot).map(|waiting| &waiting.op)
    }

    /// Takes one out that is no longer needed by name.
    pub fn take(&mut self, dot: &Dot) -> Option<Op> {
        let waiting = self.ops.remove(dot)?;
        self.bytes -= waiting.bytes;
        if let Some(others) = self.needed.get_mut(&waiting.needs) {
            others.retain(|other| other != dot);
            if others.is_empty() {
                self.needed.remove(&waiting.needs);
            }
        }
        // Arrivals of what is gone are passed over when they are the oldest.
        if self.arrivals.len() > 2 * self.ops.len() + 64 {
            let ops = &self.ops;
            self.arrivals.retain(|(came_ms, _), dot| {
                ops.get(dot)
                    .is_some_and(|waiting| waiting.came_ms == *came_ms)
            });
        }
        Some(waiting.op)
    }

    /// Gives up those that came before a time; which.
    pub fn expire(&mut self, before_ms: u64) -> Vec<Dot> {
        let mut removed = Vec::new();
        while let Some(oldest) = self.arrivals.first_entry() {
            if oldest.key().0 >= before_ms {
                break;
            }
            let came_ms = oldest.key().0;
            let dot = oldest.remove();
            if self
                .ops
                .get(&dot)
                .is_some_and(|waiting| waiting.came_ms == came_ms)
            {
                self.take(&dot);
                removed.push(dot);
            }
        }
        removed
    }
}
