//! Many operations in few bytes, between distflow peers; see `docs/document-format.md`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::crdt::codec::{Reader, Writer, damaged};
use crate::crdt::json::Json;
use crate::crdt::op::{COUNT_MAX, Kind, Op};
use crate::crdt::path::Segment;
use crate::crdt::stamp::Time;
use crate::error::Result;
use crate::limits::{CRDT_DEPS_MAX, CRDT_REPLICA_BYTES_MAX};

const MAGIC: &[u8] = b"DFO\x01";

const KIND: u8 = 0b11;
const OWN_ID: u8 = 1 << 2;
/// The whole clock follows, not only what is more than at the source's operation before.
const WHOLE: u8 = 1 << 3;
/// The path is that of the operation before, but for the last segment.
const SIBLING: u8 = 1 << 4;

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
        let source = sources.entry(src).or_default();
        let gained = source.gained(&deps);
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
            (gained.is_none(), WHOLE),
            (sibling, SIBLING),
        ] {
            flags |= if is_so { flag } else { 0 };
        }
        writer.byte(flags);
        writer.count(src);
        writer.time(op.time, time);
        writer.delta(op.seq(), source.seq);
        source.seq = op.seq();
        let deps = gained.unwrap_or(deps);
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
    /// In the order in which they were first named, without the source.
    deps: Vec<(u64, u64)>,
    places: HashMap<u64, usize>,
}

impl Source {
    fn set(&mut self, replica: u64, count: u64) {
        match self.places.get(&replica) {
            Some(&at) => self.deps[at].1 = count,
            None => {
                self.places.insert(replica, self.deps.len());
                self.deps.push((replica, count));
            }
        }
    }

    /// What a clock has more than before; `None` if it has less of something.
    fn gained(&mut self, deps: &[(u64, u64)]) -> Option<Vec<(u64, u64)>> {
        let known = deps
            .iter()
            .filter(|(replica, _)| self.places.contains_key(replica));
        if known.count() != self.deps.len() {
            self.deps.clear();
            self.places.clear();
            deps.iter()
                .for_each(|(replica, count)| self.set(*replica, *count));
            return None;
        }
        let mut gained = Vec::new();
        for &(replica, count) in deps {
            let before = self.places.get(&replica).and_then(|at| self.deps.get(*at));
            if before.map(|(_, count)| *count) != Some(count) {
                gained.push((replica, count));
                self.set(replica, count);
            }
        }
        Some(gained)
    }
}

/// Reads the operations of a batch one by one: each can name a whole clock by a few bytes, so that
/// all together could take far more room than the batch.
#[derive(Debug)]
pub struct Batch<'a> {
    reader: Reader<'a>,
    table: Vec<Arc<str>>,
    left: usize,
    sources: HashMap<u64, Source>,
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
            sources: HashMap::new(),
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
        let source = self.sources.entry(number).or_default();
        source.seq = self.reader.delta(source.seq)?;
        if source.seq == 0 {
            return Err(damaged("an operation without a number"));
        }
        if flags & WHOLE != 0 {
            source.deps.clear();
            source.places.clear();
        }
        for _ in 0..self.reader.entries()? {
            let replica = self.reader.count()?;
            let count = self.reader.count()?;
            if count > COUNT_MAX || replica == number || replica >= self.table.len() as u64 {
                return Err(damaged("a clock"));
            }
            source.set(replica, count);
        }
        if source.deps.len() >= CRDT_DEPS_MAX {
            return Err(damaged("a clock has too many members"));
        }
        let mut deps = Vec::with_capacity(source.deps.len() + 1);
        for &(replica, count) in &source.deps {
            let name = self.table.get(replica as usize);
            deps.extend(name.map(|name| (name.clone(), count)));
        }
        deps.push((src.clone(), source.seq));
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
        let op = Op {
            own_id,
            kind,
            path: self.path.as_slice().into(),
            time: self.time,
            src,
            deps,
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
            let sorted = |op: &Op| {
                let mut deps = op.deps.clone();
                deps.sort();
                deps
            };
            assert_eq!(sorted(found), sorted(op));
            let found = Op {
                deps: op.deps.clone(),
                ..found.clone()
            };
            assert_eq!(&found, op);
        }
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
