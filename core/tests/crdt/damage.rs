//! Directories that were damaged, cut off, or are full.

use std::collections::HashSet;
use std::path::Path;

use distflow_core::crdt::document::{Options, Received};
use distflow_core::{ErrorKind, JsonCrdt};

use crate::kept::Folder;

/// Keys of its own, one by one.
fn write(document: &JsonCrdt, from: usize, to: usize) -> Vec<(String, u64)> {
    let made = (from..to).map(|at| document.set(["k", &at.to_string()], at as i64).unwrap());
    made.map(|op| (op.src.to_string(), op.seq())).collect()
}

/// How many of those are there.
fn left(document: &JsonCrdt) -> usize {
    let all = (0..100).map(|at| document.get(["k", &at.to_string()]).unwrap());
    all.filter(Option::is_some).count()
}

fn salvage(folder: &Folder) -> JsonCrdt {
    JsonCrdt::salvage(&folder.0, "me", "{}", Options::default()).unwrap()
}

fn copies(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("damaged-")).count()
}

/// Whatever bit is flipped: it is an error that names the file, or the end of what was written last; and
/// no number is given again.
#[test]
pub fn a_flipped_bit_is_told_and_costs_one_record() {
    let folder = Folder::new();
    let document = folder.open("me");
    let given: HashSet<_> = write(&document, 0, 3).into_iter().collect();
    drop(document);
    let path = folder.0.join("journal-0");
    let bytes = std::fs::read(&path).unwrap();
    // Every bit is tried where the files are read; here some of every byte.
    for bit in (0..8 * bytes.len()).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &damaged).unwrap();
        let document = match JsonCrdt::open(&folder.0, "me", "{}", Options::default()) {
            Ok(document) => {
                // The last one: nothing whole is behind it.
                assert_eq!(left(&document), 2, "{bit}");
                document
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidMessage, "{bit}");
                let text = error.message();
                assert!(
                    text.contains("journal-0") && text.contains("byte"),
                    "{text}"
                );
                assert_eq!(std::fs::read(&path).unwrap(), damaged, "{bit}");
                let document = salvage(&folder);
                assert!(copies(&folder.0) > 0);
                document
            }
        };
        for dot in write(&document, 50, 52) {
            assert!(!given.contains(&dot), "{bit}: {dot:?}");
        }
        let text = document.canonical();
        drop(document);
        assert_eq!(folder.open("me").canonical(), text, "{bit}");
        std::fs::remove_dir_all(&folder.0).unwrap();
        std::fs::create_dir_all(&folder.0).unwrap();
    }
}

#[test]
fn what_was_salvaged_is_filled_up_by_the_others() {
    let folder = Folder::new();
    let (document, other) = (
        folder.open("me"),
        JsonCrdt::new("other", "{}", Options::default()).unwrap(),
    );
    write(&document, 0, 20);
    other
        .receive_all(document.since(&other.clock()).ops.into_iter().map(Ok))
        .unwrap();
    drop(document);
    let path = folder.0.join("journal-0");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(JsonCrdt::open(&folder.0, "me", "{}", Options::default()).is_err());

    let document = salvage(&folder);
    let whole = left(&document);
    assert!((5..15).contains(&whole), "{whole}");
    // What came after the gap waits for it.
    assert_eq!(document.metrics().pending_size, 19 - whole);
    let op = document.set("/more", 1).unwrap();
    assert!(op.src.starts_with("me~") && op.seq() == 1, "{op:?}");
    assert_eq!(other.receive(op).unwrap(), Received::Applied);
    document
        .receive_all(other.since(&document.clock()).ops.into_iter().map(Ok))
        .unwrap();
    assert_eq!((left(&document), document.hash()), (20, other.hash()));
    drop(document);
    // Without damage, it is opened as it is.
    let document = salvage(&folder);
    assert_eq!(document.hash(), other.hash());
    assert_eq!(document.set("/more", 2).unwrap().seq(), 2);
    assert_eq!(copies(&folder.0), 1);
}

#[test]
fn a_damaged_snapshot_is_told_and_what_came_after_it_is_salvaged() {
    let folder = Folder::new();
    let document = folder.open("me");
    write(&document, 0, 5);
    document.checkpoint().unwrap();
    write(&document, 5, 8);
    let (snapshot, clock) = (document.snapshot(), document.clock());
    drop(document);
    let path = folder.0.join("snapshot-1");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = JsonCrdt::open(&folder.0, "me", "{}", Options::default()).unwrap_err();
    assert!(error.message().contains("snapshot-1 is damaged"), "{error}");
    let document = salvage(&folder);
    assert_eq!(left(&document), 0);
    document.merge(snapshot).unwrap();
    assert_eq!((left(&document), document.clock()), (8, clock));
}

