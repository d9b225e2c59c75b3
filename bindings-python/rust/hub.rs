//! Results of calls on their way to an event loop: a descriptor is readable while one waits, so no
//! thread of the core's needs the interpreter to tell of it.

use std::future::Future;

use distflow_core::dispatch::{Inbox, Readiness};
use distflow_core::{MailboxConfig, Result};
use pyo3::prelude::*;

use crate::{decode, error};

/// What Python gave a call to find its future by.
pub type CallId = u64;

/// A call, its exception or None, its value.
type Taken = (CallId, Py<PyAny>, Py<PyAny>);

/// The results of one node's calls, and the descriptor of these and of its events.
#[pyclass(frozen, module = "distflow._distflow")]
pub struct Hub {
    results: Inbox<(CallId, Result<String>)>,
    readiness: Readiness,
}

impl Hub {
    /// Raised also by whatever else the loop has to take.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Runs a call to its end on the core's threads; its value is JSON, or nothing.
    pub fn run(
        &self,
        call: CallId,
        work: impl Future<Output = Result<String>> + Send + 'static,
    ) -> Result<()> {
        let results = self.results.clone();
        distflow_core::spawn(async move {
            let result = work.await;
            results.push((call, result), 0);
        })
    }
}

#[pymethods]
impl Hub {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        // As many as there are calls, which Python bounds.
        let results = Inbox::new(MailboxConfig {
            messages_max: usize::MAX,
            ..MailboxConfig::default()
        });
        let readiness = error::checked(py, Readiness::new())?;
        results.set_readiness(readiness.clone());
        Ok(Self { results, readiness })
    }

    #[getter]
    fn fd(&self) -> i32 {
        self.readiness.fd()
    }

    /// What waits: `(call, exception or None, value)` each.
    fn take(&self, py: Python<'_>) -> PyResult<Vec<Taken>> {
        std::iter::from_fn(|| self.results.try_recv())
            .map(|(call, result)| {
                Ok(match result {
                    Ok(text) if text.is_empty() => (call, py.None(), py.None()),
                    Ok(text) => {
                        let value = decode::value(py, text.as_bytes())?.unbind();
                        (call, py.None(), value)
                    }
                    Err(error) => (call, error::instance(py, &error)?.unbind(), py.None()),
                })
            })
            .collect()
    }
}
