//! The document: a tree of stamped registers.
//!
//! The document is what replaying all operations in the order of their stamps gives (R0). This
//! computes it in whatever order they come, at the cost of the path: a node remembers its latest
//! write, and when it was last made an object or an array by a write through it. What a later write
//! of an ancestor hides is not looked for: it is told by its stamp when one comes across it.
//!
//! Below an array positions move, so there the writes themselves are kept, in order, and replayed
//! (R3); the result is kept, too, and goes on from where it was while writes come in order.

mod join;
mod local;
mod read;
mod settle;
mod stamps;
mod state;

pub use self::local::Written;
pub use self::settle::Settled;

use crate::crdt::json::Json;
use crate::crdt::path::Segment;
use crate::crdt::shape::{self, Write};
use crate::crdt::stamp::{Replicas, Stamp, Time};
use crate::crdt::table::Table;
use crate::crdt::text::Text;
use crate::crdt::value::{Value, into_text};
use crate::plant;
use crate::wire::json::append_utf8;

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
    /// What that write made of it; `None`: nothing is there. An object is taken apart, and is empty
    /// here, as soon as somebody writes below it.
    base: Option<Json>,
    origin: Origin,
    /// What was written below, if anything.
    below: Option<Box<Below>>,
}

#[derive(Debug, Clone, Default)]
struct Below {
    /// The latest set through a member: at that time this was an object.
    through_key: Stamp,
    /// The latest set through an index: at that time this was an array.
    through_index: Stamp,
    /// The latest write of all below.
    latest: Stamp,
    members: Table<Node>,
    /// Whether members of the base have been moved there.
    is_unfolded: bool,
    /// The write that the node's was before writes of elements were made one value with it.
    folded_from: Option<Stamp>,
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

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is the latest at its path, or changes an array.
    Visible,
    /// Later ones hide it.
    Hidden,
    /// A later delete of the same path hides it.
    HiddenByDelete(Stamp),
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
    fn inherited(stamp: Stamp, base: Option<Json>) -> Self {
        Self {
            stamp,
            base,
            origin: Origin::Inherited,
            below: None,
        }
    }

