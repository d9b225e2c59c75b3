//! A caller's context: a pointer that is handed back with every callback, and its drop.

use std::ffi::c_void;

/// Ends a context. It runs exactly once: after the last callback that gets the context, or
/// before the registering call returns when that fails. NULL when there is nothing to end.
pub type distflow_drop_fn = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// A context that ends itself. Made first thing by every function that takes one.
pub(crate) struct Context {
    pointer: *mut c_void,
    drop: distflow_drop_fn,
}

// SAFETY: distflow never follows the pointer. That the callback and the drop function may use
// it on the callback thread, or whichever thread comes last, is the caller's promise.
unsafe impl Send for Context {}
// SAFETY: as above; only the callback thread calls, one call at a time.
unsafe impl Sync for Context {}

impl Context {
    pub(crate) fn new(pointer: *mut c_void, drop: distflow_drop_fn) -> Self {
        Self { pointer, drop }
    }

    pub(crate) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(drop) = self.drop.take() {
            // SAFETY: the caller promised that the function may be called with this pointer.
            unsafe { drop(self.pointer) };
        }
    }
}
