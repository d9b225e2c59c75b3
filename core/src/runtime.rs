//! The library's own tokio runtime: made at first use, shared by every node of the process.
//!
//! A host that runs tokio itself is not forced to share it, and one that does not need not
//! know. After `fork` the child makes a new one.

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::{fork, limits};

// Protects the current runtime and the fork generation it was made in; held while it is made.
static CURRENT: Mutex<Option<(u64, Arc<Runtime>)>> = Mutex::new(None);

/// The runtime of this process.
#[derive(Debug, Clone)]
pub struct Handle(tokio::runtime::Handle);

impl Handle {
    /// Makes the runtime at first use.
    pub fn current() -> Result<Self> {
        let generation = fork::generation();
        // The lock may have been held by a thread that a forked child does not have.
        let mut current = CURRENT
            .try_lock_for(std::time::Duration::from_secs(5))
            .ok_or_else(Error::forked)?;
        if let Some((made_in, runtime)) = &*current
            && *made_in == generation
        {
            return Ok(Self(runtime.handle().clone()));
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(limits::RUNTIME_THREADS)
            .thread_name("distflow-io")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Error::io("cannot start the network threads", &error))?;
        let handle = runtime.handle().clone();
        if let Some((_, inherited)) = current.replace((generation, Arc::new(runtime))) {
            // Its threads are not in this process; dropping it would wait for them.
            std::mem::forget(inherited);
        }
        Ok(Self(handle))
    }

    /// Runs a task.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(future)
    }

    /// Runs blocking code on a thread of its own.
    pub fn spawn_blocking<R: Send + 'static>(
        &self,
        run: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        self.0.spawn_blocking(run)
    }

    /// Makes this thread one of the runtime's while the guard lives, so that sockets can be
    /// registered with it.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.0.enter()
    }
}
