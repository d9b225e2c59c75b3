use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::super::{Broker, BrokerSettings};
use crate::error::ErrorKind;

const LIMIT: Duration = Duration::from_secs(60);

fn start(settings: BrokerSettings) -> Broker {
    Broker::start(BrokerSettings {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        ..settings
    })
    .unwrap()
}

fn stream(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

fn connect_packet(id: &str) -> Vec<u8> {
    let mut packet = vec![0x10, 12 + id.len() as u8];
    packet.extend(b"\0\x04MQTT\x04\x02\0\0\0");
    packet.push(id.len() as u8);
    packet.extend(id.as_bytes());
    packet
}

/// What comes, until the other side closes.
fn all_from(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

fn enter(broker: &Broker, id: &str) -> TcpStream {
    let mut stream = stream(broker);
    stream.write_all(&connect_packet(id)).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0]);
    stream
}

/// Who has started it is told, and does not wait for ever.
#[test]
fn a_fault_inside_ends_the_broker_with_an_error() {
    let broker = start(BrokerSettings::default());
    let stream = stream(&broker);
    (&stream)
        .write_all(&connect_packet("a fault for tests"))
        .unwrap();
    let error = broker.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panic);
    assert!(error.message().contains("a fault for tests"), "{error}");
    assert!(all_from(&stream).is_empty());
}

#[test]
fn what_is_no_packet_ends_its_connection_and_nothing_else() {
    let broker = start(BrokerSettings::default());
    let mut other = enter(&broker, "other");
    for (bytes, answer) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], &b""[..]),
        (b"\x10\x00", b""),
        (b"\xff\xff\xff\xff\xff", b""),
        (
            b"\x10\x0d\0\x04MQTT\x03\x02\0\x3c\0\x01c",
            b"\x20\x02\0\x01",
        ),
        // With MQTT 5 the reason is said.
        (
            b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01c\x82\x00",
            b"\xe0\x02\x81\0",
        ),
    ] {
        let stream = stream(&broker);
        (&stream).write_all(bytes).unwrap();
        assert!(all_from(&stream).ends_with(answer), "{bytes:?}");
    }
    other.write_all(b"\xc0\0").unwrap();
    let mut answer = [0; 2];
    other.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0xd0, 0]);
}

#[test]
fn a_broker_ends_when_it_is_dropped_and_its_port_is_free() {
    let broker = start(BrokerSettings::default());
    let stream = enter(&broker, "a");
    let address = broker.addresses()[0];
    let stop = broker.stopper();
    drop(broker);
    assert!(all_from(&stream).is_empty());
    stop.stop();
    drop(std::net::TcpListener::bind(address).unwrap());
}

#[test]
fn one_client_more_than_there_is_room_for_is_told() {
    let broker = start(BrokerSettings {
        clients_max: Some(2),
        ..BrokerSettings::default()
    });
    let _in = [enter(&broker, "a"), enter(&broker, "b")];
    let stream = stream(&broker);
    (&stream).write_all(&connect_packet("c")).unwrap();
    assert_eq!(all_from(&stream), [0x20, 2, 0, 3]);
}
