//! A tree as bytes, and as the registers of the originals' snapshots.
//!
//! The bytes are described in `docs/document-format.md`.

use crate::crdt::codec::{Reader, Writer, damaged};
use crate::crdt::json::Json;
use crate::crdt::path::{Path, Segment};
use crate::crdt::shape::Write;
use crate::crdt::stamp::{Replicas, Stamp};
use crate::crdt::tree::{Below, Element, Elements, Node, Origin, Tree};
use crate::error::Result;
use crate::limits::CRDT_DEPTH_MAX;

const ORIGIN: u8 = 0b11;
const BASE: u8 = 1 << 2;
const BELOW: u8 = 1 << 3;
const OF_PARENT: u8 = 1 << 4;

const THROUGH_KEY: u8 = 1;
const THROUGH_INDEX: u8 = 1 << 1;
const ELEMENTS: u8 = 1 << 2;
const UNFOLDED: u8 = 1 << 3;
const FOLDED: u8 = 1 << 4;

/// A write that is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct Register {
    /// Where.
    pub path: Path,
    /// When, and by whom.
    pub stamp: Stamp,
    /// Whether it took away what was there.
    pub is_delete: bool,
}

impl Tree {
    /// Appends the whole tree.
    pub(in crate::crdt) fn encode(&mut self, replicas: &Replicas, writer: &mut Writer) {
        self.root.encode(replicas, writer, None);
    }

    /// Reads a tree; the replicas of its stamps are found in this table.
    pub(in crate::crdt) fn decode(
        reader: &mut Reader<'_>,
        table: &[u32],
        replicas: &Replicas,
    ) -> Result<Self> {
        let root = Node::decode(reader, table, replicas, None, 0)?;
        Ok(Self { root })
    }

    /// Every write that is remembered, ancestors first.
    pub fn registers(&mut self, replicas: &Replicas) -> Vec<Register> {
        let mut found = Vec::new();
        self.root.registers(replicas, &mut Vec::new(), &mut found);
        found
    }
}

impl Node {
    fn registers(&mut self, replicas: &Replicas, path: &mut Path, found: &mut Vec<Register>) {
        self.shed(replicas);
        if self.origin != Origin::Inherited {
            found.push(Register {
                path: path.clone(),
                stamp: self.stamp,
                is_delete: self.origin == Origin::Deleted,
            });
        }
        let shape = self.shape(replicas);
        self.each_member(replicas, &shape, |key, member| {
            path.push(Segment::Key(key.clone()));
            member.registers(replicas, path, found);
            path.pop();
            true
        });
        let elements = self
            .below
            .as_ref()
            .and_then(|below| below.elements.as_ref());
        for element in elements.iter().flat_map(|elements| &elements.writes) {
            if replicas.is_after(&element.stamp, &shape.since) {
                let mut path = path.clone();
                path.extend_from_slice(&element.path);
                found.push(Register {
                    path,
                    stamp: element.stamp,
                    is_delete: element.write == Write::Delete,
                });
            }
        }
    }

    fn encode(&mut self, replicas: &Replicas, writer: &mut Writer, parent: Option<Stamp>) {
        self.shed(replicas);
        let shape = self.shape(replicas);
        // What is hidden is not written.
        self.each_member(replicas, &shape, |_, member| !member.is_nothing());
        let mut flags = match self.origin {
            Origin::Inherited => 0,
            Origin::Set => 1,
            Origin::Deleted => 2,
        };
        let is_of_parent = parent == Some(self.stamp);
        for (is_so, flag) in [
            (self.base.is_some(), BASE),
            (self.below.is_some(), BELOW),
            (is_of_parent, OF_PARENT),
        ] {
            flags |= if is_so { flag } else { 0 };
        }
        writer.byte(flags);
        if !is_of_parent {
            writer.stamp(self.stamp);
        }
        if let Some(base) = &self.base {
            writer.text(base.as_str());
        }
        if let Some(below) = &mut self.below {
            below.encode(replicas, writer, shape.since);
        }
    }

    fn decode(
        reader: &mut Reader<'_>,
        table: &[u32],
        replicas: &Replicas,
        parent: Option<Stamp>,
        depth: usize,
    ) -> Result<Self> {
        let flags = reader.byte()?;
        let origin = match flags & ORIGIN {
            0 => Origin::Inherited,
            1 => Origin::Set,
            2 => Origin::Deleted,
            _ => return Err(damaged("a node of no kind")),
        };
        let stamp = match (flags & OF_PARENT != 0, parent) {
            (false, _) => reader.stamp(table)?,
            (true, Some(stamp)) => stamp,
            (true, None) => return Err(damaged("the document has no stamp")),
        };
        let base = match flags & BASE {
            0 => None,
            _ => Some(reader.json()?),
        };
        let mut node = Self {
            stamp,
            base,
            origin,
            below: None,
        };
        if flags & BELOW != 0 {
            if depth >= CRDT_DEPTH_MAX {
                return Err(damaged("it is nested too deep"));
            }
            let below = Below::decode(reader, table, replicas, &node, depth)?;
            node.below = Some(Box::new(below));
        }
        Ok(node)
    }
}

