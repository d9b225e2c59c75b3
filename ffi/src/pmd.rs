//! A PMD in this process.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use distflow_core::{Pmd, PmdNotice, PmdOptions, Result};

use crate::convert;
use crate::event::{Draft, distflow_event, distflow_pmd_event_fn};
use crate::foreign::{Context, distflow_drop_fn};
use crate::guard::{guard, quietly};
use crate::handle::{self, Closable, Object};
use crate::node_callbacks::{Id, no_callback};
use crate::opaque::distflow_pmd;
use crate::peer::{self, Texts, distflow_peers};
use crate::queue::{self, Descriptor};
use crate::status::distflow_status;

/// How a PMD is set up. Filled with the defaults by `distflow_pmd_options_init`; the text is
/// borrowed by `distflow_pmd_open` during the call.
#[repr(C)]
pub struct distflow_pmd_options {
    /// Size of this struct in bytes; set by `distflow_pmd_options_init`.
    pub struct_size: usize,
    /// Host to listen on; NULL or `localhost` means both loopback families.
    pub host: *const c_char,
    /// Milliseconds without a node after which the PMD ends; 0 = never. Default 0.
    pub auto_shutdown_ms: u64,
    /// Age in milliseconds at which a heartbeat-bound node (of the first original package)
    /// leaves. Default 3,000.
    pub heartbeat_ttl_ms: u64,
    /// Silence in milliseconds after which a node that promised heartbeats is expelled.
    /// Default 14,000.
    pub heartbeat_expel_ms: u64,
    /// Milliseconds a conflicting registration waits for the holder to prove dead. Default 500.
    pub probe_ms: u64,
    /// Largest frame accepted, in bytes. Default 1 MiB.
    pub frame_bytes_max: u64,
    /// Milliseconds to complete a frame that has begun. Default 10,000.
    pub frame_deadline_ms: u64,
    /// Connections at most. Default 16,384.
    pub connections_max: u64,
    /// Nodes at most. Default 65,536.
    pub nodes_max: u64,
    /// Nodes of one connection at most. Default 64.
    pub nodes_per_connection_max: u64,
    /// Event bytes waiting for one watcher above which it is cut off if it has taken nothing for 8 s; at 8 MiB
    /// it is cut off in any case. Default 256 KiB.
    pub watcher_queue_bytes_max: u64,
    /// Milliseconds of silence before a connection is probed (TCP keep-alive). Default 2,000.
    pub keepalive_idle_ms: u64,
    /// Milliseconds between such probes. Default 1,000.
    pub keepalive_interval_ms: u64,
    /// Milliseconds that unacknowledged data may wait (`TCP_USER_TIMEOUT`). Default 8,000.
    pub tcp_user_timeout_ms: u64,
    /// Unanswered probes that make a connection dead. Default 3.
    pub keepalive_probes: u32,
    /// Port to listen on; 0 picks a free one. Default 4369.
    pub port: u16,
    /// 1 = allow a host beyond loopback, although there is no authentication. Default 0.
    pub insecure: u8,
    /// Zero; for later versions.
    pub reserved: [u8; 9],
}

const SIZE_FIRST: usize = size_of::<distflow_pmd_options>();

/// What a `distflow_pmd *` stands for.
pub(crate) struct PmdObject {
    pmd: Pmd,
    broken: AtomicBool,
    closed: AtomicBool,
    descriptor: Descriptor,
}

impl Object for PmdObject {
    type Public = distflow_pmd;
    const TYPE: (usize, &'static str) = (2, "distflow_pmd");

    fn broken(&self) -> &AtomicBool {
        &self.broken
    }
}

impl Closable for PmdObject {
    fn closed(&self) -> &AtomicBool {
        &self.closed
    }

    fn is_callback_thread(&self) -> bool {
        self.pmd.is_callback_thread()
    }

    fn stop_callbacks(&self) {
        self.pmd.stop_callbacks();
    }

    fn end(&self, limit: Duration) -> Result<()> {
        self.pmd.stop_within(limit)
    }
}

/// Fills options with the defaults. `struct_size` is `sizeof(distflow_pmd_options)` as the
/// program was compiled.
///
/// Ownership: `options` is the caller's. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT.
///
/// # Safety
/// `options` must be NULL or point to `struct_size` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_options_init(
    options: *mut distflow_pmd_options,
    struct_size: usize,
) -> distflow_status {
    // SAFETY: the caller promises that many bytes.
    guard(|| unsafe { convert::init("options", options, struct_size, SIZE_FIRST, defaults()) })
}

