//! Local writes: what they must be later than is found on the way to where they are made.

use super::{Kind, Node, Origin, Outcome, Shape, Tree};
use crate::crdt::json::Json;
use crate::crdt::path::Segment;
use crate::crdt::shape::{self, Write};
use crate::crdt::stamp::{Replicas, Stamp, Time};
use crate::crdt::value::Value;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::CRDT_PADDING_MAX;

/// What became of a local write.
#[derive(Debug)]
pub struct Written {
    /// What it changed.
    pub outcome: Outcome,
    /// The beginnings of the path that were deleted, and not set since, by their lengths.
    pub deleted: Vec<usize>,
}

/// A local write that is under way to its place.
struct Local<'a, F> {
    replicas: &'a Replicas,
    path: &'a [Segment],
    write: Write,
    is_set: bool,
    /// The write must be later than this, so that it is the last word on its path: than the writes of
    /// the path, of its ancestors, and of all below it (R11).
    latest: Time,
    deleted: Vec<usize>,
    stamp: F,
    /// What `stamp` has given, and what the write then did.
    made: Stamp,
    outcome: Outcome,
}

impl Tree {
    /// Makes a local write. Its stamp is asked for once it is known what it must be later than; if there
    /// is none, nothing changes.
    ///
    /// Errors: that of the stamp; `invalid_argument` with one of the four texts of the originals, for a
    /// set that their shape rules do not allow.
    pub fn write_local(
        &mut self,
        replicas: &Replicas,
        path: &[Segment],
        write: Write,
        stamp: impl FnMut(Time) -> Result<Stamp>,
    ) -> Result<Written> {
        let mut local = Local {
            replicas,
            path,
            is_set: matches!(write, Write::Set(_)),
            write,
            latest: Time::default(),
            deleted: Vec::new(),
            stamp,
            made: Stamp::INITIAL,
            outcome: Outcome::Hidden,
        };
        self.root.write_local(0, &mut local)?;
        Ok(Written {
            outcome: local.outcome,
            deleted: local.deleted,
        })
    }
}

impl<F: FnMut(Time) -> Result<Stamp>> Local<'_, F> {
    fn later_than(&mut self, stamp: &Stamp) {
        self.latest = self.latest.max(stamp.time);
    }

    /// Makes it, in a node that so much of the path leads to.
    fn make(&mut self, node: &mut Node, at: usize) -> Result<()> {
        self.made = (self.stamp)(self.latest)?;
        let rest = self.path.get(at..).unwrap_or_default();
        let write = std::mem::replace(&mut self.write, Write::Delete);
        self.outcome = node.write(self.replicas, rest, &self.made, write);
        Ok(())
    }
}

impl Node {
    /// Goes down to the place of a local write, and makes it there; the nodes on the way are told of it
    /// on the way back, when nothing can fail any more.
    fn write_local<F: FnMut(Time) -> Result<Stamp>>(
        &mut self,
        at: usize,
        local: &mut Local<'_, F>,
    ) -> Result<()> {
        let (replicas, path) = (local.replicas, local.path);
        let Some(segment) = path.get(at) else {
            local.later_than(&self.latest(replicas));
            return local.make(self, at);
        };
        let shape = self.shape(replicas);
        local.later_than(&self.stamp);
        if local.is_set {
            let found = match self.found(&shape) {
                // A missing container is made an object, whatever comes next; but the document itself
                // is never missing.
                Found::Nothing if at > 0 => Found::Object,
                found => found,
            };
            check_step(found, segment, at + 1 == path.len())?;
        }
        let Segment::Key(key) = segment else {
            if let Some(below) = &self.below {
                local.later_than(&below.latest);
            }
            if local.is_set {
                check_steps(Some(self.elements(replicas, &shape)), &path[at..])?;
            }
            return local.make(self, at);
        };
        if let Some(below) = &self.below {
            local.later_than(&below.through_index);
        }
        let Some(member) = self.existing(replicas, &shape, key) else {
            if local.is_set {
                check_steps(None, &path[at + 1..])?;
            }
            return local.make(self, at);
        };
        if local.is_set && member.origin == Origin::Deleted {
            local.deleted.push(at + 1);
        }
        member.write_local(at + 1, local)?;
        self.below()
            .note(replicas, segment, &local.made, local.is_set);
        Ok(())
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

/// A set beyond the end of an array adds null before what it sets, but not any number of them.
fn check_padding(len: usize, index: u32) -> Result<()> {
    match index as usize <= len + CRDT_PADDING_MAX {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "the index {index} is beyond the end of the array, which has {len} elements; at most {CRDT_PADDING_MAX} elements of null are added before what is set"
            ),
        )),
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
        if let (Some(Value::Array(items)), Segment::Index(index)) = (value, segment) {
            check_padding(items.len(), *index)?;
        }
        value = value.and_then(|value| shape::get(value, std::slice::from_ref(segment)));
    }
    Ok(())
}
