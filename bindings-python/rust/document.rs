//! A shared document, as the Python layer uses it.
//!
//! A call that is short keeps the interpreter's lock: to get it back can take longer than the call.
//! One that is long gives it up, and while such a call has the document, so do the others. So nobody
//! who holds the one lock waits long for the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use distflow_core::crdt::document::{Document, Event, Received, VectorClock, diff_snapshots};
use distflow_core::crdt::json::Json;
use distflow_core::crdt::watch::Pattern;
use distflow_core::{Error, ErrorKind, JsonCrdt, Result, fork, interchange};
use parking_lot::Mutex;
use pyo3::exceptions::{PyException, PyIndexError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::op::{self, Op};
use crate::{decode, encode, error, place, wait};

/// The name of what happened, its operation, and its other members.
type Row = (&'static str, Option<Op>, Py<PyAny>);

/// The native half of `distflow.JsonCrdt`.
#[pyclass(frozen, module = "distflow._distflow")]
pub struct NativeDocument {
    // Protects the document, which is there until it is closed; held to look or to take it.
    document: Mutex<Option<Arc<JsonCrdt>>>,
    /// Long calls under way; counted up by who holds the interpreter's lock.
    long: AtomicUsize,
    /// The process it was opened in.
    generation: u64,
}

impl Drop for NativeDocument {
    fn drop(&mut self) {
        // A lock may be held there by a thread that this process does not have.
        if self.generation != fork::generation() {
            std::mem::forget(self.document.get_mut().take());
        }
    }
}

/// Runs what waits for a disk; when the interpreter ends, with its lock.
fn blocking<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    match wait::is_over() {
        true => error::checked(py, work()),
        false => wait::run_blocking(py, work),
    }
}

fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    match wait::is_over() {
        true => Ok(work()),
        false => wait::detached(py, work),
    }
}

fn decoded(py: Python<'_>, text: impl AsRef<[u8]>) -> PyResult<Py<PyAny>> {
    decode::value(py, text.as_ref()).map(Bound::unbind)
}

fn written(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = encode::json(name, value)?;
    // What was written is UTF-8.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn clock_of(clock: &Bound<'_, PyAny>) -> PyResult<VectorClock> {
    let text = written("clock", clock)?;
    error::checked(clock.py(), interchange::clock(&text))
}

fn value_of(value: &Bound<'_, PyAny>) -> PyResult<Json> {
    error::checked(value.py(), Json::parse(encode::json("value", value)?))
}

impl NativeDocument {
    fn held(&self, py: Python<'_>) -> PyResult<Arc<JsonCrdt>> {
        if self.generation != fork::generation() {
            let text = "this document belongs to the parent process; make a new one after fork";
            return Err(error::raised(py, &Error::new(ErrorKind::Forked, text)));
        }
        let document = self.document.lock().clone();
        let document = document.ok_or_else(|| error::closed("the document is closed"));
        error::checked(py, document)
    }

    fn short<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&JsonCrdt) -> T + Send,
    ) -> PyResult<T> {
        let document = self.held(py)?;
        match self.long.load(Ordering::Relaxed) {
            0 => Ok(work(&document)),
            _ => detached(py, move || work(&document)),
        }
    }

    fn long<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&JsonCrdt) -> T + Send,
    ) -> PyResult<T> {
        let document = self.held(py)?;
        self.long.fetch_add(1, Ordering::Relaxed);
        // Whoever is the last to have it closes it, and that can wait for a disk.
        let done = detached(py, move || work(&document));
        self.long.fetch_sub(1, Ordering::Relaxed);
        done
    }

    fn looked<T: Send>(
        &self,
        py: Python<'_>,
        look: impl FnOnce(&mut Document, u64) -> T + Send,
    ) -> PyResult<T> {
        self.long(py, |document| document.with(look))
    }
}

#[pymethods]
impl NativeDocument {
    /// Opens a document; blocks when it is kept in a directory.
    #[new]
    fn new(
        py: Python<'_>,
        replica: &Bound<'_, PyAny>,
        initial: &Bound<'_, PyAny>,
        options: String,
        is_kept: bool,
    ) -> PyResult<Self> {
        let replica = encode::text("replica", replica)?.to_owned();
        let initial = written("initial", initial)?;
        let open = move || interchange::document(&replica, &initial, &options);
        let document = match is_kept {
            true => blocking(py, open)?,
            false => error::checked(py, open())?,
        };
        Ok(Self {
            document: Mutex::new(Some(Arc::new(document))),
            long: AtomicUsize::new(0),
            generation: fork::generation(),
        })
    }

