//! A shared document: opened, released, and what all its functions share.

use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use distflow_core::{JsonCrdt, Result, interchange};

use crate::buf::distflow_buf;
use crate::convert;
use crate::guard::{guard, quietly};
use crate::handle::{self, Object};
use crate::opaque::distflow_doc;
use crate::status::distflow_status;

/// What a `distflow_doc *` stands for.
pub(crate) struct DocObject {
    pub(crate) document: JsonCrdt,
    broken: AtomicBool,
}

impl Object for DocObject {
    type Public = distflow_doc;
    const TYPE: (usize, &'static str) = (4, "distflow_doc");

    fn broken(&self) -> &AtomicBool {
        &self.broken
    }
}

/// Runs a call on a document.
pub(crate) fn with(
    doc: *const distflow_doc,
    run: impl FnOnce(&JsonCrdt) -> Result<()>,
) -> distflow_status {
    handle::with::<DocObject>(doc, |object| run(&object.document))
}

/// Runs a call that gives text.
///
/// # Safety
/// `out` is NULL or writable.
pub(crate) unsafe fn text_of(
    doc: *const distflow_doc,
    what: &str,
    out: *mut distflow_buf,
    run: impl FnOnce(&JsonCrdt) -> Result<String>,
) -> distflow_status {
    let run = |object: &Arc<DocObject>| distflow_buf::new(&run(&object.document)?);
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(doc, what, out, distflow_buf::EMPTY, run) }
}

/// Writes to an out parameter that nobody has to give.
///
/// # Safety
/// The pointer is NULL or writable as a `T`.
pub(crate) unsafe fn offer<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: not NULL, and the caller promises that it is writable.
        unsafe { out.write_unaligned(value) };
    }
}

/// Opens a replica of a shared document.
///
/// `replica` is the replica's name (1 to 240 bytes), which is shown and may be the same in every life:
/// operations are counted under a source of their own for each life, or for each directory; see
/// `distflow_doc_source`. All replicas have the same `initial` value: JSON text; length 0 means
/// `{}`. `options` is a JSON object, length 0 means `{}`. Its members, which all may be left out:
///
/// - `"directory"`: a path. The document is kept there, and is as it was when it was last open;
///   `initial` counts the first time only. When a write has returned, the end of this process does
///   not lose it; after `distflow_doc_flush`, neither does the end of the machine. Default: in
///   memory only.
/// - `"salvage"`: true opens the directory also when files in it are damaged, with all that is
///   whole. Where something was lost, the document writes under a new source, and what others have
///   comes back with the next exchange; copies of the files stay there, with `damaged-` before
///   their names. Default false: damage is an error.
/// - `"members"`: an array of the names of all replicas; see `distflow_doc_set_members`. Default:
///   not known.
/// - `"maxLogSize"`: operations kept for peers; at twice as many, the oldest go. Default 1000.
/// - `"maxPendingSize"`: operations that may wait for others before them. Default 10000.
/// - `"pendingTimeoutMs"`: milliseconds that they wait. Default 60000.
/// - `"maxLwwSize"`: writes remembered, above which an event says so. Default 100000.
/// - `"tombstoneGracePeriodMs"`: age in milliseconds at which a delete that all members have seen
///   may be forgotten. Default 3600000.
/// - `"maxDriftMs"`: milliseconds by which a stamp may be ahead of this host's clock without an
///   event. Default 300000.
/// - `"enableAutoGc"`: trims and forgets by itself. Default true.
/// - `"source"`: the source to write as at first, 1 to 255 bytes, for a host that makes sure by
///   itself that nobody else ever writes as the same. Default: one made from the name.
///
/// Nothing is sent anywhere by a document: operations come out of `distflow_doc_set`,
/// `distflow_doc_delete` and `distflow_doc_since`, and go into `distflow_doc_receive`. Since 0.1.0.
///
/// Ownership: everything given is borrowed during the call. `*doc_out` is owned; release it with
/// `distflow_doc_free`. It is NULL on failure.
/// Blocks: in memory no; with a directory, while its files are read. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT (the name, or an option, which the text names), INVALID_JSON
/// (`initial`), ALREADY_RUNNING (the directory is open, here or in another process), IO,
/// INVALID_MESSAGE (a file was damaged), TOO_LARGE, BUSY, PANIC.
///
/// # Safety
/// `replica` must be NULL or a NUL-terminated text, `initial` and `options` readable for their
/// lengths, `doc_out` NULL or point to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_open(
    replica: *const c_char,
    initial: *const c_char,
    initial_len: usize,
    options: *const c_char,
    options_len: usize,
    doc_out: *mut *mut distflow_doc,
) -> distflow_status {
    guard(|| {
        // SAFETY: the caller's promises are this function's, here and below.
        unsafe { convert::set("doc_out", doc_out, std::ptr::null_mut()) }?;
        // SAFETY: as above.
        let replica = unsafe { convert::text("replica", replica) }?;
        // SAFETY: as above.
        let initial = unsafe { convert::json("initial", initial, initial_len, "{}") }?;
        // SAFETY: as above.
        let options = unsafe { convert::json("options", options, options_len, "{}") }?;
        let object = Arc::new(DocObject {
            document: interchange::document(replica, initial, options)?,
            broken: AtomicBool::new(false),
        });
        // SAFETY: as above.
        unsafe { convert::set("doc_out", doc_out, handle::insert(object)?) }
    })
}

/// Releases a document. The handle is stale from the start of this call on; a call that another
/// thread is in goes on to its end. After the last of them, the directory can be opened again.
/// What was written stays there, also without this call. Since 0.1.0.
///
/// Ownership: takes `doc`, which may be NULL, stale or foreign: then nothing happens.
/// Blocks: while a snapshot is being written to a directory. In a callback: allowed.
/// Statuses: none.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_doc_free(doc: *mut distflow_doc) {
    quietly(|| drop(handle::remove::<DocObject>(doc)));
}
