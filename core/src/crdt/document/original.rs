//! Snapshots of the originals (json-crdt.md 7): a document, the stamps of its paths, and no more.

use super::snapshot::{State, intern};
use crate::crdt::codec::damaged;
use crate::crdt::horizon::Horizon;
use crate::crdt::json::Json;
use crate::crdt::log::Counts;
use crate::crdt::op::COUNT_MAX;
use crate::crdt::path::{self, Path, Segment};
use crate::crdt::scan::{Fields, Items, string};
use crate::crdt::shape::{self, Write};
use crate::crdt::stamp::{Replicas, Stamp, Time};
use crate::crdt::tree::Tree;
use crate::crdt::value::Value;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::CRDT_TIME_MS_MAX;

/// The members of a JSON object: names, and the text of the values.
pub(super) struct Members(Vec<(String, String)>);

impl Members {
    /// Of text that was checked; of anything but an object, none.
    pub fn of(json: &str) -> Self {
        let fields = match json.trim_start().starts_with('{') {
            true => Fields::new(json),
            false => Fields::new("{}"),
        };
        Self(
            fields
                .map(|(name, value)| (name.into_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// The last one of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().rev().filter(|(known, _)| known == name);
        found.next().map(|(_, json)| json.as_str())
    }

    fn wanted(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| {
            let text = format!("the snapshot has no {name}");
            Error::new(ErrorKind::InvalidMessage, text)
        })
    }
}

/// What a snapshot says.
///
/// Errors: `invalid_message`, which names what is missing or wrong; `invalid_argument` for a document
/// that is nested too deep.
pub(super) fn state(members: &Members, replicas: &mut Replicas) -> Result<State> {
    let doc = Json::of_validated(members.wanted("doc")?);
    path::check(&[], Some(&doc))?;
    let clock = clock(members.wanted("vc")?, replicas)?;
    let mut writes = Vec::new();
    for (name, is_delete) in [("lww", false), ("tombstones", true)] {
        for entry in Items::new(members.wanted(name)?) {
            let mut entry = Items::new(entry);
            let key = entry.next().and_then(string);
            let key = key.ok_or_else(|| damaged("a register without a key"))?;
            let stamp = stamp(entry.next().unwrap_or(""), &clock, replicas)?;
            writes.push((key.into_owned(), stamp, is_delete));
        }
    }
    let local = stamp(members.wanted("hlc")?, &clock, replicas)?.time;
    // Of what they had seen of each other, it says nothing.
    let mut last = vec![Counts::default(); replicas.len()];
    for (replica, count) in clock.iter() {
        last[replica as usize].set(replica, count);
    }
    // An original's time is that of the latest operation it has seen, at least.
    let mut stamped = Counts::default();
    for (replica, _) in clock.iter() {
        stamped.set(replica, local.t);
    }
    writes.sort_by(|a, b| replicas.compare(&a.1, &b.1));
    Ok(State {
        src: None,
        is_own: false,
        local,
        clock,
        last,
        tree: tree(doc, writes, replicas),
        stamped,
        horizon: Horizon::default(),
        members: None,
        is_exact: false,
    })
}

fn tree(doc: Json, writes: Vec<(String, Stamp, bool)>, replicas: &Replicas) -> Tree {
    let value = doc.value();
    let mut tree = Tree::new(doc);
    for (key, stamp, is_delete) in writes {
        let (path, found) = resolve(&value, &key);
        let write = match (found, is_delete) {
            // Arrays are taken as they are, with the stamp of the last write to them.
            (Some(found), false) => Write::Set(found.into()),
            (None, true) => Write::Delete,
            // A set that is no longer there, or a delete that was outdone.
            _ => continue,
        };
        tree.write(replicas, &path, stamp, write);
    }
    tree
}

fn clock(json: &str, replicas: &mut Replicas) -> Result<Counts> {
    let mut clock = Counts::default();
    for (name, count) in Members::of(json).0 {
        let count = count.parse().ok().filter(|count| *count <= COUNT_MAX);
        let count = count.ok_or_else(|| damaged("vc has a count that is no whole number"))?;
        clock.set(intern(replicas, &name)?, count);
    }
    Ok(clock)
}

/// The place that an original's key means in a document: names can have dots and hashes, so that the
/// longest that are there are tried first; and what is there. Below an array, it is the array.
fn resolve<'a>(value: &'a Value, key: &str) -> (Path, Option<&'a Value>) {
    fn walk<'a>(value: &'a Value, key: &str, path: &mut Path) -> Option<&'a Value> {
        if key.is_empty() {
            return Some(value);
        }
        match value {
            Value::Array(_) if key.starts_with('#') => Some(value),
            Value::Object(members) => {
                let rest = key.strip_prefix('.')?;
                let ends = rest.match_indices(['.', '#']).map(|(at, _)| at);
                let mut ends: Vec<usize> = ends.chain([rest.len()]).collect();
                ends.reverse();
                ends.into_iter().find_map(|end| {
                    let name = rest.get(..end)?;
                    let member = members.get(name)?;
                    path.push(name.into());
                    let found = walk(member, rest.get(end..)?, path);
                    if found.is_none() {
                        path.pop();
                    }
                    found
                })
            }
            _ => None,
        }
    }
    let mut path = Path::new();
    if let Some(found) = walk(value, key, &mut path) {
        return (path, Some(found));
    }
    // Not there: the plain reading, as far as it is one.
    let mut path = Path::new();
    for part in key.split('.').skip(1) {
        let (name, indices) = part.split_once('#').unwrap_or((part, ""));
        path.push(Segment::from(name));
        let indices = indices.split('#').filter(|index| !index.is_empty());
        path.extend(
            indices
                .filter_map(|index| index.parse().ok())
                .map(Segment::Index),
        );
    }
    let found = shape::get(value, &path);
    (path, found)
}

fn stamp(hlc: &str, clock: &Counts, replicas: &mut Replicas) -> Result<Stamp> {
    let hlc = Members::of(hlc);
    let count = |name: &str| {
        let count = hlc.get(name).and_then(|json| json.parse().ok());
        count
            .filter(|count| *count <= COUNT_MAX)
            .ok_or_else(|| damaged("a stamp has no whole numbers"))
    };
    let time = Time {
        t: count("t")?,
        c: count("c")?,
    };
    // An original takes any time; whoever writes there again must find a later one.
    let last = Time {
        t: CRDT_TIME_MS_MAX,
        c: 0,
    };
    let time = time.checked().unwrap_or(last);
    let replica = hlc.get("r").and_then(string);
    let replica = replica.ok_or_else(|| damaged("a stamp of nobody"))?;
    let replica = intern(replicas, &replica)?;
    // Which of its operations it was is not said: at most its last.
    let seq = clock.get(replica).max(1);
    Ok(Stamp { time, replica, seq })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn an_originals_keys_are_resolved_by_what_is_there() {
        let value = Value::parse(r#"{"a.b":1,"a":{"b":2,"c#1":3},"l":[{"x":1}]}"#).unwrap();
        let key = |key: &str| {
            let (path, found) = resolve(&value, key);
            (path::key(&path), path.len(), found.map(Value::to_json))
        };
        assert_eq!(key(""), (String::new(), 0, Some(value.to_json())));
        assert_eq!(key(".a.b"), (".a.b".into(), 1, Some("1".into())));
        assert_eq!(key(".a.c#1"), (".a.c#1".into(), 2, Some("3".into())));
        assert_eq!(key(".l#0.x"), (".l".into(), 1, Some(r#"[{"x":1}]"#.into())));
        assert_eq!(key(".gone.x"), (".gone.x".into(), 2, None));
    }
}
