//! A batch of operations: what is read of it can be written, and is read the same again.
#![no_main]

use distflow_core::crdt::batch::{self, Batch};
use distflow_core::crdt::document::{Document, Options};
use distflow_core::crdt::op::Op;
use distflow_core::crdt::json::Json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Most bytes are no batch; with its beginning they are more often.
    let bytes = [b"DFO\x01", data].concat();
    let Ok(found) = Batch::new(&bytes) else { return };
    let ops: Vec<Op> = found.map_while(Result::ok).collect();
    let again = batch::encode(&ops);
    let read: Vec<Op> = Batch::new(&again).unwrap().map(Result::unwrap).collect();
    assert_eq!(batch::encode(&read), again);
    let mut document = Document::new("A", Json::parse("{}").unwrap(), Options::default()).unwrap();
    for op in ops {
        let _ = document.receive(op, 1_000);
    }
    document.canonical();
});