impl Below {
    fn encode(&mut self, replicas: &Replicas, writer: &mut Writer, since: Stamp) {
        let writes = self.elements.iter().flat_map(|elements| &elements.writes);
        let elements: Vec<&Element> = writes
            .filter(|element| replicas.is_after(&element.stamp, &since))
            .collect();
        let mut flags = 0;
        for (is_so, flag) in [
            (self.through_key != Stamp::INITIAL, THROUGH_KEY),
            (self.through_index != Stamp::INITIAL, THROUGH_INDEX),
            (!elements.is_empty(), ELEMENTS),
            (self.is_unfolded, UNFOLDED),
            (self.folded_from.is_some(), FOLDED),
        ] {
            flags |= if is_so { flag } else { 0 };
        }
        writer.byte(flags);
        for through in [self.through_key, self.through_index] {
            if through != Stamp::INITIAL {
                writer.stamp(through);
            }
        }
        if let Some(source) = self.folded_from {
            writer.stamp(source);
        }
        if !elements.is_empty() {
            writer.count(elements.len() as u64);
            for element in elements {
                writer.stamp(element.stamp);
                writer.path(&element.path);
                match &element.write {
                    Write::Delete => writer.count(0),
                    Write::Set(value) => writer.text(value.as_str()),
                }
            }
        }
        writer.count(self.members.len() as u64);
        self.members.retain(|key, member| {
            writer.text(key);
            member.encode(replicas, writer, Some(since));
            true
        });
    }

    fn decode(
        reader: &mut Reader<'_>,
        table: &[u32],
        replicas: &Replicas,
        node: &Node,
        depth: usize,
    ) -> Result<Self> {
        let flags = reader.byte()?;
        let mut below = Self {
            is_unfolded: flags & UNFOLDED != 0,
            ..Self::default()
        };
        if flags & THROUGH_KEY != 0 {
            below.through_key = reader.stamp(table)?;
        }
        if flags & THROUGH_INDEX != 0 {
            below.through_index = reader.stamp(table)?;
        }
        if flags & FOLDED != 0 {
            below.folded_from = Some(reader.stamp(table)?);
        }
        below.latest = replicas.later(below.through_key, below.through_index);
        if flags & ELEMENTS != 0 {
            let elements = Elements::decode(reader, table, replicas)?;
            for element in &elements.writes {
                below.latest = replicas.later(below.latest, element.stamp);
            }
            below.elements = Some(Box::new(elements));
        }
        // Members are stamped after what hides them, which takes the throughs to know.
        let members = reader.entries()?;
        let mut holder = Node {
            stamp: node.stamp,
            base: node.base.clone(),
            origin: node.origin,
            below: Some(Box::new(below)),
        };
        let since = holder.shape(replicas).since;
        let below = holder.below();
        for _ in 0..members {
            let key = reader.key()?;
            let member = Node::decode(reader, table, replicas, Some(since), depth + 1)?;
            below.latest = replicas.later(below.latest, member.latest(replicas));
            if !below.members.get_or_add(&key, || member).1 {
                return Err(damaged("a member comes twice"));
            }
        }
        Ok(std::mem::take(below))
    }
}

impl Elements {
    fn decode(reader: &mut Reader<'_>, table: &[u32], replicas: &Replicas) -> Result<Self> {
        let mut elements = Self::default();
        for _ in 0..reader.entries()? {
            let stamp = reader.stamp(table)?;
            let path = reader.path()?;
            if !matches!(path.first(), Some(Segment::Index(_))) {
                return Err(damaged("an element without an index"));
            }
            let write = match reader.count()? {
                0 => Write::Delete,
                length => Write::Set(Json::parse(reader.bytes(length)?)?),
            };
            let last = elements.writes.last();
            if last.is_some_and(|last: &Element| !replicas.is_after(&stamp, &last.stamp)) {
                return Err(damaged("elements are not in order"));
            }
            elements.writes.push(Element {
                stamp,
                path: path.into(),
                write,
            });
        }
        Ok(elements)
    }
}
