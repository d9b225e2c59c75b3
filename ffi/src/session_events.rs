//! What happens in a session.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use distflow_core::Result;
use distflow_core::interchange::session_event;
use distflow_core::session::seat::Event;
use serde_json::Value;

use crate::block::{self, Block};
use crate::bytes::distflow_bytes;
use crate::convert;
use crate::foreign::{Context, distflow_drop_fn};
use crate::guard::quietly;
use crate::handle::{self, Closable};
use crate::node_callbacks::{Id, no_callback};
use crate::opaque::distflow_session;
use crate::queue;
use crate::session::SessionObject;
use crate::status::distflow_status;

/// Something that happened in a session. `json` has all of it; the members before it have what
/// most programs look at, and are empty where a type does not have them. The types, and what else
/// `json` has:
///
/// - `created`, `joined`: this instance is in.
/// - `member_joined`, `member_left`: `instance`.
/// - `state_changed`: `state` (`open`, `starting`, `in_progress` or `closed`).
/// - `countdown`: `seconds` until the game starts, at the creator; `countdown_stopped`.
/// - `game_started`: `by` (an instance), `kind` (`manual` or `auto`).
/// - `creator_changed`: `creator` (an instance), `term`.
/// - `seed_changed`: `seed`.
/// - `reserved`, `registered`: `player`, `instance`; `released`: `player`.
/// - `all_players_selected`.
/// - `game`: what an instance, this one included, said by `distflow_session_publish`: `name`,
///   `payload`.
/// - `not_allowed`: the broker does not let this instance `publish` or `subscribe` (`action`) to
///   something: `topic`, `text` (what the broker says).
/// - `ended`: it is over for this instance: `reason`, `text`.
///
/// Later versions may have other types, which a program should ignore. Since 0.1.0.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct distflow_session_event {
    /// Its type.
    pub kind: distflow_bytes,
    /// The instance that it is about.
    pub instance: distflow_bytes,
    /// The player that it is about.
    pub player: distflow_bytes,
    /// The name of a message of the game.
    pub name: distflow_bytes,
    /// The payload of a message of the game: any bytes.
    pub payload: distflow_bytes,
    /// The whole event as a JSON object, with its type as `type`. A payload that is no text has
    /// U+FFFD there, and a member `payload_base64`.
    pub json: distflow_bytes,
    /// What owns the event; not to be touched.
    pub memory: *mut c_void,
    /// Zero; for later versions.
    pub reserved: [u64; 3],
}

/// Receives an event of a session. `event` is valid during the call; `context` is the one given
/// with the function. Since 0.1.0.
pub type distflow_session_event_fn = Option<
    unsafe extern "C" fn(
        session: *mut distflow_session,
        event: *const distflow_session_event,
        context: *mut c_void,
    ),
>;

impl distflow_session_event {
    const EMPTY: Self = Self {
        kind: distflow_bytes::EMPTY,
        instance: distflow_bytes::EMPTY,
        player: distflow_bytes::EMPTY,
        name: distflow_bytes::EMPTY,
        payload: distflow_bytes::EMPTY,
        json: distflow_bytes::EMPTY,
        memory: std::ptr::null_mut(),
        reserved: [0; 3],
    };

    /// Lays an event out; it owns its memory.
    fn new(event: &Event) -> Result<Self> {
        let value = session_event(event);
        let json = value.to_string();
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let instance = ["instance", "by", "creator"].into_iter().find_map(text);
        let payload = match event {
            Event::Game { payload, .. } => payload.as_slice(),
            _ => &[],
        };
        let parts = [
            text("type").unwrap_or_default().as_bytes(),
            instance.unwrap_or_default().as_bytes(),
            text("player").unwrap_or_default().as_bytes(),
            text("name").unwrap_or_default().as_bytes(),
            payload,
            json.as_bytes(),
        ];
        let bytes = parts.iter().map(|part| part.len()).sum();
        let mut block = Block::new::<u8>(0, bytes, parts.len())?;
        let [kind, instance, player, name, payload, json] = parts.map(|part| block.put(part));
        Ok(Self {
            kind,
            instance,
            player,
            name,
            payload,
            json,
            memory: block.release(),
            reserved: [0; 3],
        })
    }
}

