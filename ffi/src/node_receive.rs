//! Receiving by polling: with a timeout, or driven by a descriptor.

use std::ffi::c_int;
use std::sync::Arc;
use std::time::Duration;

use distflow_core::dispatch::Readiness;
use distflow_core::{Error, ErrorKind, Result};

use crate::convert::{self, invalid};
use crate::event::{Draft, distflow_event};
use crate::handle::{self, Closable};
use crate::message::{self, distflow_message, distflow_messages};
use crate::node::NodeObject;
use crate::opaque::distflow_node;
use crate::status::distflow_status;

/// Receives the next message.
///
/// Ownership: `*message_out` is owned; release it with `distflow_message_free`. It is empty on
/// failure.
/// Blocks: up to `timeout_ms`. In a callback: allowed; callbacks and this function compete for
/// messages.
/// Statuses: OK, TIMEOUT (nothing came), CLOSED (the node has ended and nothing waits),
/// INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `message_out` must be NULL or point to a `distflow_message`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_recv(
    node: *mut distflow_node,
    timeout_ms: i64,
    message_out: *mut distflow_message,
) -> distflow_status {
    let receive = |object: &Arc<NodeObject>| {
        message::one(&object.node.recv_timeout(convert::timeout(timeout_ms))?)
    };
    let empty = distflow_message::EMPTY;
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(node, "message_out", message_out, empty, receive) }
}

/// Waits for a message and receives all that wait then, up to `max`.
///
/// Ownership: `*messages_out` is owned; release it with `distflow_messages_free`. It is empty on
/// failure.
/// Blocks: up to `timeout_ms`. In a callback: allowed; callbacks and this function compete for
/// messages.
/// Statuses: OK (at least one), TIMEOUT (nothing came), CLOSED (the node has ended and nothing
/// waits), INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `messages_out` must be NULL or point to a `distflow_messages`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_recv_many(
    node: *mut distflow_node,
    max: usize,
    timeout_ms: i64,
    messages_out: *mut distflow_messages,
) -> distflow_status {
    let receive = |object: &Arc<NodeObject>| {
        if max == 0 {
            return Err(invalid("max is 0; at least 1 message must be allowed"));
        }
        let mut received = Vec::new();
        let timeout = convert::timeout(timeout_ms);
        object.node.recv_many_timeout(&mut received, max, timeout)?;
        message::many(&received)
    };
    let empty = distflow_messages::EMPTY;
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(node, "messages_out", messages_out, empty, receive) }
}

/// Starts to collect events for `distflow_node_recv_event`, up to 16,384 of them; then the oldest
/// are dropped and counted. Call it before `distflow_node_peers`, and nothing is missed in
/// between. Calling it again changes nothing.
///
/// Ownership: none. Blocks: no. In a callback: allowed.
/// Statuses: OK, CLOSED, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_node_watch(node: *mut distflow_node) -> distflow_status {
    handle::with::<NodeObject>(node, |object| {
        object.check_open()?;
        let mut polling = object.polling.lock();
        if polling.events.is_none() {
            let events = Arc::new(object.node.events());
            if let Some(readiness) = &polling.readiness {
                events.set_readiness(readiness.clone());
            }
            polling.events = Some(events);
        }
        Ok(())
    })
}

/// Receives the next event. `distflow_node_watch` must have been called.
///
/// Ownership: `*event_out` is owned; release it with `distflow_event_free`. It is empty on
/// failure.
/// Blocks: up to `timeout_ms`. In a callback: allowed.
/// Statuses: OK, TIMEOUT (nothing came), CLOSED (the node has ended and nothing waits),
/// NOT_STARTED (`distflow_node_watch` was not called), INVALID_HANDLE, INVALID_ARGUMENT, FORKED,
/// PANIC.
///
/// # Safety
/// `event_out` must be NULL or point to a `distflow_event`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_recv_event(
    node: *mut distflow_node,
    timeout_ms: i64,
    event_out: *mut distflow_event,
) -> distflow_status {
    let receive = |object: &Arc<NodeObject>| {
        let events = object.polling.lock().events.clone();
        let events = events.ok_or_else(|| {
            Error::new(
                ErrorKind::NotStarted,
                "no events are collected yet; call distflow_node_watch first",
            )
        })?;
        let timeout = convert::timeout(timeout_ms).unwrap_or(Duration::MAX);
        loop {
            // A kind that this version cannot tell is passed over.
            if let Some(event) = Draft::of_node(&events.next_timeout(timeout)?) {
                return event.finish();
            }
        }
    };
    let empty = distflow_event::empty();
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(node, "event_out", event_out, empty, receive) }
}

/// Gives a descriptor that is readable exactly while a message waits in the mailbox, or an event
/// if `distflow_node_watch` was called, and for ever once the node has ended. For `epoll`,
/// `poll`, libuv, GLib and the like: when it is readable, receive with a timeout of 0 until
/// `DISTFLOW_TIMEOUT`. The same descriptor at every call.
///
/// Ownership: the descriptor is borrowed and valid until `distflow_node_free`; do not read,
/// write or close it.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, IO, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `fd_out` must be NULL or point to an `int`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_fd(
    node: *mut distflow_node,
    fd_out: *mut c_int,
) -> distflow_status {
    handle::with::<NodeObject>(node, |object| {
        convert::check_out("fd_out", fd_out)?;
        let fd = readiness(object)?;
        // SAFETY: the caller promises that it can be written.
        unsafe { convert::set("fd_out", fd_out, fd) }
    })
}

fn readiness(object: &NodeObject) -> Result<c_int> {
    let mut polling = object.polling.lock();
    if let Some(readiness) = &polling.readiness {
        return Ok(readiness.fd());
    }
    let readiness = Readiness::new()?;
    object.node.set_readiness(readiness.clone())?;
    if let Some(events) = &polling.events {
        events.set_readiness(readiness.clone());
    }
    let fd = readiness.fd();
    polling.readiness = Some(readiness);
    Ok(fd)
}
