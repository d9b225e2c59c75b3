//! JSON text that is kept as text.

use std::fmt;

use crate::crdt::scan::{self, Fields};
use crate::crdt::text::Text;
use crate::crdt::value::{Number, Value};
use crate::error::Result;
use crate::wire::json::validate;

/// JSON text of one value: checked, and kept as it is until somebody looks into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(Text);

impl Json {
    /// Reads JSON text.
    ///
    /// What JavaScript can't hold is replaced at once, so that every language reads the same: lone
    /// surrogates by U+FFFD, numbers with an exponent beyond a double by `null`.
    ///
    /// Errors: as [`Value::parse`].
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self> {
        let text = validate(text.as_ref())?;
        Ok(Self::of_validated(
            text.trim_matches([' ', '\n', '\r', '\t']),
        ))
    }

    /// Text that was validated.
    pub(super) fn of_validated(text: &str) -> Self {
        match is_plain(text.as_bytes()) {
            true => Self(Text::from(text)),
            false => Self::from(&scan::value(text)),
        }
    }

    /// Text that is known to be the JSON of one value, without surrounding space.
    pub(super) fn of_checked(text: &str) -> Self {
        Self(Text::from(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The value.
    pub fn value(&self) -> Value {
        scan::value(&self.0)
    }

    /// The first byte tells what it is.
    pub(super) fn first(&self) -> u8 {
        self.0.as_bytes().first().copied().unwrap_or(0)
    }

    pub(super) fn is_object(&self) -> bool {
        self.first() == b'{'
    }

    pub(super) fn is_array(&self) -> bool {
        self.first() == b'['
    }

    /// The members of an object, as they come; the same name can come again, and then the last one
    /// counts.
    pub(super) fn members(&self) -> impl Iterator<Item = (Text, Self)> + '_ {
        let fields = Fields::new(&self.0);
        fields.map(|(name, value)| (Text::from(name), Self::of_checked(value)))
    }

    /// How deep it is nested: 0 for what holds nothing.
    pub(super) fn depth(&self) -> usize {
        match self.first() {
            b'{' | b'[' => scan::depth(&self.0),
            _ => 0,
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T: Into<Value>> From<T> for Json {
    fn from(value: T) -> Self {
        Self::from(&value.into())
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        match value {
            Value::Number(Number::Int(number)) => {
                Self::of_checked(itoa::Buffer::new().format(*number))
            }
            _ => Self(value.to_json().into()),
        }
    }
}

/// Whether nothing in it is to be replaced, as far as that is seen at a glance.
fn is_plain(text: &[u8]) -> bool {
    let mut previous = 0u8;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'u' if previous == b'\\' => return false,
            // An exponent, or text that looks like one.
            b'e' | b'E' if previous.is_ascii_digit() => {
                if matches!(text.get(at + 1), Some(b'0'..=b'9' | b'+' | b'-')) {
                    return false;
                }
            }
            _ => {}
        }
        previous = byte;
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn text_stays_as_it_is_unless_a_language_could_not_read_it() {
        for (text, expected) in [
            (" {\"b\" : 1.50 } ", "{\"b\" : 1.50 }"),
            ("[1e2,\"3e4\"]", "[100.0,\"3e4\"]"),
            ("1e999", "null"),
            (r#""\ud800""#, "\"\u{fffd}\""),
            (r#""\\u0041""#, r#""\\u0041""#),
        ] {
            assert_eq!(Json::parse(text).unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn an_object_is_taken_apart() {
        let text = r#"{ "a" : { "x" : [1,"}"] } ,"b":"q\"]","c":-1.5 , "":[],"a":null}"#;
        let json = Json::parse(text).unwrap();
        let members: Vec<String> = json
            .members()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            members,
            [
                r#"a={ "x" : [1,"}"] }"#,
                r#"b="q\"]""#,
                "c=-1.5",
                "=[]",
                "a=null"
            ]
        );
        assert_eq!(Json::parse("{}").unwrap().members().count(), 0);
    }
}
