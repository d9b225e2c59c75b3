//! The document: a tree of stamped registers.
//!
//! The document is what replaying all operations in the order of their stamps gives (R0). This
//! computes it in whatever order they come, at the cost of the path: a node remembers its latest
//! write, and when it was last made an object or an array by a write through it. What a later write
//! of an ancestor hides is not looked for: it is told by its stamp when one comes across it.
//!
//! Below an array positions move, so there the writes themselves are kept, in order, and replayed
//! (R3); the result is kept, too, and goes on from where it was while writes come in order.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::crdt::path::Segment;
use crate::crdt::shape::{self, Write};
use crate::crdt::stamp::{Replicas, Stamp, Time};
use crate::crdt::value::{Members, Value};
use crate::error::{Error, ErrorKind, Result};

/// Where a node's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// From a write of an ancestor, or nowhere.
    Inherited,
    /// A set of exactly this path.
    Set,
    /// A delete of exactly this path.
    Deleted,
}

#[derive(Debug, Clone)]
struct Node {
    /// Of the latest write of this path or an ancestor, as far as it has been looked at.
    stamp: Stamp,
    /// What that write made of it; `None`: nothing is there.
    base: Option<Value>,
    origin: Origin,
    /// What was written below, if anything.
    below: Option<Box<Below>>,
}

#[derive(Debug, Clone)]
struct Below {
    /// The latest set through a member: at that time this was an object.
    through_key: Stamp,
    /// The latest set through an index: at that time this was an array.
    through_index: Stamp,
    /// The latest write of all below.
    latest: Stamp,
    members: BTreeMap<Arc<str>, Node>,
    elements: Option<Box<Elements>>,
}

/// The writes below an array, and what has been made of them.
#[derive(Debug, Clone, Default)]
struct Elements {
    /// In order of stamps.
    writes: Vec<Element>,
    replayed: Option<Replayed>,
}

#[derive(Debug, Clone)]
struct Element {
    stamp: Stamp,
    /// From the array on.
    path: Box<[Segment]>,
    write: Write,
}

#[derive(Debug, Clone)]
struct Replayed {
    /// The write of the array that it began with, and since when it is an array.
    base: Stamp,
    since: Stamp,
    /// How many of the writes are in it.
    count: usize,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Whatever the base is.
    Base,
    Object,
    Array,
}

/// What a node is now.
struct Shape {
    kind: Kind,
    /// What was written below until then is hidden.
    since: Stamp,
    /// Whether members or elements of the base are still there.
    keeps_base: bool,
}

impl Node {
    fn inherited(stamp: Stamp, base: Option<Value>) -> Self {
        Self {
            stamp,
            base,
            origin: Origin::Inherited,
            below: None,
        }
    }

    fn shape(&self, replicas: &Replicas) -> Shape {
        let is = |kind| match kind {
            Kind::Object => matches!(self.base, Some(Value::Object(_))),
            Kind::Array => matches!(self.base, Some(Value::Array(_))),
            Kind::Base => true,
        };
        let (kind, since) = match &self.below {
            None => (Kind::Base, self.stamp),
            Some(below) => {
                let key = replicas.is_after(&below.through_key, &self.stamp);
                let index = replicas.is_after(&below.through_index, &self.stamp);
                match (key, index) {
                    (false, false) => (Kind::Base, self.stamp),
                    (true, false) => (Kind::Object, self.stamp),
                    (false, true) => (Kind::Array, self.stamp),
                    // The earlier one's container was replaced by the later one's.
                    (true, true) => {
                        if replicas.is_after(&below.through_key, &below.through_index) {
                            (Kind::Object, below.through_index)
                        } else {
                            (Kind::Array, below.through_key)
                        }
                    }
                }
            }
        };
        Shape {
            kind,
            since,
            keeps_base: since == self.stamp && is(kind),
        }
    }

    fn below(&mut self) -> &mut Below {
        self.below.get_or_insert_with(|| {
            Box::new(Below {
                through_key: Stamp::INITIAL,
                through_index: Stamp::INITIAL,
                latest: Stamp::INITIAL,
                members: BTreeMap::new(),
                elements: None,
            })
        })
    }

