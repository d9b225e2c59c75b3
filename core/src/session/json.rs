//! JSON as Python's `json.dumps` writes it, and objects of which members are asked for by name.

use std::{fmt, io};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::SESSION_PAYLOAD_BYTES_MAX;
use crate::session::date::LocalTime;
use crate::wire::json::validate;

pub(super) fn refused(text: String) -> Error {
    Error::new(ErrorKind::InvalidMessage, text)
}

/// Reads an object.
///
/// Errors: `too_large`, `invalid_json`, `invalid_message`.
pub(super) fn object(payload: &[u8]) -> Result<Map<String, Value>> {
    if payload.len() > SESSION_PAYLOAD_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the message is {} bytes long, at most {SESSION_PAYLOAD_BYTES_MAX} are allowed",
                payload.len()
            ),
        ));
    }
    let text = validate(payload)?;
    if !text.trim_start().starts_with('{') {
        return Err(refused("the message must be a JSON object".to_owned()));
    }
    match serde_json::from_str(text) {
        Ok(Object(object)) => Ok(object),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// An object in which no name comes twice.
struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Object, A::Error> {
                let mut object = Map::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if object.contains_key(&name) {
                        let name = cut(&name, 64);
                        return Err(A::Error::custom(format!("duplicate member {name:?}")));
                    }
                    object.insert(name, value);
                }
                Ok(Object(object))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The start of a text, of at most so many bytes.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The members of an object. What is null counts as missing.
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub fn new(object: &'a Map<String, Value>) -> Self {
        Self(object)
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub fn optional_text(&self, name: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value.as_str();
        text.map(Some)
            .ok_or_else(|| refused(format!("{name} must be a string")))
    }

    pub fn text(&self, name: &str) -> Result<&'a str> {
        let text = self.optional_text(name)?;
        text.ok_or_else(|| refused(format!("{name} is missing")))
    }

    pub fn text_or(&self, name: &str, other: &'a str) -> Result<&'a str> {
        Ok(self.optional_text(name)?.unwrap_or(other))
    }

    pub fn count_or(&self, name: &str, other: u64) -> Result<u64> {
        const COUNT_MAX: u64 = (1 << 53) - 1;
        let Some(value) = self.get(name) else {
            return Ok(other);
        };
        let count = value.as_u64().filter(|count| *count <= COUNT_MAX);
        count.ok_or_else(|| {
            refused(format!(
                "{name} must be a whole number from 0 to {COUNT_MAX}"
            ))
        })
    }

    pub fn small_or(&self, name: &str, other: u32) -> Result<u32> {
        let count = self.count_or(name, other.into())?;
        let is_too_large = |_| refused(format!("{name} must be at most {}", u32::MAX));
        u32::try_from(count).map_err(is_too_large)
    }

    pub fn flag_or(&self, name: &str, other: bool) -> Result<bool> {
        let Some(value) = self.get(name) else {
            return Ok(other);
        };
        let flag = value.as_bool();
        flag.ok_or_else(|| refused(format!("{name} must be true or false")))
    }

    /// A date, if there is one and it can be read.
    pub fn date(&self, name: &str, offset_s: i32) -> Option<LocalTime> {
        LocalTime::parse(self.get(name)?.as_str()?, offset_s)
    }
}

/// Writes an object, member by member.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub fn new() -> Self {
        Self(b"{".to_vec())
    }

    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.member(name);
        self.value(value);
        self
    }

    pub fn optional_text(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        self.member(name);
        self.value(&value);
        self
    }

    pub fn texts(&mut self, name: &str, values: &[String]) -> &mut Self {
        self.member(name);
        self.value(values);
        self
    }

    pub fn count(&mut self, name: &str, value: u64) -> &mut Self {
        self.member(name);
        self.value(&value);
        self
    }

    pub fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.member(name);
        self.value(&value);
        self
    }

    pub fn end(&mut self) -> Vec<u8> {
        self.0.push(b'}');
        std::mem::take(&mut self.0)
    }

    fn member(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.extend_from_slice(b", ");
        }
        self.value(name);
        self.0.extend_from_slice(b": ");
    }

    fn value(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        let mut serializer = Serializer::with_formatter(&mut self.0, Python);
        // Neither texts nor numbers can fail, nor can memory.
        let _ = value.serialize(&mut serializer);
    }
}

/// `json.dumps` with its defaults: a space behind separators, and nothing but ASCII.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut units = [0; 2];
        for c in text.chars() {
            if c.is_ascii() {
                out.write_all(&[c as u8])?;
                continue;
            }
            for unit in c.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_written_as_python_writes_them() {
        let mut out = Writer::new();
        out.text("a", "ü😀\n\"\\").count("b", 7).flag("c", true);
        out.texts("d", &["x".to_owned(), "y".to_owned()])
            .optional_text("e", None);
        let text =
            r#"{"a": "\u00fc\ud83d\ude00\n\"\\", "b": 7, "c": true, "d": ["x", "y"], "e": null}"#;
        assert_eq!(String::from_utf8_lossy(&out.end()), text);
        assert_eq!(Writer::new().end(), b"{}");
    }
}
