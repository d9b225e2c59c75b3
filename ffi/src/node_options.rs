//! Options of a node.

use std::ffi::c_char;
use std::path::Path;
use std::time::Duration;

use distflow_core::{Launcher, NodeOptions, Overflow, Result};

use crate::convert::{self, invalid};
use crate::guard::guard;
use crate::status::distflow_status;

/// A message that finds the mailbox full is dropped and counted.
pub const DISTFLOW_OVERFLOW_DROP_NEWEST: i32 = 0;
/// The oldest waiting message is dropped and counted.
pub const DISTFLOW_OVERFLOW_DROP_OLDEST: i32 = 1;
/// Nothing is dropped: the node stops reading until there is room, and senders wait.
pub const DISTFLOW_OVERFLOW_BLOCK: i32 = 2;

/// How a node is set up. Filled with the defaults by `distflow_node_options_init`; the texts are
/// borrowed by `distflow_node_open` during the call, and NULL means the default.
#[repr(C)]
pub struct distflow_node_options {
    /// Size of this struct in bytes; set by `distflow_node_options_init`.
    pub struct_size: usize,
    /// The name other nodes find this one by. Default, and when empty: none.
    pub alias: *const c_char,
    /// A fixed node id. Default: 16 random hex digits. A restart with the same id is the same
    /// node to its peers.
    pub node_id: *const c_char,
    /// Host of the PMD. Default `localhost`.
    pub pmd_host: *const c_char,
    /// The `distflow` program to launch a PMD with. Default: searched, see docs/c.md.
    pub pmd_executable: *const c_char,
    /// Host to listen on for messages; `localhost` means both loopback families. Default
    /// `localhost`.
    pub listen_host: *const c_char,
    /// Host that peers are told to dial. Default: `localhost` when the PMD is on loopback,
    /// otherwise this machine's address towards the PMD.
    pub advertised_host: *const c_char,
    /// Metadata: a JSON object of up to 4,096 bytes that others see. Default none.
    pub meta: *const c_char,
    /// Length of the metadata in bytes. Default 0.
    pub meta_len: usize,
    /// Messages the mailbox holds, at least 1. Default 1,000.
    pub mailbox_messages_max: u64,
    /// Payload bytes the mailbox holds; a larger message is taken when nothing else waits.
    /// Default 16 MiB.
    pub mailbox_bytes_max: u64,
    /// Bytes waiting to be written to one peer. Default 4 MiB.
    pub queue_bytes_max: u64,
    /// Largest frame sent or accepted, 1,024 to 4,294,967,295 bytes. A peer that accepts only
    /// smaller ones loses what is larger, and counts it, but the sender is not told. Default
    /// 16 MiB.
    pub frame_bytes_max: u64,
    /// Milliseconds to complete a frame that has begun. Default 10,000.
    pub frame_deadline_ms: u64,
    /// Milliseconds for the whole start; until then, a PMD that does not answer yet is tried
    /// again. Default 5,000.
    pub start_timeout_ms: u64,
    /// Milliseconds for one request to the PMD. Default 5,000.
    pub request_timeout_ms: u64,
    /// Milliseconds without any node after which a launched PMD ends. Default 30,000.
    pub pmd_auto_shutdown_ms: u64,
    /// Milliseconds between heartbeats, 50 to 5,000. Default 1,000.
    pub heartbeat_interval_ms: u64,
    /// Milliseconds of silence before a connection is probed (TCP keep-alive), at least 1,000.
    /// Default 2,000.
    pub keepalive_idle_ms: u64,
    /// Milliseconds between such probes, at least 1,000. Default 1,000.
    pub keepalive_interval_ms: u64,
    /// Milliseconds that data for the PMD may wait unacknowledged (`TCP_USER_TIMEOUT`); 0 = as the
    /// system decides. Default 8,000.
    pub tcp_user_timeout_ms: u64,
    /// Unanswered probes that make a connection dead, at least 1. Default 3.
    pub keepalive_probes: u32,
    /// What happens when the mailbox is full: one of `DISTFLOW_OVERFLOW_…`. Default
    /// `DISTFLOW_OVERFLOW_DROP_NEWEST`.
    pub overflow: i32,
    /// Port of the PMD, 1 to 65,535. Default 4369.
    pub pmd_port: u16,
    /// Port to listen on; 0 picks a free one. Default 0.
    pub listen_port: u16,
    /// 1 = launch a PMD when none answers and `pmd_host` is this machine's loopback. Default 1.
    pub auto_start: u8,
    /// 1 = when no program is found to launch, serve as the PMD in this process. Default 0.
    pub embed_pmd: u8,
    /// 1 = allow a listening host beyond loopback, although there is no authentication.
    /// Default 0.
    pub insecure: u8,
    /// 1 = send heartbeats, so that others notice when this process is frozen. Default 0.
    pub use_heartbeat: u8,
    /// 1 = be the only such node of this process, by the original packages' lock file. Default 0.
    pub exclusive: u8,
    /// Zero; for later versions.
    pub reserved: [u8; 7],
}

