//! Operations as they travel (json-crdt.md 1), and what is accepted of them (R7).

mod plain;

use std::borrow::Cow;
use std::sync::Arc;

use crate::crdt::json::Json;
use crate::crdt::path::{self, Segment};
use crate::crdt::scan::{Fields, string};
use crate::crdt::shape::Write;
use crate::crdt::source;
use crate::crdt::stamp::Time;
use crate::crdt::value::into_text;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{
    CRDT_DEPS_MAX, CRDT_ENDED_MAX, CRDT_OP_BYTES_MAX, CRDT_REPLICA_BYTES_MAX, CRDT_TIME_MS_MAX,
};
use crate::wire::json::{append_number, append_string, validate};

/// Largest number that JavaScript counts exactly: of times, counters and sequence numbers.
pub const COUNT_MAX: u64 = (1 << 53) - 1;

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `set`: puts a value at the path.
    Set(Json),
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

/// The member of a clock that is no source: until when lives that have ended are taken in.
pub const HORIZON: &str = "~";

/// What an operation says of lives that have ended: its source, and all members, have taken in all of
/// their operations, and they are not counted any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Unix milliseconds until which all operations are taken in of sources that are not counted.
    pub until_ms: u64,
    /// The sources, and how many operations they had written.
    pub sources: Vec<(Arc<str>, u64)>,
}

impl Ended {
    /// Whether it can be so.
    pub(super) fn is_possible(&self) -> bool {
        let is_life = |(source, count): &(Arc<str>, u64)| {
            *count > 0 && source::birth_ms(source).is_some_and(|birth| birth <= self.until_ms)
        };
        self.until_ms <= CRDT_TIME_MS_MAX
            && self.sources.len() <= CRDT_ENDED_MAX
            && self.sources.iter().all(is_life)
    }
}

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Its id, if it is not the one that replicas make; see [`Op::id`].
    pub own_id: Option<Arc<str>>,
    /// What it does.
    pub kind: Kind,
    /// Where.
    pub path: Arc<[Segment]>,
    /// When.
    pub time: Time,
    /// By which replica.
    pub src: Arc<str>,
    /// The source's clock, this operation included, in the order in which it is written: all of it, or
    /// what is other than at the source's operation before.
    pub deps: Vec<(Arc<str>, u64)>,
    /// Lives that have ended, if it says so. Others pass over it.
    pub ended: Option<Arc<Ended>>,
}

fn refused(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidMessage, text.into())
}

impl Op {
    /// The id that a replica gives to its operation.
    pub fn make_id(src: &str, time: Time, seq: u64) -> String {
        let mut id = Vec::with_capacity(src.len() + 24);
        id.extend_from_slice(src.as_bytes());
        for number in [time.t, time.c, seq] {
            id.push(b':');
            id.extend_from_slice(base36(&mut [0; 14], number));
        }
        into_text(id)
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
        let mut out = Vec::with_capacity(256);
        self.encode_into(&mut out);
        into_text(out)
    }

