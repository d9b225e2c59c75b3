//! Replicas that write at random and exchange what they wrote in any causal order, with duplicates,
//! losses that are made up for later, and forgotten deletes: they end the same, and as a replay says.

use std::collections::HashSet;
use std::sync::Arc;

use distflow_core::crdt::document::{Document, Options, Received};
use distflow_core::crdt::json::Json;
use distflow_core::crdt::op::{COUNT_MAX, Kind, Op};
use distflow_core::crdt::path::Path;
use distflow_core::crdt::shape::{self, Write};
use distflow_core::crdt::stamp::{Time, compare_utf16};
use distflow_core::crdt::value::Value;
use distflow_core::limits::CRDT_TIME_MS_MAX;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::tree::{value, writes};

const NAMES: [&str; 5] = ["A", "b", "C", "\u{ffff}", "😀"];
const START_MS: u64 = 1_700_000_000_000;

#[derive(Debug, Clone)]
pub enum Step {
    /// A replica writes; its clock is off by so much.
    Write(usize, u64, Path, Write),
    /// One is given some operation that was ever made, wanted or not.
    Give(usize, prop::sample::Index),
    /// One asks another for what it lacks.
    Exchange(usize, usize),
    /// One forgets what all have seen.
    Forget(usize),
    /// One forgets operations that it kept for others.
    Trim(usize, usize),
    /// Somebody keeps a snapshot of one.
    Snapshot(usize, Form),
    /// One takes in a snapshot that somebody kept.
    Merge(usize, prop::sample::Index),
    /// One goes back to it.
    Restore(usize, prop::sample::Index),
    /// One is given an operation that is stamped at the edge of what there is.
    Edge(usize, Path, Write, Time),
}

/// Who makes operations that are stamped at the edge.
const EVIL: &str = "evil";

fn edge() -> impl Strategy<Value = Time> {
    let last = |most: u64| prop_oneof![Just(most), Just(most - 1), Just(0)];
    let t = prop_oneof![
        Just(CRDT_TIME_MS_MAX - 1),
        Just(CRDT_TIME_MS_MAX),
        Just(CRDT_TIME_MS_MAX + 1),
        Just(COUNT_MAX),
    ];
    (t, last(COUNT_MAX)).prop_map(|(t, c)| Time { t, c })
}

#[derive(Debug, Clone, Copy)]
pub enum Form {
    Bytes,
    Json,
}

fn snapshot(document: &mut Document, form: Form) -> Vec<u8> {
    match form {
        Form::Bytes => document.snapshot(),
        Form::Json => document.snapshot_json().into_bytes(),
    }
}

fn step(count: usize) -> impl Strategy<Value = Step> {
    let replica = 0..count;
    prop_oneof![
        5 => (replica.clone(), 0..20u64, writes(2)).prop_map(|(replica, skew, mut writes)| {
            let (path, write) = writes.remove(0);
            Step::Write(replica, skew, path, write)
        }),
        6 => (replica.clone(), any::<prop::sample::Index>()).prop_map(|(to, op)| Step::Give(to, op)),
        1 => (replica.clone(), replica.clone()).prop_map(|(to, from)| Step::Exchange(to, from)),
        4 => replica.clone().prop_map(Step::Forget),
        1 => (replica.clone(), 0..4usize).prop_map(|(replica, keep)| Step::Trim(replica, keep)),
        2 => (replica.clone(), prop_oneof![Just(Form::Bytes), Just(Form::Json)])
            .prop_map(|(replica, form)| Step::Snapshot(replica, form)),
        1 => (replica.clone(), any::<prop::sample::Index>()).prop_map(|(to, at)| Step::Merge(to, at)),
        1 => (replica.clone(), any::<prop::sample::Index>()).prop_map(|(to, at)| Step::Restore(to, at)),
        1 => (replica, writes(2), edge()).prop_map(|(to, mut writes, time)| {
            let (path, write) = writes.remove(0);
            Step::Edge(to, path, write, time)
        }),
    ]
}

/// The document as it is defined: everything in the order of the stamps.
fn replay(initial: &Value, ops: &[Op]) -> Value {
    let mut ordered: Vec<&Op> = ops.iter().collect();
    ordered.sort_by(|a, b| {
        let times = a.time.cmp(&b.time);
        times
            .then_with(|| compare_utf16(&a.src, &b.src))
            .then_with(|| a.seq().cmp(&b.seq()))
    });
    let mut document = initial.clone();
    for op in ordered {
        if let Some(write) = op.write() {
            shape::apply(&mut document, &op.path, &write);
        }
    }
    document
}

fn exchange(to: &mut Document, from: &Document, now_ms: u64) {
    let difference = from.since(&to.clock());
    if !difference.is_complete {
        to.merge(&from.clone().snapshot(), now_ms).unwrap();
        return;
    }
    for op in difference.ops {
        // As it travels.
        let op = Op::decode(op.encode()).unwrap();
        assert_ne!(to.receive(op, now_ms).unwrap(), Received::Pending);
    }
}

/// How many replicas, what they begin with, and what happens to them.
pub type History = (Value, (usize, Vec<Step>));

