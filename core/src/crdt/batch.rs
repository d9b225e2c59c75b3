//! Many operations in few bytes, between distflow peers; see `docs/document-format.md`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::crdt::codec::{Reader, Writer, damaged};
use crate::crdt::json::Json;
use crate::crdt::op::{COUNT_MAX, Ended, Kind, Op};
use crate::crdt::path::Segment;
use crate::crdt::stamp::Time;
use crate::error::Result;
use crate::limits::{CRDT_DEPS_MAX, CRDT_REPLICA_BYTES_MAX};

const MAGIC: &[u8] = b"DFO\x01";

const KIND: u8 = 0b11;
const OWN_ID: u8 = 1 << 2;
// Bit 3 said that the whole clock follows, not only what is new; what follows is read in the same way.
/// The path is that of the operation before, but for the last segment.
const SIBLING: u8 = 1 << 4;
/// Lives that have ended follow.
const ENDED: u8 = 1 << 5;

/// Whether bytes say that they are a batch.
pub fn is_batch(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Operations as bytes, in this order.
pub fn encode<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Vec<u8> {
    let (mut table, mut numbers) = (Vec::new(), HashMap::new());
    let mut writer = Writer::default();
    let mut count = 0u64;
    let mut sources: HashMap<u64, Source> = HashMap::new();
    let (mut time, mut path): (Time, &[Segment]) = (Time::default(), &[]);
    for op in ops {
        let mut number = |name: &Arc<str>| {
            *numbers.entry(name.clone()).or_insert_with(|| {
                table.push(name.clone());
                table.len() as u64 - 1
            })
        };
        count += 1;
        let src = number(&op.src);
        let deps: Vec<(u64, u64)> = op
            .deps
            .iter()
            .filter(|(name, _)| *name != op.src)
            .map(|(name, count)| (number(name), *count))
            .collect();
        let ended: Vec<(u64, u64)> = (op.ended.iter().flat_map(|ended| &ended.sources))
            .map(|(name, count)| (number(name), *count))
            .collect();
        let source = sources.entry(src).or_default();
        // What the batch has said of the source before holds.
        let deps: Vec<(u64, u64)> = deps
            .into_iter()
            .filter(|(replica, count)| source.said.insert(*replica, *count) != Some(*count))
            .collect();
        let sibling = match (op.path.split_last(), path.split_last()) {
            (Some((_, above)), Some((_, before))) => above == before,
            _ => false,
        };
        let mut flags = match &op.kind {
            Kind::Set(_) => 0,
            Kind::Tombstone => 1,
            Kind::Del => 2,
            Kind::Nothing { .. } => 3,
        };
        for (is_so, flag) in [
            (op.own_id.is_some(), OWN_ID),
            (sibling, SIBLING),
            (op.ended.is_some(), ENDED),
        ] {
            flags |= if is_so { flag } else { 0 };
        }
        writer.byte(flags);
        writer.count(src);
        writer.time(op.time, time);
        writer.delta(op.seq(), source.seq);
        source.seq = op.seq();
        writer.count(deps.len() as u64);
        for (replica, count) in deps {
            writer.count(replica);
            writer.count(count);
        }
        if let Some(id) = &op.own_id {
            writer.text(id);
        }
        writer.path(&op.path[if sibling { op.path.len() - 1 } else { 0 }..]);
        match &op.kind {
            Kind::Set(value) => writer.text(value.as_str()),
            Kind::Nothing { kind, reason } => {
                writer.text(kind);
                writer.text(reason);
            }
            Kind::Tombstone | Kind::Del => {}
        }
        if let Some(said) = &op.ended {
            writer.count(said.until_ms);
            writer.count(ended.len() as u64);
            for (replica, count) in ended {
                writer.count(replica);
                writer.count(count);
            }
        }
        (time, path) = (op.time, &op.path);
    }
    let mut head = Writer::default();
    head.out.extend_from_slice(MAGIC);
    head.count(table.len() as u64);
    table.iter().for_each(|name| head.text(name));
    head.count(count);
    head.out.append(&mut writer.out);
    head.out
}

/// What the batch has said of a source so far.
#[derive(Debug, Default)]
struct Source {
    seq: u64,
    said: HashMap<u64, u64>,
}

/// Reads the operations of a batch one by one.
#[derive(Debug)]
pub struct Batch<'a> {
    reader: Reader<'a>,
    table: Vec<Arc<str>>,
    left: usize,
    /// By source, the number of its last operation.
    numbers: HashMap<u64, u64>,
    time: Time,
    path: Vec<Segment>,
}

