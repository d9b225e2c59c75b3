//! A shared document for programs: with a clock, for many threads, and kept on disk if wanted.

mod given;
mod kept;
mod log;
mod record;

use std::collections::VecDeque;
use std::fmt;
use std::path::Path as FilePath;

use parking_lot::Mutex;

pub use self::given::{IntoInitial, IntoPath};
use self::kept::Kept;
use self::log::log;
use self::record::Record;
use crate::crdt::batch::{self, Batch};
use crate::crdt::document::{
    Difference, Document, Event, Listening, Options, Received, VectorClock,
};
use crate::crdt::json::Json;
use crate::crdt::metrics::Metrics;
use crate::crdt::op::Op;
use crate::crdt::path::{Path, Segment};
use crate::crdt::piece::{self, Pieces};
use crate::crdt::shape::Write;
use crate::crdt::watch::Pattern;
use crate::error::{ErrorKind, Result};
use crate::ids::random_u64;
use crate::limits::CRDT_EVENTS_MAX;
use crate::storage::{Directory, Storage, Stored};
use crate::time::wall_ms;

/// A JSON document that is shared by replicas: everybody writes at once, and all that have seen the
/// same operations are the same (json-crdt.md; promises in `docs/guarantees.md`).
///
/// It does not send anything: operations come out of [`JsonCrdt::set`], [`JsonCrdt::delete`] and
/// [`JsonCrdt::since`], and go into [`JsonCrdt::receive`].
///
/// ```
/// use distflow_core::JsonCrdt;
///
/// # fn main() -> distflow_core::Result<()> {
/// let alice = JsonCrdt::new("alice", "{}", Default::default())?;
/// let bob = JsonCrdt::new("bob", "{}", Default::default())?;
/// let op = alice.set("/todo/milk", true)?;
/// bob.receive(op)?;
/// assert_eq!(bob.canonical(), r#"{"todo":{"milk":true}}"#);
/// # Ok(())
/// # }
/// ```
pub struct JsonCrdt {
    inner: Mutex<Inner>,
}

struct Inner {
    document: Document,
    kept: Option<Kept>,
    is_listening: bool,
    events: VecDeque<Event>,
    lost: u64,
    pieces: Pieces,
}

/// What became of the operations of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchReceived {
    /// Taken in.
    pub applied: usize,
    /// Had been taken in before, or waited already.
    pub duplicates: usize,
    /// Wait for others before them.
    pub pending: usize,
    /// Refused with `source_conflict`: somebody else writes as the same source.
    pub refused: usize,
}

impl Inner {
    fn new(mut document: Document, kept: Option<Kept>) -> Self {
        document.set_listening(Listening::Notable);
        Self {
            document,
            kept,
            is_listening: false,
            events: VecDeque::new(),
            lost: 0,
            pieces: Pieces::default(),
        }
    }

    /// Logs what has happened, and keeps it for whoever listens.
    fn note(&mut self) {
        while let Some(event) = self.document.next_event() {
            log(self.document.replica(), &event);
            if self.is_listening {
                if self.events.len() == CRDT_EVENTS_MAX {
                    self.events.pop_front();
                    self.lost += 1;
                }
                self.events.push_back(event);
            }
        }
    }

    fn path(&mut self, path: impl IntoPath) -> Result<Path> {
        let document = &mut self.document;
        path.into_path(&mut |path| document.is_array(path))
    }

    fn write(&mut self, path: &[Segment], write: Write, now_ms: u64) -> Result<Op> {
        let kept = &mut self.kept;
        let op = (self.document).write(path, write, now_ms, |op, local| match kept {
            Some(kept) => kept.append(&Record::Local(op, local)),
            None => Ok(()),
        })?;
        self.tidy();
        Ok(op)
    }

    fn receive(&mut self, op: Op, now_ms: u64) -> Result<Received> {
        self.give_up_late(now_ms);
        let kept = &mut self.kept;
        let received = (self.document).receive_kept(op, now_ms, |op, received| {
            let Some(kept) = kept else {
                return Ok(());
            };
            kept.append(&match received {
                Received::Pending => Record::Waits(op),
                _ => Record::Applied(op),
            })
        });
        self.tidy();
        received
    }

