//! Whoever speaks another protocol on the PMD's port.

use crate::wire::frame::HEADER_BYTES;

/// Why bytes of an incomplete frame can't become one: its first byte begins no JSON.
pub(super) fn unlike_json(bytes: &[u8]) -> Option<&'static str> {
    let first = *bytes.get(HEADER_BYTES)?;
    let begins_json = matches!(first, b'{' | b'[' | b'"' | b'-' | b't' | b'f' | b'n')
        || first.is_ascii_digit()
        || matches!(first, b' ' | b'\t' | b'\n' | b'\r');
    (!begins_json).then_some("what arrives is no frame of JSON")
}

/// Why the first bytes of a conversation, which may begin JSON, are a whole message of another
/// protocol all the same.
pub(super) fn unlike_request(bytes: &[u8]) -> Option<&'static str> {
    let body = bytes.get(HEADER_BYTES..).filter(|body| !body.is_empty())?;
    let is_other = recognised(bytes).is_some() && !body.starts_with(b"{\"");
    is_other.then_some("what arrives is no request")
}

/// Who the first bytes of a conversation come from, if they are known.
pub(super) fn recognised(bytes: &[u8]) -> Option<&'static str> {
    // Erlang's epmd is asked with a length of two bytes and a letter.
    const LETTERS: &[u8] = b"nxzkds";
    match bytes {
        [length @ .., letter] if length.len() == 2 && LETTERS.contains(letter) => Some(ERLANG),
        [a, b, letter, rest @ ..]
            if LETTERS.contains(letter)
                && usize::from(u16::from_be_bytes([*a, *b])) == rest.len() + 1 =>
        {
            Some(ERLANG)
        }
        [b'G', b'E', b'T', b' ', ..] | [b'P', b'O', b'S', b'T', ..] => Some("it looks like HTTP"),
        [0x16, 3, ..] => Some("it looks like TLS"),
        _ => None,
    }
}

const ERLANG: &str = "it looks like an Erlang node, whose epmd uses this port as well: start the \
     PMD on another one, or epmd (ERL_EPMD_PORT)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erlang_is_recognised() {
        // Names, and a node that wants to be registered as `a`.
        assert_eq!(recognised(b"\0\x01n"), Some(ERLANG));
        let alive = b"\0\x0ex\xd4\x31\x4d\0\0\x06\0\x05\0\x01a\0\0";
        assert_eq!(recognised(alive), Some(ERLANG));
        // The port's second byte, a digit here, could begin JSON.
        assert_eq!(unlike_json(alive), None);
        assert!(unlike_request(alive).is_some());
        assert!(unlike_request(&alive[..6]).is_none());
        assert_eq!(recognised(b"\0\x01q"), None);
        assert_eq!(recognised(b"\0"), None);
    }

    #[test]
    fn the_beginning_of_a_frame_is_waited_for() {
        for bytes in [
            &b""[..],
            b"\0\0",
            b"\0\0\0\x20",
            b"\0\0\0\x20{",
            b"\0\0\0\x20 ",
        ] {
            assert_eq!(unlike_json(bytes), None, "{bytes:?}");
        }
        assert!(unlike_json(b"\0\0\0\x20x").is_some());
    }
}
