//! Operations as they travel (json-crdt.md 1), and what is accepted of them (R7).

use std::sync::Arc;

use crate::crdt::path::{self, Path};
use crate::crdt::shape::Write;
use crate::crdt::stamp::Time;
use crate::crdt::value::{Members, Number, Value, into_text};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CRDT_DEPS_MAX, CRDT_OP_BYTES_MAX, CRDT_REPLICA_BYTES_MAX};
use crate::wire::json::{append_number, append_string};

/// Largest number that JavaScript counts exactly: of times, counters and sequence numbers.
pub const COUNT_MAX: u64 = (1 << 53) - 1;

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `set`: puts a value at the path.
    Set(Value),
    /// `tombstone`: takes away what is at the path. This is what replicas emit.
    Tombstone,
    /// `del`: the same, as the originals also accept it.
    Del,
    /// Counts, but changes nothing: a kind of another version, or a path or value beyond the limits,
    /// which are the same on every replica. Refusing it would stop its source.
    Nothing {
        /// Its kind, as it was given.
        kind: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
}

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Names it for people; means nothing.
    pub id: Arc<str>,
    /// What it does.
    pub kind: Kind,
    /// Where.
    pub path: Path,
    /// When.
    pub time: Time,
    /// By which replica.
    pub src: Arc<str>,
    /// The source's vector clock, this operation included, in the order in which it is written.
    pub deps: Vec<(Arc<str>, u64)>,
}

fn refused(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidMessage, text.into())
}

impl Op {
    /// The id that a replica gives to its operation.
    pub fn make_id(src: &str, time: Time, seq: u64) -> String {
        let mut id = String::with_capacity(src.len() + 24);
        id.push_str(src);
        for number in [time.t, time.c, seq] {
            id.push(':');
            push_base36(&mut id, number);
        }
        id
    }

    /// The operation's number among those of its source.
    pub fn seq(&self) -> u64 {
        let own = self.deps.iter().find(|(replica, _)| *replica == self.src);
        own.map_or(0, |(_, seq)| *seq)
    }

    /// What it does to the document, if anything.
    pub fn write(&self) -> Option<Write> {
        match &self.kind {
            Kind::Set(value) => Some(Write::Set(value.clone())),
            Kind::Tombstone | Kind::Del => Some(Write::Delete),
            Kind::Nothing { .. } => None,
        }
    }