fn defaults() -> distflow_pmd_options {
    let defaults = PmdOptions::default();
    let detection = defaults.detection;
    let ms = |duration: Duration| duration.as_millis() as u64;
    distflow_pmd_options {
        struct_size: 0,
        host: std::ptr::null(),
        auto_shutdown_ms: defaults.auto_shutdown_ms.unwrap_or(0),
        heartbeat_ttl_ms: defaults.heartbeat_ttl_ms,
        heartbeat_expel_ms: defaults.heartbeat_expel_ms,
        probe_ms: defaults.probe_ms,
        frame_bytes_max: defaults.frame_bytes_max as u64,
        frame_deadline_ms: defaults.frame_deadline_ms,
        connections_max: defaults.connections_max as u64,
        nodes_max: defaults.nodes_max as u64,
        nodes_per_connection_max: defaults.nodes_per_connection_max as u64,
        watcher_queue_bytes_max: defaults.watcher_queue_bytes_max as u64,
        keepalive_idle_ms: ms(detection.keepalive_idle),
        keepalive_interval_ms: ms(detection.keepalive_interval),
        tcp_user_timeout_ms: ms(detection.user_timeout),
        keepalive_probes: detection.keepalive_probes,
        port: defaults.port,
        insecure: u8::from(defaults.insecure),
        reserved: [0; 9],
    }
}

/// # Safety
/// As for `distflow_pmd_open`.
unsafe fn read(options: *const distflow_pmd_options) -> Result<PmdOptions> {
    if options.is_null() {
        return Ok(PmdOptions::default());
    }
    // SAFETY: not NULL; the rest is the caller's promise.
    let from = unsafe { convert::sized("options", options, SIZE_FIRST) }?;
    convert::check_flags(&[("insecure", from.insecure)])?;
    if from.reserved != [0; 9] {
        return Err(convert::from_later("options"));
    }
    let mut options = PmdOptions {
        port: from.port,
        insecure: from.insecure != 0,
        auto_shutdown_ms: Some(from.auto_shutdown_ms).filter(|ms| *ms > 0),
        heartbeat_ttl_ms: from.heartbeat_ttl_ms,
        heartbeat_expel_ms: from.heartbeat_expel_ms,
        probe_ms: from.probe_ms,
        frame_bytes_max: from.frame_bytes_max as usize,
        frame_deadline_ms: from.frame_deadline_ms,
        connections_max: from.connections_max as usize,
        nodes_max: from.nodes_max as usize,
        nodes_per_connection_max: from.nodes_per_connection_max as usize,
        watcher_queue_bytes_max: from.watcher_queue_bytes_max as usize,
        ..PmdOptions::default()
    };
    // SAFETY: the text is the caller's promise.
    if let Some(host) = unsafe { convert::optional_text("host", from.host) }? {
        options.host = host.to_owned();
    }
    options.detection.keepalive_idle = Duration::from_millis(from.keepalive_idle_ms);
    options.detection.keepalive_interval = Duration::from_millis(from.keepalive_interval_ms);
    options.detection.keepalive_probes = from.keepalive_probes;
    options.detection.user_timeout = Duration::from_millis(from.tcp_user_timeout_ms);
    Ok(options)
}

/// Starts a PMD in this process. When this returns, nodes can connect. It never ends the process.
///
/// Ownership: `options` and its text are borrowed during the call; NULL means the defaults.
/// `*pmd_out` is owned; release it with `distflow_pmd_free`. It is NULL on failure.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT, ADDRESS_IN_USE, INSECURE, CONNECTION_FAILED (the host cannot be
/// looked up), BUSY, IO, PANIC.
///
/// # Safety
/// `options` must be NULL or point to a struct that its _init function filled; `pmd_out` must be
/// NULL or point to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_open(
    options: *const distflow_pmd_options,
    pmd_out: *mut *mut distflow_pmd,
) -> distflow_status {
    guard(|| {
        // SAFETY: the caller's promises are this function's, here and below.
        unsafe { convert::set("pmd_out", pmd_out, std::ptr::null_mut()) }?;
        // SAFETY: as above.
        let pmd = Pmd::start(unsafe { read(options) }?)?;
        let object = Arc::new(PmdObject {
            pmd,
            broken: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            descriptor: Descriptor::default(),
        });
        // SAFETY: as above.
        unsafe { convert::set("pmd_out", pmd_out, handle::insert(object)?) }
    })
}

/// Gives the port that the PMD listens on.
///
/// Ownership: `port_out` is the caller's. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `port_out` must be NULL or point to a `uint16_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_port(
    pmd: *const distflow_pmd,
    port_out: *mut u16,
) -> distflow_status {
    handle::with::<PmdObject>(pmd, |object| {
        // SAFETY: the caller promises that it can be written.
        unsafe { convert::set("port_out", port_out, object.pmd.port()) }
    })
}

/// Tells whether the PMD still serves: it ends when it is closed, when a client asks for it, and
/// after `auto_shutdown_ms` without a node.
///
/// Ownership: `running_out` is the caller's. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `running_out` must be NULL or point to a `bool`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_is_running(
    pmd: *const distflow_pmd,
    running_out: *mut bool,
) -> distflow_status {
    handle::with::<PmdObject>(pmd, |object| {
        // SAFETY: the caller promises that it can be written.
        unsafe { convert::set("running_out", running_out, object.pmd.is_running()) }
    })
}

