//! Sending.

use std::ffi::c_char;
use std::sync::Arc;

use distflow_core::Result;

use crate::convert;
use crate::handle::{self, Closable};
use crate::node::{NodeObject, unless_closed};
use crate::opaque::distflow_node;
use crate::status::distflow_status;

/// Sends a payload to an alias or node id. Ends when the message is in this node's queue to the
/// target, over an established connection, waiting for room if the queue is full. That is no
/// acknowledgement: what happens when the target's mailbox is full is the target's `overflow`
/// option, which drops by default. Delivery is at most once and in order; see docs/guarantees.md.
///
/// Ownership: `target` and `payload` are borrowed during the call. `payload` is `payload_len`
/// bytes of JSON text, exactly one value; length 0 sends no payload at all.
/// Blocks: up to `timeout_ms`. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, INVALID_JSON, TOO_LARGE, RESOLVE_FAILED,
/// CONNECTION_FAILED, BUSY, TIMEOUT (the message may still be sent), CLOSED, FORKED, PANIC.
///
/// # Safety
/// `target` must be NULL or a NUL-terminated text; `payload` must point to `payload_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_send(
    node: *mut distflow_node,
    target: *const c_char,
    payload: *const c_char,
    payload_len: usize,
    timeout_ms: i64,
) -> distflow_status {
    handle::with::<NodeObject>(node, |object| {
        plant_panic(object)?;
        // SAFETY: the caller's promises are this function's.
        let (target, payload) = unsafe { arguments(object, target, payload, payload_len) }?;
        let timeout = convert::timeout(timeout_ms);
        unless_closed(object, object.node.send_blocking(target, &payload, timeout))
    })
}

/// Queues a message without waiting. A failure after that is an event, not a status. After BUSY,
/// try again a little later, or let another thread wait in `distflow_node_send`.
///
/// Ownership: as for `distflow_node_send`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, INVALID_JSON, TOO_LARGE, RESOLVE_FAILED (not
/// known at this moment), BUSY (the queue is full), CLOSED, FORKED, PANIC.
///
/// # Safety
/// `target` must be NULL or a NUL-terminated text; `payload` must point to `payload_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_try_send(
    node: *mut distflow_node,
    target: *const c_char,
    payload: *const c_char,
    payload_len: usize,
) -> distflow_status {
    handle::with::<NodeObject>(node, |object| {
        // SAFETY: the caller's promises are this function's.
        let (target, payload) = unsafe { arguments(object, target, payload, payload_len) }?;
        unless_closed(object, object.node.try_send(target, &payload))
    })
}

/// # Safety
/// As for `distflow_node_send`.
unsafe fn arguments<'a>(
    object: &NodeObject,
    target: *const c_char,
    payload: *const c_char,
    payload_len: usize,
) -> Result<(&'a str, distflow_core::Payload)> {
    object.check_open()?;
    // SAFETY: the caller's promises are this function's, here and below.
    let target = unsafe { convert::text("target", target) }?;
    if target.is_empty() {
        return Err(convert::invalid("target is empty"));
    }
    let bytes_max = object.node.frame_bytes_max();
    // SAFETY: as above.
    let payload = unsafe { convert::payload(payload, payload_len, bytes_max) }?;
    Ok((target, payload))
}

/// With the feature `plants`, a node with the alias `panic` panics when it sends.
#[allow(
    clippy::unnecessary_wraps,
    clippy::panic,
    reason = "the planted version fails"
)]
fn plant_panic(object: &Arc<NodeObject>) -> Result<()> {
    if cfg!(feature = "plants") && object.node.alias() == Some("panic") {
        panic!("planted");
    }
    Ok(())
}
