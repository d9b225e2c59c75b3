//! Replicas that end and begin again, join and leave, while lives that have ended are counted no longer.
//!
//! Beside each replica stands the set of the operations that it has taken in. An operation that it says it
//! knows must be in there: so nothing is lost behind the horizon. At the end all are the same, and what a
//! replay of all that anybody has gives: so nothing comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use distflow_core::crdt::document::{Document, Event, Listening, Options, Received};
use distflow_core::crdt::json::Json;
use distflow_core::crdt::op::{HORIZON, Op};
use distflow_core::crdt::path::Path;
use distflow_core::crdt::shape::{self, Write};
use distflow_core::crdt::source;
use distflow_core::crdt::stamp::compare_utf16;
use distflow_core::crdt::value::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::tree::writes;

pub const NAMES: [&str; 3] = ["A", "b", "C"];
pub const START_MS: u64 = 1_700_000_000_000;
/// Whoever keeps an operation longer is a member.
const GRACE_MS: u64 = 60;
/// How long an operation waits for others.
const PENDING_MS: u64 = 10;

#[derive(Debug, Clone)]
pub enum Step {
    Write(usize, Path, Write),
    /// One is given an operation that is still under way; which of them, as a part of `u64::MAX`.
    Give(usize, u64),
    Exchange(usize, usize),
    /// One ends, and begins again with nothing.
    Restart(usize),
    /// The last one leaves, or is back.
    Leave,
    Forget(usize),
    Trim(usize, usize),
    Merge(usize, usize),
    Restore(usize, usize),
    Wait(u64),
    /// All exchange with all, and write.
    Meet,
}

fn step() -> impl Strategy<Value = Step> {
    let replica = 0..NAMES.len();
    let two = (replica.clone(), replica.clone());
    prop_oneof![
        6 => (replica.clone(), writes(2)).prop_map(|(replica, mut writes)| {
            let (path, write) = writes.remove(0);
            Step::Write(replica, path, write)
        }),
        4 => (replica.clone(), any::<u64>()).prop_map(|(to, op)| Step::Give(to, op)),
        6 => two.clone().prop_map(|(to, from)| Step::Exchange(to, from)),
        3 => replica.clone().prop_map(Step::Restart),
        1 => Just(Step::Leave),
        2 => replica.clone().prop_map(Step::Forget),
        1 => (replica, 0..4usize).prop_map(|(replica, keep)| Step::Trim(replica, keep)),
        1 => two.clone().prop_map(|(to, from)| Step::Merge(to, from)),
        1 => two.prop_map(|(to, from)| Step::Restore(to, from)),
        3 => (1..2 * GRACE_MS).prop_map(Step::Wait),
        3 => Just(Step::Meet),
    ]
}

type Dot = (Arc<str>, u64);

struct Replica {
    document: Document,
    has: BTreeSet<Dot>,
}

struct World {
    replicas: Vec<Replica>,
    ops: BTreeMap<Dot, Op>,
    lives: u64,
    /// How often a life was folded.
    folded: usize,
    members: usize,
}

