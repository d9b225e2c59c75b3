//! The one way into the library: panics are caught, errors kept for the caller's thread.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use distflow_core::{Error, ErrorKind, Result};

use crate::status::{DISTFLOW_OK, distflow_status};

thread_local! {
    static LAST_ERROR: RefCell<Option<(distflow_status, String)>> = const { RefCell::new(None) };
}

/// Runs the body of an exported function and returns its status.
pub(crate) fn guard(run: impl FnOnce() -> Result<()>) -> distflow_status {
    finish(caught(run))
}

/// Runs a body; a panic becomes an error.
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(Error::new(
            ErrorKind::Panic,
            format!("distflow panicked, which is a defect in it: {text}"),
        ))
    })
}

/// Keeps the error for `distflow_last_error`, and gives the status.
pub(crate) fn finish(result: Result<()>) -> distflow_status {
    let error = result.err().map(|error| {
        let mut text = error.message().to_owned();
        let mut cause = error.cause();
        while let Some(next) = cause {
            if !text.contains(next.message()) {
                text = format!("{text}: {}", next.message());
            }
            cause = next.cause();
        }
        (error.kind().number(), text)
    });
    let status = error.as_ref().map_or(DISTFLOW_OK, |(status, _)| *status);
    // A thread that is ending has no place for it any more.
    let _ = LAST_ERROR.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = error;
        }
    });
    status
}

/// Runs what returns nothing and leaves the last error alone, as `_free` does.
pub(crate) fn quietly(run: impl FnOnce()) {
    // What a panic leaves undone is lost memory at worst; the hook has reported it.
    let _ = catch_unwind(AssertUnwindSafe(run));
}

/// See `distflow_last_error`.
///
/// # Safety
/// `buffer` must point to `capacity` writable bytes, `len_out` to a `size_t`, unless NULL.
pub(crate) unsafe fn copy_last_error(
    buffer: *mut u8,
    capacity: usize,
    len_out: *mut usize,
) -> distflow_status {
    let copy = |last: &RefCell<Option<(distflow_status, String)>>| {
        let last = last.borrow();
        let (status, text) = last
            .as_ref()
            .map_or((DISTFLOW_OK, ""), |(status, text)| (*status, text));
        if !len_out.is_null() {
            // SAFETY: the caller promises that it points to a `size_t`.
            unsafe { len_out.write_unaligned(text.len()) };
        }
        if !buffer.is_null() && capacity > 0 {
            let mut len = text.len().min(capacity - 1);
            while !text.is_char_boundary(len) {
                len -= 1;
            }
            // SAFETY: len + 1 <= capacity, and the caller promises that many writable bytes.
            unsafe {
                std::ptr::copy_nonoverlapping(text.as_ptr(), buffer, len);
                buffer.add(len).write(0);
            }
        }
        status
    };
    LAST_ERROR.try_with(copy).unwrap_or(DISTFLOW_OK)
}