/// Size of the struct in the first version that had it.
const SIZE_FIRST: usize = size_of::<distflow_node_options>();

/// Fills options with the defaults. `struct_size` is `sizeof(distflow_node_options)` as the
/// program was compiled.
///
/// Ownership: `options` is the caller's. Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_ARGUMENT.
///
/// # Safety
/// `options` must be NULL or point to `struct_size` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_node_options_init(
    options: *mut distflow_node_options,
    struct_size: usize,
) -> distflow_status {
    // SAFETY: the caller promises that many bytes.
    guard(|| unsafe { convert::init("options", options, struct_size, SIZE_FIRST, defaults()) })
}

fn defaults() -> distflow_node_options {
    let defaults = NodeOptions::default();
    let detection = defaults.detection;
    let ms = |duration: Duration| duration.as_millis() as u64;
    distflow_node_options {
        struct_size: 0,
        alias: std::ptr::null(),
        node_id: std::ptr::null(),
        pmd_host: std::ptr::null(),
        pmd_executable: std::ptr::null(),
        listen_host: std::ptr::null(),
        advertised_host: std::ptr::null(),
        meta: std::ptr::null(),
        meta_len: 0,
        mailbox_messages_max: defaults.mailbox.messages_max as u64,
        mailbox_bytes_max: defaults.mailbox.bytes_max as u64,
        queue_bytes_max: defaults.queue_bytes_max as u64,
        frame_bytes_max: defaults.frame_bytes_max as u64,
        frame_deadline_ms: defaults.frame_deadline_ms,
        start_timeout_ms: defaults.start_timeout_ms,
        request_timeout_ms: defaults.request_timeout_ms,
        pmd_auto_shutdown_ms: defaults.pmd_auto_shutdown_ms,
        heartbeat_interval_ms: defaults.heartbeat_interval_ms,
        keepalive_idle_ms: ms(detection.keepalive_idle),
        keepalive_interval_ms: ms(detection.keepalive_interval),
        tcp_user_timeout_ms: ms(detection.user_timeout),
        keepalive_probes: detection.keepalive_probes,
        overflow: DISTFLOW_OVERFLOW_DROP_NEWEST,
        pmd_port: defaults.pmd_port,
        listen_port: defaults.listen_port,
        auto_start: u8::from(defaults.auto_start),
        embed_pmd: u8::from(defaults.embed_pmd),
        insecure: u8::from(defaults.insecure),
        use_heartbeat: u8::from(defaults.use_heartbeat),
        exclusive: u8::from(defaults.exclusive),
        reserved: [0; 7],
    }
}

