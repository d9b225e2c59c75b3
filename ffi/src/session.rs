//! Game sessions: created, joined, looked at, left.

use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use distflow_core::sessions::{Session, Sessions};
use distflow_core::{Result, interchange};

use crate::buf::distflow_buf;
use crate::convert;
use crate::guard::{guard, quietly};
use crate::handle::{self, Closable, Object};
use crate::opaque::distflow_session;
use crate::queue::Descriptor;
use crate::status::distflow_status;

/// What a `distflow_session *` stands for.
pub(crate) struct SessionObject {
    pub(crate) session: Session,
    broken: AtomicBool,
    closed: AtomicBool,
    pub(crate) descriptor: Descriptor,
}

impl Object for SessionObject {
    type Public = distflow_session;
    const TYPE: (usize, &'static str) = (5, "distflow_session");

    fn broken(&self) -> &AtomicBool {
        &self.broken
    }
}

impl Closable for SessionObject {
    fn closed(&self) -> &AtomicBool {
        &self.closed
    }

    fn is_callback_thread(&self) -> bool {
        self.session.is_callback_thread()
    }

    fn stop_callbacks(&self) {
        self.session.stop_callbacks();
    }

    fn end(&self, limit: Duration) -> Result<()> {
        self.session.leave_within(limit)
    }
}

/// The sessions of a broker, from its options as C gives them.
///
/// # Safety
/// The pointer is readable for the length, unless it is NULL or the length is 0.
pub(crate) unsafe fn sessions_of(broker: *const c_char, broker_len: usize) -> Result<Sessions> {
    // SAFETY: the caller's promise is this function's.
    let broker = unsafe { convert::json("broker", broker, broker_len, "{}") }?;
    Sessions::new(interchange::broker_options(broker)?)
}

/// Opens a session by what is done with the sessions of a broker.
///
/// # Safety
/// The broker's options are readable for their length, and the out parameter is NULL or writable.
unsafe fn open<F: Future<Output = Result<Session>>>(
    broker: *const c_char,
    broker_len: usize,
    session_out: *mut *mut distflow_session,
    begin: impl FnOnce(Sessions) -> Result<F>,
) -> distflow_status {
    guard(|| {
        // SAFETY: the caller's promises are this function's, here and below.
        unsafe { convert::set("session_out", session_out, std::ptr::null_mut()) }?;
        // SAFETY: as above.
        let sessions = unsafe { sessions_of(broker, broker_len) }?;
        let session = sessions.wait(begin(sessions.clone())?)?;
        let object = Arc::new(SessionObject {
            session,
            broken: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            descriptor: Descriptor::default(),
        });
        // SAFETY: as above.
        unsafe { convert::set("session_out", session_out, handle::insert(object)?) }
    })
}

/// Opens a session that there is.
///
/// # Safety
/// As for [`open`]; the id is NULL or a NUL-terminated text.
unsafe fn enter<F: Future<Output = Result<Session>>>(
    broker: *const c_char,
    broker_len: usize,
    session_id: *const c_char,
    session_out: *mut *mut distflow_session,
    begin: impl FnOnce(Sessions, String) -> F,
) -> distflow_status {
    // SAFETY: the caller's promises are this function's, here and below.
    unsafe {
        open(broker, broker_len, session_out, |sessions| {
            let id = convert::text("session_id", session_id)?;
            Ok(begin(sessions, id.to_owned()))
        })
    }
}

/// Creates a session on an MQTT broker. When this returns OK, others find it, and this instance is
/// its first member.
///
/// `broker` says where: a JSON object, length 0 means `{}`. Its members, which all may be left out:
///
/// - `"url"`: `mqtt://`, `mqtts://` (TLS), `ws://` or `wss://`, host and port. Default
///   `mqtt://localhost`.
/// - `"mqttVersion"`: `"auto"`, the default: 5, or 3.1.1 where the broker does not speak it; `"3.1.1"`
///   or `"5"`.
/// - `"username"`, `"password"`. Default: none.
/// - `"caFile"`: a PEM file of who is trusted for TLS. Default: whom the system trusts.
/// - `"certFile"`, `"keyFile"`: PEM files by which this client is known. Default: none.
/// - `"keepAliveS"`: seconds after which the broker hears from this client. Default 10.
/// - `"connectTimeoutMs"`: milliseconds to reach the broker. Default 10000.
///
/// `session_id` is the session's id, or NULL for a new one. `options` is a JSON object, length 0
/// means `{}`, with:
///
/// - `"modelName"`: the name of the game. Default `Unknown`.
/// - `"playersMin"`, `"playersMax"`: how many instances start a game. Defaults 1 and 4.
/// - `"seed"`: of the game's random numbers, 1 to 1000000. Default: drawn.
/// - `"handOver"`: whether a member continues the session when the creator is lost. Default false.
/// - `"autoStartS"`: seconds of the countdown that starts the game by itself once all are there.
///   Default: none.
///
/// Since 0.1.0.
///
/// Ownership: everything given is borrowed during the call. `*session_out` is owned; release it
/// with `distflow_session_free`. It is NULL on failure.
/// Blocks: up to `connectTimeoutMs`, and a few seconds when the id is in use; never more than 20 s
/// beyond. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT (the text names the option), REFUSED (by the broker; or somebody
/// has a session of this id), TIMEOUT (the broker is not reached, or does not do what it says),
/// BUSY, IO, PANIC.
///
/// # Safety
/// `broker` and `options` must be readable for their lengths, `session_id` NULL or a
/// NUL-terminated text, `session_out` NULL or point to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_create(
    broker: *const c_char,
    broker_len: usize,
    session_id: *const c_char,
    options: *const c_char,
    options_len: usize,
    session_out: *mut *mut distflow_session,
) -> distflow_status {
    // SAFETY: the caller's promises are this function's, here and below.
    unsafe {
        open(broker, broker_len, session_out, |sessions| {
            let id = convert::optional_text("session_id", session_id)?.map(str::to_owned);
            let options = convert::json("options", options, options_len, "{}")?;
            let options = interchange::create_options(options)?;
            Ok(async move { sessions.create(id.as_deref(), options).await })
        })
    }
}

