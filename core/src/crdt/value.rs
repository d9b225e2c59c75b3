//! JSON values that keep numbers exactly, and their canonical text.

use std::collections::BTreeMap;
use std::fmt;

use crate::crdt::scan;
use crate::crdt::text::Text;
use crate::error::Result;
use crate::wire::json::{append_number, append_utf8, validate};

/// Members of an object, in the order of their names' UTF-8 bytes.
pub type Members = BTreeMap<Text, Value>;

/// A JSON value.
///
/// Strings hold Unicode text: a lone surrogate, which JSON can escape, is read as U+FFFD.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Text),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Members),
}

/// A number as it was written: integers of any size, otherwise the nearest double.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// An integer of 64 bits.
    Int(i64),
    /// An integer beyond 64 bits, in decimal digits.
    Big(Box<str>),
    /// A number with a fraction or an exponent; finite.
    Float(f64),
}

impl Value {
    /// Reads JSON text.
    ///
    /// Errors: `invalid_json`, also for what is nested deeper than
    /// [`JSON_DEPTH_MAX`](crate::limits::JSON_DEPTH_MAX) and for numbers beyond a double.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self> {
        Ok(scan::value(validate(text.as_ref())?))
    }

    /// An empty object.
    pub fn object() -> Self {
        Self::Object(Members::new())
    }

    /// JSON text without spaces; members in order of their names.
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        into_text(out)
    }

    /// Appends the JSON text.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_with(out, &Number::write);
    }

    /// The canonical text: as [`Value::to_json`], with each number in one way of writing it, so that
    /// `1`, `1.0` and `1e0` are the same.
    pub fn canonical(&self) -> String {
        let mut out = Vec::new();
        self.write_with(&mut out, &Number::write_canonical);
        into_text(out)
    }

    fn write_with(&self, out: &mut Vec<u8>, number: &impl Fn(&Number, &mut Vec<u8>)) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(value) => number(value, out),
            Self::String(text) => append_utf8(out, text.as_bytes()),
            Self::Array(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write_with(out, number);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    append_utf8(out, name.as_bytes());
                    out.push(b':');
                    value.write_with(out, number);
                }
                out.push(b'}');
            }
        }
    }
}

/// JSON text is UTF-8 by how it is made.
pub(super) fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl Number {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(value) => {
                if *value < 0 {
                    out.push(b'-');
                }
                append_number(out, value.unsigned_abs());
            }
            Self::Big(digits) => out.extend_from_slice(digits.as_bytes()),
            // Shortest text that reads as the same double; Rust's Debug always has a point or an
            // exponent, so that it stays a number with a fraction for whoever tells them apart.
            Self::Float(value) => out.extend_from_slice(format!("{value:?}").as_bytes()),
        }
    }

    /// Doubles that are whole and below 2^63 are written like integers.
    fn write_canonical(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9.2e18 => {
                Self::Int(value as i64).write(out);
            }
            _ => self.write(out),
        }
    }
}

macro_rules! from {
    ($($type:ty => $make:expr),+ $(,)?) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                $make(value)
            }
        })+
    };
}

from! {
    bool => Value::Bool,
    i32 => |value| Value::Number(Number::Int(i64::from(value))),
    i64 => |value| Value::Number(Number::Int(value)),
    &str => |value| Value::String(Text::from(value)),
    String => |value| Value::String(Text::from(value)),
    Vec<Value> => Value::Array,
    Members => Value::Object,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    fn round(text: &str) -> String {
        Value::parse(text).unwrap().to_json()
    }

    #[test]
    fn values_come_back_as_they_were() {
        for text in [
            "null",
            "true",
            "false",
            "0",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "123456789012345678901234567890",
            "0.1",
            "1e300",
            r#""""#,
            r#""a\"\\\n ü 😀""#,
            "[]",
            "[1,[2,[]],{}]",
            r#"{"":1,"__proto__":{"x":1},"a":{"b":[null]}}"#,
        ] {
            assert_eq!(round(text), text);
        }
        assert_eq!(
            round(r#" { "b" : 1 , "a" : [ 1 , 2 ] } "#),
            r#"{"a":[1,2],"b":1}"#
        );
        assert_eq!(round(r#"{"a":1,"a":2}"#), r#"{"a":2}"#);
        assert_eq!(
            round(r#""\u0041\ud83d\ude00\ud800\udc""#.replace("\\udc", "").as_str()),
            "\"A😀\u{fffd}\""
        );
        assert_eq!(round("1e999"), "null");
    }

    #[test]
    fn a_number_has_one_canonical_text() {
        let canonical = |text: &str| Value::parse(text).unwrap().canonical();
        for (text, expected) in [
            ("1.0", "1"),
            ("1e2", "100"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("0.5", "0.5"),
            ("1E-7", "1e-7"),
            ("9007199254740993", "9007199254740993"),
            ("1e300", "1e300"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }
}
