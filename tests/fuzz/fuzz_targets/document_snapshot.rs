//! A snapshot, bytes or JSON: it is taken in or refused, and nothing changes then; what was taken in
//! comes out again.
#![no_main]

use distflow_core::crdt::document::{Document, Options};
use distflow_core::crdt::json::Json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = match data.split_first() {
        Some((0, rest)) => [b"DFD\x01", rest].concat(),
        Some((_, rest)) => rest.to_vec(),
        None => return,
    };
    let new = || {
        let mut document = Document::new("A", Json::parse("{\"x\":[1]}").unwrap(), Options::default()).unwrap();
        document.set(&["x".into(), 0.into()], 2, 1_000).unwrap();
        document
    };
    let mut document = new();
    let before = document.snapshot();
    if document.restore(&bytes, 2_000).is_err() {
        assert_eq!(document.snapshot(), before);
        assert!(document.merge(&bytes, 2_000).is_err());
        return;
    }
    let _ = document.set(&["y".into()], 1, 3_000);
    let snapshot = document.snapshot();
    let mut copy = new();
    copy.restore(&snapshot, 4_000).unwrap();
    assert_eq!(copy.canonical(), document.canonical());
    let mut merged = new();
    let _ = merged.merge(&bytes, 2_000);
    merged.canonical();
});
