//! The library's own tokio runtime: made at first use, shared by every node of the process.
//!
//! A host that runs tokio itself is not forced to share it, and one that does not need not
//! know. After `fork` the child makes a new one.
//!
//! One thread at a time drives sockets, timers and tasks: the driver. As a rule that is the
//! library's own thread. A thread that blocks in a call of ours takes the driver's seat, so
//! that what it waits for wakes it directly and not by way of another thread; that hand-over
//! would cost more than the rest of a round trip.

#[cfg(unix)]
mod readable;

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, MutexGuard, PoisonError, Weak};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::canary::{self, Canary};
use crate::error::{Error, Result};
use crate::{fork, limits, threads};

#[cfg(unix)]
pub use readable::Readable;

// Protects the current runtime and the fork generation it was made in; held while it is made.
static CURRENT: Mutex<Option<(u64, Arc<Inner>)>> = Mutex::new(None);

/// Runs a future to its end on the library's own threads, for hosts without a runtime. It must
/// not block.
///
/// Errors: `io` when the network thread cannot be started, `forked`.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    // The task's handle is not needed: it ends by itself, or with the process.
    drop(Handle::current()?.spawn(future)?);
    Ok(())
}

/// Waits on this thread for a future, which drives the network meanwhile if nobody else does;
/// `None` when the time is over.
///
/// Errors: `io` when the network thread cannot be started, `forked`.
pub fn wait<F: Future>(future: F, timeout: Option<Duration>) -> Result<Option<F::Output>> {
    Ok(Handle::current()?.wait(future, timeout))
}

/// The runtime of this process.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Runtime,
    // Protects who drives, for an instant each time. Of the standard library: the own thread waits here,
    // and one that waits for a lock of parking_lot stands in a table that a forked child goes through.
    seat: std::sync::Mutex<Seat>,
    changed: Condvar,
    /// Nobody drives: whoever gives tasks something to do has to wake the own thread.
    vacant: AtomicBool,
    /// Asks the own thread to leave the seat.
    leave: Notify,
    canary: Arc<Canary>,
    // Protects the list of those who are told that the descriptors are gone.
    users: Mutex<Vec<Weak<dyn User>>>,
}

