//! A directory with a snapshot and journals.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Storage, Stored, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::fork;

const SNAPSHOT: &str = "snapshot-";
const JOURNAL: &str = "journal-";
/// Before a record and before a snapshot: length and CRC-32, little-endian.
const HEAD_BYTES: usize = 8;
/// A record may be a whole snapshot.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// Keeps a document in a directory: `snapshot-<n>`, and `journal-<n>`, `journal-<n+1>`… with what came
/// after it (`docs/document-format.md`). One process at a time.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Of the journal that is written.
    number: u64,
    journal: File,
    /// As far as it was written whole.
    length: u64,
    is_broken: bool,
    // Protects the files of snapshots, of which one is written at a time. Work that is under way
    // holds the directory, too.
    lock: Arc<Mutex<Lock>>,
    // Protects the journals before this one that the disk may not have yet.
    unflushed: Arc<Mutex<Vec<(u64, File)>>>,
    generation: u64,
}

/// The directory is held while this is there. A forked child lets go of it at once, or nobody could
/// open the directory as long as the child lives.
#[derive(Debug)]
struct Lock {
    #[cfg(unix)]
    _in_child: fork::CloseInChild,
    file: File,
}

impl Lock {
    fn new(file: File) -> Self {
        Self {
            #[cfg(unix)]
            _in_child: fork::CloseInChild::new(std::os::fd::AsRawFd::as_raw_fd(&file)),
            file,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
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
            journal,
            length: 0,
            is_broken: false,
            lock: Arc::new(Mutex::new(Lock::new(lock))),
            unflushed: Arc::default(),
            generation: fork::generation(),
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

    fn damaged(&self, name: &str, at: usize) -> Error {
        let path = self.path.join(name);
        Error::new(
            ErrorKind::InvalidMessage,
            format!(
                "{} is damaged at byte {at}: its checksum is another; put a copy back, or move it away to go on without it",
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

    /// The records of a journal, as far as they are whole; and where those end.
    fn records(&self, number: u64, records: &mut Vec<Vec<u8>>) -> Result<(usize, usize)> {
        let name = format!("{JOURNAL}{number}");
        let bytes = self.read(&name)?;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some((head, after)) = rest.split_at_checked(HEAD_BYTES) else {
                break;
            };
            let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let is_possible = (1..=RECORD_BYTES_MAX).contains(&length);
            match after.get(..length) {
                Some(record) if is_possible && head == head_of(record) => {
                    records.push(record.to_vec());
                    at += HEAD_BYTES + length;
                }
                // Not written to its end; or its place was, and what belongs there was not.
                None if is_possible => break,
                _ if is_last(after.get(length..)) || is_last(Some(rest)) => break,
                _ => return Err(self.damaged(&name, at)),
            }
        }
        Ok((at, bytes.len()))
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
        let mut bytes = Vec::with_capacity(HEAD_BYTES + record.len());
        bytes.extend_from_slice(&head_of(record));
        bytes.extend_from_slice(record);
        self.journal.write_all(&bytes)
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
    let unfinished = path.join("unfinished");
    let mut file = File::create(&unfinished)?;
    file.write_all(&head_of(snapshot))?;
    file.write_all(snapshot)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path.join(format!("{SNAPSHOT}{number}")))?;
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
        let listed = |kind| numbers(&self.path, kind).map_err(|error| self.io("read", &error));
        let (snapshots, journals) = (listed(SNAPSHOT)?, listed(JOURNAL)?);
        let mut stored = Stored::default();
        let from = snapshots.last().copied().unwrap_or(0);
        if from > 0 {
            let name = format!("{SNAPSHOT}{from}");
            let bytes = self.read(&name)?;
            match bytes.split_at_checked(HEAD_BYTES) {
                Some((head, snapshot)) if head == head_of(snapshot) => {
                    stored.snapshot = Some(snapshot.to_vec());
                }
                _ => return Err(self.damaged(&name, 0)),
            }
        }
        for number in journals.into_iter().filter(|number| *number >= from) {
            if stored.torn_bytes > 0 {
                // The machine ended before the disk had the one before, so that nothing of this one
                // was flushed, and what it says comes after a gap.
                stored.torn_bytes += self.cut(number, 0)?;
                continue;
            }
            let (whole, length) = self.records(number, &mut stored.records)?;
            if whole < length {
                stored.torn_bytes = self.cut(number, whole)?;
            }
            if number == self.number {
                self.length = whole as u64;
            }
        }
        (self.journal.seek(SeekFrom::End(0)))
            .map_err(|error| self.io("read the journal", &error))?;
        Ok(stored)
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
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
        if let Err(error) = self.write_record(record) {
            // What was written of it goes, or the next one would stand behind half a record.
            let cut = self.journal.set_len(self.length);
            self.is_broken = cut
                .and_then(|()| self.journal.seek(SeekFrom::End(0)))
                .is_err();
            return Err(self.io("write the journal", &error));
        }
        self.length += (HEAD_BYTES + record.len()) as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<Work> {
        let file = self.journal.try_clone();
        let file = file.map_err(|error| self.io("flush the journal", &error))?;
        let (path, unflushed) = (self.path.clone(), self.unflushed.clone());
        Ok(Box::new(move || {
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
        let number = self.number + 1;
        let journal = Self::open_journal(&self.path, number, true)
            .map_err(|error| self.io("begin a journal", &error))?;
        let before = std::mem::replace(&mut self.journal, journal);
        self.unflushed.lock().push((self.number, before));
        self.number = number;
        self.length = 0;
        self.is_broken = false;
        let (path, lock) = (self.path.clone(), self.lock.clone());
        let unflushed = self.unflushed.clone();
        Ok(Box::new(move || {
            let _one_at_a_time = lock.lock();
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

/// Whether nothing was written there, though its place may have been made: it is zeros to the end.
/// Then what is before it is the last that was written, and was not written to its end.
fn is_last(rest: Option<&[u8]>) -> bool {
    rest.is_none_or(|rest| rest.iter().all(|byte| *byte == 0))
}

fn head_of(bytes: &[u8]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&crc32(bytes).to_le_bytes());
    head
}

/// CRC-32 of IEEE 802.3, as in gzip (RFC 1952, section 8).
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = at as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 {
                    0xedb8_8320 ^ (value >> 1)
                } else {
                    value >> 1
                };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| {
        TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
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
    fn the_checksum_is_that_of_gzip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
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
                let mut end = 0;
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
        assert_eq!(stored.torn_bytes, (HEAD_BYTES + 5 + HEAD_BYTES + 5) as u64);
        directory.append(b"more").unwrap();
        drop(directory);
        let (_, stored) = folder.open();
        assert_eq!(stored.records, records(&["first", "more"]));
        assert_eq!(stored.torn_bytes, 0);
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
        bytes[10] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = Directory::open(&folder.0).unwrap().load().unwrap_err();
        assert!(
            error.message().contains("journal-0 is damaged at byte 0"),
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
        std::fs::write(folder.0.join("snapshot-2"), b"12345678bad").unwrap();
        let error = Directory::open(&folder.0).unwrap().load().unwrap_err();
        assert!(error.message().contains("snapshot-2 is damaged"), "{error}");
    }
}