fn overflow(number: i32) -> Result<Overflow> {
    match number {
        DISTFLOW_OVERFLOW_DROP_NEWEST => Ok(Overflow::DropNewest),
        DISTFLOW_OVERFLOW_DROP_OLDEST => Ok(Overflow::DropOldest),
        DISTFLOW_OVERFLOW_BLOCK => Ok(Overflow::Block),
        _ => Err(invalid(format!(
            "overflow is {number}, but must be one of DISTFLOW_OVERFLOW_… (0, 1 or 2)"
        ))),
    }
}

/// The options of a caller; NULL = the defaults.
///
/// # Safety
/// The pointer is NULL or points to a struct of the size it says, with valid texts.
pub(crate) unsafe fn read(options: *const distflow_node_options) -> Result<NodeOptions> {
    if options.is_null() {
        return Ok(NodeOptions::default());
    }
    // SAFETY: not NULL; the rest is the caller's promise.
    let from = unsafe { convert::sized("options", options, SIZE_FIRST) }?;
    convert::check_flags(&[
        ("auto_start", from.auto_start),
        ("embed_pmd", from.embed_pmd),
        ("insecure", from.insecure),
        ("use_heartbeat", from.use_heartbeat),
        ("exclusive", from.exclusive),
    ])?;
    if !from.meta.is_null() && from.meta_len == 0 {
        return Err(invalid("meta is set, but meta_len is 0"));
    }
    if from.reserved != [0; 7] {
        return Err(convert::from_later("options"));
    }
    // SAFETY: the texts are the caller's promise, here and below.
    let text = |what, text| unsafe { convert::optional_text(what, text) };
    let owned = |what, pointer| text(what, pointer).map(|text| text.map(str::to_owned));
    let mut options = NodeOptions {
        alias: owned("alias", from.alias)?,
        node_id: owned("node_id", from.node_id)?,
        advertised_host: owned("advertised_host", from.advertised_host)?,
        pmd_port: from.pmd_port,
        listen_port: from.listen_port,
        auto_start: from.auto_start != 0,
        embed_pmd: from.embed_pmd != 0,
        insecure: from.insecure != 0,
        use_heartbeat: from.use_heartbeat != 0,
        exclusive: from.exclusive != 0,
        pmd_auto_shutdown_ms: from.pmd_auto_shutdown_ms,
        heartbeat_interval_ms: from.heartbeat_interval_ms,
        start_timeout_ms: from.start_timeout_ms,
        request_timeout_ms: from.request_timeout_ms,
        frame_bytes_max: from.frame_bytes_max as usize,
        frame_deadline_ms: from.frame_deadline_ms,
        queue_bytes_max: from.queue_bytes_max as usize,
        ..NodeOptions::default()
    };
    if let Some(host) = owned("pmd_host", from.pmd_host)? {
        options.pmd_host = host;
    }
    if let Some(host) = owned("listen_host", from.listen_host)? {
        options.listen_host = host;
    }
    if let Some(path) = text("pmd_executable", from.pmd_executable)? {
        options.launcher = Some(Launcher::executable(Path::new(path))?);
    }
    // SAFETY: as above.
    let meta = unsafe { convert::slice("meta", from.meta, from.meta_len) }?;
    if !meta.is_empty() {
        let text = std::str::from_utf8(meta)
            .map_err(|error| invalid(format!("meta is not valid UTF-8: {error}")))?;
        options.meta = Some(text.to_owned());
    }
    options.mailbox.messages_max = from.mailbox_messages_max as usize;
    options.mailbox.bytes_max = from.mailbox_bytes_max as usize;
    options.mailbox.overflow = overflow(from.overflow)?;
    options.detection.keepalive_idle = Duration::from_millis(from.keepalive_idle_ms);
    options.detection.keepalive_interval = Duration::from_millis(from.keepalive_interval_ms);
    options.detection.keepalive_probes = from.keepalive_probes;
    options.detection.user_timeout = Duration::from_millis(from.tcp_user_timeout_ms);
    Ok(options)
}
