//! A process killed and restarted at once under the same alias.

use std::time::Duration;

use distflow_core::{Pmd, PmdClient, PmdEvent, PmdOptions};
use distflow_tests::LIMIT;

use crate::nodes::{NodeProcess, pmd};

/// `CYCLES=10000` runs the long form.
fn cycles() -> u32 {
    std::env::var("CYCLES").map_or(300, |text| text.parse().unwrap())
}

#[test]
fn a_killed_process_gets_its_alias_back_and_watchers_see_one_leave_and_one_join() {
    // A victim that the kernel has not ended yet is probed for longer than one that lives.
    let options = PmdOptions {
        port: 0,
        probe_ms: 20_000,
        ..PmdOptions::default()
    };
    let pmd = Pmd::start(options).unwrap();
    let port = pmd.port();
    let mut watcher = PmdClient::connect("localhost", port).unwrap();
    assert!(watcher.watch().unwrap().is_empty());
    let mut next = |limit: Duration| watcher.next_event(limit).unwrap();

    let mut node = NodeProcess::start(port, "phoenix", &["--no-auto-start"]);
    assert!(matches!(next(LIMIT), Some(PmdEvent::Join(_))));
    for cycle in 0..cycles() {
        // The signal is sent, the successor is started, and only then is the victim waited for:
        // often the registration arrives before the kernel has closed the victim's sockets.
        node.child.signal(libc::SIGKILL);
        let successor = NodeProcess::spawn(port, "phoenix", &["--no-auto-start"]);
        let successor = NodeProcess::started(successor);
        match (next(LIMIT), next(LIMIT)) {
            (Some(PmdEvent::Leave(gone, _)), Some(PmdEvent::Join(came))) => {
                assert_eq!(gone.node_id, node.id, "cycle {cycle}");
                assert_eq!(came.node_id, successor.id, "cycle {cycle}");
            }
            other => panic!("cycle {cycle}: {other:?}"),
        }
        node = successor;
    }
    assert_eq!(next(Duration::from_millis(1)), None);
}

#[test]
fn a_living_process_keeps_its_alias() {
    let (_pmd, port) = pmd(&[]);
    let mut node = NodeProcess::start(port, "mine", &["--no-auto-start"]);
    let rival = NodeProcess::spawn(port, "mine", &["--no-auto-start"]);
    let mut rival = rival;
    let status = rival.wait(LIMIT).expect("the rival goes on");
    assert_eq!(status.code(), Some(3));
    // The holder noticed nothing.
    node.send("mine", "1");
    assert_eq!(node.next()["event"], "message");
}
