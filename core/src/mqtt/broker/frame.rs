//! What reaches the library: whole packets that a client may send, of a type, flags and a length that are
//! right. Everything else ends its connection before.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;

use super::packet::{FromClient, Reason, Version};
use super::{v4, v5};
use crate::limits::BROKER_PACKET_BYTES_MAX;

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUB_ACK: u8 = 4;
const PUB_REC: u8 = 5;
const PUB_REL: u8 = 6;
const PUB_COMP: u8 = 7;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;
const PING: u8 = 12;
const DISCONNECT: u8 = 14;

/// A packet, with the number of bytes that it takes.
pub(super) type Packet = (FromClient, usize);
/// Why a packet is refused, and the version in which its client is told, once that is known.
pub(super) type Refusal = (Reason, Option<Version>);

/// Reads the first packet of what a client has sent. `Ok(None)` while it is not whole.
///
/// `version` is that of the connection, unknown before its first packet.
pub(super) fn read(bytes: &[u8], version: Option<Version>) -> Result<Option<Packet>, Refusal> {
    let refused = |reason| (reason, version);
    let Some(length) = whole(bytes, version).map_err(refused)? else {
        return Ok(None);
    };
    let packet = &bytes[..length];
    let version = match version {
        Some(version) => version,
        None => announced(packet).map_err(refused)?,
    };
    let packet = by_library(version, BytesMut::from(packet));
    Ok(Some((
        packet.map_err(|reason| (reason, Some(version)))?,
        length,
    )))
}

/// Hands a packet to the library. Should that panic, only this connection ends: it holds no state.
fn by_library(version: Version, packet: BytesMut) -> Result<FromClient, Reason> {
    let read = || match version {
        Version::V311 => v4::read(packet),
        Version::V5 => v5::read(packet),
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        tracing::error!("a packet made the reader of packets fail; its connection ends");
        Err(Reason::Malformed)
    })
}

/// Length of the first packet, once it is there and may come from a client.
fn whole(bytes: &[u8], version: Option<Version>) -> Result<Option<usize>, Reason> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    // Before a byte of its body has come.
    may_come(first, version)?;
    let Some((header, body)) = lengths(bytes)? else {
        return Ok(None);
    };
    let length = header + body;
    if length > BROKER_PACKET_BYTES_MAX {
        return Err(Reason::TooLarge);
    }
    length_is_right(first, body, version)?;
    Ok((bytes.len() >= length).then_some(length))
}

/// Checks type and flags.
fn may_come(first: u8, version: Option<Version>) -> Result<(), Reason> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    let is_expected = match kind {
        CONNECT => version.is_none(),
        PUBLISH | PUB_ACK | PUB_REC | PUB_REL | PUB_COMP | SUBSCRIBE | UNSUBSCRIBE | PING
        | DISCONNECT => version.is_some(),
        // What only a broker says, an exchange of authentication that was not asked for, or none.
        _ => false,
    };
    if !is_expected {
        return Err(Reason::Protocol);
    }
    let is_right = match kind {
        // There is no quality of service 3, and what is sent once at most is not repeated.
        PUBLISH => {
            let quality = flags >> 1 & 3;
            quality != 3 && (quality > 0 || flags & 8 == 0)
        }
        PUB_REL | SUBSCRIBE | UNSUBSCRIBE => flags == 2,
        _ => flags == 0 || crate::plant::active("gate_open"),
    };
    if is_right {
        Ok(())
    } else {
        Err(Reason::Malformed)
    }
}

/// Lengths of the header and of the body that it announces; `None` while the header is not whole.
fn lengths(bytes: &[u8]) -> Result<Option<(usize, usize)>, Reason> {
    let mut length = 0;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((at + 2, length)));
        }
    }
    if bytes.len() > 4 {
        return Err(Reason::Malformed);
    }
    Ok(None)
}

