//! What replicas of a document tell each other.

use std::ffi::c_char;
use std::sync::Arc;

use distflow_core::crdt::document::Received;
use distflow_core::crdt::op::Op;
use distflow_core::limits::CRDT_PIECE_BYTES_DEFAULT;
use distflow_core::{Error, ErrorKind, JsonCrdt, interchange};

use crate::buf::distflow_buf;
use crate::convert;
use crate::doc::{DocObject, offer, text_of, with};
use crate::handle;
use crate::opaque::distflow_doc;
use crate::status::distflow_status;

/// The operation had been taken in before, or waits already.
pub const DISTFLOW_DOC_DUPLICATE: i32 = 0;
/// The operation was taken in, and whatever had waited for it.
pub const DISTFLOW_DOC_APPLIED: i32 = 1;
/// The operation waits for others before it.
pub const DISTFLOW_DOC_PENDING: i32 = 2;

/// What became of the operations of a batch.
#[repr(C)]
#[derive(Debug)]
pub struct distflow_doc_received {
    /// Taken in.
    pub applied: u64,
    /// Had been taken in before, or waited already.
    pub duplicates: u64,
    /// Wait for others before them.
    pub pending: u64,
}

impl distflow_doc_received {
    const EMPTY: Self = Self {
        applied: 0,
        duplicates: 0,
        pending: 0,
    };
}

/// Takes in an operation of another replica, or keeps it until those before it have come. On
/// failure, nothing has changed. Since 0.1.0.
///
/// Ownership: `op`, JSON text, is borrowed during the call. `outcome_out` is the caller's and may be
/// NULL; it receives one of `DISTFLOW_DOC_DUPLICATE`, `DISTFLOW_DOC_APPLIED` and
/// `DISTFLOW_DOC_PENDING`.
/// Blocks: no, but for the journal's write to a file. In a callback: allowed.
/// Statuses: OK, INVALID_JSON, INVALID_MESSAGE (it is no operation), TOO_LARGE (it is more
/// than 4 MiB, or there are too many replicas), BUSY (too many wait), SOURCE_CONFLICT (another
/// operation of its source has its number: two histories are written as one), IO (it can't be kept),
/// INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `op` must be readable for its length, `outcome_out` NULL or point to an `int32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_receive(
    doc: *mut distflow_doc,
    op: *const c_char,
    op_len: usize,
    outcome_out: *mut i32,
) -> distflow_status {
    with(doc, |document| {
        // SAFETY: the caller's promises are this function's, here and below.
        let op = unsafe { convert::slice("op", op, op_len) }?;
        let outcome = match document.receive(Op::decode(op)?)? {
            Received::Duplicate => DISTFLOW_DOC_DUPLICATE,
            Received::Applied => DISTFLOW_DOC_APPLIED,
            Received::Pending => DISTFLOW_DOC_PENDING,
        };
        // SAFETY: as above.
        unsafe { offer(outcome_out, outcome) };
        Ok(())
    })
}

/// Takes in several operations: bytes of `distflow_doc_encode_since`, or the JSON array of
/// `distflow_doc_since`. On failure, operations before the one that failed may have been taken in, and
/// after SOURCE_CONFLICT all the others; taking the same in again is harmless. Since 0.1.0.
///
/// Ownership: `ops` is borrowed during the call. `received_out` is the caller's and may be NULL.
/// Blocks: no, but for the journal's writes to a file. In a callback: allowed.
/// Statuses: OK, INVALID_JSON, INVALID_MESSAGE (damaged bytes, or what is no operation), TOO_LARGE,
/// BUSY (too many wait), SOURCE_CONFLICT (as for `distflow_doc_receive`), IO (it can't be kept),
/// INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `ops` must be readable for its length, `received_out` NULL or point to a
/// `distflow_doc_received`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_receive_batch(
    doc: *mut distflow_doc,
    ops: *const c_char,
    ops_len: usize,
    received_out: *mut distflow_doc_received,
) -> distflow_status {
    // SAFETY: the caller's promises are this function's, here and below.
    unsafe { offer(received_out, distflow_doc_received::EMPTY) };
    with(doc, |document| {
        // SAFETY: as above.
        let ops = unsafe { convert::slice("ops", ops, ops_len) }?;
        let found = interchange::receive_all(document, ops)?;
        let received = distflow_doc_received {
            applied: found.applied as u64,
            duplicates: found.duplicates as u64,
            pending: found.pending as u64,
        };
        // SAFETY: as above.
        unsafe { offer(received_out, received) };
        if found.refused > 0 {
            return Err(Error::new(
                ErrorKind::SourceConflict,
                format!(
                    "{} operations have numbers of others: two histories are written as one source",
                    found.refused
                ),
            ));
        }
        Ok(())
    })
}

