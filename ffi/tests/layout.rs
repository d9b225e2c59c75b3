//! The structs have the layout in Rust that the C compiler gives them; that is in
//! `ffi/abi/layout.txt`, which `tests/tests/c/abi.rs` compares with the header.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::mem::{align_of, offset_of, size_of};

use distflow::buf::distflow_buf;
use distflow::bytes::distflow_bytes;
use distflow::doc_sync::distflow_doc_received;
use distflow::event::distflow_event;
use distflow::log::distflow_log_record;
use distflow::message::distflow_message;
use distflow::message::distflow_messages;
use distflow::node::distflow_stats;
use distflow::node_options::distflow_node_options;
use distflow::peer::distflow_peer;
use distflow::peer::distflow_peers;
use distflow::pmd::distflow_pmd_options;
use distflow::session_events::distflow_session_event;

/// Size of a member, whatever its type is.
fn size_of_member<S, M>(_: fn(&S) -> &M) -> usize {
    size_of::<M>()
}

macro_rules! layout {
    ($lines:ident, $name:ident { $($member:ident),* }) => {
        $lines.push(format!(
            "{} {} {}", stringify!($name), size_of::<$name>(), align_of::<$name>()
        ));
        $($lines.push(format!(
            "{}.{} {} {}",
            stringify!($name),
            stringify!($member),
            offset_of!($name, $member),
            size_of_member(|value: &$name| &value.$member)
        ));)*
    };
}

#[test]
fn rust_and_c_agree() {
    let mut lines = Vec::new();
    layout!(lines, distflow_buf { data, len });
    layout!(lines, distflow_bytes { data, len });
    layout!(
        lines,
        distflow_peer {
            node_id,
            alias,
            host,
            capabilities,
            meta,
            last_heartbeat_ms,
            port,
            reserved
        }
    );
    layout!(lines, distflow_peers { items, len, memory });
    layout!(
        lines,
        distflow_message {
            from,
            payload,
            timestamp_ms,
            memory,
            alias
        }
    );
    layout!(lines, distflow_messages { items, len, memory });
    layout!(
        lines,
        distflow_event {
            kind,
            status,
            count,
            peer,
            cause,
            target,
            text,
            memory,
            reserved
        }
    );
    layout!(
        lines,
        distflow_node_options {
            struct_size,
            alias,
            node_id,
            pmd_host,
            pmd_executable,
            listen_host,
            advertised_host,
            meta,
            meta_len,
            mailbox_messages_max,
            mailbox_bytes_max,
            queue_bytes_max,
            frame_bytes_max,
            frame_deadline_ms,
            start_timeout_ms,
            request_timeout_ms,
            pmd_auto_shutdown_ms,
            heartbeat_interval_ms,
            keepalive_idle_ms,
            keepalive_interval_ms,
            tcp_user_timeout_ms,
            keepalive_probes,
            overflow,
            pmd_port,
            listen_port,
            auto_start,
            embed_pmd,
            insecure,
            use_heartbeat,
            exclusive,
            reserved
        }
    );
    layout!(
        lines,
        distflow_stats {
            struct_size,
            sent,
            delivered,
            dropped,
            lost_outbound,
            lost_inbound,
            misdirected,
            waiting,
            bad_frames,
            events_lost
        }
    );
    layout!(
        lines,
        distflow_pmd_options {
            struct_size,
            host,
            auto_shutdown_ms,
            heartbeat_ttl_ms,
            heartbeat_expel_ms,
            probe_ms,
            frame_bytes_max,
            frame_deadline_ms,
            connections_max,
            nodes_max,
            nodes_per_connection_max,
            watcher_queue_bytes_max,
            keepalive_idle_ms,
            keepalive_interval_ms,
            tcp_user_timeout_ms,
            keepalive_probes,
            port,
            insecure,
            reserved
        }
    );
    layout!(
        lines,
        distflow_log_record {
            level,
            reserved,
            timestamp_ms,
            target,
            message,
            fields
        }
    );
    layout!(
        lines,
        distflow_doc_received {
            applied,
            duplicates,
            pending
        }
    );
    layout!(
        lines,
        distflow_session_event {
            kind,
            instance,
            player,
            name,
            payload,
            json,
            memory,
            reserved
        }
    );
    lines.sort();
    let frozen = concat!(env!("CARGO_MANIFEST_DIR"), "/abi/layout.txt");
    let frozen = std::fs::read_to_string(frozen).unwrap();
    let mut frozen: Vec<&str> = frozen.lines().collect();
    frozen.sort_unstable();
    assert_eq!(lines, frozen);
}
