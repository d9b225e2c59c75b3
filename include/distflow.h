/*
 * distflow: Erlang-style nodes for C and C++. MIT licence.
 *
 * Generated from ffi/src by make header; do not edit. The whole contract (ownership, threads,
 * callbacks, errors, versions) is in docs/abi.md. In short:
 *
 * - A handle (distflow_node *, distflow_pmd *, distflow_pmd_client *, distflow_doc *) is an id in
 *   a table and is never dereferenced. Any thread may use it at any time. One that is NULL, stale,
 *   foreign or of another type gives DISTFLOW_INVALID_HANDLE.
 * - Every function that can fail returns a status, 0 = DISTFLOW_OK. distflow_last_error() gives
 *   its text until the next call on the same thread.
 * - Text and JSON that distflow hands out is followed by a NUL byte that its length doesn't count.
 * - Names and paths are NUL-terminated UTF-8. Payloads and other JSON are pointer + length of text
 *   in UTF-8.
 * - Structs named *_options are filled by their _init function first. distflow_stats is told its
 *   own size. Every other struct that distflow fills in is emptied first, so it can be given to
 *   its _free function whatever the status was.
 * - Timeouts are milliseconds: negative = no limit, 0 = do not wait; a call that needs an answer
 *   from elsewhere then gives DISTFLOW_TIMEOUT unless it is there already.
 *
 * Callbacks: (1) They run on a callback thread of their object, one at a time and in order, never
 * on a network thread, never under a lock. (2) What they receive is valid during the call.
 * (3) They may call any function; one that would wait for the running callback itself returns
 * DISTFLOW_REENTRANT_CALL, and _free takes effect after the callback has returned. (4) After
 * _close has returned DISTFLOW_OK, no callback of that object runs. (5) drop, if given, runs
 * exactly once, after the last call, also when registering failed. (6) The queue in front of them
 * is bounded; what happens when it is full is an option, and what is dropped is counted.
 */

#ifndef DISTFLOW_H
#define DISTFLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define DISTFLOW_VERSION_MAJOR 0
#define DISTFLOW_VERSION_MINOR 1
#define DISTFLOW_VERSION_PATCH 0
#define DISTFLOW_VERSION "0.1.0"


/**
 * Number of this ABI, and of the library's SONAME. It is raised only when programs have to be
 * built again.
 */
#define DISTFLOW_ABI_VERSION 1

/**
 * A node joined: peer. A node reports those that come after it has started.
 */
#define DISTFLOW_EVENT_PEER_JOIN 1

/**
 * A node left: peer, and why: cause. This includes the node itself when it closes.
 */
#define DISTFLOW_EVENT_PEER_LEAVE 2

/**
 * The connection to the PMD is lost: status, text. Messages to known peers still go.
 */
#define DISTFLOW_EVENT_PMD_LOST 3

/**
 * Registered with a PMD again, and the table of peers is right again.
 */
#define DISTFLOW_EVENT_PMD_RESTORED 4

/**
 * The PMD refused to register this node again: status, text. It is tried again.
 */
#define DISTFLOW_EVENT_REGISTRATION_REFUSED 5

/**
 * Messages found the mailbox full: count is the total so far. At most once a second.
 */
#define DISTFLOW_EVENT_MAILBOX_OVERFLOW 6

/**
 * Accepted messages can't be delivered any more: to target, count of them, status, text.
 */
#define DISTFLOW_EVENT_SEND_FAILED 7

/**
 * An embedded PMD has stopped; cause is requested, idle or closed.
 */
#define DISTFLOW_EVENT_PMD_STOPPED 8

/**
 * A message that finds the mailbox full is dropped and counted.
 */
#define DISTFLOW_OVERFLOW_DROP_NEWEST 0

/**
 * The oldest waiting message is dropped and counted.
 */
#define DISTFLOW_OVERFLOW_DROP_OLDEST 1

/**
 * Nothing is dropped: the node stops reading until there is room, and senders wait.
 */
#define DISTFLOW_OVERFLOW_BLOCK 2

/**
 * The operation had been taken in before, or waits already.
 */
#define DISTFLOW_DOC_DUPLICATE 0

/**
 * The operation was taken in, and whatever had waited for it.
 */
#define DISTFLOW_DOC_APPLIED 1

/**
 * The operation waits for others before it.
 */
#define DISTFLOW_DOC_PENDING 2

/**
 * Nothing.
 */
#define DISTFLOW_LOG_OFF 0

/**
 * Something failed that should not.
 */
#define DISTFLOW_LOG_ERROR 1

/**
 * Something is lost, or goes on only with restrictions.
 */
#define DISTFLOW_LOG_WARN 2

/**
 * What an operator wants to know: starts, ends, peers that come and go.
 */
#define DISTFLOW_LOG_INFO 3

/**
 * What helps to find a fault.
 */
#define DISTFLOW_LOG_DEBUG 4

/**
 * Everything.
 */
#define DISTFLOW_LOG_TRACE 5

/**
 * A shared document: a JSON value that several replicas change at once, and that becomes the same
 * everywhere. Made by distflow_doc_open, released by distflow_doc_free. Since 0.1.0.
 */
typedef struct distflow_doc distflow_doc;

/**
 * A node: it finds or launches the PMD, is found by its alias, sends and receives messages, and
 * sees others come and go. Made by distflow_node_open, ended by distflow_node_close,
 * released by distflow_node_free.
 */
typedef struct distflow_node distflow_node;

/**
 * A PMD (port mapper daemon) in this process: the registry that nodes find each other by. Made
 * by distflow_pmd_open, ended by distflow_pmd_close, released by distflow_pmd_free.
 */
typedef struct distflow_pmd distflow_pmd;

/**
 * A connection to a PMD, to ask it without being a node. Made by distflow_pmd_client_open,
 * ended by distflow_pmd_client_close, released by distflow_pmd_client_free.
 */
typedef struct distflow_pmd_client distflow_pmd_client;

/**
 * A game session on an MQTT broker that this process has created, joined or looks at. Made by
 * distflow_session_create, _join or _observe, ended by distflow_session_leave, released by
 * distflow_session_free. Since 0.1.0.
 */
typedef struct distflow_session distflow_session;

/**
 * The list of the sessions on a broker, which keeps itself up to date. Made by
 * distflow_session_list_open, released by distflow_session_list_free. Since 0.1.0.
 */
typedef struct distflow_session_list distflow_session_list;

/**
 * What every call that can fail returns: 0 = DISTFLOW_OK, otherwise one of the numbers below.
 * Later versions may add numbers, and never change the meaning of one.
 */
typedef int32_t distflow_status;

/**
 * Owned text: len bytes of UTF-8, followed by a NUL byte that len does not count. Where a
 * function says so, owned bytes of any value instead, with the same NUL byte behind them. Freed
 * with distflow_buf_free.
 */
typedef struct distflow_buf {
    /**
     * The text or bytes; NULL after they were freed.
     */
    char *data;
    /**
     * Its length in bytes.
     */
    size_t len;
} distflow_buf;

/**
 * Borrowed text: len bytes of UTF-8, followed by a NUL byte that len does not count. data
 * is never NULL; what is absent has length 0.
 */
typedef struct distflow_bytes {
    /**
     * The text.
     */
    const char *data;
    /**
     * Its length in bytes.
     */
    size_t len;
} distflow_bytes;

/**
 * A node as the registry describes it.
 */
typedef struct distflow_peer {
    /**
     * Its node id.
     */
    struct distflow_bytes node_id;
    /**
     * Its alias; length 0 when it has none.
     */
    struct distflow_bytes alias;
    /**
     * The host at which it takes messages.
     */
    struct distflow_bytes host;
    /**
     * What it can do beyond the original packages: a JSON array of strings; length 0 for those.
     */
    struct distflow_bytes capabilities;
    /**
     * Its metadata: a JSON object; length 0 when it registered none.
     */
    struct distflow_bytes meta;
    /**
     * Unix milliseconds of its registration or last heartbeat; 0 when that is unknown.
     */
    uint64_t last_heartbeat_ms;
    /**
     * The port at which it takes messages.
     */
    uint16_t port;
    /**
     * Zero; for later versions.
     */
    uint16_t reserved[11];
} distflow_peer;

/**
 * Several nodes. Owned; freed with distflow_peers_free.
 */
typedef struct distflow_peers {
    /**
     * The nodes, valid until freed; NULL when there are none.
     */
    const struct distflow_peer *items;
    /**
     * How many.
     */
    size_t len;
    /**
     * What owns it all; not to be touched.
     */
    void *memory;
} distflow_peers;

/**
 * A message.
 */
typedef struct distflow_message {
    /**
     * Node id of the sender, by its own claim: there is no authentication yet.
     */
    struct distflow_bytes from;
    /**
     * What it says: exactly one JSON value; length 0 when it has no payload at all.
     */
    struct distflow_bytes payload;
    /**
     * Unix milliseconds when it was sent, by the sender's clock.
     */
    uint64_t timestamp_ms;
    /**
     * What owns the message; not to be touched. NULL when it is borrowed.
     */
    void *memory;
    /**
     * Alias of the sender, by its own claim, or, of an original package, as the PMD knows it;
     * length 0 when it has none.
     */
    struct distflow_bytes alias;
} distflow_message;

/**
 * Several messages, oldest first. Owned; freed with distflow_messages_free.
 */
typedef struct distflow_messages {
    /**
     * The messages, valid until freed; NULL when there are none.
     */
    const struct distflow_message *items;
    /**
     * How many.
     */
    size_t len;
    /**
     * What owns it all; not to be touched.
     */
    void *memory;
} distflow_messages;

/**
 * Something that happened. kind says which members count; the others are empty. Later versions
 * may report other kinds, which a program should ignore.
 */
