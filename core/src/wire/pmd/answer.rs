//! What a PMD answers, written.

use super::{Capabilities, LeaveCause, PROTOCOL_VERSION, Register};
use crate::wire::json;

/// Appends `{"type":"response","requestId":…,"payload":` + what `payload` writes + `}`.
pub fn append_response(
    out: &mut Vec<u8>,
    request_id: Option<&str>,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    append_response_head(out, request_id);
    payload(out);
    out.push(b'}');
}

/// Appends what comes before the payload of an answer.
pub fn append_response_head(out: &mut Vec<u8>, request_id: Option<&str>) {
    out.extend_from_slice(b"{\"type\":\"response\",");
    if let Some(id) = request_id {
        out.extend_from_slice(b"\"requestId\":");
        out.extend_from_slice(id.as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"payload\":");
}

/// Appends the payload `{"error":…}`.
pub fn append_error(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"{\"error\":");
    json::append_string(out, text);
    out.push(b'}');
}

/// Appends the node object up to and including `"lastHeartbeat":`, the only part that changes.
pub fn append_node_prefix(out: &mut Vec<u8>, node: &Register) {
    out.extend_from_slice(b"{\"nodeId\":");
    json::append_string(out, node.node_id.as_str());
    if let Some(alias) = &node.alias {
        out.extend_from_slice(b",\"alias\":");
        json::append_string(out, alias.as_str());
    }
    out.extend_from_slice(b",\"host\":");
    json::append_string(out, node.host.as_str());
    out.extend_from_slice(b",\"port\":");
    json::append_number(out, node.port.into());
    out.extend_from_slice(b",\"lastHeartbeat\":");
}

/// Appends the members that only clients with `meta` get.
pub fn append_node_extras(out: &mut Vec<u8>, caps: Option<&str>, meta: Option<&str>) {
    for (name, value) in [(&b",\"caps\":"[..], caps), (&b",\"meta\":"[..], meta)] {
        if let Some(value) = value {
            out.extend_from_slice(name);
            out.extend_from_slice(value.as_bytes());
        }
    }
}

/// Appends an event. `extras` holds revision and cause for clients that get them.
pub fn append_event(
    out: &mut Vec<u8>,
    event: &str,
    node: impl FnOnce(&mut Vec<u8>),
    extras: Option<(u64, Option<LeaveCause>)>,
) {
    out.extend_from_slice(b"{\"type\":\"event\",\"payload\":{\"event\":\"");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\",\"peer\":");
    node(out);
    if let Some((rev, cause)) = extras {
        out.extend_from_slice(b",\"rev\":");
        json::append_number(out, rev);
        if let Some(cause) = cause {
            out.extend_from_slice(b",\"cause\":");
            json::append_string(out, cause.name());
        }
    }
    out.extend_from_slice(b"}}");
}

/// Appends the event that asks a client to prove that it is alive.
pub fn append_probe(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(b"{\"type\":\"event\",\"payload\":{\"event\":\"probe\",\"probe\":");
    json::append_number(out, number);
    out.extend_from_slice(b"}}");
}

/// Appends the payload of the answer to `hello`.
pub fn append_hello_answer(out: &mut Vec<u8>, caps: Capabilities) {
    out.extend_from_slice(b"{\"v\":");
    json::append_number(out, PROTOCOL_VERSION);
    out.extend_from_slice(b",\"caps\":");
    caps.append(out);
    out.push(b'}');
}