/// An object that lives on the runtime.
pub trait User: std::fmt::Debug + Send + Sync {
    /// The host has closed the library's descriptors: the object is over. No task runs any more,
    /// and none may be woken.
    fn lost(&self);
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
        let failed = |error: &std::io::Error| Error::io("cannot start the network thread", error);
        let canary = Canary::current().map_err(|error| failed(&error))?;
        if let Some((made_in, inner)) = &*current
            && *made_in == generation
            && !inner.canary.look()
        {
            return Ok(Self(inner.clone()));
        }
        let of_thread = canary.clone();
        let runtime = Builder::new_current_thread()
            .thread_name("distflow-blocking")
            .on_thread_start(threads::block_signals)
            .on_thread_park(move || {
                if IS_OWN.get() && of_thread.look() {
                    leave_the_poll();
                }
            })
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| failed(&error))?;
        let inner = Arc::new(Inner {
            runtime,
            seat: std::sync::Mutex::new(Seat {
                taken_by_own: false,
                taken_by_caller: false,
                left_at: None,
                urgent: false,
                own_sleeps: false,
            }),
            changed: Condvar::new(),
            vacant: AtomicBool::new(true),
            leave: Notify::new(),
            canary,
            users: Mutex::default(),
        });
        let driver = inner.clone();
        threads::spawn("distflow-io", move || driver.drive()).map_err(|error| failed(&error))?;
        let before = current.replace((generation, inner.clone()));
        drop(current);
        if let Some((made_in, before)) = before {
            if made_in == generation {
                Self(before.clone()).is_over();
            }
            // Its thread is not in this process, or its descriptors are not: dropping it would wait
            // for what never comes, or close what belongs to somebody else.
            std::mem::forget(before);
        }
        Ok(Self(inner))
    }

    /// Has an object told when the descriptors are gone.
    pub fn add_user(&self, user: Weak<dyn User>) {
        let mut users = self.0.users.lock();
        if users.len() == users.capacity() {
            users.retain(|user| user.strong_count() > 0);
        }
        users.push(user);
    }

    /// Whether the host has closed the library's descriptors, as far as that is known.
    pub fn is_lost(&self) -> bool {
        self.0.canary.is_gone()
    }

    /// Looks whether the host has closed the library's descriptors. To be called before anything is
    /// done that wakes a task, and cheap in comparison.
    pub fn look(&self) -> bool {
        self.0.canary.look()
    }

    /// Like [`Handle::look`], and tells all who live on it. Without a lock of theirs.
    pub fn is_over(&self) -> bool {
        if !self.look() {
            return false;
        }
        let users = std::mem::take(&mut *self.0.users.lock());
        for user in users.iter().filter_map(Weak::upgrade) {
            // Whoever waits on the thread that drives can't be woken any more.
            let _ = catch_unwind(AssertUnwindSafe(|| user.lost()));
            // Its sockets have numbers of somebody else.
            std::mem::forget(user);
        }
        true
    }

    /// To be called by a task before it drops a socket that has failed: does not return when the host
    /// has closed it, for closing it again would close what is the host's.
    pub fn keep_sockets(&self) {
        if self.look() {
            leave_the_poll();
        }
    }

    /// Runs a task.
    ///
    /// Errors: `closed` when the host has closed the library's descriptors.
    pub fn spawn<F>(&self, future: F) -> Result<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if self.look() {
            std::mem::forget(future);
            return Err(canary::gone());
        }
        let canary = self.0.canary.clone();
        let mut future = Box::pin(future);
        let mut guarded: Option<(Waker, Waker)> = None;
        let task = self.0.runtime.spawn(std::future::poll_fn(move |cx| {
            if canary.is_gone() {
                leave_the_poll();
            }
            let (_, waker) = match guarded.take() {
                Some(known) if known.0.will_wake(cx.waker()) => guarded.insert(known),
                _ => {
                    let (canary, waker) = (canary.clone(), cx.waker().clone());
                    let guard = Arc::new(Guard { canary, waker }).into();
                    guarded.insert((cx.waker().clone(), guard))
                }
            };
            future.as_mut().poll(&mut Context::from_waker(waker))
        }));
        self.attend();
        Ok(task)
    }

    /// Ends a future when the time is over. Unlike tokio's, it can be polled on any thread, and by any
    /// executor.
    #[cfg(feature = "mqtt")]
    pub fn timeout<F: Future>(&self, limit: Duration, future: F) -> tokio::time::Timeout<F> {
        // Only where it is made must it find the clock.
        let _entered = self.0.runtime.enter();
        tokio::time::timeout(limit, future)
    }

    /// Runs blocking code on a thread of its own.
    pub fn spawn_blocking<R: Send + 'static>(
        &self,
        run: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        // The thread may be a new one, and inherits what this one blocks.
        let _blocked = threads::Blocked::new();
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
            self.0.seat().urgent = true;
            self.0.changed.notify_all();
        }
    }

    /// Waits on this thread for a future, driving meanwhile if nobody else but the own thread
    /// does. `None` when the time is over.
    ///
    /// A thread with little stack left does not drive: other tasks may need more, a TLS handshake
    /// above all.
    ///
    /// When the host has closed the library's descriptors, nothing is driven: what lives on the
    /// runtime has been told, and ends the future.
    pub fn wait<F: Future>(&self, future: F, timeout: Option<Duration>) -> Option<F::Output> {
        let begun = Instant::now();
        let mut future = pin!(future);
        // Within another runtime of tokio's, blocking on this one is not allowed.
        if self.is_over()
            || tokio::runtime::Handle::try_current().is_ok()
            || threads::stack_left() < limits::DRIVER_STACK_BYTES
            || !self.0.take_seat()
        {
            return crate::park::block_on_timeout(future, timeout);
        }
        let seat = CallersSeat(&self.0);
        let driven = catch_unwind(AssertUnwindSafe(|| {
            self.0.runtime.block_on(async {
                match timeout {
                    Some(timeout) => tokio::time::timeout(timeout, future.as_mut()).await.ok(),
                    None => Some(future.as_mut().await),
                }
            })
        }));
        drop(seat);
        driven.unwrap_or_else(|panic| {
            if !self.is_over() {
                resume_unwind(panic);
            }
            let left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
            crate::park::block_on_timeout(future, left)
        })
    }
}

