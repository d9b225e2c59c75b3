//! Sources: one history each, told where there are two, and what operations say of others.

use std::collections::BTreeMap;

use distflow_core::crdt::batch::{self, Batch};
use distflow_core::crdt::document::{Document, Event, Listening, Options, Received};
use distflow_core::crdt::op::Op;
use distflow_core::crdt::source;
use distflow_core::{ErrorKind, JsonCrdt};

const NOW_MS: u64 = 1_800_000_000_000;

fn document(replica: &str) -> Document {
    let mut document = Document::new(replica, "{}".parse_json(), Options::default()).unwrap();
    document.set_listening(Listening::All);
    document
}

trait ParseJson {
    fn parse_json(&self) -> distflow_core::crdt::json::Json;
}

impl ParseJson for str {
    fn parse_json(&self) -> distflow_core::crdt::json::Json {
        distflow_core::crdt::json::Json::parse(self).unwrap()
    }
}

fn set(document: &mut Document, key: &str, value: i32, now_ms: u64) -> Op {
    document.set(&[key.into()], value, now_ms).unwrap()
}

fn reused(document: &mut Document) -> usize {
    let events = std::iter::from_fn(|| document.next_event());
    events
        .filter(|event| matches!(event, Event::SourceReused { .. }))
        .count()
}

fn memory(name: &str) -> JsonCrdt {
    JsonCrdt::new(name, "{}", Options::default()).unwrap()
}

