//! Messages between nodes (pmd.md 8) and the frame that opens a link (`docs/wire.md`).
//!
//! A payload is never parsed into a tree: it travels as the JSON text it was given as.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::names::{Alias, NodeId};
use crate::wire::json;

/// Capability of a node that understands the frame that opens a link.
pub const LINK: &str = "link";

/// A message's payload: JSON text that is known to be exactly one value, or nothing at all
/// (what JavaScript calls `undefined`). Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(Bytes);

impl Payload {
    /// Takes JSON text after checking it.
    pub fn from_json(text: impl Into<Bytes>) -> Result<Self> {
        let bytes = text.into();
        json::validate(&bytes)?;
        Ok(Self(bytes))
    }

    /// Serializes a value.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let text = serde_json::to_vec(value).map_err(|error| {
            Error::new(ErrorKind::InvalidJson, format!("Invalid payload: {error}"))
        })?;
        Self::from_json(text)
    }

    /// No payload at all.
    pub const fn absent() -> Self {
        Self(Bytes::new())
    }

    /// Whether there is no payload at all.
    pub fn is_absent(&self) -> bool {
        self.0.is_empty()
    }

    /// The JSON text; empty when absent.
    pub fn as_str(&self) -> &str {
        // Constructors only let UTF-8 in; the check is repeated because it is cheap.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The JSON text as bytes; empty when absent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The JSON text, shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Length of the JSON text in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the text is empty, which only an absent payload is.
    pub fn is_empty(&self) -> bool {
        self.is_absent()
    }

    /// Parses the payload; an absent one reads as `null`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        let text: &[u8] = if self.is_absent() { b"null" } else { &self.0 };
        serde_json::from_slice(text).map_err(|error| {
            Error::new(
                ErrorKind::InvalidJson,
                format!("the payload is not of the wanted type: {error}"),
            )
        })
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Payloads stay out of logs.
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// What a node's stream of frames carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerFrame {
    /// A message for an application.
    Message {
        /// Who sent it, by its own claim.
        from: NodeId,
        /// Whom it is for.
        to: NodeId,
        /// What it says.
        payload: Payload,
        /// Unix milliseconds when it was sent, by the sender's clock.
        timestamp: u64,
    },
    /// Opens a link: which run of the sender this is, and the number of its next message.
    Open {
        /// Who opens the link.
        from: NodeId,
        /// Whom it is for.
        to: NodeId,
        /// Identity of the stream; a sender that starts it anew uses a larger one.
        incarnation: u64,
        /// Number of this connection of the stream; a later one has a larger number.
        connection: u64,
        /// Number of the first message on this connection; the first ever is 0.
        next: u64,
        /// The sender's alias, by its own claim as everything here.
        alias: Option<Alias>,
    },
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn present<'de: 'a, 'a, D: Deserializer<'de>>(d: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    from: Text<'a>,
    #[serde(borrow)]
    to: Text<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    #[serde(default)]
    timestamp: Option<f64>,
    #[serde(borrow)]
    link: Option<LinkOpen<'a>>,
}

#[derive(Deserialize)]
struct LinkOpen<'a> {
    inc: u64,
    conn: u64,
    next: u64,
    #[serde(borrow)]
    alias: Option<Text<'a>>,
}

/// Appends `{"from":…,"to":…`, the part that is the same in every message of a link.
pub fn append_head(out: &mut Vec<u8>, from: &NodeId, to: &NodeId) {
    out.extend_from_slice(b"{\"from\":");
    json::append_string(out, from.as_str());
    out.extend_from_slice(b",\"to\":");
    json::append_string(out, to.as_str());
}

/// Appends a message after its head.
pub fn append_message(out: &mut Vec<u8>, head: &[u8], payload: &Payload, timestamp: u64) {
    out.reserve(head.len() + payload.len() + 48);
    out.extend_from_slice(head);
    if !payload.is_absent() {
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(payload.as_bytes());
    }
    out.extend_from_slice(b",\"timestamp\":");
    json::append_number(out, timestamp);
    out.push(b'}');
}