/// Joins a session. When this returns OK, the creator counts this instance.
///
/// `broker` is as for `distflow_session_create`. Since 0.1.0.
///
/// Ownership: everything given is borrowed during the call. `*session_out` is owned; release it
/// with `distflow_session_free`. It is NULL on failure.
/// Blocks: up to `connectTimeoutMs`, and up to 10 s for the creator's answer. In a callback:
/// allowed.
/// Statuses: OK, INVALID_ARGUMENT, REFUSED (by the broker; or by the session: it is full, has
/// started, is closed, does not exist, or its creator does not answer, which the text says),
/// TIMEOUT (the broker is not reached), BUSY, IO, PANIC.
///
/// # Safety
/// `broker` must be readable for its length, `session_id` NULL or a NUL-terminated text,
/// `session_out` NULL or point to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_join(
    broker: *const c_char,
    broker_len: usize,
    session_id: *const c_char,
    session_out: *mut *mut distflow_session,
) -> distflow_status {
    let join = async |sessions: Sessions, id: String| sessions.join(&id).await;
    // SAFETY: the caller's promises are this function's.
    unsafe { enter(broker, broker_len, session_id, session_out, join) }
}

/// Looks at a session without being in it: it gets events, and its view.
///
/// `broker` is as for `distflow_session_create`. Since 0.1.0.
///
/// Ownership: everything given is borrowed during the call. `*session_out` is owned; release it
/// with `distflow_session_free`. It is NULL on failure.
/// Blocks: up to `connectTimeoutMs`. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, REFUSED (by the broker), TIMEOUT (the broker is not reached),
/// BUSY, IO, PANIC.
///
/// # Safety
/// `broker` must be readable for its length, `session_id` NULL or a NUL-terminated text,
/// `session_out` NULL or point to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_observe(
    broker: *const c_char,
    broker_len: usize,
    session_id: *const c_char,
    session_out: *mut *mut distflow_session,
) -> distflow_status {
    let observe = async |sessions: Sessions, id: String| sessions.observe(&id).await;
    // SAFETY: the caller's promises are this function's.
    unsafe { enter(broker, broker_len, session_id, session_out, observe) }
}

