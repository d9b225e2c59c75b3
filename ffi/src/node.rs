//! Nodes: opening, asking, closing.

use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use distflow_core::dispatch::Readiness;
use distflow_core::{ErrorKind, EventStream, Node, Result};
use parking_lot::Mutex;

use crate::buf::distflow_buf;
use crate::convert;
use crate::guard::{guard, quietly};
use crate::handle::{self, Closable, Object};
use crate::node_options::{self, distflow_node_options};
use crate::opaque::distflow_node;
use crate::peer::{self, Texts, distflow_peers};
use crate::status::distflow_status;

/// Counters of a node. At rest, and unless a process crashed, the sum of `sent` over all nodes is
/// the sum of `delivered`, `dropped`, `lost_outbound`, `lost_inbound`, `waiting` and
/// `misdirected` over all nodes.
#[repr(C)]
pub struct distflow_stats {
    /// Size of this struct in bytes; set it to `sizeof(distflow_stats)` before the call.
    pub struct_size: usize,
    /// Messages that were accepted for sending.
    pub sent: u64,
    /// Messages handed to the program.
    pub delivered: u64,
    /// Messages that found the mailbox full.
    pub dropped: u64,
    /// Accepted messages given up because their peer could not be reached.
    pub lost_outbound: u64,
    /// Messages of senders that were lost with a connection.
    pub lost_inbound: u64,
    /// Messages for another node that arrived here.
    pub misdirected: u64,
    /// Messages waiting in the mailbox.
    pub waiting: u64,
    /// Frames that were refused.
    pub bad_frames: u64,
    /// Events that were dropped because too many waited for `distflow_node_recv_event`.
    pub events_lost: u64,
}

const STATS_SIZE_FIRST: usize = size_of::<distflow_stats>();

/// What a `distflow_node *` stands for.
pub(crate) struct NodeObject {
    pub(crate) node: Node,
    broken: AtomicBool,
    closed: AtomicBool,
    // Protects what polling needs, made at first use; held only to look or to make it.
    pub(crate) polling: Mutex<Polling>,
}

/// What a program that polls has asked for.
#[derive(Default)]
pub(crate) struct Polling {
    pub(crate) readiness: Option<Readiness>,
    pub(crate) events: Option<Arc<EventStream>>,
}

impl Object for NodeObject {
    type Public = distflow_node;
    const TYPE: (usize, &'static str) = (1, "distflow_node");

    fn broken(&self) -> &AtomicBool {
        &self.broken
    }
}

impl Closable for NodeObject {
    fn closed(&self) -> &AtomicBool {
        &self.closed
    }

    fn is_callback_thread(&self) -> bool {
        self.node.is_callback_thread()
    }

    fn stop_callbacks(&self) {
        self.node.stop_callbacks();
    }

    fn end(&self, limit: Duration) -> Result<()> {
        self.node.shutdown_within(limit)
    }
}

/// The statuses of errors that a closed node gives become `CLOSED`.
pub(crate) fn unless_closed<T>(object: &NodeObject, result: Result<T>) -> Result<T> {
    result.map_err(|error| {
        if matches!(error.kind(), ErrorKind::NotStarted | ErrorKind::Closed) {
            return object.check_open().err().unwrap_or(error);
        }
        error
    })
}

/// Opens a node: finds or launches the PMD, registers, and learns who is there.
///
/// Ownership: `options` and its texts are borrowed during the call; NULL means the defaults.
/// `*node_out` is owned; release it with `distflow_node_free`. It is NULL on failure.
/// Blocks: up to `options->start_timeout_ms`. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, INSECURE, ALIAS_IN_USE, NODE_ID_IN_USE, PMD_UNAVAILABLE,
/// NOT_PMD, PMD_LAUNCH_FAILED, ADDRESS_IN_USE, ALREADY_RUNNING, REFUSED, TIMEOUT,
/// CONNECTION_FAILED (a host cannot be looked up), INVALID_JSON (of `meta`), BUSY, IO, PANIC.
///
/// # Safety
/// `options` must be NULL or point to a struct that its _init function filled; `node_out` must
/// be NULL or point to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_open(
    options: *const distflow_node_options,
    node_out: *mut *mut distflow_node,
) -> distflow_status {
    guard(|| {
        // SAFETY: the caller's promises are this function's, here and below.
        unsafe { convert::set("node_out", node_out, std::ptr::null_mut()) }?;
        // SAFETY: as above.
        let options = unsafe { node_options::read(options) }?;
        let object = Arc::new(NodeObject {
            node: Node::start_blocking(options)?,
            broken: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            polling: Mutex::default(),
        });
        // SAFETY: as above.
        unsafe { convert::set("node_out", node_out, handle::insert(object)?) }
    })
}

/// Gives the node's id.
///
/// Ownership: `*id_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `id_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_id(
    node: *const distflow_node,
    id_out: *mut distflow_buf,
) -> distflow_status {
    let id = |object: &Arc<NodeObject>| distflow_buf::new(object.node.id());
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(node, "id_out", id_out, distflow_buf::EMPTY, id) }
}

/// Gives the node's alias; length 0 when it has none.
///
/// Ownership: `*alias_out` is owned; release it with `distflow_buf_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `alias_out` must be NULL or point to a `distflow_buf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_alias(
    node: *const distflow_node,
    alias_out: *mut distflow_buf,
) -> distflow_status {
    let alias =
        |object: &Arc<NodeObject>| distflow_buf::new(object.node.alias().unwrap_or_default());
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(node, "alias_out", alias_out, distflow_buf::EMPTY, alias) }
}

