//! Waiting: without the interpreter's lock, with an ear for signals, and never past its end.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use distflow_core::{Error, ErrorKind, Result, fork};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;

use crate::error;

/// How long a signal may wait until its handler runs.
pub const SLICE: Duration = Duration::from_millis(100);

struct Running {
    /// Threads inside a call that waits, of this process.
    waits: usize,
    /// The process they are counted in; a forked child has none of them.
    generation: u64,
    /// The interpreter ends: nobody waits any more.
    ending: bool,
}

// Protects the count of waits; held to change or to look at it.
static RUNNING: Mutex<Running> = Mutex::new(Running {
    waits: 0,
    generation: 0,
    ending: false,
});
static LESS: Condvar = Condvar::new();

struct Wait;

impl Wait {
    fn begin() -> Result<Self> {
        let mut running = RUNNING.lock();
        let generation = fork::generation();
        if running.generation != generation {
            *running = Running {
                waits: 0,
                generation,
                ending: false,
            };
        }
        if running.ending {
            return Err(error::closed("the interpreter is ending"));
        }
        running.waits += 1;
        Ok(Self)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut running = RUNNING.lock();
        running.waits = running.waits.saturating_sub(1);
        LESS.notify_all();
    }
}

/// Runs something that waits, without the interpreter's lock.
pub fn detached<T: Send>(py: Python<'_>, wait: impl FnOnce() -> T + Send) -> PyResult<T> {
    // Given up only when the lock is back: the end of the interpreter waits for that.
    let guard = error::checked(py, Wait::begin())?;
    let result = py.detach(wait);
    drop(guard);
    Ok(result)
}

/// From here on nobody begins to wait; waits until nobody does, or for so long.
pub fn end(limit: Duration) {
    let mut running = RUNNING.lock();
    running.ending = true;
    let deadline = Instant::now() + limit;
    while running.waits > 0 && running.generation == fork::generation() {
        if LESS.wait_until(&mut running, deadline).timed_out() {
            return;
        }
    }
}

/// A result that another thread brings.
struct Slot<T> {
    // Protects the result until it is taken; held to put or to take it.
    result: Mutex<Option<T>>,
    come: Condvar,
}

/// Runs a future on the core's threads and waits for it.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> PyResult<T> {
    wait_for(py, move |put| {
        distflow_core::spawn(async move { put(future.await) })
    })
}

/// Runs something that blocks on a thread of its own and waits for it.
pub fn run_blocking<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    wait_for(py, move |put| {
        let spawned = std::thread::Builder::new()
            .name("distflow-call".into())
            .spawn(move || put(work()));
        spawned
            .map(drop)
            .map_err(|error| Error::io("cannot start a thread", &error))
    })
}

fn wait_for<T: Send + 'static>(
    py: Python<'_>,
    start: impl FnOnce(Box<dyn FnOnce(Result<T>) + Send>) -> Result<()>,
) -> PyResult<T> {
    let slot = Arc::new(Slot {
        result: Mutex::new(None),
        come: Condvar::new(),
    });
    let put = slot.clone();
    let started = start(Box::new(move |result| {
        *put.result.lock() = Some(result);
        put.come.notify_all();
    }));
    error::checked(py, started)?;
    sliced(py, None, |limit| {
        let mut result = slot.result.lock();
        if result.is_none() {
            slot.come.wait_for(&mut result, limit);
        }
        result.take()
    })?
    .map_or_else(
        || Err(error::raised(py, &timed_out())),
        |result| error::checked(py, result),
    )
}

fn timed_out() -> Error {
    Error::new(ErrorKind::Timeout, "the call did not end in time")
}

/// Waits in slices until something comes or the time is over; between them, signal handlers run.
pub fn sliced<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    mut wait: impl FnMut(Duration) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map_or(SLICE, |deadline| {
            deadline
                .saturating_duration_since(Instant::now())
                .min(SLICE)
        });
        if let Some(result) = detached(py, || wait(left))? {
            return Ok(Some(result));
        }
        py.check_signals()?;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
    }
}

/// A time in seconds; `None` means no limit.
///
/// Errors: `InvalidArgumentError` for a negative one or NaN.
pub fn seconds(py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(timeout) = timeout else {
        return Ok(None);
    };
    if timeout.is_nan() || timeout < 0.0 {
        let error = Error::new(
            ErrorKind::InvalidArgument,
            format!("timeout must be None or at least 0 seconds, not {timeout}"),
        );
        return Err(error::raised(py, &error));
    }
    // One too long for the clock is none.
    Ok(Duration::try_from_secs_f64(timeout).ok())
}
