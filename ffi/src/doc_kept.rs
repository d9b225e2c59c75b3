//! A document and the disk.

use distflow_core::JsonCrdt;

use crate::doc::with;
use crate::opaque::distflow_doc;
use crate::status::distflow_status;

/// When this has returned OK, the end of the machine does not lose what was written before. Without
/// a directory it does nothing. Since 0.1.0.
///
/// Ownership: none.
/// Blocks: until the disk has it; other threads can use the document meanwhile. In a callback:
/// allowed.
/// Statuses: OK, IO, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_doc_flush(doc: *mut distflow_doc) -> distflow_status {
    with(doc, JsonCrdt::flush)
}

/// Replaces the journal by a snapshot. This also happens by itself, without anybody waiting.
/// Without a directory it does nothing. Since 0.1.0.
///
/// Ownership: none.
/// Blocks: until the disk has it; other threads can use the document meanwhile. In a callback:
/// allowed.
/// Statuses: OK, IO, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_doc_checkpoint(doc: *mut distflow_doc) -> distflow_status {
    with(doc, JsonCrdt::checkpoint)
}