typedef struct distflow_event {
    /**
     * One of DISTFLOW_EVENT_….
     */
    int32_t kind;
    /**
     * The error of those kinds that have one, otherwise DISTFLOW_OK.
     */
    distflow_status status;
    /**
     * How many messages.
     */
    uint64_t count;
    /**
     * The node that joined or left.
     */
    struct distflow_peer peer;
    /**
     * Why a node left (unregistered, closed, timeout, replaced or unknown), or a PMD
     * stopped.
     */
    struct distflow_bytes cause;
    /**
     * Node id of the receiver of messages that were not delivered.
     */
    struct distflow_bytes target;
    /**
     * Text of the error.
     */
    struct distflow_bytes text;
    /**
     * What owns the event; not to be touched.
     */
    void *memory;
    /**
     * Zero; for later versions.
     */
    uint64_t reserved[2];
} distflow_event;

/**
 * How a node is set up. Filled with the defaults by distflow_node_options_init; the texts are
 * borrowed by distflow_node_open during the call, and NULL means the default.
 */
typedef struct distflow_node_options {
    /**
     * Size of this struct in bytes; set by distflow_node_options_init.
     */
    size_t struct_size;
    /**
     * The name other nodes find this one by. Default, and when empty: none.
     */
    const char *alias;
    /**
     * A fixed node id. Default: 16 random hex digits. A restart with the same id is the same
     * node to its peers.
     */
    const char *node_id;
    /**
     * Host of the PMD. Default localhost.
     */
    const char *pmd_host;
    /**
     * The distflow program to launch a PMD with. Default: searched, see docs/c.md.
     */
    const char *pmd_executable;
    /**
     * Host to listen on for messages; localhost means both loopback families. Default
     * localhost.
     */
    const char *listen_host;
    /**
     * Host that peers are told to dial. Default: localhost when the PMD is on loopback,
     * otherwise this machine's address towards the PMD.
     */
    const char *advertised_host;
    /**
     * Metadata: a JSON object of up to 4,096 bytes that others see. Default none.
     */
    const char *meta;
    /**
     * Length of the metadata in bytes. Default 0.
     */
    size_t meta_len;
    /**
     * Messages the mailbox holds, at least 1. Default 1,000.
     */
    uint64_t mailbox_messages_max;
    /**
     * Payload bytes the mailbox holds; a larger message is taken when nothing else waits.
     * Default 16 MiB.
     */
    uint64_t mailbox_bytes_max;
    /**
     * Bytes waiting to be written to one peer. Default 4 MiB.
     */
    uint64_t queue_bytes_max;
    /**
     * Largest frame sent or accepted, 1,024 to 4,294,967,295 bytes. A peer that accepts only
     * smaller ones loses what is larger, and counts it, but the sender is not told. Default
     * 16 MiB.
     */
    uint64_t frame_bytes_max;
    /**
     * Milliseconds to complete a frame that has begun. Default 10,000.
     */
    uint64_t frame_deadline_ms;
    /**
     * Milliseconds for the whole start; until then, a PMD that does not answer yet is tried
     * again. Default 5,000.
     */
    uint64_t start_timeout_ms;
    /**
     * Milliseconds for one request to the PMD. Default 5,000.
     */
    uint64_t request_timeout_ms;
    /**
     * Milliseconds without any node after which a launched PMD ends. Default 30,000.
     */
    uint64_t pmd_auto_shutdown_ms;
    /**
     * Milliseconds between heartbeats, 50 to 5,000. Default 1,000.
     */
    uint64_t heartbeat_interval_ms;
    /**
     * Milliseconds of silence before a connection is probed (TCP keep-alive), at least 1,000.
     * Default 2,000.
     */
    uint64_t keepalive_idle_ms;
    /**
     * Milliseconds between such probes, at least 1,000. Default 1,000.
     */
    uint64_t keepalive_interval_ms;
    /**
     * Milliseconds that data for the PMD may wait unacknowledged (TCP_USER_TIMEOUT); 0 = as the
     * system decides. Default 8,000.
     */
    uint64_t tcp_user_timeout_ms;
    /**
     * Unanswered probes that make a connection dead, at least 1. Default 3.
     */
    uint32_t keepalive_probes;
    /**
     * What happens when the mailbox is full: one of DISTFLOW_OVERFLOW_…. Default
     * DISTFLOW_OVERFLOW_DROP_NEWEST.
     */
    int32_t overflow;
    /**
     * Port of the PMD, 1 to 65,535. Default 4369.
     */
    uint16_t pmd_port;
    /**
     * Port to listen on; 0 picks a free one. Default 0.
     */
    uint16_t listen_port;
    /**
     * 1 = launch a PMD when none answers and pmd_host is this machine's loopback. Default 1.
     */
    uint8_t auto_start;
    /**
     * 1 = when no program is found to launch, serve as the PMD in this process. Default 0.
     */
    uint8_t embed_pmd;
    /**
     * 1 = allow a listening host beyond loopback, although there is no authentication.
     * Default 0.
     */
    uint8_t insecure;
    /**
     * 1 = send heartbeats, so that others notice when this process is frozen. Default 0.
     */
    uint8_t use_heartbeat;
    /**
     * 1 = be the only such node of this process, by the original packages' lock file. Default 0.
     */
    uint8_t exclusive;
    /**
     * Zero; for later versions.
     */
    uint8_t reserved[7];
} distflow_node_options;

/**
 * Counters of a node. At rest, and unless a process crashed, the sum of sent over all nodes is
 * the sum of delivered, dropped, lost_outbound, lost_inbound, waiting and
 * misdirected over all nodes.
 */
typedef struct distflow_stats {
    /**
     * Size of this struct in bytes; set it to sizeof(distflow_stats) before the call.
     */
    size_t struct_size;
    /**
     * Messages that were accepted for sending.
     */
    uint64_t sent;
    /**
     * Messages handed to the program.
     */
    uint64_t delivered;
    /**
     * Messages that found the mailbox full.
     */
    uint64_t dropped;
    /**
     * Accepted messages given up because their peer could not be reached.
     */
    uint64_t lost_outbound;
    /**
     * Messages of senders that were lost with a connection.
     */
    uint64_t lost_inbound;
    /**
     * Messages for another node that arrived here.
     */
    uint64_t misdirected;
    /**
     * Messages waiting in the mailbox.
     */
    uint64_t waiting;
    /**
     * Frames that were refused.
     */
    uint64_t bad_frames;
    /**
     * Events that were dropped because too many waited for distflow_node_recv_event.
     */
    uint64_t events_lost;
} distflow_stats;

/**
 * Receives a message. message is valid during the call; context is the one given with the
 * function.
 */
typedef void (*distflow_message_fn)(struct distflow_node *node,
                                    const struct distflow_message *message,
                                    void *context);

/**
 * Ends a context. It runs exactly once: after the last callback that gets the context, or
 * before the registering call returns when that fails. NULL when there is nothing to end.
 */
typedef void (*distflow_drop_fn)(void *context);

/**
 * Receives the len messages that waited, oldest first, at least one. They are valid during
 * the call; context is the one given with the function.
 */
typedef void (*distflow_messages_fn)(struct distflow_node *node,
                                     const struct distflow_message *messages,
                                     size_t len,
                                     void *context);

/**
 * Receives an event. event is valid during the call; context is the one given with the
 * function.
 */
typedef void (*distflow_node_event_fn)(struct distflow_node *node,
                                       const struct distflow_event *event,
                                       void *context);

/**
 * How a PMD is set up. Filled with the defaults by distflow_pmd_options_init; the text is
 * borrowed by distflow_pmd_open during the call.
 */
typedef struct distflow_pmd_options {
    /**
     * Size of this struct in bytes; set by distflow_pmd_options_init.
     */
    size_t struct_size;
    /**
     * Host to listen on; NULL or localhost means both loopback families.
     */
    const char *host;
    /**
     * Milliseconds without a node after which the PMD ends; 0 = never. Default 0.
     */
    uint64_t auto_shutdown_ms;
    /**
     * Age in milliseconds at which a heartbeat-bound node (of the first original package)
     * leaves. Default 3,000.
     */
    uint64_t heartbeat_ttl_ms;
    /**
     * Silence in milliseconds after which a node that promised heartbeats is expelled.
     * Default 14,000.
     */
    uint64_t heartbeat_expel_ms;
    /**
     * Milliseconds a conflicting registration waits for the holder to prove dead. Default 500.
     */
    uint64_t probe_ms;
    /**
     * Largest frame accepted, in bytes. Default 1 MiB.
     */
    uint64_t frame_bytes_max;
    /**
     * Milliseconds to complete a frame that has begun. Default 10,000.
     */
    uint64_t frame_deadline_ms;
    /**
     * Connections at most. Default 16,384.
     */
    uint64_t connections_max;
    /**
     * Nodes at most. Default 65,536.
     */
    uint64_t nodes_max;
    /**
     * Nodes of one connection at most. Default 64.
     */
    uint64_t nodes_per_connection_max;
    /**
     * Event bytes waiting for one watcher above which it is cut off if it has taken nothing for 8 s; at 8 MiB
     * it is cut off in any case. Default 256 KiB.
     */
    uint64_t watcher_queue_bytes_max;
    /**
     * Milliseconds of silence before a connection is probed (TCP keep-alive). Default 2,000.
     */
    uint64_t keepalive_idle_ms;
    /**
     * Milliseconds between such probes. Default 1,000.
     */
    uint64_t keepalive_interval_ms;
    /**
     * Milliseconds that unacknowledged data may wait (TCP_USER_TIMEOUT). Default 8,000.
     */
    uint64_t tcp_user_timeout_ms;
    /**
     * Unanswered probes that make a connection dead. Default 3.
     */
    uint32_t keepalive_probes;
    /**
     * Port to listen on; 0 picks a free one. Default 4369.
     */
    uint16_t port;
    /**
     * 1 = allow a host beyond loopback, although there is no authentication. Default 0.
     */
    uint8_t insecure;
    /**
     * Zero; for later versions.
     */
    uint8_t reserved[9];
} distflow_pmd_options;

/**
 * Receives an event of an embedded PMD. event is valid during the call; context is the one
 * given with the function.
 */
typedef void (*distflow_pmd_event_fn)(struct distflow_pmd *pmd,
                                      const struct distflow_event *event,
                                      void *context);

/**
 * What became of the operations of a batch.
 */
