//! What hostile operations cost. In a process of its own, since memory is counted by process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use distflow_core::crdt::document::{Document, Options, Received};
use distflow_core::crdt::op::{COUNT_MAX, Op};
use distflow_core::crdt::value::Value;
use distflow_core::limits::CRDT_TIME_MS_MAX;
use parking_lot::Mutex;

const NOW_MS: u64 = 1_800_000_000_000;
const OPS: u64 = 100_000;
const GROWTH_BYTES: usize = 64 << 20;

/// One test at a time: each counts the memory of all.
static ALONE: Mutex<()> = Mutex::new(());

/// Memory of this process that is resident.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

fn op(src: &str, seq: u64, path: &str, kind: &str, (t, c): (u64, u64)) -> Op {
    Op::decode(format!(
        r#"{{"id":"x","kind":"{kind}","path":{path},"value":1,"hlc":{{"t":{t},"c":{c},"r":"{src}"}},"deps":{{"{src}":{seq}}},"src":"{src}"}}"#
    ))
    .unwrap()
}

/// The path, kind and stamp of one.
fn hostile(seq: u64) -> (String, &'static str, (u64, u64)) {
    let now = (NOW_MS, seq);
    let far = format!("[\"f{}\"{}]", seq % 1_000, ",65535".repeat(50));
    let near = format!("[\"n{}\"{}]", seq % 1_000, ",1".repeat(50));
    let deep = format!("[\"d{}\"{}]", seq % 100, ",\"d\"".repeat(55));
    match seq % 10 {
        0 => ("[1000000000]".into(), "set", now),
        1 => (r#"["__proto__","x"]"#.into(), "set", now),
        2 => ("[null]".into(), "set", now),
        3 => ("[]".into(), "merge", now),
        4 => (far, "set", now),
        5 => (near, "set", now),
        6 => (format!("[\"k{}\",64]", seq % 20_000), "set", now),
        7 => (deep, "set", now),
        8 => (r#"["x"]"#.into(), "set", (COUNT_MAX, COUNT_MAX)),
        _ => (r#"["y"]"#.into(), "set", (CRDT_TIME_MS_MAX, seq)),
    }
}

#[test]
fn a_hundred_thousand_hostile_operations_fill_no_memory_and_stop_nobody() {
    let _alone = ALONE.lock();
    let mut document = Document::new("A", Value::object(), Options::default()).unwrap();
    let good = op("good", 1, r#"["before"]"#, "set", (NOW_MS, 0));
    document.receive(good, NOW_MS).unwrap();
    document.canonical();
    let before = resident();
    let mut length = 0;
    for seq in 1..=OPS {
        let (path, kind, stamp) = hostile(seq);
        let op = op("evil", seq, &path, kind, stamp);
        length += op.encode().len();
        assert_eq!(document.receive(op, NOW_MS).unwrap(), Received::Applied);
        // These wait for what never comes.
        let waits = self::op("ghost", seq + 1, "[]", "set", (NOW_MS, 0));
        assert_eq!(document.receive(waits, NOW_MS).is_ok(), seq <= 10_000);
    }
    assert_eq!(document.clock().get("evil"), Some(&OPS));
    let good = op("good", 2, r#"["after"]"#, "set", (NOW_MS + 1, 0));
    assert_eq!(document.receive(good, NOW_MS).unwrap(), Received::Applied);
    document.set(&["own".into()], 1, NOW_MS).unwrap();
    let text = document.canonical();
    let growth = resident().saturating_sub(before);
    assert!(text.contains(r#""after":1"#) && text.contains(r#""own":1"#));
    assert!(text.len() <= length, "{} of {length}", text.len());
    assert!(growth <= GROWTH_BYTES, "{growth} bytes");
}

/// 456 bytes that took 116 MiB.
#[test]
fn a_path_of_large_indices_costs_little() {
    let path = format!("[\"k\"{}]", ",65535".repeat(58));
    let _alone = ALONE.lock();
    let mut document = Document::new("A", Value::object(), Options::default()).unwrap();
    document.canonical();
    let before = resident();
    for seq in 1..=5 {
        let op = op("evil", seq, &path, "set", (NOW_MS, seq));
        assert!(op.encode().len() < 520);
        document.receive(op, NOW_MS).unwrap();
        assert!(document.canonical().len() < 100);
    }
    let growth = resident().saturating_sub(before);
    assert!(growth < 8 << 20, "{growth} bytes");
}