/// Releases what an event owns and empties the struct, so that doing it twice is harmless. For
/// events that were received by polling; those of a callback own nothing. Since 0.1.0.
///
/// Ownership: takes what `event` owns; `event` itself stays the caller's, and may be NULL.
/// Blocks: no. In a callback: allowed. Statuses: none.
///
/// # Safety
/// `event` must be NULL, or point to a struct that is all zero or was filled in by distflow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_event_free(event: *mut distflow_session_event) {
    quietly(|| {
        if convert::check_out("event", event).is_ok() {
            // SAFETY: not NULL, and the caller promises what it holds.
            unsafe {
                let owned = event.replace(distflow_session_event::EMPTY);
                block::free(owned.memory);
            }
        }
    });
}

/// Receives the next event. 10,000 wait at most, with 64 MiB of the game's messages; then the
/// oldest go. Since 0.1.0.
///
/// Ownership: `*event_out` is owned; release it with `distflow_session_event_free`. It is empty on
/// failure.
/// Blocks: up to `timeout_ms`. In a callback: allowed; callbacks and this function compete for
/// events.
/// Statuses: OK, TIMEOUT (nothing came), CLOSED (it is over and nothing waits), INVALID_HANDLE,
/// INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `event_out` must be NULL or point to a `distflow_session_event`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_recv_event(
    session: *mut distflow_session,
    timeout_ms: i64,
    event_out: *mut distflow_session_event,
) -> distflow_status {
    let receive = |object: &Arc<SessionObject>| {
        let events = object.session.events();
        let event = queue::receive(events, timeout_ms, "the session is over")?;
        distflow_session_event::new(&event)
    };
    let empty = distflow_session_event::EMPTY;
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(session, "event_out", event_out, empty, receive) }
}

/// Gives a descriptor that is readable exactly while an event waits, and for ever once the session
/// is over; see `distflow_node_fd`. Since 0.1.0.
///
/// Ownership: the descriptor is borrowed and valid until `distflow_session_free`; do not read,
/// write or close it.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, IO, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `fd_out` must be NULL or point to an `int`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_fd(
    session: *mut distflow_session,
    fd_out: *mut c_int,
) -> distflow_status {
    handle::with::<SessionObject>(session, |object| {
        convert::check_out("fd_out", fd_out)?;
        let fd = object.descriptor.of(object.session.events())?;
        // SAFETY: the caller promises that it can be written.
        unsafe { convert::set("fd_out", fd_out, fd) }
    })
}

/// Adds a callback for events; what waits comes first. Since 0.1.0.
///
/// Ownership: as for `distflow_node_on_message`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, IO, FORKED, PANIC.
///
/// # Safety
/// `callback` and `drop` must be safe to call with `context` on another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_session_on_event(
    session: *mut distflow_session,
    callback: distflow_session_event_fn,
    context: *mut c_void,
    drop: distflow_drop_fn,
) -> distflow_status {
    let context = Context::new(context, drop);
    handle::with::<SessionObject>(session, move |object| {
        object.check_open()?;
        let callback = callback.ok_or_else(no_callback)?;
        let id = Id(session);
        object.session.on_event(move |event: &Event| {
            // Without memory for it, an event is lost.
            if let Ok(mut event) = distflow_session_event::new(event) {
                let memory = std::mem::replace(&mut event.memory, std::ptr::null_mut());
                // SAFETY: the caller promised that it may be called so.
                unsafe { callback(id.get(), &raw const event, context.pointer()) };
                // SAFETY: it was released just now, and nobody else has it.
                unsafe { block::free(memory) };
            }
        })
    })
}
