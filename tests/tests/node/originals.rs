//! Our node among originals: a hand-written original node, and an original PMD.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use distflow_core::error::ErrorKind;
use distflow_core::node_state::NodeEvent;
use distflow_core::{Node, Pmd, PmdOptions};
use distflow_tests::{FakePmd, LIMIT, OriginalClient, frame, free_port, read_frame, wait_until};

use crate::{builder, node, payload, pmd};

const ORIGINAL_ID: &str = "0123456789abcdef";

/// An original node: registered, with a listener of its own.
fn original(port: u16) -> (OriginalClient, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = OriginalClient::connect(port);
    client.register(
        ORIGINAL_ID,
        "original",
        listener.local_addr().unwrap().port(),
    );
    (client, listener)
}

fn envelope(from: &str, to: &str, payload: &str) -> Vec<u8> {
    frame(format!(
        "{{\"from\":\"{from}\",\"to\":\"{to}\",\"payload\":{payload},\"timestamp\":1700000000000}}"
    ))
}

fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", node.port())).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

#[test]
fn an_original_gets_nothing_but_the_originals_bytes() {
    let pmd = pmd();
    let (_client, listener) = original(pmd.port());
    let a = node(&pmd, "a");
    a.send_blocking(
        "original",
        &payload(serde_json::json!({"type": "HELLO"})),
        Some(LIMIT),
    )
    .unwrap();
    a.send_blocking(ORIGINAL_ID, &distflow_core::Payload::absent(), Some(LIMIT))
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut texts = Vec::new();
    for _ in 0..2 {
        texts.push(read_frame(&mut stream).unwrap().unwrap());
    }
    // The first frame is the message itself: no frame of ours opens the link.
    let start = format!("{{\"from\":\"{}\",\"to\":\"{ORIGINAL_ID}\",", a.id());
    let rest = texts[0].strip_prefix(&start).unwrap();
    assert!(
        rest.starts_with("\"payload\":{\"type\":\"HELLO\"},\"timestamp\":1"),
        "{rest}"
    );
    let rest = texts[1].strip_prefix(&start).unwrap();
    assert!(rest.starts_with("\"timestamp\":1"), "{rest}");
}

#[test]
fn an_originals_messages_arrive() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    let mut stream = connect(&a);
    let bytes = envelope(ORIGINAL_ID, a.id(), "{\"n\":1}");
    // In pieces, as TCP may bring it.
    for piece in bytes.chunks(7) {
        stream.write_all(piece).unwrap();
    }
    let message = a.recv_timeout(Some(LIMIT)).unwrap();
    assert_eq!(message.from.as_str(), ORIGINAL_ID);
    assert_eq!(
        (message.payload.as_str(), message.timestamp),
        ("{\"n\":1}", 1_700_000_000_000)
    );
}

#[test]
fn whom_a_message_is_from_is_known_with_it() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    // An original does not say its alias; the PMD knows it, although the join may not be told yet.
    for round in 0..20 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = OriginalClient::connect(pmd.port());
        let id = format!("original-{round}");
        client.register(
            &id,
            &format!("alias-{round}"),
            listener.local_addr().unwrap().port(),
        );
        connect(&a).write_all(&envelope(&id, a.id(), "1")).unwrap();
        let message = a.recv_timeout(Some(LIMIT)).unwrap();
        let alias = message.alias.as_ref().map(|alias| alias.as_str());
        assert_eq!(
            (message.from.as_str(), alias),
            (&*id, Some(&*format!("alias-{round}")))
        );
    }
    // Ours says it.
    let b = node(&pmd, "b");
    b.send_blocking("a", &payload(1), Some(LIMIT)).unwrap();
    assert_eq!(
        a.recv_timeout(Some(LIMIT)).unwrap().alias.unwrap().as_str(),
        "b"
    );
    let nameless = Node::builder().pmd_port(pmd.port()).auto_start(false);
    let nameless = nameless.start_blocking().unwrap();
    nameless
        .send_blocking("a", &payload(1), Some(LIMIT))
        .unwrap();
    assert_eq!(a.recv_timeout(Some(LIMIT)).unwrap().alias, None);
    // Whom nobody knows is not waited for.
    connect(&a)
        .write_all(&envelope("stranger", a.id(), "1"))
        .unwrap();
    assert_eq!(a.recv_timeout(Some(LIMIT)).unwrap().alias, None);
}

