//! What a client sends, written with members in the originals' order.

use super::{
    Capabilities, PROTOCOL_VERSION, Register,
    answer::{append_node_extras, append_node_prefix},
};
use crate::wire::json;

/// A request as a client sends it.
#[derive(Debug, Clone, Copy)]
pub enum ToPmd<'a> {
    /// Announces what we can do.
    Hello(Capabilities),
    /// Registers a node; extras only go to a PMD that announced `meta`.
    Register(&'a Register),
    /// Removes a node.
    Unregister(&'a str),
    /// Looks up an alias or node id.
    Resolve(&'a str),
    /// Lists nodes, optionally by alias prefix.
    List(Option<&'a str>),
    /// Refreshes a node, and answers a probe.
    Heartbeat(&'a str, Option<u64>),
    /// Asks for events.
    Watch,
    /// Ends the PMD.
    Shutdown,
    /// Asks what the PMD says of itself.
    Status,
    /// Takes over the PMD's port; its second half ends the PMD.
    TakeOver {
        /// Whether it is the second half.
        done: bool,
    },
}

/// Appends a request with the id `req_<number>`, members in the originals' order.
pub fn append_request(out: &mut Vec<u8>, number: u64, request: ToPmd<'_>) {
    let one = |out: &mut Vec<u8>, kind: &str, member: &str, value: &str| {
        out.extend_from_slice(
            format!("{{\"type\":\"{kind}\",\"payload\":{{\"{member}\":").as_bytes(),
        );
        json::append_string(out, value);
    };
    match request {
        ToPmd::Hello(caps) => {
            out.extend_from_slice(b"{\"type\":\"hello\",\"payload\":{\"v\":");
            json::append_number(out, PROTOCOL_VERSION);
            out.extend_from_slice(b",\"caps\":");
            caps.append(out);
        }
        ToPmd::Register(node) => {
            out.extend_from_slice(b"{\"type\":\"register\",\"payload\":");
            append_node_prefix(out, node);
            // The node object without its time is exactly the payload of `register`.
            out.truncate(out.len() - b",\"lastHeartbeat\":".len());
            append_node_extras(out, node.caps.as_deref(), node.meta.as_deref());
            if let Some(session) = &node.session {
                out.extend_from_slice(b",\"session\":");
                json::append_string(out, session);
            }
        }
        ToPmd::Unregister(id) => one(out, "unregister", "nodeId", id),
        ToPmd::Resolve(alias) => one(out, "resolve", "alias", alias),
        ToPmd::List(None) => out.extend_from_slice(b"{\"type\":\"list\",\"payload\":{"),
        ToPmd::List(Some(prefix)) => one(out, "list", "prefix", prefix),
        ToPmd::Heartbeat(id, probe) => {
            one(out, "heartbeat", "nodeId", id);
            if let Some(probe) = probe {
                out.extend_from_slice(b",\"probe\":");
                json::append_number(out, probe);
            }
        }
        ToPmd::Watch => out.extend_from_slice(b"{\"type\":\"watch\",\"payload\":{"),
        ToPmd::Status => out.extend_from_slice(b"{\"type\":\"status\",\"payload\":{"),
        ToPmd::TakeOver { done } => out.extend_from_slice(
            format!("{{\"type\":\"takeover\",\"payload\":{{\"done\":{done}").as_bytes(),
        ),
        ToPmd::Shutdown => out.extend_from_slice(b"{\"type\":\"shutdown\",\"payload\":{"),
    }
    out.extend_from_slice(b"},\"requestId\":\"req_");
    json::append_number(out, number);
    out.extend_from_slice(b"\"}");
}