    /// Appends that text.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        match &self.own_id {
            Some(id) => append_string(out, id),
            None => {
                append_string(out, &self.src);
                out.pop();
                for number in [self.time.t, self.time.c, self.seq()] {
                    out.push(b':');
                    out.extend_from_slice(base36(&mut [0; 14], number));
                }
                out.push(b'"');
            }
        }
        out.extend_from_slice(b",\"kind\":");
        append_string(out, self.kind.name());
        out.extend_from_slice(b",\"path\":");
        path::write(&self.path, out);
        if let Some(value) = self.kind.value() {
            out.extend_from_slice(b",\"value\":");
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b",\"hlc\":{\"t\":");
        append_number(out, self.time.t);
        out.extend_from_slice(b",\"c\":");
        append_number(out, self.time.c);
        out.extend_from_slice(b",\"r\":");
        append_string(out, &self.src);
        out.extend_from_slice(b"},\"deps\":{");
        for (at, (replica, seq)) in self.deps.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            append_string(out, replica);
            out.push(b':');
            append_number(out, *seq);
        }
        out.extend_from_slice(b"},\"src\":");
        append_string(out, &self.src);
        if let Some(ended) = &self.ended {
            out.extend_from_slice(b",\"ended\":{\"until\":");
            append_number(out, ended.until_ms);
            out.extend_from_slice(b",\"of\":{");
            for (at, (source, count)) in ended.sources.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                append_string(out, source);
                out.push(b':');
                append_number(out, *count);
            }
            out.extend_from_slice(b"}}");
        }
        out.push(b'}');
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
        if let Some(op) = std::str::from_utf8(text).ok().and_then(plain::decode) {
            return Ok(op);
        }
        let text = validate(text)?;
        if !text.trim_start().starts_with('{') {
            return Err(refused("an operation must be an object"));
        }
        let mut parts = Parts::default();
        for (name, value) in Fields::new(text) {
            let part = match &*name {
                "id" => &mut parts.id,
                "kind" => &mut parts.kind,
                "path" => &mut parts.path,
                "value" => &mut parts.value,
                "hlc" => &mut parts.hlc,
                "deps" => &mut parts.deps,
                "src" => &mut parts.src,
                "ended" => &mut parts.ended,
                _ => continue,
            };
            *part = Some(value);
        }
        parts.op()
    }

    /// Gives it a kind, or [`Kind::Nothing`] if it is beyond the limits, which are the same on every
    /// replica, whatever its state.
    pub(super) fn limited(mut self) -> Self {
        if let Kind::Nothing { .. } = self.kind {
            return self;
        }
        let checked = match self.time.checked() {
            Some(_) => path::check(&self.path, self.kind.value()),
            None => Err(refused(format!(
                "its stamp is {} ms, at most {CRDT_TIME_MS_MAX} is allowed",
                self.time.t
            ))),
        };
        if let Err(error) = checked {
            let kind = Arc::from(self.kind.name());
            let reason = Arc::from(error.message());
            self.kind = Kind::Nothing { kind, reason };
        }
        self
    }

    /// Bytes of its text at most: names as if every byte were escaped.
    pub(super) fn size(&self) -> usize {
        let keys = self.path.iter().map(|segment| match segment {
            Segment::Key(key) => 6 * key.len() + 3,
            Segment::Index(_) => 11,
        });
        let value = self.kind.value().map_or(0, |value| value.as_bytes().len());
        let deps = self.deps.iter().map(|(name, _)| 6 * name.len() + 20);
        let id = self.own_id.as_deref().unwrap_or_default();
        let ended = self.ended.iter().flat_map(|ended| &ended.sources);
        let ended = ended.map(|(name, _)| 6 * name.len() + 20);
        256 + ended.sum::<usize>()
            + 6 * (3 * self.src.len() + id.len())
            + value
            + keys.sum::<usize>()
            + deps.sum::<usize>()
    }

    /// Error: `too_large` for one that nobody would take.
    pub(super) fn check_size(&self) -> Result<()> {
        if self.size() <= CRDT_OP_BYTES_MAX {
            return Ok(());
        }
        let bytes = self.encode().len();
        if bytes <= CRDT_OP_BYTES_MAX && self.deps.len() <= CRDT_DEPS_MAX {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the operation would be {bytes} bytes long, at most {CRDT_OP_BYTES_MAX} are allowed"
            ),
        ))
    }

    /// Its id.
    pub fn id(&self) -> Arc<str> {
        let made = || Self::make_id(&self.src, self.time, self.seq()).into();
        self.own_id.clone().unwrap_or_else(made)
    }
}

impl Kind {
    /// What it puts at the path, if it does.
    pub(super) fn value(&self) -> Option<&Json> {
        match self {
            Self::Set(value) => Some(value),
            _ => None,
        }
    }

    /// Whether another one does the same: values are compared as what they are, not as text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Set(a), Self::Set(b)) => {
                a == b || a.value().canonical() == b.value().canonical()
            }
            (Self::Tombstone | Self::Del, Self::Tombstone | Self::Del) => true,
            (Self::Nothing { kind, .. }, other) | (other, Self::Nothing { kind, .. }) => {
                **kind == *other.name()
            }
            _ => false,
        }
    }

    /// As it is written.
    pub fn name(&self) -> &str {
        match self {
            Self::Set(_) => "set",
            Self::Tombstone => "tombstone",
            Self::Del => "del",
            Self::Nothing { kind, .. } => kind,
        }
    }
}

