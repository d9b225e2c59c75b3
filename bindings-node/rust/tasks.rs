//! Calls that run on distflow's threads, for objects that live there.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use distflow_core::{Result, RuntimeHandle, RuntimeUser, canary};
use parking_lot::Mutex;

use crate::failure;
use crate::outbox::{CallId, Outbox};

/// Runs calls, whose results go into an outbox.
pub struct Tasks {
    outbox: Arc<Outbox>,
    runtime: RuntimeHandle,
    // Protects which calls are under way; held to add or to take one.
    running: Mutex<HashSet<CallId>>,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

impl Tasks {
    pub fn new(outbox: Arc<Outbox>) -> napi::Result<Arc<Self>> {
        let runtime = RuntimeHandle::current().map_err(|error| failure::thrown(&error))?;
        let tasks = Arc::new(Self {
            outbox,
            runtime: runtime.clone(),
            running: Mutex::default(),
        });
        let user: Weak<dyn RuntimeUser> = Arc::downgrade(&tasks) as _;
        runtime.add_user(user);
        Ok(tasks)
    }

    /// Tells that the host has closed the library's descriptors. To be asked before anything is done
    /// that wakes a task: what that writes would come into a file of the host's.
    pub fn is_over(&self) -> bool {
        self.runtime.is_over()
    }

    /// Runs a call to its end.
    pub fn run(
        self: &Arc<Self>,
        call: CallId,
        work: impl Future<Output = Result<String>> + Send + 'static,
    ) {
        self.running.lock().insert(call);
        let tasks = self.clone();
        let work = async move {
            let result = work.await;
            tasks.finish(call, result);
        };
        // What is over says so, and can be closed, on the runtime that has come after its own.
        let spawned = match self.is_over() {
            true => distflow_core::spawn(work),
            false => self.runtime.spawn(work).map(drop),
        };
        if let Err(error) = spawned {
            self.finish(call, Err(error));
        }
    }

    /// Adds the result of a call, unless it has one.
    fn finish(&self, call: CallId, result: Result<String>) {
        let is_running = self.running.lock().remove(&call);
        if is_running {
            self.outbox.finish(call, result);
        }
    }
}

/// No task runs any more, so none would ever finish a call.
impl RuntimeUser for Tasks {
    fn lost(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        for call in running {
            self.outbox.finish(call, Err(canary::gone()));
        }
    }
}
