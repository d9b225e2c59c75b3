//! What a write does to plain JSON (json-crdt.md 4, as amended by R5 of 10).
//!
//! Arrays are rebuilt by these; and replaying all operations by them, in order of their stamps, is
//! what a document is defined to be (R0), so tests replay by them, too.

use crate::crdt::json::Json;
use crate::crdt::path::Segment;
use crate::crdt::value::Value;
use crate::limits::CRDT_PADDING_MAX;

/// What an operation does at its path.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Puts a value there.
    Set(Json),
    /// Takes away what is there.
    Delete,
}

/// Carries out a write on a document.
pub fn apply(document: &mut Value, path: &[Segment], write: &Write) {
    match write {
        Write::Set(value) => {
            if let Some(slot) = slot(document, path, CRDT_PADDING_MAX) {
                *slot = value.value();
            }
        }
        Write::Delete => delete(document, path),
    }
}

/// The place of a path. What is in the way is replaced by the container that the next segment
/// needs, and arrays are padded with so many elements of null; there is no place beyond those.
fn slot<'a>(place: &'a mut Value, path: &[Segment], padding: usize) -> Option<&'a mut Value> {
    let Some((segment, rest)) = path.split_first() else {
        return Some(place);
    };
    match segment {
        Segment::Key(key) => {
            if !matches!(place, Value::Object(_)) {
                *place = Value::object();
            }
            if let Value::Object(members) = place {
                let member = members.entry(key.clone()).or_insert(Value::Null);
                return slot(member, rest, padding);
            }
        }
        Segment::Index(index) => {
            if !matches!(place, Value::Array(_)) {
                *place = Value::Array(Vec::new());
            }
            if let Value::Array(items) = place {
                let index = *index as usize;
                let needed = index.saturating_sub(items.len());
                let left = match crate::plant::active("padding_unbounded") {
                    true => padding,
                    false => padding.checked_sub(needed)?,
                };
                if items.len() <= index {
                    items.resize(index + 1, Value::Null);
                }
                return slot(&mut items[index], rest, left);
            }
        }
    }
    None
}

/// Without the place, nothing happens; an element's successors move down; the document becomes null.
fn delete(document: &mut Value, path: &[Segment]) {
    let Some((last, above)) = path.split_last() else {
        *document = Value::Null;
        return;
    };
    let mut place = document;
    for segment in above {
        let next = match (place, segment) {
            (Value::Object(members), Segment::Key(key)) => members.get_mut(key),
            (Value::Array(items), Segment::Index(index)) => items.get_mut(*index as usize),
            _ => None,
        };
        match next {
            Some(next) => place = next,
            None => return,
        }
    }
    match (place, last) {
        (Value::Object(members), Segment::Key(key)) => {
            members.remove(key);
        }
        (Value::Array(items), Segment::Index(index)) if (*index as usize) < items.len() => {
            items.remove(*index as usize);
        }
        _ => {}
    }
}

/// What is at a path.
pub fn get<'a>(mut place: &'a Value, path: &[Segment]) -> Option<&'a Value> {
    for segment in path {
        place = match (place, segment) {
            (Value::Object(members), Segment::Key(key)) => members.get(key)?,
            (Value::Array(items), Segment::Index(index)) => items.get(*index as usize)?,
            _ => return None,
        };
    }
    Some(place)
}