pub fn history() -> impl Strategy<Value = History> {
    let steps = |count| (Just(count), vec(step(count), 1..60));
    (value(), (2..=NAMES.len()).prop_flat_map(steps))
}

/// Carries it out; then all exchange what they have, and are the same, and what a replay gives.
pub fn check((initial, (count, steps)): History) -> Result<(), TestCaseError> {
    let options = Options {
        tombstone_grace_ms: 0,
        ..Options::default()
    };
    let mut replicas: Vec<Document> = NAMES[..count]
        .iter()
        .map(|name| Document::new(name, Json::from(&initial), options.clone()).unwrap())
        .collect();
    for replica in &mut replicas {
        replica.set_members(Some(&NAMES[..count]));
    }
    let mut ops: Vec<Op> = Vec::new();
    let mut snapshots: Vec<Vec<u8>> = Vec::new();
    let mut edges = 0;
    let mut numbers = HashSet::new();
    for (at, step) in steps.into_iter().enumerate() {
        let now_ms = START_MS + at as u64;
        match step {
            Step::Write(replica, skew, path, write) => {
                let replica = &mut replicas[replica];
                let made = match write {
                    Write::Set(value) => {
                        let made = replica.set(&path, value.clone(), now_ms + skew);
                        // A local write is the last word where it is made.
                        if made.is_ok() {
                            let found = replica.get(&path).map(|json| json.value());
                            prop_assert_eq!(found, Some(value.value()));
                        }
                        made
                    }
                    Write::Delete => replica.delete(&path, now_ms + skew),
                };
                if let Ok(op) = made {
                    prop_assert!(numbers.insert((op.src.clone(), op.seq())), "{:?}", op);
                    ops.push(op);
                }
            }
            Step::Give(to, which) if !ops.is_empty() => {
                let op = which.get(&ops).clone();
                let before = replicas[to].clock();
                let received = replicas[to].receive(op.clone(), now_ms).unwrap();
                let is_new = replicas[to].clock() != before;
                prop_assert_eq!(received == Received::Applied, is_new);
            }
            Step::Give(..) => {}
            Step::Exchange(to, from) if to != from => {
                let giver = replicas[from].clone();
                exchange(&mut replicas[to], &giver, now_ms);
            }
            Step::Exchange(..) => {}
            Step::Forget(replica) => replicas[replica].drop_tombstones(now_ms + 100_000),
            Step::Trim(replica, keep) => replicas[replica].trim_log(keep),
            Step::Snapshot(replica, form) => {
                snapshots.push(snapshot(&mut replicas[replica], form));
            }
            Step::Merge(to, at) if !snapshots.is_empty() => {
                replicas[to]
                    .merge(at.get::<Vec<u8>>(&snapshots), now_ms)
                    .unwrap();
            }
            Step::Restore(to, at) if !snapshots.is_empty() => {
                replicas[to]
                    .restore(at.get::<Vec<u8>>(&snapshots), now_ms)
                    .unwrap();
            }
            Step::Merge(..) | Step::Restore(..) => {}
            Step::Edge(to, path, write, time) => {
                edges += 1;
                let kind = match write {
                    Write::Set(value) => Kind::Set(value),
                    Write::Delete => Kind::Tombstone,
                };
                let src: Arc<str> = Arc::from(EVIL);
                let op = Op {
                    own_id: None,
                    kind,
                    path: path.into(),
                    time,
                    deps: vec![(src.clone(), edges)],
                    src,
                    ended: None,
                };
                let op = Op::decode(op.encode()).unwrap();
                replicas[to].receive(op.clone(), now_ms).unwrap();
                ops.push(op);
            }
        }
    }
    let now_ms = START_MS + 1_000;
    // Once all have written after they had seen all, every delete may be forgotten.
    let mut round = 0;
    loop {
        for to in 0..count {
            for from in 0..count {
                let giver = replicas[from].clone();
                exchange(&mut replicas[to], &giver, now_ms);
            }
        }
        for replica in &mut replicas {
            replica.drop_tombstones(now_ms + 100_000);
            if round == 0 {
                ops.extend(replica.delete(&["other".into()], now_ms));
            }
        }
        // What waited for something can be ready after the last exchange of a round.
        let clocks: Vec<_> = replicas.iter().map(Document::clock).collect();
        round += 1;
        if round > 2 && clocks.windows(2).all(|pair| pair[0] == pair[1]) {
            break;
        }
        prop_assert!(round < 100, "{:?}", clocks);
    }
    // What only one had who went back is gone.
    let clock = replicas[0].clock();
    ops.retain(|op| clock.get(&op.src).is_some_and(|count| *count >= op.seq()));
    let expected = replay(&initial, &ops).canonical();
    for replica in &mut replicas {
        prop_assert_eq!(&replica.canonical(), &expected);
        prop_assert_eq!(&replica.clock(), &clock);
        let mut again = Document::new("again", &initial, Options::default()).unwrap();
        again
            .restore(&snapshot(replica, Form::Json), now_ms)
            .unwrap();
        prop_assert_eq!(&again.canonical(), &expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::config(1_500))]

    #[test]
    fn replicas_end_the_same(history in history()) {
        check(history)?;
    }
}
