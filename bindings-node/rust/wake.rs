//! One wake-up of the JavaScript thread for any number of things that wait for it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};

// Weak: an idle node does not keep the process alive.
type Callback = ThreadsafeFunction<(), (), (), Status, false, true, 0>;

/// Calls a JavaScript function that takes everything that waits.
pub struct Wake {
    call: Arc<Call>,
    // One for all waits, so that a queue knows it again.
    waker: Waker,
}

struct Call {
    callback: Callback,
    /// A call is under way that has not begun to take yet.
    pending: AtomicBool,
}

impl std::task::Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // Fails when the environment is ending; then nobody is there to be woken.
            self.callback
                .call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

impl Wake {
    pub fn new(callback: &Function<'_, (), ()>) -> napi::Result<Self> {
        let callback = callback
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .build()?;
        let call = Arc::new(Call {
            callback,
            pending: AtomicBool::new(false),
        });
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