/// The text of an operation's members.
#[derive(Default)]
struct Parts<'a> {
    id: Option<&'a str>,
    kind: Option<&'a str>,
    path: Option<&'a str>,
    value: Option<&'a str>,
    hlc: Option<&'a str>,
    deps: Option<&'a str>,
    src: Option<&'a str>,
    ended: Option<&'a str>,
}

impl Parts<'_> {
    fn op(self) -> Result<Op> {
        let id = text(self.id, "id")?;
        let kind = text(self.kind, "kind")?;
        let src = text(self.src, "src")?;
        if src.is_empty() || src.len() > CRDT_REPLICA_BYTES_MAX {
            return Err(refused(format!(
                "src must be 1 to {CRDT_REPLICA_BYTES_MAX} bytes long"
            )));
        }
        if src == HORIZON {
            return Err(refused(format!("{HORIZON:?} is no name of a source")));
        }
        let time = time(self.hlc, &src)?;
        let src: Arc<str> = Arc::from(src);
        let deps = deps(self.deps, &src)?;
        let path = self.path.ok_or_else(|| refused("path is missing"))?;
        let nothing = |reason: &str| Kind::Nothing {
            kind: Arc::from(&*kind),
            reason: Arc::from(reason),
        };
        let (path, kind) = match path::from_checked(path) {
            Err(error) => (Arc::from([]), nothing(error.message())),
            Ok(path) => {
                let kind = match (&*kind, self.value) {
                    ("set", Some(value)) => Kind::Set(Json::of_validated(value)),
                    ("set", None) => nothing("a set without a value"),
                    ("tombstone", _) => Kind::Tombstone,
                    ("del", _) => Kind::Del,
                    (other, _) => nothing(&format!("{other:?} is no kind of operation")),
                };
                (path.into(), kind)
            }
        };
        let mut op = Op {
            own_id: None,
            kind,
            path,
            time,
            src,
            deps,
            ended: ended(self.ended),
        };
        if !is_made_id(&id, &op) {
            op.own_id = Some(Arc::from(id));
        }
        Ok(op.limited())
    }
}

fn text<'a>(json: Option<&'a str>, name: &str) -> Result<Cow<'a, str>> {
    let json = json.ok_or_else(|| refused(format!("{name} is missing")))?;
    string(json).ok_or_else(|| refused(format!("{name} must be a string, not {json}")))
}

fn count(json: Option<&str>, name: &str, least: u64) -> Result<u64> {
    let json = json.unwrap_or_default();
    let count = json.parse().ok().or_else(|| {
        // Some languages write whole numbers with a fraction of zero.
        let count: f64 = json.parse().ok()?;
        (count.fract() == 0.0 && count >= 0.0).then_some(count as u64)
    });
    count
        .filter(|count| (least..=COUNT_MAX).contains(count))
        .ok_or_else(|| {
            refused(format!(
                "{name} must be a whole number from {least} to {COUNT_MAX}"
            ))
        })
}

fn object<'a>(json: Option<&'a str>, name: &str) -> Result<Fields<'a>> {
    match json {
        Some(json) if json.starts_with('{') => Ok(Fields::new(json)),
        _ => Err(refused(format!("{name} must be an object"))),
    }
}

fn time(json: Option<&str>, src: &str) -> Result<Time> {
    let (mut t, mut c, mut r) = (None, None, None);
    for (name, value) in object(json, "hlc")? {
        match &*name {
            "t" => t = Some(value),
            "c" => c = Some(value),
            "r" => r = string(value),
            _ => {}
        }
    }
    if r.as_deref() != Some(src) {
        return Err(refused("hlc.r must be src"));
    }
    Ok(Time {
        t: count(t, "hlc.t", 0)?,
        c: count(c, "hlc.c", 0)?,
    })
}

