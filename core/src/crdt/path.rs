//! Where in a document something is: names of members and indices of arrays.

use std::fmt::Write as _;

use crate::crdt::json::Json;
use crate::crdt::scan::{Items, string};
use crate::crdt::text::Text;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CRDT_DEPTH_MAX, CRDT_INDEX_MAX, CRDT_KEY_BYTES_MAX};
use crate::wire::json::{append_number, append_utf8, validate};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// A member of an object.
    Key(Text),
    /// An element of an array.
    Index(u32),
}

/// A path; the empty one is the whole document.
pub type Path = Vec<Segment>;

impl From<&str> for Segment {
    fn from(key: &str) -> Self {
        Self::Key(Text::from(key))
    }
}

impl From<u32> for Segment {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

/// Whether a path, and a value there, are within the limits, which are the same everywhere.
///
/// Error: `invalid_argument`, which names the limit.
pub fn check(path: &[Segment], value: Option<&Json>) -> Result<()> {
    for (at, segment) in path.iter().enumerate() {
        check_segment(at, segment)?;
    }
    check_depth(path.len() + value.map_or(0, Json::depth))
}

fn wrong<T>(text: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

fn check_depth(depth: usize) -> Result<()> {
    match depth <= CRDT_DEPTH_MAX {
        true => Ok(()),
        false => wrong(format!(
            "the value would be {depth} levels deep in the document, at most {CRDT_DEPTH_MAX} are allowed"
        )),
    }
}

fn check_segment(at: usize, segment: &Segment) -> Result<()> {
    match segment {
        Segment::Key(key) if key.len() > CRDT_KEY_BYTES_MAX => wrong(format!(
            "segment {at} of the path is {} bytes long, at most {CRDT_KEY_BYTES_MAX} are allowed",
            key.len()
        )),
        Segment::Index(index) if *index > CRDT_INDEX_MAX => wrong(format!(
            "segment {at} of the path is {index}, but an index must be a whole number from 0 to {CRDT_INDEX_MAX}"
        )),
        _ => Ok(()),
    }
}

/// A path from its JSON form, an array of strings and whole numbers.
///
/// Errors: `invalid_json`; `invalid_argument`, which names the segment.
pub fn parse(text: &str) -> Result<Path> {
    from_checked(validate(text.as_bytes())?)
}

/// Like [`parse`] for JSON that was checked.
pub(super) fn from_checked(json: &str) -> Result<Path> {
    if !json.trim_start().starts_with('[') {
        return wrong("a path must be an array of strings and indices".into());
    }
    let mut path = Path::new();
    for (at, item) in Items::new(json).enumerate() {
        if at >= CRDT_DEPTH_MAX {
            return wrong(format!("a path has at most {CRDT_DEPTH_MAX} segments"));
        }
        let segment = match string(item) {
            Some(key) => Segment::Key(Text::from(key)),
            None if item.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
                match index(item) {
                    Some(index) => Segment::Index(index),
                    None => {
                        return wrong(format!(
                            "segment {at} of the path is {item}, but an index must be a whole number from 0 to {CRDT_INDEX_MAX}"
                        ));
                    }
                }
            }
            None => {
                return wrong(format!(
                    "segment {at} of the path is {item}, but must be a string or an index"
                ));
            }
        };
        check_segment(at, &segment)?;
        path.push(segment);
    }
    Ok(path)
}

fn index(text: &str) -> Option<u32> {
    if let Ok(index) = text.parse() {
        return Some(index);
    }
    // Some languages write whole numbers with a fraction of zero.
    let index: f64 = text.parse().ok()?;
    let is_index = index.fract() == 0.0 && index >= 0.0 && index <= f64::from(u32::MAX);
    is_index.then_some(index as u32)
}

/// A path from text, the same in every language: a JSON array of keys and indices if it begins with `[`;
/// a JSON pointer if it is empty or begins with `/`; otherwise one key, which must not look like a path of
/// another kind.
///
/// Errors: as [`parse`] and [`from_pointer`]; `invalid_argument` for text such as `todo.milk`.
pub fn from_text(text: &str, is_array: impl FnMut(&[Segment]) -> bool) -> Result<Path> {
    if text.starts_with('[') {
        return parse(text);
    }
    if text.is_empty() || text.starts_with('/') {
        return from_pointer(text, is_array);
    }
    if text.contains(['.', '/', '[']) {
        let parts = text
            .split(['.', '/', '['])
            .map(|part| part.trim_end_matches(']'));
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        return wrong(format!(
            "{text:?} is no path: it is \"/{}\" as a JSON pointer, or else [{text:?}] for one key of that name",
            parts.join("/")
        ));
    }
    let path = vec![Segment::from(text)];
    check_segment(0, &path[0])?;
    Ok(path)
}

/// A JSON pointer (RFC 6901), `/a/b/0`, in a document: a number is an index where there is an array,
/// or nothing yet, and otherwise a key. That is for `is_array` to tell, which is given the path so far.
///
/// Error: `invalid_argument` for text that is no pointer.
pub fn from_pointer(text: &str, mut is_array: impl FnMut(&[Segment]) -> bool) -> Result<Path> {
    let mut path = Path::new();
    if text.is_empty() {
        return Ok(path);
    }
    let Some(text) = text.strip_prefix('/') else {
        return wrong(format!(
            "{text:?} is no JSON pointer: it must be empty or start with /"
        ));
    };
    for part in text.split('/') {
        let mut rest = part;
        let mut key = String::with_capacity(part.len());
        while let Some((before, after)) = rest.split_once('~') {
            key.push_str(before);
            let (plain, left) = match (after.strip_prefix('0'), after.strip_prefix('1')) {
                (Some(left), _) => ('~', left),
                (_, Some(left)) => ('/', left),
                _ => {
                    return wrong(format!(
                        "{part:?} is no part of a JSON pointer: ~ must be ~0, and / must be ~1"
                    ));
                }
            };
            key.push(plain);
            rest = left;
        }
        key.push_str(rest);
        let is_number = key == "0" || !key.starts_with('0');
        let index = key
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| key.parse().ok());
        let segment = match index.flatten() {
            Some(index) if is_number && is_array(&path) => Segment::Index(index),
            _ => Segment::Key(Text::from(key)),
        };
        check_segment(path.len(), &segment)?;
        path.push(segment);
    }
    check_depth(path.len())?;
    Ok(path)
}

