//! The library's own log, on its way to `logging`.

use std::sync::Arc;

use distflow_core::log::{self, Capture, Level};
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::{decode, error, node, wait};

/// Records handed over at once.
const BATCH: usize = 256;

// Protects the capture that runs; held to replace it. Its thread ends with it.
static CAPTURE: Mutex<Option<Arc<Capture>>> = Mutex::new(None);

/// Hands records of a level, 1 (error) to 5 (trace), or more severe ones to a function, each as
/// `(level, target, message, fields)`; replaces what was there. 0 ends it.
#[pyfunction]
pub fn route_log(py: Python<'_>, level: u8, handler: Py<PyAny>) -> PyResult<()> {
    end();
    let Some(level) = Level::from_number(level) else {
        return Ok(());
    };
    let capture = Arc::new(error::checked(py, log::capture(level))?);
    *CAPTURE.lock() = Some(capture.clone());
    let started =
        distflow_core::threads::spawn("distflow-log", move || deliver(&capture, &handler));
    started.map(drop).map_err(|failed| {
        error::raised(
            py,
            &distflow_core::Error::io("cannot start a thread", &failed),
        )
    })
}

/// Ends the capture; what it has goes nowhere.
pub fn end() {
    if let Some(capture) = CAPTURE.lock().take() {
        capture.close();
    }
}

fn deliver(capture: &Capture, handler: &Py<PyAny>) {
    // What logging does here must not be logged here.
    log::ignore_this_thread();
    while let Ok(first) = capture.recv_timeout(None) {
        let more = std::iter::from_fn(|| capture.try_recv());
        let records: Vec<_> = std::iter::once(first).chain(more).take(BATCH).collect();
        // The end of the interpreter waits until it is out of it again.
        let Some(_entered) = wait::enter() else {
            return;
        };
        let attached = Python::try_attach(|py| {
            for record in &records {
                let fields = decode::value(py, record.fields.as_bytes());
                let called = fields.and_then(|fields| {
                    let (level, target) = (record.level.number(), &*record.target);
                    handler.call1(py, (level, target, &*record.message, fields))
                });
                node::report(py, called.map(drop), handler);
            }
        });
        if attached.is_none() {
            return;
        }
    }
}
