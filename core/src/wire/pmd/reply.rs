//! What a PMD answered, read by a client.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Envelope, LeaveCause, NO_ROOM, PEER_JOIN, PEER_LEAVE, PROBE, PmdStatus, Text, json_error, word,
};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::json;

/// A node as a PMD describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// The node's id.
    pub node_id: String,
    /// The node's alias; absent when it has none.
    #[serde(default)]
    pub alias: Option<String>,
    /// The host it registered, verbatim.
    pub host: String,
    /// The port of its listener.
    pub port: u16,
    /// Unix milliseconds of its registration or last heartbeat.
    #[serde(default)]
    pub last_heartbeat: u64,
    /// What it can do beyond the originals; empty for originals.
    #[serde(default)]
    pub caps: Vec<String>,
    /// Metadata object as JSON text, if it registered any.
    #[serde(default)]
    pub meta: Option<Box<RawValue>>,
}

impl PartialEq for NodeInfo {
    fn eq(&self, other: &Self) -> bool {
        self.same_registration(other) && self.last_heartbeat == other.last_heartbeat
    }
}

impl NodeInfo {
    /// Reads a node object.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| invalid(json_error(&error)))
    }

    /// Whether both say the same of the same node; only its last heartbeat may differ.
    pub fn same_registration(&self, other: &Self) -> bool {
        fn meta(info: &NodeInfo) -> Option<&str> {
            info.meta.as_ref().map(|meta| meta.get())
        }
        self.same_address(other) && self.caps == other.caps && meta(self) == meta(other)
    }

    /// Whether both are the same node with the same names at the same address.
    pub fn same_address(&self, other: &Self) -> bool {
        self.node_id == other.node_id
            && self.alias == other.alias
            && self.host == other.host
            && self.port == other.port
    }
}

fn invalid(what: String) -> Error {
    Error::new(
        ErrorKind::InvalidMessage,
        format!("Invalid message from PMD: {what}"),
    )
}

/// What a PMD sends.
#[derive(Debug)]
pub enum FromPmd<'a> {
    /// An answer to the request of that id.
    Response {
        /// The echoed id; `None` if it is none of ours.
        request_id: Option<u64>,
        /// The answer's payload.
        payload: &'a RawValue,
    },
    /// A node joined.
    Join {
        /// The node object, for [`NodeInfo::parse`].
        peer: &'a RawValue,
        /// Revision, from a PMD that counts them.
        rev: Option<u64>,
    },
    /// A node left.
    Leave {
        /// The node object as it was, for [`NodeInfo::parse`].
        peer: &'a RawValue,
        /// Revision, from a PMD that counts them.
        rev: Option<u64>,
        /// Why, from a PMD that says so.
        cause: LeaveCause,
    },
    /// The PMD wants a sign of life.
    Probe(u64),
    /// An event of a later version, to be ignored.
    Other,
}

#[derive(Deserialize)]
struct EventPayload<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow)]
    peer: Option<&'a RawValue>,
    rev: Option<u64>,
    #[serde(borrow)]
    cause: Option<Text<'a>>,
    probe: Option<u64>,
}

fn is_unknown_event(payload: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Name<'a> {
        #[serde(borrow)]
        event: Text<'a>,
    }
    serde_json::from_str::<Name<'_>>(payload.get())
        .is_ok_and(|name| !matches!(&*name.event.0, PEER_JOIN | PEER_LEAVE | PROBE))
}

/// Prefix of the request ids that clients generate (`req_1`, `req_2`, …).
const REQUEST_ID_PREFIX: &str = "\"req_";