/// Appends the JSON form.
pub fn write(path: &[Segment], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, segment) in path.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match segment {
            Segment::Key(key) => append_utf8(out, key.as_bytes()),
            Segment::Index(index) => append_number(out, u64::from(*index)),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn paths_are_arrays_of_keys_and_indices() {
        let path = parse(r#"["a\n", 0, 7.0, "", "1"]"#).unwrap();
        let expected: Path = vec!["a\n".into(), 0.into(), 7.into(), "".into(), "1".into()];
        assert_eq!(path, expected);
        assert_eq!(parse(" []").unwrap(), []);
        for (text, message) in [
            ("\"a\"", "a path must be an array"),
            ("{}", "a path must be an array"),
            ("[-1]", "segment 0 of the path is -1, but an index must be"),
            (
                "[\"a\",0.5]",
                "segment 1 of the path is 0.5, but an index must be",
            ),
            (
                "[65536]",
                "segment 0 of the path is 65536, but an index must be",
            ),
            ("[null]", "segment 0 of the path is null, but must be"),
            ("[[1]]", "segment 0 of the path is [1], but must be"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().starts_with(message), "{text}: {error}");
        }
        assert!(parse(&format!("[{}1]", "1,".repeat(CRDT_DEPTH_MAX))).is_err());
        assert!(parse(&format!("[\"{}\"]", "k".repeat(CRDT_KEY_BYTES_MAX + 1))).is_err());
        assert!(parse("[").is_err());
    }

    #[test]
    fn text_is_one_key_unless_it_looks_like_more() {
        let text = |text: &str| from_text(text, |_| false);
        assert_eq!(text("milk").unwrap(), ["milk".into()]);
        assert_eq!(text("Ä b~#*").unwrap(), ["Ä b~#*".into()]);
        assert_eq!(text("").unwrap(), []);
        assert_eq!(text("/todo/milk").unwrap(), ["todo".into(), "milk".into()]);
        assert_eq!(text(r#"["todo.milk"]"#).unwrap(), ["todo.milk".into()]);
        for (wrong, pointer) in [
            ("todo.milk", "/todo/milk"),
            ("todo/milk", "/todo/milk"),
            ("list[0].x", "/list/0/x"),
            (".", "/"),
        ] {
            let error = text(wrong).unwrap_err();
            let expected = format!("{wrong:?} is no path: it is {pointer:?} as a JSON pointer");
            assert!(error.message().starts_with(&expected), "{error}");
        }
        assert!(text(&"k".repeat(CRDT_KEY_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn pointers_are_read_as_rfc_6901_says() {
        let pointer = |text: &str| from_pointer(text, |path| path.len() == 1);
        assert_eq!(pointer("").unwrap(), []);
        assert_eq!(pointer("/").unwrap(), ["".into()]);
        let expected: Path = vec!["a/b".into(), 0.into(), "m~n".into(), "0".into()];
        assert_eq!(pointer("/a~1b/0/m~0n/0").unwrap(), expected);
        assert_eq!(pointer("/a/01").unwrap(), ["a".into(), "01".into()]);
        assert!(pointer("a").is_err());
        assert!(pointer("/a~2").is_err());
        assert!(pointer("/a/65536").is_err());
    }
}