    fn shape(&self, replicas: &Replicas) -> Shape {
        let is = |kind| match kind {
            Kind::Object => self.base.as_ref().is_some_and(Json::is_object),
            Kind::Array => self.base.as_ref().is_some_and(Json::is_array),
            Kind::Base => true,
        };
        let (kind, since) = match &self.below {
            None => (Kind::Base, self.stamp),
            Some(below) => {
                let key = replicas.is_after(&below.through_key, &self.stamp);
                let index = below.through_index.seq > 0
                    && replicas.is_after(&below.through_index, &self.stamp);
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
            keeps_base: (since == self.stamp || plant::active("base_after_flip")) && is(kind),
        }
    }

    fn below(&mut self) -> &mut Below {
        self.below.get_or_insert_default()
    }

    /// Forgets what is below if all of it is hidden by now.
    #[inline]
    fn shed(&mut self, replicas: &Replicas) {
        let is_hidden =
            |below: &Below| !below.holds_base() && !replicas.is_after(&below.latest, &self.stamp);
        if self.below.as_deref().is_some_and(is_hidden) {
            self.below = None;
        }
    }

    /// The write of this path, or an ancestor, that the node's value comes from.
    fn source(&self) -> Stamp {
        let folded_from = self.below.as_ref().and_then(|below| below.folded_from);
        folded_from.unwrap_or(self.stamp)
    }

    /// The latest write of this node or below it.
    fn latest(&self, replicas: &Replicas) -> Stamp {
        match &self.below {
            Some(below) => replicas.later(self.stamp, below.latest),
            None => self.stamp,
        }
    }

    /// A member that is about to be looked at or written; what hides it is put into it.
    fn member(&mut self, replicas: &Replicas, shape: &Shape, key: &Text) -> &mut Self {
        self.unfold(replicas, shape);
        let since = shape.since;
        let (member, _) = (self.below().members).get_or_add(key, || Self::inherited(since, None));
        member.refresh(replicas, since, None);
        member
    }

    /// A member, if there is or was one.
    fn existing(&mut self, replicas: &Replicas, shape: &Shape, key: &Text) -> Option<&mut Self> {
        self.unfold(replicas, shape);
        let member = self.below.as_mut()?.members.get_mut(key)?;
        member.refresh(replicas, shape.since, None);
        Some(member)
    }

    /// Makes nodes of the members of the base, which then is an empty object: once for every write
    /// of the object, at the cost of what was written.
    fn unfold(&mut self, replicas: &Replicas, shape: &Shape) {
        let Some(base) = self.base.as_mut().filter(|_| shape.keeps_base) else {
            return;
        };
        if !base.is_object() || base.as_bytes().len() == 2 {
            return;
        }
        let base = std::mem::replace(base, Json::of_checked("{}"));
        let below = self.below();
        below.is_unfolded = true;
        for (key, text) in base.members() {
            let (member, is_new) = below
                .members
                .get_or_add(&key, || Self::inherited(shape.since, Some(text.clone())));
            if !is_new {
                // Also for the name that comes twice.
                let is_of_base = member.stamp == shape.since && member.below.is_none();
                if is_of_base && member.origin == Origin::Inherited {
                    member.base = Some(text);
                } else {
                    member.refresh(replicas, shape.since, Some(text));
                }
            }
        }
        below.members.fit();
    }

    /// An ancestor was written later than this.
    #[inline]
    fn refresh(&mut self, replicas: &Replicas, stamp: Stamp, base: Option<Json>) {
        if !replicas.is_after(&stamp, &self.stamp) {
            return;
        }
        self.replace(replicas, stamp, base, Origin::Inherited);
    }

    fn replace(&mut self, replicas: &Replicas, stamp: Stamp, base: Option<Json>, origin: Origin) {
        self.stamp = stamp;
        self.base = base;
        self.origin = origin;
        if let Some(below) = &mut self.below {
            below.is_unfolded = false;
            below.folded_from = None;
        }
        self.shed(replicas);
    }

    fn write(
        &mut self,
        replicas: &Replicas,
        path: &[Segment],
        stamp: &Stamp,
        write: Write,
    ) -> Outcome {
        let Some((segment, rest)) = path.split_first() else {
            let is_later = replicas.is_after(stamp, &self.stamp)
                || (write == Write::Delete && plant::active("delete_ignores_stamp"));
            if !is_later {
                return match self.origin {
                    Origin::Deleted => Outcome::HiddenByDelete(self.stamp),
                    _ => Outcome::Hidden,
                };
            }
            match write {
                Write::Set(value) => self.replace(replicas, *stamp, Some(value), Origin::Set),
                Write::Delete => self.replace(replicas, *stamp, None, Origin::Deleted),
            }
            return Outcome::Visible;
        };
        if !replicas.is_after(stamp, &self.stamp) {
            return Outcome::Hidden;
        }
        let is_set = matches!(write, Write::Set(_));
        self.below().note(replicas, segment, stamp, is_set);
        let shape = self.shape(replicas);
        // It may have been made something else since.
        if !replicas.is_after(stamp, &shape.since) {
            return Outcome::Hidden;
        }
        match segment {
            Segment::Key(key) => self
                .member(replicas, &shape, key)
                .write(replicas, rest, stamp, write),
            Segment::Index(_) => {
                let elements = self.below().elements.get_or_insert_default();
                elements.insert(replicas, *stamp, path, write);
                Outcome::Visible
            }
        }
    }

    /// Appends the text of what is here, if something is.
    fn write_json(&mut self, replicas: &Replicas, out: &mut Vec<u8>) -> bool {
        self.shed(replicas);
        if self.below.is_some() {
            let shape = self.shape(replicas);
            match self.container(&shape) {
                Some(Kind::Object) => {
                    self.write_members(replicas, &shape, out);
                    return true;
                }
                Some(Kind::Array) => {
                    self.elements(replicas, &shape).write(out);
                    return true;
                }
                Some(Kind::Base) | None => {}
            }
        }
        match &self.base {
            Some(base) => out.extend_from_slice(base.as_bytes()),
            None => return false,
        }
        true
    }

    fn write_members(&mut self, replicas: &Replicas, shape: &Shape, out: &mut Vec<u8>) {
        out.push(b'{');
        let start = out.len();
        self.each_member(replicas, shape, |key, member| {
            let mark = out.len();
            if mark > start {
                out.push(b',');
            }
            append_utf8(out, key.as_bytes());
            out.push(b':');
            if !member.write_json(replicas, out) {
                out.truncate(mark);
            }
            !member.is_nothing()
        });
        out.push(b'}');
    }

    /// What it holds others in, if it does.
    fn container(&self, shape: &Shape) -> Option<Kind> {
        match (shape.kind, self.base.as_ref().map(Json::first)) {
            (Kind::Object, _) | (Kind::Base, Some(b'{')) => Some(Kind::Object),
            (Kind::Array, _) | (Kind::Base, Some(b'[')) => Some(Kind::Array),
            (Kind::Base, _) => None,
        }
    }

    /// Looks at every member: what hides it is put into it first. Those for which the function gives
    /// false go. Without anything written below, there are none.
    fn each_member(
        &mut self,
        replicas: &Replicas,
        shape: &Shape,
        mut look: impl FnMut(&Text, &mut Self) -> bool,
    ) {
        if self.below.is_none() {
            return;
        }
        self.unfold(replicas, shape);
        self.below().members.retain(|key, member| {
            member.refresh(replicas, shape.since, None);
            look(key, member)
        });
    }

    /// Whether it makes no difference.
    fn is_nothing(&self) -> bool {
        self.origin == Origin::Inherited && self.base.is_none() && self.below.is_none()
    }

    fn elements(&mut self, replicas: &Replicas, shape: &Shape) -> &Value {
        let stamp = self.stamp;
        let is_of_now =
            |replayed: &Replayed| replayed.base == stamp && replayed.since == shape.since;
        let known = self.below().elements.get_or_insert_default();
        if !known.replayed.as_ref().is_some_and(is_of_now) {
            let is_visible = |element: &Element| replicas.is_after(&element.stamp, &shape.since);
            known.writes.retain(is_visible);
            let value = match &self.base {
                Some(base) if shape.keeps_base && base.is_array() => base.value(),
                _ => Value::Array(Vec::new()),
            };
            let elements = self.below().elements.get_or_insert_default();
            elements.replayed = Some(Replayed {
                base: stamp,
                since: shape.since,
                count: 0,
                value,
            });
        }
        self.below().elements.get_or_insert_default().go_on()
    }
}

impl Below {
    /// Something was written below, by this segment first.
    fn note(&mut self, replicas: &Replicas, segment: &Segment, stamp: &Stamp, is_set: bool) {
        replicas.raise(&mut self.latest, stamp);
        if is_set {
            let through = match segment {
                Segment::Key(_) => &mut self.through_key,
                Segment::Index(_) => &mut self.through_index,
            };
            replicas.raise(through, stamp);
        }
    }