/// Gives the operations that somebody with a clock lacks, as a JSON array. Since 0.1.0.
///
/// Ownership: `clock`, a JSON object of `distflow_doc_clock`, is borrowed during the call; length 0
/// means `{}`, of somebody who has seen nothing. `*ops_out` is owned; release it with
/// `distflow_buf_free`. `is_complete_out` is the caller's and may be NULL; false means that the
/// oldest of them are forgotten, and that the peer needs a snapshot.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT (no clock; the text says why), INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `clock` must be readable for its length, `ops_out` NULL or point to a `distflow_buf`,
/// `is_complete_out` NULL or point to a `bool`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_since(
    doc: *const distflow_doc,
    clock: *const c_char,
    clock_len: usize,
    ops_out: *mut distflow_buf,
    is_complete_out: *mut bool,
) -> distflow_status {
    // SAFETY: the caller's promises are this function's, here and below.
    unsafe { offer(is_complete_out, false) };
    let since = |object: &Arc<DocObject>| {
        // SAFETY: as above.
        let clock = unsafe { convert::json("clock", clock, clock_len, "{}") }?;
        let difference = object.document.since(&interchange::clock(clock)?);
        let ops = distflow_buf::new(&interchange::operations(&difference))?;
        // SAFETY: as above.
        unsafe { offer(is_complete_out, difference.is_complete) };
        Ok(ops)
    };
    // SAFETY: as above.
    unsafe { handle::with_out(doc, "ops_out", ops_out, distflow_buf::EMPTY, since) }
}

/// Like `distflow_doc_since`, in bytes for `distflow_doc_receive_batch`, which take a fraction of the
/// text. Since 0.1.0.
///
/// Ownership: as for `distflow_doc_since`; `*bytes_out` is owned; release it with
/// `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// As for `distflow_doc_since`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_encode_since(
    doc: *const distflow_doc,
    clock: *const c_char,
    clock_len: usize,
    bytes_out: *mut distflow_buf,
    is_complete_out: *mut bool,
) -> distflow_status {
    // SAFETY: the caller's promises are this function's, here and below.
    unsafe { offer(is_complete_out, false) };
    let since = |object: &Arc<DocObject>| {
        // SAFETY: as above.
        let clock = unsafe { convert::json("clock", clock, clock_len, "{}") }?;
        let (bytes, is_complete) = object.document.encode_since(&interchange::clock(clock)?);
        let bytes = distflow_buf::of_bytes(&bytes)?;
        // SAFETY: as above.
        unsafe { offer(is_complete_out, is_complete) };
        Ok(bytes)
    };
    // SAFETY: as above.
    unsafe { handle::with_out(doc, "bytes_out", bytes_out, distflow_buf::EMPTY, since) }
}

/// Gives the whole document in bytes, for `distflow_doc_restore` and `distflow_doc_merge`. Since
/// 0.1.0.
///
/// Ownership: `*bytes_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `bytes_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_snapshot(
    doc: *const distflow_doc,
    bytes_out: *mut distflow_buf,
) -> distflow_status {
    let snapshot = |object: &Arc<DocObject>| distflow_buf::of_bytes(&object.document.snapshot());
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(doc, "bytes_out", bytes_out, distflow_buf::EMPTY, snapshot) }
}

/// Gives the same as JSON text, with the members of the original packages. Since 0.1.0.
///
/// Ownership: `*json_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `json_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_snapshot_json(
    doc: *const distflow_doc,
    json_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe { text_of(doc, "json_out", json_out, |doc| Ok(doc.snapshot_json())) }
}

