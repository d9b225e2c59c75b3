//! Every bound and default of distflow, with its unit in the name.
//!
//! Nothing else in the code holds a bare number that a user could run into. Options
//! structs start from these values; the comment says what raising one costs.

/// TCP port of the PMD, the one Erlang's epmd uses too.
pub const PMD_PORT_DEFAULT: u16 = 4369;

/// Largest frame a PMD accepts. A connection can pin this much memory while a frame arrives.
pub const PMD_FRAME_BYTES_MAX: usize = 1 << 20;
/// Largest frame a node accepts or sends. An inbound connection can pin this much memory.
pub const NODE_FRAME_BYTES_MAX: usize = 16 << 20;
/// Largest answer a client accepts from its PMD: the list of 65,536 nodes with metadata fits.
pub const PMD_ANSWER_BYTES_MAX: usize = 64 << 20;
/// Time to complete a frame that has begun. Idle time between frames is unlimited.
pub const FRAME_DEADLINE_MS: u64 = 10_000;
/// Nesting depth of any JSON. `serde_json` stops at 128, and dropping a tree recurses as well.
pub const JSON_DEPTH_MAX: u32 = 64;

/// Length of a node id in bytes.
pub const NODE_ID_BYTES_MAX: usize = 128;
/// Length of an alias in bytes.
pub const ALIAS_BYTES_MAX: usize = 255;
/// Length of a host name in bytes.
pub const HOST_BYTES_MAX: usize = 255;
/// Size of a registration's metadata object as JSON text; every PMD and every node holds it.
pub const META_BYTES_MAX: usize = 4_096;
/// Capabilities a client may announce.
pub const CAPABILITIES_MAX: usize = 16;

/// Connections a PMD accepts; each costs well under 1 KiB and one file descriptor.
pub const PMD_CONNECTIONS_MAX: usize = 16_384;
/// Nodes a PMD registers; each costs about 0.5 KiB.
pub const PMD_NODES_MAX: usize = 65_536;
/// Nodes one connection may register.
pub const PMD_NODES_PER_CONNECTION_MAX: usize = 64;
/// Event bytes waiting for one watcher. Past it the watcher is cut off and has to resync.
pub const WATCHER_QUEUE_BYTES_MAX: usize = 256 << 10;
/// Answers waiting for one connection before the PMD stops reading its requests.
pub const ANSWERS_BYTES_MAX: usize = 1 << 20;
/// Pause before a PMD that ran out of file descriptors accepts again.
pub const ACCEPT_RETRY_MS: u64 = 100;
/// Time a PMD spends on sending what is queued before it ends.
pub const PMD_FLUSH_MS: u64 = 500;

/// How long a conflicting registration waits for the holder of the name to prove dead.
///
/// A killed process keeps its sockets until the kernel has torn it down, which can be after
/// its successor already asks for the alias.
pub const PROBE_MS: u64 = 500;
/// Age at which a heartbeat-bound node (pmd.md 7, first-generation clients) is removed.
pub const HEARTBEAT_TTL_MS: u64 = 3_000;
/// Silence after which a node that promised heartbeats is probed.
pub const HEARTBEAT_SUSPECT_MS: u64 = 6_000;
/// Silence after which a node that promised heartbeats is expelled.
pub const HEARTBEAT_EXPEL_MS: u64 = 14_000;
/// Interval of the heartbeats a node sends when asked to.
pub const HEARTBEAT_INTERVAL_MS: u64 = 1_000;
/// A gap between two turns of a PMD longer than this means that the PMD itself was stopped,
/// and moves every deadline by the gap.
pub const OWN_PAUSE_MS: u64 = 2_000;
/// Interval at which deadlines without an own timer are looked at.
pub const SWEEP_MS: u64 = 500;
/// How long after its start a PMD tells clients that it may not know every node yet.
pub const WARMING_MS: u64 = 6_000;
/// Time without any node after which a daemon ends itself.
pub const AUTO_SHUTDOWN_MS_DEFAULT: u64 = 30_000;

