//! Replicas that end and begin again, join and leave, while lives that have ended are counted no longer.
//!
//! Beside each replica stands the set of the operations that it has taken in. An operation that it says it
//! knows must be in there: so nothing is lost behind the horizon. At the end all are the same, and what a
//! replay of all that anybody has gives: so nothing comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use distflow_core::ErrorKind;
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

const NAMES: [&str; 3] = ["A", "b", "C"];
const START_MS: u64 = 1_700_000_000_000;
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

fn source_of(op: &Op) -> String {
    op.src.to_string()
}

/// A document of which one member stays and one begins anew all the time, each life with one write.
struct Hub {
    hub: Document,
    snapshot: Vec<u8>,
    now_ms: u64,
    lives: u64,
}

const HOUR_MS: u64 = 3_600_000;

/// What one life costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Cost {
    text: usize,
    clock: usize,
    snapshot: usize,
    names: usize,
}

impl Hub {
    fn new() -> Self {
        let options = Options {
            log_ops_max: 20,
            ..Options::default()
        };
        let mut hub = Document::new("hub", Value::object(), options).unwrap();
        hub.begin_source(1 << 40);
        hub.set_members(Some(&["hub", "bob"]));
        Self {
            snapshot: hub.snapshot(),
            hub,
            now_ms: START_MS,
            lives: 0,
        }
    }

    /// A life of ten minutes: it takes a snapshot, writes, and ends.
    fn live(&mut self) -> Cost {
        self.now_ms += HOUR_MS / 6;
        self.lives += 1;
        let mut bob = Document::new("bob", Value::object(), Options::default()).unwrap();
        bob.begin_source(self.lives);
        bob.set_members(Some(&["hub", "bob"]));
        let difference = self.hub.since(&bob.clock());
        match difference.is_complete {
            true => difference
                .ops
                .into_iter()
                .for_each(|op| drop(bob.receive(op, self.now_ms))),
            false => bob.merge(&self.snapshot, self.now_ms).unwrap(),
        }
        let key = format!("k{}", self.lives % 10);
        let op = match self.lives % 3 {
            0 => bob.delete(&[key.as_str().into()], self.now_ms),
            _ => bob.set(&[key.as_str().into()], self.lives as i64, self.now_ms),
        };
        let op = op.unwrap();
        let text = op.encode();
        let received = self.hub.receive(Op::decode(&text).unwrap(), self.now_ms);
        assert_eq!(received.unwrap(), Received::Applied);
        let own = self
            .hub
            .set(&["at".into()], self.lives as i64, self.now_ms + 1)
            .unwrap();
        assert_eq!(
            bob.receive(own.clone(), self.now_ms + 1).unwrap(),
            Received::Applied
        );
        if self.lives.is_multiple_of(100) {
            assert_eq!(bob.canonical(), self.hub.canonical());
        }
        self.snapshot = self.hub.snapshot();
        Cost {
            text: text.len().max(own.encode().len()),
            clock: self.hub.clock().len(),
            snapshot: self.snapshot.len(),
            names: self.hub.names(),
        }
    }
}

/// A hundred thousand with LIVES=100000, which `make sim` does.
#[test]
fn lives_that_have_ended_cost_nothing() {
    let given = std::env::var("LIVES").ok();
    let lives: usize = given.and_then(|lives| lives.parse().ok()).unwrap_or(1_500);
    let mut hub = Hub::new();
    let tenth = lives / 10;
    let (mut first, mut last) = (Cost::default(), Cost::default());
    let worst = |most: &mut Cost, cost: Cost| {
        most.text = most.text.max(cost.text);
        most.clock = most.clock.max(cost.clock);
        most.snapshot = most.snapshot.max(cost.snapshot);
        most.names = most.names.max(cost.names);
    };
    for at in 0..lives {
        let cost = hub.live();
        if at < tenth {
            worst(&mut first, cost);
        }
        if at >= lives - tenth {
            worst(&mut last, cost);
        }
    }
    // Numbers have more digits by then.
    assert!(last.text <= first.text + 64, "{first:?} {last:?}");
    assert!(last.clock <= first.clock + 1, "{first:?} {last:?}");
    assert!(
        last.snapshot <= first.snapshot + 2_048,
        "{first:?} {last:?}"
    );
    assert!(last.names <= first.names + 64, "{first:?} {last:?}");
    assert!(last.clock < 64 && last.names < 256, "{last:?}");
}

/// Nobody stays: each life begins with a snapshot of one that is about to end, and lives for two turns of
/// ten minutes.
#[test]
fn short_lives_alone_fold_those_before_them() {
    let begin = |turn: u64, before: Option<&mut Document>, now_ms: u64| {
        let name = NAMES[turn as usize % 2];
        let mut document = Document::new(name, Value::object(), Options::default()).unwrap();
        document.begin_source(turn);
        document.set_members(Some(&NAMES[..2]));
        if let Some(before) = before {
            document.merge(&before.snapshot(), now_ms).unwrap();
        }
        document
    };
    let mut now_ms = START_MS;
    let mut one = begin(0, None, now_ms);
    let mut most = 0;
    for turn in 1..1_000 {
        now_ms += HOUR_MS / 6;
        let mut next = begin(turn, Some(&mut one), now_ms);
        for _ in 0..2 {
            let op = next.set(&["at".into()], turn as i64, now_ms).unwrap();
            assert_eq!(one.receive(op, now_ms).unwrap(), Received::Applied);
            let op = one.set(&["seen".into()], turn as i64, now_ms).unwrap();
            assert_eq!(next.receive(op, now_ms).unwrap(), Received::Applied);
        }
        assert_eq!(one.canonical(), next.canonical());
        most = most.max(next.clock().len());
        one = next;
    }
    assert!(most < 64, "{most}");
}

