//! Documents that are kept: what was acknowledged is there again, wherever the end came.

use std::path::PathBuf;
use std::sync::Arc;

use distflow_core::crdt::document::{Options, Received};
use distflow_core::storage::{Storage, Stored, Work};
use distflow_core::{Error, ErrorKind, JsonCrdt, Result};
use parking_lot::Mutex;

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        Self(std::env::temp_dir().join(format!("distflow-{}", uuid::Uuid::new_v4())))
    }

    pub fn open(&self, replica: &str) -> JsonCrdt {
        JsonCrdt::open(&self.0, replica, "{}", Options::default()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_document_is_as_it_was_when_it_was_last_open() {
    let folder = Folder::new();
    let other = JsonCrdt::new("other", "{}", Options::default()).unwrap();
    let first = other.set("/theirs", 1).unwrap();
    let second = other.set("/theirs", 2).unwrap();
    let document = folder.open("me");
    document.set("/mine", "a").unwrap();
    document.receive(first.clone()).unwrap();
    document
        .set(
            "/list",
            distflow_core::crdt::value::Value::parse("[1,2]").unwrap(),
        )
        .unwrap();
    document.delete("/list/0").unwrap();
    let (text, clock) = (document.canonical(), document.clock());
    assert_eq!(text, r#"{"list":[2],"mine":"a","theirs":1}"#);
    drop(document);

    let document = folder.open("me");
    assert_eq!((document.canonical(), document.clock()), (text, clock));
    assert_eq!(document.receive(first).unwrap(), Received::Duplicate);
    document.checkpoint().unwrap();
    document.receive(second).unwrap();
    // Its numbers go on where they were.
    let op = document.set("/mine", "b").unwrap();
    assert_eq!(op.seq(), 4);
    assert_eq!(other.receive(op).unwrap(), Received::Pending);
    document.flush().unwrap();
    let text = document.canonical();
    drop(document);
    assert_eq!(folder.open("me").canonical(), text);
}

#[test]
fn a_long_journal_becomes_a_snapshot() {
    let folder = Folder::new();
    let document = folder.open("me");
    let text = "x".repeat(10_000);
    for _ in 0..150 {
        document.set("/big", text.as_str()).unwrap();
    }
    let text = document.canonical();
    drop(document);
    let files = std::fs::read_dir(&folder.0).unwrap();
    let bytes: u64 = files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 1 << 20, "{bytes}");
    assert_eq!(folder.open("me").canonical(), text);
}

#[test]
fn wherever_the_journal_ends_a_beginning_of_the_history_is_there() {
    let folder = Folder::new();
    let document = folder.open("me");
    let mut texts = vec![document.canonical()];
    for at in 0..8 {
        document
            .set(["k", ["a", "b", "c"][at % 3]], at as i64)
            .unwrap();
        texts.push(document.canonical());
    }
    drop(document);
    let path = folder.0.join("journal-0");
    let bytes = std::fs::read(&path).unwrap();
    let mut before = 0;
    for length in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let text = folder.open("me").canonical();
        let at = texts.iter().position(|known| *known == text).unwrap();
        assert!(at == before || at == before + 1, "{length}");
        before = at;
    }
    assert_eq!(before, 8);
}

#[test]
fn what_was_merged_or_gone_back_to_is_kept() {
    let folder = Folder::new();
    let document = folder.open("me");
    document.set("/mine", 1).unwrap();
    let other = JsonCrdt::new("other", "{}", Options::default()).unwrap();
    other.set("/theirs", 2).unwrap();
    let before = document.snapshot();
    document.merge(other.snapshot()).unwrap();
    document.set("/mine", 3).unwrap();
    let text = document.canonical();
    assert_eq!(text, r#"{"mine":3,"theirs":2}"#);
    drop(document);
    let document = folder.open("me");
    assert_eq!(document.canonical(), text);
    // Going back is kept, too, and so is the name it writes under from then on.
    document.restore(before).unwrap();
    let op = document.set("/more", 4).unwrap();
    let text = document.canonical();
    assert_eq!(text, r#"{"mine":1,"more":4}"#);
    drop(document);
    let document = folder.open("me");
    assert_eq!(document.canonical(), text);
    let next = document.set("/more", 5).unwrap();
    assert_eq!((&next.src, next.seq()), (&op.src, 2));
}

/// A storage that fails when it is told to.
#[derive(Clone, Default)]
struct Failing {
    fails: Arc<Mutex<bool>>,
    stored: Arc<Mutex<Stored>>,
}

impl Failing {
    fn outcome(&self) -> Result<()> {
        match *self.fails.lock() {
            true => Err(Error::new(ErrorKind::Io, "the disk is full")),
            false => Ok(()),
        }
    }
}

impl Storage for Failing {
    fn load(&mut self) -> Result<Stored> {
        Ok(self.stored.lock().clone())
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.outcome()?;
        self.stored.lock().records.push(record.to_vec());
        Ok(())
    }

    fn flush(&mut self) -> Result<Work> {
        self.outcome()?;
        Ok(Box::new(|| Ok(())))
    }

    fn checkpoint(&mut self, snapshot: Vec<u8>) -> Result<Work> {
        self.outcome()?;
        *self.stored.lock() = Stored {
            snapshot: Some(snapshot),
            ..Stored::default()
        };
        Ok(Box::new(|| Ok(())))
    }
}

#[test]
pub fn what_cannot_be_kept_does_not_happen() {
    let storage = Failing::default();
    let open = || {
        let boxed = Box::new(storage.clone());
        JsonCrdt::with_storage(boxed, "me", "{}", Options::default()).unwrap()
    };
    let document = open();
    document.set("/a", 1).unwrap();
    let other = JsonCrdt::new("other", "{}", Options::default()).unwrap();
    let theirs = other.set("/b", 2).unwrap();
    *storage.fails.lock() = true;
    let error = document.set("/a", 2).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Io, "the disk is full")
    );
    assert!(document.delete("/a").is_err());
    assert!(document.receive(theirs.clone()).is_err());
    assert!(document.flush().is_err());
    assert_eq!(document.canonical(), r#"{"a":1}"#);
    assert!(document.merge(other.snapshot()).is_err());
    assert!(document.restore(other.snapshot()).is_err());
    assert_eq!(document.canonical(), r#"{"a":1}"#);
    *storage.fails.lock() = false;
    assert_eq!(document.set("/a", 3).unwrap().seq(), 2);
    assert_eq!(document.receive(theirs).unwrap(), Received::Applied);
    let text = document.canonical();
    drop(document);
    assert_eq!(open().canonical(), text);
}

#[cfg(unix)]
#[test]
fn a_forked_child_does_not_keep_the_directory() {
    let folder = Folder::new();
    let document = folder.open("me");
    document.set("/x", 1).unwrap();
    // SAFETY: the child only waits to be killed.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        loop {
            // SAFETY: it only sleeps.
            unsafe { libc::pause() };
        }
    }
    drop(document);
    let opened = JsonCrdt::open(&folder.0, "me", "{}", Options::default());
    // SAFETY: the child is ours, and not waited for yet.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    assert_eq!(opened.unwrap().canonical(), r#"{"x":1}"#);
}

/// The initial value is the one that the document began with, before and after a checkpoint.
#[test]
pub fn another_initial_value_changes_nothing_once_there_is_a_document() {
    let folder = Folder::new();
    let open = |initial| JsonCrdt::open(&folder.0, "me", initial, Options::default()).unwrap();
    let document = open(r#"{"v":1}"#);
    drop(document);
    for _ in 0..2 {
        let document = open(r#"{"v":2,"w":[]}"#);
        assert_eq!(document.get("/v").unwrap(), Some(1.into()));
        assert_eq!(document.get("/w").unwrap(), None);
        document.set("/x", 1).unwrap();
        drop(document);
        let document = open("[]");
        assert_eq!(document.canonical(), r#"{"v":1,"x":1}"#);
        document.checkpoint().unwrap();
    }
}

/// Six operations that come in reverse, a write after them, and another bound when it is opened again.
#[test]
pub fn a_smaller_bound_of_what_waits_takes_nothing_back() {
    let folder = Folder::new();
    let other = JsonCrdt::new("other", "{}", Options::default()).unwrap();
    let ops: Vec<_> = (0..6).map(|at| other.set("/x", at).unwrap()).collect();
    let document = folder.open("me");
    for op in ops.iter().rev() {
        document.receive(op.clone()).unwrap();
    }
    let mine = document.set("/mine", 1).unwrap();
    let (text, clock) = (document.canonical(), document.clock());
    drop(document);
    let options = Options {
        pending_ops_max: 3,
        ..Options::default()
    };
    let document = JsonCrdt::open(&folder.0, "me", "{}", options).unwrap();
    assert_eq!((document.canonical(), document.clock()), (text, clock));
    other.receive(mine).unwrap();
    let next = document.set("/mine", 2).unwrap();
    assert_eq!(other.receive(next).unwrap(), Received::Applied);
}
