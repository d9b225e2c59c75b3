//! What decides: bytes as numbers, texts and payloads.

use super::*;

/// The bytes that decide; what is missing is zero.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(super) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.take(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }

    /// Small numbers, their neighbours at both ends, and any other.
    pub(super) fn extreme(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            254 => i64::MAX as u64,
            253 => u64::from(u32::MAX),
            252 => 1 << 32,
            251 => self.number(),
            small => u64::from(small),
        }
    }

    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.take(len)
    }
}

/// A text for C that lives as long as this value.
pub(super) enum Text {
    Null,
    Ended(Vec<u8>),
    /// As long as may be looked at, without a NUL byte.
    Endless(Vec<u8>),
}

impl Text {
    pub(super) fn read(input: &mut Input<'_>) -> Self {
        let of = |text: &[u8]| Self::Ended([text, &[0]].concat());
        match input.byte() % 16 {
            0 => Self::Null,
            1 => Self::Endless(vec![b'x'; 64 << 10]),
            2..=5 => of(input.bytes()),
            6 => of(b""),
            7 => of(b"\xff\xfe"),
            8 => of(&[b'y'; 300]),
            9..=12 => of(b"a"),
            _ => of(b"b"),
        }
    }

    pub(super) fn pointer(&self) -> *const c_char {
        match self {
            Self::Null => null(),
            Self::Ended(text) | Self::Endless(text) => text.as_ptr().cast(),
        }
    }
}

pub(super) fn payload<'a>(input: &mut Input<'a>) -> &'a [u8] {
    match input.byte() % 8 {
        0 => b"",
        1 => b"[1,2,{\"a\":null}]",
        2 => b"\"text\"",
        3 => b"{",
        4 => &[b'['; 100],
        _ => input.bytes(),
    }
}
