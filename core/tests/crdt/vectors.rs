//! The cases in which the original diverges (`tests/data/json-crdt-divergence.json`): every replica
//! ends with the same document, whatever the order.

use std::collections::HashMap;

use distflow_core::crdt::document::{Document, Event, Listening, Options, Received};
use distflow_core::crdt::op::Op;
use distflow_core::crdt::path::Segment;
use distflow_core::crdt::value::Value;
use serde_json::Value as Json;

const NOW_MS: u64 = 1_800_000_000_000;

fn vectors() -> Vec<Json> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/data/json-crdt-divergence.json"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let mut file: Json = serde_json::from_str(&text).unwrap();
    match file["vectors"].take() {
        Json::Array(vectors) => vectors,
        other => panic!("no vectors: {other}"),
    }
}

fn document(replica: &str) -> Document {
    Document::new(replica, Value::object(), Options::default()).unwrap()
}

fn keys(path: &[&str]) -> Vec<Segment> {
    path.iter().map(|key| Segment::from(*key)).collect()
}

#[test]
fn both_orders_of_every_vector_end_the_same() {
    let mut count = 0;
    for vector in vectors() {
        if vector["kind"] != "two-orders" {
            continue;
        }
        count += 1;
        let name = &vector["name"];
        let expected = Value::parse(vector["convergent_doc"].to_string()).unwrap();
        let ops: HashMap<&str, String> = vector["ops"]
            .as_array()
            .unwrap()
            .iter()
            .map(|op| (op["id"].as_str().unwrap(), op.to_string()))
            .collect();
        for order in vector["orders"].as_array().unwrap() {
            let initial = Value::parse(vector["initial"].to_string()).unwrap();
            let mut document = Document::new("obs", initial, Options::default()).unwrap();
            for step in order.as_array().unwrap() {
                match step.as_str() {
                    // What can't be counted is refused, and changes nothing.
                    Some(id) => match Op::decode(&ops[id]) {
                        Ok(op) => drop(document.receive(op, NOW_MS).unwrap()),
                        Err(error) => assert_eq!(id, "bad", "{name}: {error}"),
                    },
                    None => document.drop_tombstones(NOW_MS),
                }
            }
            assert_eq!(
                document.canonical(),
                expected.canonical(),
                "{name}, {order}"
            );
            assert_eq!(
                document.metrics(NOW_MS).pending_size,
                0,
                "{name}: something waits"
            );
        }
    }
    assert_eq!(count, 17);
}

#[test]
fn a_local_set_that_fails_leaves_no_trace() {
    let (mut a, mut b) = (document("A"), document("B"));
    let op = a.set(&keys(&["s"]), 1, NOW_MS).unwrap();
    assert_eq!(b.receive(op, NOW_MS).unwrap(), Received::Applied);
    for (path, text) in [
        (keys(&["s", "t"]), "Cannot set string key on non-object"),
        (
            keys(&["s", "t", "u"]),
            "Path expects object but found non-object",
        ),
        (
            vec!["s".into(), Segment::Index(0)],
            "Cannot set numeric index on non-array",
        ),
        (
            vec!["s".into(), Segment::Index(0), "u".into()],
            "Path expects array but found non-array",
        ),
        // A missing container is made an object, whatever comes next.
        (
            vec!["new".into(), Segment::Index(0)],
            "Cannot set numeric index on non-array",
        ),
    ] {
        let before = (a.clock(), a.canonical(), a.metrics(NOW_MS));
        let error = a.set(&path, 2, NOW_MS).unwrap_err();
        assert_eq!(error.message(), text);
        assert_eq!((a.clock(), a.canonical(), a.metrics(NOW_MS)), before);
    }
    let op = a.set(&keys(&["y"]), 9, NOW_MS).unwrap();
    assert_eq!(b.receive(op, NOW_MS).unwrap(), Received::Applied);
    assert_eq!(a.canonical(), r#"{"s":1,"y":9}"#);
    assert_eq!(b.canonical(), a.canonical());
}

#[test]
fn a_late_replica_is_told_that_the_log_is_not_enough() {
    let options = Options {
        log_ops_max: 2,
        ..Options::default()
    };
    let mut a = Document::new("A", Value::object(), options).unwrap();
    for at in 0..10 {
        a.set(&keys(&[&format!("k{at}")]), at, NOW_MS).unwrap();
    }
    let b = document("B");
    let difference = a.since(&b.clock());
    assert!(!difference.is_complete);
    assert!(a.since(&a.clock()).is_complete);
}

#[test]
fn a_stamp_from_the_future_wins_but_does_not_drag_the_clock() {
    const YEAR_MS: u64 = 365 * 24 * 3_600_000;
    let (mut a, mut f) = (document("A"), document("F"));
    a.set(&keys(&["x"]), "mine", NOW_MS).unwrap();
    let op = f.set(&keys(&["x"]), "future", NOW_MS + YEAR_MS).unwrap();
    a.set_listening(Listening::All);
    a.receive(op, NOW_MS).unwrap();
    assert_eq!(a.canonical(), r#"{"x":"future"}"#);
    let is_drift = |event: &Event| {
        matches!(
            event,
            Event::ClockDrift {
                ahead_ms: YEAR_MS,
                ..
            }
        )
    };
    assert!(std::iter::from_fn(|| a.next_event()).any(|event| is_drift(&event)));
    let op = a.set(&keys(&["unrelated"]), 1, NOW_MS).unwrap();
    assert_eq!(op.time.t, NOW_MS);
    // There, a local write is the last word all the same.
    let op = a.set(&keys(&["x"]), "mine again", NOW_MS).unwrap();
    assert_eq!(op.time.t, NOW_MS + YEAR_MS);
    assert_eq!(a.get(&keys(&["x"])), Some("mine again".into()));
}