fn dot(op: &Op) -> Dot {
    (op.src.clone(), op.seq())
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            replicas: Vec::new(),
            ops: BTreeMap::new(),
            lives: 0,
            folded: 0,
            members: NAMES.len(),
        };
        for at in 0..NAMES.len() {
            let replica = world.life(at);
            world.replicas.push(replica);
        }
        world
    }

    fn life(&mut self, at: usize) -> Replica {
        let options = Options {
            tombstone_grace_ms: GRACE_MS,
            pending_ms: PENDING_MS,
            ended_lives_min: 1,
            ..Options::default()
        };
        let mut document = Document::new(NAMES[at], Value::object(), options).unwrap();
        self.lives += 1;
        document.begin_source(self.lives);
        document.set_members(Some(&NAMES[..self.members]));
        document.set_listening(Listening::All);
        Replica {
            document,
            has: BTreeSet::new(),
        }
    }

    /// Notes what a replica says that it has taken in.
    fn note(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        while let Some(event) = replica.document.next_event() {
            match event {
                Event::Change(op) | Event::Sync(op) => drop(replica.has.insert(dot(&op))),
                Event::LivesFolded { removed, .. } => self.folded += removed,
                _ => {}
            }
        }
    }

    fn give(&mut self, to: usize, op: &Op, now_ms: u64) -> Result<(), TestCaseError> {
        let op = Op::decode(op.encode()).unwrap();
        let waits = self.replicas[to].document.metrics(now_ms).pending_size > 0;
        let had = self.replicas[to].has.contains(&dot(&op));
        let received = self.replicas[to].document.receive(op.clone(), now_ms);
        self.note(to);
        match received {
            Ok(Received::Duplicate) if !waits => {
                let has = self.replicas[to].has.contains(&dot(&op));
                prop_assert!(has, "{} says it knows {}", NAMES[to], op.id());
            }
            Ok(received) => prop_assert!(
                received != Received::Applied || !had,
                "{} takes {} in again",
                NAMES[to],
                op.id()
            ),
            Err(error) => prop_assert!(false, "{error}"),
        }
        Ok(())
    }

    fn exchange(&mut self, to: usize, from: usize, now_ms: u64) -> Result<(), TestCaseError> {
        let clock = self.replicas[to].document.clock();
        let difference = self.replicas[from].document.since(&clock);
        if !difference.is_complete {
            return self.merge(to, from, now_ms);
        }
        for op in difference.ops {
            self.give(to, &op, now_ms)?;
        }
        let has = self.replicas[from].has.clone();
        prop_assert!(has.is_subset(&self.replicas[to].has), "said to be complete");
        Ok(())
    }

    fn merge(&mut self, to: usize, from: usize, now_ms: u64) -> Result<(), TestCaseError> {
        let (snapshot, has) = self.snapshot(from);
        self.replicas[to].document.merge(&snapshot, now_ms).unwrap();
        self.replicas[to].has.extend(has);
        self.note(to);
        self.drop_what_no_member_has_had(to, from)
    }

    /// What came from a life straight to somebody who is no member, and to no member before it ended, is not
    /// part of the document: it goes with a member's snapshot. From a member nothing goes.
    fn drop_what_no_member_has_had(&mut self, to: usize, from: usize) -> Result<(), TestCaseError> {
        let clock = self.replicas[from].document.clock();
        let until_ms = clock.get(HORIZON).copied().unwrap_or(0);
        let known = self.replicas[from].has.clone();
        let is_over = |(source, seq): &Dot| {
            let is_early = |op: &Op| op.time.t <= until_ms;
            source::birth_ms(source).is_some_and(|birth| birth <= until_ms)
                && !clock.contains_key(source)
                && self.ops.get(&(source.clone(), *seq)).is_some_and(is_early)
        };
        let gone: Vec<Dot> = (self.replicas[to].has.difference(&known))
            .filter(|dot| is_over(dot))
            .cloned()
            .collect();
        for dot in gone {
            prop_assert!(to >= self.members, "{dot:?} is lost to a member");
            self.replicas[to].has.remove(&dot);
        }
        Ok(())
    }

    fn snapshot(&mut self, of: usize) -> (Vec<u8>, BTreeSet<Dot>) {
        let replica = &mut self.replicas[of];
        (replica.document.snapshot(), replica.has.clone())
    }

    fn write(&mut self, at: usize, path: &Path, write: Write, now_ms: u64) {
        let document = &mut self.replicas[at].document;
        let made = match write {
            Write::Set(value) => document.set(path, value, now_ms),
            Write::Delete => document.delete(path, now_ms),
        };
        self.ops.extend(made.map(|op| (dot(&op), op)));
        self.note(at);
    }

    fn tell_members(&mut self) {
        for replica in &mut self.replicas {
            replica.document.set_members(Some(&NAMES[..self.members]));
        }
    }
}

fn replay(ops: &BTreeMap<Dot, Op>, has: &BTreeSet<Dot>) -> Value {
    let mut ordered: Vec<&Op> = has.iter().filter_map(|dot| ops.get(dot)).collect();
    ordered.sort_by(|a, b| {
        let times = a.time.cmp(&b.time);
        let sources = times.then_with(|| compare_utf16(&a.src, &b.src));
        sources.then_with(|| a.seq().cmp(&b.seq()))
    });
    let mut document = Value::object();
    for op in ordered {
        shape::apply(&mut document, &op.path, &op.write().unwrap());
    }
    document
}

pub fn history() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..120)
}

