//! Patterns of paths.

use std::sync::Arc;

use crate::crdt::path::{self, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::CRDT_DEPTH_MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This key, or this index.
    Is(Arc<str>),
    /// `*`: any one.
    One,
    /// `**`: any number of them, also none.
    Any,
}

/// A pattern of paths, such as `users.*.name`: segments between dots, `*` for any one of them, `**`
/// for any number. A number stands for an index and for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

impl Pattern {
    /// Reads a pattern; the empty one is the whole document.
    ///
    /// Error: `invalid_argument` for more than [`CRDT_DEPTH_MAX`] segments.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        Self::of(text.split('.').map(|part| match part {
            "*" => Part::One,
            "**" => Part::Any,
            key => Part::Is(Arc::from(key)),
        }))
    }

    /// A pattern from JSON: text as above, or an array like a path, in which `*` and `**` mean the
    /// same.
    ///
    /// Errors: as [`Pattern::parse`] and [`path::parse`].
    pub fn from_json(json: &str) -> Result<Self> {
        if let Some(text) = crate::crdt::scan::string(json.trim()) {
            return Self::parse(&text);
        }
        Self::of(path::parse(json)?.into_iter().map(|segment| match segment {
            Segment::Key(key) if *key == *"*" => Part::One,
            Segment::Key(key) if *key == *"**" => Part::Any,
            Segment::Key(key) => Part::Is(Arc::from(&*key)),
            Segment::Index(index) => Part::Is(index.to_string().into()),
        }))
    }

    fn of(parts: impl Iterator<Item = Part>) -> Result<Self> {
        let mut found: Vec<Part> = Vec::new();
        for part in parts {
            // Two are no more than one, and would cost a multiple.
            if part != Part::Any || found.last() != Some(&Part::Any) {
                found.push(part);
            }
        }
        if found.len() > CRDT_DEPTH_MAX {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("a pattern has at most {CRDT_DEPTH_MAX} segments"),
            ));
        }
        Ok(Self(found))
    }

    /// Whether a write at a path may change what the pattern means: what it names, something below
    /// that, or something above it.
    pub fn touches(&self, path: &[Segment]) -> bool {
        // The parts that may come next, as a set of places in the pattern.
        let mut places = vec![false; self.0.len() + 1];
        places[0] = true;
        self.skip_any(&mut places);
        for segment in path {
            if places[self.0.len()] {
                return true;
            }
            let mut next = vec![false; self.0.len() + 1];
            for (at, part) in self.0.iter().enumerate() {
                if !places[at] {
                    continue;
                }
                match part {
                    Part::Any => next[at] = true,
                    Part::One => next[at + 1] = true,
                    Part::Is(key) => next[at + 1] |= is(key, segment),
                }
            }
            self.skip_any(&mut next);
            places = next;
        }
        places.contains(&true)
    }

    fn skip_any(&self, places: &mut [bool]) {
        for (at, part) in self.0.iter().enumerate() {
            if places[at] && *part == Part::Any {
                places[at + 1] = true;
            }
        }
    }
}

fn is(key: &str, segment: &Segment) -> bool {
    match segment {
        Segment::Key(other) => *key == **other,
        Segment::Index(index) => *key == index.to_string(),
    }
}

/// What is watched.
#[derive(Debug, Clone, Default)]
pub(super) struct Watches {
    watches: Vec<(u64, Pattern)>,
    last: u64,
}

impl Watches {
    pub fn add(&mut self, pattern: Pattern) -> u64 {
        self.last += 1;
        self.watches.push((self.last, pattern));
        self.last
    }

    pub fn remove(&mut self, id: u64) -> bool {
        let before = self.watches.len();
        self.watches.retain(|(known, _)| *known != id);
        self.watches.len() != before
    }

    /// All of them.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.watches.iter().map(|(id, _)| *id)
    }

    /// Those that a write at a path touches.
    pub fn touched(&self, path: &[Segment]) -> Vec<u64> {
        let touched = self
            .watches
            .iter()
            .filter(|(_, pattern)| pattern.touches(path));
        touched.map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn a_pattern_is_touched_at_above_and_below_what_it_names() {
        let touches = |pattern: &str, path: &str| {
            let text = Pattern::parse(pattern).unwrap();
            text.touches(&path::parse(path).unwrap())
        };
        for (pattern, path, expected) in [
            ("users.*.name", r#"["users","a","name"]"#, true),
            ("users.*.name", r#"["users","a","age"]"#, false),
            ("users.*.name", r#"["users","a"]"#, true),
            ("users.*.name", r#"["users"]"#, true),
            ("users.*.name", "[]", true),
            ("users.*.name", r#"["users","a","name","first"]"#, true),
            ("users.*.name", r#"["others","a","name"]"#, false),
            ("", r#"["any","thing"]"#, true),
            ("**", r#"["any","thing"]"#, true),
            ("**", "[]", true),
            ("a.**.z", r#"["a","z"]"#, true),
            ("a.**.z", r#"["a","b","c","z"]"#, true),
            ("a.**.z", r#"["a","b"]"#, true),
            ("a.**.z", r#"["b"]"#, false),
            ("items.0.done", r#"["items",0,"done"]"#, true),
            ("items.0.done", r#"["items","0","done"]"#, true),
            ("items.0.done", r#"["items",1,"done"]"#, false),
        ] {
            assert_eq!(touches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_can_be_a_path() {
        assert_eq!(
            Pattern::from_json(r#"["a","*",0,"**"]"#).unwrap(),
            Pattern::parse("a.*.0.**").unwrap()
        );
        assert_eq!(
            Pattern::from_json(r#""a.*""#).unwrap(),
            Pattern::parse("a.*").unwrap()
        );
        assert!(Pattern::from_json("7").is_err());
        assert!(Pattern::parse(&"a.".repeat(100)).is_err());
        assert_eq!(Pattern::parse(&"**.".repeat(100)).unwrap().0.len(), 2);
    }
}
