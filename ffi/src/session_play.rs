//! What is done in a session.

use std::ffi::c_char;
use std::sync::Arc;

use distflow_core::sessions::Session;
use distflow_core::{Error, Result};

use crate::convert;
use crate::handle::{self, Closable};
use crate::opaque::distflow_session;
use crate::session::SessionObject;
use crate::status::distflow_status;

/// Asks a session for something, and waits for its answer.
fn ask<T>(
    session: *mut distflow_session,
    read: impl FnOnce() -> Result<T>,
    ask: impl AsyncFnOnce(&Session, T) -> Result<()>,
) -> distflow_status {
    handle::with::<SessionObject>(session, |object: &Arc<SessionObject>| {
        let value = read()?;
        object.check_open()?;
        let answer = object.session.wait(ask(&object.session, value), None);
        answer.unwrap_or_else(|| Err(Error::request_timeout()))
    })
}

/// Starts the game for everybody: at once, or after a countdown of so many seconds. For the
/// creator. Since 0.1.0.
///
/// Ownership: none.
/// Blocks: for one turn of the network's thread. In a callback: allowed.
/// Statuses: OK, REFUSED (it is not the creator, or members are missing), INVALID_ARGUMENT (a
/// countdown of more than a day), CONNECTION_FAILED (there is none to the broker at the moment),
/// CLOSED, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_session_start(
    session: *mut distflow_session,
    countdown_s: u32,
) -> distflow_status {
    let start = async |session: &Session, countdown_s| session.start(countdown_s).await;
    ask(session, || Ok(countdown_s), start)
}

/// Closes the session for everybody, for ever. For the creator. To go alone, leave. Since 0.1.0.
///
/// Ownership: the handle stays valid until `distflow_session_free`.
/// Blocks: for one turn of the network's thread. In a callback: allowed.
/// Statuses: OK, REFUSED (it is not the creator), CLOSED, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_session_end(session: *mut distflow_session) -> distflow_status {
    let close = async |session: &Session, ()| session.close().await;
    ask(session, || Ok(()), close)
}

/// Asks a member to continue the session as its creator. For the creator. Since 0.1.0.
///
/// Ownership: `instance`, the id of a member, is borrowed during the call; NULL means the one that
/// joined first.
/// Blocks: for one turn of the network's thread. In a callback: allowed.
/// Statuses: OK, REFUSED (it is not the creator; the session was not created for it; or there is no
/// such member), INVALID_ARGUMENT, CONNECTION_FAILED (there is none to the broker at the moment),
/// CLOSED, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `instance` must be NULL or a NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_hand_over(
    session: *mut distflow_session,
    instance: *const c_char,
) -> distflow_status {
    // SAFETY: the text is the caller's promise.
    let read = || unsafe { convert::optional_text("instance", instance) };
    let hand_over = async |session: &Session, to: Option<&str>| session.hand_over(to).await;
    ask(session, read, hand_over)
}

/// Asks for a player, a role in the game. Whose it is, the event `reserved` tells. Since 0.1.0.
///
/// Ownership: `player` is borrowed during the call.
/// Blocks: for one turn of the network's thread. In a callback: allowed.
/// Statuses: OK, REFUSED (somebody has it), INVALID_ARGUMENT, BUSY (it has asked for 1,024
/// already), CLOSED, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `player` must be NULL or a NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_reserve(
    session: *mut distflow_session,
    player: *const c_char,
) -> distflow_status {
    // SAFETY: the text is the caller's promise.
    let read = || unsafe { convert::text("player", player) };
    let reserve = async |session: &Session, player: &str| session.reserve(player).await;
    ask(session, read, reserve)
}

/// Gives a player back, or a wish for one. Nothing happens to a player of somebody else. Since
/// 0.1.0.
///
/// Ownership: `player` is borrowed during the call.
/// Blocks: for one turn of the network's thread. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, CLOSED, INVALID_HANDLE, FORKED, PANIC.
///
/// # Safety
/// `player` must be NULL or a NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_release(
    session: *mut distflow_session,
    player: *const c_char,
) -> distflow_status {
    // SAFETY: the text is the caller's promise.
    let read = || unsafe { convert::text("player", player) };
    let release = async |session: &Session, player: &str| session.release(player).await;
    ask(session, read, release)
}

/// Says that this instance plays a player. Since 0.1.0.
///
/// Ownership: `player` is borrowed during the call.
/// Blocks: for one turn of the network's thread. In a callback: allowed.
/// Statuses: OK, REFUSED (somebody has it), INVALID_ARGUMENT, CLOSED, INVALID_HANDLE, FORKED,
/// PANIC.
///
/// # Safety
/// `player` must be NULL or a NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_register(
    session: *mut distflow_session,
    player: *const c_char,
) -> distflow_status {
    // SAFETY: the text is the caller's promise.
    let read = || unsafe { convert::text("player", player) };
    let register = async |session: &Session, player: &str| session.register(player).await;
    ask(session, read, register)
}

/// Sends a message of the game to everybody in the session, this instance included, who get it as
/// the event `game`. It is not retained and not repeated (quality of service 0). Without a connection up to 1,000 messages
/// and 16 MiB wait for one. Since 0.1.0.
///
/// Ownership: `name`, the kind of message, and `payload`, any bytes, at most 64 KiB, are borrowed
/// during the call.
/// Blocks: for one turn of the network's thread. In a callback: allowed.
/// Statuses: OK, TOO_LARGE, BUSY (too many wait), INVALID_ARGUMENT, CLOSED, INVALID_HANDLE, FORKED,
/// PANIC.
///
/// # Safety
/// `name` must be NULL or a NUL-terminated text, `payload` readable for `payload_len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_publish(
    session: *mut distflow_session,
    name: *const c_char,
    payload: *const c_char,
    payload_len: usize,
) -> distflow_status {
    let read = || {
        // SAFETY: the text and the bytes are the caller's promise, here and below.
        let name = unsafe { convert::text("name", name) }?;
        // SAFETY: as above.
        Ok((name, unsafe {
            convert::slice("payload", payload, payload_len)
        }?))
    };
    let publish = async |session: &Session, (name, payload): (&str, &[u8])| {
        session.publish(name, payload.to_vec()).await
    };
    ask(session, read, publish)
}