typedef struct distflow_doc_received {
    /**
     * Taken in.
     */
    uint64_t applied;
    /**
     * Had been taken in before, or waited already.
     */
    uint64_t duplicates;
    /**
     * Wait for others before them.
     */
    uint64_t pending;
} distflow_doc_received;

/**
 * Something that happened in a session. json has all of it; the members before it have what
 * most programs look at, and are empty where a type does not have them. The types, and what else
 * json has:
 *
 * - created, joined: this instance is in.
 * - member_joined, member_left: instance.
 * - state_changed: state (open, starting, in_progress or closed).
 * - countdown: seconds until the game starts, at the creator; countdown_stopped.
 * - game_started: by (an instance), kind (manual or auto).
 * - creator_changed: creator (an instance), term.
 * - seed_changed: seed.
 * - reserved, registered: player, instance; released: player.
 * - all_players_selected.
 * - game: what an instance, this one included, said by distflow_session_publish: name,
 *   payload.
 * - not_allowed: the broker does not let this instance publish or subscribe (action) to
 *   something: topic, text (what the broker says).
 * - ended: it is over for this instance: reason, text.
 *
 * Later versions may have other types, which a program should ignore. Since 0.1.0.
 */
typedef struct distflow_session_event {
    /**
     * Its type.
     */
    struct distflow_bytes kind;
    /**
     * The instance that it is about.
     */
    struct distflow_bytes instance;
    /**
     * The player that it is about.
     */
    struct distflow_bytes player;
    /**
     * The name of a message of the game.
     */
    struct distflow_bytes name;
    /**
     * The payload of a message of the game: any bytes.
     */
    struct distflow_bytes payload;
    /**
     * The whole event as a JSON object, with its type as type. A payload that is no text has
     * U+FFFD there, and a member payload_base64.
     */
    struct distflow_bytes json;
    /**
     * What owns the event; not to be touched.
     */
    void *memory;
    /**
     * Zero; for later versions.
     */
    uint64_t reserved[3];
} distflow_session_event;

/**
 * Receives an event of a session. event is valid during the call; context is the one given
 * with the function. Since 0.1.0.
 */
typedef void (*distflow_session_event_fn)(struct distflow_session *session,
                                          const struct distflow_session_event *event,
                                          void *context);

/**
 * A record of the library's log.
 */
typedef struct distflow_log_record {
    /**
     * One of DISTFLOW_LOG_….
     */
    int32_t level;
    /**
     * Zero; for later versions.
     */
    uint32_t reserved;
    /**
     * Unix milliseconds.
     */
    uint64_t timestamp_ms;
    /**
     * The part of the library it comes from, such as distflow_core::node::shared.
     */
    struct distflow_bytes target;
    /**
     * What it says.
     */
    struct distflow_bytes message;
    /**
     * Further facts, such as the node and its alias: a JSON object.
     */
    struct distflow_bytes fields;
} distflow_log_record;

/**
 * Receives a record of the log. record is valid during the call; context is the one given
 * with the function.
 */
typedef void (*distflow_log_fn)(const struct distflow_log_record *record, void *context);

/**
 * Success.
 */
#define DISTFLOW_OK 0

/**
 * An argument or option is missing, malformed or out of range.
 */
#define DISTFLOW_INVALID_ARGUMENT 1

/**
 * An address beyond loopback was asked for without saying that this is insecure.
 */
#define DISTFLOW_INSECURE 2

/**
 * A handle is null, stale, foreign or of another type.
 */
#define DISTFLOW_INVALID_HANDLE 3

/**
 * The call would wait for the callback that makes it.
 */
#define DISTFLOW_REENTRANT_CALL 4

/**
 * The program was built for another version of the C ABI than the library's.
 */
#define DISTFLOW_ABI_MISMATCH 5

/**
 * The node is not started, or has been shut down.
 */
#define DISTFLOW_NOT_STARTED 100

/**
 * The object was closed while the call waited.
 */
#define DISTFLOW_CLOSED 101

/**
 * This process runs a node already.
 */
#define DISTFLOW_ALREADY_RUNNING 102

/**
 * The handle was inherited over fork; start a new node in the child.
 */
#define DISTFLOW_FORKED 103

/**
 * No PMD can be reached.
 */
#define DISTFLOW_PMD_UNAVAILABLE 200

/**
 * Something answers on the PMD's port, but it is not a PMD.
 */
#define DISTFLOW_NOT_PMD 201

/**
 * No executable to launch a PMD with was found, or it failed.
 */
#define DISTFLOW_PMD_LAUNCH_FAILED 202

/**
 * The time for the operation is over; its outcome is unknown.
 */
#define DISTFLOW_TIMEOUT 203

/**
 * The target of a send is not registered.
 */
#define DISTFLOW_RESOLVE_FAILED 204

/**
 * The PMD knows no such node.
 */
#define DISTFLOW_NODE_NOT_FOUND 205

/**
 * Another live node holds the alias.
 */
#define DISTFLOW_ALIAS_IN_USE 206

/**
 * Another live connection holds the node id.
 */
#define DISTFLOW_NODE_ID_IN_USE 207

/**
 * The PMD refused the request for another reason; the text says which.
 */
#define DISTFLOW_REFUSED 208

/**
 * A connection could not be established or broke.
 */
#define DISTFLOW_CONNECTION_FAILED 209

/**
 * A queue is full; try again later.
 */
#define DISTFLOW_BUSY 210

/**
 * The address or port is taken.
 */
#define DISTFLOW_ADDRESS_IN_USE 211

/**
 * Any other failure of the operating system.
 */
#define DISTFLOW_IO 212

/**
 * Bytes are not a valid frame.
 */
#define DISTFLOW_INVALID_FRAME 300

/**
 * A frame or payload is larger than the limit.
 */
#define DISTFLOW_TOO_LARGE 301

/**
 * Text is not valid JSON, or is nested too deeply.
 */
#define DISTFLOW_INVALID_JSON 302

/**
 * A message is valid JSON but not a valid message.
 */
#define DISTFLOW_INVALID_MESSAGE 303

/**
 * Two histories of a shared document are written as one source.
 */
#define DISTFLOW_SOURCE_CONFLICT 304

/**
 * A defect in distflow; please report it.
 */
#define DISTFLOW_INTERNAL 900

/**
 * A defect in distflow made code panic; the panic was caught. Please report it.
 */
#define DISTFLOW_PANIC 901

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library that is loaded, such as 0.1.0.
 *
 * Ownership: the text is static. Blocks: no. In a callback: allowed. Statuses: none.
 */
const char *distflow_version(void);

/**
 * Checks that the loaded library has the ABI that the program was compiled for. Call it once
 * with DISTFLOW_ABI_VERSION.
 *
 * Ownership: none. Blocks: no. In a callback: allowed.
 * Statuses: OK, ABI_MISMATCH.
 */
distflow_status distflow_check_abi(uint32_t abi_version);

/**
 * The name of a status in snake_case, such as alias_in_use; ok for 0, and unknown for a
 * number that this version does not know. Error names are the same in every language.
 *
 * Ownership: the text is static. Blocks: no. In a callback: allowed. Statuses: none.
 */
const char *distflow_status_name(distflow_status status);

/**
 * Copies the text of this thread's last error, NUL-terminated and cut at a whole character if
 * capacity is too small. Calls that succeed clear it; functions named _free and this one
 * leave it alone.
 *
 * Ownership: buffer is the caller's, capacity bytes long, or NULL to ask for the length
 * only; len_out receives the length of the whole text without its NUL and may be NULL.
 * Blocks: no. In a callback: allowed.
 * Statuses: that of the last error; OK when the last call on this thread succeeded.
 */
distflow_status distflow_last_error(char *buffer, size_t capacity, size_t *len_out);

/**
 * Releases the text and empties the struct, so that doing it twice is harmless.
 *
 * Ownership: takes what buf owns; buf itself stays the caller's, and may be NULL.
 * Blocks: no. In a callback: allowed. Statuses: none.
 */
void distflow_buf_free(struct distflow_buf *buf);

/**
 * Releases the nodes and empties the struct, so that doing it twice is harmless.
 *
 * Ownership: takes what peers owns; peers itself stays the caller's, and may be NULL.
 * Blocks: no. In a callback: allowed. Statuses: none.
 */
void distflow_peers_free(struct distflow_peers *peers);

/**
 * Releases what a message owns and empties the struct, so that doing it twice is harmless. For
 * messages that were received by distflow_node_recv; others own nothing.
 *
 * Ownership: takes what message owns; message itself stays the caller's, and may be NULL.
 * Blocks: no. In a callback: allowed. Statuses: none.
 */
void distflow_message_free(struct distflow_message *message);

/**
 * Releases several messages and empties the struct, so that doing it twice is harmless.
 *
 * Ownership: takes what messages owns; messages itself stays the caller's, and may be NULL.
 * Blocks: no. In a callback: allowed. Statuses: none.
 */
void distflow_messages_free(struct distflow_messages *messages);

/**
 * Releases what an event owns and empties the struct, so that doing it twice is harmless. For
 * events that were received by polling; those of a callback own nothing.
 *
 * Ownership: takes what event owns; event itself stays the caller's, and may be NULL.
 * Blocks: no. In a callback: allowed. Statuses: none.
 */
void distflow_event_free(struct distflow_event *event);

/**
 * Fills options with the defaults. struct_size is sizeof(distflow_node_options) as the
 * program was compiled.
 *
 * Ownership: options is the caller's. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT.
 */
distflow_status distflow_node_options_init(struct distflow_node_options *options,
                                           size_t struct_size);

/**
 * Opens a node: finds or launches the PMD, registers, and learns who is there.
 *
 * Ownership: options and its texts are borrowed during the call; NULL means the defaults.
 * *node_out is owned; release it with distflow_node_free. It is NULL on failure.
 * Blocks: up to options->start_timeout_ms. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, INSECURE, ALIAS_IN_USE, NODE_ID_IN_USE, PMD_UNAVAILABLE,
 * NOT_PMD, PMD_LAUNCH_FAILED, ADDRESS_IN_USE, ALREADY_RUNNING, REFUSED, TIMEOUT,
 * CONNECTION_FAILED (a host cannot be looked up), INVALID_JSON (of meta), BUSY, IO, PANIC.
 */
