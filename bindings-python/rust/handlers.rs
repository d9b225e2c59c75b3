//! The functions of a program that are called with what happens, each until it is ended.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::node::report;

/// Names a handler among those of its object.
pub type HandlerId = u64;

#[derive(Clone)]
struct Entry {
    id: HandlerId,
    kind: Arc<str>,
    function: Arc<Py<PyAny>>,
}

/// Handlers of one object's events, or of its messages.
#[derive(Default)]
pub struct Handlers {
    // Protects the list; held to copy or to change it. No handler runs under it.
    list: Mutex<(HandlerId, Vec<Entry>)>,
}

impl Handlers {
    /// Adds a handler for events of a kind.
    pub fn add(&self, kind: &str, function: Py<PyAny>) -> HandlerId {
        let mut list = self.list.lock();
        list.0 += 1;
        let id = list.0;
        list.1.push(Entry {
            id,
            kind: kind.into(),
            function: Arc::new(function),
        });
        id
    }

    /// Ends a handler: it is not called any more. What is returned is to be dropped under no lock,
    /// for that can run code of the program.
    pub fn end(&self, id: HandlerId) -> Option<impl Sized + use<>> {
        let mut list = self.list.lock();
        let at = list.1.iter().position(|entry| entry.id == id)?;
        Some(list.1.remove(at).function)
    }

    /// Returns whether a handler is there for events of a kind.
    pub fn has(&self, kind: &str) -> bool {
        self.list.lock().1.iter().any(|entry| &*entry.kind == kind)
    }

    /// Returns whether there is no handler at all.
    pub fn is_empty(&self) -> bool {
        self.list.lock().1.is_empty()
    }

    /// Calls everybody who listens to a kind, with one value that is made once. What a handler
    /// raises is reported, and the others are called all the same.
    pub fn call(
        &self,
        py: Python<'_>,
        kind: &str,
        make: impl FnOnce() -> PyResult<Py<PyAny>>,
        goes_on: impl Fn() -> bool,
    ) {
        let is_wanted = |entry: &&Entry| &*entry.kind == kind;
        let wanted: Vec<_> = self
            .list
            .lock()
            .1
            .iter()
            .filter(is_wanted)
            .cloned()
            .collect();
        let Some(first) = wanted.first() else {
            return;
        };
        let made = match make() {
            Ok(made) => made,
            Err(failed) => return report(py, Err(failed), &first.function),
        };
        for entry in wanted {
            if !goes_on() {
                return;
            }
            // Another may have ended it.
            let is_there = self.list.lock().1.iter().any(|other| other.id == entry.id);
            if is_there {
                let called = entry.function.call1(py, (made.clone_ref(py),));
                report(py, called.map(drop), &entry.function);
            }
        }
    }
}
