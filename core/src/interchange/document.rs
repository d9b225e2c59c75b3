//! Shared documents, with JSON text for everything.

use serde::Deserialize;

use super::options::{parse, set};
use super::report::array;
use crate::crdt::batch::is_batch;
use crate::crdt::document::{Difference, Inspect, Options, VectorClock};
use crate::crdt::json::Json;
use crate::crdt::op::Op;
use crate::crdt::path::{self, Path, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::json_crdt::{BatchReceived, IntoPath, JsonCrdt};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Given {
    max_log_size: Option<usize>,
    max_pending_size: Option<usize>,
    max_lww_size: Option<usize>,
    pending_timeout_ms: Option<u64>,
    tombstone_grace_period_ms: Option<u64>,
    max_drift_ms: Option<u64>,
    enable_auto_gc: Option<bool>,
    members: Option<Vec<String>>,
    directory: Option<String>,
    salvage: Option<bool>,
    source: Option<String>,
}

/// A document, by the names of the Node.js package: `maxLogSize`, `maxPendingSize`, `maxLwwSize`,
/// `pendingTimeoutMs`, `tombstoneGracePeriodMs`, `maxDriftMs`, `enableAutoGc`; `members`, the names of
/// all replicas; the `directory` that it is kept in; `salvage`, which opens it also when files there are
/// damaged (see [`JsonCrdt::salvage`]); and `source`, as whom it writes at first, if not as one of its
/// own.
///
/// Errors: `invalid_argument`, `invalid_json`, and as [`JsonCrdt::open`].
pub fn document(replica: &str, initial: &str, options: &str) -> Result<JsonCrdt> {
    let given: Given = parse(options)?;
    let mut options = Options::default();
    set(&mut options.log_ops_max, given.max_log_size);
    set(&mut options.pending_ops_max, given.max_pending_size);
    set(&mut options.registers_max, given.max_lww_size);
    set(&mut options.pending_ms, given.pending_timeout_ms);
    set(
        &mut options.tombstone_grace_ms,
        given.tombstone_grace_period_ms,
    );
    set(&mut options.drift_ms, given.max_drift_ms);
    set(&mut options.auto_gc, given.enable_auto_gc);
    options.source = given.source;
    let initial = Json::parse(initial)?;
    let document = match given.directory {
        Some(directory) if given.salvage == Some(true) => {
            JsonCrdt::salvage(directory, replica, initial, options)?
        }
        Some(directory) => JsonCrdt::open(directory, replica, initial, options)?,
        None if given.salvage == Some(true) => {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the option salvage is for a document with a directory, and none is given",
            ));
        }
        None => JsonCrdt::new(replica, initial, options)?,
    };
    if let Some(members) = given.members {
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        document.set_members(Some(&members));
    }
    Ok(document)
}

/// A place in a document as text: a path as a JSON array, a JSON pointer (RFC 6901), or one key; see
/// [`path::from_text`].
#[derive(Debug, Clone, Copy)]
pub struct Place<'a>(pub &'a str);

impl IntoPath for Place<'_> {
    fn into_path(self, is_array: &mut dyn FnMut(&[Segment]) -> bool) -> Result<Path> {
        path::from_text(self.0, is_array)
    }
}

/// A clock from a JSON object of counts.
///
/// Errors: `invalid_json`; `invalid_argument`, which names the replica.
pub fn clock(text: &str) -> Result<VectorClock> {
    let members: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_str(text)
        .map_err(|error| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("a clock must be an object of counts: {error}"),
            )
        })?;
    let count = |(replica, count): (String, serde_json::Value)| {
        // JavaScript has no other numbers than doubles.
        let whole = count.as_u64().or_else(|| {
            let count = count.as_f64()?;
            (count.fract() == 0.0 && count >= 0.0).then_some(count as u64)
        });
        match whole {
            Some(whole) => Ok((replica.into(), whole)),
            None => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the clock's count of {replica:?} must be a whole number, not {count}"),
            )),
        }
    };
    members.into_iter().map(count).collect()
}