    /// Forgets what is below if all of it is hidden by now.
    fn shed(&mut self, replicas: &Replicas) {
        let is_hidden = |below: &Below| !replicas.is_after(&below.latest, &self.stamp);
        if self.below.as_deref().is_some_and(is_hidden) {
            self.below = None;
        }
    }

    /// The latest write of this node or below it.
    fn latest(&self, replicas: &Replicas) -> Stamp {
        match &self.below {
            Some(below) => replicas.later(self.stamp, below.latest),
            None => self.stamp,
        }
    }

    /// A member that is about to be looked at or written; what hides it is put into it.
    fn member(&mut self, replicas: &Replicas, key: &Arc<str>) -> &mut Self {
        let shape = self.shape(replicas);
        let base = match &mut self.base {
            Some(Value::Object(members)) if shape.keeps_base => members.remove(key),
            _ => None,
        };
        match self.below().members.entry(key.clone()) {
            Entry::Vacant(entry) => entry.insert(Self::inherited(shape.since, base)),
            Entry::Occupied(entry) => {
                let member = entry.into_mut();
                if replicas.is_after(&shape.since, &member.stamp) {
                    member.refresh(replicas, shape.since, base);
                }
                member
            }
        }
    }

    /// An ancestor was written later than this.
    fn refresh(&mut self, replicas: &Replicas, stamp: Stamp, base: Option<Value>) {
        self.stamp = stamp;
        self.base = base;
        self.origin = Origin::Inherited;
        self.shed(replicas);
    }

    fn write(&mut self, replicas: &Replicas, path: &[Segment], stamp: Stamp, write: Write) -> bool {
        let Some((segment, rest)) = path.split_first() else {
            if !replicas.is_after(&stamp, &self.stamp) {
                return false;
            }
            self.stamp = stamp;
            (self.base, self.origin) = match write {
                Write::Set(value) => (Some(value), Origin::Set),
                Write::Delete => (None, Origin::Deleted),
            };
            self.shed(replicas);
            return true;
        };
        if !replicas.is_after(&stamp, &self.shape(replicas).since) {
            return false;
        }
        let below = self.below();
        below.latest = replicas.later(below.latest, stamp);
        if matches!(write, Write::Set(_)) {
            let through = match segment {
                Segment::Key(_) => &mut below.through_key,
                Segment::Index(_) => &mut below.through_index,
            };
            *through = replicas.later(*through, stamp);
            // It may have been made something else since.
            if !replicas.is_after(&stamp, &self.shape(replicas).since) {
                return false;
            }
        }
        match segment {
            Segment::Key(key) => self
                .member(replicas, key)
                .write(replicas, rest, stamp, write),
            Segment::Index(_) => {
                let elements = self.below().elements.get_or_insert_default();
                elements.insert(replicas, stamp, path, write);
                true
            }
        }
    }

    /// What is here.
    fn value(&mut self, replicas: &Replicas) -> Option<Value> {
        self.shed(replicas);
        let shape = self.shape(replicas);
        if self.below.is_none() {
            return self.base.clone();
        }
        match (shape.kind, &self.base) {
            (Kind::Object, _) | (Kind::Base, Some(Value::Object(_))) => {
                Some(Value::Object(self.members(replicas, &shape)))
            }
            (Kind::Array, _) | (Kind::Base, Some(Value::Array(_))) => {
                Some(self.elements(replicas, &shape).clone())
            }
            (Kind::Base, base) => base.clone(),
        }
    }

    fn members(&mut self, replicas: &Replicas, shape: &Shape) -> Members {
        let mut found = Members::new();
        let Some(below) = &mut self.below else {
            return found;
        };
        let mut base = match &mut self.base {
            Some(Value::Object(members)) if shape.keeps_base => Some(members),
            _ => None,
        };
        below.members.retain(|key, member| {
            let base = base.as_mut().and_then(|base| base.remove(key));
            if replicas.is_after(&shape.since, &member.stamp) {
                member.refresh(replicas, shape.since, base);
            }
            if let Some(value) = member.value(replicas) {
                found.insert(key.clone(), value);
            }
            !member.is_nothing()
        });
        if let Some(base) = base {
            for (key, value) in base.iter() {
                found.insert(key.clone(), value.clone());
            }
        }
        found
    }

