//! What happens around a node or a PMD.

use std::ffi::c_void;

use distflow_core::{Error, LeaveCause, NodeEvent, PmdNotice, Result};

use crate::block::{self, Block};
use crate::bytes::distflow_bytes;
use crate::convert;
use crate::guard::quietly;
use crate::opaque::{distflow_node, distflow_pmd};
use crate::peer::{Texts, distflow_peer};
use crate::status::{DISTFLOW_OK, distflow_status};

/// A node joined: `peer`. A node reports those that come after it has started.
pub const DISTFLOW_EVENT_PEER_JOIN: i32 = 1;
/// A node left: `peer`, and why: `cause`. This includes the node itself when it closes.
pub const DISTFLOW_EVENT_PEER_LEAVE: i32 = 2;
/// The connection to the PMD is lost: `status`, `text`. Messages to known peers still go.
pub const DISTFLOW_EVENT_PMD_LOST: i32 = 3;
/// Registered with a PMD again, and the table of peers is right again.
pub const DISTFLOW_EVENT_PMD_RESTORED: i32 = 4;
/// The PMD refused to register this node again: `status`, `text`. It is tried again.
pub const DISTFLOW_EVENT_REGISTRATION_REFUSED: i32 = 5;
/// Messages found the mailbox full: `count` is the total so far. At most once a second.
pub const DISTFLOW_EVENT_MAILBOX_OVERFLOW: i32 = 6;
/// Accepted messages can't be delivered any more: to `target`, `count` of them, `status`, `text`.
pub const DISTFLOW_EVENT_SEND_FAILED: i32 = 7;
/// An embedded PMD has stopped; `cause` is `requested`, `idle` or `closed`.
pub const DISTFLOW_EVENT_PMD_STOPPED: i32 = 8;

/// Something that happened. `kind` says which members count; the others are empty. Later versions
/// may report other kinds, which a program should ignore.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct distflow_event {
    /// One of `DISTFLOW_EVENT_…`.
    pub kind: i32,
    /// The error of those kinds that have one, otherwise `DISTFLOW_OK`.
    pub status: distflow_status,
    /// How many messages.
    pub count: u64,
    /// The node that joined or left.
    pub peer: distflow_peer,
    /// Why a node left (`unregistered`, `closed`, `timeout`, `replaced` or `unknown`), or a PMD
    /// stopped.
    pub cause: distflow_bytes,
    /// Node id of the receiver of messages that were not delivered.
    pub target: distflow_bytes,
    /// Text of the error.
    pub text: distflow_bytes,
    /// What owns the event; not to be touched.
    pub memory: *mut c_void,
    /// Zero; for later versions.
    pub reserved: [u64; 2],
}

/// Receives an event. `event` is valid during the call; `context` is the one given with the
/// function.
pub type distflow_node_event_fn = Option<
    unsafe extern "C" fn(
        node: *mut distflow_node,
        event: *const distflow_event,
        context: *mut c_void,
    ),
>;

/// Receives an event of an embedded PMD. `event` is valid during the call; `context` is the one
/// given with the function.
pub type distflow_pmd_event_fn = Option<
    unsafe extern "C" fn(
        pmd: *mut distflow_pmd,
        event: *const distflow_event,
        context: *mut c_void,
    ),
>;

/// Releases what an event owns and empties the struct, so that doing it twice is harmless. For
/// events that were received by polling; those of a callback own nothing.
///
/// Ownership: takes what `event` owns; `event` itself stays the caller's, and may be NULL.
/// Blocks: no. In a callback: allowed. Statuses: none.
///
/// # Safety
/// `event` must be NULL, or point to a struct that is all zero or was filled in by distflow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_event_free(event: *mut distflow_event) {
    quietly(|| {
        if convert::check_out("event", event).is_ok() {
            // SAFETY: not NULL, and the caller promises what it holds.
            unsafe {
                let owned = event.replace(distflow_event::empty());
                block::free(owned.memory);
            }
        }
    });
}

impl distflow_event {
    /// No event.
    pub(crate) fn empty() -> Self {
        let none = distflow_bytes::EMPTY;
        Self {
            kind: 0,
            status: DISTFLOW_OK,
            count: 0,
            peer: distflow_peer {
                node_id: none,
                alias: none,
                host: none,
                capabilities: none,
                meta: none,
                last_heartbeat_ms: 0,
                port: 0,
                reserved: [0; 11],
            },
            cause: none,
            target: none,
            text: none,
            memory: std::ptr::null_mut(),
            reserved: [0; 2],
        }
    }
}

