//! How death and silence are noticed.

use std::time::{Duration, Instant};

use distflow_core::{Pmd, PmdOptions};
use distflow_tests::LIMIT;

use crate::nodes::{NodeProcess, pmd};

#[test]
fn a_kill_is_seen_by_everyone_with_its_cause() {
    let (_pmd, port) = pmd(&[]);
    let mut victim = NodeProcess::start(port, "victim", &["--no-auto-start"]);
    let watchers: Vec<NodeProcess> = (0..5)
        .map(|i| NodeProcess::start(port, &format!("w{i}"), &["--no-auto-start"]))
        .collect();
    victim.child.kill();
    let killed = Instant::now();
    for watcher in &watchers {
        let leave = watcher.event("peer:leave");
        assert_eq!(leave["peer"]["nodeId"], victim.id.as_str());
        assert_eq!(leave["cause"], "closed");
    }
    // A hundred times the promise: machines that run tests are loaded.
    assert!(
        killed.elapsed() < Duration::from_secs(10),
        "{:?}",
        killed.elapsed()
    );
}

#[test]
fn a_graceful_end_is_told_apart_from_a_death() {
    let (_pmd, port) = pmd(&[]);
    let mut leaver = NodeProcess::start(port, "leaver", &["--no-auto-start"]);
    let watcher = NodeProcess::start(port, "watcher", &["--no-auto-start"]);
    leaver.child.signal(libc::SIGTERM);
    assert_eq!(watcher.event("peer:leave")["cause"], "unregistered");
    assert_eq!(leaver.child.line_after("{\"event\":\"stopped"), "\"}");
    let status = leaver.child.wait(LIMIT).expect("the leaver goes on");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_frozen_node_with_heartbeats_is_expelled_and_comes_back() {
    let options = PmdOptions {
        port: 0,
        ..PmdOptions::default()
    };
    let pmd = Pmd::start(options).unwrap();
    let flags = ["--no-auto-start", "--heartbeat"];
    let frozen = NodeProcess::start(pmd.port(), "frozen", &flags);
    let watcher = NodeProcess::start(pmd.port(), "watcher", &flags[..1]);
    frozen.child.signal(libc::SIGSTOP);
    let stopped = Instant::now();
    let leave = watcher.event("peer:leave");
    // Twice the promise.
    assert!(
        stopped.elapsed() < Duration::from_secs(30),
        "{:?}",
        stopped.elapsed()
    );
    assert_eq!(leave["peer"]["nodeId"], frozen.id.as_str());
    assert_eq!(leave["cause"], "timeout");
    frozen.child.signal(libc::SIGCONT);
    let join = watcher.event("peer:join");
    assert_eq!(join["peer"]["nodeId"], frozen.id.as_str());
}
