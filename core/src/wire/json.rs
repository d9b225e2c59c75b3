//! A validator for JSON text (RFC 8259) that builds nothing.
//!
//! Payloads pass through as text. They still have to be checked to be exactly one value, or
//! `1},{"forged":2` inside an envelope would be two, and the depth has to be bounded because
//! consumers build trees. This does both in one pass without recursion or allocation.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::JSON_DEPTH_MAX;

fn invalid(what: &str, at: usize) -> Error {
    Error::new(
        ErrorKind::InvalidJson,
        format!("Invalid JSON: {what} at byte {at}"),
    )
}

/// Checks that `bytes` is UTF-8 and exactly one JSON value nested at most [`JSON_DEPTH_MAX`].
pub fn validate(bytes: &[u8]) -> Result<&str> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| invalid("not UTF-8", error.valid_up_to()))?;
    validate_text(bytes)?;
    Ok(text)
}

/// Like [`validate`] for bytes that are known to be UTF-8.
pub fn validate_text(bytes: &[u8]) -> Result<()> {
    let end = Scanner { bytes, at: 0 }.document()?;
    if end == bytes.len() {
        Ok(())
    } else {
        Err(invalid("text after the value", end))
    }
}

/// Checks the value that UTF-8 text begins with, and gives where it and the white space behind it end.
pub fn validate_first(bytes: &[u8]) -> Result<usize> {
    Scanner { bytes, at: 0 }.document()
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Which bytes need attention inside a string: quote, backslash, control characters.
const fn special_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 0x20 {
        table[i] = true;
        i += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
}
static SPECIAL: [bool; 256] = special_bytes();

/// The high bits of those of eight bytes that are special: the usual test of a whole word for a byte
/// that is below 0x20, a quote or a backslash. The first one is right; those after it may not be.
#[inline(always)]
fn special_in(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let hit = (word.wrapping_sub(ONES * 0x20) & !word)
        | (quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash);
    hit & HIGH
}

impl Scanner<'_> {
    #[inline(always)]
    fn peek(&self) -> u8 {
        // 0 is no token of JSON, so it stands for the end as well.
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn skip_space(&mut self) {
        // Most text has none: one comparison settles that.
        while self.peek() <= b' ' && matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    fn unexpected(&self, wanted: &str) -> Error {
        if self.at >= self.bytes.len() {
            invalid("unexpected end", self.at)
        } else {
            invalid(&format!("expected {wanted}"), self.at)
        }
    }

    /// Scans one value and the white space around it; returns where it ends.
    fn document(mut self) -> Result<usize> {
        // One bit per open container: 1 = object, 0 = array.
        let mut objects: u64 = 0;
        let mut depth: u32 = 0;
        self.skip_space();
        'value: loop {
            match self.peek() {
                b'"' => self.string()?,
                b'{' => {
                    self.at += 1;
                    depth += 1;
                    if depth > JSON_DEPTH_MAX {
                        return Err(self.too_deep());
                    }
                    objects = objects << 1 | 1;
                    self.skip_space();
                    if self.peek() == b'}' {
                        self.at += 1;
                        depth -= 1;
                        objects >>= 1;
                    } else {
                        self.key()?;
                        continue 'value;
                    }
                }
                b'[' => {
                    self.at += 1;
                    depth += 1;
                    if depth > JSON_DEPTH_MAX {
                        return Err(self.too_deep());
                    }
                    objects <<= 1;
                    self.skip_space();
                    if self.peek() == b']' {
                        self.at += 1;
                        depth -= 1;
                        objects >>= 1;
                    } else {
                        continue 'value;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return Err(self.unexpected("a value")),
            }
            loop {
                self.skip_space();
                if depth == 0 {
                    return Ok(self.at);
                }
                let in_object = objects & 1 == 1;
                match self.peek() {
                    b',' => {
                        self.at += 1;
                        self.skip_space();
                        if in_object {
                            self.key()?;
                        }
                        continue 'value;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return Err(self.unexpected("a comma or the end of the container")),
                }
                self.at += 1;
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    fn too_deep(&self) -> Error {
        invalid(&format!("nested deeper than {JSON_DEPTH_MAX}"), self.at - 1)
    }

    #[inline(always)]
    fn key(&mut self) -> Result<()> {
        if self.peek() != b'"' {
            return Err(self.unexpected("a member name"));
        }
        self.string()?;
        self.skip_space();
        if self.peek() != b':' {
            return Err(self.unexpected("a colon"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    #[inline(always)]
    fn string(&mut self) -> Result<()> {
        self.at += 1;
        loop {
            // Eight bytes at a time while none is special.
            while let Some(chunk) = self.bytes[self.at..].first_chunk::<8>() {
                let hit = special_in(u64::from_le_bytes(*chunk));
                if hit != 0 {
                    self.at += (hit.trailing_zeros() / 8) as usize;
                    break;
                }
                self.at += 8;
            }
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(invalid("unterminated string", self.at));
            };
            if !SPECIAL[byte as usize] {
                self.at += 1;
                continue;
            }
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                _ => return Err(invalid("control character in a string", self.at)),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let digits = self.bytes.get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(invalid("\\u needs four hex digits", self.at));
                }
                self.at += 5;
            }
            _ => return Err(self.unexpected("an escape character")),
        }
        Ok(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<()> {
        if !self.peek().is_ascii_digit() {
            return Err(self.unexpected("a digit"));
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    #[inline(always)]
    fn number(&mut self) -> Result<()> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline(always)]
    fn literal(&mut self, word: &[u8]) -> Result<()> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.unexpected("a value"))
        }
    }
}

/// Appends `text` as a JSON string, escaped as `JSON.stringify` does.
pub fn append_string(out: &mut Vec<u8>, text: &str) {
    append_utf8(out, text.as_bytes());
}

/// Like [`append_string`] for the bytes of text.
pub fn append_utf8(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut rest = bytes;
    while let Some(at) = first_special(rest) {
        out.extend_from_slice(&rest[..at]);
        append_escaped(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte is that needs attention inside a string.
#[inline]
pub(crate) fn first_special(bytes: &[u8]) -> Option<usize> {
    let mut words = bytes.chunks_exact(8);
    let mut at = 0;
    for word in &mut words {
        let word = word
            .first_chunk()
            .map_or(0, |word| u64::from_le_bytes(*word));
        let hit = special_in(word);
        if hit != 0 {
            return Some(at + (hit.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = words.remainder();
    let found = rest.iter().position(|byte| SPECIAL[usize::from(*byte)]);
    found.map(|found| at + found)
}

#[cold]
fn append_escaped(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x09 => out.extend_from_slice(b"\\t"),
        0x0a => out.extend_from_slice(b"\\n"),
        0x0c => out.extend_from_slice(b"\\f"),
        0x0d => out.extend_from_slice(b"\\r"),
        _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    }
}

/// Appends a decimal number.
pub fn append_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn both(text: &[u8]) -> (bool, bool) {
        (
            validate(text).is_ok(),
            serde_json::from_slice::<&RawValue>(text).is_ok(),
        )
    }

    #[test]
    fn agrees_with_serde_json_on_cases() {
        for text in [
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1e21",
            "1E-2",
            "0.1",
            "[]",
            "{}",
            "[1,2]",
            "{\"a\":[{}]}",
            " [ 1 , {\"b\" : null } ] ",
            "\"\\u00e9\\n\"",
            "\"é🚀\"",
            "1e999",
            "",
            " ",
            "01",
            "-",
            "1.",
            ".1",
            "1e",
            "+1",
            "tru",
            "nul",
            "[",
            "]",
            "[1,]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "'a'",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"a\nb\"",
            "1 2",
            "1],[2",
            "[1}",
            "{\"a\":1]",
            "NaN",
            "Infinity",
            "\u{feff}1",
        ] {
            let (ours, theirs) = both(text.as_bytes());
            assert_eq!(ours, theirs, "{text:?}");
        }
        assert_eq!(both(b"\"\xff\""), (false, false));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(validate(nested(64).as_bytes()).is_ok());
        let error = validate(nested(65).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("deeper than 64"), "{error}");
        let objects = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
        assert!(validate(objects.as_bytes()).is_err());
        assert!(validate("[".repeat(1 << 20).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_soup(text in "[\\[\\]{}\",:0-9eE+.tfn\\\\ua \\-]{0,24}") {
            let (ours, theirs) = both(text.as_bytes());
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn agrees_with_serde_json_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let (ours, theirs) = both(&bytes);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn strings_round_trip(text in any::<String>()) {
            let mut out = Vec::new();
            append_string(&mut out, &text);
            validate(&out).unwrap();
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn numbers_round_trip(number in any::<u64>()) {
            let mut out = Vec::new();
            append_number(&mut out, number);
            prop_assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