    fn replace(&mut self, snapshot: &[u8], is_merge: bool, now_ms: u64) -> Result<()> {
        self.give_up_late(now_ms);
        let plan = match is_merge {
            true => self.document.plan_merge(snapshot),
            false => self.document.plan_restore(snapshot, now_ms),
        };
        if plan.is_err() {
            self.tidy();
        }
        let plan = plan?;
        if let Some(kept) = &mut self.kept {
            kept.append(&match is_merge {
                true => Record::Merged(plan.source(), snapshot),
                false => Record::WentBack(plan.source(), plan.local(), snapshot),
            })?;
        }
        self.document.carry_out(plan, now_ms);
        self.tidy();
        Ok(())
    }

    /// Gives up what has waited too long. The journal has to say so before it has what was waited for.
    fn give_up_late(&mut self, now_ms: u64) {
        self.document.give_up_late(now_ms);
        self.keep_given_up();
    }

    fn keep_given_up(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        let given_up = self.document.take_given_up();
        if !given_up.is_empty()
            && let Err(error) = kept.append(&Record::GivenUp(&given_up))
        {
            // They will wait once more.
            tracing::debug!(replica = self.document.replica(), %error, "what was given up can't be kept");
        }
    }

    fn tidy(&mut self) {
        self.note();
        self.keep_given_up();
        if let Some(kept) = &mut self.kept {
            kept.note_source(&self.document);
            kept.tidy(&mut self.document);
        }
    }
}

impl JsonCrdt {
    /// A replica in memory. All replicas of a document have the same initial value. The name is what
    /// is shown, and the same in every life; operations are counted under [`JsonCrdt::source`].
    ///
    /// Errors: `invalid_argument` for the name, or an initial value that is nested too deep;
    /// `invalid_json`.
    pub fn new(replica: &str, initial: impl IntoInitial, options: Options) -> Result<Self> {
        let document = new_life(replica, initial.into_initial()?, options)?;
        let inner = Mutex::new(Inner::new(document, None));
        Ok(Self { inner })
    }

    /// A replica that is kept in a directory, as it was when it was last open, whatever the options were
    /// then and are now. When a write returns, the end of this process does not lose it; after
    /// [`JsonCrdt::flush`], neither does the end of the machine.
    ///
    /// The initial value is for a directory without a document; from then on it is the one that the
    /// document began with.
    ///
    /// Errors: as [`JsonCrdt::new`]; `already_running` when it is open elsewhere; `io`;
    /// `invalid_message` for files that were damaged; see [`JsonCrdt::salvage`].
    pub fn open(
        directory: impl AsRef<FilePath>,
        replica: &str,
        initial: impl IntoInitial,
        options: Options,
    ) -> Result<Self> {
        let directory = Directory::open(directory)?;
        Self::with_storage(Box::new(directory), replica, initial, options)
    }

    /// Like [`JsonCrdt::open`], also when files are damaged: with all that is whole in them. Where
    /// something was lost, it writes under a new name from then on, since numbers may have been given that
    /// it does not know of; what the others have comes back with the next exchange. Copies of the damaged
    /// files stay in the directory, as `damaged-…`.
    ///
    /// Errors: as [`JsonCrdt::open`], without that of damage.
    pub fn salvage(
        directory: impl AsRef<FilePath>,
        replica: &str,
        initial: impl IntoInitial,
        options: Options,
    ) -> Result<Self> {
        let mut directory: Box<dyn Storage> = Box::new(Directory::open(directory)?);
        let initial = initial.into_initial()?;
        let (mut document, stored) =
            match read(&mut *directory, replica, initial.clone(), options.clone()) {
                Err(error) if error.kind() == ErrorKind::InvalidMessage => {
                    tracing::warn!(replica, %error, "what is whole is taken, under a new source");
                    let stored = directory.salvage()?;
                    (salvaged(&stored, replica, initial, options)?, stored)
                }
                read => return Self::opened(directory, read?, replica),
            };
        let torn_bytes = stored.torn_bytes;
        tracing::warn!(replica, torn_bytes, "the document was salvaged");
        let mut kept = Kept::new(directory, 0, 0, document.has_source());
        let work = kept.checkpoint(&mut document)?;
        work()?;
        document.begin_life();
        let inner = Mutex::new(Inner::new(document, Some(kept)));
        Ok(Self { inner })
    }