    /// Whether it makes no difference.
    fn is_nothing(&self) -> bool {
        self.origin == Origin::Inherited && self.base.is_none() && self.below.is_none()
    }

    fn elements(&mut self, replicas: &Replicas, shape: &Shape) -> &Value {
        const EMPTY: &Value = &Value::Array(Vec::new());
        let (stamp, base) = (self.stamp, &self.base);
        let start = || match base {
            Some(base @ Value::Array(_)) if shape.keeps_base => base.clone(),
            _ => Value::Array(Vec::new()),
        };
        let Some(below) = &mut self.below else {
            return EMPTY;
        };
        let elements = below.elements.get_or_insert_default();
        let is_of_now =
            |replayed: &Replayed| replayed.base == stamp && replayed.since == shape.since;
        if !elements.replayed.as_ref().is_some_and(is_of_now) {
            let visible = |element: &Element| replicas.is_after(&element.stamp, &shape.since);
            elements.writes.retain(visible);
            elements.replayed = Some(Replayed {
                base: stamp,
                since: shape.since,
                count: 0,
                value: start(),
            });
        }
        match &mut elements.replayed {
            Some(replayed) => {
                for element in &elements.writes[replayed.count..] {
                    shape::apply(&mut replayed.value, &element.path, &element.write);
                }
                replayed.count = elements.writes.len();
                &replayed.value
            }
            None => EMPTY,
        }
    }
}

impl Elements {
    fn insert(&mut self, replicas: &Replicas, stamp: Stamp, path: &[Segment], write: Write) {
        let element = Element {
            stamp,
            path: path.into(),
            write,
        };
        let at = self
            .writes
            .partition_point(|other| replicas.is_after(&stamp, &other.stamp));
        self.writes.insert(at, element);
        if self
            .replayed
            .as_ref()
            .is_some_and(|replayed| at < replayed.count)
        {
            self.replayed = None;
        }
    }
}

/// What a local write finds at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing, or null.
    Nothing,
    Object,
    Array,
    Scalar,
}

impl From<Option<&Value>> for Found {
    fn from(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Nothing,
            Some(Value::Object(_)) => Self::Object,
            Some(Value::Array(_)) => Self::Array,
            Some(_) => Self::Scalar,
        }
    }
}

/// A document.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Node,
}

impl Tree {
    /// A document that is this before every write.
    pub fn new(initial: Value) -> Self {
        Self {
            root: Node {
                stamp: Stamp::INITIAL,
                base: Some(initial),
                origin: Origin::Inherited,
                below: None,
            },
        }
    }

    /// Takes a write in; false if it is hidden by later ones. Each stamp once.
    pub fn write(
        &mut self,
        replicas: &Replicas,
        path: &[Segment],
        stamp: Stamp,
        write: Write,
    ) -> bool {
        self.root.write(replicas, path, stamp, write)
    }

    /// The whole document.
    pub fn value(&mut self, replicas: &Replicas) -> Value {
        self.root.value(replicas).unwrap_or(Value::Null)
    }

    /// What is at a path.
    pub fn get(&mut self, replicas: &Replicas, path: &[Segment]) -> Option<Value> {
        let mut node = &mut self.root;
        for (at, segment) in path.iter().enumerate() {
            let shape = node.shape(replicas);
            let is_array = matches!(node.base, Some(Value::Array(_)));
            if shape.kind == Kind::Array || (shape.kind == Kind::Base && is_array) {
                if node.below.is_none() {
                    return shape::get(node.base.as_ref()?, &path[at..]).cloned();
                }
                return shape::get(node.elements(replicas, &shape), &path[at..]).cloned();
            }
            let is_object = matches!(node.base, Some(Value::Object(_)));
            let Segment::Key(key) = segment else {
                return None;
            };
            if shape.kind == Kind::Base && !is_object {
                return None;
            }
            let is_known = |below: &Below| below.members.contains_key(key);
            if !node.below.as_deref().is_some_and(is_known) {
                let base = node.base.as_ref().filter(|_| shape.keeps_base)?;
                return shape::get(base, &path[at..]).cloned();
            }
            node = node.member(replicas, key);
        }
        if path.is_empty() {
            return Some(self.value(replicas));
        }
        node.value(replicas)
    }

