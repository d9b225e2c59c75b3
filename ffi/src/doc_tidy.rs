//! What a document forgets.

use std::ffi::c_char;

use crate::convert;
use crate::doc::with;
use crate::opaque::distflow_doc;
use crate::status::distflow_status;

/// Tells who takes part, so that deletes which all have seen can be forgotten, and lives that
/// have ended counted no longer. Since 0.1.0.
///
/// Ownership: `members`, a JSON array of the names of all replicas, is borrowed during the call;
/// length 0 means that they are not known.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `members` must be readable for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_doc_set_members(
    doc: *mut distflow_doc,
    members: *const c_char,
    members_len: usize,
) -> distflow_status {
    with(doc, |document| {
        // SAFETY: the caller's promise is this function's.
        let text = unsafe { convert::json("members", members, members_len, "null") }?;
        let members: Option<Vec<String>> = serde_json::from_str(text).map_err(|error| {
            convert::invalid(format!("members must be an array of names: {error}"))
        })?;
        let members: Option<Vec<&str>> = members
            .as_ref()
            .map(|names| names.iter().map(String::as_str).collect());
        document.set_members(members.as_deref());
        Ok(())
    })
}

/// Takes in those waiting operations whose turn has come. This happens by itself. Since 0.1.0.
///
/// Ownership: none. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_doc_drain_pending(doc: *mut distflow_doc) -> distflow_status {
    with(doc, |document| {
        document.with(|document, now_ms| document.drain_pending(now_ms));
        Ok(())
    })
}

/// Gives up operations that have waited longer than `pendingTimeoutMs` for others. They can be
/// received again. Since 0.1.0.
///
/// Ownership: none. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_doc_clean_pending(doc: *mut distflow_doc) -> distflow_status {
    with(doc, |document| {
        document.with(|document, now_ms| document.expire_pending(now_ms));
        Ok(())
    })
}

/// Forgets the oldest operations of the log until `keep` are left; negative: as many as the option
/// `maxLogSize`. A peer that lacks one of them needs a snapshot. Since 0.1.0.
///
/// Ownership: none. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_doc_gc_log(doc: *mut distflow_doc, keep: i64) -> distflow_status {
    with(doc, |document| {
        document.with(|document, _| {
            let by_default = document.options().log_ops_max;
            document.trim_log(usize::try_from(keep).unwrap_or(by_default));
        });
        Ok(())
    })
}

/// Forgets deletes that are older than `tombstoneGracePeriodMs` and that every member has seen. It
/// forgets none while the members are not known. Since 0.1.0.
///
/// Ownership: none. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_doc_gc_tombstones(doc: *mut distflow_doc) -> distflow_status {
    with(doc, |document| {
        document.with(|document, now_ms| document.drop_tombstones(now_ms));
        Ok(())
    })
}
