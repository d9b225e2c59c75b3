//! The library's log, for hosts that are not written in Rust.

use std::ffi::c_void;
use std::time::Duration;

use distflow_core::log::{self, Level, LogHandler, Record};
use distflow_core::{Error, Result};
use parking_lot::Mutex;

use crate::block::Block;
use crate::bytes::distflow_bytes;
use crate::convert::invalid;
use crate::foreign::{Context, distflow_drop_fn};
use crate::guard::guard;
use crate::node_callbacks::no_callback;
use crate::status::distflow_status;

/// Nothing.
pub const DISTFLOW_LOG_OFF: i32 = 0;
/// Something failed that should not.
pub const DISTFLOW_LOG_ERROR: i32 = 1;
/// Something is lost, or goes on only with restrictions.
pub const DISTFLOW_LOG_WARN: i32 = 2;
/// What an operator wants to know: starts, ends, peers that come and go.
pub const DISTFLOW_LOG_INFO: i32 = 3;
/// What helps to find a fault.
pub const DISTFLOW_LOG_DEBUG: i32 = 4;
/// Everything.
pub const DISTFLOW_LOG_TRACE: i32 = 5;

/// A record of the library's log.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct distflow_log_record {
    /// One of `DISTFLOW_LOG_…`.
    pub level: i32,
    /// Zero; for later versions.
    pub reserved: u32,
    /// Unix milliseconds.
    pub timestamp_ms: u64,
    /// The part of the library it comes from, such as `distflow_core::node::shared`.
    pub target: distflow_bytes,
    /// What it says.
    pub message: distflow_bytes,
    /// Further facts, such as the node and its alias: a JSON object.
    pub fields: distflow_bytes,
}

/// Receives a record of the log. `record` is valid during the call; `context` is the one given
/// with the function.
pub type distflow_log_fn =
    Option<unsafe extern "C" fn(record: *const distflow_log_record, context: *mut c_void)>;

// Protects which hook is current; held only to exchange it.
static HOOK: Mutex<Option<LogHandler>> = Mutex::new(None);

/// Sets where the library's log goes, for the whole process: one callback, on a thread of its
/// own, one record at a time. A hook that was set before ends first, and its drop function runs.
/// 4,096 records wait at most; more are dropped. What distflow logs on the thread of the callback
/// is left out.
///
/// Ownership: `context` is handed to `callback` with every call, and to `drop` once: after the
/// last call, or before this function returns if it fails. `drop` may be NULL. With
/// `DISTFLOW_LOG_OFF`, `callback` may be NULL.
/// Blocks: until the callback of an earlier hook has returned. In a callback: allowed; in the log
/// callback itself it does not wait.
/// Statuses: OK, INVALID_ARGUMENT, ALREADY_RUNNING (the program has set up Rust logging of its
/// own), IO, FORKED, PANIC.
///
/// # Safety
/// `callback` and `drop` must be safe to call with `context` on another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_log_set(
    level: i32,
    callback: distflow_log_fn,
    context: *mut c_void,
    drop: distflow_drop_fn,
) -> distflow_status {
    let context = Context::new(context, drop);
    guard(move || {
        let level = match level {
            DISTFLOW_LOG_OFF => None,
            DISTFLOW_LOG_ERROR => Some(Level::Error),
            DISTFLOW_LOG_WARN => Some(Level::Warn),
            DISTFLOW_LOG_INFO => Some(Level::Info),
            DISTFLOW_LOG_DEBUG => Some(Level::Debug),
            DISTFLOW_LOG_TRACE => Some(Level::Trace),
            _ => {
                return Err(invalid(format!(
                    "level is {level}, but must be one of DISTFLOW_LOG_… (0 to 5)"
                )));
            }
        };
        let hook = match level {
            None => None,
            Some(level) => {
                let callback = callback.ok_or_else(no_callback)?;
                Some(log::on_record(level, move |record: &Record| {
                    lend(record, |record| {
                        // SAFETY: the caller promised that it may be called so.
                        unsafe { callback(record, context.pointer()) };
                    });
                })?)
            }
        };
        if let Some(earlier) = exchange(hook)? {
            earlier.end();
        }
        Ok(())
    })
}

fn exchange(hook: Option<LogHandler>) -> Result<Option<LogHandler>> {
    // A forked child may find it held by a thread that it does not have.
    let mut current = HOOK
        .try_lock_for(Duration::from_secs(5))
        .ok_or_else(Error::forked)?;
    Ok(std::mem::replace(&mut *current, hook))
}

fn lend(record: &Record, call: impl FnOnce(&distflow_log_record)) {
    let texts = [&record.target, &record.message, &record.fields];
    let bytes = texts.iter().map(|text| text.len()).sum();
    // Without memory for it, a record is lost.
    let Ok(mut block) = Block::new::<u8>(0, bytes, texts.len()) else {
        return;
    };
    let [target, message, fields]: [distflow_bytes; 3] =
        texts.map(|text| block.put(text.as_bytes()));
    call(&distflow_log_record {
        level: record.level as i32,
        reserved: 0,
        timestamp_ms: record.timestamp_ms,
        target,
        message,
        fields,
    });
}
