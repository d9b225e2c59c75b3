//! Names of sources: a replica's name, and one of its lives.
//!
//! A source is what operations are counted under. It is written in `src`, `hlc.r` and `deps`; two
//! histories under one source would hide each other. So a replica that does not know for sure what it
//! has written before gets a source of its own: `<name>~<birth><mark>`. The birth is the Unix time
//! in milliseconds, in base 36; the mark is a capital letter and four letters or digits, drawn by
//! chance, so that two lives of one millisecond differ.

use crate::limits::{CRDT_OWN_REPLICA_BYTES_MAX, CRDT_REPLICA_BYTES_MAX};

/// Digits of a birth: enough until the year 5188.
const BIRTH_DIGITS_MAX: usize = 9;
const BIRTH_MAX: u64 = 36u64.pow(BIRTH_DIGITS_MAX as u32) - 1;
const MARK_LETTERS: usize = 5;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

const _: () = assert!(
    CRDT_OWN_REPLICA_BYTES_MAX + 1 + BIRTH_DIGITS_MAX + MARK_LETTERS <= CRDT_REPLICA_BYTES_MAX
);

/// The source of a life of a replica, by its birth and a random number.
pub fn of_life(name: &str, birth_ms: u64, mut random: u64) -> String {
    let mut digits = [0; 14];
    let digits = super::op::base36(&mut digits, birth_ms.min(BIRTH_MAX));
    let mut source = Vec::with_capacity(name.len() + 1 + digits.len() + MARK_LETTERS);
    source.extend_from_slice(name.as_bytes());
    source.push(b'~');
    source.extend_from_slice(digits);
    for at in 0..MARK_LETTERS {
        let letters = if at == 0 { 26 } else { 62 };
        source.push(ALPHABET[(random % letters) as usize]);
        random /= letters;
    }
    super::value::into_text(source)
}

/// A source's replica name and birth, if it is the source of a life.
pub fn life(source: &str) -> Option<(&str, u64)> {
    let (name, life) = source.rsplit_once('~')?;
    let (birth, mark) = life.split_at_checked(life.len().checked_sub(MARK_LETTERS)?)?;
    let is_birth = (1..=BIRTH_DIGITS_MAX).contains(&birth.len())
        && birth
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'));
    let is_mark = mark.starts_with(|first: char| first.is_ascii_uppercase())
        && mark.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if name.is_empty() || !is_birth || !is_mark {
        return None;
    }
    Some((name, u64::from_str_radix(birth, 36).ok()?))
}

/// The name of the replica that a source belongs to, as it is shown.
pub fn replica(source: &str) -> &str {
    life(source).map_or(source, |(name, _)| name)
}

/// When a source was born, if that is part of its name.
pub fn birth_ms(source: &str) -> Option<u64> {
    life(source).map(|(_, birth)| birth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_read_as_it_was_written() {
        for (name, birth, random) in [
            ("bob", 1_800_000_000_000, 7),
            ("a~b", 0, u64::MAX),
            ("\u{ffff}", BIRTH_MAX, 0),
        ] {
            let source = of_life(name, birth, random);
            assert_eq!(life(&source), Some((name, birth)), "{source}");
            assert!(source.len() <= name.len() + 15);
        }
        assert_eq!(birth_ms(&of_life("x", u64::MAX, 1)), Some(BIRTH_MAX));
        assert_eq!(of_life("bob", 1_800_000_000_000, 3), "bob~mywpiww0DAAAA");
        assert_ne!(of_life("bob", 1, 1), of_life("bob", 1, 2));
    }

    #[test]
    fn other_names_are_no_lives() {
        for name in [
            "bob",
            "bob~",
            "~",
            "bob~mworp9h8",
            "bob~mworp9h8abcde",
            "bob~Abcde",
            "bob~0AbcdeX",
            "~0Abcde",
            "bob~0Ab😀",
            "bob~0123456789Abcde",
        ] {
            assert_eq!((life(name), replica(name)), (None, name));
        }
        assert_eq!(replica("bob~mywpiww0DAAAA"), "bob");
    }
}
