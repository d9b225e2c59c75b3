//! Messages between a client and a PMD (pmd.md 2-5; distflow's additions in `docs/wire.md`).

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::names::{Alias, Host, NodeId};
use crate::wire::json;

/// Version of distflow's additions to the protocol, as sent in `hello`.
pub const PROTOCOL_VERSION: u64 = 1;

/// Event name of a node that appeared.
pub const PEER_JOIN: &str = "peer:join";
/// Event name of a node that went.
pub const PEER_LEAVE: &str = "peer:leave";
/// Event name of a liveness probe; only sent to clients that announced `probe`.
pub const PROBE: &str = "probe";

/// Borrowed when the JSON string has no escapes.
#[derive(Deserialize, Debug, Clone, PartialEq)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Keeps an explicit `null` apart from an absent member.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(d: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestId", default, deserialize_with = "present")]
    request_id: Option<&'a RawValue>,
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

/// A request as a PMD understands it.
#[derive(Debug, Clone, PartialEq)]
pub enum Request<'a> {
    /// Opens a conversation beyond the originals' protocol.
    Hello(Capabilities),
    /// Registers a node.
    Register(Box<Register>),
    /// Removes a node.
    Unregister(Cow<'a, str>),
    /// Looks up an alias or node id.
    Resolve(Cow<'a, str>),
    /// Lists nodes, optionally only those whose alias starts with a prefix.
    List(Option<Cow<'a, str>>),
    /// Refreshes a node, and answers the probe of that number.
    Heartbeat(Cow<'a, str>, Option<u64>),
    /// Asks for events.
    Watch,
    /// Ends the PMD.
    Shutdown,
}

/// A request with its id, or what is wrong with it.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// To be echoed verbatim; `None` when the request has none.
    pub request_id: Option<&'a str>,
    /// The request, or the text of the `error` answer.
    pub request: Result<Request<'a>, String>,
}

#[derive(Deserialize)]
struct HelloPayload<'a> {
    #[serde(borrow, default)]
    caps: Vec<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterPayload<'a> {
    #[serde(borrow)]
    node_id: Text<'a>,
    #[serde(borrow)]
    alias: Option<Text<'a>>,
    #[serde(borrow)]
    host: Text<'a>,
    port: u16,
    #[serde(borrow)]
    caps: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    session: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdPayload<'a> {
    #[serde(borrow)]
    node_id: Text<'a>,
    probe: Option<u64>,
}

#[derive(Deserialize)]
struct ResolvePayload<'a> {
    #[serde(borrow)]
    alias: Text<'a>,
}

#[derive(Deserialize)]
struct ListPayload<'a> {
    #[serde(borrow)]
    prefix: Option<Text<'a>>,
}

/// Parses one frame's body as a request.
///
/// Fails only where there is no request id to answer to; the error's text is the answer.
pub fn parse_request(body: &[u8]) -> Result<Incoming<'_>> {
    let invalid = |what: &str| {
        Error::new(
            ErrorKind::InvalidMessage,
            format!("Invalid message: {what}"),
        )
    };
    let text = json::validate(body)?;
    if !is_object(text) {
        return Err(invalid("not an object"));
    }
    let envelope: Envelope<'_> =
        serde_json::from_str(text).map_err(|error| invalid(&json_error(&error)))?;
    Ok(Incoming {
        request_id: envelope.request_id.map(RawValue::get),
        request: request(&envelope),
    })
}