    /// The text that travels: JSON without spaces, members in the order of the originals.
    pub fn encode(&self) -> String {
        let mut out = Vec::with_capacity(192);
        out.extend_from_slice(b"{\"id\":");
        append_string(&mut out, &self.id);
        out.extend_from_slice(b",\"kind\":");
        match &self.kind {
            Kind::Set(_) => out.extend_from_slice(b"\"set\""),
            Kind::Tombstone => out.extend_from_slice(b"\"tombstone\""),
            Kind::Del => out.extend_from_slice(b"\"del\""),
            Kind::Nothing { kind, .. } => append_string(&mut out, kind),
        }
        out.extend_from_slice(b",\"path\":");
        path::write(&self.path, &mut out);
        if let Kind::Set(value) = &self.kind {
            out.extend_from_slice(b",\"value\":");
            value.write(&mut out);
        }
        out.extend_from_slice(b",\"hlc\":{\"t\":");
        append_number(&mut out, self.time.t);
        out.extend_from_slice(b",\"c\":");
        append_number(&mut out, self.time.c);
        out.extend_from_slice(b",\"r\":");
        append_string(&mut out, &self.src);
        out.extend_from_slice(b"},\"deps\":{");
        for (at, (replica, seq)) in self.deps.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            append_string(&mut out, replica);
            out.push(b':');
            append_number(&mut out, *seq);
        }
        out.extend_from_slice(b"},\"src\":");
        append_string(&mut out, &self.src);
        out.push(b'}');
        into_text(out)
    }

    /// Reads an operation.
    ///
    /// Errors: `invalid_json`; `invalid_message`, which names the member, for what can't be counted:
    /// without it being known which operation of whom this is. What is only beyond a limit becomes
    /// [`Kind::Nothing`].
    pub fn decode(text: impl AsRef<[u8]>) -> Result<Self> {
        let text = text.as_ref();
        if text.len() > CRDT_OP_BYTES_MAX {
            return Err(refused(format!(
                "the operation is {} bytes long, at most {CRDT_OP_BYTES_MAX} are allowed",
                text.len()
            )));
        }
        Self::from_value(Value::parse(text)?)
    }

    /// Like [`Op::decode`] for what was parsed already.
    pub fn from_value(value: Value) -> Result<Self> {
        let Value::Object(mut members) = value else {
            return Err(refused("an operation must be an object"));
        };
        let id = text(&mut members, "id")?;
        let kind = text(&mut members, "kind")?;
        let src = text(&mut members, "src")?;
        if src.is_empty() || src.len() > CRDT_REPLICA_BYTES_MAX {
            return Err(refused(format!(
                "src must be 1 to {CRDT_REPLICA_BYTES_MAX} bytes long"
            )));
        }
        let time = time(&mut members, &src)?;
        let deps = deps(&mut members, &src)?;
        let found = members.remove("path").map(|path| path::from_value(&path));
        let nothing = |reason: String| Kind::Nothing {
            kind: kind.clone(),
            reason: reason.into(),
        };
        let (path, kind) = match found {
            None => return Err(refused("path is missing")),
            Some(Err(error)) => (Path::new(), nothing(error.message().to_owned())),
            Some(Ok(path)) => {
                let kind = match &*kind {
                    "set" => match members.remove("value") {
                        Some(value) => Kind::Set(value),
                        None => nothing("a set without a value".into()),
                    },
                    "tombstone" => Kind::Tombstone,
                    "del" => Kind::Del,
                    other => nothing(format!("{other:?} is no kind of operation")),
                };
                (path, kind)
            }
        };
        Ok(Self {
            id,
            kind,
            path,
            time,
            src,
            deps,
        })
    }
}

fn text(members: &mut Members, name: &str) -> Result<Arc<str>> {
    match members.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(refused(format!("{name} must be a string, not {other}"))),
        None => Err(refused(format!("{name} is missing"))),
    }
}

fn count(value: Option<&Value>, name: &str, least: u64) -> Result<u64> {
    let count = match value {
        Some(Value::Number(Number::Int(count))) => u64::try_from(*count).ok(),
        // Some languages write whole numbers with a fraction of zero.
        Some(Value::Number(Number::Float(count))) if count.fract() == 0.0 && *count >= 0.0 => {
            Some(*count as u64)
        }
        _ => None,
    };
    count
        .filter(|count| (least..=COUNT_MAX).contains(count))
        .ok_or_else(|| {
            refused(format!(
                "{name} must be a whole number from {least} to {COUNT_MAX}"
            ))
        })
}

fn time(members: &mut Members, src: &str) -> Result<Time> {
    let Some(Value::Object(hlc)) = members.remove("hlc") else {
        return Err(refused("hlc must be an object"));
    };
    if !matches!(hlc.get("r"), Some(Value::String(replica)) if **replica == *src) {
        return Err(refused("hlc.r must be src"));
    }
    Ok(Time {
        t: count(hlc.get("t"), "hlc.t", 0)?,
        c: count(hlc.get("c"), "hlc.c", 0)?,
    })
}

fn deps(members: &mut Members, src: &str) -> Result<Vec<(Arc<str>, u64)>> {
    let Some(Value::Object(deps)) = members.remove("deps") else {
        return Err(refused("deps must be an object"));
    };
    if deps.len() > CRDT_DEPS_MAX {
        return Err(refused(format!(
            "deps has {} members, at most {CRDT_DEPS_MAX} are allowed",
            deps.len()
        )));
    }
    count(deps.get(src), "deps[src]", 1)?;
    deps.into_iter()
        .map(|(replica, seq)| {
            if replica.is_empty() || replica.len() > CRDT_REPLICA_BYTES_MAX {
                return Err(refused(format!(
                    "a replica's name in deps must be 1 to {CRDT_REPLICA_BYTES_MAX} bytes long"
                )));
            }
            let seq = count(Some(&seq), "a count in deps", 0)?;
            Ok((replica, seq))
        })
        .collect()
}

