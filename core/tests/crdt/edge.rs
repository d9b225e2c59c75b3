//! Stamps and numbers at the edge of what there is: they stop nobody, and nobody makes one beyond it.

use distflow_core::crdt::document::{Document, Options, Received};
use distflow_core::crdt::op::{COUNT_MAX, Op};
use distflow_core::crdt::stamp::Time;
use distflow_core::crdt::value::Value;
use distflow_core::error::ErrorKind;
use distflow_core::limits::CRDT_TIME_MS_MAX;
use distflow_core::{JsonCrdt, crdt::batch};

use crate::kept::Folder;

const NOW_MS: u64 = 1_800_000_000_000;

fn document(replica: &str) -> Document {
    Document::new(replica, Value::object(), Options::default()).unwrap()
}

fn evil(path: &str, t: u64, c: u64) -> String {
    format!(
        r#"{{"id":"x","kind":"set","path":{path},"value":{{}},"hlc":{{"t":{t},"c":{c},"r":"evil"}},"deps":{{"evil":1}},"src":"evil"}}"#
    )
}

/// The edges, and whether what is stamped there has an effect.
const EDGES: [(u64, u64, bool); 7] = [
    (COUNT_MAX, COUNT_MAX, false),
    (COUNT_MAX, 0, false),
    (COUNT_MAX - 1, COUNT_MAX - 1, false),
    (CRDT_TIME_MS_MAX + 1, 0, false),
    (CRDT_TIME_MS_MAX, COUNT_MAX - 100, true),
    (CRDT_TIME_MS_MAX - 1, COUNT_MAX, true),
    (NOW_MS, COUNT_MAX, true),
];

#[test]
pub fn an_operation_from_the_end_of_time_silences_nobody() {
    for path in ["[]", r#"["x"]"#, r#"["x",0]"#] {
        for (t, c, has_effect) in EDGES {
            let folder = Folder::new();
            let (a, mut b) = (folder.open("a"), document("b"));
            a.set("/before", 1).unwrap();
            let op = Op::decode(evil(path, t, c)).unwrap();
            assert_eq!(op.write().is_some(), has_effect, "{path} {t} {c}");
            // As text, and as a batch.
            a.receive_all([Ok(op.clone())]).unwrap();
            let again = a.receive_batch(&batch::encode([&op])).unwrap();
            assert_eq!(again.duplicates, 1);
            for at in 0..3 {
                a.set("/x", at).unwrap();
                assert_eq!(a.get("/x").unwrap(), Some(at.into()), "{path} {t} {c}");
            }
            let text = a.canonical();
            let difference = a.since(&b.clock());
            for op in difference.ops {
                let op = Op::decode(op.encode()).unwrap();
                assert_eq!(b.receive(op, NOW_MS).unwrap(), Received::Applied);
            }
            assert_eq!(b.canonical(), text);
            let (bytes, _) = a.encode_since(&Default::default());
            let c = JsonCrdt::new("c", "{}", Options::default()).unwrap();
            c.receive_batch(&bytes).unwrap();
            assert_eq!(c.canonical(), text);
            for snapshot in [a.snapshot(), a.snapshot_json().into_bytes()] {
                let d = JsonCrdt::new("d", "{}", Options::default()).unwrap();
                d.merge(&snapshot).unwrap();
                d.set("/d", 1).unwrap();
                let e = JsonCrdt::new("e", "{}", Options::default()).unwrap();
                e.restore(&snapshot).unwrap();
                e.set("/x", 5).unwrap();
                assert_eq!(e.get("/x").unwrap(), Some(5.into()));
            }
            drop(a);
            let a = folder.open("a");
            assert_eq!(a.canonical(), text);
            a.checkpoint().unwrap();
            drop(a);
            assert_eq!(folder.open("a").canonical(), text);
        }
    }
}

