//! Retained messages in a folder: a file to whose end each change is written, and which is written anew when most
//! of it is out of date.
//!
//! A record is the length of its body, the same with all bits turned, four bytes of the body's SHA-256, and the
//! body: the Unix time in milliseconds at which the message ends (0: never), and a PUBLISH of MQTT 5. One
//! without a payload takes away what the topic had.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use super::packet::{FromClient, Message, Version};
use super::{frame, v5};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{BROKER_PACKET_BYTES_MAX, BROKER_STORE_BYTES_MIN};

const NAME: &str = "retained";
const NEW_NAME: &str = "retained.new";
const BEGIN: &[u8] = b"distflow retained messages 1\n";
const HEAD: usize = 12;

/// A retained message with the Unix time at which it ends.
pub(super) type Stored = (Message, Option<u64>);

/// The folder of a broker.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// Held while the broker runs; another one would write into the same file.
    _lock: File,
    file: File,
    bytes: u64,
    /// A change could not be written: the file has to be written anew.
    is_behind: bool,
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(&format!("cannot {doing} {}", path.display()), error)
}

impl Store {
    /// Opens a folder, which is made if there is none, and reads what it has.
    ///
    /// Errors: `io`; `busy` while another broker has it; `invalid_message` for a file that is damaged. A last
    /// record that was not written to its end is cut off.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Stored>)> {
        std::fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(|error| failed("write", &lock_path, &error))?;
        lock.try_lock().map_err(|_| {
            let text = format!("another broker keeps its messages in {}", folder.display());
            Error::new(ErrorKind::AlreadyRunning, text)
        })?;
        // Of a broker that was ended while it wrote.
        let _ = std::fs::remove_file(folder.join(NEW_NAME));
        let path = folder.join(NAME);
        let mut options = OpenOptions::new();
        let opened = options.read(true).append(true).create(true).open(&path);
        let mut file = opened.map_err(|error| failed("open", &path, &error))?;
        let (stored, end) = read_all(&path, &file)?;
        let whole = file
            .metadata()
            .map_err(|error| failed("read", &path, &error))?
            .len();
        if end < whole {
            let bytes = whole - end;
            tracing::warn!(path = %path.display(), bytes, "a last record that is not whole is cut off");
            file.set_len(end)
                .map_err(|error| failed("cut", &path, &error))?;
        }
        if end == 0 {
            file.write_all(BEGIN)
                .map_err(|error| failed("write", &path, &error))?;
        }
        let store = Self {
            folder: folder.to_owned(),
            _lock: lock,
            file,
            bytes: end.max(BEGIN.len() as u64),
            is_behind: false,
        };
        Ok((store, stored))
    }

    /// Writes what a topic has now. When this returns, the end of the process does not lose it.
    pub fn put(&mut self, topic: &Arc<str>, now: Option<&Stored>) {
        if self.is_behind {
            return;
        }
        let nothing = || {
            let message = Message {
                topic: topic.clone(),
                payload: Bytes::new(),
                qos: 0,
                retain: true,
                expires_s: None,
                properties: None,
            };
            (message, None)
        };
        let mut record = BytesMut::new();
        append(now.unwrap_or(&nothing()), &mut record);
        match self.file.write_all(&record) {
            Ok(()) => self.bytes += record.len() as u64,
            Err(error) => {
                let folder = self.folder.display();
                tracing::error!(%folder, %error, "retained messages cannot be kept; it is tried again");
                self.is_behind = true;
            }
        }
    }

    /// Whether the file should be written anew, when what is retained takes so many bytes.
    pub fn is_due(&self, retained_bytes: usize) -> bool {
        self.is_behind || self.bytes > BROKER_STORE_BYTES_MIN + 2 * retained_bytes as u64
    }

    /// Writes the file anew. It is on the disk when this returns.
    ///
    /// Error: `io`; then the earlier file is still there.
    pub fn rewrite(&mut self, all: impl Iterator<Item = Stored>) -> Result<()> {
        let (path, new) = (self.folder.join(NAME), self.folder.join(NEW_NAME));
        let written = write_all(&new, all).and_then(|(file, bytes)| {
            std::fs::rename(&new, &path)?;
            File::open(&self.folder)?.sync_all()?;
            Ok((file, bytes))
        });
        match written {
            Ok((file, bytes)) => {
                if self.is_behind {
                    tracing::info!(folder = %self.folder.display(), "retained messages are kept again");
                }
                (self.file, self.bytes, self.is_behind) = (file, bytes, false);
                Ok(())
            }
            Err(error) => {
                // It would fill a disk that is full already.
                let _ = std::fs::remove_file(&new);
                self.is_behind = true;
                Err(failed("write", &new, &error))
            }
        }
    }
}

