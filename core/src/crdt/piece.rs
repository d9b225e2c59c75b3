//! A snapshot in pieces, for those whom one message can't bring all of it.
//!
//! A piece is text, so that it can stand in a JSON message: base64 of `DFP` and a version, 16 bytes that
//! name the snapshot (of its SHA-256), its length, the length of its pieces but for the last, the piece's
//! number, and its bytes. They may come in any order and twice. Nothing is set aside for what was only
//! claimed, and the whole is checked by its name.

use std::collections::{BTreeMap, VecDeque};

use sha2::{Digest as _, Sha256};

use crate::crdt::base64;
use crate::crdt::codec::{Reader, Writer, damaged};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CRDT_PIECE_BYTES_MIN, CRDT_PIECED_BYTES_MAX, CRDT_PIECED_SNAPSHOTS_MAX};

const MAGIC: &[u8] = b"DFP\x01";
const NAME_BYTES: usize = 16;
/// What stands before a piece's bytes, at most.
const HEAD_BYTES: usize = MAGIC.len() + NAME_BYTES + 3 * 9;

type Name = [u8; NAME_BYTES];

fn name(snapshot: &[u8]) -> Name {
    let mut name = Name::default();
    name.copy_from_slice(&Sha256::digest(snapshot)[..NAME_BYTES]);
    name
}

/// A snapshot as texts of at most so many bytes.
///
/// Errors: `invalid_argument` for less than [`CRDT_PIECE_BYTES_MIN`]; `too_large` for a snapshot of more
/// than [`CRDT_PIECED_BYTES_MAX`].
pub fn cut(snapshot: &[u8], text_bytes_max: usize) -> Result<Vec<String>> {
    if text_bytes_max < CRDT_PIECE_BYTES_MIN {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "a piece must have room for at least {CRDT_PIECE_BYTES_MIN} bytes, not {text_bytes_max}"
            ),
        ));
    }
    check_length(snapshot.len())?;
    let name = name(snapshot);
    let each = text_bytes_max / 4 * 3 - HEAD_BYTES;
    let pieces = snapshot.chunks(each).enumerate();
    Ok(pieces
        .map(|(at, bytes)| {
            let mut writer = Writer::default();
            writer.out.extend_from_slice(MAGIC);
            writer.out.extend_from_slice(&name);
            writer.count(snapshot.len() as u64);
            writer.count(each as u64);
            writer.count(at as u64);
            writer.out.extend_from_slice(bytes);
            base64::encode(&writer.out)
        })
        .collect())
}

fn check_length(length: usize) -> Result<()> {
    if length <= CRDT_PIECED_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!(
            "the snapshot is {length} bytes long, at most {CRDT_PIECED_BYTES_MAX} are allowed in pieces"
        ),
    ))
}

/// Pieces of snapshots that are not whole yet.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The one that a piece came for last is at the end.
    snapshots: VecDeque<Partial>,
    bytes: usize,
}

#[derive(Debug)]
struct Partial {
    name: Name,
    length: usize,
    each: usize,
    pieces: BTreeMap<usize, Vec<u8>>,
    bytes: usize,
}

impl Pieces {
    /// Takes a piece in; gives the snapshot when it was the last one that was missing. Of more than
    /// [`CRDT_PIECED_SNAPSHOTS_MAX`] snapshots, and of more than [`CRDT_PIECED_BYTES_MAX`] in all, those
    /// go for which no piece has come for the longest time.
    ///
    /// Errors: `invalid_message` for what is no piece, and when the whole is not what it was; `too_large`.
    pub fn add(&mut self, text: &str) -> Result<Option<Vec<u8>>> {
        let bytes = base64::decode(text).ok_or_else(|| damaged("a piece is not base64"))?;
        let bytes = bytes.strip_prefix(MAGIC);
        let mut reader = Reader::new(bytes.ok_or_else(|| damaged("not a piece of a snapshot"))?);
        let mut name = Name::default();
        name.copy_from_slice(reader.bytes(NAME_BYTES as u64)?);
        let mut number = || usize::try_from(reader.count()?).map_err(|_| damaged("a number"));
        let (length, each, at) = (number()?, number()?, number()?);
        check_length(length)?;
        let piece = reader.rest();
        // Its place says how long it is.
        let start = at
            .checked_mul(each)
            .filter(|start| each > 0 && *start < length);
        let expected = start.map(|start| each.min(length - start));
        if expected != Some(piece.len()) {
            return Err(damaged("a piece is not as long as it says"));
        }
        let found = self.snapshots.iter().position(|known| known.name == name);
        let known = found.and_then(|at| self.snapshots.remove(at));
        let partial = known.filter(|known| (known.length, known.each) == (length, each));
        let mut partial = partial.unwrap_or_else(|| Partial {
            name,
            length,
            each,
            pieces: BTreeMap::new(),
            bytes: 0,
        });
        if partial.pieces.insert(at, piece.to_vec()).is_none() {
            partial.bytes += piece.len();
        }
        if partial.bytes < length {
            self.snapshots.push_back(partial);
            self.tidy();
            return Ok(None);
        }
        self.count();
        let whole: Vec<u8> = partial.pieces.into_values().flatten().collect();
        match self::name(&whole) == name {
            true => Ok(Some(whole)),
            false => Err(damaged("the pieces of a snapshot do not make it")),
        }
    }