    fn set(
        &self,
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<Op> {
        let (path, value) = (place::path(path)?, value_of(value)?);
        let op = self.short(py, |document| document.set(path, value))?;
        error::checked(py, op).map(Op)
    }

    fn delete(&self, py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<Op> {
        let path = place::path(path)?;
        let op = self.short(py, |document| document.delete(path))?;
        error::checked(py, op).map(Op)
    }

    /// What is there, or what was given.
    fn get(
        &self,
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        default: Py<PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let path = place::path(path)?;
        let found = self.short(py, |document| document.get(path))?;
        match error::checked(py, found)? {
            Some(json) => decoded(py, json.as_bytes()),
            None => Ok(default),
        }
    }

    fn has(&self, py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<bool> {
        let path = place::path(path)?;
        let found = self.short(py, |document| document.get(path))?;
        Ok(error::checked(py, found)?.is_some())
    }

    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let text = self.looked(py, |document, _| {
            let mut out = Vec::new();
            document.write_json(&mut out);
            out
        })?;
        decoded(py, text)
    }

    fn canonical(&self, py: Python<'_>) -> PyResult<String> {
        self.long(py, JsonCrdt::canonical)
    }

    fn hash(&self, py: Python<'_>) -> PyResult<String> {
        self.long(py, JsonCrdt::hash)
    }

    fn clock(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let clock = self.short(py, JsonCrdt::clock)?;
        decoded(py, interchange::clock_text(&clock))
    }

    fn receive<'py>(
        &self,
        py: Python<'py>,
        op: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyString>> {
        let op = op::given(op)?;
        let received = self.short(py, |document| document.receive(op))?;
        let name = match error::checked(py, received)? {
            Received::Applied => intern!(py, "applied"),
            Received::Duplicate => intern!(py, "duplicate"),
            Received::Pending => intern!(py, "pending"),
        };
        Ok(name.clone())
    }

    /// How many were applied, known, and wait.
    fn source(&self, py: Python<'_>) -> PyResult<String> {
        self.short(py, JsonCrdt::source)
    }

    fn receive_batch(
        &self,
        py: Python<'_>,
        batch: &[u8],
    ) -> PyResult<(usize, usize, usize, usize)> {
        let received = self.long(py, |document| document.receive_batch(batch))?;
        let received = error::checked(py, received)?;
        Ok((
            received.applied,
            received.duplicates,
            received.pending,
            received.refused,
        ))
    }

    fn since(&self, py: Python<'_>, clock: &Bound<'_, PyAny>) -> PyResult<Vec<Op>> {
        let clock = clock_of(clock)?;
        let difference = self.long(py, |document| document.since(&clock))?;
        Ok(difference.ops.into_iter().map(Op).collect())
    }

    fn covers(&self, py: Python<'_>, clock: &Bound<'_, PyAny>) -> PyResult<bool> {
        let clock = clock_of(clock)?;
        self.short(py, |document| {
            document.with(|document, _| document.covers(&clock))
        })
    }

    fn encode_since<'py>(
        &self,
        py: Python<'py>,
        clock: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let clock = clock_of(clock)?;
        let (bytes, _) = self.long(py, |document| document.encode_since(&clock))?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.long(py, JsonCrdt::snapshot)?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn snapshot_json(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let text = self.long(py, JsonCrdt::snapshot_json)?;
        decoded(py, text)
    }

    /// Goes back to a snapshot in bytes or JSON text, or merges it.
    fn snapshot_pieces(&self, py: Python<'_>, most: usize) -> PyResult<Vec<String>> {
        let pieces = self.long(py, |document| document.snapshot_pieces(most))?;
        error::checked(py, pieces)
    }

    fn merge_piece(&self, py: Python<'_>, piece: &str) -> PyResult<bool> {
        let merged = self.long(py, |document| document.merge_piece(piece))?;
        error::checked(py, merged)
    }

    fn restore(&self, py: Python<'_>, snapshot: &[u8], is_merge: bool) -> PyResult<()> {
        let done = self.long(py, |document| match is_merge {
            true => document.merge(snapshot),
            false => document.restore(snapshot),
        })?;
        error::checked(py, done)
    }

    /// Makes the disk have it; blocks.
    fn flush(&self, py: Python<'_>, is_checkpoint: bool) -> PyResult<()> {
        let document = self.held(py)?;
        self.long.fetch_add(1, Ordering::Relaxed);
        let done = blocking(py, move || match is_checkpoint {
            true => document.checkpoint(),
            false => document.flush(),
        });
        self.long.fetch_sub(1, Ordering::Relaxed);
        done
    }

    /// Ends it; blocks when a snapshot is being written. Its directory can be opened again.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.generation != fork::generation() {
            return Ok(());
        }
        match self.document.lock().take() {
            Some(document) => detached(py, move || drop(document)),
            None => Ok(()),
        }
    }

    fn is_closed(&self) -> bool {
        self.generation != fork::generation() || self.document.lock().is_none()
    }

    /// Whether events are kept for `events`.
    fn listen(&self, py: Python<'_>, is_listening: bool) -> PyResult<()> {
        self.short(py, |document| document.set_listening(is_listening))
    }

    /// Moves what has happened to the end of a deque. What a signal handler raises comes afterwards,
    /// when it is there.
    fn events(&self, py: Python<'_>, deque: &Bound<'_, PyAny>) -> PyResult<()> {
        let events = self.short(py, JsonCrdt::events)?;
        for event in events {
            deque.call_method1(intern!(py, "append"), (row(py, event)?,))?;
        }
        Ok(())
    }