/// Appends the frame that opens a link, after its head.
///
/// `stream` is incarnation, connection and the number of the next message.
pub fn append_open(
    out: &mut Vec<u8>,
    head: &[u8],
    stream: (u64, u64, u64),
    alias: Option<&Alias>,
    timestamp: u64,
) {
    let (incarnation, connection, next) = stream;
    out.extend_from_slice(head);
    out.extend_from_slice(b",\"timestamp\":");
    json::append_number(out, timestamp);
    out.extend_from_slice(b",\"link\":{\"v\":1,\"inc\":");
    json::append_number(out, incarnation);
    out.extend_from_slice(b",\"conn\":");
    json::append_number(out, connection);
    out.extend_from_slice(b",\"next\":");
    json::append_number(out, next);
    if let Some(alias) = alias {
        out.extend_from_slice(b",\"alias\":");
        json::append_string(out, alias.as_str());
    }
    out.extend_from_slice(b"}}");
}

/// Parses the frames of one connection.
///
/// Remembers the head of the last message, so that the usual case, another message between
/// the same two nodes, is recognised by comparing bytes and only its payload is looked at.
#[derive(Debug, Default)]
pub struct PeerParser {
    head: Vec<u8>,
    names: Option<(NodeId, NodeId)>,
}

const PAYLOAD: &[u8] = b",\"payload\":";
const TIMESTAMP: &[u8] = b",\"timestamp\":";

impl PeerParser {
    /// A parser for a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses one frame's body.
    pub fn parse(&mut self, body: &Bytes) -> Result<PeerFrame> {
        match self.parse_known(body) {
            Some(frame) => Ok(frame),
            None => self.parse_any(body),
        }
    }