/// First TCP keep-alive probe after this much silence.
pub const KEEPALIVE_IDLE_S: u64 = 2;
/// Interval of TCP keep-alive probes.
pub const KEEPALIVE_INTERVAL_S: u64 = 1;
/// Unanswered TCP keep-alive probes after which a connection is dead.
pub const KEEPALIVE_PROBES: u32 = 3;
/// Time unacknowledged data may wait before a connection is dead (`TCP_USER_TIMEOUT`).
pub const TCP_USER_TIMEOUT_MS: u64 = 5_000;

/// Longest time of an option, ten years: longer ones mean the same, and clocks could overflow.
pub const TIME_MS_MAX: u64 = 10 * 365 * 24 * 3_600 * 1_000;
/// Time for one request to the PMD, as in the originals.
pub const REQUEST_TIMEOUT_MS_DEFAULT: u64 = 5_000;
/// Time for a whole start of a node, including a PMD to be launched.
pub const START_TIMEOUT_MS_DEFAULT: u64 = 5_000;
/// Time to establish a TCP connection.
pub const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Time a stranger on the PMD's port has to answer the first request.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 900;
/// Requests to the PMD waiting for an answer; further ones fail as busy.
pub const REQUESTS_PENDING_MAX: usize = 65_536;

/// First pause before a lost PMD is tried again; doubles up to [`RECONNECT_MS_MAX`].
pub const RECONNECT_MS_MIN: u64 = 50;
/// Longest pause before a lost PMD is tried again.
pub const RECONNECT_MS_MAX: u64 = 2_000;
/// Spread of the nodes that launch a lost PMD anew: up to this much per known peer.
pub const RELAUNCH_SPREAD_PER_PEER_MS: u64 = 10;
/// Upper end of the spread of [`RELAUNCH_SPREAD_PER_PEER_MS`].
pub const RELAUNCH_SPREAD_MS_MAX: u64 = 1_000;
/// Time a launched PMD has to answer before the launch counts as failed.
pub const LAUNCH_TIMEOUT_MS: u64 = 4_000;

/// Messages a mailbox holds, as in the originals.
pub const MAILBOX_MESSAGES_DEFAULT: usize = 1_000;
/// Payload bytes a mailbox holds.
pub const MAILBOX_BYTES_DEFAULT: usize = 16 << 20;
/// Events waiting for one subscriber; past it the oldest are dropped and counted.
pub const EVENTS_MAX: usize = 16_384;
/// Shortest pause between two overflow events of one mailbox.
pub const OVERFLOW_EVENT_MS: u64 = 1_000;

/// Messages handed to a batch callback at once. More would delay events behind them.
pub const CALLBACK_BATCH_MAX: usize = 256;

/// Bytes waiting to be written to one peer; a full queue makes `send` wait.
pub const LINK_QUEUE_BYTES_DEFAULT: usize = 4 << 20;
/// Queued bytes worth a write of their own: a sender that announced more is not waited for.
pub const FLUSH_BYTES: usize = 32 << 10;
/// Sends waiting for one resolution or one full queue; further ones fail as busy.
pub const SENDS_WAITING_MAX: usize = 65_536;
/// Bytes of sends waiting for a resolution or a full queue, over all targets; further ones fail
/// as busy. Each waiting send's caller holds its payload as well.
pub const SENDS_WAITING_BYTES_MAX: usize = 64 << 20;
/// Connection attempts to one peer before its queue is given up.
pub const LINK_ATTEMPTS_MAX: u32 = 3;
/// Peers that left and whose stream is remembered, in case they come back.
pub const LINKS_PARKED_MAX: usize = 1_024;
/// Pause before another attempt to reach a peer.
pub const LINK_RETRY_MS: u64 = 100;
/// Inbound connections of one node.
pub const INBOUND_MAX: usize = 16_384;
/// Senders whose place in the stream a node remembers.
pub const SENDERS_MAX: usize = 65_536;
/// First size of a connection's read buffer; it grows while reads fill it.
pub const READ_BYTES_MIN: usize = 4 << 10;
/// Largest size of a connection's read buffer between frames. Larger ones were slower: the
/// allocator hands them back to the system and gets them again, page by page.
pub const READ_BYTES_MAX: usize = 64 << 10;
/// Time `shutdown` spends on flushing and saying good-bye.
pub const SHUTDOWN_MS: u64 = 1_500;