/// Carries it out; how many lives were folded.
pub fn check(steps: Vec<Step>) -> Result<usize, TestCaseError> {
    let mut world = World::new();
    let mut now_ms = START_MS;
    for step in steps {
        now_ms += 1;
        match step {
            // Who has left does not write.
            Step::Write(at, path, write) if at < world.members => {
                world.write(at, &path, write, now_ms);
            }
            Step::Give(to, which) => {
                let young = |op: &&Op| op.time.t + GRACE_MS > now_ms;
                let ops: Vec<Op> = world.ops.values().filter(young).cloned().collect();
                let at = (ops.len() as u128 * u128::from(which)) >> 64;
                if let Some(op) = ops.get(at as usize) {
                    world.give(to, op, now_ms)?;
                }
            }
            // Nor does it pass on what it has.
            Step::Exchange(to, from) if to != from && from < world.members => {
                world.exchange(to, from, now_ms)?;
            }
            Step::Restart(at) => world.replicas[at] = world.life(at),
            Step::Leave => {
                let last = NAMES.len() - 1;
                world.members = if world.members == last {
                    NAMES.len()
                } else {
                    last
                };
                world.replicas[last] = world.life(last);
                world.exchange(last, 0, now_ms)?;
                world.tell_members();
            }
            Step::Forget(at) => world.replicas[at].document.drop_tombstones(now_ms),
            Step::Trim(at, keep) => world.replicas[at].document.trim_log(keep),
            Step::Merge(to, from) if from < world.members => world.merge(to, from, now_ms)?,
            Step::Restore(to, from) if from < world.members => {
                let (snapshot, has) = world.snapshot(from);
                world.replicas[to]
                    .document
                    .restore(&snapshot, now_ms)
                    .unwrap();
                world.note(to);
                world.replicas[to].has = has;
            }
            Step::Wait(ms) => now_ms += ms,
            Step::Meet => {
                for from in 0..world.members {
                    world.write(from, &vec!["met".into()], Write::Delete, now_ms);
                    for to in (0..NAMES.len()).filter(|to| *to != from) {
                        world.exchange(to, from, now_ms)?;
                    }
                }
            }
            Step::Write(..) | Step::Exchange(..) | Step::Merge(..) | Step::Restore(..) => {}
        }
    }
    let last_ms = now_ms + 1;
    let mut round = 0;
    loop {
        for to in 0..NAMES.len() {
            for from in 0..world.members {
                if to != from {
                    world.exchange(to, from, last_ms)?;
                }
            }
        }
        let first = world.replicas[0].has.clone();
        let mut members = world.replicas[..world.members].iter();
        if members.all(|replica| replica.has == first) {
            break;
        }
        round += 1;
        prop_assert!(round < 20, "they do not end");
    }
    for (at, replica) in world.replicas.iter_mut().enumerate() {
        let expected = replay(&world.ops, &replica.has).canonical();
        prop_assert_eq!(&replica.document.canonical(), &expected, "{}", NAMES[at]);
    }
    Ok(world.folded)
}

/// The same histories every time, or as many as CASES says.
#[test]
fn nothing_is_lost_and_nothing_comes_back() {
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(crate::config(1_000), random);
    let checked = runner.run(&history(), |steps| check(steps).map(drop));
    checked.unwrap_or_else(|error| panic!("{error}"));
}

/// Found by a million histories: the last write of a life that has ended is under way when all have seen a
/// delete, and older than that.
#[test]
pub fn a_delete_is_not_forgotten_before_what_an_ended_life_wrote_has_arrived() {
    let set = |value| Write::Set(Json::parse(value).unwrap());
    let b = || vec!["b".into()];
    let steps = vec![
        Step::Write(2, vec![], set("{}")),
        Step::Merge(0, 2),
        Step::Write(2, b(), set("0")),
        Step::Restart(2),
        Step::Write(0, b(), Write::Delete),
        Step::Meet,
        Step::Give(1, 1 << 63),
        Step::Wait(57),
        Step::Forget(0),
    ];
    check(steps).unwrap();
}

/// Found by millions of histories: what somebody has written who is no member any more is under way when the
/// others have seen what comes after it.
#[test]
pub fn a_delete_is_not_forgotten_before_what_a_former_member_wrote_has_arrived() {
    let set = |value| Write::Set(Json::parse(value).unwrap());
    let steps = vec![
        Step::Leave,
        Step::Leave,
        Step::Leave,
        Step::Write(0, vec![], set("[]")),
        Step::Leave,
        Step::Meet,
        Step::Wait(64),
        Step::Restart(2),
        Step::Write(1, vec!["a".into()], set("0")),
        Step::Write(2, vec![], set("0")),
        Step::Restore(2, 0),
        Step::Write(0, vec![0u32.into()], Write::Delete),
        Step::Meet,
        Step::Leave,
        Step::Forget(2),
        Step::Give(0, 7_378_697_629_483_820_647),
    ];
    check(steps).unwrap();
}

/// An operation waits at one member for another that is late, and has come after the others have counted
/// both lives as ended.
#[test]
pub fn what_has_waited_too_long_is_given_up() {
    let zero = || Write::Set(Json::parse("0").unwrap());
    let steps = vec![
        Step::Leave,
        Step::Meet,
        Step::Restart(0),
        Step::Write(0, vec![], zero()),
        Step::Leave,
        Step::Restore(0, 0),
        Step::Write(2, vec![], zero()),
        Step::Write(0, vec![], zero()),
        Step::Restart(0),
        // What was written last but one: it needs what was written before.
        Step::Give(1, 7_378_697_629_483_820_647),
        Step::Write(0, vec![], zero()),
        Step::Wait(75),
        Step::Meet,
        Step::Meet,
    ];
    check(steps).unwrap();
}

/// The histories are to no avail if nothing is folded in them.
#[test]
fn the_histories_fold_lives() {
    use proptest::strategy::ValueTree as _;
    let mut runner = TestRunner::deterministic();
    let folded: usize = (0..300)
        .map(|_| check(history().new_tree(&mut runner).unwrap().current()).unwrap())
        .sum();
    assert!(folded > 100, "{folded}");
}
