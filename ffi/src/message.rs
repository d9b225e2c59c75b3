//! Messages as C sees them.

use std::cell::Cell;
use std::ffi::c_void;

use distflow_core::{Message, Result};

use crate::block::{self, Block};
use crate::bytes::distflow_bytes;
use crate::convert;
use crate::guard::quietly;
use crate::opaque::distflow_node;

/// A message.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct distflow_message {
    /// Node id of the sender, by its own claim: there is no authentication yet.
    pub from: distflow_bytes,
    /// What it says: exactly one JSON value; length 0 when it has no payload at all.
    pub payload: distflow_bytes,
    /// Unix milliseconds when it was sent, by the sender's clock.
    pub timestamp_ms: u64,
    /// What owns the message; not to be touched. NULL when it is borrowed.
    pub memory: *mut c_void,
    /// Alias of the sender, by its own claim, or, of an original package, as the PMD knows it;
    /// length 0 when it has none.
    pub alias: distflow_bytes,
}

/// Several messages, oldest first. Owned; freed with `distflow_messages_free`.
#[repr(C)]
#[derive(Debug)]
pub struct distflow_messages {
    /// The messages, valid until freed; NULL when there are none.
    pub items: *const distflow_message,
    /// How many.
    pub len: usize,
    /// What owns it all; not to be touched.
    pub memory: *mut c_void,
}

/// Receives a message. `message` is valid during the call; `context` is the one given with the
/// function.
pub type distflow_message_fn = Option<
    unsafe extern "C" fn(
        node: *mut distflow_node,
        message: *const distflow_message,
        context: *mut c_void,
    ),
>;

/// Receives the `len` messages that waited, oldest first, at least one. They are valid during
/// the call; `context` is the one given with the function.
pub type distflow_messages_fn = Option<
    unsafe extern "C" fn(
        node: *mut distflow_node,
        messages: *const distflow_message,
        len: usize,
        context: *mut c_void,
    ),
>;

impl distflow_message {
    pub(crate) const EMPTY: Self = Self {
        from: distflow_bytes::EMPTY,
        payload: distflow_bytes::EMPTY,
        timestamp_ms: 0,
        memory: std::ptr::null_mut(),
        alias: distflow_bytes::EMPTY,
    };
}

impl distflow_messages {
    pub(crate) const EMPTY: Self = Self {
        items: std::ptr::null(),
        len: 0,
        memory: std::ptr::null_mut(),
    };
}

/// Releases what a message owns and empties the struct, so that doing it twice is harmless. For
/// messages that were received by `distflow_node_recv`; others own nothing.
///
/// Ownership: takes what `message` owns; `message` itself stays the caller's, and may be NULL.
/// Blocks: no. In a callback: allowed. Statuses: none.
///
/// # Safety
/// `message` must be NULL, or point to a struct that is all zero or was filled in by distflow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_message_free(message: *mut distflow_message) {
    quietly(|| {
        if convert::check_out("message", message).is_ok() {
            // SAFETY: not NULL, and the caller promises what it holds.
            unsafe {
                let owned = message.replace(distflow_message::EMPTY);
                block::free(owned.memory);
            }
        }
    });
}

/// Releases several messages and empties the struct, so that doing it twice is harmless.
///
/// Ownership: takes what `messages` owns; `messages` itself stays the caller's, and may be NULL.
/// Blocks: no. In a callback: allowed. Statuses: none.
///
/// # Safety
/// `messages` must be NULL, or point to a struct that is all zero or was filled in by distflow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_messages_free(messages: *mut distflow_messages) {
    quietly(|| {
        if convert::check_out("messages", messages).is_ok() {
            // SAFETY: not NULL, and the caller promises what it holds.
            unsafe {
                let owned = messages.replace(distflow_messages::EMPTY);
                block::free(owned.memory);
            }
        }
    });
}

fn text_bytes(message: &Message) -> usize {
    message.from.as_str().len() + message.payload.len() + alias(message).len()
}

fn alias(message: &Message) -> &[u8] {
    let alias = message.alias.as_ref();
    alias.map_or(&[], |alias| alias.as_str().as_bytes())
}

/// Texts of one message.
const TEXTS: usize = 3;

fn put(block: &mut Block, message: &Message) -> distflow_message {
    distflow_message {
        from: block.put(message.from.as_str().as_bytes()),
        payload: block.put(message.payload.as_bytes()),
        alias: block.put(alias(message)),
        timestamp_ms: message.timestamp,
        ..distflow_message::EMPTY
    }
}

/// Gives a message to C.
pub(crate) fn one(message: &Message) -> Result<distflow_message> {
    let mut block = Block::new::<u8>(0, text_bytes(message), TEXTS)?;
    let out = put(&mut block, message);
    Ok(distflow_message {
        memory: block.release(),
        ..out
    })
}

/// Gives several messages to C.
pub(crate) fn many(messages: &[Message]) -> Result<distflow_messages> {
    let bytes = messages.iter().map(text_bytes).sum();
    let mut block = Block::new::<distflow_message>(messages.len(), bytes, TEXTS * messages.len())?;
    let items = block.items::<distflow_message>();
    for (i, message) in messages.iter().enumerate() {
        let message = put(&mut block, message);
        // SAFETY: the block begins with room for that many.
        unsafe { items.add(i).write(message) };
    }
    Ok(distflow_messages {
        items,
        len: messages.len(),
        memory: block.release(),
    })
}

/// Memory that a callback thread lays its messages out in, again and again.
#[derive(Default)]
struct Scratch {
    items: Vec<distflow_message>,
    text: Vec<u8>,
}

/// A larger one is not kept.
const SCRATCH_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static SCRATCH: Cell<Scratch> = const {
        Cell::new(Scratch { items: Vec::new(), text: Vec::new() })
    };
}

/// Lends messages to a callback.
pub(crate) fn lend(messages: &[Message], call: impl FnOnce(&[distflow_message])) {
    // Taken out, so that whatever the callback does finds another one.
    let mut scratch = SCRATCH.take();
    scratch.items.clear();
    scratch.text.clear();
    let bytes: usize = messages.iter().map(text_bytes).sum();
    // All at once: the text must not move while it is pointed to.
    scratch.text.reserve(bytes + TEXTS * messages.len());
    for message in messages {
        let mut text = |bytes: &[u8]| {
            let at = scratch.text.len();
            scratch.text.extend_from_slice(bytes);
            scratch.text.push(0);
            distflow_bytes {
                data: scratch.text[at..].as_ptr().cast(),
                len: bytes.len(),
            }
        };
        let from = text(message.from.as_str().as_bytes());
        let payload = text(message.payload.as_bytes());
        let alias = text(alias(message));
        scratch.items.push(distflow_message {
            from,
            payload,
            alias,
            timestamp_ms: message.timestamp,
            ..distflow_message::EMPTY
        });
    }
    call(&scratch.items);
    if scratch.text.capacity() <= SCRATCH_BYTES_MAX {
        SCRATCH.set(scratch);
    }
}