#[test]
fn a_message_for_someone_else_is_not_delivered() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    let mut stream = connect(&a);
    stream
        .write_all(&envelope(ORIGINAL_ID, "fedcba9876543210", "1"))
        .unwrap();
    // The connection is closed, the message counted.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(wait_until(LIMIT, || a.stats().misdirected == 1));
    assert!(a.try_recv().is_none());
}

#[test]
fn bad_frames_are_answered_and_closed() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    for (bytes, says) in [
        (frame("not json"), "Invalid JSON"),
        (frame("[]"), "Invalid message"),
        (frame("{\"from\":1}"), "Invalid message"),
        (
            frame(format!("{}{}", "[".repeat(70), "]".repeat(70))),
            "deeper than 64",
        ),
        ((64u32 << 20).to_be_bytes().to_vec(), "too large"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "too large"),
    ] {
        let mut stream = connect(&a);
        stream.write_all(&bytes).unwrap();
        let answer = read_frame(&mut stream).unwrap().unwrap();
        assert!(
            answer.starts_with("{\"error\":") && answer.contains(says),
            "{answer}"
        );
        assert!(read_frame(&mut stream).ok().flatten().is_none());
    }
    assert!(wait_until(LIMIT, || a.stats().bad_frames == 6));
    // Others are not affected.
    let b = node(&pmd, "b");
    b.send_blocking("a", &payload(1), Some(LIMIT)).unwrap();
    assert!(a.recv_timeout(Some(LIMIT)).is_ok());
}

#[test]
fn messages_before_a_bad_frame_are_delivered() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    let mut stream = connect(&a);
    let mut bytes = envelope(ORIGINAL_ID, a.id(), "1");
    bytes.extend(frame("nonsense"));
    stream.write_all(&bytes).unwrap();
    assert_eq!(a.recv_timeout(Some(LIMIT)).unwrap().payload.as_str(), "1");
}

#[test]
fn a_frame_that_is_never_completed_ends_its_connection() {
    let pmd = pmd();
    let a = builder(&pmd, "a")
        .with(|o| o.frame_deadline_ms = 100)
        .start_blocking()
        .unwrap();
    let mut half = connect(&a);
    let mut idle = connect(&a);
    idle.write_all(&envelope(ORIGINAL_ID, a.id(), "1")).unwrap();
    half.write_all(&[0, 0, 0, 100, b'{']).unwrap();
    let mut rest = Vec::new();
    let _ = half.read_to_end(&mut rest);
    // Idling between frames is legal.
    idle.write_all(&envelope(ORIGINAL_ID, a.id(), "2")).unwrap();
    assert_eq!(a.recv_timeout(Some(LIMIT)).unwrap().payload.as_str(), "1");
    assert_eq!(a.recv_timeout(Some(LIMIT)).unwrap().payload.as_str(), "2");
}

#[test]
fn nodes_work_with_an_original_pmd() {
    let pmd = FakePmd::start();
    let start = |alias: &str| {
        let builder = Node::builder().alias(alias).pmd_port(pmd.port());
        builder.auto_start(false).start_blocking().unwrap()
    };
    let a = start("a");
    let events = a.events();
    let b = start("b");
    a.send_blocking("b", &payload(1), Some(LIMIT)).unwrap();
    assert_eq!(b.recv_timeout(Some(LIMIT)).unwrap().payload.as_str(), "1");
    b.send_blocking(a.id(), &payload(2), Some(LIMIT)).unwrap();
    assert_eq!(a.recv_timeout(Some(LIMIT)).unwrap().payload.as_str(), "2");
    let error = a
        .send_blocking("nobody", &payload(1), Some(LIMIT))
        .unwrap_err();
    assert_eq!(error.to_string(), "Failed to resolve target: nobody");
    assert_eq!(a.discover_blocking(None).unwrap().len(), 1);
    b.shutdown_blocking().unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(format!("{:?}", events.next_timeout(LIMIT).unwrap()));
    }
    assert!(
        seen[0].starts_with("PeerJoin") && seen[1].starts_with("PeerLeave"),
        "{seen:?}"
    );
    // What an original does not know was never sent to it, except for the greeting.
    let extras = ["\"caps\":[\"link", "\"session\"", "\"meta\""];
    let requests = pmd.requests();
    for request in requests
        .iter()
        .filter(|request| !request.contains("\"hello\""))
    {
        assert!(
            !extras.iter().any(|extra| request.contains(extra)),
            "{request}"
        );
    }
}