fn request<'a>(envelope: &Envelope<'a>) -> Result<Request<'a>, String> {
    let Some(kind) = envelope.kind else {
        return Err("Invalid message: type is missing".into());
    };
    let payload = envelope.payload.map_or("null", RawValue::get);
    Ok(match &*word(kind) {
        "register" => Request::Register(Box::new(register(read(payload)?)?)),
        "unregister" => Request::Unregister(read::<IdPayload<'_>>(payload)?.node_id.0),
        "resolve" => Request::Resolve(read::<ResolvePayload<'_>>(payload)?.alias.0),
        "list" => Request::List(match envelope.payload {
            Some(_) if payload != "null" => read::<ListPayload<'_>>(payload)?
                .prefix
                .map(|prefix| prefix.0),
            _ => None,
        }),
        "heartbeat" => {
            let heartbeat = read::<IdPayload<'_>>(payload)?;
            Request::Heartbeat(heartbeat.node_id.0, heartbeat.probe)
        }
        "watch" => Request::Watch,
        "shutdown" => Request::Shutdown,
        "hello" => {
            let hello = read::<HelloPayload<'_>>(payload)?;
            Request::Hello(Capabilities::from_names(
                hello.caps.iter().map(|name| &*name.0),
            ))
        }
        _ => return Err("Unknown message type".into()),
    })
}

fn read<'a, T: Deserialize<'a>>(payload: &'a str) -> Result<T, String> {
    if payload == "null" {
        return Err("Invalid payload: it is missing".into());
    }
    if !is_object(payload) {
        return Err("Invalid payload: not an object".into());
    }
    serde_json::from_str(payload)
        .map_err(|error| format!("Invalid payload: {}", json_error(&error)))
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

fn register(payload: RegisterPayload<'_>) -> Result<Register, String> {
    let invalid = |error: Error| format!("Invalid payload: {error}");
    if payload.port == 0 {
        return Err("Invalid payload: port must be 1 to 65535".into());
    }
    let alias = payload.alias.filter(|alias| !alias.0.is_empty());
    Ok(Register {
        node_id: NodeId::new(&payload.node_id.0).map_err(invalid)?,
        alias: alias
            .map(|alias| Alias::new(&alias.0))
            .transpose()
            .map_err(invalid)?,
        host: Host::new(&payload.host.0).map_err(invalid)?,
        port: payload.port,
        caps: payload.caps.map(checked_caps).transpose()?,
        meta: payload
            .meta
            .map(|meta| checked_meta(meta.get()))
            .transpose()
            .map_err(invalid)?,
        session: payload.session.map(|session| session.0.into()),
    })
}

fn checked_caps(names: Vec<Text<'_>>) -> Result<Box<str>, String> {
    let ok = |name: &str| {
        (1..=32).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if names.len() > limits::CAPABILITIES_MAX || !names.iter().all(|name| ok(&name.0)) {
        return Err("Invalid payload: caps must be a few short words".into());
    }
    let names: Vec<&str> = names.iter().map(|name| &*name.0).collect();
    Ok(serde_json::to_string(&names)
        .map_err(|error| error.to_string())?
        .into())
}

/// Checks a metadata object given as JSON text.
pub fn checked_meta(text: &str) -> Result<Box<str>> {
    let wrong = |what: String| Error::new(ErrorKind::InvalidArgument, what);
    let text = text.trim();
    if text.len() > limits::META_BYTES_MAX {
        return Err(wrong(format!(
            "meta is {} bytes long, at most {} are allowed",
            text.len(),
            limits::META_BYTES_MAX
        )));
    }
    json::validate(text.as_bytes())?;
    if !text.starts_with('{') {
        return Err(wrong("meta must be a JSON object".into()));
    }
    Ok(text.into())
}

/// Appends `{"type":"response","requestId":…,"payload":` + what `payload` writes + `}`.
pub fn append_response(
    out: &mut Vec<u8>,
    request_id: Option<&str>,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(b"{\"type\":\"response\",");
    if let Some(id) = request_id {
        out.extend_from_slice(b"\"requestId\":");
        out.extend_from_slice(id.as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"payload\":");
    payload(out);
    out.push(b'}');
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

// ---------------------------------------------------------------------------- client side

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
    /// Whether both say the same of the same node; only its last heartbeat may differ.
    pub fn same_registration(&self, other: &Self) -> bool {
        let meta = |info: &Self| info.meta.as_ref().map(|meta| meta.get().to_owned());
        self.node_id == other.node_id
            && self.alias == other.alias
            && self.host == other.host
            && self.port == other.port
            && self.caps == other.caps
            && meta(self) == meta(other)
    }
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
        /// The node.
        peer: Box<NodeInfo>,
        /// Revision, from a PMD that counts them.
        rev: Option<u64>,
    },
    /// A node left.
    Leave {
        /// The node as it was.
        peer: Box<NodeInfo>,
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
    peer: Option<Box<NodeInfo>>,
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
    let invalid = |what: String| {
        Error::new(
            ErrorKind::InvalidMessage,
            format!("Invalid message from PMD: {what}"),
        )
    };
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
}

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
        ToPmd::Shutdown => out.extend_from_slice(b"{\"type\":\"shutdown\",\"payload\":{"),
    }
    out.extend_from_slice(b"},\"requestId\":\"req_");
    json::append_number(out, number);
    out.extend_from_slice(b"\"}");
}

/// Appends the payload of the answer to `hello`.
pub fn append_hello_answer(out: &mut Vec<u8>, caps: Capabilities) {
    out.extend_from_slice(b"{\"v\":");
    json::append_number(out, PROTOCOL_VERSION);
    out.extend_from_slice(b",\"caps\":");
    caps.append(out);
    out.push(b'}');
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
