//! What stands in the files of a directory: records, each behind a head that can be trusted by itself.
//!
//! A head has a checksum of its own, so that a length that was damaged is not taken for the end of the
//! journal, and the records behind it are still found.

/// At the beginning of a journal, and of a snapshot; the last byte is the version.
pub(super) const JOURNAL_MAGIC: &[u8; 4] = b"DFJ\x02";
pub(super) const SNAPSHOT_MAGIC: &[u8; 4] = b"DFS\x02";
/// Before a record: its length, the CRC-32 of the length, and that of the record, little-endian.
pub(super) const HEAD_BYTES: usize = 12;
/// A record may be a whole snapshot.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 30;
/// So many zeros at the end of a file are a place that was made and never written.
const UNWRITTEN_BYTES: usize = 8;

/// How the whole records of a file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the file.
    Whole,
    /// With a last one that is not whole.
    Torn {
        /// Whether the rest of it is not there: it was under way when the end came. Otherwise it is
        /// there, and is not what it was.
        is_cut: bool,
    },
    /// With one that is damaged, while there are others behind it.
    Damaged,
    /// Before the first, with the beginning of another version's file.
    OtherVersion,
}

/// The head of a record.
pub(super) fn head_of(record: &[u8]) -> [u8; HEAD_BYTES] {
    let length = (record.len() as u32).to_le_bytes();
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&length);
    head[4..8].copy_from_slice(&crc32(&length).to_le_bytes());
    head[8..].copy_from_slice(&crc32(record).to_le_bytes());
    head
}

/// The length that a head says, if it is a head.
fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let head = bytes.get(at..at.checked_add(HEAD_BYTES)?)?;
    let (length, check) = (head.first_chunk::<4>()?, head.get(4..8)?);
    let is_head = crc32(length).to_le_bytes() == *check || crate::plant::active("length_unchecked");
    let length = u32::from_le_bytes(*length) as usize;
    (is_head && (1..=RECORD_BYTES_MAX).contains(&length)).then_some(length)
}

/// The record at a place, if a whole one is there.
fn record_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = length_at(bytes, at)?;
    let record = bytes.get(at + HEAD_BYTES..)?.get(..length)?;
    let head = bytes.get(at..at + HEAD_BYTES)?;
    (head_of(record) == head).then_some(record)
}

/// Whether there is a head behind a place, and what it says finds room.
fn has_more(bytes: &[u8], from: usize) -> bool {
    (from..bytes.len()).any(|at| {
        length_at(bytes, at).is_some_and(|length| length <= bytes.len() - at - HEAD_BYTES)
    })
}

/// Whether a file ends with a place that was never written.
fn is_unwritten(rest: &[u8]) -> bool {
    let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
    zeros == rest.len() || zeros >= UNWRITTEN_BYTES
}

/// The records of a journal, as far as they are whole; where those end, and how.
pub(super) fn read<'a>(bytes: &'a [u8], records: &mut Vec<&'a [u8]>) -> (usize, End) {
    let magic = JOURNAL_MAGIC.len();
    if bytes.is_empty() {
        return (0, End::Whole);
    }
    if !bytes.starts_with(JOURNAL_MAGIC) {
        let is_cut = JOURNAL_MAGIC.starts_with(bytes) || is_unwritten(bytes);
        let end = match (has_more(bytes, magic), is_cut) {
            (true, _) => End::Damaged,
            (false, true) => End::Torn { is_cut },
            // Those of before have no such beginning.
            (false, false) => End::OtherVersion,
        };
        return (0, end);
    }
    let mut at = magic;
    while at < bytes.len() {
        if let Some(record) = record_at(bytes, at) {
            records.push(record);
            at += HEAD_BYTES + record.len();
            continue;
        }
        let rest = &bytes[at..];
        let (behind, is_short) = match length_at(bytes, at) {
            Some(length) => (at + HEAD_BYTES + length, rest.len() < HEAD_BYTES + length),
            None => (at + 1, rest.len() < HEAD_BYTES),
        };
        let end = match has_more(bytes, behind) {
            true => End::Damaged,
            false => End::Torn {
                is_cut: is_short || is_unwritten(rest),
            },
        };
        return (at, end);
    }
    (at, End::Whole)
}

