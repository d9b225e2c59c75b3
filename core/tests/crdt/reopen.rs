//! Documents that are kept, with random histories, and other options at every opening: each opens as it
//! was closed, and no number is given twice.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use distflow_core::crdt::document::{Options, VectorClock, Waited};
use distflow_core::crdt::op::Op;
use distflow_core::crdt::path::Path;
use distflow_core::crdt::shape::Write;
use distflow_core::crdt::stamp::Time;
use distflow_core::storage::{Storage, Stored, Work};
use distflow_core::{JsonCrdt, Result};
use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::tree::writes;

/// A storage in memory, which the next life finds again.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Stored>>);

impl Storage for Memory {
    fn load(&mut self) -> Result<Stored> {
        Ok(self.0.lock().clone())
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.0.lock().records.push(record.to_vec());
        Ok(())
    }

    fn flush(&mut self) -> Result<Work> {
        Ok(Box::new(|| Ok(())))
    }

    fn checkpoint(&mut self, snapshot: Vec<u8>) -> Result<Work> {
        *self.0.lock() = Stored {
            snapshot: Some(snapshot),
            ..Stored::default()
        };
        Ok(Box::new(|| Ok(())))
    }
}

#[derive(Debug, Clone)]
pub enum Step {
    Write(Path, Write),
    /// It is given some operation of another, early or late.
    Give(prop::sample::Index),
    Snapshot,
    /// It merges a snapshot of its own, or of the others.
    Merge(prop::sample::Index),
    Restore(prop::sample::Index),
    Checkpoint,
    /// What waits is looked at, and given up if its time is over.
    Expire,
    Reopen(Given),
}

/// Options that could change what becomes of something.
#[derive(Debug, Clone)]
pub struct Given {
    pending_ops_max: usize,
    pending_ms: u64,
    log_ops_max: usize,
    auto_gc: bool,
    /// That another program may give.
    initial: &'static str,
}

impl Given {
    fn options(&self) -> Options {
        Options {
            pending_ops_max: self.pending_ops_max,
            pending_ms: self.pending_ms,
            log_ops_max: self.log_ops_max,
            auto_gc: self.auto_gc,
            tombstone_grace_ms: 0,
            ..Options::default()
        }
    }
}

fn given() -> impl Strategy<Value = Given> {
    let pending = (0..6usize, prop_oneof![Just(0), Just(60_000)]);
    let initial = prop_oneof![Just("{}"), Just(r#"{"a":{"c":7}}"#), Just("[1]")];
    (pending, 0..5usize, any::<bool>(), initial).prop_map(
        |((pending_ops_max, pending_ms), log_ops_max, auto_gc, initial)| Given {
            pending_ops_max,
            pending_ms,
            log_ops_max,
            auto_gc,
            initial,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => writes(2).prop_map(|mut writes| {
            let (path, write) = writes.remove(0);
            Step::Write(path, write)
        }),
        8 => index().prop_map(Step::Give),
        1 => Just(Step::Snapshot),
        1 => index().prop_map(Step::Merge),
        1 => index().prop_map(Step::Restore),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Expire),
        3 => given().prop_map(Step::Reopen),
    ]
}

/// What the others write, and what happens to the one that is kept.
pub type History = (Vec<(Path, Write)>, Given, Vec<Step>);

pub fn history() -> impl Strategy<Value = History> {
    (writes(16), given(), vec(step(), 1..60))
}

/// All that is to be the same in the next life.
#[derive(Debug, PartialEq)]
struct Seen {
    text: String,
    clock: VectorClock,
    source: String,
    local: Time,
    waiting: BTreeSet<Waited>,
}

fn seen(document: &JsonCrdt) -> Seen {
    let (source, local, waiting) = document.with(|document, _| {
        let waiting = document.waiting().into_iter().collect();
        (document.source().to_owned(), document.local(), waiting)
    });
    Seen {
        text: document.canonical(),
        clock: document.clock(),
        source,
        local,
        waiting,
    }
}

/// Two others, of which the second knows what the first wrote.
fn others(writes: Vec<(Path, Write)>) -> (Vec<Op>, Vec<Vec<u8>>) {
    let made = |name| JsonCrdt::new(name, "{}", Options::default()).unwrap();
    let (first, second) = (made("first"), made("second"));
    let (mut ops, mut snapshots) = (Vec::new(), Vec::new());
    for (at, (path, write)) in writes.into_iter().enumerate() {
        let writer = if at % 3 == 2 { &second } else { &first };
        let op = match write {
            Write::Set(value) => writer.set(path, value),
            Write::Delete => writer.delete(path),
        };
        let Ok(op) = op else {
            continue;
        };
        if at % 3 != 2 {
            second.receive(op.clone()).unwrap();
        }
        ops.push(op);
        if at % 4 == 0 {
            snapshots.push(second.snapshot());
        }
    }
    (ops, snapshots)
}

pub fn check((theirs, first, steps): History) -> std::result::Result<(), TestCaseError> {
    let (ops, mut snapshots) = others(theirs);
    let memory = Memory::default();
    let open = |given: &Given| {
        let storage = Box::new(memory.clone());
        JsonCrdt::with_storage(storage, "me", given.initial, given.options()).unwrap()
    };
    let mut document = open(&first);
    let mut numbers = HashSet::new();
    for step in steps {
        match step {
            Step::Write(path, write) => {
                let made = match write {
                    Write::Set(value) => document.set(path, value),
                    Write::Delete => document.delete(path),
                };
                if let Ok(op) = made {
                    prop_assert!(numbers.insert((op.src.clone(), op.seq())), "{op:?}");
                }
            }
            Step::Give(which) if !ops.is_empty() => {
                // Some find no room.
                let _ = document.receive(which.get(&ops).clone());
            }
            Step::Snapshot => snapshots.push(document.snapshot()),
            Step::Merge(which) if !snapshots.is_empty() => {
                document.merge(which.get::<Vec<u8>>(&snapshots)).unwrap();
            }
            Step::Restore(which) if !snapshots.is_empty() => {
                document.restore(which.get::<Vec<u8>>(&snapshots)).unwrap();
            }
            Step::Give(_) | Step::Merge(_) | Step::Restore(_) => {}
            Step::Checkpoint => document.checkpoint().unwrap(),
            Step::Expire => document.with(|document, now_ms| document.expire_pending(now_ms)),
            Step::Reopen(given) => {
                let before = seen(&document);
                drop(document);
                document = open(&given);
                prop_assert_eq!(seen(&document), before);
            }
        }
    }
    let before = seen(&document);
    drop(document);
    prop_assert_eq!(seen(&open(&first)), before);
    Ok(())
}

proptest! {
    #![proptest_config(crate::config(2_000))]

    #[test]
    fn a_document_opens_as_it_was_closed(history in history()) {
        check(history)?;
    }
}