    /// A replica that is kept in a storage of the host's own.
    ///
    /// Errors: as [`JsonCrdt::open`].
    pub fn with_storage(
        mut storage: Box<dyn Storage>,
        replica: &str,
        initial: impl IntoInitial,
        options: Options,
    ) -> Result<Self> {
        let read = read(&mut *storage, replica, initial.into_initial()?, options)?;
        Self::opened(storage, read, replica)
    }

    fn opened(
        storage: Box<dyn Storage>,
        (mut document, stored): (Document, Stored),
        replica: &str,
    ) -> Result<Self> {
        let snapshot_bytes = stored.snapshot.as_ref().map_or(0, Vec::len);
        let journal_bytes = stored.records.iter().map(Vec::len).sum();
        let records = stored.records.len();
        tracing::debug!(replica, records, snapshot_bytes, "the document was read");
        let is_cut = stored.torn_bytes > 0 && !crate::plant::active("torn_keeps_source");
        if is_cut {
            // A peer may have seen the number of what is gone.
            document.write_as("");
        }
        let has_source = document.has_source();
        let mut kept = Kept::new(storage, journal_bytes, snapshot_bytes, has_source);
        if snapshot_bytes == 0 && records == 0 {
            kept.append(&Record::Initial(document.json().as_str()))?;
        }
        if is_cut {
            let torn_bytes = stored.torn_bytes;
            tracing::warn!(
                replica,
                torn_bytes,
                "the journal ended within a record, which is gone"
            );
            kept.append(&Record::Source(""))?;
        }
        document.begin_life();
        let inner = Mutex::new(Inner::new(document, Some(kept)));
        Ok(Self { inner })
    }

    /// The replica's name.
    pub fn replica(&self) -> String {
        self.inner.lock().document.replica().to_owned()
    }

    /// The source it writes as: `src` of its operations, and its key in clocks. It belongs to this
    /// life, or to the directory, and is made at the first write from the name; until then it is the
    /// name.
    pub fn source(&self) -> String {
        self.inner.lock().document.source().to_owned()
    }

    /// Sets the value at a path. Missing objects on the way are made. The operation is for the other
    /// replicas.
    ///
    /// Errors: `invalid_argument`, with the texts of the originals for a path that leads through
    /// something else than it says, and for what is beyond the limits; `too_large`; `io` when it
    /// can't be kept. Then nothing has changed.
    pub fn set(&self, path: impl IntoPath, value: impl Into<Json>) -> Result<Op> {
        let mut inner = self.inner.lock();
        let path = inner.path(path)?;
        inner.write(&path, Write::Set(value.into()), wall_ms())
    }

    /// Takes away what is at a path; without it, nothing else changes.
    ///
    /// Errors: as [`JsonCrdt::set`], but for the texts.
    pub fn delete(&self, path: impl IntoPath) -> Result<Op> {
        let mut inner = self.inner.lock();
        let path = inner.path(path)?;
        inner.write(&path, Write::Delete, wall_ms())
    }

    /// What is at a path; `None` if nothing is.
    ///
    /// Error: `invalid_argument`.
    pub fn get(&self, path: impl IntoPath) -> Result<Option<Json>> {
        let mut inner = self.inner.lock();
        let path = inner.path(path)?;
        Ok(inner.document.get(&path))
    }

    /// The whole document.
    pub fn json(&self) -> Json {
        self.inner.lock().document.json()
    }

    /// The canonical text: the same on every replica that has seen the same, in every language.
    pub fn canonical(&self) -> String {
        self.inner.lock().document.canonical()
    }

    /// The SHA-256 of the canonical text, in lower-case hexadecimal digits.
    pub fn hash(&self) -> String {
        self.inner.lock().document.hash()
    }

    /// How many operations of each replica were taken in.
    pub fn clock(&self) -> VectorClock {
        self.inner.lock().document.clock()
    }

    /// Takes in an operation of another replica, or keeps it until those before it have come.
    ///
    /// Errors: `busy` when too many wait, `too_large` for too many replicas, `source_conflict` when
    /// another operation of this source has its number, `io` when it can't be kept. Then nothing has
    /// changed.
    pub fn receive(&self, op: Op) -> Result<Received> {
        self.inner.lock().receive(op, wall_ms())
    }

    /// Takes in a batch of [`JsonCrdt::encode_since`].
    ///
    /// Errors: `invalid_message` for damaged bytes, and as [`JsonCrdt::receive`]; what came before
    /// in the batch was taken in.
    pub fn receive_batch(&self, bytes: &[u8]) -> Result<BatchReceived> {
        self.receive_all(Batch::new(bytes)?)
    }