impl<'a> Batch<'a> {
    /// Begins to read.
    ///
    /// Error: `invalid_message` for what is no batch.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let bytes = bytes.strip_prefix(MAGIC);
        let mut reader = Reader::new(bytes.ok_or_else(|| damaged("not a batch of operations"))?);
        let (mut table, mut known) = (Vec::new(), HashSet::new());
        for _ in 0..reader.entries()? {
            let name = reader.text()?;
            if name.is_empty() || name.len() > CRDT_REPLICA_BYTES_MAX {
                return Err(damaged("a replica's name is too long, or empty"));
            }
            if !known.insert(name) {
                return Err(damaged("a replica comes twice"));
            }
            table.push(Arc::from(name));
        }
        let left = reader.entries()?;
        Ok(Self {
            reader,
            table,
            left,
            numbers: HashMap::new(),
            time: Time::default(),
            path: Vec::new(),
        })
    }

    fn name(&self, number: u64) -> Result<Arc<str>> {
        let name = usize::try_from(number)
            .ok()
            .and_then(|at| self.table.get(at));
        name.cloned()
            .ok_or_else(|| damaged("a replica that is in no table"))
    }

    fn op(&mut self) -> Result<Op> {
        let flags = self.reader.byte()?;
        let number = self.reader.count()?;
        let src = self.name(number)?;
        self.time = self.reader.time(self.time)?;
        let last = self.numbers.entry(number).or_default();
        *last = self.reader.delta(*last)?;
        let seq = *last;
        if seq == 0 {
            return Err(damaged("an operation without a number"));
        }
        let count = self.reader.entries()?;
        if count >= CRDT_DEPS_MAX {
            return Err(damaged("a clock has too many members"));
        }
        let mut deps = Vec::with_capacity(count + 1);
        for _ in 0..count {
            let replica = self.reader.count()?;
            let count = self.reader.count()?;
            if count > COUNT_MAX || replica == number {
                return Err(damaged("a clock"));
            }
            deps.push((self.name(replica)?, count));
        }
        deps.push((src.clone(), seq));
        let own_id = match flags & OWN_ID {
            0 => None,
            _ => Some(Arc::from(self.reader.text()?)),
        };
        let path = self.reader.path()?;
        if flags & SIBLING == 0 {
            self.path = path;
        } else {
            // Otherwise paths would grow from one to the next, and all of them together by the square.
            if path.len() != 1 || self.path.pop().is_none() {
                return Err(damaged("a sibling with another path than a last segment"));
            }
            self.path.extend(path);
        }
        let kind = match flags & KIND {
            0 => {
                let length = self.reader.count()?;
                Kind::Set(Json::parse(self.reader.bytes(length)?)?)
            }
            1 => Kind::Tombstone,
            2 => Kind::Del,
            _ => Kind::Nothing {
                kind: Arc::from(self.reader.text()?),
                reason: Arc::from(self.reader.text()?),
            },
        };
        let ended = match flags & ENDED {
            0 => None,
            _ => {
                let until_ms = self.reader.count()?;
                let mut sources = Vec::new();
                for _ in 0..self.reader.entries()? {
                    let source = self.reader.count()?;
                    sources.push((self.name(source)?, self.reader.count()?));
                }
                let ended = Ended { until_ms, sources };
                if !ended.is_possible() {
                    return Err(damaged("lives that can't have ended"));
                }
                Some(Arc::new(ended))
            }
        };
        let op = Op {
            own_id,
            kind,
            path: self.path.as_slice().into(),
            time: self.time,
            src,
            deps,
            ended,
        };
        Ok(op.limited())
    }
}

