//! Virtual time: what happens when, in one order for one seed.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::checks::Check;
use crate::faults::Fault;
use crate::network::{ConnIx, Segment, Side};

/// A process, numbered in order of birth and never reused.
pub type Pid = usize;

/// One millisecond in the unit of virtual time.
pub const MS: u64 = 1_000;
/// One second in the unit of virtual time.
pub const SECOND: u64 = 1_000 * MS;

/// Something that happens at a moment.
#[derive(Debug)]
pub enum Event {
    /// A part of a stream arrives at that side.
    Arrive(ConnIx, Side, Segment),
    /// A request to connect arrives at its target.
    Syn(ConnIx, u32),
    /// The dialler learns how its request ended.
    Dialled(ConnIx, Dial),
    /// The peer has read: there is room to write.
    Room(ConnIx, Side),
    /// Keep-alive or user timeout of a side, if that cut still lasts.
    Silence(ConnIx, Side, u64),
    /// A process looks at what is ready.
    Turn(Pid),
    /// A process' timer.
    Timer(Pid),
    /// The kernel closes the sockets of a killed process.
    Reap(Pid),
    /// A launch of a PMD ends.
    Launched(Pid),
    /// A slot's application does something.
    Work(usize),
    /// A slot's application takes messages.
    Consume(Pid),
    /// A slot's process is to be started again.
    Restart(usize),
    /// A slot's process starts.
    Birth(usize),
    /// The PMD is started again, if it is down.
    RestartPmd,
    /// A fault begins.
    Fault(Fault),
    /// What was cut heals.
    Heal(usize, usize, u64),
    /// A frozen process goes on.
    Thaw(Pid),
    /// A promise is looked at.
    Check(Check),
}

/// How a request to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dial {
    /// Connected.
    Ok,
    /// Nothing listens there.
    Refused,
    /// No answer.
    Timeout,
}

struct Item {
    at_us: u64,
    seq: u64,
    event: Event,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        // Reversed: the heap's greatest is the earliest.
        (other.at_us, other.seq).cmp(&(self.at_us, self.seq))
    }
}

/// What is to come.
#[derive(Default)]
pub struct Queue {
    heap: BinaryHeap<Item>,
    seq: u64,
}

impl Queue {
    pub fn push(&mut self, at_us: u64, event: Event) {
        self.seq += 1;
        self.heap.push(Item {
            at_us,
            seq: self.seq,
            event,
        });
    }

    /// The earliest event, unless it is later than `until_us`.
    pub fn pop(&mut self, until_us: u64) -> Option<(u64, Event)> {
        if self.heap.peek()?.at_us > until_us {
            return None;
        }
        self.heap.pop().map(|item| (item.at_us, item.event))
    }
}
