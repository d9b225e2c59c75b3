//! The list of the sessions on a broker.

use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use distflow_core::sessions::SessionList;
use distflow_core::{Error, ErrorKind, interchange};

use crate::buf::distflow_buf;
use crate::convert;
use crate::guard::{guard, quietly};
use crate::handle::{self, Object};
use crate::opaque::distflow_session_list;
use crate::session::sessions_of;
use crate::status::distflow_status;

/// What a `distflow_session_list *` stands for.
struct ListObject {
    list: SessionList,
    broken: AtomicBool,
}

impl Object for ListObject {
    type Public = distflow_session_list;
    const TYPE: (usize, &'static str) = (6, "distflow_session_list");

    fn broken(&self) -> &AtomicBool {
        &self.broken
    }
}

/// Opens the list of the sessions on a broker; it keeps itself up to date until it is freed.
/// `broker` is as for `distflow_session_create`. Sessions come in within moments after that: see
/// `distflow_session_list_wait`. Since 0.1.0.
///
/// Ownership: everything given is borrowed during the call. `*list_out` is owned; release it with
/// `distflow_session_list_free`. It is NULL on failure.
/// Blocks: up to `connectTimeoutMs`. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, REFUSED (by the broker), TIMEOUT (the broker is not reached),
/// BUSY, IO, PANIC.
///
/// # Safety
/// `broker` must be readable for its length, `list_out` NULL or point to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_list_open(
    broker: *const c_char,
    broker_len: usize,
    list_out: *mut *mut distflow_session_list,
) -> distflow_status {
    guard(|| {
        // SAFETY: the caller's promises are this function's, here and below.
        unsafe { convert::set("list_out", list_out, std::ptr::null_mut()) }?;
        // SAFETY: as above.
        let sessions = unsafe { sessions_of(broker, broker_len) }?;
        let object = Arc::new(ListObject {
            list: sessions.wait(sessions.list())?,
            broken: AtomicBool::new(false),
        });
        // SAFETY: as above.
        unsafe { convert::set("list_out", list_out, handle::insert(object)?) }
    })
}

/// Gives the sessions that are alive, the newest first, as a JSON object:
///
/// - `version`: the number of this state of the list; see `distflow_session_list_wait`.
/// - `is_connected`: whether there is a connection; without, the list may be old.
/// - `completeness`: `unknown` while what the broker has kept is under way; `announcements` while the
///   list waits for sessions to announce themselves, within 6 s, because the broker brings nothing
///   that it has kept; `complete`; or `cut_off` when the broker has not brought all, or there are more
///   than the list has room for.
/// - `sessions`: each with `session_id`, `model_name`, `state` (`open`, `starting`, `in_progress`
///   or `closed`), `members` (ids), `players_min`, `players_max`, `creator`, `players` (registered),
///   `is_joinable`.
/// - `rows`: what a user interface shows of those that can be joined and of the own one, ready to
///   be drawn: `session_id`, `text`, `tooltip`, `is_checked`, `is_full`, `background`,
///   `foreground`, `is_italic`. Without any, show `No sessions available`.
///
/// `own` is the id of the session that this program is in, and NULL if there is none. Since 0.1.0.
///
/// Ownership: `own` is borrowed during the call. `*json_out` is owned; release it with
/// `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `own` must be NULL or a NUL-terminated text, `json_out` NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_list_sessions(
    list: *const distflow_session_list,
    own: *const c_char,
    json_out: *mut distflow_buf,
) -> distflow_status {
    let sessions = |object: &Arc<ListObject>| {
        // SAFETY: the text is the caller's promise.
        let own = unsafe { convert::optional_text("own", own) }?;
        let (version, listed) = object.list.sessions();
        distflow_buf::new(&format!(
            "{{\"version\":{version},\"is_connected\":{},\"completeness\":\"{}\",\"sessions\":{},\"rows\":{}}}",
            object.list.is_connected(),
            object.list.completeness().name(),
            interchange::session_listings(&listed),
            interchange::session_rows(&listed, own)
        ))
    };
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(list, "json_out", json_out, distflow_buf::EMPTY, sessions) }
}

/// Waits until the list is in another state than that of a number. Begin with 0, which no state
/// with a session in it has. Since 0.1.0.
///
/// Ownership: none. `version_out`, which receives the number of the new state, is the caller's and
/// may be NULL.
/// Blocks: up to `timeout_ms`. In a callback: allowed.
/// Statuses: OK, TIMEOUT (it is as it was), CLOSED (the list is being freed, or the broker does not
/// take it back), INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `version_out` must be NULL or point to a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_list_wait(
    list: *mut distflow_session_list,
    version: u64,
    timeout_ms: i64,
    version_out: *mut u64,
) -> distflow_status {
    handle::with::<ListObject>(list, |object| {
        let changed = object.list.changed(version);
        let changed = object.list.wait(changed, convert::timeout(timeout_ms));
        let (version, _) = changed
            .ok_or_else(Error::request_timeout)?
            .ok_or_else(|| Error::new(ErrorKind::Closed, "the list is closed"))?;
        // SAFETY: the caller promises that it can be written.
        unsafe { crate::doc::offer(version_out, version) };
        Ok(())
    })
}

/// Releases a list, and disconnects. The handle is stale from the start of this call on; a wait of
/// another thread ends with CLOSED. Since 0.1.0.
///
/// Ownership: takes `list`, which may be NULL, stale or foreign: then nothing happens.
/// Blocks: no. In a callback: allowed. Statuses: none.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_session_list_free(list: *mut distflow_session_list) {
    quietly(|| {
        if let Some(object) = handle::remove::<ListObject>(list) {
            object.list.close();
        }
    });
}