/// Bytes of untrusted text in a log line.
pub const LOG_TEXT_BYTES_MAX: usize = 128;
/// Bytes of the message of a log record.
pub const LOG_MESSAGE_BYTES_MAX: usize = 1_024;
/// Log records waiting for one capture, each about 0.5 KiB; past it new ones are dropped and
/// counted.
pub const LOG_RECORDS_MAX: usize = 4_096;
/// How long the library's own network thread stays away after a thread that waited in a call
/// of ours was served. A longer time saves wake-ups in request and answer; as long as this, a
/// message that nobody waits for may lie unread.
pub const DRIVER_RETURN_US: u64 = 300;
/// Connections whose refusal is still being read, after an over-long frame.
pub const LINGER_MS: u64 = 1_000;
/// What one connection may bring before the PMD looks at the others again.
pub const READ_TURN_BYTES: usize = 512 << 10;
/// Size of the one buffer a PMD reads into.
pub const PMD_READ_BYTES: usize = 64 << 10;

/// Levels of a shared document, segments of a path included: what JSON may have, less what operations
/// and snapshots put around it.
pub const CRDT_DEPTH_MAX: usize = JSON_DEPTH_MAX as usize - 4;
/// Length of a member's name in a path in bytes.
pub const CRDT_KEY_BYTES_MAX: usize = 1_024;
/// Largest index of a path. A set pads an array with null up to its index.
pub const CRDT_INDEX_MAX: u32 = 65_535;
/// Size of one operation on a shared document as JSON text.
pub const CRDT_OP_BYTES_MAX: usize = 4 << 20;
/// Replicas that an operation may depend on; each costs its source a word per operation.
pub const CRDT_DEPS_MAX: usize = 4_096;
/// Length of a replica's name in bytes.
pub const CRDT_REPLICA_BYTES_MAX: usize = 255;
/// Length of the name that a replica is given: what it may have to add to it finds room.
pub const CRDT_OWN_REPLICA_BYTES_MAX: usize = CRDT_REPLICA_BYTES_MAX - 15;
/// Operations a document keeps for peers; older ones are trimmed at twice as many.
pub const CRDT_LOG_OPS_DEFAULT: usize = 1_000;
/// Operations that wait for others before them.
pub const CRDT_PENDING_OPS_DEFAULT: usize = 10_000;
/// How long they wait before they are given up.
pub const CRDT_PENDING_MS_DEFAULT: u64 = 60_000;
/// Age at which a delete that everybody has seen is forgotten.
pub const CRDT_TOMBSTONE_GRACE_MS_DEFAULT: u64 = 3_600_000;
/// Registers above which a document warns.
pub const CRDT_REGISTERS_DEFAULT: usize = 100_000;
/// How far ahead of this host's clock a stamp is reported.
pub const CRDT_DRIFT_MS_DEFAULT: u64 = 300_000;
/// Bytes of operations that wait for others before them.
pub const CRDT_PENDING_BYTES_MAX: usize = 64 << 20;
/// Events of a document that are kept until somebody asks for them; then the oldest go.
pub const CRDT_EVENTS_MAX: usize = 65_536;

/// Length of a session's id in bytes; it is one level of a topic.
pub const SESSION_ID_BYTES_MAX: usize = 128;
/// Length of an instance's id in bytes.
pub const SESSION_INSTANCE_BYTES_MAX: usize = 64;
/// Length of a player's name in bytes.
pub const SESSION_PLAYER_BYTES_MAX: usize = 128;
/// Length of a model's name in bytes.
pub const SESSION_MODEL_BYTES_MAX: usize = 255;
/// Instances in one session.
pub const SESSION_MEMBERS_MAX: usize = 1_024;
/// Size of a message about a session; longer ones are ignored and counted.
pub const SESSION_PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Sessions in a list; further ones are ignored and counted.
pub const SESSION_LIST_MAX: usize = 1_024;
/// Seconds of a countdown: a day.
pub const SESSION_COUNTDOWN_S_MAX: u32 = 86_400;
/// Players that can be reserved or registered in one session.
pub const SESSION_PLAYERS_MAX: usize = 1_024;
