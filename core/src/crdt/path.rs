//! Where in a document something is: names of members and indices of arrays.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::crdt::value::{Number, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CRDT_INDEX_MAX, CRDT_KEY_BYTES_MAX, CRDT_PATH_SEGMENTS_MAX};
use crate::wire::json::append_string;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// A member of an object.
    Key(Arc<str>),
    /// An element of an array.
    Index(u32),
}

/// A path; the empty one is the whole document.
pub type Path = Vec<Segment>;

impl From<&str> for Segment {
    fn from(key: &str) -> Self {
        Self::Key(Arc::from(key))
    }
}

impl From<u32> for Segment {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

/// A path from its JSON form, an array of strings and whole numbers.
///
/// Error: `invalid_argument`, which names the segment; also beyond
/// [`CRDT_PATH_SEGMENTS_MAX`], [`CRDT_KEY_BYTES_MAX`] and [`CRDT_INDEX_MAX`].
pub fn from_value(value: &Value) -> Result<Path> {
    let wrong = |text: String| Err(Error::new(ErrorKind::InvalidArgument, text));
    let Value::Array(items) = value else {
        return wrong("a path must be an array of strings and indices".into());
    };
    if items.len() > CRDT_PATH_SEGMENTS_MAX {
        return wrong(format!(
            "the path has {} segments, at most {CRDT_PATH_SEGMENTS_MAX} are allowed",
            items.len()
        ));
    }
    let mut path = Path::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        path.push(match item {
            Value::String(key) if key.len() <= CRDT_KEY_BYTES_MAX => Segment::Key(key.clone()),
            Value::String(key) => {
                return wrong(format!(
                    "segment {at} of the path is {} bytes long, at most {CRDT_KEY_BYTES_MAX} are allowed",
                    key.len()
                ));
            }
            Value::Number(number) => match index(number) {
                Some(index) => Segment::Index(index),
                None => {
                    return wrong(format!(
                        "segment {at} of the path is {item}, but an index must be a whole number from 0 to {CRDT_INDEX_MAX}"
                    ));
                }
            },
            _ => {
                return wrong(format!(
                    "segment {at} of the path is {item}, but must be a string or an index"
                ));
            }
        });
    }
    Ok(path)
}

fn index(number: &Number) -> Option<u32> {
    let index = match *number {
        Number::Int(index) => u32::try_from(index).ok()?,
        Number::Float(index)
            if index.fract() == 0.0 && index >= 0.0 && index <= f64::from(u32::MAX) =>
        {
            index as u32
        }
        _ => return None,
    };
    (index <= CRDT_INDEX_MAX).then_some(index)
}

/// Appends the JSON form.
pub fn write(path: &[Segment], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, segment) in path.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match segment {
            Segment::Key(key) => append_string(out, key),
            Segment::Index(index) => out.extend_from_slice(index.to_string().as_bytes()),
        }
    }
    out.push(b']');
}

/// The originals' key of a path, `.a.b#0` (json-crdt.md 5). Different paths can have the same.
pub fn key(path: &[Segment]) -> String {
    let mut out = String::new();
    for segment in path {
        // Writing to a String does not fail.
        let _ = match segment {
            Segment::Key(key) => write!(out, ".{key}"),
            Segment::Index(index) => write!(out, "#{index}"),
        };
    }
    out
}
