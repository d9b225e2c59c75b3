//! The payloads of all measurements: JSON objects of an exact size with a number inside.
//!
//! They are as dense as usual ones: to check an envelope with one takes `serde_json` about
//! 4,200 instructions at 100 B and 17,800 at 1 KiB. Large ones are mostly one long text.

use crate::failure::{Result, failure};

/// Where the ten digits of the number are.
const NUMBER_AT: std::ops::Range<usize> = 7..17;

/// Number of the first message.
pub const FIRST: u64 = 1_000_000_000;
/// Number that ends a stream.
pub const END: u64 = 9_999_999_999;

/// A JSON object of exactly `size` bytes, at least 100, that looks like one an application sends.
pub fn object(size: usize) -> Vec<u8> {
    let mut text = format!(
        "{{\"seq\":{FIRST},\"type\":\"reading\",\"at\":1700000000,\"value\":21.5,\"unit\":\"C\",\
         \"ok\":true"
    );
    let mut item = 0;
    // Structure as far as it goes, then a text that fills the rest.
    while text.len() + 100 < size.min(8 << 10) {
        text.push_str(&format!(
            ",\"item{item:02}\":{{\"title\":\"a line of ordinary text\",\"size\":{},\"tags\":[\"new\"]}}",
            120 + item
        ));
        item += 1;
    }
    text.push_str(",\"by\":\"");
    while text.len() + 2 < size {
        text.push(char::from(b'a' + (text.len() % 26) as u8));
    }
    text.push_str("\"}");
    text.into_bytes()
}

/// Writes the number of a payload.
pub fn set_number(payload: &mut [u8], mut number: u64) {
    for digit in payload[NUMBER_AT].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The number of a payload; 0 when it has none.
pub fn number(payload: &[u8]) -> u64 {
    let digits = payload.get(NUMBER_AT).unwrap_or_default();
    digits.iter().fold(0, |number, digit| {
        number * 10 + u64::from(digit.wrapping_sub(b'0'))
    })
}

/// Checks that every message arrives once and in order.
#[derive(Debug, Default)]
pub struct Order {
    pub count: u64,
}

impl Order {
    /// Takes a payload; true when it ends the stream.
    pub fn take(&mut self, payload: &[u8], size: usize) -> Result<bool> {
        let number = number(payload);
        if number == END {
            return Ok(true);
        }
        if number != FIRST + self.count || payload.len() != size {
            return Err(failure(format!(
                "message {} instead of {}, {} bytes",
                number,
                FIRST + self.count,
                payload.len()
            )));
        }
        self.count += 1;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_their_size_and_number() {
        for size in [100, 1_024, 70_000] {
            let mut object = object(size);
            assert_eq!(object.len(), size);
            set_number(&mut object, FIRST + 123);
            assert_eq!(number(&object), FIRST + 123);
            let value: serde_json::Value = serde_json::from_slice(&object).unwrap();
            assert_eq!(value["seq"], FIRST + 123);
        }
    }
}
