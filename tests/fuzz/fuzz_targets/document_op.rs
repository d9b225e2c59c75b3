//! An operation as text: read, written again, and taken in; whatever it is, the next one is too.
#![no_main]

use distflow_core::crdt::document::{Document, Options};
use distflow_core::crdt::op::Op;
use distflow_core::crdt::json::Json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(op) = Op::decode(data) else { return };
    let text = op.encode();
    let again = Op::decode(&text).unwrap();
    assert_eq!(again.encode(), text);
    let mut document = Document::new("A", Json::parse("{}").unwrap(), Options::default()).unwrap();
    let _ = document.receive(op, 1_000);
    let own = document.set(&["own".into()], 1, 2_000);
    assert!(own.is_ok() || !document.json().as_str().starts_with('{'));
    let text = document.canonical();
    let mut copy = Document::new("B", Json::parse("{}").unwrap(), Options::default()).unwrap();
    copy.restore(&document.snapshot(), 3_000).unwrap();
    assert_eq!(copy.canonical(), text);
    copy.restore(document.snapshot_json().as_bytes(), 3_000).unwrap();
    assert_eq!(copy.canonical(), text);
});