/// Our PMD on a port that another one is about to leave.
fn pmd_on(port: u16) -> Pmd {
    let mut pmd = None;
    let up = wait_until(LIMIT, || {
        let options = PmdOptions {
            port,
            ..PmdOptions::default()
        };
        match Pmd::start(options) {
            Ok(started) => pmd = Some(started),
            Err(error) => assert_eq!(error.kind(), ErrorKind::AddressInUse),
        }
        pmd.is_some()
    });
    assert!(up, "port {port} stays in use");
    pmd.unwrap()
}

fn original_on(port: u16) -> FakePmd {
    let free = || TcpListener::bind(("127.0.0.1", port)).is_ok();
    assert!(wait_until(LIMIT, free), "port {port} stays in use");
    FakePmd::start_on(port)
}

#[test]
fn a_pmd_of_the_other_kind_brings_neither_leaves_nor_joins() {
    let port = free_port();
    let mut original = Some(original_on(port));
    let mut ours = None;
    let start = |alias: &str| {
        let builder = Node::builder()
            .alias(alias)
            .pmd_port(port)
            .meta("{\"zone\":1}");
        builder.auto_start(false).start_blocking().unwrap()
    };
    let nodes = [start("a"), start("b")];
    let events = nodes.each_ref().map(Node::events);
    assert!(wait_until(LIMIT, || nodes
        .iter()
        .all(|n| n.peers().len() == 1)));
    // That they have met may still be on its way to the events. It comes before what somebody says who
    // comes and goes now.
    let c = start("c");
    let id = c.id().to_owned();
    c.shutdown_blocking().unwrap();
    for events in &events {
        let is_left = |event| matches!(event, NodeEvent::PeerLeave(p, _) if p.node_id == id);
        while !is_left(events.next_timeout(LIMIT).unwrap()) {}
    }
    for kind in ["ours", "original", "ours"] {
        if kind == "ours" {
            drop(original.take());
            ours = Some(pmd_on(port));
        } else {
            drop(ours.take());
            original = Some(original_on(port));
        }
        for events in &events {
            let lost = events.next_timeout(LIMIT).unwrap();
            assert!(
                matches!(lost, NodeEvent::RegistryLost(_)),
                "{kind}: {lost:?}"
            );
            let back = events.next_timeout(LIMIT).unwrap();
            assert!(
                matches!(back, NodeEvent::RegistryRestored),
                "{kind}: {back:?}"
            );
        }
        // Who comes and goes now is told, and nobody else is: not either of the two.
        let c = start("c");
        let id = c.id().to_owned();
        c.shutdown_blocking().unwrap();
        for events in &events {
            let joined = events.next_timeout(LIMIT).unwrap();
            assert!(
                matches!(&joined, NodeEvent::PeerJoin(p) if p.node_id == id),
                "{kind}: {joined:?}"
            );
            let left = events.next_timeout(LIMIT).unwrap();
            assert!(
                matches!(&left, NodeEvent::PeerLeave(p, _) if p.node_id == id),
                "{kind}: {left:?}"
            );
        }
        nodes[0]
            .send_blocking("b", &payload(kind), Some(LIMIT))
            .unwrap();
        let got = nodes[1].recv_timeout(Some(LIMIT)).unwrap();
        assert_eq!(got.payload.as_str(), format!("\"{kind}\""));
    }
}
