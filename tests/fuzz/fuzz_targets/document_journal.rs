//! A journal: a document opens with the records that are whole, or says what is damaged, and then what is
//! whole can be salvaged; and it opens again with what it wrote. The records themselves, behind heads that
//! no fuzzer would guess, come from a storage in memory.
#![no_main]

use std::sync::{Arc, Mutex};

use distflow_core::storage::{Storage, Stored, Work};
use distflow_core::{ErrorKind, JsonCrdt, Result};
use libfuzzer_sys::fuzz_target;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Stored>>);

impl Storage for Memory {
    fn load(&mut self) -> Result<Stored> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.0.lock().unwrap().records.push(record.to_vec());
        Ok(())
    }

    fn flush(&mut self) -> Result<Work> {
        Ok(Box::new(|| Ok(())))
    }

    fn checkpoint(&mut self, snapshot: Vec<u8>) -> Result<Work> {
        *self.0.lock().unwrap() = Stored {
            snapshot: Some(snapshot),
            ..Stored::default()
        };
        Ok(Box::new(|| Ok(())))
    }
}

fn check(open: impl Fn() -> Result<JsonCrdt>) {
    if let Ok(document) = open() {
        let _ = document.set(["own"], 1);
        let text = document.canonical();
        drop(document);
        let document = open().unwrap();
        assert_eq!(document.canonical(), text);
        let _ = document.checkpoint();
        drop(document);
        assert_eq!(open().unwrap().canonical(), text);
    }
}

fn files(data: &[u8]) {
    let folder = std::env::temp_dir().join(format!("distflow-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("journal-0"), data).unwrap();
    let open = || JsonCrdt::open(&folder, "A", "{}", Default::default());
    if let Err(error) = open() {
        assert_eq!(error.kind(), ErrorKind::InvalidMessage);
        drop(JsonCrdt::salvage(&folder, "A", "{}", Default::default()).unwrap());
    }
    check(open);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Records, each behind a byte with its length; the first may be what a snapshot holds.
fn records(mut data: &[u8]) {
    let mut stored = Stored::default();
    while let Some((&length, rest)) = data.split_first() {
        let (record, rest) = rest.split_at(usize::from(length).min(rest.len()));
        match record.strip_prefix(b"K") {
            Some(kept) if stored.records.is_empty() => {
                stored.snapshot = Some([b"DFK\x01", kept].concat());
            }
            _ => stored.records.push(record.to_vec()),
        }
        data = rest;
    }
    let memory = Memory(Arc::new(Mutex::new(stored)));
    check(|| JsonCrdt::with_storage(Box::new(memory.clone()), "A", "{}", Default::default()));
}

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((0, data)) => files(&[b"DFJ\x02", data].concat()),
        Some((1, data)) => files(data),
        Some((_, data)) => records(data),
        None => {}
    }
});
