//! Looking into a document: for people, in the JSON of the originals (node-api.md 6).

use std::collections::BTreeMap;

use super::Document;
use super::events::{Object, hlc};
use crate::crdt::json::Json;
use crate::crdt::op::Op;
use crate::crdt::path::{self, Path, Segment};
use crate::crdt::shape;
use crate::crdt::value::{Value, into_text};
use crate::error::{Error, ErrorKind, Result};

/// What [`Document::inspect`] shows.
#[derive(Debug, Clone, Copy)]
pub struct Inspect {
    /// So many of the latest operations of the log. Default 10.
    pub log_sample_size: usize,
    /// So many of the operations that have waited longest. Default 10.
    pub pending_sample_size: usize,
    /// Also the causal graph. Default false.
    pub include_causal_graph: bool,
}

impl Default for Inspect {
    fn default() -> Self {
        Self {
            log_sample_size: 10,
            pending_sample_size: 10,
            include_causal_graph: false,
        }
    }
}

fn array<T>(items: impl IntoIterator<Item = T>, write: impl Fn(T, &mut Vec<u8>)) -> String {
    let mut out = vec![b'['];
    for item in items {
        if out.len() > 1 {
            out.push(b',');
        }
        write(item, &mut out);
    }
    out.push(b']');
    into_text(out)
}

fn texts(items: impl IntoIterator<Item = String>) -> String {
    array(items, |text, out| {
        crate::wire::json::append_string(out, &text)
    })
}

impl Document {
    /// The state as a JSON object with the members of the originals' `CrdtInspection`.
    pub fn inspect(&mut self, options: Inspect, now_ms: u64) -> String {
        let mut out = Object::default();
        out.text("replicaId", &self.name);
        out.raw("doc", self.json().as_str());
        out.raw("vc", &self.clock_json());
        out.hlc("hlc", self.local, &self.name);
        let length = self.log.len();
        out.number("logSize", length as u64);
        let from = length.saturating_sub(options.log_sample_size);
        let sample = self.log.range(&self.replicas, from, length);
        out.raw("logSample", &array(&sample, Op::encode_into));
        out.number("pendingSize", self.pending.len() as u64);
        let sample = self.pending.oldest(options.pending_sample_size);
        out.raw("pendingSample", &array(sample, Op::encode_into));
        let registers = self.tree.registers(&self.replicas);
        for (name, only_deletes) in [("lwwPaths", false), ("tombstonePaths", true)] {
            let found = registers
                .iter()
                .filter(|register| register.is_delete || !only_deletes);
            out.raw(
                name,
                &texts(found.map(|register| path::key(&register.path))),
            );
        }
        out.raw("metrics", &self.metrics(now_ms).to_json());
        if options.include_causal_graph {
            out.raw("causalGraph", &self.causal_graph());
        }
        out.end()
    }

    /// The clock as a JSON object.
    pub(super) fn clock_json(&self) -> String {
        let mut clock = Object::default();
        for (replica, count) in self.clock.iter() {
            clock.number(self.replicas.name(replica), count);
        }
        clock.end()
    }

    /// The operations of the log and what each depends on, as a JSON array of the originals'
    /// `CausalGraphNode`.
    pub fn causal_graph(&self) -> String {
        let ops = self.log.range(&self.replicas, 0, self.log.len());
        array(&ops, |op, out| {
            let mut node = Object::default();
            node.text("opId", &op.id());
            node.text("kind", op.kind.name());
            node.text("path", &path::key(&op.path));
            node.hlc("hlc", op.time, &op.src);
            let deps = op.deps.iter().map(|(replica, count)| {
                let short: String = replica.chars().take(8).collect();
                format!("{short}:{count}")
            });
            node.raw("deps", &texts(deps));
            out.extend_from_slice(node.end().as_bytes());
        })
    }

    /// The operations at these places of the log, in the order in which they were applied.
    pub fn logged(&self, from: usize, to: usize) -> Vec<Op> {
        self.log.range(&self.replicas, from, to)
    }

    /// The document that these operations make of an empty object, in the order of their stamps. Of a
    /// log that was trimmed, or in part, it is what is left of the document.
    pub fn replay(ops: &[Op]) -> Json {
        let mut ordered: Vec<&Op> = ops.iter().collect();
        ordered.sort_by(|a, b| {
            let replicas = || crate::crdt::stamp::compare_utf16(&a.src, &b.src);
            a.time
                .cmp(&b.time)
                .then_with(replicas)
                .then(a.seq().cmp(&b.seq()))
        });
        let mut document = Value::object();
        for op in ordered {
            if let Some(write) = op.write() {
                shape::apply(&mut document, &op.path, &write);
            }
        }
        document.into()
    }
}

