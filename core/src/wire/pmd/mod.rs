//! Messages between a client and a PMD (pmd.md 2-5; distflow's additions in `docs/wire.md`).
//!
//! `parse` reads what a client sends, `answer` writes what a PMD answers; `request` writes what
//! a client sends, `reply` reads what a PMD answered. This file has what both sides share.

mod answer;
mod parse;
mod reply;
mod request;
mod status;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::names::{Alias, Host, NodeId};
use crate::wire::json;

pub use answer::{
    append_error, append_event, append_hello_answer, append_node_extras, append_node_prefix,
    append_probe, append_response, append_response_head,
};
pub use parse::{Incoming, Request, checked_meta, parse_request};
pub use reply::{Answer, FromPmd, NodeInfo, Snapshot, parse_from_pmd};
pub use request::{ToPmd, append_request};
pub use status::PmdStatus;

/// Version of distflow's additions to the protocol, as sent in `hello`.
pub const PROTOCOL_VERSION: u64 = 1;

/// How the refusal of a connection begins for which a PMD has no room.
pub const NO_ROOM: &str = "the PMD has no room for another connection";

/// Event name of a node that appeared.
pub const PEER_JOIN: &str = "peer:join";
/// Event name of a node that went.
pub const PEER_LEAVE: &str = "peer:leave";
/// Event name of a liveness probe; only sent to clients that announced `probe`.
pub const PROBE: &str = "probe";

/// Borrowed when the JSON string has no escapes.
#[derive(Deserialize, Debug, Clone, PartialEq)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// Keeps an explicit `null` apart from an absent member.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(d: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub payload: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestId", default, deserialize_with = "present")]
    pub request_id: Option<&'a RawValue>,
}

/// What a client announces in `hello`; everything beyond the originals depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Wants snapshot and revision in the answer to `watch`, and a revision in every event.
    pub rev: bool,
    /// Wants metadata and node capabilities in node objects.
    pub meta: bool,
    /// Promises a heartbeat at least every few seconds.
    pub heartbeat: bool,
    /// Answers `probe` events.
    pub probe: bool,
}

impl Capabilities {
    const NAMES: [&'static str; 4] = ["rev", "meta", "hb", "probe"];

    fn flags(&mut self) -> [&mut bool; 4] {
        [
            &mut self.rev,
            &mut self.meta,
            &mut self.heartbeat,
            &mut self.probe,
        ]
    }

    /// Reads announced names; unknown ones belong to later versions and are ignored.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut caps = Self::default();
        for name in names {
            if let Some(i) = Self::NAMES.iter().position(|known| *known == name) {
                *caps.flags()[i] = true;
            }
        }
        caps
    }

    /// What both sides announced.
    #[must_use]
    pub fn and(mut self, mut other: Self) -> Self {
        for (mine, theirs) in self.flags().into_iter().zip(other.flags()) {
            *mine &= *theirs;
        }
        self
    }

    /// Everything this version knows.
    pub fn all() -> Self {
        Self::from_names(Self::NAMES)
    }

    fn append(mut self, out: &mut Vec<u8>) {
        out.push(b'[');
        let mut first = true;
        for (set, name) in self.flags().into_iter().zip(Self::NAMES) {
            if *set {
                if !first {
                    out.push(b',');
                }
                first = false;
                json::append_string(out, name);
            }
        }
        out.push(b']');
    }
}

/// A checked `register` payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The node's id.
    pub node_id: NodeId,
    /// The node's alias, if it has one.
    pub alias: Option<Alias>,
    /// The host peers dial.
    pub host: Host,
    /// The port peers dial.
    pub port: u16,
    /// Capabilities of the node towards other nodes, as JSON text.
    pub caps: Option<Box<str>>,
    /// Metadata object as JSON text.
    pub meta: Option<Box<str>>,
    /// Token of an earlier registration of the same node id.
    pub session: Option<Box<str>>,
}

/// Why a node left, as announced to clients with `rev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaveCause {
    /// It unregistered.
    Unregistered,
    /// Its connection closed.
    Closed,
    /// It was silent for too long.
    TimedOut,
    /// It registered again with another address or alias; a join follows.
    Replaced,
    /// It was gone when the PMD came back; the moment and the reason are unknown.
    Unknown,
}

impl LeaveCause {
    /// The word on the wire and in every language.
    pub const fn name(self) -> &'static str {
        match self {
            LeaveCause::Unregistered => "unregistered",
            LeaveCause::Closed => "closed",
            LeaveCause::TimedOut => "timeout",
            LeaveCause::Replaced => "replaced",
            LeaveCause::Unknown => "unknown",
        }
    }

    fn from_name(name: &str) -> Self {
        match name {
            "unregistered" => LeaveCause::Unregistered,
            "closed" => LeaveCause::Closed,
            "timeout" => LeaveCause::TimedOut,
            "replaced" => LeaveCause::Replaced,
            _ => LeaveCause::Unknown,
        }
    }
}

/// The text of a `type`; what is no text is as unknown as any other word.
fn word(kind: &RawValue) -> Cow<'_, str> {
    serde_json::from_str::<Text<'_>>(kind.get()).map_or(Cow::Borrowed(""), |text| text.0)
}