impl Iterator for Batch<'_> {
    type Item = Result<Op>;

    /// The next operation. After an error, there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let rest = !std::mem::replace(&mut self.reader, Reader::new(&[])).is_at_end();
            return rest.then(|| Err(damaged("something comes after the operations")));
        }
        let op = self.op();
        self.left = if op.is_ok() { self.left - 1 } else { 0 };
        if op.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(op)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    fn op(text: &str) -> Op {
        Op::decode(text).unwrap()
    }

    #[test]
    fn operations_come_back_as_they_were() {
        let ops = [
            op(
                r#"{"id":"B:1:0:1","kind":"set","path":["k","a"],"value":{"x":[1]},"hlc":{"t":1,"c":0,"r":"B"},"deps":{"B":1},"src":"B"}"#,
            ),
            op(
                r#"{"id":"mine","kind":"tombstone","path":["k","b"],"hlc":{"t":900,"c":3,"r":"B"},"deps":{"A":7,"B":2},"src":"B"}"#,
            ),
            op(
                r#"{"id":"A:2:0:8","kind":"del","path":["k",3],"hlc":{"t":2,"c":0,"r":"A"},"deps":{"A":8},"src":"A"}"#,
            ),
            op(
                r#"{"id":"x","kind":"merge","path":[],"hlc":{"t":2,"c":0,"r":"A"},"deps":{"A":9,"C":1,"B":2},"src":"A"}"#,
            ),
            op(
                r#"{"id":"x","kind":"set","path":[],"value":null,"hlc":{"t":2,"c":0,"r":"A"},"deps":{"A":10,"B":1},"src":"A"}"#,
            ),
        ];
        let bytes = encode(&ops);
        let found: Vec<Op> = Batch::new(&bytes).unwrap().map(Result::unwrap).collect();
        assert_eq!(found.len(), ops.len());
        for (found, op) in found.iter().zip(&ops) {
            // What was said of the source before is not said again.
            assert!(found.deps.iter().all(|dep| op.deps.contains(dep)));
            assert_eq!(found.seq(), op.seq());
            let found = Op {
                deps: op.deps.clone(),
                ..found.clone()
            };
            assert_eq!(&found, op);
        }
        let named =
            |at: usize| -> Vec<&str> { found[at].deps.iter().map(|(name, _)| &**name).collect() };
        assert_eq!(
            [named(0), named(1), named(3)],
            [vec!["B"], vec!["A", "B"], vec!["C", "B", "A"]]
        );
        assert_eq!(named(4), ["B", "A"]);
        assert_eq!(Batch::new(&encode(&[])).unwrap().count(), 0);
    }

    #[test]
    fn damage_is_an_error_and_ends_it() {
        let bytes = encode(&[op(
            r#"{"id":"B:1:0:1","kind":"set","path":["k"],"value":1,"hlc":{"t":1,"c":0,"r":"B"},"deps":{"B":1},"src":"B"}"#,
        )]);
        assert!(Batch::new(b"DFX").is_err());
        for length in 4..bytes.len() {
            if let Ok(batch) = Batch::new(&bytes[..length]) {
                assert!(batch.last().unwrap().is_err(), "{length}");
            }
        }
        let twice = b"DFO\x01\x02\x01B\x01B\x00";
        assert!(Batch::new(twice).is_err());
        // Of two siblings, the second one has a last segment and nothing else.
        for (path, is_good) in [
            (&b"\x01\x02b"[..], true),
            (b"\x02\x02b\x02c", false),
            (b"\x00", false),
        ] {
            let head = b"DFO\x01\x01\x01B\x02\x01\x00\x00\x00\x02\x00\x01\x02a";
            let sibling = [&head[..], &[1 | SIBLING, 0, 0, 0, 2, 0], path].concat();
            let found: Vec<bool> = Batch::new(&sibling).unwrap().map(|op| op.is_ok()).collect();
            assert_eq!(found, [true, is_good], "{path:?}");
        }
        let long = [bytes, vec![0]].concat();
        let found: Vec<bool> = Batch::new(&long).unwrap().map(|op| op.is_ok()).collect();
        assert_eq!(found, [true, false]);
    }
}