    /// Takes in operations one by one, until one can't be read or taken in. Those of a source that
    /// somebody else writes as are counted and passed over.
    ///
    /// Errors: the first of theirs, and as [`JsonCrdt::receive`]; what came before was taken in.
    pub fn receive_all(&self, ops: impl IntoIterator<Item = Result<Op>>) -> Result<BatchReceived> {
        let mut found = BatchReceived::default();
        let mut inner = self.inner.lock();
        let now_ms = wall_ms();
        for op in ops {
            match inner.receive(op?, now_ms) {
                Ok(Received::Applied) => found.applied += 1,
                Ok(Received::Duplicate) => found.duplicates += 1,
                Ok(Received::Pending) => found.pending += 1,
                Err(error) if error.kind() == ErrorKind::SourceConflict => found.refused += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The operations that somebody with this clock lacks.
    pub fn since(&self, clock: &VectorClock) -> Difference {
        self.inner.lock().document.since(clock)
    }

    /// The same in bytes, which take a fraction of the text; and whether that is all, or the peer
    /// needs a snapshot.
    pub fn encode_since(&self, clock: &VectorClock) -> (Vec<u8>, bool) {
        let difference = self.since(clock);
        (batch::encode(&difference.ops), difference.is_complete)
    }

    /// The whole document in bytes, for [`JsonCrdt::restore`] and [`JsonCrdt::merge`].
    pub fn snapshot(&self) -> Vec<u8> {
        self.inner.lock().document.snapshot()
    }

    /// The same as JSON, with the members of the originals.
    pub fn snapshot_json(&self) -> String {
        self.inner.lock().document.snapshot_json()
    }

    /// Replaces the document by a snapshot's, in bytes or JSON; what it had is gone.
    ///
    /// Errors: `invalid_json`, `invalid_message`, `too_large`; `io` when it can't be kept. Then nothing
    /// has changed.
    pub fn restore(&self, snapshot: impl AsRef<[u8]>) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.replace(snapshot.as_ref(), false, wall_ms())
    }

    /// Takes in what a snapshot has and this document has not.
    ///
    /// Errors: as [`JsonCrdt::restore`]; `invalid_argument` for a snapshot of an original that lacks
    /// operations of this document.
    pub fn merge(&self, snapshot: impl AsRef<[u8]>) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.replace(snapshot.as_ref(), true, wall_ms())
    }

    /// The whole document in pieces of text of at most so many bytes, for [`JsonCrdt::merge_piece`]: for
    /// a peer that one message can't bring all of it.
    ///
    /// Errors: `invalid_argument` for less than [`CRDT_PIECE_BYTES_MIN`](crate::limits::CRDT_PIECE_BYTES_MIN);
    /// `too_large` for a document of more than 1 GiB.
    pub fn snapshot_pieces(&self, text_bytes_max: usize) -> Result<Vec<String>> {
        piece::cut(&self.snapshot(), text_bytes_max)
    }

    /// Takes in a piece, in any order, once or more. True: it was the last one that was missing, and the
    /// snapshot was merged. Pieces of at most four snapshots are kept at a time, until a piece of
    /// another comes.
    ///
    /// Errors: `invalid_message` for what is no piece, or does not make the snapshot; `too_large`; and as
    /// [`JsonCrdt::merge`].
    pub fn merge_piece(&self, piece: &str) -> Result<bool> {
        let mut inner = self.inner.lock();
        match inner.pieces.add(piece)? {
            Some(snapshot) => inner.replace(&snapshot, true, wall_ms()).map(|()| true),
            None => Ok(false),
        }
    }

    /// Replaces the journal by a snapshot, and waits for the disk. This also happens by itself, and
    /// then nobody waits. Others can write meanwhile.
    ///
    /// Error: `io`.
    pub fn checkpoint(&self) -> Result<()> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let Some(kept) = &mut inner.kept else {
            return Ok(());
        };
        let work = kept.checkpoint(&mut inner.document)?;
        drop(guard);
        work()
    }

    /// When this returns, the end of the machine does not lose what was written before. It waits for
    /// the disk; others can write meanwhile.
    ///
    /// Error: `io`.
    pub fn flush(&self) -> Result<()> {
        let work = match &mut self.inner.lock().kept {
            Some(kept) => kept.flush()?,
            None => return Ok(()),
        };
        work()
    }

