//! What a PMD says of itself.

use serde::{Deserialize, Serialize};

/// A PMD's state, limits and options, as it answers `status`. Members that a later version adds
/// are ignored; those that an earlier one lacks are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PmdStatus {
    /// Version of distflow.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Milliseconds since it began to serve.
    pub uptime_ms: u64,
    /// Resident memory of its process, in a host that of the host; 0 where it is not known.
    pub memory_bytes: u64,
    /// Addresses it listens on.
    pub addresses: Vec<String>,
    /// Registered nodes.
    pub nodes: u64,
    /// Open connections.
    pub connections: u64,
    /// Connections at most, as far as descriptors allow.
    pub connections_max: u64,
    /// Nodes at most.
    pub nodes_max: u64,
    /// Soft limit of file descriptors; 0 where there is none.
    pub descriptors_soft: u64,
    /// Hard limit of file descriptors; 0 where there is none.
    pub descriptors_hard: u64,
    /// It ends after so many milliseconds without a node; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_shutdown_ms: Option<u64>,
    /// Whether it was brought into being by a node, and gives way to `pmd start --takeover`.
    pub gives_way: bool,
    /// Whether it listens beyond loopback without authentication.
    pub insecure: bool,
}