/// Every whole record, also behind what is damaged; and how many bytes belong to none.
pub(super) fn salvage<'a>(bytes: &'a [u8], records: &mut Vec<&'a [u8]>) -> usize {
    let mut at = match bytes.starts_with(JOURNAL_MAGIC) {
        true => JOURNAL_MAGIC.len(),
        false => 0,
    };
    let mut lost = 0;
    while at < bytes.len() {
        match record_at(bytes, at) {
            Some(record) => {
                records.push(record);
                at += HEAD_BYTES + record.len();
            }
            None => {
                lost += 1;
                at += 1;
            }
        }
    }
    lost
}

/// A snapshot's file.
pub(super) fn snapshot(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = bytes.strip_prefix(SNAPSHOT_MAGIC)?;
    let record = record_at(bytes, 0)?;
    (bytes.len() == HEAD_BYTES + record.len()).then_some(record)
}

/// CRC-32 of IEEE 802.3, as in gzip (RFC 1952, section 8).
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = at as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 {
                    0xedb8_8320 ^ (value >> 1)
                } else {
                    value >> 1
                };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| {
        TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&[u8]; 3] = [b"first", b"second one", b"third"];

    fn journal() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (JOURNAL_MAGIC.to_vec(), vec![JOURNAL_MAGIC.len()]);
        for text in TEXTS {
            bytes.extend_from_slice(&head_of(text));
            bytes.extend_from_slice(text);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn found(bytes: &[u8]) -> (Vec<&[u8]>, usize, End) {
        let mut records = Vec::new();
        let (at, end) = read(bytes, &mut records);
        (records, at, end)
    }

    #[test]
    fn the_checksum_is_that_of_gzip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_journal_cut_at_any_byte_is_torn_there() {
        let (bytes, ends) = journal();
        for length in 0..=bytes.len() {
            for zeros in [0, 30] {
                let mut cut = bytes[..length].to_vec();
                cut.resize(length + zeros, 0);
                let whole = ends.iter().filter(|end| **end <= length).count();
                let (records, at, end) = found(&cut);
                assert_eq!(
                    records,
                    TEXTS[..whole.saturating_sub(1)],
                    "{length} {zeros}"
                );
                let is_end = zeros == 0 && (length == 0 || ends.contains(&length));
                let expected = match is_end {
                    true => End::Whole,
                    false => End::Torn { is_cut: true },
                };
                assert_eq!(end, expected, "{length} {zeros}");
                let start = whole.checked_sub(1).map_or(0, |last| ends[last]);
                assert_eq!(at, start, "{length} {zeros}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_damage_and_what_is_behind_it_is_still_there() {
        let (bytes, ends) = journal();
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (records, at, end) = found(&bytes);
            let hit = ends.iter().filter(|end| **end <= bit / 8).count();
            if hit == 3 {
                // Nothing whole is behind the last one.
                assert_eq!(end, End::Torn { is_cut: false }, "{bit}");
                assert_eq!((records.len(), at), (2, ends[2]));
            } else {
                assert_eq!(end, End::Damaged, "{bit}");
                assert_eq!(records.len(), hit.saturating_sub(1), "{bit}");
            }
            let mut left = Vec::new();
            let lost = salvage(&bytes, &mut left);
            let others = |at: &usize| hit == 0 || *at + 1 != hit;
            let expected: Vec<&[u8]> = (0..3).filter(others).map(|at| TEXTS[at]).collect();
            assert_eq!(left, expected, "{bit}");
            let gone = match hit {
                0 => JOURNAL_MAGIC.len(),
                hit => ends[hit] - ends[hit - 1],
            };
            assert_eq!(lost, gone, "{bit}");
        }
    }

    #[test]
    fn a_file_of_before_is_told() {
        // Length and checksum, without a beginning.
        let mut bytes = 5u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&crc32(b"first").to_le_bytes());
        bytes.extend_from_slice(b"first");
        assert_eq!(found(&bytes), (Vec::new(), 0, End::OtherVersion));
        assert_eq!(snapshot(&bytes), None);
    }

    #[test]
    fn a_snapshot_is_whole_or_nothing() {
        let mut bytes = SNAPSHOT_MAGIC.to_vec();
        bytes.extend_from_slice(&head_of(b"all of it"));
        bytes.extend_from_slice(b"all of it");
        assert_eq!(snapshot(&bytes), Some(&b"all of it"[..]));
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(snapshot(&bytes), None, "{bit}");
        }
        assert_eq!(snapshot(&bytes[..bytes.len() - 1]), None);
        bytes.push(0);
        assert_eq!(snapshot(&bytes), None);
    }
}
