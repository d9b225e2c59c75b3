//! A directory at every step that its writing may be cut at.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("distflow-{}", uuid::Uuid::new_v4()));
        Self(path)
    }

    fn open(&self) -> (Directory, Stored) {
        let mut directory = Directory::open(&self.0).unwrap();
        let stored = directory.load().unwrap();
        (directory, stored)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn records(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn what_was_stored_is_there_again() {
    let folder = Folder::new();
    let (mut directory, stored) = folder.open();
    assert_eq!(stored, Stored::default());
    directory.append(b"one").unwrap();
    directory.append(b"two").unwrap();
    directory.flush().unwrap()().unwrap();
    let error = Directory::open(&folder.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyRunning);
    drop(directory);
    let (mut directory, stored) = folder.open();
    assert_eq!(stored.records, records(&["one", "two"]));
    let work = directory.checkpoint(b"snapshot".to_vec()).unwrap();
    directory.append(b"three").unwrap();
    work().unwrap();
    drop(directory);
    let (mut directory, stored) = folder.open();
    assert_eq!(stored.snapshot.as_deref(), Some(&b"snapshot"[..]));
    assert_eq!(stored.records, records(&["three"]));
    assert!(directory.append(b"").is_err());
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 3);
}

#[test]
fn a_journal_cut_at_any_byte_keeps_every_whole_record() {
    let folder = Folder::new();
    let (mut directory, _) = folder.open();
    let texts = ["first", "second", "third"];
    texts
        .iter()
        .for_each(|text| directory.append(text.as_bytes()).unwrap());
    drop(directory);
    let path = folder.0.join("journal-0");
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..=bytes.len() {
        for zeros in [0, 20] {
            let mut cut = bytes[..length].to_vec();
            cut.resize(length + zeros, 0);
            std::fs::write(&path, &cut).unwrap();
            let (mut directory, stored) = folder.open();
            let mut end = JOURNAL_MAGIC.len();
            let whole = texts.iter().take_while(|text| {
                end += HEAD_BYTES + text.len();
                end <= length
            });
            let mut expected: Vec<&str> = whole.copied().collect();
            assert_eq!(stored.records, records(&expected), "{length} {zeros}");
            directory.append(b"more").unwrap();
            drop(directory);
            expected.push("more");
            assert_eq!(
                folder.open().1.records,
                records(&expected),
                "{length} {zeros}"
            );
        }
    }
}

#[test]
fn after_a_journal_that_is_torn_nothing_is_read() {
    let folder = Folder::new();
    let (mut directory, _) = folder.open();
    directory.append(b"first").unwrap();
    directory.append(b"second").unwrap();
    // The snapshot is never written, and the machine ends with half of the first journal.
    drop(directory.checkpoint(b"never".to_vec()).unwrap());
    directory.append(b"third").unwrap();
    drop(directory);
    let path = folder.0.join("journal-0");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let (mut directory, stored) = folder.open();
    assert_eq!(stored.records, records(&["first"]));
    let torn = HEAD_BYTES + 5 + JOURNAL_MAGIC.len() + HEAD_BYTES + 5;
    assert_eq!(stored.torn_bytes, torn as u64);
    directory.append(b"more").unwrap();
    drop(directory);
    let (_, stored) = folder.open();
    assert_eq!(stored.records, records(&["first", "more"]));
    assert_eq!(stored.torn_bytes, 0);
}

/// A bit of the last record of a journal, while there is another journal behind it.
#[test]
fn damage_at_the_end_of_a_journal_is_none_of_its_end() {
    let folder = Folder::new();
    let (mut directory, _) = folder.open();
    directory.append(b"first").unwrap();
    directory.append(b"second").unwrap();
    drop(directory.checkpoint(b"never".to_vec()).unwrap());
    directory.append(b"third").unwrap();
    drop(directory);
    let path = folder.0.join("journal-0");
    let bytes = std::fs::read(&path).unwrap();
    for bit in 0..8 * bytes.len() {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &bytes).unwrap();
        let mut directory = Directory::open(&folder.0).unwrap();
        let error = directory.load().unwrap_err();
        assert!(error.message().contains("journal-0"), "{bit}: {error}");
        let salvaged = directory.salvage().unwrap();
        assert!(
            salvaged.records.len() >= 2 && salvaged.torn_bytes > 0,
            "{bit}"
        );
        assert_eq!(salvaged.records.last().unwrap(), b"third", "{bit}");
        // Nothing is gone until there is a new snapshot; and copies stay.
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        directory.checkpoint(b"all".to_vec()).unwrap()().unwrap();
        let copy = folder.0.join("damaged-journal-0");
        assert_eq!(std::fs::read(copy).unwrap(), bytes);
        drop(directory);
        assert_eq!(folder.open().1.snapshot.as_deref(), Some(&b"all"[..]));
        let _ = std::fs::remove_dir_all(&folder.0);
        let (mut directory, _) = folder.open();
        directory.append(b"first").unwrap();
        directory.append(b"second").unwrap();
        drop(directory.checkpoint(b"never".to_vec()).unwrap());
        directory.append(b"third").unwrap();
    }
}

#[test]
fn without_its_journal_a_snapshot_is_written_on() {
    let folder = Folder::new();
    let (mut directory, _) = folder.open();
    directory.checkpoint(b"whole".to_vec()).unwrap()().unwrap();
    directory.append(b"one").unwrap();
    drop(directory);
    std::fs::remove_file(folder.0.join("journal-1")).unwrap();
    let (mut directory, stored) = folder.open();
    assert_eq!(stored.records, records(&[]));
    directory.append(b"two").unwrap();
    drop(directory);
    assert_eq!(folder.open().1.records, records(&["two"]));
}

#[test]
fn damage_in_the_middle_is_not_taken_for_an_end() {
    let folder = Folder::new();
    let (mut directory, _) = folder.open();
    directory.append(b"first").unwrap();
    directory.append(b"second").unwrap();
    drop(directory);
    let path = folder.0.join("journal-0");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = Directory::open(&folder.0).unwrap().load().unwrap_err();
    assert!(
        error.message().contains("journal-0 is damaged at byte 4"),
        "{error}"
    );
}

#[test]
fn a_checkpoint_that_did_not_end_does_not_count() {
    let folder = Folder::new();
    let (mut directory, _) = folder.open();
    directory.append(b"one").unwrap();
    let work = directory.checkpoint(b"whole".to_vec()).unwrap();
    directory.append(b"two").unwrap();
    drop((directory, work));
    std::fs::write(folder.0.join("unfinished"), b"half").unwrap();
    let (mut directory, stored) = folder.open();
    assert_eq!(
        (stored.snapshot, stored.records),
        (None, records(&["one", "two"]))
    );
    let work = directory.checkpoint(b"whole".to_vec()).unwrap();
    drop(directory);
    // It holds the directory until it is done.
    assert!(Directory::open(&folder.0).is_err());
    work().unwrap();
    let (directory, stored) = folder.open();
    assert_eq!(stored.snapshot.as_deref(), Some(&b"whole"[..]));
    assert_eq!(stored.records, records(&[]));
    drop(directory);
    std::fs::write(folder.0.join("snapshot-2"), b"DFS\x02123456789012bad").unwrap();
    let error = Directory::open(&folder.0).unwrap().load().unwrap_err();
    assert!(error.message().contains("snapshot-2 is damaged"), "{error}");
    // Those of before have other heads.
    std::fs::write(folder.0.join("snapshot-2"), b"12345678bad").unwrap();
    let error = Directory::open(&folder.0).unwrap().load().unwrap_err();
    assert!(error.message().contains("another version"), "{error}");
}