    /// The time that a local write must be later than, so that it is the last word on its path: of
    /// the writes of the path, of its ancestors, and of all below it (R11).
    pub fn latest_at(&mut self, replicas: &Replicas, path: &[Segment]) -> Time {
        let mut node = &self.root;
        let mut latest = Time::default();
        for segment in path {
            latest = latest.max(node.stamp.time);
            let Some(below) = &node.below else {
                return latest;
            };
            match segment {
                Segment::Index(_) => return latest.max(below.latest.time),
                Segment::Key(key) => {
                    latest = latest.max(below.through_index.time);
                    match below.members.get(key) {
                        Some(member) => node = member,
                        None => return latest,
                    }
                }
            }
        }
        latest.max(node.latest(replicas).time)
    }

    /// Whether a local set may be made, by the shape rules of the originals.
    ///
    /// Errors: `invalid_argument` with one of their four texts.
    pub fn check_set(&mut self, replicas: &Replicas, path: &[Segment]) -> Result<()> {
        let Some((last, above)) = path.split_last() else {
            return Ok(());
        };
        let mut is_new = false;
        for (at, segment) in path.iter().enumerate() {
            // A missing container is made an object, whatever comes next.
            let found = match is_new {
                true => Found::Object,
                false => self.found(replicas, &path[..at]),
            };
            let is_last = at == above.len();
            let (wanted, text) = match (segment, is_last) {
                (Segment::Key(_), false) => {
                    (Found::Object, "Path expects object but found non-object")
                }
                (Segment::Key(_), true) => (Found::Object, "Cannot set string key on non-object"),
                (Segment::Index(_), false) => {
                    (Found::Array, "Path expects array but found non-array")
                }
                (Segment::Index(_), true) => {
                    (Found::Array, "Cannot set numeric index on non-array")
                }
            };
            let found = match found {
                // The document itself is never missing.
                Found::Nothing if at > 0 => {
                    is_new = true;
                    Found::Object
                }
                found => found,
            };
            if found != wanted {
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        }
        let _ = last;
        Ok(())
    }

    fn found(&mut self, replicas: &Replicas, path: &[Segment]) -> Found {
        let mut node = &mut self.root;
        for (at, segment) in path.iter().enumerate() {
            match node.found(replicas) {
                Found::Object => {}
                Found::Array => {
                    let shape = node.shape(replicas);
                    let value = match node.below {
                        Some(_) => Some(node.elements(replicas, &shape)),
                        None => node.base.as_ref(),
                    };
                    return value
                        .and_then(|value| shape::get(value, &path[at..]))
                        .into();
                }
                Found::Nothing | Found::Scalar => return Found::Nothing,
            }
            let Segment::Key(key) = segment else {
                return Found::Nothing;
            };
            let is_known = |below: &Below| below.members.contains_key(key);
            if !node.below.as_deref().is_some_and(is_known) {
                let keeps_base = node.shape(replicas).keeps_base;
                let base = node.base.as_ref().filter(|_| keeps_base);
                return base.and_then(|base| shape::get(base, &path[at..])).into();
            }
            node = node.member(replicas, key);
        }
        node.found(replicas)
    }
}

impl Node {
    fn found(&self, replicas: &Replicas) -> Found {
        match self.shape(replicas).kind {
            Kind::Object => Found::Object,
            Kind::Array => Found::Array,
            Kind::Base => self.base.as_ref().into(),
        }
    }
}