/// Parses one frame's body as a message from a PMD.
pub fn parse_from_pmd(body: &[u8]) -> Result<FromPmd<'_>> {
    let text = json::validate(body)?;
    let envelope: Envelope<'_> =
        serde_json::from_str(text).map_err(|error| invalid(json_error(&error)))?;
    let payload = envelope
        .payload
        .ok_or_else(|| invalid("payload is missing".into()))?;
    match envelope.kind.map(word).as_deref() {
        Some("response") => Ok(FromPmd::Response {
            request_id: envelope.request_id.and_then(|id| {
                id.get()
                    .strip_prefix(REQUEST_ID_PREFIX)?
                    .strip_suffix('"')?
                    .parse()
                    .ok()
            }),
            payload,
        }),
        Some("event") => {
            let event: EventPayload<'_> = match serde_json::from_str(payload.get()) {
                Ok(event) => event,
                // A later version's event may use the same members for something else.
                Err(_) if is_unknown_event(payload) => return Ok(FromPmd::Other),
                Err(error) => return Err(invalid(json_error(&error))),
            };
            match (&*event.event.0, event.peer, event.probe) {
                (PEER_JOIN, Some(peer), _) => Ok(FromPmd::Join {
                    peer,
                    rev: event.rev,
                }),
                (PEER_LEAVE, Some(peer), _) => Ok(FromPmd::Leave {
                    peer,
                    rev: event.rev,
                    cause: event
                        .cause
                        .map_or(LeaveCause::Unknown, |cause| LeaveCause::from_name(&cause.0)),
                }),
                (PEER_JOIN | PEER_LEAVE, None, _) => Err(invalid("peer is missing".into())),
                (PROBE, _, Some(number)) => Ok(FromPmd::Probe(number)),
                _ => Ok(FromPmd::Other),
            }
        }
        _ => Err(invalid("type is neither response nor event".into())),
    }
}

/// The members of every answer; each request uses the ones it asked for.
#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    /// Why the request failed; absent on success.
    pub error: Option<String>,
    /// The node of a `resolve`.
    pub node: Option<Box<NodeInfo>>,
    /// The nodes of a `list`, or of a `watch` with snapshot.
    pub nodes: Option<Vec<NodeInfo>>,
    /// Revision of the snapshot.
    pub rev: Option<u64>,
    /// Identity of the PMD's run.
    pub epoch: Option<String>,
    /// Milliseconds for which the PMD may still not know every node.
    #[serde(default)]
    pub warming: u64,
    /// What the PMD says of itself.
    pub status: Option<Box<PmdStatus>>,
    /// Token of a registration.
    pub session: Option<String>,
    /// What a PMD announces in answer to `hello`.
    #[serde(default)]
    pub caps: Vec<String>,
}

impl Answer {
    /// Parses an answer's payload; an `error` in it becomes an [`Error`].
    pub fn parse(payload: &RawValue) -> Result<Self> {
        let mut answer: Answer = serde_json::from_str(payload.get()).map_err(|error| {
            Error::new(
                ErrorKind::InvalidMessage,
                format!("Invalid answer from PMD: {}", json_error(&error)),
            )
        })?;
        match answer.error.take() {
            Some(text) => Err(Error::from_pmd(&text)),
            None => Ok(answer),
        }
    }

    /// What a PMD says that belongs to no request: why it is about to hang up.
    pub fn parse_last_words(payload: &RawValue) -> Option<Error> {
        let answer: Answer = serde_json::from_str(payload.get()).ok()?;
        let text = answer.error?;
        let kind = if text.starts_with(NO_ROOM) {
            ErrorKind::Busy
        } else {
            ErrorKind::ConnectionFailed
        };
        Some(Error::new(kind, text))
    }
}

/// The answer to `watch`, or to a `list` that stands in for its snapshot.
#[derive(Debug, Deserialize)]
pub struct Snapshot<'a> {
    /// The node objects, for [`NodeInfo::parse`]; absent where there is no snapshot.
    #[serde(borrow)]
    pub nodes: Option<Vec<&'a RawValue>>,
    /// Revision of the snapshot.
    pub rev: Option<u64>,
    /// Identity of the PMD's run.
    pub epoch: Option<String>,
    /// Milliseconds for which the PMD may still not know every node.
    #[serde(default)]
    pub warming: u64,
    error: Option<String>,
}

impl<'a> Snapshot<'a> {
    /// Parses an answer's payload; an `error` in it becomes an [`Error`].
    pub fn parse(payload: &'a RawValue) -> Result<Self> {
        let mut answer: Self = serde_json::from_str(payload.get()).map_err(|error| {
            Error::new(
                ErrorKind::InvalidMessage,
                format!("Invalid answer from PMD: {}", json_error(&error)),
            )
        })?;
        match answer.error.take() {
            Some(text) => Err(Error::from_pmd(&text)),
            None => Ok(answer),
        }
    }
}