/// Checks that the body can hold what its type must have.
fn length_is_right(first: u8, body: usize, version: Option<Version>) -> Result<(), Reason> {
    let is_v5 = version == Some(Version::V5);
    let is_right = match first >> 4 {
        // Name, level, flags, seconds to keep alive, and an id.
        CONNECT => body >= 12,
        PUBLISH => body >= if first & 6 > 0 { 4 } else { 2 } + usize::from(is_v5),
        PUB_ACK | PUB_REC | PUB_REL | PUB_COMP => body == 2 || is_v5 && body > 2,
        SUBSCRIBE => body >= 6 + usize::from(is_v5),
        UNSUBSCRIBE => body >= 5 + usize::from(is_v5),
        DISCONNECT => body == 0 || is_v5,
        _ => body == 0,
    };
    if is_right {
        Ok(())
    } else {
        Err(Reason::Malformed)
    }
}

/// The version that a first packet announces.
fn announced(packet: &[u8]) -> Result<Version, Reason> {
    let header = lengths(packet)?.map_or(0, |(header, _)| header);
    match packet.get(header..) {
        Some([0, 4, b'M', b'Q', b'T', b'T', level, ..]) => match level {
            4 => Ok(Version::V311),
            5 => Ok(Version::V5),
            _ => Err(Reason::Version),
        },
        // The name that version 3.1 had.
        Some([0, 6, b'M', b'Q', b'I', b's', b'd', b'p', ..]) => Err(Reason::Version),
        _ => Err(Reason::Malformed),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    const CONNECT_V4: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01c";
    const CONNECT_V5: &[u8] = b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01c";
    const BOTH: [Option<Version>; 2] = [Some(Version::V311), Some(Version::V5)];

    fn refusal(bytes: &[u8], version: Option<Version>) -> Reason {
        read(bytes, version).unwrap_err().0
    }

    #[test]
    fn first_packets_of_both_versions_are_read() {
        for (bytes, version) in [(CONNECT_V4, Version::V311), (CONNECT_V5, Version::V5)] {
            let (packet, length) = read(bytes, None).unwrap().unwrap();
            let FromClient::Connect(connect) = packet else {
                panic!("{packet:?}");
            };
            assert_eq!((connect.version, length), (version, bytes.len()));
            assert_eq!(connect.client_id, "c");
            // Every part of it is not yet a packet.
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end], None), Ok(None));
            }
            // Not twice.
            assert_eq!(refusal(bytes, Some(version)), Reason::Protocol);
        }
        assert_eq!(
            refusal(b"\x10\x0d\0\x04MQTT\x03\x02\0\x3c\0\x01c", None),
            Reason::Version
        );
        assert_eq!(
            refusal(b"\x10\x0f\0\x06MQIsdp\x03\x02\0\x3c\0\x01c", None),
            Reason::Version
        );
        assert_eq!(
            refusal(b"\x10\x0d\0\x04HTTP\x04\x02\0\x3c\0\x01c", None),
            Reason::Malformed
        );
    }

    #[test]
    fn what_a_client_may_not_send_does_not_reach_the_library() {
        // At the first byte: nothing of the body is waited for.
        for kind in 0..=15_u8 {
            let only_of_a_client = [1, 3, 4, 5, 6, 7, 8, 10, 12, 14].contains(&kind);
            for version in BOTH {
                let first = [kind << 4 | if [6, 8, 10].contains(&kind) { 2 } else { 0 }];
                let is_taken = only_of_a_client && kind != CONNECT;
                assert_eq!(whole(&first, version).is_ok(), is_taken, "{kind}");
                assert_eq!(whole(&first, None).is_ok(), kind == CONNECT, "{kind}");
            }
        }
    }

    #[test]
    fn flags_are_those_of_the_type() {
        for version in BOTH {
            for flags in 0..=15_u8 {
                let is_taken = |kind: u8| whole(&[kind << 4 | flags], version).is_ok();
                for kind in [PUB_ACK, PUB_REC, PUB_COMP, PING, DISCONNECT] {
                    assert_eq!(is_taken(kind), flags == 0, "{kind} {flags}");
                }
                for kind in [PUB_REL, SUBSCRIBE, UNSUBSCRIBE] {
                    assert_eq!(is_taken(kind), flags == 2, "{kind} {flags}");
                }
                let is_right = ![6, 7, 8, 9, 14, 15].contains(&flags);
                assert_eq!(is_taken(PUBLISH), is_right, "{flags}");
            }
        }
    }

    #[cfg(feature = "plants")]
    #[test]
    fn the_planted_bug_is_found() {
        crate::plant::turns_red("gate_open", flags_are_those_of_the_type);
    }

    #[test]
    fn lengths_are_those_of_the_type() {
        assert_eq!(lengths(b"\x30\x80\x80"), Ok(None));
        assert_eq!(lengths(b"\x30\xac\x02"), Ok(Some((3, 300))));
        assert_eq!(lengths(b"\x30\x80\x80\x80\x80"), Err(Reason::Malformed));
        for (first, least) in [(0x10, 12), (0x30, 2), (0x32, 4), (0x82, 6), (0xa2, 5)] {
            let version = (first != 0x10).then_some(Version::V311);
            assert!(whole(&[first, least - 1], version).is_err(), "{first}");
            assert_eq!(whole(&[first, least], version), Ok(None), "{first}");
        }
        for first in [0x40, 0x50, 0x62, 0x70] {
            for (body, is_right) in [(0, false), (1, false), (2, true), (3, false)] {
                let found = whole(&[first, body], Some(Version::V311));
                assert_eq!(found.is_ok(), is_right, "{first} {body}");
            }
            assert!(whole(&[first, 4], Some(Version::V5)).is_ok());
        }
        assert!(whole(b"\xc0\x01", BOTH[0]).is_err() && whole(b"\xe0\x01", BOTH[0]).is_err());
        assert!(whole(b"\xc0\x01", BOTH[1]).is_err() && whole(b"\xe0\x01", BOTH[1]).is_ok());
        // From its header: it is not waited for.
        assert_eq!(
            whole(b"\x30\xff\xff\xff\x7f", BOTH[0]),
            Err(Reason::TooLarge)
        );
    }

    #[test]
    fn what_the_library_finds_wrong_ends_the_connection() {
        for body in [&b"\x30\x02\0\x05"[..], b"\x30\x03\0\x01+", b"\x30\x02\0\0"] {
            assert_eq!(refusal(body, BOTH[0]), Reason::Malformed);
        }
        let deep = "/".repeat(crate::limits::BROKER_TOPIC_LEVELS_MAX);
        let packet = [b"\x30\x82\x01\0\x80", deep.as_bytes()].concat();
        assert_eq!(refusal(&packet, BOTH[0]), Reason::TopicInvalid);
    }

    /// Whatever changes in a packet: it is read, refused or waited for, and nothing panics.
    #[test]
    fn changed_packets_are_read_or_refused() {
        let packets: [&[u8]; 9] = [
            CONNECT_V4,
            CONNECT_V5,
            b"\x10\x1d\0\x04MQTT\x05\xc6\0\x3c\x05\x11\0\0\0\x09\0\x01c\0\0\x01t\0\0\0\x01u\0\0",
            b"\x32\x07\0\x01a\0\x01xy",
            b"\x32\x0d\0\x01a\0\x01\x05\x02\0\0\0\x09xyz",
            b"\x82\x06\0\x01\0\x01#\x01",
            b"\x82\x09\0\x01\x02\x0b\x01\0\x01#\x01",
            b"\xa2\x05\0\x01\0\x01a",
            b"\x62\x02\0\x01",
        ];
        let mut random = crate::ids::Rng::new(15);
        for _ in 0..50_000 {
            let mut bytes = packets[random.below(9) as usize].to_vec();
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                match random.below(3) {
                    0 => bytes[at] = random.next_u64() as u8,
                    1 => bytes.insert(at, random.next_u64() as u8),
                    _ => bytes.truncate(at + 1),
                }
            }
            for version in [None, BOTH[0], BOTH[1]] {
                let read = read(&bytes, version);
                assert!(!matches!(read, Ok(Some((_, length))) if length > bytes.len()));
            }
        }
    }
}
