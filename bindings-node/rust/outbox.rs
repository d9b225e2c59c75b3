//! Results of calls, on their way to JavaScript.

use std::sync::Arc;

use distflow_core::{Error, Result};
use parking_lot::Mutex;
use serde_json::Value;

use crate::failure;
use crate::wake::Wake;

/// What JavaScript gave a call to find its promise by.
pub type CallId = u32;

/// Collects results until JavaScript takes them.
pub struct Outbox {
    pub wake: Arc<Wake>,
    // Protects the results that were not taken yet; held to add or to take.
    results: Mutex<Vec<(CallId, Option<Value>, Value)>>,
}

impl Outbox {
    pub fn new(wake: Arc<Wake>) -> Self {
        Self {
            wake,
            results: Mutex::default(),
        }
    }

    /// Adds the result of a call.
    pub fn finish(&self, call: CallId, result: Result<Value>) {
        let (error, value) = match result {
            Ok(value) => (None, value),
            Err(error) => (Some(failure::value(&error)), Value::Null),
        };
        self.results.lock().push((call, error, value));
        self.wake.wake();
    }

    /// Runs a call to its end on distflow's threads.
    pub fn run(
        self: &Arc<Self>,
        call: CallId,
        work: impl Future<Output = Result<Value>> + Send + 'static,
    ) {
        let outbox = self.clone();
        let spawned = distflow_core::spawn(async move {
            let result = work.await;
            outbox.finish(call, result);
        });
        if let Err(error) = spawned {
            self.finish(call, Err(error));
        }
    }

    /// Runs a call that blocks on a thread of its own.
    pub fn run_blocking(
        self: &Arc<Self>,
        call: CallId,
        work: impl FnOnce() -> Result<Value> + Send + 'static,
    ) {
        let outbox = self.clone();
        let spawned = std::thread::Builder::new()
            .name("distflow-call".into())
            .spawn(move || outbox.finish(call, work()));
        if let Err(error) = spawned {
            self.finish(call, Err(Error::io("cannot start a thread", &error)));
        }
    }

    /// Takes all results: `[call, error or null, value]` each.
    pub fn take(&self) -> Vec<(CallId, Option<Value>, Value)> {
        std::mem::take(&mut *self.results.lock())
    }
}
