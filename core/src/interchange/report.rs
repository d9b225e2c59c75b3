//! What a node or PMD tells, as JSON text.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::Error;
use crate::node_state::NodeEvent;
use crate::pmd::PmdNotice;
use crate::wire::pmd::{NodeInfo, Register};

/// An error as JSON: its code, its text, and the texts of its causes. The TypeScript layer makes
/// a `DistflowError` of it.
pub fn failure(error: &Error) -> Value {
    let mut causes = Vec::new();
    let mut next = error.cause();
    while let Some(cause) = next {
        causes.push(cause.message().to_owned());
        next = cause.cause();
    }
    json!({"code": error.kind().name(), "message": error.message(), "causes": causes})
}

/// A JSON array of texts that are JSON already.
pub fn array(items: impl IntoIterator<Item = String>) -> String {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&item);
    }
    text.push(']');
    text
}

/// A node, with the originals' members in the originals' order first.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Peer<'a> {
    node_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<&'a str>,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heartbeat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
}

impl Peer<'_> {
    fn text(&self) -> String {
        // Nothing in it can fail to be written.
        serde_json::to_string(self).unwrap_or_else(|_| "null".into())
    }
}

/// A node as the registry describes it.
pub fn peer(info: &NodeInfo) -> String {
    Peer {
        node_id: &info.node_id,
        alias: info.alias.as_deref(),
        host: &info.host,
        port: info.port,
        last_heartbeat: Some(info.last_heartbeat),
        meta: info.meta.as_deref(),
    }
    .text()
}

/// A node as an embedded PMD has it.
pub fn registered(node: &Register) -> String {
    Peer {
        node_id: node.node_id.as_str(),
        alias: node.alias.as_ref().map(|alias| alias.as_str()),
        host: node.host.as_str(),
        port: node.port,
        last_heartbeat: None,
        meta: node
            .meta
            .as_deref()
            .and_then(|meta| serde_json::from_str(meta).ok()),
    }
    .text()
}

/// An event of a node: its name, then its arguments.
pub fn node_event(event: &NodeEvent) -> String {
    match event {
        NodeEvent::PeerJoin(info) => format!("[\"peer:join\",{}]", peer(info)),
        NodeEvent::PeerLeave(info, cause) => {
            format!("[\"peer:leave\",{},{}]", peer(info), json!(cause.name()))
        }
        NodeEvent::RegistryLost(error) => json!(["pmd:lost", failure(error)]).to_string(),
        NodeEvent::RegistryRestored => json!(["pmd:restored"]).to_string(),
        NodeEvent::RegistrationRefused(error) => {
            json!(["registration:refused", failure(error)]).to_string()
        }
        NodeEvent::MailboxOverflow(total) => json!(["mailbox:overflow", total]).to_string(),
        NodeEvent::SendFailed {
            to,
            messages,
            error,
        } => json!(["send:failed", to.as_str(), messages, failure(error)]).to_string(),
    }
}

/// The name of a node's event, with which [`node_event`] begins.
pub fn node_event_name(event: &NodeEvent) -> &'static str {
    match event {
        NodeEvent::PeerJoin(_) => "peer:join",
        NodeEvent::PeerLeave(..) => "peer:leave",
        NodeEvent::RegistryLost(_) => "pmd:lost",
        NodeEvent::RegistryRestored => "pmd:restored",
        NodeEvent::RegistrationRefused(_) => "registration:refused",
        NodeEvent::MailboxOverflow(_) => "mailbox:overflow",
        NodeEvent::SendFailed { .. } => "send:failed",
    }
}

/// The name of an embedded PMD's event, with which [`pmd_event`] begins.
pub fn pmd_event_name(notice: &PmdNotice) -> &'static str {
    match notice {
        PmdNotice::Joined(_) => "peer:join",
        PmdNotice::Left(..) => "peer:leave",
        PmdNotice::Stopped(_) => "stopped",
    }
}

/// An event of an embedded PMD: its name, then its arguments.
pub fn pmd_event(notice: &PmdNotice) -> String {
    match notice {
        PmdNotice::Joined(node) => format!("[\"peer:join\",{}]", registered(node)),
        PmdNotice::Left(node, cause) => {
            format!(
                "[\"peer:leave\",{},{}]",
                registered(node),
                json!(cause.name())
            )
        }
        PmdNotice::Stopped(reason) => {
            json!(["stopped", reason.map_or("closed", |reason| reason.name())]).to_string()
        }
    }
}