/// A clock as a JSON object.
pub fn clock_text(clock: &VectorClock) -> String {
    let members = clock.iter().map(|(replica, count)| {
        // A string can always be written.
        let name = serde_json::to_string(&**replica).unwrap_or_default();
        format!("{name}:{count}")
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// What a peer lacks, as a JSON array of operations.
pub fn operations(difference: &Difference) -> String {
    array(difference.ops.iter().map(Op::encode))
}

/// Operations from JSON: one, or an array of them; an element can be an operation's text as a string,
/// as the rings of the originals have it.
///
/// Errors: as [`Op::decode`].
pub fn read_operations(text: &str) -> Result<Vec<Op>> {
    if !text.trim_start().starts_with('[') {
        return Ok(vec![Op::decode(text)?]);
    }
    let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(text)
        .map_err(|error| Error::new(ErrorKind::InvalidJson, format!("Invalid JSON: {error}")))?;
    let read = |item: &&serde_json::value::RawValue| match item.get().starts_with('"') {
        true => Op::decode(serde_json::from_str::<String>(item.get()).unwrap_or_default()),
        false => Op::decode(item.get()),
    };
    items.iter().map(read).collect()
}

/// Takes in operations: the bytes of a batch, or JSON as for [`read_operations`].
///
/// Errors: as [`JsonCrdt::receive_batch`] and [`read_operations`]; `invalid_json` for what is neither.
pub fn receive_all(document: &JsonCrdt, ops: &[u8]) -> Result<BatchReceived> {
    if is_batch(ops) {
        return document.receive_batch(ops);
    }
    let text = std::str::from_utf8(ops).map_err(|error| {
        Error::new(
            ErrorKind::InvalidJson,
            format!("the operations are neither a batch nor valid UTF-8: {error}"),
        )
    })?;
    document.receive_all(read_operations(text)?.into_iter().map(Ok))
}

/// What happened since this was last asked, as a JSON array of names and objects:
/// `[["change",{…}],…]`. The same in every language.
pub fn document_events(document: &JsonCrdt) -> String {
    let events = document.events();
    array(events.iter().map(|event| {
        let (name, json) = event.to_json();
        format!("[\"{name}\",{json}]")
    }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GivenInspect {
    log_sample_size: Option<usize>,
    pending_sample_size: Option<usize>,
    include_causal_graph: Option<bool>,
}

/// The state of a document, by options `logSampleSize`, `pendingSampleSize`, `includeCausalGraph`.
///
/// Error: `invalid_argument`.
pub fn inspect(document: &JsonCrdt, options: &str) -> Result<String> {
    let given: GivenInspect = parse(options)?;
    let mut options = Inspect::default();
    set(&mut options.log_sample_size, given.log_sample_size);
    set(&mut options.pending_sample_size, given.pending_sample_size);
    set(
        &mut options.include_causal_graph,
        given.include_causal_graph,
    );
    Ok(document.with(|document, now_ms| document.inspect(options, now_ms)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn options_are_checked() {
        let options = r#"{"maxLogSize":5,"enableAutoGc":false,"members":["a","b"]}"#;
        let document = document("a", "{}", options).unwrap();
        document.set(Place(r#"["x"]"#), 1).unwrap();
        document.set(Place("/y"), 2).unwrap();
        assert_eq!(document.canonical(), r#"{"x":1,"y":2}"#);
        for (options, text) in [
            (r#"{"maxLog":5}"#, "unknown field `maxLog`"),
            (
                r#"{"maxLogSize":-1}"#,
                "the option maxLogSize is not right: invalid value",
            ),
            ("[", "expected an object"),
            ("{", "EOF"),
        ] {
            let error = super::document("a", "{}", options).unwrap_err();
            assert!(error.message().contains(text), "{error}");
        }
        let error = super::document("a", "{}", r#"{"salvage":true}"#).unwrap_err();
        assert!(error.message().contains("salvage"), "{error}");
        assert!(super::document("", "{}", "{}").is_err());
        assert!(super::document("a", "{", "{}").is_err());
    }

    #[test]
    fn clocks_and_operations_are_read() {
        assert_eq!(
            clock_text(&clock(r#"{"b":2.0,"a\"":1}"#).unwrap()),
            r#"{"a\"":1,"b":2}"#
        );
        for wrong in ["1", r#"{"a":"1"}"#, r#"{"a":-1}"#, r#"{"a":1.5}"#] {
            assert!(clock(wrong).is_err(), "{wrong}");
        }
        let a = document("a", "{}", "{}").unwrap();
        a.set(Place("/x"), 1).unwrap();
        a.delete(Place("/x")).unwrap();
        let text = operations(&a.since(&VectorClock::new()));
        let ops = read_operations(&text).unwrap();
        assert_eq!(ops.len(), 2);
        let strings = serde_json::to_string(&[ops[0].encode()]).unwrap();
        assert_eq!(read_operations(&strings).unwrap(), ops[..1]);
        assert_eq!(read_operations(&ops[1].encode()).unwrap(), ops[1..]);
        let b = document("b", "{}", "{}").unwrap();
        assert_eq!(receive_all(&b, text.as_bytes()).unwrap().applied, 2);
        let (bytes, _) = a.encode_since(&VectorClock::new());
        assert_eq!(receive_all(&b, &bytes).unwrap().duplicates, 2);
        assert!(receive_all(&b, b"\xff").is_err());
        assert!(read_operations("[1]").is_err());
        assert!(read_operations("{}").is_err());
    }
}
