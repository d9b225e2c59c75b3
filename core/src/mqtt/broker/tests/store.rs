use std::path::{Path, PathBuf};

use super::super::store::{Store, Stored};
use super::*;
use crate::error::ErrorKind;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("distflow-kept-{:016x}", crate::ids::random_u64());
        Self(std::env::temp_dir().join(name))
    }

    fn file(&self) -> PathBuf {
        self.0.join("retained")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn stored(topic: &str, payload: &str) -> Stored {
    (retained(topic, payload), None)
}

fn texts(stored: &[Stored]) -> Vec<(String, String)> {
    let text = |(message, _): &Stored| {
        let payload = String::from_utf8(message.payload.to_vec()).unwrap();
        (message.topic.to_string(), payload)
    };
    stored.iter().map(text).collect()
}

fn open(folder: &Path) -> (Store, Vec<Stored>) {
    Store::open(folder).unwrap()
}

#[test]
fn what_was_written_is_there_again() {
    let folder = Folder::new();
    let (mut store, kept) = open(&folder.0);
    assert!(kept.is_empty());
    store.put(&"a/ü".into(), Some(&(retained("a/ü", "one"), Some(77))));
    store.put(&"b".into(), Some(&stored("b", "two")));
    store.put(&"a/ü".into(), None);
    drop(store);
    let (mut store, kept) = open(&folder.0);
    let texts_of = |wanted: &[(&str, &str)]| {
        let owned = wanted
            .iter()
            .map(|(topic, text)| ((*topic).to_owned(), (*text).to_owned()));
        owned.collect::<Vec<_>>()
    };
    assert_eq!(
        texts(&kept),
        texts_of(&[("a/ü", "one"), ("b", "two"), ("a/ü", "")])
    );
    assert_eq!((kept[0].1, kept[1].1, kept[0].0.qos), (Some(77), None, 1));
    store.rewrite([stored("b", "two")].into_iter()).unwrap();
    store.put(&"c".into(), Some(&stored("c", "three")));
    drop(store);
    let (_store, kept) = open(&folder.0);
    assert_eq!(texts(&kept), texts_of(&[("b", "two"), ("c", "three")]));
}

#[test]
fn a_last_record_that_is_not_whole_is_cut_off_and_damage_is_told() {
    let folder = Folder::new();
    let (mut store, _) = open(&folder.0);
    for topic in ["a", "b", "c"] {
        store.put(&topic.into(), Some(&stored(topic, "some payload")));
    }
    drop(store);
    let whole = std::fs::read(folder.file()).unwrap();
    let begin = 29;
    let record = (whole.len() - begin) / 3;
    for length in 0..whole.len() {
        std::fs::write(folder.file(), &whole[..length]).unwrap();
        let (mut store, kept) = open(&folder.0);
        assert_eq!(
            kept.len(),
            length.saturating_sub(begin) / record,
            "{length}"
        );
        // It goes on behind what is whole.
        store.put(&"d".into(), Some(&stored("d", "more")));
        drop(store);
        assert_eq!(texts(&open(&folder.0).1).last().unwrap().0, "d");
    }
    // Each bit, lengths too: nothing is cut off that was whole.
    for bit in 0..(whole.len() - record) * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(folder.file(), &damaged).unwrap();
        let error = Store::open(&folder.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidMessage, "{bit} {error}");
        assert!(
            error.message().contains("retained is damaged at byte"),
            "{error}"
        );
        assert_eq!(std::fs::read(folder.file()).unwrap(), damaged);
    }
}

#[test]
fn a_folder_belongs_to_one_broker() {
    let folder = Folder::new();
    let (store, _) = open(&folder.0);
    assert_eq!(
        Store::open(&folder.0).unwrap_err().kind(),
        ErrorKind::AlreadyRunning
    );
    drop(store);
    open(&folder.0);
}

#[test]
fn a_file_that_is_mostly_out_of_date_is_due_to_be_written_anew() {
    let folder = Folder::new();
    let (mut store, _) = open(&folder.0);
    let long = "x".repeat(100_000);
    let now = stored("a", &long);
    let mut writes = 0;
    while !store.is_due(100_000) {
        store.put(&"a".into(), Some(&now));
        writes += 1;
        assert!(writes < 20);
    }
    store.rewrite([now].into_iter()).unwrap();
    assert!(!store.is_due(100_000));
    assert!(std::fs::metadata(folder.file()).unwrap().len() < 101_000);
}

/// What can't be written is written when it can be again.
#[test]
fn a_full_disk_is_caught_up_with() {
    let folder = Folder::new();
    let (mut store, _) = open(&folder.0);
    store.put(&"a".into(), Some(&stored("a", "one")));
    // The new file's name is taken by a folder that is not empty: it can't be written.
    let taken = folder.0.join("retained.new");
    std::fs::create_dir_all(taken.join("x")).unwrap();
    assert!(store.rewrite([stored("a", "two")].into_iter()).is_err());
    assert!(store.is_due(0));
    std::fs::remove_dir_all(&taken).unwrap();
    store.rewrite([stored("a", "two")].into_iter()).unwrap();
    drop(store);
    let (_store, kept) = open(&folder.0);
    assert_eq!(texts(&kept), [("a".to_owned(), "two".to_owned())]);
}