    /// Watches a pattern, text or a path; its number.
    fn watch(&self, py: Python<'_>, pattern: &Bound<'_, PyAny>) -> PyResult<u64> {
        let pattern = Pattern::from_json(&written("pattern", pattern)?);
        let pattern = error::checked(py, pattern)?;
        self.short(py, |document| document.watch(pattern))
    }

    fn unwatch(&self, py: Python<'_>, id: u64) -> PyResult<bool> {
        self.short(py, |document| document.unwatch(id))
    }

    #[pyo3(signature = (members))]
    fn set_members(&self, py: Python<'_>, members: Option<Vec<String>>) -> PyResult<()> {
        self.short(py, |document| {
            let members = members.as_ref();
            let names: Option<Vec<&str>> =
                members.map(|names| names.iter().map(String::as_str).collect());
            document.set_members(names.as_deref());
        })
    }

    fn metrics(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let metrics = self.long(py, JsonCrdt::metrics)?;
        decoded(py, metrics.to_json())
    }

    fn metrics_prometheus(&self, py: Python<'_>) -> PyResult<String> {
        self.long(py, |document| {
            document.metrics().to_prometheus(&document.replica())
        })
    }

    fn inspect(&self, py: Python<'_>, options: &str) -> PyResult<Py<PyAny>> {
        let state = self.long(py, |document| interchange::inspect(document, options))?;
        decoded(py, error::checked(py, state)?)
    }

    fn causal_graph(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let graph = self.looked(py, |document, _| document.causal_graph())?;
        decoded(py, graph)
    }

    /// Operations of the log, and the document that they make.
    fn replay(&self, py: Python<'_>, from: usize, to: usize) -> PyResult<(Vec<Op>, Py<PyAny>)> {
        let (ops, made) = self.looked(py, |document, _| {
            let ops = document.logged(from, to);
            let made = Document::replay(&ops);
            (ops, made)
        })?;
        let ops = ops.into_iter().map(Op).collect();
        Ok((ops, decoded(py, made.as_bytes())?))
    }

    /// Forgets operations of the log until so many are left, or as many as are kept anyway.
    #[pyo3(signature = (keep))]
    fn trim_log(&self, py: Python<'_>, keep: Option<usize>) -> PyResult<()> {
        self.looked(py, |document, _| {
            document.trim_log(keep.unwrap_or(document.options().log_ops_max));
        })
    }

    fn drop_tombstones(&self, py: Python<'_>) -> PyResult<()> {
        self.looked(py, Document::drop_tombstones)
    }

    fn expire_pending(&self, py: Python<'_>) -> PyResult<()> {
        self.looked(py, Document::expire_pending)
    }

    fn drain_pending(&self, py: Python<'_>) -> PyResult<()> {
        self.looked(py, Document::drain_pending)
    }
}

fn row(py: Python<'_>, event: Event) -> PyResult<Row> {
    let (name, json) = match &event {
        // All that they tell is in the operation.
        Event::Change(_) => ("change", "null".to_owned()),
        Event::Sync(_) => ("sync", "null".to_owned()),
        Event::Watch { id, is_local, .. } => ("watch", format!("[{id},{is_local}]")),
        Event::LookAgain { id } => ("watch", format!("[{id},false]")),
        other => other.to_json(),
    };
    let op = match event {
        Event::Change(op) | Event::Sync(op) | Event::Watch { op, .. } | Event::Ignored(op) => {
            Some(Op(op))
        }
        Event::SourceReused { op, .. } => op.map(Op),
        _ => None,
    };
    Ok((name, op, decoded(py, json)?))
}

/// What two snapshots in JSON text differ in.
#[pyfunction]
pub fn document_difference(py: Python<'_>, before: &str, after: &str) -> PyResult<Py<PyAny>> {
    let difference = detached(py, || diff_snapshots(before, after))?;
    decoded(py, error::checked(py, difference)?)
}

/// Takes the first of a deque of `(listener, event)` and calls the one with the other, so that no
/// signal handler comes in between; false without any. What it raises goes to `sys.unraisablehook`,
/// unless it is meant to end the program.
#[pyfunction]
pub fn call_next(py: Python<'_>, deque: &Bound<'_, PyAny>) -> PyResult<bool> {
    let (listener, event): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
        match deque.call_method0(intern!(py, "popleft")) {
            Ok(first) => first.extract()?,
            Err(error) if error.is_instance_of::<PyIndexError>(py) => return Ok(false),
            Err(error) => return Err(error),
        };
    if listener.getattr(intern!(py, "has_ended"))?.is_truthy()? {
        return Ok(true);
    }
    let callback = listener.getattr(intern!(py, "callback"))?;
    match callback.call1((event,)) {
        Err(error) if error.is_instance_of::<PyException>(py) => {
            error.write_unraisable(py, Some(&callback));
            Ok(true)
        }
        called => called.map(|_| true),
    }
}
