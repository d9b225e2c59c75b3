//! What a client sends, read by a PMD. Everything is checked here, once.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Capabilities, Envelope, Register, Text, is_object, json_error, word};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::names::{Alias, Host, NodeId};
use crate::wire::json;

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
    /// Asks what the PMD says of itself.
    Status,
    /// Takes over the PMD's port: first its nodes and a share of the port, then, when `done`, its
    /// place.
    TakeOver {
        /// Whether the successor listens, so that this PMD ends.
        done: bool,
    },
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

#[derive(Deserialize)]
struct TakeOverPayload {
    #[serde(default)]
    done: bool,
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
        "status" => Request::Status,
        "takeover" => Request::TakeOver {
            done: read::<TakeOverPayload>(payload)?.done,
        },
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
