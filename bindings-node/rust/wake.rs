//! One wake-up of the JavaScript thread for any number of things that wait for it.

use std::sync::atomic::{AtomicBool, Ordering};

use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};

// Weak: an idle node does not keep the process alive.
type Callback = ThreadsafeFunction<(), (), (), Status, false, true, 0>;

/// Calls a JavaScript function that takes everything that waits.
pub struct Wake {
    callback: Callback,
    /// A call is under way that has not begun to take yet.
    pending: AtomicBool,
}

impl Wake {
    pub fn new(callback: &Function<'_, (), ()>) -> napi::Result<Self> {
        let callback = callback
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .build()?;
        Ok(Self {
            callback,
            pending: AtomicBool::new(false),
        })
    }

    /// Wakes the JavaScript thread, unless it is being woken already.
    pub fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // Fails when the environment is ending; then nobody is there to be woken.
            self.callback
                .call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// To be called before taking: what comes from here on needs another wake-up.
    pub fn begin(&self) {
        self.pending.store(false, Ordering::Release);
    }
}
