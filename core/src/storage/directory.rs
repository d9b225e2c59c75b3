//! A directory with a snapshot and journals.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::records::{
    self, End, HEAD_BYTES, JOURNAL_MAGIC, RECORD_BYTES_MAX, SNAPSHOT_MAGIC, head_of,
};
use super::{Storage, Stored, Work};
use crate::canary::{self, Canary, Owned};
use crate::error::{Error, ErrorKind, Result};
use crate::fork;

const SNAPSHOT: &str = "snapshot-";
const JOURNAL: &str = "journal-";
/// A snapshot that is being written, or whose writing was cut short.
const UNFINISHED: &str = "unfinished";
/// Copies of files that were damaged, from before what was whole in them was taken over.
const ASIDE: &str = "damaged-";

/// Keeps a document in a directory: `snapshot-<n>`, and `journal-<n>`, `journal-<n+1>`… with what came
/// after it (`docs/document-format.md`). One process at a time.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Of the journal that is written.
    number: u64,
    journal: Owned<File>,
    /// As far as it was written whole.
    length: u64,
    is_broken: bool,
    // Protects the files of snapshots, of which one is written at a time. Work that is under way
    // holds the directory, too.
    lock: Arc<Mutex<Lock>>,
    // Protects the journals before this one that the disk may not have yet.
    unflushed: Arc<Mutex<Unflushed>>,
    generation: u64,
    canary: Arc<Canary>,
}

/// Journals by their numbers.
type Unflushed = Vec<(u64, Owned<File>)>;

/// The directory is held while this is there. A forked child lets go of it at once, or nobody could
/// open the directory as long as the child lives.
#[derive(Debug)]
struct Lock {
    #[cfg(unix)]
    _in_child: fork::CloseInChild,
    file: Owned<File>,
}

impl Lock {
    fn new(file: Owned<File>) -> Self {
        Self {
            #[cfg(unix)]
            _in_child: fork::CloseInChild::new(std::os::fd::AsRawFd::as_raw_fd(&*file)),
            file,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.file.is_gone() {
            return;
        }
        // Whatever a child has inherited: the lock is one for all copies of the descriptor.
        let _ = self.file.unlock();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if fork::generation() != self.generation {
            // In a child, its descriptor is closed already, and may be somebody else's by now.
            std::mem::forget(self.lock.clone());
        }
    }
}

impl Directory {
    /// Opens a directory, or makes it.
    ///
    /// Errors: `already_running` when another process, or another document of this one, has it open;
    /// `io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let cannot = |what: &str, error: &std::io::Error| {
            Error::io(&format!("cannot {what} {}", path.display()), error)
        };
        std::fs::create_dir_all(&path).map_err(|error| cannot("make", &error))?;
        // Before the files: whoever closes all descriptors from some number on closes it before them.
        let canary = Canary::current().map_err(|error| cannot("open a descriptor for", &error))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(|error| cannot("write in", &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    ErrorKind::AlreadyRunning,
                    format!("{} is open already", path.display()),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(cannot("lock", &error)),
        }
        // Of a snapshot that was not finished when the end came.
        let _ = std::fs::remove_file(path.join(UNFINISHED));
        let last = |kind| numbers(&path, kind).map(|numbers| numbers.last().copied());
        let journal = last(JOURNAL).map_err(|error| cannot("read", &error))?;
        let snapshot = last(SNAPSHOT).map_err(|error| cannot("read", &error))?;
        // A journal of a lower number than the snapshot's is not looked at.
        let number = journal.max(snapshot).unwrap_or(0);
        let journal = Self::open_journal(&path, number, false)
            .map_err(|error| cannot("write a journal in", &error))?;
        Ok(Self {
            path,
            number,
            journal: Owned::new(journal, &canary),
            length: 0,
            is_broken: false,
            lock: Arc::new(Mutex::new(Lock::new(Owned::new(lock, &canary)))),
            unflushed: Arc::default(),
            generation: fork::generation(),
            canary,
        })
    }

