//! The library's own tokio runtime: made at first use, shared by every node of the process.
//!
//! A host that runs tokio itself is not forced to share it, and one that does not need not
//! know. After `fork` the child makes a new one.
//!
//! One thread at a time drives sockets, timers and tasks: the driver. As a rule that is the
//! library's own thread. A thread that blocks in a call of ours takes the driver's seat, so
//! that what it waits for wakes it directly and not by way of another thread; that hand-over
//! would cost more than the rest of a round trip.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::{fork, limits};

// Protects the current runtime and the fork generation it was made in; held while it is made.
static CURRENT: Mutex<Option<(u64, Arc<Inner>)>> = Mutex::new(None);

/// Runs a future to its end on the library's own threads, for hosts without a runtime. It must
/// not block.
///
/// Errors: `io` when the network thread cannot be started, `forked`.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    // The task's handle is not needed: it ends by itself, or with the process.
    drop(Handle::current()?.spawn(future));
    Ok(())
}

/// The runtime of this process.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Runtime,
    seat: Mutex<Seat>,
    changed: Condvar,
    /// Nobody drives: whoever gives tasks something to do has to wake the own thread.
    vacant: AtomicBool,
    /// Asks the own thread to leave the seat.
    leave: Notify,
}

/// Who drives.
#[derive(Debug)]
struct Seat {
    taken_by_own: bool,
    taken_by_caller: bool,
    /// When a caller last left the seat.
    left_at: Option<Instant>,
    /// Tasks have something to do and nobody drives.
    urgent: bool,
    /// The own thread sleeps until it is woken, and not for a while only.
    own_sleeps: bool,
}

/// How long the own thread leaves the seat free for a caller that may come back at once. As
/// long as this, tasks that nobody called for may wait.
const RETURN: Duration = Duration::from_micros(limits::DRIVER_RETURN_US);

impl Handle {
    /// Makes the runtime at first use.
    pub fn current() -> Result<Self> {
        let generation = fork::generation();
        // The lock may have been held by a thread that a forked child does not have.
        let mut current = CURRENT
            .try_lock_for(Duration::from_secs(5))
            .ok_or_else(Error::forked)?;
        if let Some((made_in, inner)) = &*current
            && *made_in == generation
        {
            return Ok(Self(inner.clone()));
        }
        let failed = |error: &std::io::Error| Error::io("cannot start the network thread", error);
        let runtime = Builder::new_current_thread()
            .thread_name("distflow-blocking")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| failed(&error))?;
        let inner = Arc::new(Inner {
            runtime,
            seat: Mutex::new(Seat {
                taken_by_own: false,
                taken_by_caller: false,
                left_at: None,
                urgent: false,
                own_sleeps: false,
            }),
            changed: Condvar::new(),
            vacant: AtomicBool::new(true),
            leave: Notify::new(),
        });
        let driver = inner.clone();
        std::thread::Builder::new()
            .name("distflow-io".into())
            .spawn(move || driver.drive())
            .map_err(|error| failed(&error))?;
        if let Some((_, inherited)) = current.replace((generation, inner.clone())) {
            // Its thread is not in this process; dropping it would wait for what never comes.
            std::mem::forget(inherited);
        }
        Ok(Self(inner))
    }

    /// Runs a task.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = self.0.runtime.spawn(future);
        self.attend();
        task
    }

    /// Runs blocking code on a thread of its own.
    pub fn spawn_blocking<R: Send + 'static>(
        &self,
        run: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        self.0.runtime.spawn_blocking(run)
    }

    /// Makes this thread one of the runtime's while the guard lives, so that sockets can be
    /// registered with it.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.0.runtime.enter()
    }

    /// To be called after something that tasks wait for was done on a thread that may not be
    /// the driver: makes sure that somebody drives.
    pub fn attend(&self) {
        if self.0.vacant.load(Ordering::SeqCst) {
            self.0.seat.lock().urgent = true;
            self.0.changed.notify_all();
        }
    }

    /// Waits on this thread for a future, driving meanwhile if nobody else but the own thread
    /// does. `None` when the time is over.
    pub fn wait<F: Future>(&self, future: F, timeout: Option<Duration>) -> Option<F::Output> {
        // Within another runtime of tokio's, blocking on this one is not allowed.
        if tokio::runtime::Handle::try_current().is_ok() || !self.0.take_seat() {
            return crate::park::block_on_timeout(future, timeout);
        }
        let seat = CallersSeat(&self.0);
        let output = self.0.runtime.block_on(async {
            match timeout {
                Some(timeout) => tokio::time::timeout(timeout, future).await.ok(),
                None => Some(future.await),
            }
        });
        drop(seat);
        output
    }
}

/// Leaves the seat also when the future panics.
struct CallersSeat<'a>(&'a Inner);

impl Drop for CallersSeat<'_> {
    fn drop(&mut self) {
        self.0.leave_seat();
    }
}

impl Inner {
    /// The life of the own thread.
    fn drive(&self) {
        loop {
            self.await_seat();
            self.runtime.block_on(self.leave.notified());
            let mut seat = self.seat.lock();
            seat.taken_by_own = false;
            self.vacant.store(true, Ordering::SeqCst);
            self.changed.notify_all();
        }
    }

    /// Takes the seat for the own thread once no caller has used it for a while.
    fn await_seat(&self) {
        let mut seat = self.seat.lock();
        loop {
            if seat.taken_by_caller {
                // A caller that stays is not looked after again and again.
                let timed_out = self.changed.wait_for(&mut seat, RETURN).timed_out();
                if timed_out && seat.taken_by_caller {
                    seat.own_sleeps = true;
                    self.changed.wait(&mut seat);
                    seat.own_sleeps = false;
                }
                continue;
            }
            let free_for = seat.left_at.map_or(RETURN, |left_at| left_at.elapsed());
            if free_for >= RETURN || seat.urgent {
                seat.urgent = false;
                seat.taken_by_own = true;
                self.vacant.store(false, Ordering::SeqCst);
                return;
            }
            self.changed.wait_for(&mut seat, RETURN - free_for);
        }
    }

    /// Takes the seat for the calling thread, unless another caller has it.
    fn take_seat(&self) -> bool {
        let mut seat = self.seat.lock();
        if seat.taken_by_caller {
            return false;
        }
        seat.taken_by_caller = true;
        if seat.taken_by_own {
            self.leave.notify_one();
            while seat.taken_by_own {
                self.changed.wait(&mut seat);
            }
        }
        self.vacant.store(false, Ordering::SeqCst);
        true
    }

    fn leave_seat(&self) {
        let mut seat = self.seat.lock();
        seat.taken_by_caller = false;
        seat.left_at = Some(Instant::now());
        self.vacant.store(true, Ordering::SeqCst);
        if seat.own_sleeps {
            self.changed.notify_all();
        }
    }
}