fn write_all(path: &Path, all: impl Iterator<Item = Stored>) -> std::io::Result<(File, u64)> {
    let _ = std::fs::remove_file(path);
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create_new(true).open(path)?;
    let (mut part, mut bytes) = (BytesMut::from(BEGIN), 0);
    for stored in all {
        append(&stored, &mut part);
        if part.len() > 1 << 20 {
            file.write_all(&part)?;
            bytes += part.len() as u64;
            part.clear();
        }
    }
    file.write_all(&part)?;
    file.sync_all()?;
    Ok((file, bytes + part.len() as u64))
}

fn append((message, ends_at_ms): &Stored, out: &mut BytesMut) {
    let mut body = BytesMut::new();
    body.put_u64(ends_at_ms.unwrap_or(0));
    if v5::packet_of(message, &mut body).is_err() {
        return;
    }
    let length = body.len() as u32;
    out.put_u32(length);
    out.put_u32(!length);
    out.extend_from_slice(&Sha256::digest(&body)[..4]);
    out.extend_from_slice(&body);
}

/// What a file has, and where its last whole record ends.
fn read_all(path: &Path, file: &File) -> Result<(Vec<Stored>, u64)> {
    let mut input = BufReader::new(file);
    let found = input
        .seek(SeekFrom::Start(0))
        .and_then(|_| read_up_to(&mut input, BEGIN.len()));
    let found = found.map_err(|error| failed("read", path, &error))?;
    if found.len() < BEGIN.len() && BEGIN.starts_with(&found) {
        return Ok((Vec::new(), 0));
    }
    if found != BEGIN {
        return Err(damaged(path, 0));
    }
    let mut end = BEGIN.len() as u64;
    let mut stored = Vec::new();
    loop {
        match read_one(&mut input).map_err(|error| failed("read", path, &error))? {
            Record::Whole(record, length) => {
                stored.push(*record);
                end += length;
            }
            Record::Cut => return Ok((stored, end)),
            Record::Damaged => return Err(damaged(path, end)),
        }
    }
}

fn damaged(path: &Path, at: u64) -> Error {
    let text = format!(
        "{} is damaged at byte {at}: move it away to begin without retained messages",
        path.display()
    );
    Error::new(ErrorKind::InvalidMessage, text)
}

enum Record {
    Whole(Box<Stored>, u64),
    /// The end of the file, perhaps within a record.
    Cut,
    Damaged,
}

fn read_up_to(input: &mut impl Read, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_one(input: &mut impl Read) -> std::io::Result<Record> {
    let head = read_up_to(input, HEAD)?;
    if head.len() < HEAD {
        return Ok(Record::Cut);
    }
    let number =
        |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = number(0);
    if number(4) != !length || length < 8 || length as usize > BROKER_PACKET_BYTES_MAX + 1_024 {
        return Ok(Record::Damaged);
    }
    let body = read_up_to(input, length as usize)?;
    if body.len() < length as usize {
        return Ok(Record::Cut);
    }
    let is_right = Sha256::digest(&body)[..4] == head[8..];
    let (ends_at_ms, packet) = body.split_at(8);
    let ends_at_ms = ends_at_ms
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    match frame::read(packet, Some(Version::V5)) {
        Ok(Some((FromClient::Publish(message, _), _))) if is_right => {
            let stored = (message, (ends_at_ms > 0).then_some(ends_at_ms));
            Ok(Record::Whole(Box::new(stored), (HEAD + body.len()) as u64))
        }
        _ => Ok(Record::Damaged),
    }
}