/// Gives the whole document in pieces of text, a line feed after each, for `distflow_doc_merge_piece`:
/// for a peer that one message can't bring all of it. A piece is letters, digits, `+`, `/` and `=`, so
/// that it can stand in a JSON string as it is. Since 0.1.0.
///
/// Ownership: `*pieces_out` is owned; release it with `distflow_buf_free`. `piece_len_max` is the
/// longest that a piece may be, at least 1,024; 0 means 1 MiB.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, TOO_LARGE (the document is larger than 1 GiB), INVALID_HANDLE,
/// FORKED, PANIC.
///
/// # Safety
/// `pieces_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_snapshot_pieces(
    doc: *const distflow_doc,
    piece_len_max: usize,
    pieces_out: *mut distflow_buf,
) -> distflow_status {
    let pieces = |doc: &JsonCrdt| {
        let most = match piece_len_max {
            0 => CRDT_PIECE_BYTES_DEFAULT,
            most => most,
        };
        let mut text = doc.snapshot_pieces(most)?.join("\n");
        text.push('\n');
        Ok(text)
    };
    // SAFETY: the caller promises that it can be written.
    unsafe { text_of(doc, "pieces_out", pieces_out, pieces) }
}

/// Takes in a piece of `distflow_doc_snapshot_pieces`, in any order, once or more; with the last one
/// that is missing, merges the snapshot as `distflow_doc_merge` does. Pieces of at most four
/// snapshots are kept at a time. Since 0.1.0.
///
/// Ownership: `piece`, without a line feed, is borrowed during the call. `is_whole_out` is the
/// caller's and may be NULL; true means that the snapshot was merged.
/// Blocks: no, but for the journal's write to a file. In a callback: allowed.
/// Statuses: OK, INVALID_JSON, INVALID_MESSAGE (no piece, or pieces that do not make the snapshot),
/// TOO_LARGE, SOURCE_CONFLICT, IO (it can't be kept), INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `piece` must be readable for its length, `is_whole_out` NULL or point to a `bool`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_merge_piece(
    doc: *mut distflow_doc,
    piece: *const c_char,
    piece_len: usize,
    is_whole_out: *mut bool,
) -> distflow_status {
    // SAFETY: the caller's promises are this function's, here and below.
    unsafe { offer(is_whole_out, false) };
    with(doc, |document| {
        // SAFETY: as above.
        let piece = unsafe { convert::slice("piece", piece, piece_len) }?;
        // What is not UTF-8 is no base64, either.
        let is_whole = document.merge_piece(&String::from_utf8_lossy(piece))?;
        // SAFETY: as above.
        unsafe { offer(is_whole_out, is_whole) };
        Ok(())
    })
}

/// Replaces the document by a snapshot's, in bytes or JSON; what it had is gone. From then on it writes
/// as another source; see `distflow_doc_source`. On failure, nothing has changed. Since 0.1.0.
///
/// Ownership: `snapshot` is borrowed during the call.
/// Blocks: no, but for the journal's write to a file. In a callback: allowed.
/// Statuses: OK, INVALID_JSON, INVALID_MESSAGE (damaged bytes, or no snapshot), TOO_LARGE, IO (it
/// can't be kept), INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `snapshot` must be readable for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_restore(
    doc: *mut distflow_doc,
    snapshot: *const c_char,
    snapshot_len: usize,
) -> distflow_status {
    with(doc, |document| {
        // SAFETY: the caller's promise is this function's.
        document.restore(unsafe { convert::slice("snapshot", snapshot, snapshot_len) }?)
    })
}

/// Takes in what a snapshot has and this document has not, as if the operations had come. On
/// failure, nothing has changed. Since 0.1.0.
///
/// Ownership: `snapshot` is borrowed during the call.
/// Blocks: no, but for the journal's write to a file. In a callback: allowed.
/// Statuses: OK, INVALID_JSON, INVALID_MESSAGE (damaged bytes, or no snapshot), TOO_LARGE,
/// SOURCE_CONFLICT (it has another operation of a source and number), IO (it can't be kept),
/// INVALID_ARGUMENT (also for a snapshot of an original package that lacks operations
/// of this document), INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `snapshot` must be readable for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_merge(
    doc: *mut distflow_doc,
    snapshot: *const c_char,
    snapshot_len: usize,
) -> distflow_status {
    with(doc, |document| {
        // SAFETY: the caller's promise is this function's.
        document.merge(unsafe { convert::slice("snapshot", snapshot, snapshot_len) }?)
    })
}
