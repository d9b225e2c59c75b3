//! A document that is kept: its journal, and what makes it shorter.

use std::thread::JoinHandle;

use crate::crdt::document::Document;
use crate::crdt::op::Op;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Storage, Work};

/// A journal is replaced by a snapshot when it is this long, and longer than some snapshots.
const JOURNAL_BYTES: usize = 1 << 20;
const JOURNAL_SNAPSHOTS: usize = 4;

/// What a record of the journal is, by its first byte.
pub(super) mod record {
    /// An operation, as text.
    pub const OPERATION: u8 = b'O';
    /// A snapshot that was merged.
    pub const MERGE: u8 = b'M';
    /// A snapshot that the document went back to: first when, in eight bytes, little-endian.
    pub const RESTORE: u8 = b'R';
}

pub(super) struct Kept {
    storage: Box<dyn Storage>,
    journal_bytes: usize,
    snapshot_bytes: usize,
    /// A snapshot that is being written.
    tidying: Option<JoinHandle<()>>,
}

impl Kept {
    /// One whose stored records and snapshot are so long.
    pub fn new(storage: Box<dyn Storage>, journal_bytes: usize, snapshot_bytes: usize) -> Self {
        Self {
            storage,
            journal_bytes,
            snapshot_bytes,
            tidying: None,
        }
    }

    /// Replaces a long journal, on a thread of its own: no call waits for it.
    pub fn tidy(&mut self, document: &mut Document) {
        let is_under_way = |work: &JoinHandle<()>| !work.is_finished();
        if self.journal_bytes <= JOURNAL_BYTES.max(JOURNAL_SNAPSHOTS * self.snapshot_bytes)
            || self.tidying.as_ref().is_some_and(is_under_way)
        {
            return;
        }
        let replica = document.replica().to_owned();
        let failed = move |error: &Error| {
            tracing::warn!(replica, %error, "the journal can't be replaced by a snapshot");
        };
        match self.checkpoint(document) {
            Err(error) => failed(&error),
            Ok(work) => {
                let work = move || work().unwrap_or_else(|error| failed(&error));
                let thread = std::thread::Builder::new().name("distflow-document".into());
                // Without a thread, the longer journal serves as well.
                self.tidying = thread.spawn(work).ok();
            }
        }
    }

    pub fn flush(&mut self) -> Result<Work> {
        self.storage.flush()
    }

    pub fn append_operation(&mut self, op: &Op) -> Result<()> {
        let mut record = vec![record::OPERATION];
        op.encode_into(&mut record);
        self.append(&record)
    }

    pub fn append(&mut self, record: &[u8]) -> Result<()> {
        self.storage.append(record)?;
        self.journal_bytes += record.len();
        Ok(())
    }

    pub fn checkpoint(&mut self, document: &mut Document) -> Result<Work> {
        let snapshot = document.snapshot();
        let bytes = snapshot.len();
        let work = self.storage.checkpoint(snapshot)?;
        self.journal_bytes = 0;
        self.snapshot_bytes = bytes;
        Ok(work)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The directory can be opened again when this is gone.
        if let Some(work) = self.tidying.take() {
            let _ = work.join();
        }
    }
}

/// Does again what a record tells of.
pub(super) fn replay(document: &mut Document, record: &[u8], now_ms: u64) -> Result<()> {
    let unknown = || {
        Error::new(
            ErrorKind::InvalidMessage,
            "the journal has a record of another version",
        )
    };
    match record.split_first() {
        Some((&record::OPERATION, text)) => {
            // If too many waited, it was not acknowledged.
            let _ = document.receive(Op::decode(text)?, now_ms);
            Ok(())
        }
        Some((&record::MERGE, snapshot)) => document.merge(snapshot, now_ms),
        Some((&record::RESTORE, rest)) => {
            let (when, snapshot) = rest.split_first_chunk().ok_or_else(unknown)?;
            document.restore(snapshot, u64::from_le_bytes(*when))
        }
        _ => Err(unknown()),
    }
}