#[test]
fn two_replicas_of_one_name_have_two_sources_and_end_the_same() {
    let (a, b1, b2) = (memory("a"), memory("b"), memory("b"));
    assert_eq!((b1.replica(), b1.source()), ("b".into(), "b".into()));
    let one = a.receive(b1.set(["x"], 1).unwrap());
    let two = a.receive(b2.set(["y"], 2).unwrap());
    assert_eq!(
        (one.unwrap(), two.unwrap()),
        (Received::Applied, Received::Applied)
    );
    for (to, from) in [(&b1, &a), (&b2, &a), (&a, &b1), (&a, &b2)] {
        let (bytes, is_complete) = from.encode_since(&to.clock());
        assert!(is_complete);
        to.receive_batch(&bytes).unwrap();
    }
    assert_eq!(a.canonical(), r#"{"x":1,"y":2}"#);
    assert_eq!((a.hash(), a.hash()), (b1.hash(), b2.hash()));
    assert_eq!((a.clock().len(), b1.replica()), (2, "b".into()));
    assert_ne!(b1.source(), b2.source());
    for b in [&b1, &b2] {
        let (name, _) = source::life(&b.source())
            .map(|(name, birth)| (name.to_owned(), birth))
            .unwrap();
        assert_eq!(name, "b");
    }
}

/// A restore gives what others have written, and not the right to write as them.
#[test]
fn whoever_goes_back_to_a_snapshot_writes_as_somebody_else() {
    let options = Options {
        source: Some("a~b".into()),
        ..Options::default()
    };
    let living = JsonCrdt::new("a", "{}", options).unwrap();
    living.set(["x"], 1).unwrap();
    let copy = memory("a");
    copy.restore(living.snapshot()).unwrap();
    let mine = copy.set(["y"], 1).unwrap();
    let theirs = living.set(["z"], 1).unwrap();
    assert_ne!(mine.src, theirs.src);
    copy.receive(theirs).unwrap();
    living.receive(mine).unwrap();
    assert_eq!(copy.hash(), living.hash());
    assert_eq!(copy.canonical(), r#"{"x":1,"y":1,"z":1}"#);
}

#[test]
fn another_operation_of_the_same_number_is_told_and_refused() {
    // Both write as "b", as originals of one name do.
    let (mut a, mut b1, mut b2) = (document("a"), document("b"), document("b"));
    let (one, two) = (set(&mut b1, "x", 1, NOW_MS), set(&mut b2, "y", 2, NOW_MS));
    assert_eq!(a.receive(one.clone(), NOW_MS).unwrap(), Received::Applied);
    assert_eq!(a.receive(one.clone(), NOW_MS).unwrap(), Received::Duplicate);
    assert_eq!(reused(&mut a), 0);
    let before = (a.canonical(), a.clock());
    let error = a.receive(two.clone(), NOW_MS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceConflict);
    assert!(
        error.message().contains("\"b\" has the number 1"),
        "{error}"
    );
    assert_eq!((reused(&mut a), (a.canonical(), a.clock())), (1, before));
    // In the same instant at the same place, only the value differs.
    let mut b3 = document("b");
    let three = set(&mut b3, "x", 3, NOW_MS);
    assert!(a.receive(three, NOW_MS).is_err());
    // While it waits, too.
    let (later, other) = (
        set(&mut b1, "x", 4, NOW_MS + 1),
        set(&mut b2, "x", 5, NOW_MS + 1),
    );
    let mut c = document("c");
    assert_eq!(c.receive(later.clone(), NOW_MS).unwrap(), Received::Pending);
    assert_eq!(c.receive(later, NOW_MS).unwrap(), Received::Duplicate);
    assert_eq!(
        c.receive(other, NOW_MS).unwrap_err().kind(),
        ErrorKind::SourceConflict
    );
    // The text of a value may be another one on the way.
    let written = b3
        .set(&["v".into()], r#"{"b":1.0,"a":[1e1]}"#.parse_json(), NOW_MS)
        .unwrap();
    let mut d = document("d");
    d.receive(set(&mut document("b"), "x", 3, NOW_MS), NOW_MS)
        .unwrap();
    d.receive(written.clone(), NOW_MS).unwrap();
    let text = written
        .encode()
        .replace(r#"{"b":1.0,"a":[1e1]}"#, r#"{"a":[10],"b":1}"#);
    assert_eq!(
        d.receive(Op::decode(text).unwrap(), NOW_MS).unwrap(),
        Received::Duplicate
    );
}

#[test]
fn whoever_sees_its_own_source_written_by_another_goes_on_as_a_new_one() {
    let (mut b1, mut b2) = (document("b"), document("b"));
    set(&mut b2, "y", 1, NOW_MS);
    let beyond = set(&mut b2, "y", 2, NOW_MS);
    set(&mut b1, "x", 1, NOW_MS);
    // Its next number, made by somebody else.
    assert_eq!(b1.receive(beyond, NOW_MS).unwrap(), Received::Applied);
    assert_eq!(reused(&mut b1), 1);
    let next = set(&mut b1, "x", 2, NOW_MS);
    assert_eq!(source::replica(&next.src), "b");
    assert_ne!(&*next.src, "b");
    // The same for its own number with other content.
    let mut b3 = document("b");
    set(&mut b3, "z", 1, NOW_MS + 5);
    assert!(
        b3.receive(set(&mut document("b"), "x", 1, NOW_MS), NOW_MS)
            .is_err()
    );
    assert_ne!(&*set(&mut b3, "z", 2, NOW_MS).src, "b");
    // And for a snapshot.
    let mut b4 = document("b");
    set(&mut b4, "z", 1, NOW_MS);
    b4.merge(&b2.snapshot(), NOW_MS).unwrap();
    assert_ne!(&*set(&mut b4, "z", 2, NOW_MS).src, "b");
}

#[test]
fn a_batch_goes_on_after_what_is_refused() {
    let fixed = |name: &str| {
        let source = Some(name.to_owned());
        let options = Options {
            source,
            ..Options::default()
        };
        JsonCrdt::new(name, "{}", options).unwrap()
    };
    let (a, b1, b2) = (fixed("a"), fixed("b"), fixed("b"));
    a.receive(b1.set(["x"], 1).unwrap()).unwrap();
    let (c, other) = (fixed("c"), b2.set(["y"], 2).unwrap());
    let ops = [c.set(["c"], 1).unwrap(), other, c.set(["c"], 2).unwrap()];
    a.set_listening(true);
    let found = a.receive_batch(&batch::encode(&ops)).unwrap();
    assert_eq!((found.applied, found.refused), (2, 1));
    assert_eq!(a.canonical(), r#"{"c":2,"x":1}"#);
    let told = distflow_core::interchange::document_events(&a);
    assert!(
        told.contains(r#"["conflict",{"type":"source-reused","source":"b","number":1,"op":{"#),
        "{told}"
    );
}

/// The originals' delivery, by json-crdt.md 3.
#[derive(Default)]
struct Original {
    clock: BTreeMap<String, u64>,
    pending: Vec<Op>,
    applied: Vec<Op>,
}

impl Original {
    fn receive(&mut self, op: Op) {
        if self.clock.get(&*op.src).copied().unwrap_or(0) >= op.seq() {
            return;
        }
        self.pending.push(op);
        while let Some(at) = self.pending.iter().position(|op| self.is_ready(op)) {
            let op = self.pending.remove(at);
            for (name, count) in &op.deps {
                let own = self.clock.entry(name.to_string()).or_default();
                *own = (*own).max(*count);
            }
            self.applied.push(op);
        }
    }

    fn is_ready(&self, op: &Op) -> bool {
        let own = |name: &str| self.clock.get(name).copied().unwrap_or(0);
        let mut others = op.deps.iter().filter(|(name, _)| *name != op.src);
        op.seq() == own(&op.src) + 1 && others.all(|(name, count)| *count <= own(name))
    }
}

#[test]
fn an_operation_says_what_is_new_since_the_one_before_and_originals_take_it_in() {
    let mut replicas: Vec<Document> = (0..40).map(|at| document(&format!("r{at:02}"))).collect();
    let mut all: Vec<Op> = Vec::new();
    for round in 0..4 {
        for (at, replica) in replicas.iter_mut().enumerate() {
            // Every second one has seen everything, the others only half.
            for (place, op) in all.clone().into_iter().enumerate() {
                if at % 2 == 0 || place % 2 == 0 || round == 3 {
                    let _ = replica.receive(op, NOW_MS);
                }
            }
            all.push(set(replica, "k", round * 100 + at as i32, NOW_MS));
        }
    }
    for op in &all {
        let _ = replicas[0].receive(op.clone(), NOW_MS);
    }
    let alone = set(&mut replicas[0], "k", 1, NOW_MS);
    let again = set(&mut replicas[0], "k", 2, NOW_MS);
    assert!(alone.deps.len() > 1);
    assert_eq!(again.deps.len(), 1, "nothing was seen in between");
    all.extend([alone, again]);
    let expected = replicas[39].clone();
    drop(replicas);
    // In any order, each as it travels, and some again from a log and a batch.
    for step in [1, 7, 31, 101] {
        let mut original = Original::default();
        let count = all.len();
        for at in 0..count {
            let op = Op::decode(all[at * step % count].encode()).unwrap();
            original.receive(op);
        }
        let (applied, waiting) = (original.applied.len(), original.pending.len());
        assert_eq!((applied, waiting), (count, 0), "{step}");
        for (at, op) in original.applied.iter().enumerate() {
            // What it has seen was applied before it.
            let before = |dep: &(std::sync::Arc<str>, u64)| {
                let mut known = original.applied[..=at].iter();
                known.any(|known| (&known.src, known.seq()) == (&dep.0, dep.1))
            };
            assert!(op.deps.iter().all(before));
        }
    }
    let known = expected.since(&BTreeMap::new()).ops;
    let mut by_log = Original::default();
    known
        .iter()
        .rev()
        .cloned()
        .for_each(|op| by_log.receive(op));
    assert!(by_log.pending.is_empty());
    let bytes = batch::encode(&known);
    let read: Vec<Op> = Batch::new(&bytes).unwrap().map(Result::unwrap).collect();
    let mut by_batch = Original::default();
    read.into_iter().rev().for_each(|op| by_batch.receive(op));
    assert_eq!((by_batch.clock, by_batch.pending.len()), (by_log.clock, 0));
}
