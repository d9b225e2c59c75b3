//! A document that is kept: its journal, and what makes it shorter.

use std::thread::JoinHandle;

use super::record::Record;
use crate::crdt::document::Document;
use crate::error::{Error, Result};
use crate::storage::{Storage, Work};

/// A journal is replaced by a snapshot when it is this long, and longer than some snapshots.
const JOURNAL_BYTES: usize = 1 << 20;
const JOURNAL_SNAPSHOTS: usize = 4;

pub(super) struct Kept {
    storage: Box<dyn Storage>,
    journal_bytes: usize,
    snapshot_bytes: usize,
    /// Whether what is stored says as whom it writes, and not only that as a new source.
    has_source: bool,
    /// A snapshot that is being written.
    tidying: Option<JoinHandle<()>>,
}

impl Kept {
    /// One whose stored records and snapshot are so long.
    pub fn new(
        storage: Box<dyn Storage>,
        journal_bytes: usize,
        snapshot_bytes: usize,
        has_source: bool,
    ) -> Self {
        Self {
            storage,
            journal_bytes,
            snapshot_bytes,
            has_source,
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
                // Without a thread, the longer journal serves as well.
                self.tidying = crate::threads::spawn("distflow-document", work).ok();
            }
        }
    }

    pub fn flush(&mut self) -> Result<Work> {
        self.storage.flush()
    }

    /// Adds a record of something that is about to happen, and then will have happened.
    pub fn append(&mut self, record: &Record<'_>) -> Result<()> {
        let record = record.encode();
        let kept = self.storage.append(&record);
        if !crate::plant::active("not_kept_is_done") {
            kept?;
        }
        self.journal_bytes += record.len();
        Ok(())
    }

    /// Keeps that the document goes on as a new source, if it does.
    pub fn note_source(&mut self, document: &Document) {
        if self.has_source
            && !document.has_source()
            && let Err(error) = self.append(&Record::Source(""))
        {
            let replica = document.replica();
            tracing::warn!(replica, %error, "that it writes as a new source can't be kept");
            return;
        }
        self.has_source = document.has_source();
    }

    pub fn checkpoint(&mut self, document: &mut Document) -> Result<Work> {
        let kept = document.keep();
        let bytes = kept.len();
        let work = self.storage.checkpoint(kept)?;
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
