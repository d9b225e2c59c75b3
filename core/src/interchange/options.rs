//! Options, as JSON; absent members mean defaults.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::mailbox::Overflow;
use crate::node::NodeOptions;
use crate::pmd::{Launcher, PmdOptions};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Given {
    alias: Option<String>,
    node_id: Option<String>,
    pmd_host: Option<String>,
    pmd_port: Option<u16>,
    auto_start: Option<bool>,
    embed_pmd: Option<bool>,
    launcher: Option<Vec<String>>,
    pmd_auto_shutdown_ms: Option<u64>,
    listen_host: Option<String>,
    listen_port: Option<u16>,
    insecure: Option<bool>,
    advertised_host: Option<String>,
    meta: Option<Box<RawValue>>,
    max_size: Option<usize>,
    max_bytes: Option<usize>,
    overflow: Option<String>,
    use_heartbeat: Option<bool>,
    heartbeat_interval_ms: Option<u64>,
    exclusive: Option<bool>,
    start_timeout_ms: Option<u64>,
    request_timeout_ms: Option<u64>,
    max_frame_bytes: Option<usize>,
    max_queue_bytes: Option<usize>,
}

pub(super) fn set<T>(to: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *to = value;
    }
}

/// Reads options.
///
/// Error: `invalid_argument` for what is no JSON object, and for members that do not exist.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    let invalid = |text: String| Error::new(ErrorKind::InvalidArgument, text);
    let mut reader = serde_json::Deserializer::from_str(text);
    let object: Object<T> = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let name = error.path().to_string();
        let told = error.inner().to_string();
        if error.inner().is_data() {
            let (told, _) = told.rsplit_once(" at line ").unwrap_or((&told, ""));
            match name.as_str() {
                "." => invalid(format!("the options are not right: {told}")),
                _ => invalid(format!("the option {name} is not right: {told}")),
            }
        } else if told.contains("hex escape") {
            invalid("a text of the options has a surrogate that stands alone".to_owned())
        } else {
            invalid(format!("the options are not JSON: {told}"))
        }
    })?;
    let ended = reader.end();
    ended.map_err(|error| invalid(format!("the options are not JSON: {error}")))?;
    Ok(object.0)
}

/// What must be written as an object: a struct is read from an array, too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> std::result::Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }
        deserializer
            .deserialize_map(Members(PhantomData))
            .map(Object)
    }
}

/// Names of options that begin the texts of errors, in the core and here.
const RENAMED: [(&str, &str); 4] = [
    ("pmd_port", "pmdPort"),
    ("heartbeat_interval_ms", "heartbeatIntervalMs"),
    ("queue_bytes_max", "maxQueueBytes"),
    ("frame_bytes_max", "maxFrameBytes"),
];

/// An error that names the option as whoever gave it does.
fn renamed(error: Error) -> Error {
    for (core, here) in RENAMED {
        if let Some(rest) = error.message().strip_prefix(core) {
            return Error::new(error.kind(), format!("{here}{rest}"));
        }
    }
    error
}

/// Options of a node, named as those of the Node.js package, with `maxSize`, `maxBytes` and
/// `overflow` of the mailbox, the argv `launcher`, and `exclusive`.
///
/// Errors: `invalid_argument`.
pub fn node_options(text: &str) -> Result<NodeOptions> {
    let given: Given = parse(text)?;
    let mut options = NodeOptions {
        alias: given.alias,
        node_id: given.node_id,
        advertised_host: given.advertised_host,
        meta: given.meta.map(|meta| meta.get().to_owned()),
        ..NodeOptions::default()
    };
    set(&mut options.pmd_host, given.pmd_host);
    set(&mut options.pmd_port, given.pmd_port);
    set(&mut options.auto_start, given.auto_start);
    set(&mut options.embed_pmd, given.embed_pmd);
    options.launcher = given
        .launcher
        .map(|argv| Launcher::new(argv.into_iter().map(Into::into).collect()))
        .transpose()?;
    set(
        &mut options.pmd_auto_shutdown_ms,
        given.pmd_auto_shutdown_ms,
    );
    set(&mut options.listen_host, given.listen_host);
    set(&mut options.listen_port, given.listen_port);
    set(&mut options.insecure, given.insecure);
    set(&mut options.mailbox.messages_max, given.max_size);
    set(&mut options.mailbox.bytes_max, given.max_bytes);
    let overflow = given.overflow.as_deref().map(Overflow::from_name);
    set(&mut options.mailbox.overflow, overflow.transpose()?);
    set(&mut options.use_heartbeat, given.use_heartbeat);
    set(
        &mut options.heartbeat_interval_ms,
        given.heartbeat_interval_ms,
    );
    set(&mut options.exclusive, given.exclusive);
    set(&mut options.start_timeout_ms, given.start_timeout_ms);
    set(&mut options.request_timeout_ms, given.request_timeout_ms);
    set(&mut options.frame_bytes_max, given.max_frame_bytes);
    set(&mut options.queue_bytes_max, given.max_queue_bytes);
    options.check().map_err(renamed)?;
    Ok(options)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GivenPmd {
    host: Option<String>,
    port: Option<u16>,
    insecure: Option<bool>,
    auto_shutdown_ms: Option<u64>,
}

/// Options of an embedded PMD: `host`, `port`, `insecure`, `autoShutdownMs` (0 = never).
///
/// Errors: `invalid_argument`.
pub fn pmd_options(text: &str) -> Result<PmdOptions> {
    let given: GivenPmd = parse(text)?;
    let mut options = PmdOptions {
        auto_shutdown_ms: given.auto_shutdown_ms.filter(|ms| *ms > 0),
        ..PmdOptions::default()
    };
    set(&mut options.host, given.host);
    set(&mut options.port, given.port);
    set(&mut options.insecure, given.insecure);
    Ok(options)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn wrong_options_are_named() {
        for (text, told) in [
            ("", "the options are not JSON: EOF"),
            ("{\"port\": 1", "the options are not JSON: EOF"),
            (
                "[\"127.0.0.1\"]",
                "the options are not right: invalid type: sequence, expected an object",
            ),
            (
                "null",
                "the options are not right: invalid type: null, expected an object",
            ),
            (
                "{\"prt\": 1}",
                "the option prt is not right: unknown field `prt`, expected one of `host`, `port`",
            ),
            (
                "{\"port\": -1}",
                "the option port is not right: invalid value: integer `-1`, expected u16",
            ),
            (
                "{\"port\": \"x\"}",
                "the option port is not right: invalid type: string \"x\", expected u16",
            ),
            (
                "{\"host\": \"\\ud800\"}",
                "a text of the options has a surrogate that stands alone",
            ),
            (
                "{\"host\": \"\\udc00 \"}",
                "a text of the options has a surrogate that stands alone",
            ),
            ("{} x", "the options are not JSON: trailing characters"),
            (
                "{\"hex escape\": 1}",
                "the option hex escape is not right: unknown field",
            ),
        ] {
            let error = pmd_options(text).unwrap_err();
            assert!(error.message().starts_with(told), "{text}: {error}");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
