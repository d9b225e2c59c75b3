//! A document under the magnifying glass.

use std::ffi::c_char;

use distflow_core::crdt::document::{Document, diff_snapshots};
use distflow_core::crdt::op::Op;
use distflow_core::interchange;

use crate::buf::distflow_buf;
use crate::convert;
use crate::doc::{offer, text_of};
use crate::guard::guard;
use crate::opaque::distflow_doc;
use crate::status::distflow_status;

/// Gives what was counted, as a JSON object of numbers. Since 0.1.0.
///
/// Ownership: `*json_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `json_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_metrics(
    doc: *const distflow_doc,
    json_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe { text_of(doc, "json_out", json_out, |doc| Ok(doc.metrics().to_json())) }
}

/// Gives the same in the text format of Prometheus, labelled with the replica's name. Since 0.1.0.
///
/// Ownership: `*text_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `text_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_metrics_prometheus(
    doc: *const distflow_doc,
    text_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe {
        text_of(doc, "text_out", text_out, |doc| {
            Ok(doc.metrics().to_prometheus(&doc.replica()))
        })
    }
}

/// Gives the state of the document, as a JSON object: what it knows of the replicas, samples of its
/// log and of what waits. Since 0.1.0.
///
/// Ownership: `options`, a JSON object of `"logSampleSize"`, `"pendingSampleSize"` (numbers) and
/// `"includeCausalGraph"` (true or false), which all may be left out, is borrowed during the call;
/// length 0 means `{}`. `*json_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `options` must be readable for its length, `json_out` NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_inspect(
    doc: *const distflow_doc,
    options: *const c_char,
    options_len: usize,
    json_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller's promises are this function's, here and below.
    unsafe {
        text_of(doc, "json_out", json_out, |doc| {
            let options = convert::json("options", options, options_len, "{}")?;
            interchange::inspect(doc, options)
        })
    }
}

/// Gives which operation of the log came after which, as a JSON array. Since 0.1.0.
///
/// Ownership: `*json_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `json_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_causal_graph(
    doc: *const distflow_doc,
    json_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe {
        text_of(doc, "json_out", json_out, |doc| {
            Ok(doc.with(|document, _| document.causal_graph()))
        })
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Gives operations of the log, as a JSON array: from the place `from`, 0 for the oldest that is
/// kept, up to and without the place `to`; what is beyond the end is left out. Since 0.1.0.
///
/// Ownership: `*ops_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `ops_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_logged(
    doc: *const distflow_doc,
    from: u64,
    to: u64,
    ops_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe {
        text_of(doc, "ops_out", ops_out, |doc| {
            let ops = doc.with(|document, _| document.logged(place(from), place(to)));
            Ok(interchange::array(ops.iter().map(Op::encode)))
        })
    }
}

/// Gives the document that operations of the log make by themselves, as JSON text; see
/// `distflow_doc_logged` for which. The initial value and what was forgotten are not in it.
/// Since 0.1.0.
///
/// Ownership: `*json_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `json_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_replay(
    doc: *const distflow_doc,
    from: u64,
    to: u64,
    json_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe {
        text_of(doc, "json_out", json_out, |doc| {
            let ops = doc.with(|document, _| document.logged(place(from), place(to)));
            Ok(Document::replay(&ops).as_str().to_owned())
        })
    }
}

/// Gives what two snapshots of `distflow_doc_snapshot_json` differ in, as a JSON object. Since
/// 0.1.0.
///
/// Ownership: `before` and `after` are borrowed during the call. `*json_out` is owned; release it
/// with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_JSON, INVALID_MESSAGE (no snapshot), INVALID_ARGUMENT, PANIC.
///
/// # Safety
/// `before` and `after` must be readable for their lengths, `json_out` NULL or point to a
/// `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_diff_snapshots(
    before: *const c_char,
    before_len: usize,
    after: *const c_char,
    after_len: usize,
    json_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller's promises are this function's, here and below.
    unsafe { offer(json_out, distflow_buf::EMPTY) };
    guard(|| {
        convert::check_out("json_out", json_out)?;
        // SAFETY: as above.
        let before = unsafe { convert::json("before", before, before_len, "") }?;
        // SAFETY: as above.
        let after = unsafe { convert::json("after", after, after_len, "") }?;
        let found = distflow_buf::new(&diff_snapshots(before, after)?)?;
        // SAFETY: as above.
        unsafe { convert::set("json_out", json_out, found) }
    })
}
