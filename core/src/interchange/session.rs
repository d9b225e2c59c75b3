//! Options of brokers and sessions, as JSON.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::options::{parse, set};
use crate::error::{Error, ErrorKind, Result};
use crate::mqtt::{BrokerOptions, Version};
use crate::session::seat::CreateOptions;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GivenBroker {
    url: Option<Value>,
    mqtt_version: Option<Value>,
    username: Option<Value>,
    password: Option<Value>,
    ca_file: Option<Value>,
    cert_file: Option<Value>,
    key_file: Option<Value>,
    keep_alive_s: Option<Value>,
    connect_timeout_ms: Option<Value>,
}

/// Options of a broker: `url` (default `mqtt://localhost`), `mqttVersion` (`auto`, the default, `3.1.1` or `5`), `username`,
/// `password`, `caFile`, `certFile` and `keyFile`, `keepAliveS`, `connectTimeoutMs`.
///
/// Errors: `invalid_argument`.
pub fn broker_options(text: &str) -> Result<BrokerOptions> {
    let given: GivenBroker = parse(text)?;
    let invalid = |text: &str| Error::new(ErrorKind::InvalidArgument, text.to_owned());
    let url = words(given.url, "url")?;
    let mut options = BrokerOptions::parse(url.as_deref().unwrap_or("mqtt://localhost"))?;
    let version = |value: &Value| match value.as_str() {
        Some("auto") => Some(Version::Auto),
        Some("3.1.1") => Some(Version::V311),
        Some("5") => Some(Version::V5),
        _ => None,
    };
    let version = option(
        given.mqtt_version,
        "mqttVersion",
        "'auto', '3.1.1' or '5'",
        version,
    )?;
    options.version = version.unwrap_or_default();
    options.username = words(given.username, "username")?.or(options.username);
    options.password = words(given.password, "password")?.or(options.password);
    options.ca_file = words(given.ca_file, "caFile")?.map(PathBuf::from);
    let certificate = words(given.cert_file, "certFile")?.map(PathBuf::from);
    let key = words(given.key_file, "keyFile")?.map(PathBuf::from);
    options.client_certificate = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        _ => {
            return Err(invalid(
                "a client's certificate needs both files: certFile and keyFile",
            ));
        }
    };
    let seconds = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let what = "a whole number of seconds, at most 65535";
    let keep_alive_s = option(given.keep_alive_s, "keepAliveS", what, seconds)?;
    set(&mut options.keep_alive_s, keep_alive_s);
    let what = "a whole number of milliseconds";
    let timeout = given.connect_timeout_ms;
    let timeout = option(timeout, "connectTimeoutMs", what, Value::as_u64)?;
    set(&mut options.connect_timeout_ms, timeout);
    options.check().map_err(renamed)?;
    Ok(options)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GivenCreate {
    model_name: Option<Value>,
    players_min: Option<Value>,
    players_max: Option<Value>,
    seed: Option<Value>,
    hand_over: Option<Value>,
    auto_start_s: Option<Value>,
}

/// Options of brokers and sessions that have another name in Rust, and in Python: that one, and the one
/// here.
pub const SESSION_OPTION_NAMES: [(&str, &str); 11] = [
    ("mqtt_version", "mqttVersion"),
    ("ca_file", "caFile"),
    ("cert_file", "certFile"),
    ("key_file", "keyFile"),
    ("keep_alive_s", "keepAliveS"),
    ("connect_timeout_ms", "connectTimeoutMs"),
    ("model_name", "modelName"),
    ("players_min", "playersMin"),
    ("players_max", "playersMax"),
    ("hand_over", "handOver"),
    ("auto_start_s", "autoStartS"),
];

/// An error that names options as whoever gave them does.
fn renamed(error: Error) -> Error {
    let mut text = error.message().to_owned();
    for (core, here) in SESSION_OPTION_NAMES {
        text = text.replace(core, here);
    }
    Error::new(error.kind(), text)
}

/// What an option must be; the error names it.
fn option<T>(
    given: Option<Value>,
    name: &str,
    what: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>> {
    let read = |value: Value| {
        read(&value).ok_or_else(|| {
            // A password is not for logs.
            let text = match name {
                "password" => format!("{name} must be {what}"),
                _ => format!("{name} must be {what}, not {value}"),
            };
            Error::new(ErrorKind::InvalidArgument, text)
        })
    };
    given.map(read).transpose()
}

fn whole(given: Option<Value>, name: &str) -> Result<Option<u32>> {
    let read = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    option(given, name, "a whole number of at least 0", read)
}

fn words(given: Option<Value>, name: &str) -> Result<Option<String>> {
    option(given, name, "text", |value| {
        value.as_str().map(str::to_owned)
    })
}

/// Options of a new session: `modelName`, `playersMin`, `playersMax`, `seed`, `handOver`, `autoStartS`.
///
/// Errors: `invalid_argument`.
pub fn create_options(text: &str) -> Result<CreateOptions> {
    let given: GivenCreate = parse(text)?;
    let mut options = CreateOptions::default();
    let model_name = words(given.model_name, "modelName")?;
    set(&mut options.model_name, model_name);
    set(
        &mut options.players_min,
        whole(given.players_min, "playersMin")?,
    );
    set(
        &mut options.players_max,
        whole(given.players_max, "playersMax")?,
    );
    options.seed = whole(given.seed, "seed")?;
    let hand_over = option(given.hand_over, "handOver", "true or false", Value::as_bool)?;
    set(&mut options.hand_over, hand_over);
    options.auto_start_s = whole(given.auto_start_s, "autoStartS")?;
    options.check().map_err(renamed)?;
    Ok(options)
}