    fn count(&mut self) {
        self.bytes = self.snapshots.iter().map(|partial| partial.bytes).sum();
    }

    fn tidy(&mut self) {
        self.count();
        while self.snapshots.len() > CRDT_PIECED_SNAPSHOTS_MAX
            || (self.bytes > CRDT_PIECED_BYTES_MAX && self.snapshots.len() > 1)
        {
            self.snapshots.pop_front();
            self.count();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    fn bytes(seed: u8, length: usize) -> Vec<u8> {
        (0..length)
            .map(|at| seed.wrapping_add((at / 7) as u8))
            .collect()
    }

    #[test]
    fn pieces_make_the_snapshot_in_any_order() {
        for length in [1, 700, 5_000] {
            let snapshot = bytes(3, length);
            let pieces = cut(&snapshot, 1_024).unwrap();
            assert!(pieces.iter().all(|piece| piece.len() <= 1_024));
            let mut all = Pieces::default();
            let mut found = Vec::new();
            for piece in pieces.iter().rev() {
                found.extend(all.add(piece).unwrap());
                if found.is_empty() {
                    assert_eq!(all.add(piece).unwrap(), None);
                }
            }
            assert_eq!((found, all.bytes), (vec![snapshot], 0), "{length}");
        }
        assert!(cut(&[1], 1_023).is_err());
    }

    #[test]
    fn several_are_put_together_at_once_and_the_oldest_goes() {
        let snapshots: Vec<Vec<u8>> = (0..6).map(|seed| bytes(seed, 3_000)).collect();
        let pieces: Vec<Vec<String>> = snapshots
            .iter()
            .map(|all| cut(all, 1_024).unwrap())
            .collect();
        let mut all = Pieces::default();
        for (at, pieces) in pieces.iter().enumerate() {
            assert_eq!(all.add(&pieces[0]).unwrap(), None);
            assert!(all.snapshots.len() <= CRDT_PIECED_SNAPSHOTS_MAX, "{at}");
        }
        let rest = |all: &mut Pieces, of: usize| {
            let added = pieces[of][1..].iter().map(|piece| all.add(piece).unwrap());
            added.flatten().next()
        };
        assert_eq!(rest(&mut all, 5), Some(snapshots[5].clone()));
        assert_eq!(rest(&mut all, 0), None);
    }

    #[test]
    fn damage_is_an_error() {
        let pieces = cut(&bytes(1, 2_000), 1_024).unwrap();
        let mut all = Pieces::default();
        for wrong in [
            "",
            "!",
            "AAAA",
            &pieces[0][..pieces[0].len() - 8],
            &pieces[0][..24],
        ] {
            assert!(all.add(wrong).is_err(), "{wrong}");
        }
        let mut other = base64::decode(&pieces[1]).unwrap();
        *other.last_mut().unwrap() ^= 1;
        let mut found = Vec::new();
        for piece in [&pieces[0], &base64::encode(&other), &pieces[2]] {
            found.push(all.add(piece));
        }
        assert!(found.pop().unwrap().is_err());
        assert!(found.into_iter().all(|found| found == Ok(None)));
        assert_eq!(all.bytes, 0);
    }
}
