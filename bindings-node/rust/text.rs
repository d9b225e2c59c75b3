//! What crosses to JavaScript, as JSON text.

use distflow_core::wire::pmd::Register;
use distflow_core::{Message, NodeEvent, NodeInfo, PmdNotice};
use serde_json::{Value, json};

use crate::failure;

/// Appends messages as `[from, timestamp, payload]` each; without a payload, two members.
///
/// Each payload is one JSON value, which the core has checked; otherwise a payload with a comma
/// and brackets of its own could forge messages.
pub fn append_messages(text: &mut String, messages: &[Message]) {
    let mut first = true;
    for message in messages {
        if !std::mem::take(&mut first) {
            text.push(',');
        }
        text.push('[');
        append_string(text, message.from.as_str());
        text.push(',');
        append_number(text, message.timestamp);
        if !message.payload.is_absent() {
            text.push(',');
            text.push_str(message.payload.as_str());
        }
        text.push(']');
    }
}

fn append_string(text: &mut String, string: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if string.bytes().all(plain) {
        text.push('"');
        text.push_str(string);
        text.push('"');
    } else {
        text.push_str(&Value::from(string).to_string());
    }
}

fn append_number(text: &mut String, number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// A node as the registry describes it, with the originals' five members first.
pub fn peer(info: &NodeInfo) -> Value {
    let meta = info.meta.as_ref().and_then(|meta| parsed(meta.get()));
    let mut value = json!({
        "nodeId": info.node_id,
        "host": info.host,
        "port": info.port,
        "lastHeartbeat": info.last_heartbeat,
    });
    value["alias"] = json!(info.alias);
    if let Some(meta) = meta {
        value["meta"] = meta;
    }
    value
}

/// A node as an embedded PMD has it.
pub fn registered(node: &Register) -> Value {
    let mut value = json!({
        "nodeId": node.node_id.as_str(),
        "host": node.host.as_str(),
        "port": node.port,
    });
    value["alias"] = json!(node.alias.as_ref().map(|alias| alias.as_str()));
    if let Some(meta) = node.meta.as_deref().and_then(parsed) {
        value["meta"] = meta;
    }
    value
}

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// An event of a node: its name, then its arguments. `None` for one this version can't tell.
pub fn node_event(event: &NodeEvent) -> Option<Value> {
    Some(match event {
        NodeEvent::PeerJoin(info) => json!(["peer:join", peer(info)]),
        NodeEvent::PeerLeave(info, cause) => json!(["peer:leave", peer(info), cause.name()]),
        NodeEvent::RegistryLost(error) => json!(["pmd:lost", failure::value(error)]),
        NodeEvent::RegistryRestored => json!(["pmd:restored"]),
        NodeEvent::RegistrationRefused(error) => {
            json!(["registration:refused", failure::value(error)])
        }
        NodeEvent::MailboxOverflow(total) => json!(["mailbox:overflow", total]),
        NodeEvent::SendFailed {
            to,
            messages,
            error,
        } => json!(["send:failed", to.as_str(), messages, failure::value(error)]),
        _ => return None,
    })
}

/// An event of an embedded PMD: its name, then its arguments.
pub fn pmd_event(notice: &PmdNotice) -> Option<Value> {
    Some(match notice {
        PmdNotice::Joined(node) => json!(["peer:join", registered(node)]),
        PmdNotice::Left(node, cause) => json!(["peer:leave", registered(node), cause.name()]),
        PmdNotice::Stopped(reason) => {
            json!(["stopped", reason.map_or("closed", |reason| reason.name())])
        }
        _ => return None,
    })
}