distflow_status distflow_node_open(const struct distflow_node_options *options,
                                   struct distflow_node **node_out);

/**
 * Gives the node's id.
 *
 * Ownership: *id_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_node_id(const struct distflow_node *node, struct distflow_buf *id_out);

/**
 * Gives the node's alias; length 0 when it has none.
 *
 * Ownership: *alias_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_node_alias(const struct distflow_node *node,
                                    struct distflow_buf *alias_out);

/**
 * Gives the port at which the node takes messages.
 *
 * Ownership: port_out is the caller's. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_node_port(const struct distflow_node *node, uint16_t *port_out);

/**
 * Tells whether the node is registered with a PMD right now.
 *
 * Ownership: registered_out is the caller's. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_node_is_registered(const struct distflow_node *node,
                                            bool *registered_out);

/**
 * Gives everyone else who is known right now, in order of node id, without asking the PMD.
 *
 * Ownership: *peers_out is owned; release it with distflow_peers_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, FORKED, PANIC.
 */
distflow_status distflow_node_peers(const struct distflow_node *node,
                                    struct distflow_peers *peers_out);

/**
 * Asks the PMD for everyone else, or for those whose alias starts with prefix.
 *
 * Ownership: prefix is borrowed during the call; NULL means everyone. *peers_out is owned;
 * release it with distflow_peers_free.
 * Blocks: up to timeout_ms. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, PMD_UNAVAILABLE, TIMEOUT, BUSY, CLOSED,
 * FORKED, PANIC.
 */
distflow_status distflow_node_discover(const struct distflow_node *node,
                                       const char *prefix,
                                       int64_t timeout_ms,
                                       struct distflow_peers *peers_out);

/**
 * Gives the node's counters, also after it was closed.
 *
 * Ownership: stats is the caller's; set stats->struct_size first.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_node_stats(const struct distflow_node *node,
                                    struct distflow_stats *stats);

/**
 * Ends a node: flushes what is queued, for at most half of the time; unregisters, closes every
 * connection, lets callbacks take what waits for them, and waits until none runs any more. When
 * three quarters of the time are over, what still waits for callbacks is left in the mailbox.
 * What could not be flushed is counted as lost_outbound. Further calls on the handle give
 * DISTFLOW_CLOSED, also in callbacks that run meanwhile, which therefore cannot answer any
 * more; but what waits can be received by polling, and the counters be read. Closing again is
 * harmless, and waits for a close that is under way.
 *
 * Ownership: the handle stays valid until distflow_node_free.
 * Blocks: up to timeout_ms; without a limit until everything is flushed and callbacks have
 * returned. In a callback: not of this node: REENTRANT_CALL, and nothing happens.
 * Statuses: OK (no callback runs any more), TIMEOUT (one still runs; call again),
 * REENTRANT_CALL, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_node_close(struct distflow_node *node, int64_t timeout_ms);

/**
 * Releases a node, and closes it first if that was not done. The handle is stale from the start
 * of this call on.
 *
 * Ownership: takes node, which may be NULL, stale or foreign: then nothing happens. In a
 * forked child it does nothing either.
 * Blocks: as long as closing takes, at most about 5 s; a callback that runs longer ends
 * undisturbed, and its drop function runs after it. In a callback: allowed; on a callback thread
 * of this node it does not block, and the node ends after the callback has returned.
 * Statuses: none.
 */
void distflow_node_free(struct distflow_node *node);

/**
 * Sends a payload to an alias or node id. Ends when the message is in this node's queue to the
 * target, over an established connection, waiting for room if the queue is full. That is no
 * acknowledgement: what happens when the target's mailbox is full is the target's overflow
 * option, which drops by default. Delivery is at most once and in order; see docs/guarantees.md.
 *
 * Ownership: target and payload are borrowed during the call. payload is payload_len
 * bytes of JSON text, exactly one value; length 0 sends no payload at all.
 * Blocks: up to timeout_ms. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, INVALID_JSON, TOO_LARGE, RESOLVE_FAILED,
 * CONNECTION_FAILED, BUSY, TIMEOUT (the message may still be sent), CLOSED, FORKED, PANIC.
 */
distflow_status distflow_node_send(struct distflow_node *node,
                                   const char *target,
                                   const char *payload,
                                   size_t payload_len,
                                   int64_t timeout_ms);

/**
 * Queues a message without waiting. A failure after that is an event, not a status. After BUSY,
 * try again a little later, or let another thread wait in distflow_node_send.
 *
 * Ownership: as for distflow_node_send.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, INVALID_JSON, TOO_LARGE, RESOLVE_FAILED (not
 * known at this moment), BUSY (the queue is full), CLOSED, FORKED, PANIC.
 */
distflow_status distflow_node_try_send(struct distflow_node *node,
                                       const char *target,
                                       const char *payload,
                                       size_t payload_len);

/**
 * Receives the next message.
 *
 * Ownership: *message_out is owned; release it with distflow_message_free. It is empty on
 * failure.
 * Blocks: up to timeout_ms. In a callback: allowed; callbacks and this function compete for
 * messages.
 * Statuses: OK, TIMEOUT (nothing came), CLOSED (the node has ended and nothing waits),
 * INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_node_recv(struct distflow_node *node,
                                   int64_t timeout_ms,
                                   struct distflow_message *message_out);

/**
 * Waits for a message and receives all that wait then, up to max.
 *
 * Ownership: *messages_out is owned; release it with distflow_messages_free. It is empty on
 * failure.
 * Blocks: up to timeout_ms. In a callback: allowed; callbacks and this function compete for
 * messages.
 * Statuses: OK (at least one), TIMEOUT (nothing came), CLOSED (the node has ended and nothing
 * waits), INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_node_recv_many(struct distflow_node *node,
                                        size_t max,
                                        int64_t timeout_ms,
                                        struct distflow_messages *messages_out);

/**
 * Starts to collect events for distflow_node_recv_event, up to 16,384 of them; then the oldest
 * are dropped and counted. Call it before distflow_node_peers, and nothing is missed in
 * between. Calling it again changes nothing.
 *
 * Ownership: none. Blocks: no. In a callback: allowed.
 * Statuses: OK, CLOSED, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_node_watch(struct distflow_node *node);

/**
 * Receives the next event. distflow_node_watch must have been called.
 *
 * Ownership: *event_out is owned; release it with distflow_event_free. It is empty on
 * failure.
 * Blocks: up to timeout_ms. In a callback: allowed.
 * Statuses: OK, TIMEOUT (nothing came), CLOSED (the node has ended and nothing waits),
 * NOT_STARTED (distflow_node_watch was not called), INVALID_HANDLE, INVALID_ARGUMENT, FORKED,
 * PANIC.
 */
distflow_status distflow_node_recv_event(struct distflow_node *node,
                                         int64_t timeout_ms,
                                         struct distflow_event *event_out);

/**
 * Gives a descriptor that is readable exactly while a message waits in the mailbox, or an event
 * if distflow_node_watch was called, and for ever once the node has ended. For epoll,
 * poll, libuv, GLib and the like: when it is readable, receive with a timeout of 0 until
 * DISTFLOW_TIMEOUT. The same descriptor at every call.
 *
 * Ownership: the descriptor is borrowed and valid until distflow_node_free; do not read,
 * write or close it.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, IO, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_node_fd(struct distflow_node *node, int *fd_out);

/**
 * Adds a callback for messages, one at a time. What waits in the mailbox comes first. Several
 * callbacks each get every message.
 *
 * Ownership: context is handed to callback with every call, and to drop once: after the
 * last call, or before this function returns if it fails. drop may be NULL.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, IO, FORKED, PANIC.
 */
distflow_status distflow_node_on_message(struct distflow_node *node,
                                         distflow_message_fn callback,
                                         void *context,
                                         distflow_drop_fn drop);

/**
 * Adds a callback for messages that gets all that wait at once, up to 256: fewer calls when many
 * come. Otherwise like distflow_node_on_message.
 *
 * Ownership: as for distflow_node_on_message.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, IO, FORKED, PANIC.
 */
distflow_status distflow_node_on_messages(struct distflow_node *node,
                                          distflow_messages_fn callback,
                                          void *context,
                                          distflow_drop_fn drop);

/**
 * Adds a callback for events from now on. On the same thread as those for messages; a join comes
 * before the peer's messages.
 *
 * Ownership: as for distflow_node_on_message.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, IO, FORKED, PANIC.
 */
distflow_status distflow_node_on_event(struct distflow_node *node,
                                       distflow_node_event_fn callback,
                                       void *context,
                                       distflow_drop_fn drop);

/**
 * Fills options with the defaults. struct_size is sizeof(distflow_pmd_options) as the
 * program was compiled.
 *
 * Ownership: options is the caller's. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT.
 */
distflow_status distflow_pmd_options_init(struct distflow_pmd_options *options,
                                          size_t struct_size);

/**
 * Starts a PMD in this process. When this returns, nodes can connect. It never ends the process.
 *
 * Ownership: options and its text are borrowed during the call; NULL means the defaults.
 * *pmd_out is owned; release it with distflow_pmd_free. It is NULL on failure.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, ADDRESS_IN_USE, INSECURE, CONNECTION_FAILED (the host cannot be
 * looked up), BUSY, IO, PANIC.
 */
distflow_status distflow_pmd_open(const struct distflow_pmd_options *options,
                                  struct distflow_pmd **pmd_out);

