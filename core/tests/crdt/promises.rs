//! What a document promises, one by one (json-crdt.md 10; node-api.md 6 and 10).

use distflow_core::crdt::document::{
    Document, Event, Inspect, Listening, Options, Received, diff_snapshots,
};
use distflow_core::crdt::json::Json;
use distflow_core::crdt::op::Op;
use distflow_core::crdt::path::{self, Path};
use distflow_core::crdt::value::Value;
use distflow_core::crdt::watch::Pattern;
use distflow_core::error::ErrorKind;
use distflow_core::limits::CRDT_OP_BYTES_MAX;
use serde_json::json;

const NOW_MS: u64 = 1_800_000_000_000;

fn document(replica: &str, options: Options) -> Document {
    let mut document = Document::new(replica, Value::object(), options).unwrap();
    document.set_listening(Listening::All);
    document
}

fn path(text: &str) -> Path {
    path::parse(text).unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn events(document: &mut Document) -> Vec<Event> {
    std::iter::from_fn(|| document.next_event()).collect()
}

/// Names and JSON of those of one name.
fn told(document: &mut Document, name: &str) -> Vec<serde_json::Value> {
    let all = events(document).into_iter().map(|event| event.to_json());
    all.filter(|(known, _)| *known == name)
        .map(|(_, json)| serde_json::from_str(&json).unwrap())
        .collect()
}

/// What is written is what everybody takes: the size counts with the stamp that a write gets in the end.
#[test]
fn a_write_that_nobody_would_take_is_refused() {
    let (mut a, mut b) = (
        document("A", Options::default()),
        document("B", Options::default()),
    );
    let place = path(r#"["k"]"#);
    for _ in 0..11 {
        let ahead = b.set(&place, 1, NOW_MS + 60_000).unwrap();
        a.receive(ahead, NOW_MS).unwrap();
    }
    let long = |bytes: usize| json(&format!("\"{}\"", "x".repeat(bytes)));
    let frame = a.clone().set(&place, long(0), NOW_MS).unwrap();
    let most = CRDT_OP_BYTES_MAX - frame.encode().len();
    let before = (a.clock(), a.hash(), a.metrics(NOW_MS));
    let error = a.set(&place, long(most + 1), NOW_MS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!((a.clock(), a.hash(), a.metrics(NOW_MS)), before);
    let op = a.set(&place, long(most), NOW_MS).unwrap();
    assert!(op.time.c > 10);
    assert_eq!(op.encode().len(), CRDT_OP_BYTES_MAX);
    let op = Op::decode(op.encode()).unwrap();
    assert_eq!(b.receive(op, NOW_MS).unwrap(), Received::Applied);
    assert_eq!(a.hash(), b.hash());
}

fn parsed(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_log_is_trimmed_as_the_originals_do() {
    let options = Options {
        log_ops_max: 5,
        ..Options::default()
    };
    let mut document = document("A", options);
    for at in 0..20 {
        document.set(&path(r#"["x"]"#), at, NOW_MS).unwrap();
    }
    let expected = json!({"type": "log", "removed": 6, "currentSize": 5});
    assert_eq!(told(&mut document, "gc"), [expected.clone(), expected]);
    assert_eq!(document.metrics(NOW_MS).log_size, 8);
    document.trim_log(3);
    assert_eq!(document.metrics(NOW_MS).log_size, 3);
    assert_eq!(document.metrics(NOW_MS).gc_log_ops, 17);
}

#[test]
fn an_old_set_of_an_unknown_replica_loses_to_a_delete() {
    let mut a = document("A", Options::default());
    a.set(&path(r#"["x"]"#), 1, NOW_MS).unwrap();
    a.delete(&path(r#"["x"]"#), NOW_MS + 1).unwrap();
    let old = Op::decode(format!(
        r#"{{"id":"old","kind":"set","path":["x"],"value":9,"hlc":{{"t":{},"c":0,"r":"replica-old"}},"deps":{{"replica-old":1}},"src":"replica-old"}}"#,
        NOW_MS - 1_000
    ))
    .unwrap();
    events(&mut a);
    assert_eq!(a.receive(old, NOW_MS).unwrap(), Received::Applied);
    let conflicts = told(&mut a, "conflict");
    assert_eq!(
        conflicts,
        [json!({
            "type": "tombstone-wins",
            "path": ["x"],
            "opHlc": {"t": NOW_MS - 1_000, "c": 0, "r": "replica-old"},
            "tombstoneHlc": {"t": NOW_MS + 1, "c": 0, "r": "A"},
        })]
    );
    assert_eq!(a.canonical(), "{}");
    assert_eq!(a.clock().len(), 2);
    let metrics = a.metrics(NOW_MS);
    assert_eq!(
        (metrics.total_conflicts, metrics.tombstone_conflicts),
        (1, 1)
    );
}

#[test]
fn a_local_set_below_what_was_deleted_is_told() {
    let mut a = document("A", Options::default());
    // Also what was never there.
    a.delete(&path(r#"["gone"]"#), NOW_MS).unwrap();
    events(&mut a);
    a.set(&path(r#"["gone","x"]"#), 1, NOW_MS).unwrap();
    assert_eq!(
        told(&mut a, "conflict"),
        [
            json!({"type": "parent-tombstone", "path": ["gone", "x"], "parentPath": ["gone"], "operation": "set"})
        ]
    );
    assert_eq!(a.canonical(), r#"{"gone":{"x":1}}"#);
    assert_eq!(a.metrics(NOW_MS).path_conflicts, 1);
}

#[test]
fn local_and_foreign_writes_are_told() {
    let mut a = document("A", Options::default());
    let mut b = document("B", Options::default());
    let names = b.watch(Pattern::parse("users.*.name").unwrap());
    let op = a
        .set(&path(r#"["users","u1","name"]"#), "Ann", NOW_MS)
        .unwrap();
    let change = told(&mut a, "change");
    assert_eq!(change[0]["type"], "set");
    assert_eq!(change[0]["path"], json!(["users", "u1", "name"]));
    assert_eq!(change[0]["value"], "Ann");
    assert_eq!(change[0]["op"], parsed(&op.encode()));
    b.receive(op.clone(), NOW_MS).unwrap();
    let all: Vec<&str> = events(&mut b)
        .iter()
        .map(|event| event.to_json().0)
        .collect();
    assert_eq!(all, ["watch", "sync"]);
    let op = a.delete(&path(r#"["users","u1","age"]"#), NOW_MS).unwrap();
    assert_eq!(told(&mut a, "change")[0]["type"], "del");
    b.receive(op, NOW_MS).unwrap();
    assert_eq!(told(&mut b, "watch"), [] as [serde_json::Value; 0]);
    b.set(&path(r#"["users"]"#), Value::object(), NOW_MS)
        .unwrap();
    let watched = told(&mut b, "watch");
    assert_eq!(
        (&watched[0]["id"], &watched[0]["local"]),
        (&json!(names), &json!(true))
    );
    assert!(b.unwatch(names) && !b.unwatch(names));
}

#[test]
fn what_is_hidden_does_not_touch_what_is_watched() {
    let mut a = document("A", Options::default());
    let mut b = document("B", Options::default());
    let old = b.set(&path(r#"["x","y"]"#), 1, NOW_MS - 10).unwrap();
    a.set(&path(r#"["x"]"#), 2, NOW_MS).unwrap();
    a.watch(Pattern::parse("x").unwrap());
    events(&mut a);
    a.receive(old, NOW_MS).unwrap();
    assert_eq!(told(&mut a, "watch"), [] as [serde_json::Value; 0]);
}

#[test]
fn waiting_operations_are_bounded_and_given_up() {
    let options = Options {
        pending_ops_max: 10,
        ..Options::default()
    };
    let mut a = document("A", Options::default());
    let mut b = document("B", options);
    let ops: Vec<Op> = (0..15)
        .map(|at| a.set(&path(r#"["x"]"#), at, NOW_MS).unwrap())
        .collect();
    for (at, op) in ops[1..].iter().enumerate() {
        let received = b.receive(op.clone(), NOW_MS);
        assert_eq!(received.is_ok(), at < 10, "{at}");
    }
    // The same one does not take a second place.
    assert_eq!(
        b.receive(ops[1].clone(), NOW_MS).unwrap(),
        Received::Duplicate
    );
    assert_eq!(b.metrics(NOW_MS).pending_size, 10);
    assert_eq!(told(&mut b, "gc").len(), 4);
    assert_eq!(
        b.receive(ops[0].clone(), NOW_MS).unwrap(),
        Received::Applied
    );
    assert_eq!(b.metrics(NOW_MS).pending_size, 0);
    // Only what came directly counts as remote.
    assert_eq!(
        (b.metrics(NOW_MS).remote_ops, b.metrics(NOW_MS).total_ops),
        (1, 11)
    );
    b.receive(ops[13].clone(), NOW_MS).unwrap();
    b.expire_pending(NOW_MS + 60_001);
    assert_eq!(
        told(&mut b, "gc"),
        [json!({"type": "pending", "removed": 1, "currentSize": 0})]
    );
}

#[test]
fn deletes_are_forgotten_when_all_have_seen_them_and_not_before() {
    let options = Options {
        tombstone_grace_ms: 1_000,
        ..Options::default()
    };
    let mut a = document("A", options.clone());
    let mut b = document("B", options);
    let set = a.set(&path(r#"["x"]"#), 1, NOW_MS).unwrap();
    b.receive(set, NOW_MS).unwrap();
    let deleted = a.delete(&path(r#"["x"]"#), NOW_MS + 1).unwrap();
    let later_ms = NOW_MS + 10_000;
    a.drop_tombstones(later_ms);
    assert_eq!(
        a.metrics(NOW_MS).tombstones_size,
        1,
        "the members are not known"
    );
    a.set_members(Some(&["A", "B"]));
    a.drop_tombstones(later_ms);
    assert_eq!(a.metrics(NOW_MS).tombstones_size, 1, "B has not seen it");
    b.receive(deleted, NOW_MS).unwrap();
    let seen = b.set(&path(r#"["y"]"#), 1, NOW_MS + 2).unwrap();
    a.receive(seen, NOW_MS).unwrap();
    a.drop_tombstones(NOW_MS + 500);
    assert_eq!(a.metrics(NOW_MS).tombstones_size, 1, "it is too young");
    a.drop_tombstones(later_ms);
    let kept = a.metrics(NOW_MS).tombstones_size;
    assert_eq!(kept, 1, "B may have taken in something older since then");
    let seen = b.set(&path(r#"["y"]"#), 1, later_ms).unwrap();
    a.receive(seen, later_ms).unwrap();
    events(&mut a);
    a.drop_tombstones(later_ms);
    assert_eq!(
        told(&mut a, "gc"),
        [json!({"type": "tombstones", "removed": 1, "currentSize": 0})]
    );
    assert_eq!(a.canonical(), r#"{"y":1}"#);
}

/// What a salvaged journal holds behind a gap is old, and has the time that operations wait from then on.
#[test]
fn what_waits_is_given_up_when_its_time_is_over_and_members_are_known() {
    let options = Options {
        tombstone_grace_ms: 10_000,
        pending_ms: 1_000,
        ..Options::default()
    };
    let mut b = document("B", options.clone());
    b.set(&path(r#"["lost"]"#), 1, NOW_MS - 500_000).unwrap();
    let second = b.set(&path(r#"["b"]"#), 1, NOW_MS - 500_000).unwrap();
    for knows_members in [true, false] {
        let mut c = document("C", options.clone());
        let mut a = document("A", options.clone());
        a.set_members(knows_members.then_some(&["A", "B", "C"][..]));
        a.replay_waiting(second.clone(), NOW_MS, NOW_MS);
        for (wait_ms, waiting) in [(900, 1), (1_100, usize::from(!knows_members))] {
            let now_ms = NOW_MS + wait_ms;
            let op = c.set(&path(r#"["c"]"#), 1, now_ms).unwrap();
            a.receive(op, now_ms).unwrap();
            assert_eq!(a.metrics(now_ms).pending_size, waiting, "{wait_ms}");
        }
    }
}

#[test]
fn deletes_go_by_themselves_whoever_looks_at_the_counters() {
    let options = Options {
        tombstone_grace_ms: 1_000,
        ..Options::default()
    };
    let mut a = document("A", options.clone());
    let mut b = document("B", options);
    for one in [&mut a, &mut b] {
        one.set_members(Some(&["A", "B"]));
    }
    for at in 0..3_000 {
        let key = path(&format!("[\"k{at}\"]"));
        b.receive(a.set(&key, 1, NOW_MS).unwrap(), NOW_MS).unwrap();
        b.receive(a.delete(&key, NOW_MS).unwrap(), NOW_MS).unwrap();
    }
    let mut now_ms = NOW_MS + 2_000;
    for at in 0..200 {
        now_ms += 20;
        let key = path(r#"["x"]"#);
        a.receive(b.set(&key, at, now_ms).unwrap(), now_ms).unwrap();
        b.receive(a.set(&key, at, now_ms).unwrap(), now_ms).unwrap();
        a.metrics(now_ms);
    }
    for one in [&mut a, &mut b] {
        assert_eq!(one.metrics(now_ms).tombstones_size, 0);
    }
}

#[test]
fn too_many_writes_to_remember_are_told_once() {
    let options = Options {
        registers_max: 1_000,
        ..Options::default()
    };
    let mut a = document("A", options);
    for at in 0..5_000 {
        a.set(&path(&format!("[\"k{at}\"]")), 1, NOW_MS).unwrap();
    }
    let told = told(&mut a, "limit");
    assert_eq!(told.len(), 1);
    let size = told[0]["size"].as_u64().unwrap();
    assert!((1_001..=1_200).contains(&size), "{size}");
    assert_eq!(
        (&told[0]["type"], &told[0]["limit"]),
        (&json!("registers"), &json!(1_000))
    );
}

#[test]
fn an_old_snapshot_does_not_bring_numbers_back() {
    let mut a = document("A", Options::default());
    let mut b = document("B", Options::default());
    let op = a.set(&path(r#"["x"]"#), 1, NOW_MS).unwrap();
    b.receive(op, NOW_MS).unwrap();
    let snapshot = a.snapshot_json();
    let op = a.set(&path(r#"["x"]"#), 2, NOW_MS).unwrap();
    b.receive(op, NOW_MS).unwrap();
    a.restore(snapshot.as_bytes(), NOW_MS).unwrap();
    assert_eq!(a.canonical(), r#"{"x":1}"#);
    let op = a.set(&path(r#"["x"]"#), 3, NOW_MS).unwrap();
    assert_eq!(b.receive(op, NOW_MS).unwrap(), Received::Applied);
    assert_eq!(
        (a.canonical(), b.canonical()),
        (r#"{"x":3}"#.into(), r#"{"x":3}"#.into())
    );
    // What it lost it gets back.
    for op in b.since(&a.clock()).ops {
        a.receive(op, NOW_MS).unwrap();
    }
    assert_eq!(a.clock(), b.clock());
}

#[test]
fn a_replica_behind_the_log_is_brought_up_by_a_snapshot() {
    let options = Options {
        log_ops_max: 2,
        ..Options::default()
    };
    let mut a = document("A", options.clone());
    let mut b = document("B", options);
    for at in 0..10 {
        a.set(&path(&format!("[\"a{at}\"]")), at, NOW_MS).unwrap();
        b.set(&path(&format!("[\"b{at}\"]")), at, NOW_MS).unwrap();
    }
    assert!(!a.since(&b.clock()).is_complete && !b.since(&a.clock()).is_complete);
    b.merge(&a.snapshot(), NOW_MS).unwrap();
    a.merge(b.snapshot_json().as_bytes(), NOW_MS).unwrap();
    assert_eq!(a.canonical(), b.canonical());
    assert_eq!(a.clock(), b.clock());
    assert_eq!(a.json().value(), b.json().value());
    // A restored replica says that it can't serve what it never had as operations.
    let mut c = document("C", Options::default());
    c.restore(&a.snapshot(), NOW_MS).unwrap();
    assert!(
        !c.since(&document("D", Options::default()).clock())
            .is_complete
    );
    assert!(c.since(&b.clock()).is_complete);
}

#[test]
fn a_snapshot_of_an_original_is_taken_in() {
    let text = r#"{"doc":{"x":3,"a.b":1,"l":[1,{"y":2}]},"vc":{"B":5},"hlc":{"t":1700000000005,"c":5,"r":"B"},"lww":[[".x",{"t":1700000000005,"c":4,"r":"B"}],[".a.b",{"t":1700000000004,"c":0,"r":"B"}],[".l#1.y",{"t":1700000000003,"c":0,"r":"B"}]],"tombstones":[[".z",{"t":1700000000002,"c":0,"r":"B"}]],"replicaId":"B"}"#;
    let mut a = document("A", Options::default());
    a.restore(text.as_bytes(), NOW_MS).unwrap();
    assert_eq!(a.canonical(), r#"{"a.b":1,"l":[1,{"y":2}],"x":3}"#);
    assert_eq!(a.clock().get("B"), Some(&5));
    for (path, t, expected) in [
        // Older than the register, and newer.
        (r#"["x"]"#, 1_700_000_000_004_u64, false),
        (r#"["x"]"#, 1_700_000_000_006, true),
        (r#"["a.b"]"#, 1_700_000_000_003, false),
        (r#"["z"]"#, 1_700_000_000_001, false),
        (r#"["z"]"#, 1_700_000_000_003, true),
        (r#"["never"]"#, 1, true),
    ] {
        let mut a = a.clone();
        let op = format!(
            r#"{{"id":"c","kind":"set","path":{path},"value":"new","hlc":{{"t":{t},"c":9,"r":"C"}},"deps":{{"C":1}},"src":"C"}}"#
        );
        a.receive(Op::decode(op).unwrap(), NOW_MS).unwrap();
        let found = a.get(&self::path(path)) == Some("new".into());
        assert_eq!(found, expected, "{path} {t}");
    }
    // What comes out has the members of the originals, and says the same.
    let out = parsed(&a.snapshot_json());
    let original = parsed(text);
    for member in ["doc", "vc", "replicaId"] {
        let expected = if member == "replicaId" {
            &json!("A")
        } else {
            &original[member]
        };
        assert_eq!(&out[member], expected);
    }
    let keys = |member: &str| -> Vec<String> {
        let entries = out[member].as_array().unwrap().iter();
        entries
            .map(|entry| entry[0].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(keys("lww"), [".a.b", ".l", ".x", ".z"]);
    assert_eq!(keys("tombstones"), [".z"]);
    // It can't be merged into what it does not know.
    let mut d = document("D", Options::default());
    d.set(&self::path(r#"["d"]"#), 1, NOW_MS).unwrap();
    assert!(d.merge(text.as_bytes(), NOW_MS).is_err());
    for wrong in [
        "{}",
        "[]",
        "1",
        r#"{"doc":1,"vc":{},"hlc":{},"lww":[],"tombstones":[]}"#,
        r#"{"doc":1,"vc":{"A":-1},"hlc":{"t":1,"c":1,"r":"A"},"lww":[],"tombstones":[]}"#,
        r#"{"doc":1,"vc":{},"hlc":{"t":1,"c":1,"r":"A"},"lww":[1],"tombstones":[]}"#,
        r#"{"distflow":"AAAA"}"#,
    ] {
        let before = d.snapshot();
        assert!(d.restore(wrong.as_bytes(), NOW_MS).is_err(), "{wrong}");
        assert_eq!(d.snapshot(), before);
    }
}

#[test]
fn a_document_can_be_looked_into() {
    let mut a = document("replica-one", Options::default());
    a.set(&path(r#"["x"]"#), 1, NOW_MS).unwrap();
    a.set(&path(r#"["l"]"#), json("[1,2,3]"), NOW_MS).unwrap();
    a.delete(&path(r#"["l",0]"#), NOW_MS).unwrap();
    a.delete(&path(r#"["x"]"#), NOW_MS).unwrap();
    let options = Inspect {
        log_sample_size: 2,
        include_causal_graph: true,
        ..Inspect::default()
    };
    let seen = parsed(&a.inspect(options, NOW_MS));
    assert_eq!(seen["replicaId"], "replica-one");
    assert_eq!(seen["doc"], json!({"l": [2, 3]}));
    assert_eq!(seen["vc"], json!({"replica-one": 4}));
    assert_eq!(seen["logSize"], 4);
    assert_eq!(seen["logSample"][1]["path"], json!(["x"]));
    assert_eq!(seen["logSample"].as_array().unwrap().len(), 2);
    assert_eq!(seen["pendingSample"], json!([]));
    assert_eq!(seen["lwwPaths"], json!([".x", ".l", ".l#0"]));
    assert_eq!(seen["tombstonePaths"], json!([".x", ".l#0"]));
    assert_eq!(seen["metrics"]["localOps"], 4);
    let node = &seen["causalGraph"][2];
    assert_eq!(
        (&node["kind"], &node["path"], &node["deps"]),
        (&json!("tombstone"), &json!(".l#0"), &json!(["replica-:3"]))
    );
    assert_eq!(Document::replay(&a.logged(0, 4)).as_str(), r#"{"l":[2,3]}"#);
    assert_eq!(
        Document::replay(&a.logged(0, 2)).as_str(),
        r#"{"l":[1,2,3],"x":1}"#
    );
}

#[test]
fn the_difference_of_snapshots_names_what_changed() {
    let mut a = document("A", Options::default());
    a.set(
        &path(r#"["u"]"#),
        json(r#"{"a":1,"b":[1,2],"c":3}"#),
        NOW_MS,
    )
    .unwrap();
    let before = a.snapshot_json();
    a.set(&path(r#"["u","a"]"#), 2, NOW_MS).unwrap();
    a.set(&path(r#"["u","b",1]"#), "x", NOW_MS).unwrap();
    a.delete(&path(r#"["u","c"]"#), NOW_MS).unwrap();
    a.set(&path(r#"["new"]"#), true, NOW_MS).unwrap();
    let diff = parsed(&diff_snapshots(&before, &a.snapshot_json()).unwrap());
    assert_eq!(
        diff["docChanges"],
        json!([
            {"path": ["u", "a"], "before": 1, "after": 2, "type": "modified"},
            {"path": ["u", "b", 1], "before": 2, "after": "x", "type": "modified"},
            {"path": ["u", "c"], "before": 3, "type": "removed"},
            {"path": ["new"], "after": true, "type": "added"},
        ])
    );
    assert_eq!(
        diff["vcChanges"],
        json!([{"replica": "A", "before": 1, "after": 5}])
    );
    assert_eq!(
        diff["lwwChanges"],
        json!({"added": [".new", ".u.a", ".u.b#1"], "removed": [], "modified": []})
    );
    // As with the originals, a delete is no write that was modified.
    let before = a.snapshot_json();
    a.set(&path(r#"["new"]"#), false, NOW_MS).unwrap();
    a.delete(&path(r#"["u","a"]"#), NOW_MS).unwrap();
    let later = parsed(&diff_snapshots(&before, &a.snapshot_json()).unwrap());
    assert_eq!(
        later["lwwChanges"],
        json!({"added": [], "removed": [], "modified": [".new"]})
    );
    assert_eq!(
        diff["tombstoneChanges"],
        json!({"added": [".u.c"], "removed": []})
    );
    assert_eq!(diff["hlcDiff"]["after"]["r"], "A");
    assert!(diff_snapshots("{}", "{}").is_err());
}

#[test]
fn hostile_operations_do_not_stop_a_source_or_fill_the_memory() {
    let mut a = document("A", Options::default());
    a.set_listening(Listening::Nothing);
    let op = |seq: u64, path: &str, kind: &str| {
        Op::decode(format!(
            r#"{{"id":"x","kind":"{kind}","path":{path},"value":1,"hlc":{{"t":{NOW_MS},"c":{seq},"r":"evil"}},"deps":{{"evil":{seq}}},"src":"evil"}}"#
        ))
        .unwrap()
    };
    for seq in 1..=10_000 {
        let (path, kind) = match seq % 4 {
            0 => ("[1000000000]", "set"),
            1 => (r#"["__proto__","x"]"#, "set"),
            2 => ("[null]", "set"),
            _ => ("[]", "merge"),
        };
        assert_eq!(
            a.receive(op(seq, path, kind), NOW_MS).unwrap(),
            Received::Applied
        );
    }
    assert_eq!(a.canonical(), r#"{"__proto__":{"x":1}}"#);
    assert_eq!(a.clock().get("evil"), Some(&10_000));
    assert!(a.metrics(NOW_MS).log_size <= 2_000);
    // As many replicas as operations may name, and not one more.
    for at in 0..5_000 {
        let op = Op::decode(format!(
            r#"{{"id":"x","kind":"set","path":["n"],"value":1,"hlc":{{"t":1,"c":1,"r":"r{at}"}},"deps":{{"r{at}":1}},"src":"r{at}"}}"#
        ));
        let received = a.receive(op.unwrap(), NOW_MS);
        assert_eq!(received.is_ok(), at < 4_094, "{at}");
    }
    a.set(&path(r#"["still"]"#), 1, NOW_MS).unwrap();
}

#[test]
pub fn an_index_far_beyond_the_end_costs_what_its_operation_is_long() {
    let mut a = document("A", Options::default());
    a.set(&path(r#"["l"]"#), json("[1]"), NOW_MS).unwrap();
    let before = (a.clock(), a.canonical());
    let error = a.set(&path(r#"["l",66]"#), 2, NOW_MS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    for part in ["66", "1 elements", "64"] {
        assert!(error.message().contains(part), "{error}");
    }
    assert!(a.set(&path(r#"["l",0,65535]"#), 2, NOW_MS).is_err());
    assert_eq!((a.clock(), a.canonical()), before);
    let op = a.set(&path(r#"["l",65]"#), 2, NOW_MS).unwrap();
    let padded = format!("{{\"l\":[1{},2]}}", ",null".repeat(64));
    assert_eq!(a.canonical(), padded);
    let mut b = document("B", Options::default());
    for op in a.since(&b.clock()).ops {
        b.receive(op, NOW_MS).unwrap();
    }
    assert_eq!((b.canonical(), op.write().is_some()), (padded, true));

    // Of another replica, it counts: all padding of one operation together.
    for (at, (place, expected)) in [
        (r#"["m",65]"#, "[]"),
        (r#"["m",64]"#, "[64 nulls,1]"),
        (
            r#"["m",60,"x",4]"#,
            r#"[60 nulls,{"x":[null,null,null,null,1]}]"#,
        ),
        (r#"["m",60,"x",5]"#, r#"[60 nulls,{"x":[]}]"#),
        (r#"["m",65535,65535,65535]"#, "[]"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut c = document("C", Options::default());
        let op = format!(
            r#"{{"id":"x","kind":"set","path":{place},"value":1,"hlc":{{"t":{NOW_MS},"c":{at},"r":"D"}},"deps":{{"D":1}},"src":"D"}}"#
        );
        let op = Op::decode(op).unwrap();
        assert_eq!(c.receive(op, NOW_MS).unwrap(), Received::Applied);
        let nulls = |count| vec!["null"; count].join(",");
        let expected = expected.replace("64 nulls", &nulls(64));
        let expected = expected.replace("60 nulls", &nulls(60));
        assert_eq!(c.canonical(), format!("{{\"m\":{expected}}}"), "{place}");
    }
}

#[test]
fn a_merge_does_not_bring_back_what_was_deleted_and_forgotten() {
    let options = Options {
        tombstone_grace_ms: 0,
        ..Options::default()
    };
    let mut a = document("A", options.clone());
    let mut b = document("B", options);
    a.set_members(Some(&["A"]));
    let set = a
        .set(&path("[]"), json(r#"{"x":{"y":1},"z":2}"#), NOW_MS)
        .unwrap();
    b.receive(set, NOW_MS).unwrap();
    b.set(&path(r#"["own"]"#), 3, NOW_MS).unwrap();
    a.delete(&path(r#"["x"]"#), NOW_MS + 1).unwrap();
    a.drop_tombstones(NOW_MS + 10);
    assert_eq!(a.metrics(NOW_MS).tombstones_size, 0);
    // The place is there again, for what was written below it.
    a.delete(&path(r#"["x","y"]"#), NOW_MS + 20).unwrap();
    b.merge(&a.snapshot(), NOW_MS + 30).unwrap();
    assert_eq!(b.canonical(), r#"{"own":3,"z":2}"#);
    a.merge(&b.snapshot(), NOW_MS + 30).unwrap();
    assert_eq!(a.canonical(), b.canonical());
}

#[test]
fn a_long_name_has_room_for_going_back() {
    let name = "n".repeat(240);
    let mut a = document(&name, Options::default());
    let mut b = document("B", Options::default());
    let before = a.snapshot();
    let op = a.set(&path(r#"["x"]"#), 1, NOW_MS).unwrap();
    b.receive(op, NOW_MS).unwrap();
    a.restore(&before, NOW_MS).unwrap();
    let op = a.set(&path(r#"["x"]"#), 2, NOW_MS).unwrap();
    assert!(op.src.len() > name.len());
    let read = Op::decode(op.encode()).unwrap();
    assert_eq!(b.receive(read, NOW_MS).unwrap(), Received::Applied);
    assert!(Document::new(&"n".repeat(241), Value::object(), Options::default()).is_err());
}

#[test]
fn a_value_may_have_longer_names_than_a_path() {
    let mut a = document("A", Options::default());
    let long = "k".repeat(3_000);
    let value = json(&format!(r#"{{"{long}":1,"short":2}}"#));
    a.set(&path(r#"["x"]"#), value, NOW_MS).unwrap();
    a.set(&path(r#"["x","short"]"#), 3, NOW_MS).unwrap();
    let mut b = document("B", Options::default());
    b.restore(&a.snapshot(), NOW_MS).unwrap();
    assert_eq!(b.canonical(), a.canonical());
}

#[test]
fn an_originals_snapshot_does_not_say_who_has_seen_what() {
    let text = r#"{"doc":{},"vc":{"B":5,"C":7},"hlc":{"t":5,"c":5,"r":"B"},"lww":[],"tombstones":[[".z",{"t":2,"c":0,"r":"B"}]],"replicaId":"B"}"#;
    let options = Options {
        tombstone_grace_ms: 0,
        ..Options::default()
    };
    let mut a = document("A", options);
    a.set_members(Some(&["A", "B", "C"]));
    a.restore(text.as_bytes(), NOW_MS).unwrap();
    a.drop_tombstones(NOW_MS);
    assert_eq!(
        a.metrics(NOW_MS).tombstones_size,
        1,
        "C may not have seen it"
    );
}