#[test]
fn a_write_that_cannot_be_stamped_changes_nothing() {
    let folder = Folder::new();
    let a = folder.open("a");
    a.set("/free", 1).unwrap();
    let last = evil(r#"["x"]"#, CRDT_TIME_MS_MAX, COUNT_MAX);
    a.receive(Op::decode(last).unwrap()).unwrap();
    let before = (a.canonical(), a.clock());
    let refused = [a.set("/x", 1), a.delete("/x"), a.set("", Value::object())];
    for error in refused {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(
            error.message().contains("later than the year 9999"),
            "{error}"
        );
    }
    assert_eq!((a.canonical(), a.clock()), before);
    // Everywhere else it goes on.
    a.set("/free", 2).unwrap();
    let text = a.canonical();
    drop(a);
    assert_eq!(folder.open("a").canonical(), text);

    // A host whose clock is that late can't write at all.
    let mut b = document("b");
    let path = [distflow_core::crdt::path::Segment::from("x")];
    let late = b.set(&path, 1, CRDT_TIME_MS_MAX + 1).unwrap_err();
    assert!(late.message().contains("this host's clock"), "{late}");
    assert!(b.set(&path, 1, CRDT_TIME_MS_MAX).is_ok());
}

/// What is stamped far ahead drags no write along, whichever way it came.
#[test]
fn going_back_to_what_is_stamped_far_ahead_drags_no_write_along() {
    let far = Op::decode(evil(r#"["x"]"#, CRDT_TIME_MS_MAX, 0)).unwrap();
    let mut a = document("a");
    a.receive(far, NOW_MS).unwrap();
    let snapshot = a.snapshot();
    let original = format!(
        r#"{{"doc":{{"x":1}},"vc":{{"B":5}},"hlc":{{"t":{COUNT_MAX},"c":{COUNT_MAX},"r":"B"}},"lww":[[".x",{{"t":{COUNT_MAX},"c":{COUNT_MAX},"r":"B"}}]],"tombstones":[],"replicaId":"B"}}"#
    );
    let free = [distflow_core::crdt::path::Segment::from("free")];
    for snapshot in [&snapshot[..], original.as_bytes()] {
        for is_merge in [false, true] {
            let mut b = document("b");
            match is_merge {
                true => b.merge(snapshot, NOW_MS).unwrap(),
                false => b.restore(snapshot, NOW_MS).unwrap(),
            }
            let op = b.set(&free, 1, NOW_MS).unwrap();
            assert!(op.time.t <= NOW_MS + 300_000, "{op:?}");
            let op = b.set(&["x".into()], 7, NOW_MS).unwrap();
            assert_eq!(b.get(&["x".into()]), Some(7.into()));
            assert_eq!(
                op.time,
                Time {
                    t: CRDT_TIME_MS_MAX,
                    c: 1
                }
            );
            assert!(Op::decode(op.encode()).unwrap().write().is_some());
        }
    }
    a.restore(&snapshot, NOW_MS).unwrap();
    let op = a.set(&free, 1, NOW_MS).unwrap();
    assert!(op.time.t <= NOW_MS + 300_000, "{op:?}");
}

/// A snapshot that says that `me` has made so many operations.
fn claims(count: u64) -> Vec<u8> {
    let mut bytes = b"DFD\x01\x01\x02me\x00\x00\x00\x01\x00".to_vec();
    let mut left = count;
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    // What it had seen at its last operation; the root.
    bytes.push(0);
    bytes.extend_from_slice(b"\x04\x01\x02{}");
    bytes
}

#[test]
fn a_replica_whose_numbers_are_said_to_be_used_up_writes_on() {
    for is_merge in [true, false] {
        let folder = Folder::new();
        let options = Options {
            source: Some("me".to_owned()),
            ..Options::default()
        };
        let me = JsonCrdt::open(&folder.0, "me", "{}", options).unwrap();
        assert_eq!(*me.set("/a", 1).unwrap().src, *"me");
        let snapshot = claims(COUNT_MAX);
        match is_merge {
            true => me.merge(&snapshot).unwrap(),
            false => me.restore(&snapshot).unwrap(),
        }
        let op = me.set("/b", 2).unwrap();
        assert_eq!(op.seq(), 1);
        assert!(op.src.starts_with("me~"), "{}", op.src);
        Op::decode(op.encode()).unwrap();
        let (text, clock) = (me.canonical(), me.clock());
        drop(me);
        let me = folder.open("me");
        assert_eq!((me.canonical(), me.clock()), (text, clock));
        let next = me.set("/b", 3).unwrap();
        assert_eq!((&next.src, next.seq()), (&op.src, 2));
    }
    let error = document("me").merge(&claims(COUNT_MAX + 1), NOW_MS);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidMessage);
}
