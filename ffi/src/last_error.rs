//! The text of a thread's last error.

use std::cell::RefCell;
use std::ffi::c_char;

use distflow_core::Error;

use crate::status::{DISTFLOW_OK, distflow_status};

thread_local! {
    static LAST_ERROR: RefCell<Option<(distflow_status, String)>> = const { RefCell::new(None) };
}

/// Keeps a call's error, or that it had none, and gives its status.
pub(crate) fn keep(error: Option<Error>) -> distflow_status {
    let error = error.map(|error| {
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

/// Copies the text of this thread's last error, NUL-terminated and cut at a whole character if
/// `capacity` is too small. Calls that succeed clear it; functions named `_free` and this one
/// leave it alone.
///
/// Ownership: `buffer` is the caller's, `capacity` bytes long, or NULL to ask for the length
/// only; `len_out` receives the length of the whole text without its NUL and may be NULL.
/// Blocks: no. In a callback: allowed.
/// Statuses: that of the last error; OK when the last call on this thread succeeded.
///
/// # Safety
/// `buffer` must point to `capacity` writable bytes, `len_out` to a `size_t`, unless NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_last_error(
    buffer: *mut c_char,
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
                std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast(), len);
                buffer.add(len).write(0);
            }
        }
        status
    };
    LAST_ERROR.try_with(copy).unwrap_or(DISTFLOW_OK)
}
