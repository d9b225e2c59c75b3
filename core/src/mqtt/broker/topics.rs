//! Topics as the library behind the broker can take them.
//!
//! It fails, for everybody and for good, on one that begins with a letter of more than one byte (its
//! `matches` looks at the first byte of the text). So each topic begins with a prefix there, which is put
//! before it on the way in and taken off on the way out. Those of the broker's own, which begin with `$`,
//! stay as they are.

use crate::error::{Error, ErrorKind, Result};

const PREFIX: &[u8] = b"t/";

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;
/// The level of the protocol in a CONNECT of MQTT 5, which has properties.
const LEVEL_5: u8 = 5;
/// A will is in a CONNECT.
const HAS_WILL: u8 = 1 << 2;

fn malformed(what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidMessage,
        format!("a packet of MQTT {what}"),
    )
}

/// The length of the first packet's fixed header, and of the whole packet; `None` while that is not there
/// yet.
///
/// Error: `invalid_message` for a length that is none.
pub(super) fn packet_lengths(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut left = Fields(bytes.get(1..).unwrap_or_default());
    let before = left.0.len();
    match left.count() {
        Ok(length) => {
            let header = 1 + before - left.0.len();
            Ok(Some((header, header + length)))
        }
        Err(error) if before >= 4 => Err(error),
        Err(_) => Ok(None),
    }
}

/// The packets of one client, on their way in and out.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    has_properties: bool,
}

impl Inbound {
    /// Appends a whole packet of the client, with the prefix before its topics.
    ///
    /// Error: `invalid_message`.
    pub fn append(&mut self, packet: &[u8], header: usize, out: &mut Vec<u8>) -> Result<()> {
        let (head, body) = packet.split_at(header);
        let (first, mut fields) = (head.first().copied().unwrap_or(0), Fields(body));
        let mut changed = Vec::with_capacity(packet.len() + 8);
        match first >> 4 {
            CONNECT => {
                changed.extend(fields.text()?.1);
                let rest = fields.bytes(4)?;
                self.has_properties = rest[0] == LEVEL_5;
                changed.extend(rest);
                self.properties(&mut fields, &mut changed)?;
                changed.extend(fields.text()?.1);
                if rest[1] & HAS_WILL != 0 {
                    self.properties(&mut fields, &mut changed)?;
                    append_topic(fields.text()?.0, &mut changed)?;
                }
            }
            PUBLISH => append_topic(fields.text()?.0, &mut changed)?,
            kind @ (SUBSCRIBE | UNSUBSCRIBE) => {
                changed.extend(fields.bytes(2)?);
                self.properties(&mut fields, &mut changed)?;
                while !fields.0.is_empty() {
                    append_filter(fields.text()?.0, &mut changed)?;
                    if kind == SUBSCRIBE {
                        changed.extend(fields.bytes(1)?);
                    }
                }
            }
            _ => {}
        }
        changed.extend(fields.0);
        append_packet(first, &changed, out)
    }

    fn properties(&self, fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<()> {
        if self.has_properties {
            let all = fields.0;
            let length = fields.count()?;
            fields.bytes(length)?;
            out.extend(&all[..all.len() - fields.0.len()]);
        }
        Ok(())
    }
}

/// Appends a whole packet of the broker, without the prefix of its topic.
///
/// Error: `invalid_message`.
pub(super) fn append_outbound(packet: &[u8], header: usize, out: &mut Vec<u8>) -> Result<()> {
    let (head, body) = packet.split_at(header);
    let first = head.first().copied().unwrap_or(0);
    if first >> 4 != PUBLISH {
        out.extend(packet);
        return Ok(());
    }
    let mut fields = Fields(body);
    let (topic, _) = fields.text()?;
    let mut changed = Vec::with_capacity(packet.len());
    append_text(&[topic.strip_prefix(PREFIX).unwrap_or(topic)], &mut changed)?;
    changed.extend(fields.0);
    append_packet(first, &changed, out)
}

/// With MQTT 5 an empty topic means one that was given a number before.
fn append_topic(topic: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match topic.first() {
        None | Some(b'$') => append_text(&[topic], out),
        Some(_) => append_text(&[PREFIX, topic], out),
    }
}

/// Of a shared subscription, `$share/{group}/{filter}`, the filter has the prefix.
fn append_filter(filter: &[u8], out: &mut Vec<u8>) -> Result<()> {
    const SHARED: &[u8] = b"$share/";
    let group = filter.strip_prefix(SHARED);
    let group = group.and_then(|rest| rest.iter().position(|byte| *byte == b'/'));
    match group {
        Some(group) => {
            let (shared, filter) = filter.split_at(SHARED.len() + group + 1);
            append_text(&[shared, PREFIX, filter], out)
        }
        None => append_topic(filter, out),
    }
}

fn append_text(parts: &[&[u8]], out: &mut Vec<u8>) -> Result<()> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let length = u16::try_from(length).map_err(|_| malformed("has a topic that is too long"))?;
    out.extend(length.to_be_bytes());
    parts.iter().for_each(|part| out.extend(*part));
    Ok(())
}

fn append_packet(first: u8, body: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.push(first);
    let mut left = u32::try_from(body.len()).map_err(|_| malformed("is too long"))?;
    loop {
        let more = u8::from(left > 0x7f) << 7;
        out.push((left & 0x7f) as u8 | more);
        left >>= 7;
        if left == 0 {
            break;
        }
    }
    out.extend(body);
    Ok(())
}

