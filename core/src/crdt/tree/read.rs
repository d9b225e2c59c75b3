//! What is at a path; and what a local write finds there.

use super::{Kind, Node, Origin, Shape, Tree};
use crate::crdt::json::Json;
use crate::crdt::path::Segment;
use crate::crdt::shape;
use crate::crdt::stamp::{Replicas, Stamp, Time};
use crate::crdt::value::{Value, into_text};
use crate::error::{Error, ErrorKind, Result};

/// Where something is.
enum Place<'a> {
    Node(&'a mut Node),
    /// Below an array.
    Element(&'a Value),
}

impl Tree {
    /// What is at a path.
    pub fn get(&mut self, replicas: &Replicas, path: &[Segment]) -> Option<Json> {
        match self.find(replicas, path)? {
            Place::Element(value) => Some(Json::from(value)),
            Place::Node(node) => {
                let mut out = Vec::new();
                let is_there = node.write_json(replicas, &mut out);
                if !is_there {
                    // Of the document itself, null is left.
                    return path.is_empty().then(|| Json::from(Value::Null));
                }
                Some(Json::of_checked(&into_text(out)))
            }
        }
    }

    /// Whether there is an array at a path.
    pub fn is_array(&mut self, replicas: &Replicas, path: &[Segment]) -> bool {
        match self.find(replicas, path) {
            None => false,
            Some(Place::Element(value)) => matches!(value, Value::Array(_)),
            Some(Place::Node(node)) => {
                let shape = node.shape(replicas);
                node.container(&shape) == Some(Kind::Array)
            }
        }
    }

    fn find<'a>(&'a mut self, replicas: &Replicas, path: &[Segment]) -> Option<Place<'a>> {
        let mut node = &mut self.root;
        for (at, segment) in path.iter().enumerate() {
            let shape = node.shape(replicas);
            match (node.container(&shape)?, segment) {
                (Kind::Object, Segment::Key(key)) => node = node.existing(replicas, &shape, key)?,
                (Kind::Array, Segment::Index(_)) => {
                    let value = shape::get(node.elements(replicas, &shape), &path[at..]);
                    return value.map(Place::Element);
                }
                _ => return None,
            }
        }
        Some(Place::Node(node))
    }

    /// What a local write has to know first.
    ///
    /// Errors: `invalid_argument` with one of the four texts of the originals, for a set that their
    /// shape rules do not allow.
    pub fn prepare(
        &mut self,
        replicas: &Replicas,
        path: &[Segment],
        is_set: bool,
    ) -> Result<Prepared> {
        let mut prepared = Prepared::default();
        let mut node = &mut self.root;
        for (at, segment) in path.iter().enumerate() {
            let is_last = at + 1 == path.len();
            let shape = node.shape(replicas);
            prepared.later_than(node.stamp);
            if is_set {
                let found = match node.found(&shape) {
                    // A missing container is made an object, whatever comes next; but the document
                    // itself is never missing.
                    Found::Nothing if at > 0 => Found::Object,
                    found => found,
                };
                check_step(found, segment, is_last)?;
            }
            let Segment::Key(key) = segment else {
                if let Some(below) = &node.below {
                    prepared.later_than(below.latest);
                }
                if is_set {
                    check_steps(Some(node.elements(replicas, &shape)), &path[at..])?;
                }
                return Ok(prepared);
            };
            if let Some(below) = &node.below {
                prepared.later_than(below.through_index);
            }
            let Some(member) = node.existing(replicas, &shape, key) else {
                if is_set {
                    check_steps(None, &path[at + 1..])?;
                }
                return Ok(prepared);
            };
            node = member;
            if node.origin == Origin::Deleted {
                prepared.deleted.push(at + 1);
            }
        }
        prepared.later_than(node.latest(replicas));
        Ok(prepared)
    }
}

impl Node {
    /// What a local write finds here.
    fn found(&self, shape: &Shape) -> Found {
        match self.container(shape) {
            Some(Kind::Object) => Found::Object,
            Some(_) => Found::Array,
            None => self.base.as_ref().into(),
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

impl From<Option<&Json>> for Found {
    fn from(json: Option<&Json>) -> Self {
        match json.map(Json::first) {
            None | Some(b'n') => Self::Nothing,
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(_) => Self::Scalar,
        }
    }
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

/// See [`Tree::prepare`].
#[derive(Debug, Default)]
pub struct Prepared {
    /// A local write must be later than this, so that it is the last word on its path: than the
    /// writes of the path, of its ancestors, and of all below it (R11).
    pub latest: Time,
    /// The beginnings of the path that were deleted, and not set since, by their lengths.
    pub deleted: Vec<usize>,
}

impl Prepared {
    fn later_than(&mut self, stamp: Stamp) {
        self.latest = self.latest.max(stamp.time);
    }
}

fn check_step(found: Found, segment: &Segment, is_last: bool) -> Result<()> {
    let (wanted, text) = match (segment, is_last) {
        (Segment::Key(_), false) => (Found::Object, "Path expects object but found non-object"),
        (Segment::Key(_), true) => (Found::Object, "Cannot set string key on non-object"),
        (Segment::Index(_), false) => (Found::Array, "Path expects array but found non-array"),
        (Segment::Index(_), true) => (Found::Array, "Cannot set numeric index on non-array"),
    };
    match found == wanted {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::InvalidArgument, text)),
    }
}

/// As far as there is a value; below it, objects are made.
fn check_steps(mut value: Option<&Value>, path: &[Segment]) -> Result<()> {
    for (at, segment) in path.iter().enumerate() {
        let found = match Found::from(value) {
            Found::Nothing => Found::Object,
            found => found,
        };
        check_step(found, segment, at + 1 == path.len())?;
        value = value.and_then(|value| shape::get(value, std::slice::from_ref(segment)));
    }
    Ok(())
}
