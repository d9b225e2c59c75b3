//! Writes to a document.

use std::ffi::c_char;

use distflow_core::crdt::json::Json;
use distflow_core::crdt::op::Op;
use distflow_core::interchange::Place;
use distflow_core::{JsonCrdt, Result};

use crate::buf::distflow_buf;
use crate::convert;
use crate::doc::{offer, with};
use crate::opaque::distflow_doc;
use crate::status::distflow_status;

/// Runs a write and offers its operation.
///
/// # Safety
/// `op_out` is NULL or writable.
unsafe fn write(
    doc: *mut distflow_doc,
    op_out: *mut distflow_buf,
    write: impl FnOnce(&JsonCrdt) -> Result<Op>,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written, here and below.
    unsafe { offer(op_out, distflow_buf::EMPTY) };
    with(doc, |document| {
        let op = write(document)?;
        if !op_out.is_null() {
            let mut text = Vec::with_capacity(256);
            op.encode_into(&mut text);
            // SAFETY: as above.
            unsafe { offer(op_out, distflow_buf::of_bytes(&text)?) };
        }
        Ok(())
    })
}

/// Sets the value at a path; see `distflow_doc_get` for paths. Missing objects on the way are made.
/// The operation is for `distflow_doc_receive` of the other replicas. On failure, nothing has
/// changed. Since 0.1.0.
///
/// Ownership: `path` and `value`, JSON text, are borrowed during the call. `*op_out`, JSON text, is
/// owned; release it with `distflow_buf_free`. `op_out` may be NULL.
/// Blocks: no, but for the journal's write to a file. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT (the path leads through something else than it says, or is beyond
/// the limits), INVALID_JSON, TOO_LARGE (more than 4 MiB), IO (it can't be kept), INVALID_HANDLE,
/// FORKED, PANIC.
///
/// # Safety
/// `path` must be NULL or a NUL-terminated text, `value` readable for its length, `op_out` NULL or
/// point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_set(
    doc: *mut distflow_doc,
    path: *const c_char,
    value: *const c_char,
    value_len: usize,
    op_out: *mut distflow_buf,
) -> distflow_status {
    let set = |document: &JsonCrdt| {
        // SAFETY: the caller's promises are this function's, here and below.
        let path = unsafe { convert::text("path", path) }?;
        // SAFETY: as above.
        let value = unsafe { convert::slice("value", value, value_len) }?;
        document.set(Place(path), Json::parse(value)?)
    };
    // SAFETY: as above.
    unsafe { write(doc, op_out, set) }
}

/// Takes away what is at a path. Where nothing is, nothing else changes; it is an operation all the
/// same, because others may write there. Since 0.1.0.
///
/// Ownership: `path` is borrowed during the call. `*op_out`, JSON text, is owned; release it with
/// `distflow_buf_free`. `op_out` may be NULL.
/// Blocks: no, but for the journal's write to a file. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, INVALID_JSON (of a path that is an array), TOO_LARGE, IO (it can't
/// be kept), INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `path` must be NULL or a NUL-terminated text, `op_out` NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_delete(
    doc: *mut distflow_doc,
    path: *const c_char,
    op_out: *mut distflow_buf,
) -> distflow_status {
    let delete = |document: &JsonCrdt| {
        // SAFETY: the caller's promises are this function's, here and below.
        let path = unsafe { convert::text("path", path) }?;
        document.delete(Place(path))
    };
    // SAFETY: as above.
    unsafe { write(doc, op_out, delete) }
}