/// Gives the registered nodes, in order of registration.
///
/// Ownership: `*peers_out` is owned; release it with `distflow_peers_free`.
/// Blocks: for one turn of the PMD, well under a millisecond as a rule. In a callback: allowed.
/// Statuses: OK, CLOSED (the PMD has ended), INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `peers_out` must be NULL or point to a `distflow_peers`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_snapshot(
    pmd: *const distflow_pmd,
    peers_out: *mut distflow_peers,
) -> distflow_status {
    let snapshot = |object: &Arc<PmdObject>| {
        object.check_open()?;
        let nodes = object.pmd.nodes()?;
        peer::peers(nodes.iter().map(|node| Texts::of_register(node)))
    };
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(pmd, "peers_out", peers_out, distflow_peers::EMPTY, snapshot) }
}

/// Receives the next event: a join, a leave or the end. 16,384 wait at most, then the oldest go.
///
/// Ownership: `*event_out` is owned; release it with `distflow_event_free`. It is empty on
/// failure.
/// Blocks: up to `timeout_ms`. In a callback: allowed; callbacks and this function compete for
/// events.
/// Statuses: OK, TIMEOUT (nothing came), CLOSED (the PMD has ended and nothing waits),
/// INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `event_out` must be NULL or point to a `distflow_event`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_recv_event(
    pmd: *mut distflow_pmd,
    timeout_ms: i64,
    event_out: *mut distflow_event,
) -> distflow_status {
    let receive = |object: &Arc<PmdObject>| {
        loop {
            let notice = queue::receive(object.pmd.events(), timeout_ms, "the PMD has ended")?;
            // A kind that this version cannot tell is passed over.
            if let Some(event) = Draft::of_pmd(&notice) {
                return event.finish();
            }
        }
    };
    let empty = distflow_event::empty();
    // SAFETY: the caller promises that it can be written.
    unsafe { handle::with_out(pmd, "event_out", event_out, empty, receive) }
}

/// Gives a descriptor that is readable exactly while an event waits, and for ever once the PMD
/// has ended; see `distflow_node_fd`.
///
/// Ownership: the descriptor is borrowed and valid until `distflow_pmd_free`; do not read, write
/// or close it.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, IO, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
///
/// # Safety
/// `fd_out` must be NULL or point to an `int`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_fd(
    pmd: *mut distflow_pmd,
    fd_out: *mut c_int,
) -> distflow_status {
    handle::with::<PmdObject>(pmd, |object| {
        convert::check_out("fd_out", fd_out)?;
        let fd = object.descriptor.of(object.pmd.events())?;
        // SAFETY: the caller promises that it can be written.
        unsafe { convert::set("fd_out", fd_out, fd) }
    })
}

/// Adds a callback for events; what waits comes first.
///
/// Ownership: as for `distflow_node_on_message`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, IO, FORKED, PANIC.
///
/// # Safety
/// `callback` and `drop` must be safe to call with `context` on another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_on_event(
    pmd: *mut distflow_pmd,
    callback: distflow_pmd_event_fn,
    context: *mut c_void,
    drop: distflow_drop_fn,
) -> distflow_status {
    let context = Context::new(context, drop);
    handle::with::<PmdObject>(pmd, move |object| {
        object.check_open()?;
        let callback = callback.ok_or_else(no_callback)?;
        let id = Id(pmd);
        object.pmd.on_event(move |notice: &PmdNotice| {
            if let Some(draft) = Draft::of_pmd(notice) {
                draft.lend(|event| {
                    // SAFETY: the caller promised that it may be called so.
                    unsafe { callback(id.get(), event, context.pointer()) };
                });
            }
        })
    })
}

/// Ends a PMD: flushes, closes every connection, lets callbacks take what waits for them, and
/// waits until none runs any more. When three quarters of the time are over, what still waits for
/// callbacks is left. Closing again is harmless, and waits for a close that is under way.
///
/// Ownership: the handle stays valid until `distflow_pmd_free`.
/// Blocks: up to `timeout_ms`; without a limit as long as callbacks take. In a callback: not of
/// this PMD: REENTRANT_CALL, and nothing happens.
/// Statuses: OK (no callback runs any more), TIMEOUT (one still runs; call again),
/// REENTRANT_CALL, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_pmd_close(pmd: *mut distflow_pmd, timeout_ms: i64) -> distflow_status {
    handle::with::<PmdObject>(pmd, |object| object.close(convert::timeout(timeout_ms)))
}

/// Releases a PMD, and closes it first if that was not done. The handle is stale from the start
/// of this call on.
///
/// Ownership: takes `pmd`, which may be NULL, stale or foreign: then nothing happens. In a forked
/// child it does nothing either.
/// Blocks: as long as closing takes, at most about 5 s; a callback that runs longer ends
/// undisturbed, and its drop function runs after it. In a callback: allowed; on the callback
/// thread of this PMD it does not block, and the PMD ends after the callback has returned.
/// Statuses: none.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_pmd_free(pmd: *mut distflow_pmd) {
    quietly(|| handle::free::<PmdObject>(pmd));
}
