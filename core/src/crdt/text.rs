//! Text that is short more often than not: names of members, and values.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes that are kept in place; longer text is shared.
const SHORT: usize = 22;
/// The first byte of each.
const IS_SHORT: u8 = 1;
const IS_LONG: u8 = 2;

/// Immutable text. Copies cost nothing: short text has no memory of its own, longer text is shared.
///
/// It is made of whole words, not an enum: that would be taken apart into a tag and odd bytes whenever
/// it is moved, and what is stored in pieces is waited for by whoever reads it next.
#[repr(C)]
pub struct Text {
    /// As bytes: which it is, the length of short text, and its first six bytes.
    head: NonZeroU64,
    rest: Rest,
}

/// The rest of short text, then zeros; or long text.
#[repr(C)]
union Rest {
    short: [u64; 2],
    long: ManuallyDrop<Arc<str>>,
}

impl Text {
    #[inline]
    fn head(&self) -> [u8; 8] {
        self.head.get().to_ne_bytes()
    }

    #[inline]
    fn long(&self) -> Option<&Arc<str>> {
        // SAFETY: the head says that there is an `Arc`.
        (self.head()[0] == IS_LONG).then(|| unsafe { &*self.rest.long })
    }

    /// Its words, if it is short.
    #[inline]
    fn short(&self) -> Option<(u64, [u64; 2])> {
        // SAFETY: the head says that there are words.
        (self.head()[0] == IS_SHORT).then(|| (self.head.get(), unsafe { self.rest.short }))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        if let Some(text) = self.long() {
            return text;
        }
        let length = usize::from(self.head()[1]);
        // SAFETY: behind the first two of the 24 bytes come those of a `str` of this length.
        unsafe {
            let bytes = std::ptr::from_ref(self).cast::<u8>().add(2);
            std::str::from_utf8_unchecked(std::slice::from_raw_parts(bytes, length))
        }
    }

    /// Bytes of its UTF-8.
    #[inline]
    pub fn len(&self) -> usize {
        self.as_str().len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its UTF-8.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }

    /// The lowest byte of the head comes first.
    #[inline]
    fn of(head: u64, rest: Rest) -> Self {
        let head = NonZeroU64::new(head.to_le()).unwrap_or(NonZeroU64::MIN);
        Self { head, rest }
    }
}

impl Drop for Text {
    #[inline]
    fn drop(&mut self) {
        if self.head()[0] == IS_LONG {
            // SAFETY: the head says that there is an `Arc`, and nobody reads it after this.
            unsafe { ManuallyDrop::drop(&mut self.rest.long) }
        }
    }
}

impl Clone for Text {
    #[inline]
    fn clone(&self) -> Self {
        let rest = match self.long() {
            Some(text) => Rest {
                long: ManuallyDrop::new(text.clone()),
            },
            None => {
                // SAFETY: it is not long, so there are words.
                let short = unsafe { self.rest.short };
                Rest { short }
            }
        };
        Self {
            head: self.head,
            rest,
        }
    }
}

impl From<&str> for Text {
    #[inline]
    fn from(text: &str) -> Self {
        let bytes = text.as_bytes();
        if bytes.len() > SHORT {
            let long = ManuallyDrop::new(Arc::from(text));
            return Self::of(u64::from(IS_LONG), Rest { long });
        }
        let (first, rest) = bytes.split_at(bytes.len().min(6));
        let (second, third) = rest.split_at(rest.len().min(8));
        let head = u64::from(IS_SHORT) | (bytes.len() as u64) << 8 | word(first) << 16;
        let short = [word(second).to_le(), word(third).to_le()];
        Self::of(head, Rest { short })
    }
}

/// Up to eight bytes as a number, the first one lowest, without a detour through memory.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    let at = |at: usize| u64::from(bytes[at]) << (8 * at);
    match bytes.len() {
        0 => 0,
        length @ 1..4 => at(0) | at(length / 2) | at(length - 1),
        length @ 4..8 => {
            let half = |half: Option<&[u8; 4]>| half.map_or(0, |half| u32::from_le_bytes(*half));
            let (low, high) = (half(bytes.first_chunk()), half(bytes.last_chunk()));
            u64::from(low) | u64::from(high) << (8 * (length - 4))
        }
        _ => bytes
            .first_chunk()
            .map_or(0, |all| u64::from_le_bytes(*all)),
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        Self::from(&*text)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Text {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self.short(), other.short()) {
            (Some(words), Some(others)) => words == others,
            (None, None) => self.as_str() == other.as_str(),
            _ => false,
        }
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Text {
    /// As `str` does.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
        state.write_u8(0xff);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_text_are_the_same_to_whoever_reads_them() {
        let alphabet: String = ('a'..='z').chain('A'..='Z').collect();
        for length in (0..=SHORT + 10).chain([300]) {
            let letters = alphabet.chars().cycle().take(length % 7);
            let plain = "é".repeat((length - length % 7) / 2) + &letters.collect::<String>();
            let plain = plain.clone() + alphabet.get(..length - plain.len()).unwrap_or("");
            assert_eq!(plain.len(), length);
            let text = Text::from(plain.as_str());
            assert_eq!(&*text, plain);
            assert_eq!(text, text.clone());
            assert!(text < Text::from(plain.clone() + "a"));
            assert_ne!(text, Text::from(plain.clone() + "\0"));
            // Every byte counts.
            for at in plain.char_indices().map(|(at, _)| at) {
                let (before, after) = plain.split_at(at);
                let other = format!("{before}#{}", after.get(1..).unwrap_or("#"));
                assert_ne!(text, Text::from(other.as_str()));
                assert_eq!(&*Text::from(other.as_str()), other);
            }
            assert_eq!(
                std::collections::HashSet::from([text])
                    .get(plain.as_str())
                    .map(|text| text.len()),
                Some(plain.len())
            );
        }
        assert_eq!(size_of::<Option<Text>>(), 24);
    }
}
