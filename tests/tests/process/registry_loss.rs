//! The PMD dies: nobody is lost, nothing is invented.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use distflow_core::{EventStream, Launcher, Node, NodeEvent, NodeOptions, Payload, PmdClient};
use distflow_tests::{LIMIT, distflow_program, free_port, wait_until};

use crate::nodes::{DaemonGuard, daemons, pmd};

fn options(port: u16, i: usize) -> NodeOptions {
    NodeOptions {
        alias: Some(format!("n{i}")),
        pmd_port: port,
        launcher: Some(Launcher::new(vec![distflow_program().into()]).unwrap()),
        start_timeout_ms: LIMIT.as_millis() as u64,
        ..NodeOptions::default()
    }
}

/// Waits for an event, and fails on a join or leave.
fn wait_for(events: &EventStream, wanted: impl Fn(&NodeEvent) -> bool) {
    loop {
        let event = events.next_timeout(LIMIT).unwrap();
        let invented = matches!(event, NodeEvent::PeerJoin(_) | NodeEvent::PeerLeave(..));
        assert!(!invented, "{event:?}");
        if wanted(&event) {
            return;
        }
    }
}

#[test]
fn two_hundred_nodes_survive_the_death_of_the_pmd() {
    const NODES: usize = 200;
    let port = free_port();
    let _guard = DaemonGuard(port);
    let nodes: Vec<Node> = (0..NODES)
        .map(|i| Node::start_blocking(options(port, i)).unwrap())
        .collect();
    let ids: BTreeSet<String> = nodes.iter().map(|node| node.id().to_owned()).collect();
    assert!(wait_until(LIMIT, || nodes
        .iter()
        .all(|n| n.peers().len() == NODES - 1)));
    let streams: Vec<EventStream> = nodes.iter().map(Node::events).collect();

    for pid in daemons(port) {
        // SAFETY: a signal to the daemon that the first node started.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    for stream in &streams {
        wait_for(stream, |event| matches!(event, NodeEvent::RegistryLost(_)));
    }
    // Without a PMD, who knows each other goes on talking.
    let payload = Payload::from_value("still here").unwrap();
    nodes[0].send_blocking("n7", &payload, Some(LIMIT)).unwrap();
    assert_eq!(nodes[7].recv_timeout(Some(LIMIT)).unwrap().payload, payload);
    let answers = || PmdClient::connect("localhost", port).is_ok();
    assert!(wait_until(LIMIT, answers));
    let answered = Instant::now();
    for stream in &streams {
        wait_for(stream, |event| matches!(event, NodeEvent::RegistryRestored));
    }
    let listed = || -> BTreeSet<String> {
        let nodes = PmdClient::connect("localhost", port).and_then(|mut pmd| pmd.list(None));
        nodes
            .unwrap_or_default()
            .into_iter()
            .map(|node| node.node_id)
            .collect()
    };
    assert!(wait_until(LIMIT, || listed() == ids));
    // Six times the promise.
    assert!(
        answered.elapsed() < Duration::from_secs(30),
        "{:?}",
        answered.elapsed()
    );

    // A real change after all that is seen as just that.
    nodes[3].shutdown_blocking().unwrap();
    for (i, stream) in streams.iter().enumerate().filter(|(i, _)| *i != 3) {
        match stream.next_timeout(LIMIT).unwrap() {
            NodeEvent::PeerLeave(peer, _) => assert_eq!(peer.node_id, nodes[3].id(), "node {i}"),
            other => panic!("node {i}: {other:?}"),
        }
    }
}

#[test]
fn a_peer_that_died_with_the_pmd_is_reported_once() {
    let (mut pmd_process, port) = pmd(&[]);
    let start = |i| {
        let options = NodeOptions {
            auto_start: false,
            ..options(port, i)
        };
        Node::start_blocking(options).unwrap()
    };
    let (stays, dies) = (start(0), start(1));
    assert!(wait_until(LIMIT, || stays.peers().len() == 1));
    let events = stays.events();
    pmd_process.kill();
    wait_for(&events, |event| matches!(event, NodeEvent::RegistryLost(_)));
    drop(dies);
    let port_text = port.to_string();
    let mut again = crate::nodes::distflow(&["pmd", "start", "--port", &port_text]);
    again.stderr(std::process::Stdio::null());
    let _again = distflow_tests::Child::spawn(again);
    wait_for(&events, |event| {
        matches!(event, NodeEvent::RegistryRestored)
    });
    match events.next_timeout(LIMIT).unwrap() {
        NodeEvent::PeerLeave(peer, _) => assert_eq!(peer.alias.as_deref(), Some("n1")),
        other => panic!("{other:?}"),
    }
    assert!(events.next_timeout(Duration::from_millis(1)).is_err());
}

#[test]
fn requests_fail_at_once_without_a_pmd() {
    let (mut pmd_process, port) = pmd(&[]);
    let node = Node::start_blocking(NodeOptions {
        auto_start: false,
        request_timeout_ms: 3_600_000,
        ..options(port, 0)
    })
    .unwrap();
    let events = node.events();
    pmd_process.kill();
    wait_for(&events, |event| matches!(event, NodeEvent::RegistryLost(_)));
    let error = node.discover_blocking(None).unwrap_err();
    assert_eq!(error.to_string(), "Not connected to PMD");
    let payload = Payload::absent();
    let error = node
        .send_blocking("nobody", &payload, Some(LIMIT))
        .unwrap_err();
    assert_eq!(error.to_string(), "Failed to resolve target: nobody");
}