fn deps(json: Option<&str>, src: &Arc<str>) -> Result<Vec<(Arc<str>, u64)>> {
    let mut deps: Vec<(Arc<str>, u64)> = Vec::new();
    for (replica, value) in object(json, "deps")? {
        if deps.len() == CRDT_DEPS_MAX {
            return Err(refused(format!(
                "deps has more than {CRDT_DEPS_MAX} members"
            )));
        }
        if replica.is_empty() || replica.len() > CRDT_REPLICA_BYTES_MAX {
            return Err(refused(format!(
                "a replica's name in deps must be 1 to {CRDT_REPLICA_BYTES_MAX} bytes long"
            )));
        }
        let is_src = replica == **src;
        let (name, least) = if is_src {
            ("deps[src]", 1)
        } else {
            ("a count in deps", 0)
        };
        let count = count(Some(value), name, least)?;
        let replica = if is_src {
            src.clone()
        } else {
            Arc::from(replica)
        };
        deps.push((replica, count));
    }
    let is_src = |(replica, _): &&(Arc<str>, u64)| replica == src;
    count_src(deps.iter().filter(is_src).count())?;
    Ok(deps)
}

/// What it says of lives that have ended; nothing, if it can't be so.
fn ended(json: Option<&str>) -> Option<Arc<Ended>> {
    let (mut until_ms, mut sources) = (None, Vec::new());
    for (name, value) in object(json, "ended").ok()? {
        match &*name {
            "until" => until_ms = count(Some(value), "ended.until", 1).ok(),
            "of" => {
                for (source, value) in object(Some(value), "ended.of").ok()? {
                    let count = count(Some(value), "a count in ended", 1).ok()?;
                    sources.push((Arc::from(source), count));
                    if sources.len() > CRDT_ENDED_MAX {
                        return None;
                    }
                }
            }
            _ => {}
        }
    }
    let until_ms = until_ms?;
    let ended = Ended { until_ms, sources };
    ended.is_possible().then(|| Arc::new(ended))
}

fn count_src(times: usize) -> Result<()> {
    match times {
        0 => count(None, "deps[src]", 1).map(drop),
        1 => Ok(()),
        _ => Err(refused("deps has src twice")),
    }
}

/// Whether it is the id that replicas make; without making it.
fn is_made_id(id: &str, op: &Op) -> bool {
    let Some(mut rest) = id.as_bytes().strip_prefix(op.src.as_bytes()) else {
        return false;
    };
    for number in [op.time.t, op.time.c, op.seq()] {
        let mut digits = [0; 14];
        let digits = base36(&mut digits, number);
        let after = rest.strip_prefix(b":");
        match after.and_then(|after| after.strip_prefix(digits)) {
            Some(left) => rest = left,
            None => return false,
        }
    }
    rest.is_empty()
}

/// Two digits of base 36 for each number below 36 * 36.
static PAIRS: [[u8; 2]; 36 * 36] = {
    let digits = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut pairs = [[0; 2]; 36 * 36];
    let mut at = 0;
    while at < pairs.len() {
        pairs[at] = [digits[at / 36], digits[at % 36]];
        at += 1;
    }
    pairs
};

/// The digits of a number in base 36, at the end of the buffer.
pub(in crate::crdt) fn base36(digits: &mut [u8; 14], mut number: u64) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(number % 1_296) as usize]);
        number /= 1_296;
        if number == 0 {
            break;
        }
    }
    at += usize::from(digits[at] == b'0');
    &digits[at..]
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
            assert_eq!(op.own_id, None);
            assert!(text.contains(&*op.id()));
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
            (r#"{"B":1}"#, r#"{"B":1,"B":2}"#, "deps has src twice"),
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
            (r#""t":1795166361404"#, r#""t":253402300800000"#),
            (r#""t":1795166361404"#, r#""t":9007199254740991"#),
            (r#""value":1,"#, ""),
            (
                r#""value":1"#,
                &format!("\"value\":{}1{}", "[".repeat(61), "]".repeat(61)),
            ),
        ] {
            let op = Op::decode(SET.replace(from, to)).unwrap();
            assert!(matches!(op.kind, Kind::Nothing { .. }), "{to}");
            assert_eq!((op.seq(), op.write()), (1, None));
        }
    }
}
