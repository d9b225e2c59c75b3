//! Receiving by callbacks. The six rules are at the top of the header.

use std::ffi::c_void;

use distflow_core::{Message, NodeEvent, Result};

use crate::convert::invalid;
use crate::event::{Draft, distflow_node_event_fn};
use crate::foreign::{Context, distflow_drop_fn};
use crate::handle::{self, Closable};
use crate::message::{self, distflow_message_fn, distflow_messages_fn};
use crate::node::NodeObject;
use crate::opaque::distflow_node;
use crate::status::distflow_status;

/// A handle in a closure: an id, which any thread may use.
#[derive(Clone, Copy)]
pub(crate) struct Id<T>(pub(crate) *mut T);

// SAFETY: the pointer is an id and never followed.
unsafe impl<T> Send for Id<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Id<T> {}

impl<T> Id<T> {
    pub(crate) fn get(&self) -> *mut T {
        self.0
    }
}

pub(crate) fn no_callback() -> distflow_core::Error {
    invalid("callback is NULL")
}

/// Adds a callback for messages, one at a time. What waits in the mailbox comes first. Several
/// callbacks each get every message.
///
/// Ownership: `context` is handed to `callback` with every call, and to `drop` once: after the
/// last call, or before this function returns if it fails. `drop` may be NULL.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, IO, FORKED, PANIC.
///
/// # Safety
/// `callback` and `drop` must be safe to call with `context` on another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_on_message(
    node: *mut distflow_node,
    callback: distflow_message_fn,
    context: *mut c_void,
    drop: distflow_drop_fn,
) -> distflow_status {
    let context = Context::new(context, drop);
    add(node, move |object, id| {
        let callback = callback.ok_or_else(no_callback)?;
        object.node.on_message(move |received: &Message| {
            message::lend(std::slice::from_ref(received), |messages| {
                // SAFETY: the caller promised that it may be called so.
                unsafe { callback(id.get(), messages.as_ptr(), context.pointer()) };
            });
        })
    })
}

/// Adds a callback for messages that gets all that wait at once, up to 256: fewer calls when many
/// come. Otherwise like `distflow_node_on_message`.
///
/// Ownership: as for `distflow_node_on_message`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, IO, FORKED, PANIC.
///
/// # Safety
/// `callback` and `drop` must be safe to call with `context` on another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_on_messages(
    node: *mut distflow_node,
    callback: distflow_messages_fn,
    context: *mut c_void,
    drop: distflow_drop_fn,
) -> distflow_status {
    let context = Context::new(context, drop);
    add(node, move |object, id| {
        let callback = callback.ok_or_else(no_callback)?;
        object.node.on_messages(move |received: &[Message]| {
            message::lend(received, |messages| {
                // SAFETY: the caller promised that it may be called so.
                unsafe {
                    callback(
                        id.get(),
                        messages.as_ptr(),
                        messages.len(),
                        context.pointer(),
                    );
                }
            });
        })
    })
}

/// Adds a callback for events from now on. On the same thread as those for messages; a join comes
/// before the peer's messages.
///
/// Ownership: as for `distflow_node_on_message`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, IO, FORKED, PANIC.
///
/// # Safety
/// `callback` and `drop` must be safe to call with `context` on another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_on_event(
    node: *mut distflow_node,
    callback: distflow_node_event_fn,
    context: *mut c_void,
    drop: distflow_drop_fn,
) -> distflow_status {
    let context = Context::new(context, drop);
    add(node, move |object, id| {
        let callback = callback.ok_or_else(no_callback)?;
        object.node.on_event(move |event: &NodeEvent| {
            if let Some(draft) = Draft::of_node(event) {
                draft.lend(|event| {
                    // SAFETY: the caller promised that it may be called so.
                    unsafe { callback(id.get(), event, context.pointer()) };
                });
            }
        })
    })
}

fn add(
    node: *mut distflow_node,
    register: impl FnOnce(&NodeObject, Id<distflow_node>) -> Result<()>,
) -> distflow_status {
    handle::with::<NodeObject>(node, |object| {
        object.check_open()?;
        register(object, Id(node))
    })
}