    /// The usual case; `None` when anything is out of the ordinary.
    #[inline]
    fn parse_known(&self, body: &Bytes) -> Option<PeerFrame> {
        let (from, to) = self.names.as_ref()?;
        let rest = body.strip_prefix(&self.head[..])?.strip_prefix(PAYLOAD)?;
        let start = self.head.len() + PAYLOAD.len();
        let rest = rest.strip_suffix(b"}")?;
        let digits = rest
            .iter()
            .rev()
            .take(19)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return None;
        }
        let (rest, number) = rest.split_at(rest.len() - digits);
        let text = rest.strip_suffix(TIMESTAMP)?;
        // The trap: without this check, `1,"payload":2` would pass as one payload.
        json::validate(text).ok()?;
        Some(PeerFrame::Message {
            from: from.clone(),
            to: to.clone(),
            payload: Payload(body.slice(start..start + text.len())),
            timestamp: number
                .iter()
                .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0')),
        })
    }

    #[cold]
    fn parse_any(&mut self, body: &Bytes) -> Result<PeerFrame> {
        let invalid = |what: String| {
            Error::new(
                ErrorKind::InvalidMessage,
                format!("Invalid message: {what}"),
            )
        };
        let text = json::validate(body)?;
        if !text.trim_start().starts_with('{') {
            // serde would also take the members from an array.
            return Err(invalid("not an object".into()));
        }
        let envelope: Envelope<'_> =
            serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let name =
            |text: Text<'_>| NodeId::new(&text.0).map_err(|error| invalid(error.to_string()));
        let (from, to) = (name(envelope.from)?, name(envelope.to)?);
        if let Some(open) = envelope.link {
            if envelope.payload.is_some() {
                return Err(invalid("a link opens without a payload".into()));
            }
            return Ok(PeerFrame::Open {
                from,
                to,
                incarnation: open.inc,
                connection: open.conn,
                next: open.next,
                alias: open.alias.and_then(|alias| Alias::new(&alias.0).ok()),
            });
        }
        self.head.clear();
        append_head(&mut self.head, &from, &to);
        self.names = Some((from.clone(), to.clone()));
        let payload = match envelope.payload {
            Some(raw) => Payload(body.slice_ref(raw.get().as_bytes())),
            None => Payload::absent(),
        };
        Ok(PeerFrame::Message {
            from,
            to,
            payload,
            timestamp: envelope.timestamp.map_or(0, |ms| ms.max(0.0) as u64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> NodeId {
        NodeId::new(text).unwrap()
    }

    fn message(from: &str, to: &str, payload: &Payload, timestamp: u64) -> Bytes {
        let (mut head, mut out) = (Vec::new(), Vec::new());
        append_head(&mut head, &id(from), &id(to));
        append_message(&mut out, &head, payload, timestamp);
        out.into()
    }

    #[test]
    fn message_is_byte_identical_to_the_original() {
        let payload = Payload::from_json("{\"type\":\"HELLO\"}").unwrap();
        assert_eq!(
            message(
                "0123456789abcdef",
                "fedcba9876543210",
                &payload,
                1_700_000_000_000
            ),
            r#"{"from":"0123456789abcdef","to":"fedcba9876543210","payload":{"type":"HELLO"},"timestamp":1700000000000}"#
        );
        assert_eq!(
            message("a", "b", &Payload::absent(), 7),
            r#"{"from":"a","to":"b","timestamp":7}"#
        );
    }

    #[test]
    fn known_and_unknown_heads_parse_alike() {
        let mut parser = PeerParser::new();
        for payload in [
            "1",
            "\"x\"",
            "{\"a\":[1,2,{\"timestamp\":5}]}",
            "null",
            "\"}\\\"\"",
        ] {
            let payload = Payload::from_json(payload).unwrap();
            let body = message("a\"q", "b", &payload, 1_795_170_571_239);
            let again = PeerParser::new().parse(&body).unwrap();
            let known = parser.parse(&body).unwrap();
            let known_again = parser.parse(&body).unwrap();
            assert_eq!(known, again);
            assert_eq!(known, known_again);
            assert!(parser.parse_known(&body).is_some());
        }
    }

    #[test]
    fn two_payloads_are_not_one() {
        let mut parser = PeerParser::new();
        parser
            .parse(&message("a", "b", &Payload::from_json("1").unwrap(), 1))
            .unwrap();
        for body in [
            r#"{"from":"a","to":"b","payload":1,"payload":2,"timestamp":1}"#,
            r#"{"from":"a","to":"b","payload":1],[2,"timestamp":1}"#,
            r#"{"from":"a","to":"b","payload":,"timestamp":1}"#,
            r#"{"from":"a","payload":1,"timestamp":1}"#,
            r#"["a","b",1,1,null]"#,
        ] {
            let error = parser
                .parse(&Bytes::from_static(body.as_bytes()))
                .unwrap_err();
            assert!(error.to_string().starts_with("Invalid"), "{error}");
        }
    }

    #[test]
    fn odd_but_valid_envelopes_parse() {
        let body = Bytes::from_static(
            br#" { "timestamp" : 1.5e3, "payload" : [ 1 ] , "extra": {}, "to" : "b", "from" : "a" } "#,
        );
        let PeerFrame::Message {
            payload, timestamp, ..
        } = PeerParser::new().parse(&body).unwrap()
        else {
            panic!();
        };
        assert_eq!((payload.as_str(), timestamp), ("[ 1 ]", 1_500));
    }

    #[test]
    fn open_round_trips() {
        for alias in [None, Some(Alias::new("svc \"1\"").unwrap())] {
            let (mut head, mut out) = (Vec::new(), Vec::new());
            append_head(&mut head, &id("a"), &id("b"));
            append_open(&mut out, &head, (77, 2, 12), alias.as_ref(), 1);
            let frame = PeerParser::new().parse(&out.into()).unwrap();
            let want = PeerFrame::Open {
                from: id("a"),
                to: id("b"),
                incarnation: 77,
                connection: 2,
                next: 12,
                alias,
            };
            assert_eq!(frame, want);
        }
    }

    #[test]
    fn payload_checks_its_text() {
        assert!(Payload::from_json("1],[2").is_err());
        assert!(Payload::from_json("").is_err());
        assert_eq!(Payload::from_value("é").unwrap().as_str(), "\"é\"");
        assert_eq!(
            Payload::from_json("[1]")
                .unwrap()
                .parse::<Vec<u8>>()
                .unwrap(),
            [1]
        );
        assert!(Payload::absent().parse::<Option<u8>>().unwrap().is_none());
    }
}
