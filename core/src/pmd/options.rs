//! Options of a PMD.

use crate::limits;
use crate::net::Detection;

/// How a PMD is set up. `PmdOptions::default()` listens on loopback, port 4369, and never ends
/// by itself.
#[derive(Debug, Clone)]
pub struct PmdOptions {
    /// Host to listen on; `localhost` means both loopback families. Default `localhost`.
    pub host: String,
    /// Port to listen on; 0 picks a free one. Default 4369.
    pub port: u16,
    /// Allows a host beyond loopback although there is no authentication. Default false.
    pub insecure: bool,
    /// Ends the PMD after this many milliseconds without a node. Default `None` = never; the
    /// daemon uses 30,000.
    pub auto_shutdown_ms: Option<u64>,
    /// Age in milliseconds at which a heartbeat-bound node leaves. Default 3,000.
    pub heartbeat_ttl_ms: u64,
    /// Silence in milliseconds after which a node that promised heartbeats is expelled.
    /// Default 14,000.
    pub heartbeat_expel_ms: u64,
    /// How long a conflicting registration waits for the holder to prove dead. Default 500 ms.
    pub probe_ms: u64,
    /// Largest frame accepted. Default 1 MiB.
    pub frame_bytes_max: usize,
    /// Time in milliseconds to complete a frame that has begun. Default 10,000.
    pub frame_deadline_ms: u64,
    /// Connections at most. Default 16,384.
    pub connections_max: usize,
    /// Raises this process's soft limit of file descriptors as far as `connections_max` needs it
    /// and the hard limit allows. The daemon does; within a host it is the host's limit. Default
    /// false.
    pub raise_descriptor_limit: bool,
    /// Hands table and port over to a PMD that is started with `--takeover`. One that a node
    /// brought into being does; who starts a PMD on purpose wants that one. Default false.
    pub gives_way: bool,
    /// Nodes at most. Default 65,536.
    pub nodes_max: usize,
    /// Nodes of one connection at most. Default 64.
    pub nodes_per_connection_max: usize,
    /// Event bytes waiting for one watcher above which it is cut off if it has taken nothing for 8 s; at 8 MiB
    /// it is cut off in any case. Default 256 KiB.
    pub watcher_queue_bytes_max: usize,
    /// How silent connections are found dead.
    pub detection: Detection,
}

impl Default for PmdOptions {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            port: limits::PMD_PORT_DEFAULT,
            insecure: false,
            auto_shutdown_ms: None,
            heartbeat_ttl_ms: limits::HEARTBEAT_TTL_MS,
            heartbeat_expel_ms: limits::HEARTBEAT_EXPEL_MS,
            probe_ms: limits::PROBE_MS,
            frame_bytes_max: limits::PMD_FRAME_BYTES_MAX,
            frame_deadline_ms: limits::FRAME_DEADLINE_MS,
            connections_max: limits::PMD_CONNECTIONS_MAX,
            raise_descriptor_limit: false,
            gives_way: false,
            nodes_max: limits::PMD_NODES_MAX,
            nodes_per_connection_max: limits::PMD_NODES_PER_CONNECTION_MAX,
            watcher_queue_bytes_max: limits::WATCHER_QUEUE_BYTES_MAX,
            detection: Detection::default(),
        }
    }
}