/// Wakes a task, unless the descriptors are known to be gone: the runtime would wake its thread by
/// one that is the host's by then. So whoever is told that an object is over can tell others, and
/// need not know whether one of them is a task.
struct Guard {
    canary: Arc<Canary>,
    waker: Waker,
}

impl Wake for Guard {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.canary.is_gone() {
            self.waker.wake_by_ref();
        }
    }
}

thread_local! {
    /// Whether this is the own thread of a runtime.
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// Stops the own thread of a runtime whose descriptors the host has closed: it would wait on a number
/// that is somebody else's by now, another runtime's perhaps, and take what is for that.
fn leave_the_poll() {
    while IS_OWN.get() {
        std::thread::park();
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
    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn await_change<'a>(&self, seat: MutexGuard<'a, Seat>) -> MutexGuard<'a, Seat> {
        self.changed
            .wait(seat)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the time was over is the second of what it returns.
    fn await_change_for<'a>(
        &self,
        seat: MutexGuard<'a, Seat>,
        limit: Duration,
    ) -> (MutexGuard<'a, Seat>, bool) {
        let (seat, waited) = self
            .changed
            .wait_timeout(seat, limit)
            .unwrap_or_else(PoisonError::into_inner);
        (seat, waited.timed_out())
    }

    /// The life of the own thread, which ends when the descriptors are gone.
    fn drive(self: &Arc<Self>) {
        IS_OWN.set(true);
        loop {
            self.await_seat();
            let drive = || self.runtime.block_on(self.leave.notified());
            if let Err(panic) = catch_unwind(AssertUnwindSafe(drive)) {
                if Handle(self.clone()).is_over() {
                    self.seat().taken_by_own = false;
                    self.changed.notify_all();
                    return;
                }
                resume_unwind(panic);
            }
            let mut seat = self.seat();
            seat.taken_by_own = false;
            self.vacant.store(true, Ordering::SeqCst);
            self.changed.notify_all();
        }
    }

    /// Takes the seat for the own thread once no caller has used it for a while.
    fn await_seat(&self) {
        let mut seat = self.seat();
        loop {
            if seat.taken_by_caller {
                // A caller that stays is not looked after again and again.
                let timed_out;
                (seat, timed_out) = self.await_change_for(seat, RETURN);
                if timed_out && seat.taken_by_caller {
                    seat.own_sleeps = true;
                    seat = self.await_change(seat);
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
            (seat, _) = self.await_change_for(seat, RETURN - free_for);
        }
    }

    /// Takes the seat for the calling thread, unless another caller has it.
    fn take_seat(&self) -> bool {
        let mut seat = self.seat();
        if seat.taken_by_caller {
            return false;
        }
        seat.taken_by_caller = true;
        if seat.taken_by_own {
            self.leave.notify_one();
            while seat.taken_by_own {
                seat = self.await_change(seat);
            }
        }
        self.vacant.store(false, Ordering::SeqCst);
        true
    }

    fn leave_seat(&self) {
        let mut seat = self.seat();
        seat.taken_by_caller = false;
        seat.left_at = Some(Instant::now());
        self.vacant.store(true, Ordering::SeqCst);
        if seat.own_sleeps {
            self.changed.notify_all();
        }
    }
}