    /// Tells of writes that touch what a pattern means, such as `users.*.name`, by [`Event::Watch`]
    /// with this number. Events must be on; see [`JsonCrdt::set_listening`].
    pub fn watch(&self, pattern: Pattern) -> u64 {
        self.inner.lock().document.watch(pattern)
    }

    /// Ends that; whether there was one of this number.
    pub fn unwatch(&self, id: u64) -> bool {
        self.inner.lock().document.unwatch(id)
    }

    /// Whether events are kept for [`JsonCrdt::events`]; at first they are not.
    pub fn set_listening(&self, is_listening: bool) {
        let mut inner = self.inner.lock();
        inner.is_listening = is_listening;
        let listening = match is_listening {
            true => Listening::All,
            false => Listening::Notable,
        };
        inner.document.set_listening(listening);
        if !is_listening {
            inner.events.clear();
            inner.lost = 0;
        }
    }

    /// What has happened since this was last asked: at most the last
    /// [`CRDT_EVENTS_MAX`], and then [`Event::Lost`] comes first, and [`Event::LookAgain`] for each
    /// watch.
    pub fn events(&self) -> Vec<Event> {
        let mut inner = self.inner.lock();
        let lost = std::mem::take(&mut inner.lost);
        let mut events = Vec::with_capacity(inner.events.len());
        if lost > 0 {
            events.push(Event::Lost(lost));
            let watched = inner.document.watched().into_iter();
            events.extend(watched.map(|id| Event::LookAgain { id }));
        }
        events.extend(inner.events.drain(..));
        events
    }

    /// Who takes part, so that what all have seen can be forgotten; `None` if that is not known.
    pub fn set_members(&self, members: Option<&[&str]>) {
        self.inner.lock().document.set_members(members);
    }

    /// What was counted.
    pub fn metrics(&self) -> Metrics {
        self.inner.lock().document.metrics(wall_ms())
    }

    /// Anything else of the document, at the time of this host. What it writes is not kept on disk.
    pub fn with<T>(&self, look: impl FnOnce(&mut Document, u64) -> T) -> T {
        let mut inner = self.inner.lock();
        let found = look(&mut inner.document, wall_ms());
        inner.tidy();
        found
    }
}

impl fmt::Debug for JsonCrdt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replica = self.replica();
        f.debug_struct("JsonCrdt")
            .field("replica", &replica)
            .finish_non_exhaustive()
    }
}

/// What is stored, as a document.
fn read(
    storage: &mut dyn Storage,
    replica: &str,
    initial: Json,
    options: Options,
) -> Result<(Document, Stored)> {
    let stored = storage.load()?;
    let now_ms = wall_ms();
    let first = stored.records.first();
    let first = first.filter(|_| !crate::plant::active("initial_of_today"));
    let began = first.and_then(|first| record::initial(first));
    let mut document = new_life(replica, began.transpose()?.unwrap_or(initial), options)?;
    if let Some(kept) = &stored.snapshot {
        document.load(kept, now_ms)?;
    }
    for record in &stored.records {
        record::replay(&mut document, record, now_ms)?;
    }
    Ok((document, stored))
}

/// As much of what is stored as there is, as a document that writes as a new source.
fn salvaged(stored: &Stored, replica: &str, initial: Json, options: Options) -> Result<Document> {
    let now_ms = wall_ms();
    let mut records = stored.records.iter();
    let began = records.find_map(|record| record::initial(record)?.ok());
    let empty = new_life(replica, began.unwrap_or(initial), options)?;
    let mut document = empty.clone();
    if let Some(kept) = &stored.snapshot
        && let Err(error) = document.load(kept, now_ms)
    {
        tracing::warn!(replica, %error, "the snapshot can't be read");
        document = empty;
    }
    for record in &stored.records {
        if let Err(error) = record::salvage(&mut document, record, now_ms) {
            tracing::warn!(replica, %error, "a record can't be carried out again");
        }
    }
    document.write_as("");
    Ok(document)
}

/// A document that writes as a source of its own, unless the options have one.
fn new_life(replica: &str, initial: Json, options: Options) -> Result<Document> {
    let has_source = options.source.is_some();
    let mut document = Document::new(replica, initial, options)?;
    if !has_source {
        document.begin_source(random_u64());
    }
    Ok(document)
}