/// An event before it is laid out for C.
pub(crate) struct Draft {
    kind: i32,
    status: distflow_status,
    count: u64,
    peer: Texts,
    cause: &'static str,
    target: String,
    text: String,
}

impl Draft {
    fn new(kind: i32) -> Self {
        Self {
            kind,
            status: DISTFLOW_OK,
            count: 0,
            peer: Texts::none(),
            cause: "",
            target: String::new(),
            text: String::new(),
        }
    }

    fn because(kind: i32, error: &Error) -> Self {
        Self {
            status: error.kind().number(),
            text: error.message().to_owned(),
            ..Self::new(kind)
        }
    }

    fn left(peer: Texts, cause: LeaveCause) -> Self {
        Self {
            peer,
            cause: cause.name(),
            ..Self::new(DISTFLOW_EVENT_PEER_LEAVE)
        }
    }

    fn joined(peer: Texts) -> Self {
        Self {
            peer,
            ..Self::new(DISTFLOW_EVENT_PEER_JOIN)
        }
    }

    /// `None` for a kind that this version does not know how to tell.
    pub(crate) fn of_node(event: &NodeEvent) -> Option<Self> {
        Some(match event {
            NodeEvent::PeerJoin(peer) => Self::joined(Texts::of_info(peer)),
            NodeEvent::PeerLeave(peer, cause) => Self::left(Texts::of_info(peer), *cause),
            NodeEvent::RegistryLost(error) => Self::because(DISTFLOW_EVENT_PMD_LOST, error),
            NodeEvent::RegistryRestored => Self::new(DISTFLOW_EVENT_PMD_RESTORED),
            NodeEvent::RegistrationRefused(error) => {
                Self::because(DISTFLOW_EVENT_REGISTRATION_REFUSED, error)
            }
            NodeEvent::MailboxOverflow(total) => Self {
                count: *total,
                ..Self::new(DISTFLOW_EVENT_MAILBOX_OVERFLOW)
            },
            NodeEvent::SendFailed {
                to,
                messages,
                error,
            } => Self {
                count: *messages,
                target: to.as_str().to_owned(),
                ..Self::because(DISTFLOW_EVENT_SEND_FAILED, error)
            },
            _ => return None,
        })
    }

    /// `None` for a kind that this version does not know how to tell.
    pub(crate) fn of_pmd(notice: &PmdNotice) -> Option<Self> {
        Some(match notice {
            PmdNotice::Joined(node) => Self::joined(Texts::of_register(node)),
            PmdNotice::Left(node, cause) => Self::left(Texts::of_register(node), *cause),
            PmdNotice::Stopped(reason) => Self {
                cause: reason.map_or("closed", |reason| reason.name()),
                ..Self::new(DISTFLOW_EVENT_PMD_STOPPED)
            },
            _ => return None,
        })
    }

    /// Lays the event out; it owns its memory.
    pub(crate) fn finish(&self) -> Result<distflow_event> {
        let others = [self.cause, self.target.as_str(), self.text.as_str()];
        let bytes = self.peer.len() + others.iter().map(|text| text.len()).sum::<usize>();
        let count = Texts::COUNT + others.len();
        let mut block = Block::new::<u8>(0, bytes, count)?;
        let peer = self.peer.put(&mut block);
        let [cause, target, text] = others.map(|text| block.put(text.as_bytes()));
        Ok(distflow_event {
            kind: self.kind,
            status: self.status,
            count: self.count,
            peer,
            cause,
            target,
            text,
            memory: block.release(),
            reserved: [0; 2],
        })
    }

    /// Lends the event to a callback.
    pub(crate) fn lend(&self, call: impl FnOnce(&distflow_event)) {
        // Without memory for it, an event is lost.
        if let Ok(mut event) = self.finish() {
            let memory = std::mem::replace(&mut event.memory, std::ptr::null_mut());
            call(&event);
            // SAFETY: it was released by `finish` just now, and nobody else has it.
            unsafe { block::free(memory) };
        }
    }
}