/// What two snapshots differ in, as a JSON object with the members of the originals' `SnapshotDiff`;
/// of documents, every path that really changed.
///
/// Errors: `invalid_json`; `invalid_message` for what is no snapshot.
pub fn diff_snapshots(before: &str, after: &str) -> Result<String> {
    let (before, after) = (snapshot(before)?, snapshot(after)?);
    let null = Value::Null;
    let member = |snapshot: &Value, name: &str| match snapshot {
        Value::Object(members) => members.get(name).cloned().unwrap_or(Value::Null),
        _ => Value::Null,
    };
    let mut out = Object::default();
    let mut changes = Vec::new();
    let (old, new) = (member(&before, "doc"), member(&after, "doc"));
    compare(&mut Vec::new(), Some(&old), Some(&new), &mut changes);
    out.raw(
        "docChanges",
        &array(changes, |change, out| {
            out.extend_from_slice(change.as_bytes())
        }),
    );
    let (old, new) = (
        entries(&member(&before, "vc")),
        entries(&member(&after, "vc")),
    );
    let mut replicas: Vec<&String> = old.keys().chain(new.keys()).collect();
    replicas.sort();
    replicas.dedup();
    let changed = replicas
        .into_iter()
        .filter(|replica| old.get(*replica) != new.get(*replica));
    let changes = array(changed, |replica, out| {
        let mut change = Object::default();
        let count =
            |clock: &BTreeMap<String, Value>| clock.get(replica).map_or("0".into(), Value::to_json);
        change.text("replica", replica);
        change.raw("before", &count(&old));
        change.raw("after", &count(&new));
        out.extend_from_slice(change.end().as_bytes());
    });
    out.raw("vcChanges", &changes);
    let mut hlc_diff = Object::default();
    for (name, snapshot) in [("before", &before), ("after", &after)] {
        let time = entries(&member(snapshot, "hlc"));
        let number = |name: &str| {
            time.get(name)
                .unwrap_or(&null)
                .to_json()
                .parse()
                .unwrap_or(0)
        };
        let replica = match time.get("r") {
            Some(Value::String(replica)) => replica,
            _ => "",
        };
        let (t, c) = (number("t"), number("c"));
        hlc_diff.raw(name, &hlc(crate::crdt::stamp::Time { t, c }, replica));
    }
    out.raw("hlcDiff", &hlc_diff.end());
    let deleted = entries(&member(&after, "tombstones"));
    for (name, source) in [("lwwChanges", "lww"), ("tombstoneChanges", "tombstones")] {
        let (old, new) = (
            entries(&member(&before, source)),
            entries(&member(&after, source)),
        );
        let mut changes = Object::default();
        // A delete is in both lists here; with the originals only in that of tombstones.
        let is_set = |key: &str, stamp: &Value| source != "lww" || deleted.get(key) != Some(stamp);
        let added = new
            .iter()
            .filter(|(key, stamp)| !old.contains_key(*key) && is_set(key, stamp));
        let removed = old.keys().filter(|key| !new.contains_key(*key));
        changes.raw("added", &texts(added.map(|(key, _)| key.clone())));
        changes.raw("removed", &texts(removed.cloned()));
        if source == "lww" {
            let modified = new.iter().filter(|(key, stamp)| {
                old.get(*key).is_some_and(|old| old != *stamp) && is_set(key, stamp)
            });
            changes.raw("modified", &texts(modified.map(|(key, _)| key.clone())));
        }
        out.raw(name, &changes.end());
    }
    Ok(out.end())
}

fn snapshot(text: &str) -> Result<Value> {
    let value = Value::parse(text)?;
    match &value {
        Value::Object(members) if members.contains_key("doc") => Ok(value),
        _ => Err(Error::new(
            ErrorKind::InvalidMessage,
            "the snapshot has no doc",
        )),
    }
}

/// Of an object its members, and of an array of pairs the same.
fn entries(value: &Value) -> BTreeMap<String, Value> {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect(),
        Value::Array(pairs) => pairs
            .iter()
            .filter_map(|pair| match pair {
                Value::Array(pair) => match pair.as_slice() {
                    [Value::String(key), value] => Some((key.to_string(), value.clone())),
                    _ => None,
                },
                _ => None,
            })
            .collect(),
        _ => BTreeMap::new(),
    }
}

fn compare(
    path: &mut Path,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<String>,
) {
    if before == after {
        return;
    }
    let mut step =
        |path: &mut Path, segment: Segment, before: Option<&Value>, after: Option<&Value>| {
            path.push(segment);
            compare(path, before, after, changes);
            path.pop();
        };
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (key, value) in old {
                step(path, Segment::Key(key.clone()), Some(value), new.get(key));
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                step(path, Segment::Key(key.clone()), None, Some(value));
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for at in 0..old.len().max(new.len()) {
                step(path, Segment::Index(at as u32), old.get(at), new.get(at));
            }
        }
        _ => {
            let mut change = Object::default();
            change.path("path", path);
            for (name, value) in [("before", before), ("after", after)] {
                if let Some(value) = value {
                    change.raw(name, &value.to_json());
                }
            }
            let kind = match (before, after) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "modified",
            };
            change.text("type", kind);
            changes.push(change.end());
        }
    }
}
