//! Waiting: without the interpreter's lock, with an ear for signals, and never past its end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use distflow_core::{Error, ErrorKind, Result, fork};
use parking_lot::{Condvar, Mutex};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::error;
use crate::news::News;
use crate::signals::Signals;

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
// Told when the interpreter begins to end.
static ENDING: News = News::new();

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
            ENDING.reset();
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
    ENDING.tell();
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

/// When a wait is over that may consist of several.
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// One too long for the clock is none.
    pub fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Time left until the deadline; `None` without a limit.
    pub fn left(&self) -> Option<Duration> {
        let left = |at: Instant| at.saturating_duration_since(Instant::now());
        self.0.map(left)
    }
}

/// A result that is about to be returned; what a signal handler raises now comes before it, since
/// it would come after it and nobody had the result.
pub fn unless_raised<T>(py: Python<'_>, result: PyResult<T>) -> PyResult<T> {
    let result = result?;
    py.check_signals()?;
    Ok(result)
}

/// Waits for a future until it ends or the time is over (`None`), without the interpreter's lock.
///
/// A signal ends the wait at once: its handler runs, and when that raises, the wait ends with it,
/// also when the future has ended meanwhile. So it must not take anything out of a queue.
pub fn until<F>(py: Python<'_>, timeout: Option<Duration>, future: F) -> PyResult<Option<F::Output>>
where
    F: Future + Send,
    F::Output: Send,
{
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
        return Ok(Some(output));
    }
    let deadline = Deadline::after(timeout);
    loop {
        let left = deadline.left();
        if left == Some(Duration::ZERO) {
            py.check_signals()?;
            return Ok(None);
        }
        let signals = Signals::take(py)?;
        // Some may have come before the interpreter knew where to tell it.
        let woken = match py.check_signals() {
            Ok(()) => woken(py, future.as_mut(), signals.as_ref(), left),
            Err(raised) => Err(raised),
        };
        if let Some(signals) = signals {
            signals.give_back(py)?;
        }
        let woken = woken?;
        py.check_signals()?;
        if let Some(output) = woken {
            return Ok(Some(output));
        }
    }
}

/// The end of a future; `None` when the time is over or a signal came.
fn woken<F>(
    py: Python<'_>,
    mut future: std::pin::Pin<&mut F>,
    signals: Option<&Signals>,
    limit: Option<Duration>,
) -> PyResult<Option<F::Output>>
where
    F: Future + Send,
    F::Output: Send,
{
    let waited = detached(py, || {
        let mut signal = pin!(async {
            match signals {
                Some(signals) => signals.come().await,
                None => std::future::pending().await,
            }
        });
        let mut ending = pin!(ENDING.next());
        let first = std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let is_over = signal.as_mut().poll(cx).is_ready()
                | ending.as_mut().poll(cx).is_ready()
                | is_over();
            match is_over {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        });
        distflow_core::wait(first, limit).map(Option::flatten)
    })?;
    error::checked(py, waited)
}

/// A result that another thread brings.
struct Slot<T> {
    // Protects the result until it is taken, and who waits for it; held to put or to take.
    state: Mutex<(Option<T>, Option<Waker>)>,
}

impl<T> Slot<T> {
    fn put(&self, result: T) {
        let waker = {
            let mut state = self.state.lock();
            state.0 = Some(result);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn result(&self) -> T {
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock();
            match state.0.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    state.1 = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// Runs a future on the core's threads and waits for it.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> PyResult<T> {
    wait_for(py, move |slot| {
        distflow_core::spawn(async move { slot.put(future.await) })
    })
}

/// Runs something that blocks on a thread of its own and waits for it.
pub fn run_blocking<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    wait_for(py, move |slot| {
        let spawned = distflow_core::threads::spawn("distflow-call", move || slot.put(work()));
        spawned
            .map(drop)
            .map_err(|error| Error::io("cannot start a thread", &error))
    })
}

fn wait_for<T: Send + 'static>(
    py: Python<'_>,
    start: impl FnOnce(Arc<Slot<Result<T>>>) -> Result<()>,
) -> PyResult<T> {
    let slot = Arc::new(Slot {
        state: Mutex::new((None, None)),
    });
    error::checked(py, start(slot.clone()))?;
    match until(py, None, slot.result())? {
        Some(result) => error::checked(py, result),
        // Without a limit it is never over.
        None => Err(error::raised(py, &Error::request_timeout())),
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
