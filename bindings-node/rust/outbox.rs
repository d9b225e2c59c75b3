//! Results of calls, on their way to JavaScript.

use std::sync::Arc;

use distflow_core::{Error, Result, interchange};
use parking_lot::Mutex;

use crate::wake::Wake;

/// What JavaScript gave a call to find its promise by.
pub type CallId = u32;

/// The JSON text of a result without a value.
pub const NOTHING: &str = "null";

/// Collects results until JavaScript takes them.
pub struct Outbox {
    pub wake: Arc<Wake>,
    // Protects the results that were not taken yet; held to add or to take.
    results: Mutex<Vec<String>>,
}

impl Outbox {
    pub fn new(wake: Arc<Wake>) -> Self {
        Self {
            wake,
            results: Mutex::default(),
        }
    }

    /// Adds the result of a call, whose value is JSON text.
    pub fn finish(&self, call: CallId, result: Result<String>) {
        let result = match result {
            Ok(value) => format!("[{call},null,{value}]"),
            Err(error) => format!("[{call},{},null]", interchange::failure(&error)),
        };
        self.results.lock().push(result);
        self.wake.wake();
    }

    /// Runs a call that blocks on a thread of its own.
    pub fn run_blocking(
        self: &Arc<Self>,
        call: CallId,
        work: impl FnOnce() -> Result<String> + Send + 'static,
    ) {
        let outbox = self.clone();
        let spawned =
            distflow_core::threads::spawn("distflow-call", move || outbox.finish(call, work()));
        if let Err(error) = spawned {
            self.finish(call, Err(Error::io("cannot start a thread", &error)));
        }
    }

    /// Takes all results as a JSON array of `[call, error or null, value]`; `None` without any.
    pub fn take(&self) -> Option<String> {
        let results = std::mem::take(&mut *self.results.lock());
        (!results.is_empty()).then(|| interchange::array(results))
    }
}
