//! One wake-up of the JavaScript thread for any number of things that wait for it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use parking_lot::Mutex;

use crate::environment::{self, Ends};

// Weak: an idle node does not keep the process alive.
type Callback = ThreadsafeFunction<(), (), (), Status, false, true, 0>;

/// Calls a JavaScript function that takes everything that waits.
///
/// The function lives as long as this does, and all that it refers to: it must not refer to the
/// JavaScript object that owns this, or neither is ever collected.
pub struct Wake {
    call: Arc<Call>,
    // One for all waits, so that a queue knows it again.
    waker: Waker,
}

struct Call {
    // Protects the callback, which is taken away when the environment ends; held to call it.
    callback: Mutex<Option<Callback>>,
    /// A call is under way that has not begun to take yet.
    pending: AtomicBool,
}

impl std::task::Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // Without one, or when the call fails, the environment has ended: nobody is there to
            // be woken.
            if let Some(callback) = &*self.callback.lock() {
                callback.call((), ThreadsafeFunctionCallMode::NonBlocking);
            }
        }
    }
}

impl Ends for Call {
    fn end(&self) {
        let callback = self.callback.lock().take();
        drop(callback);
    }
}

impl Wake {
    pub fn new(env: &Env, callback: &Function<'_, (), ()>) -> napi::Result<Self> {
        let callback = callback
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .build()?;
        let call = Arc::new(Call {
            callback: Mutex::new(Some(callback)),
            pending: AtomicBool::new(false),
        });
        environment::enter(env, &call)?;
        let waker = call.clone().into();
        Ok(Self { call, waker })
    }

    /// Wakes the JavaScript thread, unless it is being woken already.
    pub fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// To be called before taking: what comes from here on needs another wake-up.
    pub fn begin(&self) {
        self.call.pending.store(false, Ordering::Release);
    }

    /// Whether something can be taken at once. If not, the JavaScript thread is woken, by
    /// whatever thread brings it, as soon as something can.
    pub fn arm(&self, ready: impl Future<Output = bool>) -> bool {
        let mut cx = Context::from_waker(&self.waker);
        pin!(ready).poll(&mut cx) == Poll::Ready(true)
    }
}