fn push_base36(out: &mut String, mut number: u64) {
    let mut digits = [0u8; 13];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize];
        number /= 36;
        if number == 0 {
            break;
        }
    }
    for &digit in &digits[at..] {
        out.push(char::from(digit));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    const SET: &str = r#"{"id":"B:mworp9h8:1:1","kind":"set","path":["x"],"value":1,"hlc":{"t":1795166361404,"c":1,"r":"B"},"deps":{"B":1},"src":"B"}"#;
    const TOMBSTONE: &str = r#"{"id":"B:mworp9h9:0:4","kind":"tombstone","path":["x"],"hlc":{"t":1795166361405,"c":0,"r":"B"},"deps":{"B":4},"src":"B"}"#;

    #[test]
    fn the_originals_operations_are_read_and_written() {
        for text in [SET, TOMBSTONE] {
            let op = Op::decode(text).unwrap();
            assert_eq!(op.encode(), text);
            assert_eq!(Op::make_id(&op.src, op.time, op.seq()), *op.id);
        }
    }

    #[test]
    fn what_cannot_be_counted_is_refused_by_name() {
        for (from, to, text) in [
            (r#""id":"B:mworp9h8:1:1","#, "", "id is missing"),
            (
                r#""id":"B:mworp9h8:1:1""#,
                r#""id":7"#,
                "id must be a string, not 7",
            ),
            (
                r#""t":1795166361404"#,
                r#""t":"soon""#,
                "hlc.t must be a whole number",
            ),
            (r#""t":1795166361404"#, r#""t":-1"#, "hlc.t must be"),
            (r#""c":1"#, r#""c":0.5"#, "hlc.c must be"),
            (r#""c":1"#, r#""c":9007199254740992"#, "hlc.c must be"),
            (r#""r":"B""#, r#""r":"C""#, "hlc.r must be src"),
            (r#"{"B":1}"#, r#"{"C":1}"#, "deps[src] must be"),
            (r#"{"B":1}"#, r#"{"B":0}"#, "deps[src] must be"),
            (r#"{"B":1}"#, r#"{"B":1,"C":-1}"#, "a count in deps must be"),
            (r#""path":["x"],"#, "", "path is missing"),
            (r#""src":"B""#, r#""src":"""#, "src must be 1 to"),
        ] {
            let wrong = SET.replace(from, to);
            let error = Op::decode(&wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidMessage, "{wrong}");
            assert!(error.message().starts_with(text), "{wrong}: {error}");
        }
        assert_eq!(Op::decode("[").unwrap_err().kind(), ErrorKind::InvalidJson);
        assert!(Op::decode("[]").is_err());
    }

    #[test]
    fn what_is_beyond_a_limit_counts_and_does_nothing() {
        let long = format!("[{}1]", "1,".repeat(100));
        for (from, to) in [
            (r#"["x"]"#, r#"[1000000000]"#),
            (r#"["x"]"#, r#"[-1]"#),
            (r#"["x"]"#, r#"[0.5]"#),
            (r#"["x"]"#, r#"[null]"#),
            (r#"["x"]"#, r#""x""#),
            (r#"["x"]"#, &long),
            (r#""kind":"set""#, r#""kind":"merge""#),
            (r#""value":1,"#, ""),
        ] {
            let op = Op::decode(SET.replace(from, to)).unwrap();
            assert!(matches!(op.kind, Kind::Nothing { .. }), "{to}");
            assert_eq!((op.seq(), op.write()), (1, None));
        }
    }
}
