//! What is at a path.

use super::{Kind, Node, Tree};
use crate::crdt::json::Json;
use crate::crdt::path::Segment;
use crate::crdt::shape;
use crate::crdt::stamp::Replicas;
use crate::crdt::value::{Value, into_text};

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
}