/**
 * Gives the port that the PMD listens on.
 *
 * Ownership: port_out is the caller's. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_pmd_port(const struct distflow_pmd *pmd, uint16_t *port_out);

/**
 * Tells whether the PMD still serves: it ends when it is closed, when a client asks for it, and
 * after auto_shutdown_ms without a node.
 *
 * Ownership: running_out is the caller's. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_pmd_is_running(const struct distflow_pmd *pmd, bool *running_out);

/**
 * Gives the registered nodes, in order of registration.
 *
 * Ownership: *peers_out is owned; release it with distflow_peers_free.
 * Blocks: for one turn of the PMD, well under a millisecond as a rule. In a callback: allowed.
 * Statuses: OK, CLOSED (the PMD has ended), INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_pmd_snapshot(const struct distflow_pmd *pmd,
                                      struct distflow_peers *peers_out);

/**
 * Receives the next event: a join, a leave or the end. 16,384 wait at most, then the oldest go.
 *
 * Ownership: *event_out is owned; release it with distflow_event_free. It is empty on
 * failure.
 * Blocks: up to timeout_ms. In a callback: allowed; callbacks and this function compete for
 * events.
 * Statuses: OK, TIMEOUT (nothing came), CLOSED (the PMD has ended and nothing waits),
 * INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_pmd_recv_event(struct distflow_pmd *pmd,
                                        int64_t timeout_ms,
                                        struct distflow_event *event_out);

/**
 * Gives a descriptor that is readable exactly while an event waits, and for ever once the PMD
 * has ended; see distflow_node_fd.
 *
 * Ownership: the descriptor is borrowed and valid until distflow_pmd_free; do not read, write
 * or close it.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, IO, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_pmd_fd(struct distflow_pmd *pmd, int *fd_out);

/**
 * Adds a callback for events; what waits comes first.
 *
 * Ownership: as for distflow_node_on_message.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, IO, FORKED, PANIC.
 */
distflow_status distflow_pmd_on_event(struct distflow_pmd *pmd,
                                      distflow_pmd_event_fn callback,
                                      void *context,
                                      distflow_drop_fn drop);

/**
 * Ends a PMD: flushes, closes every connection, lets callbacks take what waits for them, and
 * waits until none runs any more. When three quarters of the time are over, what still waits for
 * callbacks is left. Closing again is harmless, and waits for a close that is under way.
 *
 * Ownership: the handle stays valid until distflow_pmd_free.
 * Blocks: up to timeout_ms; without a limit as long as callbacks take. In a callback: not of
 * this PMD: REENTRANT_CALL, and nothing happens.
 * Statuses: OK (no callback runs any more), TIMEOUT (one still runs; call again),
 * REENTRANT_CALL, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_pmd_close(struct distflow_pmd *pmd,
                                   int64_t timeout_ms);

/**
 * Releases a PMD, and closes it first if that was not done. The handle is stale from the start
 * of this call on.
 *
 * Ownership: takes pmd, which may be NULL, stale or foreign: then nothing happens. In a forked
 * child it does nothing either.
 * Blocks: as long as closing takes, at most about 5 s; a callback that runs longer ends
 * undisturbed, and its drop function runs after it. In a callback: allowed; on the callback
 * thread of this PMD it does not block, and the PMD ends after the callback has returned.
 * Statuses: none.
 */
void distflow_pmd_free(struct distflow_pmd *pmd);

/**
 * Connects to a PMD.
 *
 * Ownership: host is borrowed during the call; NULL means localhost. *client_out is owned;
 * release it with distflow_pmd_client_free. It is NULL on failure.
 * Blocks: up to timeout_ms. In a callback: allowed.
 * Statuses: OK, PMD_UNAVAILABLE (or the host cannot be looked up), NOT_PMD, TIMEOUT,
 * INVALID_ARGUMENT, BUSY, IO, PANIC.
 */
distflow_status distflow_pmd_client_open(const char *host,
                                         uint16_t port,
                                         int64_t timeout_ms,
                                         struct distflow_pmd_client **client_out);

/**
 * Gives the registered nodes, or those whose alias starts with prefix.
 *
 * Ownership: prefix is borrowed during the call; NULL means all. *peers_out is owned;
 * release it with distflow_peers_free.
 * Blocks: up to timeout_ms. In a callback: allowed.
 * Statuses: OK, PMD_UNAVAILABLE (the connection is lost), TIMEOUT, CLOSED, INVALID_HANDLE,
 * INVALID_ARGUMENT, REFUSED, INVALID_MESSAGE, FORKED, PANIC.
 */
distflow_status distflow_pmd_client_list(struct distflow_pmd_client *client,
                                         const char *prefix,
                                         int64_t timeout_ms,
                                         struct distflow_peers *peers_out);

/**
 * Looks up an alias or node id. *peers_out has exactly one node then.
 *
 * Ownership: name is borrowed during the call. *peers_out is owned; release it with
 * distflow_peers_free.
 * Blocks: up to timeout_ms. In a callback: allowed.
 * Statuses: OK, NODE_NOT_FOUND, PMD_UNAVAILABLE (the connection is lost), TIMEOUT, CLOSED,
 * INVALID_HANDLE, INVALID_ARGUMENT, REFUSED, INVALID_MESSAGE, FORKED, PANIC.
 */
distflow_status distflow_pmd_client_resolve(struct distflow_pmd_client *client,
                                            const char *name,
                                            int64_t timeout_ms,
                                            struct distflow_peers *peers_out);

/**
 * Ends the PMD. Nodes that are registered lose it; they keep their connections to each other, and
 * one of them launches another PMD if it may.
 *
 * Ownership: none.
 * Blocks: up to timeout_ms. In a callback: allowed.
 * Statuses: OK, REFUSED, PMD_UNAVAILABLE (the connection is lost), TIMEOUT, CLOSED,
 * INVALID_HANDLE, INVALID_MESSAGE, FORKED, PANIC.
 */
distflow_status distflow_pmd_client_kill(struct distflow_pmd_client *client,
                                         int64_t timeout_ms);

/**
 * Closes the connection. Calls that wait on other threads end with DISTFLOW_CLOSED.
 *
 * Ownership: the handle stays valid until distflow_pmd_client_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_pmd_client_close(struct distflow_pmd_client *client);

/**
 * Releases a client, and closes it first if that was not done. The handle is stale from the
 * start of this call on.
 *
 * Ownership: takes client, which may be NULL, stale or foreign: then nothing happens.
 * Blocks: no. In a callback: allowed. Statuses: none.
 */
void distflow_pmd_client_free(struct distflow_pmd_client *client);

/**
 * Opens a replica of a shared document.
 *
 * replica is the replica's name (1 to 240 bytes), which is shown and may be the same in every life:
 * operations are counted under a source of their own for each life, or for each directory; see
 * distflow_doc_source. All replicas have the same initial value: JSON text; length 0 means
 * {}. options is a JSON object, length 0 means {}. Its members, which all may be left out:
 *
 * - "directory": a path. The document is kept there, and is as it was when it was last open;
 *   initial counts the first time only. When a write has returned, the end of this process does
 *   not lose it; after distflow_doc_flush, neither does the end of the machine. Default: in
 *   memory only.
 * - "salvage": true opens the directory also when files in it are damaged, with all that is
 *   whole. Where something was lost, the document writes under a new source, and what others have
 *   comes back with the next exchange; copies of the files stay there, with damaged- before
 *   their names. Default false: damage is an error.
 * - "members": an array of the names of all replicas; see distflow_doc_set_members. Default:
 *   not known.
 * - "maxLogSize": operations kept for peers; at twice as many, the oldest go. Default 1000.
 * - "maxPendingSize": operations that may wait for others before them. Default 10000.
 * - "pendingTimeoutMs": milliseconds that they wait. Default 60000.
 * - "maxLwwSize": writes remembered, above which an event says so. Default 100000.
 * - "tombstoneGracePeriodMs": age in milliseconds at which a delete that all members have seen
 *   may be forgotten. Default 3600000.
 * - "maxDriftMs": milliseconds by which a stamp may be ahead of this host's clock without an
 *   event. Default 300000.
 * - "enableAutoGc": trims and forgets by itself. Default true.
 * - "source": the source to write as at first, 1 to 255 bytes, for a host that makes sure by
 *   itself that nobody else ever writes as the same. Default: one made from the name.
 *
 * Nothing is sent anywhere by a document: operations come out of distflow_doc_set,
 * distflow_doc_delete and distflow_doc_since, and go into distflow_doc_receive. Since 0.1.0.
 *
 * Ownership: everything given is borrowed during the call. *doc_out is owned; release it with
 * distflow_doc_free. It is NULL on failure.
 * Blocks: in memory no; with a directory, while its files are read. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT (the name, or an option, which the text names), INVALID_JSON
 * (initial), ALREADY_RUNNING (the directory is open, here or in another process), IO,
 * INVALID_MESSAGE (a file was damaged), TOO_LARGE, BUSY, PANIC.
 */
distflow_status distflow_doc_open(const char *replica,
                                  const char *initial,
                                  size_t initial_len,
                                  const char *options,
                                  size_t options_len,
                                  struct distflow_doc **doc_out);

/**
 * Releases a document. The handle is stale from the start of this call on; a call that another
 * thread is in goes on to its end. After the last of them, the directory can be opened again.
 * What was written stays there, also without this call. Since 0.1.0.
 *
 * Ownership: takes doc, which may be NULL, stale or foreign: then nothing happens.
 * Blocks: while a snapshot is being written to a directory. In a callback: allowed.
 * Statuses: none.
 */
void distflow_doc_free(struct distflow_doc *doc);

