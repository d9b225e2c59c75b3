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
/// Time to complete the first four bytes of a conversation; a whole frame has longer. Erlang's
/// epmd is asked with three.
pub const FIRST_BYTES_MS: u64 = 1_000;
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
/// Descriptors that a PMD needs beside its connections: listeners, the poll, logs, one to spare.
pub const PMD_OWN_DESCRIPTORS: usize = 24;
/// Nodes a PMD registers; each costs about 0.5 KiB.
pub const PMD_NODES_MAX: usize = 65_536;
/// Nodes one connection may register.
pub const PMD_NODES_PER_CONNECTION_MAX: usize = 64;
/// Event bytes that may wait for a watcher that takes nothing. Past it, and after
/// [`WATCHER_STALL_MS`] without a byte taken, the watcher is cut off and has to resync.
pub const WATCHER_QUEUE_BYTES_MAX: usize = 256 << 10;
/// Time a watcher with much to read may take nothing before it is cut off. A socket that is read
/// slowly takes nothing for seconds, until there is room for a large piece.
pub const WATCHER_STALL_MS: u64 = 8_000;
/// Event bytes kept for the slowest watchers of one kind, for all of them together: events are
/// kept once. Who is further behind is cut off, although it reads.
pub const FEED_BYTES_MAX: usize = 8 << 20;
/// Piece in which events are kept, and forgotten when all have read it.
pub const FEED_CHUNK_BYTES: usize = 64 << 10;
/// Events a PMD writes to its watchers before it looks at requests again, in bytes; a write
/// counts as at least [`FEED_WRITE_BYTES_MIN`].
pub const FEED_TURN_BYTES: usize = 1 << 20;
/// What a write of events counts as at least, for what it costs besides its bytes.
pub const FEED_WRITE_BYTES_MIN: usize = 4 << 10;
/// Time after the last change at which a PMD gives back the memory that it does not need.
pub const PMD_TRIM_MS: u64 = 5_000;
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
/// Time unacknowledged data may wait before a connection is dead (`TCP_USER_TIMEOUT`), and the
/// silence after which one is that answers no keep-alive probes. It ends the connection of a
/// receiver that lives and does not read for this time, too: so it is as long as the promise to
/// notice a dead peer within 10 s allows.
pub const TCP_USER_TIMEOUT_MS: u64 = 8_000;
const _: () = assert!(TCP_USER_TIMEOUT_MS >= WATCHER_STALL_MS && TCP_USER_TIMEOUT_MS < 9_000);

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
/// Time a launched command has to bring a PMD into being before it is ended. Longer than a start
/// usually waits, because on a loaded machine the next attempt finds what this one brought.
pub const LAUNCHER_MS: u64 = 10_000;
/// Time to take the port over from another PMD.
pub const TAKEOVER_MS: u64 = 10_000;
/// Pause between two attempts to take the port over.
pub const TAKEOVER_LOOK_MS: u64 = 5;
/// Pause between two looks at whether a launched command that has closed its output has ended.
pub const LAUNCHER_LOOK_MS: u64 = 5;

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

/// Messages of a broker that a list of sessions takes in before it is made anew. More lets other tasks
/// of the network wait longer.
pub const SESSION_LIST_EVENTS_AT_ONCE: usize = 1_024;

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
/// Stack that a thread must have left to run the tasks of others while it waits.
pub const DRIVER_STACK_BYTES: usize = 256 << 10;
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
/// Largest index of a path.
pub const CRDT_INDEX_MAX: u32 = 65_535;
/// Elements of null that one set adds to arrays before what it sets: an operation costs what it is long.
pub const CRDT_PADDING_MAX: usize = 64;
/// Size of one operation on a shared document as JSON text.
pub const CRDT_OP_BYTES_MAX: usize = 4 << 20;
/// Sources that a document counts. Lives that have ended are counted no longer when all members have
/// seen what they wrote.
pub const CRDT_DEPS_MAX: usize = 4_096;
/// Lives that one operation says have ended; each takes about 30 bytes of its text.
pub const CRDT_ENDED_MAX: usize = 512;
/// Lives that have ended before an operation says so.
pub const CRDT_ENDED_LEAST_DEFAULT: usize = 16;
/// Shortest text that a piece of a snapshot may be limited to.
pub const CRDT_PIECE_BYTES_MIN: usize = 1_024;
/// Default length of a piece of a snapshot as text: many fit into a frame.
pub const CRDT_PIECE_BYTES_DEFAULT: usize = 1 << 20;
/// Bytes of a snapshot in pieces, and of all pieces that a document keeps until the rest has come.
pub const CRDT_PIECED_BYTES_MAX: usize = 1 << 30;
/// Snapshots of which a document keeps pieces at once.
pub const CRDT_PIECED_SNAPSHOTS_MAX: usize = 4;
/// Names that a document keeps for nothing before it looks which ones.
pub const CRDT_NAMES_SPARE: usize = 64;
/// Names in a snapshot: of sources that are counted, and of those whose writes are remembered.
pub const CRDT_NAMES_MAX: usize = 1 << 20;
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
/// Latest time of a stamp that has an effect, the end of the year 9999. Later ones count and do nothing:
/// whoever writes there again must find a later one that everybody takes.
pub const CRDT_TIME_MS_MAX: u64 = 253_402_300_799_999;
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
/// Calls of a session that its task has not taken up yet; it takes none up while the broker takes
/// nothing. Further ones are refused.
pub const SESSION_CALLS_MAX: usize = 16_384;
/// Bytes of the game's messages among those calls.
pub const SESSION_CALLS_BYTES_MAX: usize = 16 << 20;
/// Bytes of messages that wait while something is being said to a broker, which takes nothing as long as it
/// has acknowledged nothing; beyond that the connection is ended.
pub const LINK_HEARD_BYTES_MAX: usize = 64 << 20;
/// Sessions in a list; further ones are ignored and counted.
pub const SESSION_LIST_MAX: usize = 1_024;
/// Seconds of a countdown: a day.
pub const SESSION_COUNTDOWN_S_MAX: u32 = 86_400;
/// Players that can be reserved or registered in one session, and that one instance can ask for or
/// give back while it is away.
pub const SESSION_PLAYERS_MAX: usize = 1_024;

