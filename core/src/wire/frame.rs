//! Frames: a 4-byte big-endian length and that many bytes of JSON (pmd.md 1).

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 4;

fn too_large(len: usize, bytes_max: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("Frame too large: {len} bytes, at most {bytes_max} are allowed"),
    )
}

/// The announced body length, once the header is there.
///
/// Fails as soon as the header announces more than `bytes_max`.
pub fn announced(bytes: &[u8], bytes_max: usize) -> Result<Option<usize>> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes(*header) as usize;
    if len > bytes_max {
        return Err(too_large(len, bytes_max));
    }
    Ok(Some(len))
}

/// The body of the first frame in `bytes`, or `None` while it is incomplete.
///
/// The frame takes `HEADER_BYTES + body.len()` bytes.
pub fn split(bytes: &[u8], bytes_max: usize) -> Result<Option<&[u8]>> {
    match announced(bytes, bytes_max)? {
        Some(len) => Ok(bytes.get(HEADER_BYTES..HEADER_BYTES + len)),
        None => Ok(None),
    }
}

/// Appends a frame whose body `write` appends. Fails, and appends nothing, past `bytes_max`.
pub fn append(out: &mut Vec<u8>, bytes_max: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write(out);
    let len = out.len() - start - HEADER_BYTES;
    if len > bytes_max || u32::try_from(len).is_err() {
        out.truncate(start);
        return Err(too_large(len, bytes_max));
    }
    out[start..start + HEADER_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
    Ok(())
}

/// Splits a stream into frames whose bodies share the buffer they were read into.
///
/// The buffer grows with data received, never with data announced.
#[derive(Debug)]
pub struct FrameReader {
    buf: BytesMut,
    bytes_max: usize,
    read_bytes: usize,
}

impl FrameReader {
    /// A reader that refuses bodies over `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            buf: BytesMut::new(),
            bytes_max,
            read_bytes: limits::READ_BYTES_MIN,
        }
    }

    /// The buffer to read into, with room for the next read.
    pub fn buf(&mut self) -> &mut BytesMut {
        // Growing by a factor keeps a large frame linear; the cap keeps it from overshooting the
        // frame.
        let missing = match announced(&self.buf, self.bytes_max) {
            Ok(Some(len)) => (HEADER_BYTES + len).saturating_sub(self.buf.len()),
            _ => 0,
        };
        const GROWTH: usize = 3;
        let room = missing.min(self.buf.len() * GROWTH).max(self.read_bytes);
        self.buf.reserve(room);
        &mut self.buf
    }

    /// Notes how much the last read brought, so that a busy connection reads more at once and
    /// an idle one holds little.
    pub fn note_read(&mut self, bytes: usize) {
        if bytes >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(limits::READ_BYTES_MAX);
        } else if bytes < self.read_bytes / 8 {
            self.read_bytes = (self.read_bytes / 2).max(limits::READ_BYTES_MIN);
        }
    }

    /// Appends received bytes; for callers that don't read into [`FrameReader::buf`].
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// The body of the next complete frame.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>> {
        let Some(len) = announced(&self.buf, self.bytes_max)? else {
            return Ok(None);
        };
        if self.buf.len() < HEADER_BYTES + len {
            return Ok(None);
        }
        self.buf.advance(HEADER_BYTES);
        Ok(Some(self.buf.split_to(len).freeze()))
    }

    /// Whether a complete frame waits.
    pub fn has_frame(&self) -> Result<bool> {
        let announced = announced(&self.buf, self.bytes_max)?;
        Ok(announced.is_some_and(|len| self.buf.len() >= HEADER_BYTES + len))
    }

    /// Whether bytes of a frame wait.
    pub fn has_partial(&self) -> bool {
        !self.buf.is_empty()
    }

    /// Gives the memory back when nothing is waiting in it.
    pub fn release(&mut self) {
        if self.buf.is_empty() {
            self.buf = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for body in bodies {
            append(&mut out, usize::MAX, |out| out.extend_from_slice(body)).unwrap();
        }
        out
    }

    proptest! {
        #[test]
        fn frame_roundtrip_any_split(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..12),
            cuts in proptest::collection::vec(1usize..64, 1..40),
        ) {
            let bytes = framed(&bodies);
            let mut reader = FrameReader::new(1024);
            let (mut got, mut rest, mut cut) = (Vec::new(), &bytes[..], 0);
            while !rest.is_empty() {
                let n = cuts[cut % cuts.len()].min(rest.len());
                cut += 1;
                reader.push(&rest[..n]);
                rest = &rest[n..];
                while let Some(body) = reader.next_frame().unwrap() {
                    got.push(body.to_vec());
                }
            }
            prop_assert!(!reader.has_partial());
            prop_assert_eq!(got, bodies);
        }
    }

    #[test]
    fn refused_from_the_header() {
        let mut reader = FrameReader::new(16);
        reader.push(&[0, 0, 0, 17]);
        assert_eq!(reader.next_frame().unwrap_err().kind(), ErrorKind::TooLarge);
        assert!(split(b"GET / HTTP/1.1", 1 << 20).is_err());
        assert_eq!(split(&[0, 0, 0], 16).unwrap(), None);
        assert_eq!(split(&[0, 0, 0, 0], 16).unwrap(), Some(&[][..]));
    }

    #[test]
    fn over_long_append_leaves_nothing() {
        let mut out = vec![1];
        assert!(append(&mut out, 2, |out| out.extend_from_slice(b"abc")).is_err());
        assert_eq!(out, [1]);
    }

    #[test]
    fn announced_length_reserves_nothing() {
        let mut reader = FrameReader::new(1 << 30);
        reader.push(&(1u32 << 30).to_be_bytes());
        assert!(reader.next_frame().unwrap().is_none());
        assert!(reader.buf().capacity() < 1 << 16);
    }
}