/**
 * Gives the name that the document was opened with. Since 0.1.0.
 *
 * Ownership: *replica_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_replica(const struct distflow_doc *doc,
                                     struct distflow_buf *replica_out);

/**
 * Gives the source as which the document writes: its key in clocks, and src of its operations. It
 * is made from the replica's name at the first write, and belongs to this life, or to the directory;
 * before, it is the name. After the document went back to a snapshot, it is another one. Since 0.1.0.
 *
 * Ownership: *source_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_source(const struct distflow_doc *doc,
                                    struct distflow_buf *source_out);

/**
 * Gives the value at a path, as JSON text; length 0 when nothing is there.
 *
 * A path is a JSON pointer (RFC 6901) such as /users/alice/age, empty for the whole document; or
 * a JSON array such as ["users","alice",0]; or one key, which must not look like more than that
 * (users.alice is refused). In a pointer, digits are an index where an array is, and otherwise a
 * key. Since 0.1.0.
 *
 * Ownership: path is borrowed during the call. *json_out is owned; release it with
 * distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, INVALID_JSON (of the array), INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_get(const struct distflow_doc *doc,
                                 const char *path,
                                 struct distflow_buf *json_out);

/**
 * Gives the whole document, as JSON text. Since 0.1.0.
 *
 * Ownership: *json_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_json(const struct distflow_doc *doc,
                                  struct distflow_buf *json_out);

/**
 * Gives the canonical text: JSON without blanks and with sorted keys, the same on every replica
 * that has seen the same, in every language. Since 0.1.0.
 *
 * Ownership: *text_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_canonical(const struct distflow_doc *doc,
                                       struct distflow_buf *text_out);

/**
 * Gives the SHA-256 of the canonical text, as 64 lower-case hexadecimal digits. Since 0.1.0.
 *
 * Ownership: *hash_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_hash(const struct distflow_doc *doc,
                                  struct distflow_buf *hash_out);

/**
 * Gives the clock: a JSON object that says how many operations of each replica were taken in,
 * such as {"alice":3,"bob":1}. A peer takes it to distflow_doc_since. Since 0.1.0.
 *
 * Ownership: *clock_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_clock(const struct distflow_doc *doc,
                                   struct distflow_buf *clock_out);

/**
 * Sets the value at a path; see distflow_doc_get for paths. Missing objects on the way are made.
 * The operation is for distflow_doc_receive of the other replicas. On failure, nothing has
 * changed. Since 0.1.0.
 *
 * Ownership: path and value, JSON text, are borrowed during the call. *op_out, JSON text, is
 * owned; release it with distflow_buf_free. op_out may be NULL.
 * Blocks: no, but for the journal's write to a file. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT (the path leads through something else than it says, or is beyond
 * the limits), INVALID_JSON, TOO_LARGE (more than 4 MiB), IO (it can't be kept), INVALID_HANDLE,
 * FORKED, PANIC.
 */
distflow_status distflow_doc_set(struct distflow_doc *doc,
                                 const char *path,
                                 const char *value,
                                 size_t value_len,
                                 struct distflow_buf *op_out);

/**
 * Takes away what is at a path. Where nothing is, nothing else changes; it is an operation all the
 * same, because others may write there. Since 0.1.0.
 *
 * Ownership: path is borrowed during the call. *op_out, JSON text, is owned; release it with
 * distflow_buf_free. op_out may be NULL.
 * Blocks: no, but for the journal's write to a file. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, INVALID_JSON (of a path that is an array), TOO_LARGE, IO (it can't
 * be kept), INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_delete(struct distflow_doc *doc,
                                    const char *path,
                                    struct distflow_buf *op_out);

/**
 * Takes in an operation of another replica, or keeps it until those before it have come. On
 * failure, nothing has changed. Since 0.1.0.
 *
 * Ownership: op, JSON text, is borrowed during the call. outcome_out is the caller's and may be
 * NULL; it receives one of DISTFLOW_DOC_DUPLICATE, DISTFLOW_DOC_APPLIED and
 * DISTFLOW_DOC_PENDING.
 * Blocks: no, but for the journal's write to a file. In a callback: allowed.
 * Statuses: OK, INVALID_JSON, INVALID_MESSAGE (it is no operation), TOO_LARGE (it is more
 * than 4 MiB, or there are too many replicas), BUSY (too many wait), SOURCE_CONFLICT (another
 * operation of its source has its number: two histories are written as one), IO (it can't be kept),
 * INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_receive(struct distflow_doc *doc,
                                     const char *op,
                                     size_t op_len,
                                     int32_t *outcome_out);

/**
 * Takes in several operations: bytes of distflow_doc_encode_since, or the JSON array of
 * distflow_doc_since. On failure, operations before the one that failed may have been taken in, and
 * after SOURCE_CONFLICT all the others; taking the same in again is harmless. Since 0.1.0.
 *
 * Ownership: ops is borrowed during the call. received_out is the caller's and may be NULL.
 * Blocks: no, but for the journal's writes to a file. In a callback: allowed.
 * Statuses: OK, INVALID_JSON, INVALID_MESSAGE (damaged bytes, or what is no operation), TOO_LARGE,
 * BUSY (too many wait), SOURCE_CONFLICT (as for distflow_doc_receive), IO (it can't be kept),
 * INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_receive_batch(struct distflow_doc *doc,
                                           const char *ops,
                                           size_t ops_len,
                                           struct distflow_doc_received *received_out);

/**
 * Gives the operations that somebody with a clock lacks, as a JSON array. Since 0.1.0.
 *
 * Ownership: clock, a JSON object of distflow_doc_clock, is borrowed during the call; length 0
 * means {}, of somebody who has seen nothing. *ops_out is owned; release it with
 * distflow_buf_free. is_complete_out is the caller's and may be NULL; false means that the
 * oldest of them are forgotten, and that the peer needs a snapshot.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT (no clock; the text says why), INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_since(const struct distflow_doc *doc,
                                   const char *clock,
                                   size_t clock_len,
                                   struct distflow_buf *ops_out,
                                   bool *is_complete_out);

/**
 * Like distflow_doc_since, in bytes for distflow_doc_receive_batch, which take a fraction of the
 * text. Since 0.1.0.
 *
 * Ownership: as for distflow_doc_since; *bytes_out is owned; release it with
 * distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_encode_since(const struct distflow_doc *doc,
                                          const char *clock,
                                          size_t clock_len,
                                          struct distflow_buf *bytes_out,
                                          bool *is_complete_out);

/**
 * Gives the whole document in bytes, for distflow_doc_restore and distflow_doc_merge. Since
 * 0.1.0.
 *
 * Ownership: *bytes_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_snapshot(const struct distflow_doc *doc,
                                      struct distflow_buf *bytes_out);

/**
 * Gives the same as JSON text, with the members of the original packages. Since 0.1.0.
 *
 * Ownership: *json_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_snapshot_json(const struct distflow_doc *doc,
                                           struct distflow_buf *json_out);

/**
 * Gives the whole document in pieces of text, a line feed after each, for distflow_doc_merge_piece:
 * for a peer that one message can't bring all of it. A piece is letters, digits, +, / and =, so
 * that it can stand in a JSON string as it is. Since 0.1.0.
 *
 * Ownership: *pieces_out is owned; release it with distflow_buf_free. piece_len_max is the
 * longest that a piece may be, at least 1,024; 0 means 1 MiB.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, TOO_LARGE (the document is larger than 1 GiB), INVALID_HANDLE,
 * FORKED, PANIC.
 */
distflow_status distflow_doc_snapshot_pieces(const struct distflow_doc *doc,
                                             size_t piece_len_max,
                                             struct distflow_buf *pieces_out);