/// Whether valid JSON text is an object; serde would also take members from an array.
fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// serde_json's text without the position, which refers to an excerpt.
fn json_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.find(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Register {
        Register {
            node_id: NodeId::new("0123456789abcdef").unwrap(),
            alias: Some(Alias::new("svc").unwrap()),
            host: Host::new("localhost").unwrap(),
            port: 40001,
            caps: None,
            meta: None,
            session: None,
        }
    }

    fn requested(number: u64, request: ToPmd<'_>) -> String {
        let mut out = Vec::new();
        append_request(&mut out, number, request);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_are_byte_identical_to_the_originals() {
        assert_eq!(
            requested(1, ToPmd::Register(&node())),
            r#"{"type":"register","payload":{"nodeId":"0123456789abcdef","alias":"svc","host":"localhost","port":40001},"requestId":"req_1"}"#
        );
        assert_eq!(
            requested(2, ToPmd::List(None)),
            r#"{"type":"list","payload":{},"requestId":"req_2"}"#
        );
        assert_eq!(
            requested(7, ToPmd::Unregister("f42ce52a188c4e03")),
            r#"{"type":"unregister","payload":{"nodeId":"f42ce52a188c4e03"},"requestId":"req_7"}"#
        );
    }

    #[test]
    fn every_request_parses_back() {
        for (request, want) in [
            (
                ToPmd::Hello(Capabilities::all()),
                Request::Hello(Capabilities::all()),
            ),
            (
                ToPmd::Unregister("a\"b"),
                Request::Unregister("a\"b".into()),
            ),
            (ToPmd::Resolve("svc"), Request::Resolve("svc".into())),
            (
                ToPmd::List(Some("ring-")),
                Request::List(Some("ring-".into())),
            ),
            (ToPmd::List(None), Request::List(None)),
            (
                ToPmd::Heartbeat("x", Some(3)),
                Request::Heartbeat("x".into(), Some(3)),
            ),
            (ToPmd::Watch, Request::Watch),
            (ToPmd::Shutdown, Request::Shutdown),
            (ToPmd::Status, Request::Status),
            (
                ToPmd::TakeOver { done: true },
                Request::TakeOver { done: true },
            ),
        ] {
            let text = requested(5, request);
            let incoming = parse_request(text.as_bytes()).unwrap();
            assert_eq!(incoming.request_id, Some("\"req_5\""));
            assert_eq!(incoming.request.unwrap(), want, "{text}");
        }
        let full = Register {
            caps: Some("[\"link\"]".into()),
            meta: Some("{\"zone\":1}".into()),
            session: Some("t".into()),
            ..node()
        };
        let text = requested(1, ToPmd::Register(&full));
        let Ok(Request::Register(parsed)) = parse_request(text.as_bytes()).unwrap().request else {
            panic!("{text}");
        };
        assert_eq!(*parsed, full);
    }

    #[test]
    fn bad_requests_say_what_is_wrong() {
        for (body, says) in [
            (
                r#"{"type":"resolve","requestId":1}"#,
                "Invalid payload: it is missing",
            ),
            (
                r#"{"type":"resolve","payload":{"alias":5},"requestId":1}"#,
                "invalid type: integer",
            ),
            (
                r#"{"type":"resolve","payload":["svc"],"requestId":1}"#,
                "Invalid payload: not an object",
            ),
            (
                r#"{"type":"nonsense","requestId":1}"#,
                "Unknown message type",
            ),
            (r#"{"type":1,"requestId":1}"#, "Unknown message type"),
            (r#"{"requestId":1}"#, "type is missing"),
            (
                r#"{"type":"register","payload":{"nodeId":"a","host":"h","port":70000}}"#,
                "expected u16",
            ),
            (
                r#"{"type":"register","payload":{"nodeId":"a","host":"h","port":0}}"#,
                "port must be 1 to 65535",
            ),
            (
                r#"{"type":"register","payload":{"nodeId":"","host":"h","port":1}}"#,
                "nodeId must not be empty",
            ),
            (
                r#"{"type":"register","payload":{"nodeId":"a","alias":"x\ny","host":"h","port":1}}"#,
                "control characters",
            ),
            (
                r#"{"type":"register","payload":{"nodeId":"a","host":"h","port":1,"meta":[]}}"#,
                "meta must be a JSON object",
            ),
            (
                r#"{"type":"register","payload":{"nodeId":"a","nodeId":"b","host":"h","port":1}}"#,
                "duplicate field",
            ),
        ] {
            let error = parse_request(body.as_bytes()).unwrap().request.unwrap_err();
            assert!(error.contains(says), "{body}: {error}");
        }
        for body in [
            "",
            "[]",
            "1",
            "nope",
            "[\"list\",{},1]",
            "{\"type\":\"a\",\"type\":\"b\"}",
        ] {
            assert!(parse_request(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn absent_null_and_empty_alias_are_the_same() {
        for alias in ["", r#""alias":null,"#, r#""alias":"","#] {
            let body = format!(
                r#"{{"type":"register","payload":{{"nodeId":"a",{alias}"host":"h","port":1}}}}"#
            );
            let Ok(Request::Register(node)) = parse_request(body.as_bytes()).unwrap().request
            else {
                panic!("{body}");
            };
            assert_eq!(node.alias, None);
        }
    }
}
