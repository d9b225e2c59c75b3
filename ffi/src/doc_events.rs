//! What happens to a document.

use std::ffi::c_char;

use distflow_core::crdt::watch::Pattern;
use distflow_core::interchange;

use crate::buf::distflow_buf;
use crate::convert;
use crate::doc::{offer, text_of, with};
use crate::opaque::distflow_doc;
use crate::status::distflow_status;

/// Begins or ends to keep events for `distflow_doc_events`; at first none are kept. When it ends,
/// those that were not asked for are gone. Since 0.1.0.
///
/// Ownership: none; `is_listening` is 1 or 0. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_doc_listen(doc: *mut distflow_doc, is_listening: u8) -> distflow_status {
    with(doc, |document| {
        convert::check_flags(&[("is_listening", is_listening)])?;
        document.set_listening(is_listening != 0);
        Ok(())
    })
}

/// Gives what has happened since this was last asked, as a JSON array of names and objects:
/// `[["change",{...}],...]`, the same in every language. At most the last 65,536 are kept; if more
/// happened, the first is `["lost",{"count":n}]`.
///
/// - `change`: a local write: `type` (`set` or `del`), `path`, `value`, `op`.
/// - `sync`: an operation of another replica was taken in: `op`.
/// - `watch`: a write touches a pattern: `id`, `path`, `local`, `op`. Without `op`, and with the path
///   of the whole document, after a merge or restore, and after `lost`: look again.
/// - `conflict`: `type` is `parent-tombstone`, `tombstone-wins`, `clock-drift`, `ignored`, `source-reused` or
///   `source-retired`.
/// - `gc`: something was forgotten: `type` (`log`, `pending` or `tombstones`), `removed`,
///   `currentSize`.
/// - `limit`: more is remembered than the option says: `type`, `size`, `limit`.
/// - `restore`: a snapshot was taken in: `merge`.
///
/// Later versions may have other names, which a program should ignore. Since 0.1.0.
///
/// Ownership: `*events_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `events_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_events(
    doc: *mut distflow_doc,
    events_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe {
        text_of(doc, "events_out", events_out, |doc| {
            Ok(interchange::document_events(doc))
        })
    }
}

/// Lets writes that touch a pattern be told by an event `watch` with a number; see
/// `distflow_doc_listen` and `distflow_doc_events`.
///
/// A pattern is text such as `users.*.name`: keys and indexes between dots, `*` for any one of
/// them, `**` for any number, empty for the whole document. One that begins with `[` is a JSON
/// array of the same, such as `["users","*","name"]`, in which keys may have dots. Since 0.1.0.
///
/// Ownership: `pattern` is borrowed during the call. `id_out` is the caller's; it receives the
/// number, 0 on failure.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, INVALID_JSON, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `pattern` must be NULL or a NUL-terminated text, `id_out` NULL or point to a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_watch(
    doc: *mut distflow_doc,
    pattern: *const c_char,
    id_out: *mut u64,
) -> distflow_status {
    // SAFETY: the caller's promises are this function's, here and below.
    unsafe { offer(id_out, 0) };
    with(doc, |document| {
        convert::check_out("id_out", id_out)?;
        // SAFETY: as above.
        let pattern = unsafe { convert::text("pattern", pattern) }?;
        let pattern = match pattern.starts_with('[') {
            true => Pattern::from_json(pattern)?,
            false => Pattern::parse(pattern)?,
        };
        // SAFETY: as above.
        unsafe { convert::set("id_out", id_out, document.watch(pattern)) }
    })
}

/// Ends a watch. Since 0.1.0.
///
/// Ownership: none. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT (there is none of this number), INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_doc_unwatch(doc: *mut distflow_doc, id: u64) -> distflow_status {
    with(doc, |document| match document.unwatch(id) {
        true => Ok(()),
        false => Err(convert::invalid(format!(
            "there is no watch of number {id}"
        ))),
    })
}
