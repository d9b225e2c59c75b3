//! What a document says.

use std::ffi::c_char;
use std::sync::Arc;

use distflow_core::interchange::{self, Place};

use crate::buf::distflow_buf;
use crate::convert;
use crate::doc::{DocObject, text_of};
use crate::handle;
use crate::opaque::distflow_doc;
use crate::status::distflow_status;

/// Gives the name that the document was opened with. Since 0.1.0.
///
/// Ownership: `*replica_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `replica_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_replica(
    doc: *const distflow_doc,
    replica_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe { text_of(doc, "replica_out", replica_out, |doc| Ok(doc.replica())) }
}

/// Gives the source as which the document writes: its key in clocks, and `src` of its operations. It
/// is made from the replica's name at the first write, and belongs to this life, or to the directory;
/// before, it is the name. After the document went back to a snapshot, it is another one. Since 0.1.0.
///
/// Ownership: `*source_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `source_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_source(
    doc: *const distflow_doc,
    source_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe {
        text_of(doc, "source_out", source_out, |doc| {
            Ok(doc.with(|document, _| document.source().to_owned()))
        })
    }
}

/// Gives the value at a path, as JSON text; length 0 when nothing is there.
///
/// A path is a JSON pointer (RFC 6901) such as `/users/alice/age`, empty for the whole document; or
/// a JSON array such as `["users","alice",0]`; or one key, which must not look like more than that
/// (`users.alice` is refused). In a pointer, digits are an index where an array is, and otherwise a
/// key. Since 0.1.0.
///
/// Ownership: `path` is borrowed during the call. `*json_out` is owned; release it with
/// `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, INVALID_JSON (of the array), INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `path` must be NULL or a NUL-terminated text, `json_out` NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_get(
    doc: *const distflow_doc,
    path: *const c_char,
    json_out: *mut distflow_buf,
) -> distflow_status {
    let get = |object: &Arc<DocObject>| {
        // SAFETY: the caller's promises are this function's, here and below.
        let path = unsafe { convert::text("path", path) }?;
        let found = object.document.get(Place(path))?;
        distflow_buf::new(found.as_ref().map_or("", |json| json.as_str()))
    };
    // SAFETY: as above.
    unsafe { handle::with_out(doc, "json_out", json_out, distflow_buf::EMPTY, get) }
}

/// Gives the whole document, as JSON text. Since 0.1.0.
///
/// Ownership: `*json_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `json_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_json(
    doc: *const distflow_doc,
    json_out: *mut distflow_buf,
) -> distflow_status {
    let json = |object: &Arc<DocObject>| distflow_buf::new(object.document.json().as_str());
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(doc, "json_out", json_out, distflow_buf::EMPTY, json) }
}

/// Gives the canonical text: JSON without blanks and with sorted keys, the same on every replica
/// that has seen the same, in every language. Since 0.1.0.
///
/// Ownership: `*text_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `text_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_canonical(
    doc: *const distflow_doc,
    text_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe { text_of(doc, "text_out", text_out, |doc| Ok(doc.canonical())) }
}

/// Gives the SHA-256 of the canonical text, as 64 lower-case hexadecimal digits. Since 0.1.0.
///
/// Ownership: `*hash_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `hash_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_hash(
    doc: *const distflow_doc,
    hash_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe { text_of(doc, "hash_out", hash_out, |doc| Ok(doc.hash())) }
}

/// Gives the clock: a JSON object that says how many operations of each replica were taken in,
/// such as `{"alice":3,"bob":1}`. A peer takes it to `distflow_doc_since`. Since 0.1.0.
///
/// Ownership: `*clock_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `clock_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_clock(
    doc: *const distflow_doc,
    clock_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe {
        text_of(doc, "clock_out", clock_out, |doc| {
            Ok(interchange::clock_text(&doc.clock()))
        })
    }
}
