//! Reading JSON text that was checked: what a byte means is known, and depth is bounded.

use std::borrow::Cow;

use crate::crdt::value::{Members, Number, Value, into_text};

/// The value.
pub(super) fn value(text: &str) -> Value {
    Reader::new(text).value()
}

/// How deep a container is nested: 1 for one that holds no other.
pub(super) fn depth(text: &str) -> usize {
    Reader::new(text).skip()
}

/// The members of an object that was checked: names, and the text of the values.
pub(super) struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    pub fn new(text: &'a str) -> Self {
        Self(Reader::within(text))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Cow<'a, str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let Self(reader) = self;
        if reader.token() == b',' {
            reader.at += 1;
        }
        if reader.token() != b'"' {
            return None;
        }
        let name = reader.string();
        reader.token();
        reader.at += 1;
        Some((name, reader.slice()))
    }
}

/// The elements of an array that was checked, as text.
pub(super) struct Items<'a>(Reader<'a>);

impl<'a> Items<'a> {
    pub fn new(text: &'a str) -> Self {
        Self(Reader::within(text))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let Self(reader) = self;
        if reader.token() == b',' {
            reader.at += 1;
        }
        match reader.token() {
            b']' | 0 => None,
            _ => Some(reader.slice()),
        }
    }
}

/// The text of a string that was checked; `None` for anything else.
pub(super) fn string(json: &str) -> Option<Cow<'_, str>> {
    let mut reader = Reader::new(json);
    (reader.token() == b'"').then(|| reader.string())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Stands behind the first bracket.
    fn within(text: &'a str) -> Self {
        let mut reader = Self::new(text);
        reader.token();
        reader.at += 1;
        reader
    }

    fn token(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn value(&mut self) -> Value {
        match self.token() {
            b'"' => Value::String(self.string().into()),
            b'{' => self.object(),
            b'[' => self.array(),
            b't' => self.word(4, Value::Bool(true)),
            b'f' => self.word(5, Value::Bool(false)),
            b'n' => self.word(4, Value::Null),
            _ => self.number(),
        }
    }

    /// The text of a string, without a copy where that is possible; stands at its quote.
    fn string(&mut self) -> Cow<'a, str> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes().get(start..).unwrap_or_default();
        let length = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        if let Some(length) = length.filter(|&length| bytes.get(length) == Some(&b'"')) {
            self.at = start + length + 1;
            return Cow::Borrowed(self.text.get(start..start + length).unwrap_or_default());
        }
        Cow::Owned(self.escaped())
    }

    /// The text of the next value.
    fn slice(&mut self) -> &'a str {
        self.token();
        let start = self.at;
        self.skip();
        self.text.get(start..self.at).unwrap_or("null")
    }

    /// Passes over a value, and stands behind it then; how deep it is nested.
    fn skip(&mut self) -> usize {
        let (mut depth, mut deepest) = (0usize, 0usize);
        loop {
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    while !matches!(self.byte(), b'"' | 0) {
                        self.at += if self.byte() == b'\\' { 2 } else { 1 };
                    }
                    self.at += 1;
                }
                b'{' | b'[' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                0 => return deepest,
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    while !matches!(
                        self.byte(),
                        b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | 0
                    ) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return deepest;
            }
        }
    }

    fn word(&mut self, length: usize, value: Value) -> Value {
        self.at += length;
        value
    }

    fn array(&mut self) -> Value {
        self.at += 1;
        let mut items = Vec::new();
        while !matches!(self.token(), b']' | 0) {
            items.push(self.value());
            if self.token() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Value::Array(items)
    }

    fn object(&mut self) -> Value {
        self.at += 1;
        let mut members = Members::new();
        while !matches!(self.token(), b'}' | 0) {
            let name = self.string();
            self.token();
            self.at += 1;
            members.insert(name.into(), self.value());
            if self.token() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Value::Object(members)
    }

    fn number(&mut self) -> Value {
        let start = self.at;
        while matches!(self.byte(), b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') {
            self.at += 1;
        }
        let text = self.text.get(start..self.at).unwrap_or("0");
        if self.at == start {
            // Only for text that was not validated: never stand still.
            self.at += 1;
            return Value::Null;
        }
        if let Ok(int) = text.parse() {
            // -0 is a double of its own, but the same integer.
            return Value::Number(Number::Int(int));
        }
        if text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
        {
            return Value::Number(Number::Big(text.into()));
        }
        match text.parse::<f64>() {
            Ok(float) if float.is_finite() => Value::Number(Number::Float(float)),
            // JavaScript reads it as Infinity and writes that as null.
            _ => Value::Null,
        }
    }

    /// The text of a string with escapes; stands at its quote.
    fn escaped(&mut self) -> String {
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        loop {
            let start = self.at;
            while !matches!(self.byte(), b'"' | b'\\' | 0) {
                self.at += 1;
            }
            let plain = self.text.get(start..self.at).unwrap_or_default();
            out.extend_from_slice(plain.as_bytes());
            if self.byte() != b'\\' {
                self.at += 1;
                return into_text(out);
            }
            self.at += 1;
            let escape = self.byte();
            self.at += 1;
            let plain = match escape {
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode(),
                other => other as char,
            };
            out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn unicode(&mut self) -> char {
        let first = self.unit();
        if (0xd800..0xdc00).contains(&first)
            && self
                .text
                .get(self.at..)
                .is_some_and(|rest| rest.starts_with("\\u"))
        {
            let back = self.at;
            self.at += 2;
            let second = self.unit();
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
            self.at = back;
        }
        char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    fn unit(&mut self) -> u32 {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        self.at += 4;
        u32::from_str_radix(digits, 16).unwrap_or(0xfffd)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    use crate::crdt::json::Json;

    #[test]
    fn depth_is_counted() {
        for (text, depth) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[1,{"b":2}],"c":{}}"#, 3),
            (r#""[[""#, 0),
        ] {
            assert_eq!(Json::parse(text).unwrap().depth(), depth, "{text}");
        }
        assert_eq!(
            Items::new(" [ 1 , [2,3] ,\"x\"]").collect::<Vec<_>>(),
            ["1", "[2,3]", "\"x\""]
        );
        assert_eq!(Items::new("[]").count(), 0);
        assert_eq!(string(r#" "a\n" "#).as_deref(), Some("a\n"));
        assert_eq!(string("[]"), None);
    }
}