    /// Whether it says something of the node's own write.
    fn holds_base(&self) -> bool {
        self.is_unfolded || self.folded_from.is_some()
    }
}

impl Elements {
    /// Replays what has come since.
    fn go_on(&mut self) -> &Value {
        const EMPTY: &Value = &Value::Array(Vec::new());
        let Some(replayed) = &mut self.replayed else {
            return EMPTY;
        };
        for element in &self.writes[replayed.count..] {
            shape::apply(&mut replayed.value, &element.path, &element.write);
        }
        replayed.count = self.writes.len();
        &replayed.value
    }

    fn insert(&mut self, replicas: &Replicas, stamp: Stamp, path: &[Segment], write: Write) {
        let element = Element {
            stamp,
            path: path.into(),
            write,
        };
        let at = self
            .writes
            .partition_point(|other| replicas.is_after(&stamp, &other.stamp));
        let at = match plant::active("array_as_it_comes") {
            true => self.writes.len(),
            false => at,
        };
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

/// A document.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Node,
}

impl Tree {
    /// A document that is this before every write.
    pub fn new(initial: Json) -> Self {
        Self {
            root: Node {
                stamp: Stamp::INITIAL,
                base: Some(initial),
                origin: Origin::Inherited,
                below: None,
            },
        }
    }

    /// Takes a write in. Each stamp once.
    pub fn write(
        &mut self,
        replicas: &Replicas,
        path: &[Segment],
        stamp: Stamp,
        write: Write,
    ) -> Outcome {
        self.root.write(replicas, path, &stamp, write)
    }

    /// The time of the latest write that is remembered.
    pub fn latest(&self, replicas: &Replicas) -> Time {
        self.root.latest(replicas).time
    }

    /// Appends the text of the whole document.
    pub fn write_json(&mut self, replicas: &Replicas, out: &mut Vec<u8>) {
        if !self.root.write_json(replicas, out) {
            out.extend_from_slice(b"null");
        }
    }

    /// The whole document.
    pub fn json(&mut self, replicas: &Replicas) -> Json {
        let mut out = Vec::new();
        self.write_json(replicas, &mut out);
        Json::of_checked(&into_text(out))
    }
}