/// Clients that the broker in the box serves at once; each costs about 2 KiB and one file descriptor.
pub const BROKER_CLIENTS_MAX: usize = 10_000;
/// File descriptors of its process that the broker in the box leaves for everything but clients.
pub const BROKER_DESCRIPTORS_SPARED: usize = 64;
/// Size of the payload of a message on the broker in the box.
pub const BROKER_PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Size of a packet: a payload, its topic and properties. A connection can pin this much memory while a
/// packet arrives, and once more while one is written.
pub const BROKER_PACKET_BYTES_MAX: usize = BROKER_PAYLOAD_BYTES_MAX + (128 << 10);
/// Bytes of packets that have not arrived or not been written wholly, of all connections together.
pub const BROKER_BUFFERS_BYTES_MAX: usize = 256 << 20;
/// Time in which a connection must have said who it is.
pub const BROKER_CONNECT_MS_MAX: u64 = 10_000;
/// Length of a client's id in bytes.
pub const BROKER_CLIENT_ID_BYTES_MAX: usize = 1_024;
/// Levels of a topic or a filter. A deeper one costs stack where it is looked up.
pub const BROKER_TOPIC_LEVELS_MAX: usize = 128;
/// Filters that one client is subscribed to.
pub const BROKER_SUBSCRIPTIONS_MAX: usize = 10_000;
/// Messages of quality of service 1 and 2 that a client may owe an acknowledgement for.
pub const BROKER_IN_FLIGHT_MAX: usize = 256;
/// Bytes handed to a connection and not written, up to which more is handed to it.
pub const BROKER_UNWRITTEN_BYTES_MAX: usize = 256 << 10;
/// Messages that wait for one client that is slow or away; further ones are dropped and counted.
pub const BROKER_WAITING_MESSAGES_MAX: usize = 10_000;
/// Bytes of messages that wait for one client.
pub const BROKER_WAITING_BYTES_MAX: usize = 16 << 20;
/// Bytes of messages that wait for all clients; a message counts once for each client.
pub const BROKER_WAITING_BYTES_IN_ALL_MAX: usize = 256 << 20;
/// Retained messages.
pub const BROKER_RETAINED_MAX: usize = 100_000;
/// Bytes of retained messages, with their topics.
pub const BROKER_RETAINED_BYTES_MAX: usize = 256 << 20;
/// Retained messages that are looked at for one client before the others have their turn.
pub const BROKER_RETAINED_TURN: usize = 2_048;
/// Time for which the state of a client that is away is kept: a day.
pub const BROKER_SESSION_MS_MAX: u64 = 86_400_000;
/// How often the broker looks for retained messages whose time is over; nobody is told them meanwhile.
pub const BROKER_SWEEP_MS: u64 = 5_000;
/// How long after it was busy the broker gives memory back to the system.
pub const BROKER_TRIM_MS: u64 = 5_000;
/// Size up to which a file of retained messages is not written anew.
pub const BROKER_STORE_BYTES_MIN: u64 = 1 << 20;
/// Size of the one buffer that the broker reads into.
pub const BROKER_READ_BYTES: usize = 64 << 10;
/// Time that the broker spends on last words when it ends.
pub const BROKER_FLUSH_MS: u64 = 500;
/// Size of a file of users or of rules for the broker.
pub const BROKER_ACCESS_BYTES_MAX: u64 = 4 << 20;
