//! Starting and ending.

use std::time::{Duration, Instant};

use distflow_core::{ErrorKind, Node, NodeOptions};
use distflow_tests::{LIMIT, wait_until};

use crate::{builder, node, payload, pmd};

#[test]
fn shutdown_flushes_and_is_safe_to_call_twice() {
    const MESSAGES: u64 = 2_000;
    let pmd = pmd();
    let a = node(&pmd, "a");
    let b = builder(&pmd, "b")
        .mailbox(10_000, Default::default())
        .start_blocking()
        .unwrap();
    for n in 0..MESSAGES {
        a.send_blocking("b", &payload(n), Some(LIMIT)).unwrap();
    }
    let begun = Instant::now();
    a.shutdown_blocking().unwrap();
    // Ten times the promise.
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    a.shutdown_blocking().unwrap();
    assert!(a.has_ended());
    for n in 0..MESSAGES {
        let message = b.recv_timeout(Some(LIMIT)).unwrap();
        assert_eq!(message.payload.parse::<u64>().unwrap(), n);
    }
    assert!(wait_until(LIMIT, || b.peers().is_empty()));
    assert_eq!(pmd.nodes().unwrap().len(), 1);
}

#[test]
fn a_node_that_ended_says_so() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    a.shutdown_blocking().unwrap();
    let error = a.send_blocking("a", &payload(1), None).unwrap_err();
    // The text is the originals'; the kind tells it from a node that is yet to start.
    assert_eq!(error.to_string(), "Node not started");
    assert_eq!(error.kind(), ErrorKind::Closed);
    let error = a.discover_blocking(None).unwrap_err();
    assert_eq!(error.to_string(), "Node not started");
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(
        a.recv_timeout(Some(LIMIT)).unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert!(a.events().next_timeout(LIMIT).is_err());
}

#[test]
fn shutdown_in_a_handler_does_not_hang() {
    let pmd = pmd();
    let (a, b) = (node(&pmd, "a"), node(&pmd, "b"));
    let ending = b.clone();
    b.on_message(move |_| ending.shutdown_blocking().unwrap())
        .unwrap();
    a.send_blocking("b", &payload(1), Some(LIMIT)).unwrap();
    assert!(wait_until(LIMIT, || b.has_ended()));
    assert!(wait_until(LIMIT, || a.peers().is_empty()));
}

#[test]
fn dropping_the_last_handle_ends_the_node() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    let clone = a.clone();
    drop(a);
    assert_eq!(pmd.nodes().unwrap().len(), 1);
    drop(clone);
    assert!(wait_until(LIMIT, || pmd.nodes().unwrap().is_empty()));
}

#[test]
fn a_taken_alias_or_id_refuses_the_start() {
    let pmd = pmd();
    let _a = builder(&pmd, "a").node_id("id-1").start_blocking().unwrap();
    let error = node_error(builder(&pmd, "a"));
    assert_eq!(error.to_string(), "Alias 'a' already in use");
    assert_eq!(error.kind(), ErrorKind::AliasInUse);
    let error = node_error(builder(&pmd, "b").node_id("id-1"));
    assert_eq!(error.to_string(), "Node 'id-1' already registered");
    assert_eq!(error.kind(), ErrorKind::NodeIdInUse);
}

fn node_error(builder: distflow_core::NodeBuilder) -> distflow_core::Error {
    builder.start_blocking().unwrap_err()
}

#[test]
fn wrong_options_are_named() {
    let pmd = pmd();
    for (change, says) in [
        (
            (|o| o.alias = Some("a\nb".into())) as fn(&mut NodeOptions),
            "control characters",
        ),
        (|o| o.alias = Some("x".repeat(256)), "at most 255"),
        (
            |o| o.node_id = Some(String::new()),
            "nodeId must not be empty",
        ),
        (|o| o.meta = Some("[]".into()), "meta must be a JSON object"),
        (
            |o| o.meta = Some(format!("{{\"x\":\"{}\"}}", "y".repeat(5_000))),
            "at most 4096",
        ),
        (|o| o.pmd_port = 0, "pmd_port"),
        (|o| o.listen_host = "0.0.0.0".into(), "no authentication"),
        (|o| o.mailbox.messages_max = 0, "at least 1 message"),
        (
            |o| (o.use_heartbeat, o.heartbeat_interval_ms) = (true, 60_000),
            "heartbeat_interval_ms",
        ),
    ] {
        let error = node_error(builder(&pmd, "x").with(change));
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(pmd.nodes().unwrap().is_empty());
}

#[test]
fn one_exclusive_node_a_process() {
    let pmd = pmd();
    let exclusive = |alias: &str| builder(&pmd, alias).with(|o| o.exclusive = true);
    let first = exclusive("one").start_blocking().unwrap();
    let error = node_error(exclusive("two"));
    assert_eq!(error.to_string(), "Node already running in this process");
    assert_eq!(error.kind(), ErrorKind::AlreadyRunning);
    let first_id = first.id().to_owned();
    first.shutdown_blocking().unwrap();
    let again = exclusive("one").start_blocking().unwrap();
    assert_ne!(again.id(), first_id);
    again.shutdown_blocking().unwrap();
    // A start that fails gives the lock back.
    let _holder = node(&pmd, "taken");
    assert_eq!(node_error(exclusive("taken")).kind(), ErrorKind::AliasInUse);
    exclusive("free").start_blocking().unwrap();
}

#[test]
fn many_nodes_come_and_go_without_leaving_anything() {
    let pmd = pmd();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    // Threads and descriptors that stay are made at the first use.
    node(&pmd, "warm").shutdown_blocking().unwrap();
    let before = open();
    for _ in 0..50 {
        let (a, b) = (node(&pmd, "a"), node(&pmd, "b"));
        a.send_blocking("b", &payload(1), Some(LIMIT)).unwrap();
        b.recv_timeout(Some(LIMIT)).unwrap();
        b.on_message(|_| {}).unwrap();
        a.shutdown_blocking().unwrap();
        b.shutdown_blocking().unwrap();
    }
    // Other tests of this process open some of their own.
    assert!(
        wait_until(LIMIT, || open() < before + 50),
        "{before} {}",
        open()
    );
}

#[test]
fn a_hundred_nodes_start_at_once_and_see_each_other() {
    let pmd = pmd();
    let port = pmd.port();
    let threads: Vec<_> = (0..100)
        .map(|i| {
            std::thread::spawn(move || {
                let builder = Node::builder().alias(format!("n{i}")).pmd_port(port);
                builder.start_blocking().unwrap()
            })
        })
        .collect();
    let nodes: Vec<Node> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert!(wait_until(LIMIT, || nodes
        .iter()
        .all(|node| node.peers().len() == 99)));
}
