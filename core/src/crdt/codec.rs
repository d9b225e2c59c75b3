//! What the binary forms are made of: counts as LEB128, text with its length before it.
//!
//! Everything that is read is checked, and nothing is set aside for a number that was only claimed.

use crate::crdt::json::Json;
use crate::crdt::path::{Path, Segment};
use crate::crdt::stamp::{Stamp, Time};
use crate::crdt::text::Text;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CRDT_DEPTH_MAX, CRDT_INDEX_MAX, CRDT_KEY_BYTES_MAX};

pub(super) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidMessage, format!("damaged data: {what}"))
}

/// Appends.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub out: Vec<u8>,
    last: Stamp,
}

impl Default for Stamp {
    fn default() -> Self {
        Self::INITIAL
    }
}

impl Writer {
    pub fn count(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// The difference of two numbers below 2^63.
    pub fn delta(&mut self, number: u64, from: u64) {
        let delta = number.wrapping_sub(from) as i64;
        self.count(((delta << 1) ^ (delta >> 63)) as u64);
    }

    pub fn text(&mut self, text: &str) {
        self.count(text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }

    pub fn path(&mut self, path: &[Segment]) {
        self.count(path.len() as u64);
        for segment in path {
            match segment {
                Segment::Index(index) => self.count(u64::from(*index) << 1 | 1),
                Segment::Key(key) => {
                    self.count((key.len() as u64) << 1);
                    self.out.extend_from_slice(key.as_bytes());
                }
            }
        }
    }

    /// A time, by what it differs in from another.
    pub fn time(&mut self, time: Time, from: Time) {
        self.delta(time.t, from.t);
        self.count(time.c);
    }

    /// A stamp, by what it differs in from the one before.
    pub fn stamp(&mut self, stamp: Stamp) {
        if stamp == self.last {
            self.byte(0);
            return;
        }
        if stamp == Stamp::INITIAL {
            self.byte(1);
        } else {
            self.count(u64::from(stamp.replica) + 2);
            self.time(stamp.time, self.last.time);
            self.delta(stamp.seq, self.last.seq);
        }
        self.last = stamp;
    }
}

/// Reads what [`Writer`] wrote, or what claims to be that.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    last: Stamp,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            last: Stamp::INITIAL,
        }
    }

    pub fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn byte(&mut self) -> Result<u8> {
        let (&byte, rest) = self
            .bytes
            .split_first()
            .ok_or_else(|| damaged("it ends too early"))?;
        self.bytes = rest;
        Ok(byte)
    }

    pub fn count(&mut self) -> Result<u64> {
        let mut number = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(damaged("a number is too long"))
    }

    /// How many entries follow, of which each takes at least a byte.
    pub fn entries(&mut self) -> Result<usize> {
        let count = self.count()?;
        match count <= self.bytes.len() as u64 {
            true => Ok(count as usize),
            false => Err(damaged("it has fewer entries than it says")),
        }
    }

    pub fn delta(&mut self, from: u64) -> Result<u64> {
        let count = self.count()?;
        let delta = (count >> 1) as i64 ^ -((count & 1) as i64);
        from.checked_add_signed(delta)
            .filter(|number| *number <= crate::crdt::op::COUNT_MAX)
            .ok_or_else(|| damaged("a number is out of range"))
    }

    pub fn bytes(&mut self, length: u64) -> Result<&'a [u8]> {
        if length > self.bytes.len() as u64 {
            return Err(damaged("it ends too early"));
        }
        let (bytes, rest) = self.bytes.split_at(length as usize);
        self.bytes = rest;
        Ok(bytes)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub fn text(&mut self) -> Result<&'a str> {
        let length = self.count()?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| damaged("text is not UTF-8"))
    }

    pub fn json(&mut self) -> Result<Json> {
        let length = self.count()?;
        Json::parse(self.bytes(length)?)
    }

    /// A member's name, which in a value may be of any length.
    pub fn key(&mut self) -> Result<Text> {
        Ok(Text::from(self.text()?))
    }

    pub fn path(&mut self) -> Result<Path> {
        let length = self.entries()?;
        if length > CRDT_DEPTH_MAX {
            return Err(damaged("a path is too long"));
        }
        let mut path = Path::with_capacity(length);
        for _ in 0..length {
            let head = self.count()?;
            if head & 1 == 1 {
                let index = u32::try_from(head >> 1).ok();
                let index = index.filter(|index| *index <= CRDT_INDEX_MAX);
                path.push(Segment::Index(
                    index.ok_or_else(|| damaged("an index is too large"))?,
                ));
                continue;
            }
            if head >> 1 > CRDT_KEY_BYTES_MAX as u64 {
                return Err(damaged("a key is too long"));
            }
            let key = std::str::from_utf8(self.bytes(head >> 1)?);
            path.push(key.map_err(|_| damaged("a key is not UTF-8"))?.into());
        }
        Ok(path)
    }

    pub fn time(&mut self, from: Time) -> Result<Time> {
        let time = Time {
            t: self.delta(from.t)?,
            c: self.count()?,
        };
        match time.c <= crate::crdt::op::COUNT_MAX {
            true => Ok(time),
            false => Err(damaged("a number is out of range")),
        }
    }

    /// A stamp; its replica is a number of the data's own table, of so many.
    pub fn stamp(&mut self, replicas: &[u32]) -> Result<Stamp> {
        let stamp = match self.count()? {
            0 => return Ok(self.renumbered(replicas)),
            1 => Stamp::INITIAL,
            replica => Stamp {
                replica: u32::try_from(replica - 2).unwrap_or(u32::MAX),
                time: self.time(self.last.time)?,
                seq: self.delta(self.last.seq)?,
            },
        };
        if stamp.time.checked().is_none() {
            return Err(damaged("a stamp is after the year 9999"));
        }
        let is_known = (stamp.replica as usize) < replicas.len() && stamp.seq > 0;
        if stamp != Stamp::INITIAL && !is_known {
            return Err(damaged("a stamp of nobody"));
        }
        self.last = stamp;
        Ok(self.renumbered(replicas))
    }

    fn renumbered(&self, replicas: &[u32]) -> Stamp {
        let replica = replicas.get(self.last.replica as usize);
        Stamp {
            replica: replica.copied().unwrap_or(self.last.replica),
            ..self.last
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let stamp = |t, c, replica, seq| Stamp {
            time: Time { t, c },
            replica,
            seq,
        };
        let stamps = [
            Stamp::INITIAL,
            stamp(1_800_000_000_000, 0, 0, 1),
            stamp(1_800_000_000_000, 0, 0, 1),
            stamp(1_800_000_000_000, 7, 1, 900),
            stamp(0, 0, 1, 1),
            Stamp::INITIAL,
            stamp(253_402_300_799_999, (1 << 53) - 1, 0, (1 << 53) - 1),
        ];
        let path: Path = vec!["ü".into(), 65_535.into(), "".into()];
        let mut writer = Writer::default();
        stamps.iter().for_each(|stamp| writer.stamp(*stamp));
        writer.path(&path);
        writer.text("x");
        writer.count((1 << 63) - 1);
        let mut reader = Reader::new(&writer.out);
        for expected in stamps {
            let found = reader.stamp(&[10, 11]).unwrap();
            let renumbered = match expected.replica {
                u32::MAX => u32::MAX,
                replica => replica + 10,
            };
            assert_eq!(
                (found.replica, found.time, found.seq),
                (renumbered, expected.time, expected.seq)
            );
        }
        assert_eq!(reader.path().unwrap(), path);
        assert_eq!(reader.text().unwrap(), "x");
        assert_eq!(reader.count().unwrap(), (1 << 63) - 1);
        assert!(reader.is_at_end());
    }

    #[test]
    fn damage_is_an_error() {
        assert!(Reader::new(&[]).byte().is_err());
        assert!(Reader::new(&[0xff; 12]).count().is_err());
        assert!(Reader::new(&[200, 1, 1]).entries().is_err());
        assert!(Reader::new(&[5, b'a']).text().is_err());
        assert!(Reader::new(&[1, 0xff]).text().is_err());
        // A path of 100 segments, an index of 2^20, and a stamp of a replica that is in no table.
        assert!(Reader::new(&[100; 200]).path().is_err());
        assert!(Reader::new(&[1, 0x81, 0x80, 0x80, 1]).path().is_err());
        assert!(Reader::new(&[9, 2, 0, 2]).stamp(&[0]).is_err());
        // One later than any that has an effect.
        let mut writer = Writer::default();
        writer.stamp(Stamp {
            time: Time {
                t: 253_402_300_800_000,
                c: 0,
            },
            replica: 0,
            seq: 1,
        });
        assert!(Reader::new(&writer.out).stamp(&[0]).is_err());
    }
}
