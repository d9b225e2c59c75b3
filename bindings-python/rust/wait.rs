//! Waiting: without the interpreter's lock, with an ear for signals, and never past its end.

use std::future::Future;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use distflow_core::{Error, ErrorKind, Result, fork};
use parking_lot::{Condvar, Mutex};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::error;

/// How long a signal may wait until its handler runs.
pub const SLICE: Duration = Duration::from_millis(100);

struct Running {
    /// Threads inside a call that waits, of this process.
    waits: usize,
    /// The process they are counted in; a forked child has none of them.
    generation: u64,
    /// The interpreter ends, and the thread that does it: nobody waits any more.
    ending: Option<ThreadId>,
}

// Protects the count of waits; held to change or to look at it.
static RUNNING: Mutex<Running> = Mutex::new(Running {
    waits: 0,
    generation: 0,
    ending: None,
});
static LESS: Condvar = Condvar::new();

struct Wait;

/// Only daemon threads are left when the interpreter ends. It would end them wherever they are; one
/// that calls us stays here instead, for it must not enter the interpreter again, and an error
/// would only be noise.
struct Parked;

impl Parked {
    fn stay(&self) -> ! {
        loop {
            std::thread::park();
        }
    }
}

impl Wait {
    fn begin() -> std::result::Result<Result<Self>, Parked> {
        let mut running = RUNNING.lock();
        let generation = fork::generation();
        if running.generation != generation {
            *running = Running {
                waits: 0,
                generation,
                ending: None,
            };
        }
        match running.ending {
            Some(thread) if thread == std::thread::current().id() => {
                return Ok(Err(error::closed("the interpreter is ending")));
            }
            Some(_) => return Err(Parked),
            None => {}
        }
        running.waits += 1;
        Ok(Ok(Self))
    }

    /// Whether the interpreter has begun to end during the wait, on another thread.
    fn is_over(&self) -> bool {
        let ending = RUNNING.lock().ending;
        ending.is_some_and(|thread| thread != std::thread::current().id())
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
    let begun = match Wait::begin() {
        Ok(begun) => begun,
        Err(parked) => py.detach(|| parked.stay()),
    };
    // Given up only when the lock is back: the end of the interpreter waits for that.
    let guard = error::checked(py, begun)?;
    let (result, guard) = py.detach(|| {
        let result = wait();
        if guard.is_over() {
            drop(guard);
            Parked.stay();
        }
        (result, guard)
    });
    drop(guard);
    Ok(result)
}

/// Counts a thread of ours that is about to enter the interpreter, until the value is dropped;
/// `None` when the interpreter ends.
pub fn enter() -> Option<impl Drop> {
    Wait::begin().ok()?.ok()
}

/// From here on nobody begins to wait, and who waits does not come back.
pub fn begin_end() {
    RUNNING.lock().ending = Some(std::thread::current().id());
}

/// Whether the interpreter has begun to end.
pub fn is_over() -> bool {
    RUNNING.lock().ending.is_some()
}

/// Waits until nobody waits any more or comes back from a wait, or for so long.
pub fn end(limit: Duration) {
    let mut running = RUNNING.lock();
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
/// Errors: `TypeError`, `InvalidArgumentError` for a negative one or NaN.
pub fn seconds(py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Duration>> {
    let Some(given) = timeout else {
        return Ok(None);
    };
    let Ok(timeout) = given.extract::<f64>() else {
        return Err(PyTypeError::new_err(format!(
            "timeout must be None or a number of seconds, not {}",
            given.get_type().name()?
        )));
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