/// What is left of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let split = self.0.split_at_checked(length);
        let (bytes, rest) = split.ok_or_else(|| malformed("ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Text, and the same with its length before it.
    fn text(&mut self) -> Result<(&'a [u8], &'a [u8])> {
        let all = self.0;
        let length = self.bytes(2)?;
        let length = usize::from(length[0]) << 8 | usize::from(length[1]);
        let text = self.bytes(length)?;
        Ok((text, &all[..length + 2]))
    }

    /// A variable byte integer (MQTT 5, 1.5.5).
    fn count(&mut self) -> Result<usize> {
        let mut count = 0;
        for at in 0..4 {
            let byte = self.bytes(1)?[0];
            count |= usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(count);
            }
        }
        Err(malformed("has a length that is none"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    fn packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append_packet(first, body, &mut out).unwrap();
        out
    }

    fn inbound(client: &mut Inbound, packet: &[u8]) -> Vec<u8> {
        let (header, length) = packet_lengths(packet).unwrap().unwrap();
        assert_eq!(length, packet.len());
        let mut out = Vec::new();
        client.append(packet, header, &mut out).unwrap();
        out
    }

    fn outbound(packet: &[u8]) -> Vec<u8> {
        let (header, _) = packet_lengths(packet).unwrap().unwrap();
        let mut out = Vec::new();
        append_outbound(packet, header, &mut out).unwrap();
        out
    }

    #[test]
    fn topics_have_a_prefix_inside() {
        let mut client = Inbound::default();
        let publish = packet(0x32, b"\0\x03\xc3\xbcx\0\x07payload");
        let inside = packet(0x32, b"\0\x05t/\xc3\xbcx\0\x07payload");
        assert_eq!(inbound(&mut client, &publish), inside);
        assert_eq!(outbound(&inside), publish);
        let subscribe = packet(0x82, b"\0\x01\0\x01#\x01\0\x0a$share/g/+\0\0\x05$SYS/\0");
        let inside = packet(
            0x82,
            b"\0\x01\0\x03t/#\x01\0\x0c$share/g/t/+\0\0\x05$SYS/\0",
        );
        assert_eq!(inbound(&mut client, &subscribe), inside);
        let unsubscribe = packet(0xa2, b"\0\x01\0\x01a\0\x01b");
        let inside = packet(0xa2, b"\0\x01\0\x03t/a\0\x03t/b");
        assert_eq!(inbound(&mut client, &unsubscribe), inside);
        // What has no topic is left alone, also a publication of a topic's number.
        for other in [
            packet(0xc0, b""),
            packet(0x40, b"\0\x01"),
            packet(0x30, b"\0\0\x03\x23\0\x01x"),
        ] {
            assert_eq!(inbound(&mut client, &other), other);
            assert_eq!(outbound(&other), other);
        }
    }

    #[test]
    fn wills_are_found_in_both_versions() {
        let connect = packet(0x10, b"\0\x04MQTT\x04\x06\0\x3c\0\x01c\0\x01w\0\x02by");
        let inside = packet(0x10, b"\0\x04MQTT\x04\x06\0\x3c\0\x01c\0\x03t/w\0\x02by");
        assert_eq!(inbound(&mut Inbound::default(), &connect), inside);
        let connect = packet(
            0x10,
            b"\0\x04MQTT\x05\x06\0\x3c\x02\x24\0\0\x01c\x02\x01\0\0\x01w\0\x02by",
        );
        let inside = packet(
            0x10,
            b"\0\x04MQTT\x05\x06\0\x3c\x02\x24\0\0\x01c\x02\x01\0\0\x03t/w\0\x02by",
        );
        let mut client = Inbound::default();
        assert_eq!(inbound(&mut client, &connect), inside);
        let subscribe = packet(0x82, b"\0\x01\x02\x0b\x01\0\x01a\0");
        let inside = packet(0x82, b"\0\x01\x02\x0b\x01\0\x03t/a\0");
        assert_eq!(inbound(&mut client, &subscribe), inside);
        let without = packet(0x10, b"\0\x04MQTT\x04\x02\0\x3c\0\x01c");
        assert_eq!(inbound(&mut Inbound::default(), &without), without);
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        assert_eq!(packet_lengths(b"").unwrap(), None);
        assert_eq!(packet_lengths(b"\x30\x80\x80").unwrap(), None);
        assert!(packet_lengths(b"\x30\x80\x80\x80\x80").is_err());
        let long = packet(0x30, &[b'x'; 300]);
        assert_eq!(packet_lengths(&long).unwrap(), Some((3, 303)));
        for body in [&b"\0"[..], b"\0\x05abc"] {
            let packet = packet(0x30, body);
            assert!(
                Inbound::default()
                    .append(&packet, 2, &mut Vec::new())
                    .is_err()
            );
            assert!(append_outbound(&packet, 2, &mut Vec::new()).is_err());
        }
        let mut longest = vec![0xff, 0xff];
        longest.extend([b'x'; 0xffff]);
        let packet = packet(0x30, &longest);
        assert!(
            Inbound::default()
                .append(&packet, 4, &mut Vec::new())
                .is_err()
        );
    }
}