    fn open_journal(path: &Path, number: u64, is_new: bool) -> std::io::Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(is_new)
            .read(true)
            .write(true)
            .open(path.join(format!("{JOURNAL}{number}")))
    }

    /// Errors: `closed` when the host has closed the files.
    fn check_open(&self) -> Result<()> {
        match self.journal.is_gone() {
            true => Err(canary::gone()),
            false => Ok(()),
        }
    }

    fn damaged(&self, name: &str, at: usize) -> Error {
        let path = self.path.join(name);
        Error::new(
            ErrorKind::InvalidMessage,
            format!(
                "{} is damaged at byte {at}: put a copy back, or salvage what is whole, under a new source",
                path.display()
            ),
        )
    }

    fn other_version(&self, name: &str) -> Error {
        let path = self.path.join(name);
        Error::new(
            ErrorKind::InvalidMessage,
            format!(
                "{} does not begin as a file of this version: it is one of another version, or damaged at byte 0",
                path.display()
            ),
        )
    }

    fn io(&self, what: &str, error: &std::io::Error) -> Error {
        Error::io(&format!("cannot {what} in {}", self.path.display()), error)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        std::fs::read(self.path.join(name)).map_err(|error| self.io("read", &error))
    }

    /// Cuts a journal; how many bytes went.
    fn cut(&self, number: u64, length: usize) -> Result<u64> {
        let cut = || {
            let file = Self::open_journal(&self.path, number, false)?;
            let before = file.metadata()?.len();
            file.set_len(length as u64)?;
            Ok(before.saturating_sub(length as u64))
        };
        cut().map_err(|error| self.io("cut a journal", &error))
    }

    fn write_record(&mut self, record: &[u8]) -> std::io::Result<()> {
        let mut bytes = Vec::with_capacity(JOURNAL_MAGIC.len() + HEAD_BYTES + record.len());
        if self.length == 0 {
            bytes.extend_from_slice(JOURNAL_MAGIC);
        }
        bytes.extend_from_slice(&head_of(record));
        bytes.extend_from_slice(record);
        self.journal.write_all(&bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn listed(&self, kind: &str) -> Result<Vec<u64>> {
        numbers(&self.path, kind).map_err(|error| self.io("read", &error))
    }

    /// What is read of the journals of a snapshot, and the number of it.
    fn stored_snapshot(&self) -> Result<(u64, Result<Option<Vec<u8>>>)> {
        let from = self.listed(SNAPSHOT)?.last().copied().unwrap_or(0);
        if from == 0 {
            return Ok((0, Ok(None)));
        }
        let name = format!("{SNAPSHOT}{from}");
        let bytes = self.read(&name)?;
        let snapshot = match records::snapshot(&bytes) {
            Some(snapshot) => Ok(Some(snapshot.to_vec())),
            None if bytes.starts_with(SNAPSHOT_MAGIC) => Err(self.damaged(&name, 0)),
            None => Err(self.other_version(&name)),
        };
        Ok((from, snapshot))
    }

    /// Keeps a copy of a file as it was when something was found damaged.
    fn copy_aside(&self, name: &str) -> Result<()> {
        let mut copy = self.path.join(format!("{ASIDE}{name}"));
        for at in 1.. {
            if !copy.exists() {
                break;
            }
            copy = self.path.join(format!("{ASIDE}{name}-{at}"));
        }
        std::fs::copy(self.path.join(name), copy)
            .map(drop)
            .map_err(|error| self.io("keep a copy of what is damaged", &error))
    }

    fn seek_end(&mut self) -> Result<()> {
        let end = self.journal.seek(SeekFrom::End(0));
        self.length = end.map_err(|error| self.io("read the journal", &error))?;
        Ok(())
    }
}

/// The numbers of the files of a kind, in order.
fn numbers(path: &Path, kind: &str) -> std::io::Result<Vec<u64>> {
    let names =
        std::fs::read_dir(path)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<u64> = names
        .filter_map(|name| name.strip_prefix(kind)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Writes a snapshot; from then on what came before it does not count.
fn write_snapshot(path: &Path, number: u64, snapshot: &[u8]) -> std::io::Result<()> {
    let unfinished = path.join(UNFINISHED);
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(SNAPSHOT_MAGIC)?;
        file.write_all(&head_of(snapshot))?;
        file.write_all(snapshot)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path.join(format!("{SNAPSHOT}{number}")))
    };
    if let Err(error) = write() {
        // On a full disk, it would take the room that the journal needs.
        if !crate::plant::active("unfinished_stays") {
            let _ = std::fs::remove_file(&unfinished);
        }
        return Err(error);
    }
    File::open(path)?.sync_all()?;
    for kind in [SNAPSHOT, JOURNAL] {
        for old in numbers(path, kind)? {
            if old < number {
                // If one stays, it is not looked at.
                let _ = std::fs::remove_file(path.join(format!("{kind}{old}")));
            }
        }
    }
    Ok(())
}

impl Storage for Directory {
    fn load(&mut self) -> Result<Stored> {
        let (from, snapshot) = self.stored_snapshot()?;
        let mut stored = Stored {
            snapshot: snapshot?,
            ..Stored::default()
        };
        let mut journals = Vec::new();
        for number in self
            .listed(JOURNAL)?
            .into_iter()
            .filter(|number| *number >= from)
        {
            journals.push((number, self.read(&format!("{JOURNAL}{number}"))?));
        }
        for (at, (number, bytes)) in journals.iter().enumerate() {
            if stored.torn_bytes > 0 {
                // The machine ended before the disk had the one before, so that nothing of this one
                // was flushed, and what it says comes after a gap.
                stored.torn_bytes += self.cut(*number, 0)?;
                continue;
            }
            let mut records = Vec::new();
            let (whole, end) = records::read(bytes, &mut records);
            let is_last = || journals[at + 1..].iter().all(|(_, bytes)| bytes.is_empty());
            match end {
                End::Whole => {}
                End::Torn { is_cut } if is_cut || is_last() => {
                    stored.torn_bytes = self.cut(*number, whole)?;
                }
                End::OtherVersion => return Err(self.other_version(&format!("{JOURNAL}{number}"))),
                End::Torn { .. } | End::Damaged => {
                    return Err(self.damaged(&format!("{JOURNAL}{number}"), whole));
                }
            }
            stored
                .records
                .extend(records.into_iter().map(<[u8]>::to_vec));
        }
        self.seek_end()?;
        Ok(stored)
    }

    fn salvage(&mut self) -> Result<Stored> {
        let (from, snapshot) = self.stored_snapshot()?;
        let mut stored = Stored::default();
        if from > 0 {
            self.copy_aside(&format!("{SNAPSHOT}{from}"))?;
        }
        match snapshot {
            Ok(snapshot) => stored.snapshot = snapshot,
            Err(_) => {
                stored.torn_bytes += self.read(&format!("{SNAPSHOT}{from}"))?.len() as u64;
            }
        }
        for number in self
            .listed(JOURNAL)?
            .into_iter()
            .filter(|number| *number >= from)
        {
            let name = format!("{JOURNAL}{number}");
            let bytes = self.read(&name)?;
            let mut records = Vec::new();
            self.copy_aside(&name)?;
            stored.torn_bytes += records::salvage(&bytes, &mut records) as u64;
            stored
                .records
                .extend(records.into_iter().map(<[u8]>::to_vec));
        }
        self.seek_end()?;
        Ok(stored)
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.check_open()?;
        if record.is_empty() || record.len() > RECORD_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("a record has 1 to {RECORD_BYTES_MAX} bytes"),
            ));
        }
        if self.is_broken {
            return Err(Error::new(
                ErrorKind::Io,
                format!(
                    "the journal in {} is broken; open it again",
                    self.path.display()
                ),
            ));
        }
        if crate::plant::active("record_not_written") {
            return Ok(());
        }
        if let Err(error) = self.write_record(record) {
            // What was written of it goes, or the next one would stand behind half a record.
            let cut = self.journal.set_len(self.length);
            self.is_broken = cut
                .and_then(|()| self.journal.seek(SeekFrom::End(0)))
                .is_err();
            return Err(self.io("write the journal", &error));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<Work> {
        self.check_open()?;
        let file = self.journal.try_clone();
        let file = file.map_err(|error| self.io("flush the journal", &error))?;
        let file = Owned::new(file, &self.canary);
        let (path, unflushed) = (self.path.clone(), self.unflushed.clone());
        Ok(Box::new(move || {
            if file.is_gone() {
                return Err(canary::gone());
            }
            let flush = || {
                let mut unflushed = unflushed.lock();
                for (_, before) in &*unflushed {
                    before.sync_data()?;
                }
                unflushed.clear();
                drop(unflushed);
                file.sync_data()?;
                // The journal's name, too, may be new.
                File::open(&path)?.sync_all()
            };
            flush().map_err(|error| {
                Error::io(
                    &format!("cannot flush the journal in {}", path.display()),
                    &error,
                )
            })
        }))
    }

    fn checkpoint(&mut self, snapshot: Vec<u8>) -> Result<Work> {
        self.check_open()?;
        let number = self.number + 1;
        let journal = Self::open_journal(&self.path, number, true)
            .map_err(|error| self.io("begin a journal", &error))?;
        let journal = Owned::new(journal, &self.canary);
        let before = std::mem::replace(&mut self.journal, journal);
        self.unflushed.lock().push((self.number, before));
        self.number = number;
        self.length = 0;
        self.is_broken = false;
        let (path, lock) = (self.path.clone(), self.lock.clone());
        let unflushed = self.unflushed.clone();
        Ok(Box::new(move || {
            let one_at_a_time = lock.lock();
            if one_at_a_time.file.is_gone() {
                return Err(canary::gone());
            }
            let written = write_snapshot(&path, number, &snapshot);
            if written.is_ok() {
                // The snapshot has what is in those.
                unflushed.lock().retain(|(before, _)| *before >= number);
            }
            written.map_err(|error| {
                Error::io(
                    &format!("cannot write a snapshot in {}", path.display()),
                    &error,
                )
            })
        }))
    }
}

#[cfg(test)]
mod tests;