/**
 * Takes in a piece of distflow_doc_snapshot_pieces, in any order, once or more; with the last one
 * that is missing, merges the snapshot as distflow_doc_merge does. Pieces of at most four
 * snapshots are kept at a time. Since 0.1.0.
 *
 * Ownership: piece, without a line feed, is borrowed during the call. is_whole_out is the
 * caller's and may be NULL; true means that the snapshot was merged.
 * Blocks: no, but for the journal's write to a file. In a callback: allowed.
 * Statuses: OK, INVALID_JSON, INVALID_MESSAGE (no piece, or pieces that do not make the snapshot),
 * TOO_LARGE, SOURCE_CONFLICT, IO (it can't be kept), INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_merge_piece(struct distflow_doc *doc,
                                         const char *piece,
                                         size_t piece_len,
                                         bool *is_whole_out);

/**
 * Replaces the document by a snapshot's, in bytes or JSON; what it had is gone. From then on it writes
 * as another source; see distflow_doc_source. On failure, nothing has changed. Since 0.1.0.
 *
 * Ownership: snapshot is borrowed during the call.
 * Blocks: no, but for the journal's write to a file. In a callback: allowed.
 * Statuses: OK, INVALID_JSON, INVALID_MESSAGE (damaged bytes, or no snapshot), TOO_LARGE, IO (it
 * can't be kept), INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_restore(struct distflow_doc *doc,
                                     const char *snapshot,
                                     size_t snapshot_len);

/**
 * Takes in what a snapshot has and this document has not, as if the operations had come. On
 * failure, nothing has changed. Since 0.1.0.
 *
 * Ownership: snapshot is borrowed during the call.
 * Blocks: no, but for the journal's write to a file. In a callback: allowed.
 * Statuses: OK, INVALID_JSON, INVALID_MESSAGE (damaged bytes, or no snapshot), TOO_LARGE,
 * SOURCE_CONFLICT (it has another operation of a source and number), IO (it can't be kept),
 * INVALID_ARGUMENT (also for a snapshot of an original package that lacks operations
 * of this document), INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_merge(struct distflow_doc *doc,
                                   const char *snapshot,
                                   size_t snapshot_len);

/**
 * When this has returned OK, the end of the machine does not lose what was written before. Without
 * a directory it does nothing. Since 0.1.0.
 *
 * Ownership: none.
 * Blocks: until the disk has it; other threads can use the document meanwhile. In a callback:
 * allowed.
 * Statuses: OK, IO, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_flush(struct distflow_doc *doc);

/**
 * Replaces the journal by a snapshot. This also happens by itself, without anybody waiting.
 * Without a directory it does nothing. Since 0.1.0.
 *
 * Ownership: none.
 * Blocks: until the disk has it; other threads can use the document meanwhile. In a callback:
 * allowed.
 * Statuses: OK, IO, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_checkpoint(struct distflow_doc *doc);

/**
 * Begins or ends to keep events for distflow_doc_events; at first none are kept. When it ends,
 * those that were not asked for are gone. Since 0.1.0.
 *
 * Ownership: none; is_listening is 1 or 0. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_listen(struct distflow_doc *doc,
                                    uint8_t is_listening);

/**
 * Gives what has happened since this was last asked, as a JSON array of names and objects:
 * [["change",{...}],...], the same in every language. At most the last 65,536 are kept; if more
 * happened, the first is ["lost",{"count":n}].
 *
 * - change: a local write: type (set or del), path, value, op.
 * - sync: an operation of another replica was taken in: op.
 * - watch: a write touches a pattern: id, path, local, op. Without op, and with the path
 *   of the whole document, after a merge or restore, and after lost: look again.
 * - conflict: type is parent-tombstone, tombstone-wins, clock-drift, ignored, source-reused or
 *   source-retired.
 * - gc: something was forgotten: type (log, pending or tombstones), removed,
 *   currentSize.
 * - limit: more is remembered than the option says: type, size, limit.
 * - restore: a snapshot was taken in: merge.
 *
 * Later versions may have other names, which a program should ignore. Since 0.1.0.
 *
 * Ownership: *events_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_events(struct distflow_doc *doc,
                                    struct distflow_buf *events_out);

/**
 * Lets writes that touch a pattern be told by an event watch with a number; see
 * distflow_doc_listen and distflow_doc_events.
 *
 * A pattern is text such as users.*.name: keys and indexes between dots, * for any one of
 * them, ** for any number, empty for the whole document. One that begins with [ is a JSON
 * array of the same, such as ["users","*","name"], in which keys may have dots. Since 0.1.0.
 *
 * Ownership: pattern is borrowed during the call. id_out is the caller's; it receives the
 * number, 0 on failure.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, INVALID_JSON, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_watch(struct distflow_doc *doc,
                                   const char *pattern,
                                   uint64_t *id_out);

/**
 * Ends a watch. Since 0.1.0.
 *
 * Ownership: none. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT (there is none of this number), INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_unwatch(struct distflow_doc *doc, uint64_t id);

/**
 * Tells who takes part, so that deletes which all have seen can be forgotten, and lives that
 * have ended counted no longer. Since 0.1.0.
 *
 * Ownership: members, a JSON array of the names of all replicas, is borrowed during the call;
 * length 0 means that they are not known.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_set_members(struct distflow_doc *doc,
                                         const char *members,
                                         size_t members_len);

/**
 * Takes in those waiting operations whose turn has come. This happens by itself. Since 0.1.0.
 *
 * Ownership: none. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_drain_pending(struct distflow_doc *doc);

/**
 * Gives up operations that have waited longer than pendingTimeoutMs for others. They can be
 * received again. Since 0.1.0.
 *
 * Ownership: none. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_clean_pending(struct distflow_doc *doc);

/**
 * Forgets the oldest operations of the log until keep are left; negative: as many as the option
 * maxLogSize. A peer that lacks one of them needs a snapshot. Since 0.1.0.
 *
 * Ownership: none. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_gc_log(struct distflow_doc *doc,
                                    int64_t keep);

/**
 * Forgets deletes that are older than tombstoneGracePeriodMs and that every member has seen. It
 * forgets none while the members are not known. Since 0.1.0.
 *
 * Ownership: none. Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_gc_tombstones(struct distflow_doc *doc);

/**
 * Gives what was counted, as a JSON object of numbers. Since 0.1.0.
 *
 * Ownership: *json_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_metrics(const struct distflow_doc *doc,
                                     struct distflow_buf *json_out);

/**
 * Gives the same in the text format of Prometheus, labelled with the replica's name. Since 0.1.0.
 *
 * Ownership: *text_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_metrics_prometheus(const struct distflow_doc *doc,
                                                struct distflow_buf *text_out);

/**
 * Gives the state of the document, as a JSON object: what it knows of the replicas, samples of its
 * log and of what waits. Since 0.1.0.
 *
 * Ownership: options, a JSON object of "logSampleSize", "pendingSampleSize" (numbers) and
 * "includeCausalGraph" (true or false), which all may be left out, is borrowed during the call;
 * length 0 means {}. *json_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_doc_inspect(const struct distflow_doc *doc,
                                     const char *options,
                                     size_t options_len,
                                     struct distflow_buf *json_out);

/**
 * Gives which operation of the log came after which, as a JSON array. Since 0.1.0.
 *
 * Ownership: *json_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_causal_graph(const struct distflow_doc *doc,
                                          struct distflow_buf *json_out);

/**
 * Gives operations of the log, as a JSON array: from the place from, 0 for the oldest that is
 * kept, up to and without the place to; what is beyond the end is left out. Since 0.1.0.
 *
 * Ownership: *ops_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_logged(const struct distflow_doc *doc,
                                    uint64_t from,
                                    uint64_t to,
                                    struct distflow_buf *ops_out);

/**
 * Gives the document that operations of the log make by themselves, as JSON text; see
 * distflow_doc_logged for which. The initial value and what was forgotten are not in it.
 * Since 0.1.0.
 *
 * Ownership: *json_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_doc_replay(const struct distflow_doc *doc,
                                    uint64_t from,
                                    uint64_t to,
                                    struct distflow_buf *json_out);

/**
 * Gives what two snapshots of distflow_doc_snapshot_json differ in, as a JSON object. Since
 * 0.1.0.
 *
 * Ownership: before and after are borrowed during the call. *json_out is owned; release it
 * with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_JSON, INVALID_MESSAGE (no snapshot), INVALID_ARGUMENT, PANIC.
 */
distflow_status distflow_doc_diff_snapshots(const char *before,
                                            size_t before_len,
                                            const char *after,
                                            size_t after_len,
                                            struct distflow_buf *json_out);

/**
 * Creates a session on an MQTT broker. When this returns OK, others find it, and this instance is
 * its first member.
 *
 * broker says where: a JSON object, length 0 means {}. Its members, which all may be left out:
 *
 * - "url": mqtt://, mqtts:// (TLS), ws:// or wss://, host and port. Default
 *   mqtt://localhost.
 * - "mqttVersion": "auto", the default: 5, or 3.1.1 where the broker does not speak it; "3.1.1"
 *   or "5".
 * - "username", "password". Default: none.
 * - "caFile": a PEM file of who is trusted for TLS. Default: whom the system trusts.
 * - "certFile", "keyFile": PEM files by which this client is known. Default: none.
 * - "keepAliveS": seconds after which the broker hears from this client. Default 10.
 * - "connectTimeoutMs": milliseconds to reach the broker. Default 10000.
 *
 * session_id is the session's id, or NULL for a new one. options is a JSON object, length 0
 * means {}, with:
 *
 * - "modelName": the name of the game. Default Unknown.
 * - "playersMin", "playersMax": how many instances start a game. Defaults 1 and 4.
 * - "seed": of the game's random numbers, 1 to 1000000. Default: drawn.
 * - "handOver": whether a member continues the session when the creator is lost. Default false.
 * - "autoStartS": seconds of the countdown that starts the game by itself once all are there.
 *   Default: none.
 *
 * Since 0.1.0.
 *
 * Ownership: everything given is borrowed during the call. *session_out is owned; release it
 * with distflow_session_free. It is NULL on failure.
 * Blocks: up to connectTimeoutMs, and a few seconds when the id is in use; never more than 20 s
 * beyond. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT (the text names the option), REFUSED (by the broker; or somebody
 * has a session of this id), TIMEOUT (the broker is not reached, or does not do what it says),
 * BUSY, IO, PANIC.
 */
distflow_status distflow_session_create(const char *broker,
                                        size_t broker_len,
                                        const char *session_id,
                                        const char *options,
                                        size_t options_len,
                                        struct distflow_session **session_out);

/**
 * Joins a session. When this returns OK, the creator counts this instance.
 *
 * broker is as for distflow_session_create. Since 0.1.0.
 *
 * Ownership: everything given is borrowed during the call. *session_out is owned; release it
 * with distflow_session_free. It is NULL on failure.
 * Blocks: up to connectTimeoutMs, and up to 10 s for the creator's answer. In a callback:
 * allowed.
 * Statuses: OK, INVALID_ARGUMENT, REFUSED (by the broker; or by the session: it is full, has
 * started, is closed, does not exist, or its creator does not answer, which the text says),
 * TIMEOUT (the broker is not reached), BUSY, IO, PANIC.
 */
distflow_status distflow_session_join(const char *broker,
                                      size_t broker_len,
                                      const char *session_id,
                                      struct distflow_session **session_out);

/**
 * Looks at a session without being in it: it gets events, and its view.
 *
 * broker is as for distflow_session_create. Since 0.1.0.
 *
 * Ownership: everything given is borrowed during the call. *session_out is owned; release it
 * with distflow_session_free. It is NULL on failure.
 * Blocks: up to connectTimeoutMs. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, REFUSED (by the broker), TIMEOUT (the broker is not reached),
 * BUSY, IO, PANIC.
 */
distflow_status distflow_session_observe(const char *broker,
                                         size_t broker_len,
                                         const char *session_id,
                                         struct distflow_session **session_out);

/**
 * Gives the session's id. Since 0.1.0.
 *
 * Ownership: *id_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_session_id(const struct distflow_session *session,
                                    struct distflow_buf *id_out);

/**
 * Gives the id of this instance in the session, by which others know it. Since 0.1.0.
 *
 * Ownership: *instance_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_session_instance(const struct distflow_session *session,
                                          struct distflow_buf *instance_out);

/**
 * Gives the session as it is known here, as a JSON object: role (creator, member or
 * observer), state (open, starting, in_progress or closed), members (ids, the
 * creator first, then in the order in which they joined), creator, model_name, players_min,
 * players_max, seed, reserved and registered (players and who has them),
 * all_players_selected, is_in, ending (why it is over for this instance), version, term,
 * hand_over, is_connected, ignored (messages that could not be understood). What is not
 * known is null. Later versions may have further members. Since 0.1.0.
 *
 * Ownership: *json_out is owned; release it with distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_session_view(const struct distflow_session *session,
                                      struct distflow_buf *json_out);

/**
 * Leaves the session, and returns when the broker knows; callbacks take what waits for them, and
 * none runs any more. A creator hands the session over, if it was created so and somebody else is
 * there, or closes it; its topics are emptied 5 s later, by this process if it still runs, or by
 * members. When three quarters of the time are over, what still waits for callbacks is left.
 * Leaving again is harmless. Since 0.1.0.
 *
 * Ownership: the handle stays valid until distflow_session_free; its view and what waits can
 * still be asked for.
 * Blocks: up to timeout_ms. In a callback: not of this session: REENTRANT_CALL, and nothing
 * happens.
 * Statuses: OK, TIMEOUT (the broker is not reached, or a callback still runs; call again),
 * REENTRANT_CALL, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_session_leave(struct distflow_session *session,
                                       int64_t timeout_ms);

/**
 * Releases a session, and leaves it first if that was not done. The handle is stale from the
 * start of this call on.
 *
 * Ownership: takes session, which may be NULL, stale or foreign: then nothing happens. In a
 * forked child it does nothing either. Since 0.1.0.
 * Blocks: as long as leaving takes, at most about 5 s; a callback that runs longer ends
 * undisturbed, and its drop function runs after it. In a callback: allowed; on the callback
 * thread of this session it does not block, and the session is left after the callback has
 * returned.
 * Statuses: none.
 */