/// What a snapshot says of the members counts only if it is of the same ones, and of now.
#[test]
fn an_old_snapshot_does_not_say_since_when_the_members_are_known() {
    for (members, gap_ms, folds) in [
        (&["hub", "bob"][..], 0, true),
        (&["bob", "hub"], HOUR_MS - 1, true),
        (&["hub", "bob"], HOUR_MS, false),
        (&["hub", "bob", "eve"], 0, false),
    ] {
        let mut hub = Hub::new();
        hub.hub.set_members(Some(members));
        for _ in 0..14 {
            hub.live();
        }
        let now_ms = hub.now_ms + 1 + gap_ms;
        let options = Options {
            ended_lives_min: 1,
            ..Options::default()
        };
        let mut late = Document::new("bob", Value::object(), options).unwrap();
        late.begin_source(1_000);
        late.set_members(Some(&["hub", "bob"]));
        late.merge(&hub.snapshot, now_ms).unwrap();
        let op = late.set(&["late".into()], 1, now_ms).unwrap();
        assert_eq!(op.ended.is_some(), folds, "{members:?} {gap_ms}");
    }
}

#[test]
pub fn what_goes_on_after_its_end_is_told() {
    let mut hub = Hub::new();
    // A life that is not over, and is away for a day.
    let mut away = Document::new("bob", Value::object(), Options::default()).unwrap();
    away.begin_source(77);
    away.set_listening(Listening::All);
    let op = away.set(&["away".into()], 1, START_MS).unwrap();
    let old = source_of(&op);
    hub.hub.receive(op.clone(), START_MS).unwrap();
    for _ in 0..200 {
        hub.live();
    }
    assert!(
        !hub.hub.clock().contains_key(&*old),
        "it was counted as ended"
    );
    assert_eq!(
        hub.hub.receive(op, hub.now_ms).unwrap(),
        Received::Duplicate
    );
    let next = away.set(&["away".into()], 2, hub.now_ms).unwrap();
    assert_eq!(next.src.to_string(), old);
    let error = hub.hub.receive(next, hub.now_ms).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceConflict);
    assert!(error.message().contains(&old), "{error}");
    // As soon as it hears of that, it goes on as another, and by its snapshot all is well.
    away.merge(&hub.snapshot, hub.now_ms).unwrap();
    let events = std::iter::from_fn(|| away.next_event());
    let retired = |event: &Event| matches!(event, Event::SourceRetired { unseen: 2, .. });
    assert!(events.into_iter().any(|event| retired(&event)));
    let next = away.set(&["away".into()], 3, hub.now_ms + 1).unwrap();
    assert_ne!(source_of(&next), old);
    hub.hub.merge(&away.snapshot(), hub.now_ms + 1).unwrap();
    assert_eq!(hub.hub.canonical(), away.canonical());
    assert_eq!(hub.hub.get(&["away".into()]), Some(3.into()));
}

#[test]
fn a_hostile_end_of_lives_stops_nobody() {
    let mut a = Document::new("a", Value::object(), Options::default()).unwrap();
    for (at, far) in [
        (1, (1u64 << 53) - 1),
        (2, START_MS + 1),
        (3, 253_402_300_799_999),
    ] {
        let text = format!(
            r#"{{"id":"e","kind":"set","path":["x"],"value":1,"hlc":{{"t":{START_MS},"c":0,"r":"evil"}},"deps":{{"evil":{at}}},"src":"evil","ended":{{"until":{far},"of":{{}}}}}}"#
        );
        let received = a.receive(Op::decode(text).unwrap(), START_MS);
        assert_eq!(received.unwrap(), Received::Applied);
    }
    let mut b = Document::new("b", Value::object(), Options::default()).unwrap();
    b.begin_source(5);
    let op = b.set(&["y".into()], 2, START_MS + 1).unwrap();
    assert_eq!(a.receive(op, START_MS + 1).unwrap(), Received::Applied);
    for ended in [
        "1",
        r#"{"until":1}"#,
        r#"{"until":5,"of":{"bob":1}}"#,
        r#"{"of":[]}"#,
    ] {
        let text = format!(
            r#"{{"id":"e","kind":"set","path":["x"],"value":1,"hlc":{{"t":1,"c":0,"r":"e"}},"deps":{{"e":1}},"src":"e","ended":{ended}}}"#
        );
        let op = Op::decode(text).unwrap();
        assert_eq!(op.ended.is_some(), ended == r#"{"until":1}"#, "{ended}");
    }
}