/// Whoever has seen what was cut off is not given its number again.
#[test]
pub fn after_a_cut_journal_numbers_do_not_begin_again() {
    let folder = Folder::new();
    let document = folder.open("me");
    let given: HashSet<_> = write(&document, 0, 4).into_iter().collect();
    let source = document.source();
    drop(document);
    let path = folder.0.join("journal-0");
    let bytes = std::fs::read(&path).unwrap();
    let is_record_end = |length: usize| {
        // Those are no torn ends: the end of a process leaves none behind that was given out.
        std::fs::write(&path, &bytes[..length]).unwrap();
        let document = folder.open("me");
        document.set("/x", 1).unwrap().src.as_ref() == source
    };
    let ends: Vec<usize> = (0..=bytes.len()).filter(|at| is_record_end(*at)).collect();
    // Of each write; before the first it had no source.
    assert_eq!(ends.len(), 4, "{ends:?}");
    for length in (0..=bytes.len()).filter(|length| !ends.contains(length)) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let document = folder.open("me");
        for dot in write(&document, 10, 12) {
            assert!(!given.contains(&dot), "{length}: {dot:?}");
        }
        let source = document.with(|document, _| document.source().to_owned());
        drop(document);
        // The source is kept, also if nothing had been written.
        let document = folder.open("me");
        assert_eq!(*document.set("/y", 1).unwrap().src, *source);
    }
}

#[test]
fn files_of_before_are_told() {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    std::fs::write(folder.0.join("journal-0"), b"\x05\0\0\0abcdfirst").unwrap();
    let error = JsonCrdt::open(&folder.0, "me", "{}", Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidMessage);
    let text = error.message();
    assert!(
        text.contains("journal-0") && text.contains("another version"),
        "{text}"
    );
}

/// A small disk that goes with the test.
#[cfg(target_os = "linux")]
struct SmallDisk(Folder);

#[cfg(target_os = "linux")]
impl SmallDisk {
    /// None where one may not be mounted.
    fn mount() -> Option<Self> {
        let folder = Folder::new();
        std::fs::create_dir_all(&folder.0).ok()?;
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "distflow"])
            .arg(&folder.0)
            .stderr(std::process::Stdio::null())
            .status();
        mount.ok()?.success().then(|| Self(folder))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0.0)
            .status();
    }
}

/// Whether a small disk can be had here.
#[cfg(all(target_os = "linux", feature = "plants"))]
pub fn can_mount() -> bool {
    SmallDisk::mount().is_some()
}

#[cfg(target_os = "linux")]
#[test]
pub fn a_failed_checkpoint_does_not_fill_the_disk() {
    let Some(disk) = SmallDisk::mount() else {
        println!("NOT RUN: a small disk can only be mounted by root");
        return;
    };
    let directory = disk.0.0.join("document");
    let open = || JsonCrdt::open(&directory, "me", "{}", Options::default());
    let document = open().unwrap();
    let text = "x".repeat(700 << 10);
    document.set("/big", text.as_str()).unwrap();
    // Takes most of what is left, so that there is no room for a snapshot.
    let other = disk.0.0.join("other");
    std::fs::write(&other, vec![1; 1_800 << 10]).unwrap();
    let error = document.checkpoint().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(!directory.join("unfinished").exists());
    // There is some room for writes, as before; and more when the other file goes.
    document.set("/small", 1).unwrap();
    let failed = (0..10_000).find(|at| document.set("/some", vec_of(*at)).is_err());
    assert!(failed.is_some());
    let kept = document.canonical();
    drop(document);
    // Of a process that was killed meanwhile.
    let unfinished = directory.join("unfinished");
    let _ = std::fs::write(&unfinished, b"x");
    std::fs::remove_file(&other).unwrap();
    let document = open().unwrap();
    assert!(!unfinished.exists());
    assert_eq!(document.canonical(), kept);
    document.set("/small", 2).unwrap();
    document.checkpoint().unwrap();
    let kept = document.canonical();
    drop(document);
    assert_eq!(open().unwrap().canonical(), kept);
}

#[cfg(target_os = "linux")]
fn vec_of(at: i64) -> String {
    format!("{at}{}", "y".repeat(4_000))
}