/// Gives text of a session.
///
/// # Safety
/// `out` is NULL or writable.
unsafe fn text_of(
    session: *const distflow_session,
    what: &str,
    out: *mut distflow_buf,
    text: impl FnOnce(&Session) -> String,
) -> distflow_status {
    let run = |object: &Arc<SessionObject>| distflow_buf::new(&text(&object.session));
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(session, what, out, distflow_buf::EMPTY, run) }
}

/// Gives the session's id. Since 0.1.0.
///
/// Ownership: `*id_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `id_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_id(
    session: *const distflow_session,
    id_out: *mut distflow_buf,
) -> distflow_status {
    // SAFETY: the caller promises that it can be written.
    unsafe { text_of(session, "id_out", id_out, |session| session.id().to_owned()) }
}

/// Gives the id of this instance in the session, by which others know it. Since 0.1.0.
///
/// Ownership: `*instance_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `instance_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_instance(
    session: *const distflow_session,
    instance_out: *mut distflow_buf,
) -> distflow_status {
    let instance = |session: &Session| session.instance().to_owned();
    // SAFETY: the caller promises that it can be written.
    unsafe { text_of(session, "instance_out", instance_out, instance) }
}

/// Gives the session as it is known here, as a JSON object: `role` (`creator`, `member` or
/// `observer`), `state` (`open`, `starting`, `in_progress` or `closed`), `members` (ids, the
/// creator first, then in the order in which they joined), `creator`, `model_name`, `players_min`,
/// `players_max`, `seed`, `reserved` and `registered` (players and who has them),
/// `all_players_selected`, `is_in`, `ending` (why it is over for this instance), `version`, `term`,
/// `hand_over`, `is_connected`, `ignored` (messages that could not be understood). What is not
/// known is null. Later versions may have further members. Since 0.1.0.
///
/// Ownership: `*json_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `json_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_view(
    session: *const distflow_session,
    json_out: *mut distflow_buf,
) -> distflow_status {
    let view = |session: &Session| interchange::session_view(&session.view()).to_string();
    // SAFETY: the caller promises that it can be written.
    unsafe { text_of(session, "json_out", json_out, view) }
}

/// Leaves the session, and returns when the broker knows; callbacks take what waits for them, and
/// none runs any more. A creator hands the session over, if it was created so and somebody else is
/// there, or closes it; its topics are emptied 5 s later, by this process if it still runs, or by
/// members. When three quarters of the time are over, what still waits for callbacks is left.
/// Leaving again is harmless. Since 0.1.0.
///
/// Ownership: the handle stays valid until `distflow_session_free`; its view and what waits can
/// still be asked for.
/// Blocks: up to `timeout_ms`. In a callback: not of this session: REENTRANT_CALL, and nothing
/// happens.
/// Statuses: OK, TIMEOUT (the broker is not reached, or a callback still runs; call again),
/// REENTRANT_CALL, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_session_leave(
    session: *mut distflow_session,
    timeout_ms: i64,
) -> distflow_status {
    handle::with::<SessionObject>(session, |object| object.close(convert::timeout(timeout_ms)))
}

/// Releases a session, and leaves it first if that was not done. The handle is stale from the
/// start of this call on.
///
/// Ownership: takes `session`, which may be NULL, stale or foreign: then nothing happens. In a
/// forked child it does nothing either. Since 0.1.0.
/// Blocks: as long as leaving takes, at most about 5 s; a callback that runs longer ends
/// undisturbed, and its drop function runs after it. In a callback: allowed; on the callback
/// thread of this session it does not block, and the session is left after the callback has
/// returned.
/// Statuses: none.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_session_free(session: *mut distflow_session) {
    quietly(|| handle::free::<SessionObject>(session));
}
