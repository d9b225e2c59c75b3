//! The one way into the library: panics are caught, errors kept for the caller's thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use distflow_core::{Error, ErrorKind, Result};

use crate::last_error;
use crate::status::distflow_status;

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
    last_error::keep(result.err())
}

/// Runs what returns nothing and leaves the last error alone, as `_free` does.
pub(crate) fn quietly(run: impl FnOnce()) {
    // What a panic leaves undone is lost memory at worst; the hook has reported it.
    let _ = catch_unwind(AssertUnwindSafe(run));
}