void distflow_session_free(struct distflow_session *session);

/**
 * Starts the game for everybody: at once, or after a countdown of so many seconds. For the
 * creator. Since 0.1.0.
 *
 * Ownership: none.
 * Blocks: for one turn of the network's thread. In a callback: allowed.
 * Statuses: OK, REFUSED (it is not the creator, or members are missing), INVALID_ARGUMENT (a
 * countdown of more than a day), CONNECTION_FAILED (there is none to the broker at the moment),
 * CLOSED, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_session_start(struct distflow_session *session, uint32_t countdown_s);

/**
 * Closes the session for everybody, for ever. For the creator. To go alone, leave. Since 0.1.0.
 *
 * Ownership: the handle stays valid until distflow_session_free.
 * Blocks: for one turn of the network's thread. In a callback: allowed.
 * Statuses: OK, REFUSED (it is not the creator), CLOSED, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_session_end(struct distflow_session *session);

/**
 * Asks a member to continue the session as its creator. For the creator. Since 0.1.0.
 *
 * Ownership: instance, the id of a member, is borrowed during the call; NULL means the one that
 * joined first.
 * Blocks: for one turn of the network's thread. In a callback: allowed.
 * Statuses: OK, REFUSED (it is not the creator; the session was not created for it; or there is no
 * such member), INVALID_ARGUMENT, CONNECTION_FAILED (there is none to the broker at the moment),
 * CLOSED, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_session_hand_over(struct distflow_session *session,
                                           const char *instance);

/**
 * Asks for a player, a role in the game. Whose it is, the event reserved tells. Since 0.1.0.
 *
 * Ownership: player is borrowed during the call.
 * Blocks: for one turn of the network's thread. In a callback: allowed.
 * Statuses: OK, REFUSED (somebody has it), INVALID_ARGUMENT, BUSY (it has asked for 1,024
 * already), CLOSED, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_session_reserve(struct distflow_session *session, const char *player);

/**
 * Gives a player back, or a wish for one. Nothing happens to a player of somebody else. Since
 * 0.1.0.
 *
 * Ownership: player is borrowed during the call.
 * Blocks: for one turn of the network's thread. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, CLOSED, INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_session_release(struct distflow_session *session, const char *player);

/**
 * Says that this instance plays a player. Since 0.1.0.
 *
 * Ownership: player is borrowed during the call.
 * Blocks: for one turn of the network's thread. In a callback: allowed.
 * Statuses: OK, REFUSED (somebody has it), INVALID_ARGUMENT, CLOSED, INVALID_HANDLE, FORKED,
 * PANIC.
 */
distflow_status distflow_session_register(struct distflow_session *session, const char *player);

/**
 * Sends a message of the game to everybody in the session, this instance included, who get it as
 * the event game. It is not retained and not repeated (quality of service 0). Without a connection up to 1,000 messages
 * and 16 MiB wait for one. Since 0.1.0.
 *
 * Ownership: name, the kind of message, and payload, any bytes, at most 64 KiB, are borrowed
 * during the call.
 * Blocks: for one turn of the network's thread. In a callback: allowed.
 * Statuses: OK, TOO_LARGE, BUSY (too many wait), INVALID_ARGUMENT, CLOSED, INVALID_HANDLE, FORKED,
 * PANIC.
 */
distflow_status distflow_session_publish(struct distflow_session *session,
                                         const char *name,
                                         const char *payload,
                                         size_t payload_len);

/**
 * Releases what an event owns and empties the struct, so that doing it twice is harmless. For
 * events that were received by polling; those of a callback own nothing. Since 0.1.0.
 *
 * Ownership: takes what event owns; event itself stays the caller's, and may be NULL.
 * Blocks: no. In a callback: allowed. Statuses: none.
 */
void distflow_session_event_free(struct distflow_session_event *event);

/**
 * Receives the next event. 10,000 wait at most, with 64 MiB of the game's messages; then the
 * oldest go. Since 0.1.0.
 *
 * Ownership: *event_out is owned; release it with distflow_session_event_free. It is empty on
 * failure.
 * Blocks: up to timeout_ms. In a callback: allowed; callbacks and this function compete for
 * events.
 * Statuses: OK, TIMEOUT (nothing came), CLOSED (it is over and nothing waits), INVALID_HANDLE,
 * INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_session_recv_event(struct distflow_session *session,
                                            int64_t timeout_ms,
                                            struct distflow_session_event *event_out);

/**
 * Gives a descriptor that is readable exactly while an event waits, and for ever once the session
 * is over; see distflow_node_fd. Since 0.1.0.
 *
 * Ownership: the descriptor is borrowed and valid until distflow_session_free; do not read,
 * write or close it.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, IO, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_session_fd(struct distflow_session *session,
                                    int *fd_out);

/**
 * Adds a callback for events; what waits comes first. Since 0.1.0.
 *
 * Ownership: as for distflow_node_on_message.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, CLOSED, IO, FORKED, PANIC.
 */
distflow_status distflow_session_on_event(struct distflow_session *session,
                                          distflow_session_event_fn callback,
                                          void *context,
                                          distflow_drop_fn drop);

/**
 * Opens the list of the sessions on a broker; it keeps itself up to date until it is freed.
 * broker is as for distflow_session_create. Sessions come in within moments after that: see
 * distflow_session_list_wait. Since 0.1.0.
 *
 * Ownership: everything given is borrowed during the call. *list_out is owned; release it with
 * distflow_session_list_free. It is NULL on failure.
 * Blocks: up to connectTimeoutMs. In a callback: allowed.
 * Statuses: OK, INVALID_ARGUMENT, REFUSED (by the broker), TIMEOUT (the broker is not reached),
 * BUSY, IO, PANIC.
 */
distflow_status distflow_session_list_open(const char *broker,
                                           size_t broker_len,
                                           struct distflow_session_list **list_out);

/**
 * Gives the sessions that are alive, the newest first, as a JSON object:
 *
 * - version: the number of this state of the list; see distflow_session_list_wait.
 * - is_connected: whether there is a connection; without, the list may be old.
 * - completeness: unknown while what the broker has kept is under way; announcements while the
 *   list waits for sessions to announce themselves, within 6 s, because the broker brings nothing
 *   that it has kept; complete; or cut_off when the broker has not brought all, or there are more
 *   than the list has room for.
 * - sessions: each with session_id, model_name, state (open, starting, in_progress
 *   or closed), members (ids), players_min, players_max, creator, players (registered),
 *   is_joinable.
 * - rows: what a user interface shows of those that can be joined and of the own one, ready to
 *   be drawn: session_id, text, tooltip, is_checked, is_full, background,
 *   foreground, is_italic. Without any, show No sessions available.
 *
 * own is the id of the session that this program is in, and NULL if there is none. Since 0.1.0.
 *
 * Ownership: own is borrowed during the call. *json_out is owned; release it with
 * distflow_buf_free.
 * Blocks: no. In a callback: allowed.
 * Statuses: OK, INVALID_HANDLE, INVALID_ARGUMENT, FORKED, PANIC.
 */
distflow_status distflow_session_list_sessions(const struct distflow_session_list *list,
                                               const char *own,
                                               struct distflow_buf *json_out);

/**
 * Waits until the list is in another state than that of a number. Begin with 0, which no state
 * with a session in it has. Since 0.1.0.
 *
 * Ownership: none. version_out, which receives the number of the new state, is the caller's and
 * may be NULL.
 * Blocks: up to timeout_ms. In a callback: allowed.
 * Statuses: OK, TIMEOUT (it is as it was), CLOSED (the list is being freed, or the broker does not
 * take it back), INVALID_HANDLE, FORKED, PANIC.
 */
distflow_status distflow_session_list_wait(struct distflow_session_list *list,
                                           uint64_t version,
                                           int64_t timeout_ms,
                                           uint64_t *version_out);

/**
 * Releases a list, and disconnects. The handle is stale from the start of this call on; a wait of
 * another thread ends with CLOSED. Since 0.1.0.
 *
 * Ownership: takes list, which may be NULL, stale or foreign: then nothing happens.
 * Blocks: no. In a callback: allowed. Statuses: none.
 */
void distflow_session_list_free(struct distflow_session_list *list);

/**
 * Sets where the library's log goes, for the whole process: one callback, on a thread of its
 * own, one record at a time. A hook that was set before ends first, and its drop function runs.
 * 4,096 records wait at most; more are dropped. What distflow logs on the thread of the callback
 * is left out.
 *
 * Ownership: context is handed to callback with every call, and to drop once: after the
 * last call, or before this function returns if it fails. drop may be NULL. With
 * DISTFLOW_LOG_OFF, callback may be NULL.
 * Blocks: until the callback of an earlier hook has returned. In a callback: allowed; in the log
 * callback itself it does not wait.
 * Statuses: OK, INVALID_ARGUMENT, ALREADY_RUNNING (the program has set up Rust logging of its
 * own), IO, FORKED, PANIC.
 */
distflow_status distflow_log_set(int32_t level,
                                 distflow_log_fn callback,
                                 void *context,
                                 distflow_drop_fn drop);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DISTFLOW_H */