/// Gives the port at which the node takes messages.
///
/// Ownership: `port_out` is the caller's. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `port_out` must be NULL or point to a `uint16_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_port(
    node: *const distflow_node,
    port_out: *mut u16,
) -> distflow_status {
    handle::with::<NodeObject>(node, |object| {
        // SAFETY: the caller promises that it can be written.
        unsafe { convert::set("port_out", port_out, object.node.port()) }
    })
}

/// Tells whether the node is registered with a PMD right now.
///
/// Ownership: `registered_out` is the caller's. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `registered_out` must be NULL or point to a `bool`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_is_registered(
    node: *const distflow_node,
    registered_out: *mut bool,
) -> distflow_status {
    handle::with::<NodeObject>(node, |object| {
        let registered = object.node.is_registered();
        // SAFETY: the caller promises that it can be written.
        unsafe { convert::set("registered_out", registered_out, registered) }
    })
}

/// Gives everyone else who is known right now, in order of node id, without asking the PMD.
///
/// Ownership: `*peers_out` is owned; release it with `distflow_peers_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, FORKED, PANIC.
///
/// # Safety
/// `peers_out` must be NULL or point to a `distflow_peers`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_peers(
    node: *const distflow_node,
    peers_out: *mut distflow_peers,
) -> distflow_status {
    let peers = |object: &Arc<NodeObject>| {
        object.check_open()?;
        let nodes = object.node.peers();
        peer::peers(nodes.iter().map(|node| Texts::of_info(node)))
    };
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(node, "peers_out", peers_out, distflow_peers::EMPTY, peers) }
}

/// Asks the PMD for everyone else, or for those whose alias starts with `prefix`.
///
/// Ownership: `prefix` is borrowed during the call; NULL means everyone. `*peers_out` is owned;
/// release it with `distflow_peers_free`.
/// Blocks: up to `timeout_ms`. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, PMD_UNAVAILABLE, TIMEOUT, BUSY, CLOSED,
/// FORKED, PANIC.
///
/// # Safety
/// `prefix` must be NULL or a NUL-terminated text, `peers_out` NULL or point to a
/// `distflow_peers`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_discover(
    node: *const distflow_node,
    prefix: *const c_char,
    timeout_ms: i64,
    peers_out: *mut distflow_peers,
) -> distflow_status {
    let discover = |object: &Arc<NodeObject>| {
        object.check_open()?;
        // SAFETY: the caller's promises are this function's, here and below.
        let prefix = unsafe { convert::optional_text("prefix", prefix) }?;
        let timeout = convert::timeout(timeout_ms);
        let nodes = unless_closed(object, object.node.discover_within(prefix, timeout))?;
        peer::peers(nodes.iter().map(Texts::of_info))
    };
    // SAFETY: as above.
    unsafe {
        handle::with_out(
            node,
            "peers_out",
            peers_out,
            distflow_peers::EMPTY,
            discover,
        )
    }
}

/// Gives the node's counters, also after it was closed.
///
/// Ownership: `stats` is the caller's; set `stats->struct_size` first.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `stats` must be NULL or point to as many writable bytes as its first member says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_stats(
    node: *const distflow_node,
    stats: *mut distflow_stats,
) -> distflow_status {
    handle::with::<NodeObject>(node, |object| {
        convert::check_out("stats", stats)?;
        let counts = object.node.stats();
        let events = object.polling.lock().events.clone();
        let filled = distflow_stats {
            struct_size: 0,
            sent: counts.sent,
            delivered: counts.delivered,
            dropped: counts.dropped,
            lost_outbound: counts.lost_outbound,
            lost_inbound: counts.lost_inbound,
            misdirected: counts.misdirected,
            waiting: counts.waiting,
            bad_frames: counts.bad_frames,
            events_lost: events.map_or(0, |events| events.lost()),
        };
        // SAFETY: every version of the struct begins with its size; the rest is the caller's
        // promise.
        unsafe {
            let size = stats.cast::<usize>().read_unaligned();
            convert::init("stats", stats, size, STATS_SIZE_FIRST, filled)
        }
    })
}

/// Ends a node: flushes what is queued, for at most half of the time; unregisters, closes every
/// connection, lets callbacks take what waits for them, and waits until none runs any more. When
/// three quarters of the time are over, what still waits for callbacks is left in the mailbox.
/// What could not be flushed is counted as `lost_outbound`. Further calls on the handle give
/// `DISTFLOW_CLOSED`, also in callbacks that run meanwhile, which therefore cannot answer any
/// more; but what waits can be received by polling, and the counters be read. Closing again is
/// harmless, and waits for a close that is under way.
///
/// Ownership: the handle stays valid until `distflow_node_free`.
/// Blocks: up to `timeout_ms`; without a limit until everything is flushed and callbacks have
/// returned. In a callback: not of this node: REENTRANT_CALL, and nothing happens.
/// Statuses: OK (no callback runs any more), TIMEOUT (one still runs; call again),
/// REENTRANT_CALL, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_node_close(
    node: *mut distflow_node,
    timeout_ms: i64,
) -> distflow_status {
    handle::with::<NodeObject>(node, |object| object.close(convert::timeout(timeout_ms)))
}

/// Releases a node, and closes it first if that was not done. The handle is stale from the start
/// of this call on.
///
/// Ownership: takes `node`, which may be NULL, stale or foreign: then nothing happens. In a
/// forked child it does nothing either.
/// Blocks: as long as closing takes, at most about 5 s; a callback that runs longer ends
/// undisturbed, and its drop function runs after it. In a callback: allowed; on a callback thread
/// of this node it does not block, and the node ends after the callback has returned.
/// Statuses: none.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_node_free(node: *mut distflow_node) {
    quietly(|| handle::free::<NodeObject>(node));
}
