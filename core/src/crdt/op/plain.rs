//! The quick way to read an operation: as replicas write it, with nothing that needs a second look.
//! Whatever is a little different is left to the thorough one, which also says what is wrong.

use std::sync::Arc;

use super::{COUNT_MAX, HORIZON, Kind, Op, is_made_id};
use crate::crdt::json::Json;
use crate::crdt::path::Segment;
use crate::crdt::stamp::Time;
use crate::limits::{CRDT_DEPS_MAX, CRDT_INDEX_MAX, CRDT_REPLICA_BYTES_MAX};
use crate::wire::json::{first_special, validate_first};

/// Most paths have no more.
const SEGMENTS: usize = 8;

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    // Inline, so that the text is a constant to compare with, not a call.
    #[inline(always)]
    fn take(&mut self, expected: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(expected.as_bytes())
            .then(|| self.at += expected.len())
    }

    /// A string without escapes, its quotes included.
    fn string(&mut self) -> Option<&'a str> {
        self.take("\"")?;
        let start = self.at;
        let rest = self.text.as_bytes().get(start..)?;
        let length = first_special(rest)?;
        self.at += length;
        self.take("\"")?;
        self.text.get(start..start + length)
    }

    /// A number without sign, fraction, exponent, or zeros before it.
    fn number(&mut self) -> Option<u64> {
        let (start, mut number) = (self.at, 0u64);
        while self.byte().is_ascii_digit() && self.at < start + 17 {
            number = number * 10 + u64::from(self.byte() - b'0');
            self.at += 1;
        }
        let digits = self.at - start;
        let is_plain = digits == 1 || (digits > 1 && !self.text[start..].starts_with('0'));
        (is_plain
            && number <= COUNT_MAX
            && !matches!(self.byte(), b'0'..=b'9' | b'.' | b'e' | b'E'))
        .then_some(number)
    }

    fn path(&mut self) -> Option<Arc<[Segment]>> {
        self.take("[")?;
        let mut path = [Step::Index(0); SEGMENTS];
        let mut count = 0;
        while self.byte() != b']' {
            if count > 0 {
                self.take(",")?;
            }
            let step = match self.byte() {
                b'"' => Step::Key(self.string()?),
                _ => {
                    let index = u32::try_from(self.number()?).ok();
                    Step::Index(index.filter(|index| *index <= CRDT_INDEX_MAX)?)
                }
            };
            *path.get_mut(count)? = step;
            count += 1;
        }
        self.take("]")?;
        let path = path.get(..count)?.iter();
        Some(path.map(|step| step.segment()).collect())
    }

    /// The dependencies, and which of them is the source's own.
    fn deps(&mut self, src: &str) -> Option<(Vec<(&'a str, u64)>, usize)> {
        self.take("{")?;
        let (mut deps, mut own) = (Vec::with_capacity(4), None);
        while self.byte() != b'}' {
            if !deps.is_empty() {
                self.take(",")?;
            }
            let replica = self.string()?;
            self.take(":")?;
            let count = self.number()?;
            if replica == src && (own.replace(deps.len()).is_some() || count == 0) {
                return None;
            }
            deps.push((replica, count));
            if replica.is_empty()
                || replica.len() > CRDT_REPLICA_BYTES_MAX
                || deps.len() > CRDT_DEPS_MAX
            {
                return None;
            }
        }
        self.take("}")?;
        Some((deps, own?))
    }
}

/// A segment that is still in the text.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(u32),
}

impl Step<'_> {
    fn segment(self) -> Segment {
        match self {
            Self::Key(key) => Segment::Key(key.into()),
            Self::Index(index) => Segment::Index(index),
        }
    }
}

/// An operation as replicas write it; `None` for any other text.
pub(super) fn decode(text: &str) -> Option<Op> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.take("{\"id\":")?;
    let id = cursor.string()?;
    cursor.take(",\"kind\":\"")?;
    let is_set = cursor.take("set\"").is_some();
    if !is_set {
        cursor.take("tombstone\"")?;
    }
    cursor.take(",\"path\":")?;
    let path = cursor.path()?;
    let kind = if is_set {
        cursor.take(",\"value\":")?;
        let value = text.as_bytes().get(cursor.at..)?;
        let start = cursor.at;
        cursor.at += validate_first(value).ok()?;
        let value = text.get(start..cursor.at)?;
        Kind::Set(Json::of_validated(value.trim_ascii()))
    } else {
        Kind::Tombstone
    };
    cursor.take(",\"hlc\":{\"t\":")?;
    let t = cursor.number()?;
    cursor.take(",\"c\":")?;
    let c = cursor.number()?;
    cursor.take(",\"r\":")?;
    let replica = cursor.string()?;
    cursor.take("},\"deps\":")?;
    let (named, own) = cursor.deps(replica)?;
    cursor.take(",\"src\":")?;
    let src = cursor.string()?;
    cursor.take("}")?;
    if cursor.at != text.len() || replica != src || src == HORIZON {
        return None;
    }
    let src: Arc<str> = Arc::from(src);
    let deps = named.into_iter().enumerate().map(|(at, (name, count))| {
        let is_own = at == own;
        (if is_own { src.clone() } else { Arc::from(name) }, count)
    });
    let mut op = Op {
        own_id: None,
        kind,
        path,
        time: Time { t, c },
        deps: deps.collect(),
        ended: None,
        src,
    };
    if !is_made_id(id, &op) {
        op.own_id = Some(Arc::from(id));
    }
    let op = op.limited();
    (!matches!(op.kind, Kind::Nothing { .. })).then_some(op)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    const SET: &str = r#"{"id":"B:mworp9h8:1:1","kind":"set","path":["x",0,"y"],"value":{"a":[1,"}"]},"hlc":{"t":1795166361404,"c":1,"r":"B"},"deps":{"A":7,"B":1},"src":"B"}"#;

    /// By the thorough way: with a space that changes nothing else.
    fn thorough(text: &str) -> Option<Op> {
        let spaced = format!(" {text}");
        assert!(decode(&spaced).is_none());
        Op::decode(spaced).ok()
    }

    #[test]
    fn both_ways_read_the_same() {
        assert_eq!(decode(SET), thorough(SET));
        let delete = SET
            .replace(r#""set""#, r#""tombstone""#)
            .replace(r#""value":{"a":[1,"}"]},"#, "");
        assert_eq!(decode(&delete), thorough(&delete));
        for (from, to) in [
            (r#""x""#, r#""\u0041""#),
            ("0", "00"),
            (",0,", ",-1,"),
            (",0,", ",1e2,"),
            (",0,", ",70000,"),
            ("1795166361404", "1795166361404.0"),
            ("1795166361404", "9007199254740993"),
            (r#""B":1"#, r#""B":0"#),
            (r#""B":1"#, r#""B":1,"B":1"#),
            (r#""A":7"#, r#""":7"#),
            (r#""r":"B""#, r#""r":"C""#),
            (r#""id":"B:"#, r#""id":"C:"#),
            (r#"{"a":[1,"}"]}"#, "[1"),
            (r#"{"a":[1,"}"]}"#, " 1e5 "),
            (r#""src":"B"}"#, r#""src":"B"} "#),
            (r#""src":"B"}"#, r#""src":"B","more":1}"#),
            (r#"["x",0,"y"]"#, "[1,2,3,4,5,6,7,8,9]"),
            (r#"["x",0,"y"]"#, "[]"),
        ] {
            let text = SET.replacen(from, to, 1);
            assert_ne!(text, SET, "{from}");
            let quick = decode(&text);
            if quick.is_some() {
                assert_eq!(quick, thorough(&text), "{text}");
            } else {
                assert_eq!(Op::decode(&text).ok(), thorough(&text), "{text}");
            }
        }
    }
}
