//! Who counts as alive, for clients of each generation.

use std::time::Duration;

use distflow_core::pmd::{Pmd, PmdOptions};
use distflow_tests::{LIMIT, OriginalClient, wait_until};

use crate::{options, pmd};

#[test]
fn a_closed_connection_takes_its_node_along_at_once() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    a.call("heartbeat", r#"{"nodeId":"a"}"#);
    drop(a);
    assert_eq!(watcher.change(), "peer:join a");
    assert_eq!(watcher.change(), "peer:leave a");
    assert_eq!(watcher.ids(), [""; 0]);
}

#[test]
fn a_half_closed_connection_counts_as_closed_and_gets_its_answers() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    for n in 0..50 {
        let mut a = OriginalClient::connect(pmd.port());
        let mut bytes = distflow_tests::frame(a.request_text(
            "register",
            &distflow_tests::register_payload(&format!("n{n}"), "", 1),
        ));
        bytes.extend(distflow_tests::frame(a.request_text("list", "{}")));
        a.send_bytes(&bytes);
        a.half_close();
        let answer = a.frame().expect("closed without an answer");
        assert!(
            answer.contains(r#""req_1","payload":{"success":true}"#),
            "{answer}"
        );
        let answer = a.frame().expect("closed without the second answer");
        assert!(
            answer.contains(r#""req_2","payload":{"nodes":[{"#),
            "{answer}"
        );
        a.expect_end();
        assert_eq!(watcher.change(), format!("peer:join n{n}"));
        assert_eq!(watcher.change(), format!("peer:leave n{n}"));
    }
}

#[test]
fn a_long_answer_reaches_a_client_that_has_half_closed() {
    const REQUESTS: usize = 300;
    let pmd = pmd();
    let mut owner = OriginalClient::connect(pmd.port());
    let host = "h".repeat(250);
    for n in 0..60 {
        owner.call(
            "register",
            &format!(r#"{{"nodeId":"n{n}","host":"{host}","port":1}}"#),
        );
    }
    let mut a = OriginalClient::connect(pmd.port());
    let bytes: Vec<u8> = (0..REQUESTS)
        .flat_map(|_| distflow_tests::frame(a.request_text("list", "{}")))
        .collect();
    a.send_bytes(&bytes);
    a.half_close();
    // About 6 MB, more than the sockets' buffers hold.
    for n in 0..REQUESTS {
        let answer = a
            .frame()
            .unwrap_or_else(|| panic!("closed after {n} answers"));
        assert!(answer.len() > 60 * 250);
    }
    a.expect_end();
}

/// A PMD that removes heartbeat-bound nodes quickly.
fn pmd_with_ttl(heartbeat_ttl_ms: u64) -> Pmd {
    Pmd::start(PmdOptions {
        heartbeat_ttl_ms,
        ..options()
    })
    .unwrap()
}

#[test]
fn a_node_with_heartbeats_from_elsewhere_outlives_its_connection_until_they_stop() {
    let pmd = pmd_with_ttl(8_000);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut heart = OriginalClient::connect(pmd.port());
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "svc", 1);
    assert_eq!(
        heart.call("heartbeat", r#"{"nodeId":"a"}"#)["success"],
        true
    );
    drop(a);
    // The end of its connection has been handled when a later connection is answered.
    OriginalClient::connect(pmd.port()).ids();
    assert_eq!(
        heart.call("heartbeat", r#"{"nodeId":"a"}"#)["success"],
        true
    );
    assert_eq!(watcher.changes(), ["peer:join a"]);
    drop(heart);
    OriginalClient::connect(pmd.port()).ids();
    assert_eq!(
        watcher.ids(),
        ["a"],
        "the heart's connection is not the node's"
    );
    // Now the heartbeats have stopped.
    assert_eq!(watcher.change(), "peer:leave a");
    assert_eq!(watcher.resolve("svc"), None);
}

#[test]
fn a_node_on_an_open_connection_is_never_removed_for_lack_of_heartbeats() {
    // Every node is over its time at once, and looked at twice a second.
    let pmd = pmd_with_ttl(1);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.hello(&["rev"]);
    watcher.watch();
    // Heart-beaten over its own connection, as by clients of the first generation.
    let mut own = OriginalClient::connect(pmd.port());
    own.register("own", "", 1);
    own.call("heartbeat", r#"{"nodeId":"own"}"#);
    // Heart-beaten from elsewhere as well, with its connection open.
    let mut both = OriginalClient::connect(pmd.port());
    both.register("both", "", 1);
    own.call("heartbeat", r#"{"nodeId":"both"}"#);
    // A third, whose expiry shows that time was up for all.
    let mut gone = OriginalClient::connect(pmd.port());
    gone.register("gone", "", 1);
    own.call("heartbeat", r#"{"nodeId":"gone"}"#);
    drop(gone);
    for id in ["own", "both", "gone"] {
        assert_eq!(watcher.change(), format!("peer:join {id}"));
    }
    let leave = watcher.event();
    assert_eq!(leave["peer"]["nodeId"], "gone");
    assert_eq!(leave["cause"], "timeout");
    assert_eq!(watcher.ids(), ["own", "both"]);
}

#[test]
fn a_one_shot_registration_can_be_unregistered_by_its_heart() {
    let pmd = pmd_with_ttl(30_000);
    let mut heart = OriginalClient::connect(pmd.port());
    heart.watch();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    heart.call("heartbeat", r#"{"nodeId":"a"}"#);
    drop(a);
    OriginalClient::connect(pmd.port()).ids();
    assert_eq!(
        heart.call("unregister", r#"{"nodeId":"a"}"#)["success"],
        true
    );
    assert_eq!(heart.changes(), ["peer:join a", "peer:leave a"]);
}

#[test]
fn all_nodes_of_a_connection_leave_with_it() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    for n in 0..20 {
        a.register(&format!("n{n:02}"), "", 1);
    }
    a.call("unregister", r#"{"nodeId":"n05"}"#);
    drop(a);
    let mut changes: Vec<String> = (0..40).map(|_| watcher.change()).collect();
    changes.sort();
    changes.dedup();
    assert_eq!(changes.len(), 40, "each joins and leaves once: {changes:?}");
    assert_eq!(watcher.ids(), [""; 0]);
}

#[test]
fn a_node_that_promised_heartbeats_is_expelled_when_they_stop() {
    let pmd = Pmd::start(PmdOptions {
        heartbeat_expel_ms: 3_000,
        ..options()
    })
    .unwrap();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.hello(&["rev"]);
    watcher.watch();
    let mut promised = OriginalClient::connect(pmd.port());
    promised.hello(&["hb"]);
    promised.register("promised", "svc", 1);
    let mut original = OriginalClient::connect(pmd.port());
    original.register("original", "", 1);
    assert_eq!(watcher.change(), "peer:join promised");
    assert_eq!(watcher.change(), "peer:join original");
    // As long as it beats it stays, well beyond the time.
    let since = std::time::Instant::now();
    let beating = wait_until(LIMIT, || {
        promised.call("heartbeat", r#"{"nodeId":"promised"}"#);
        since.elapsed() > Duration::from_millis(4_500)
    });
    assert!(beating);
    assert_eq!(watcher.changes(), [""; 0]);
    let leave = watcher.event();
    assert_eq!(leave["event"], "peer:leave");
    assert_eq!(
        (&leave["peer"]["nodeId"], &leave["cause"]),
        (&"promised".into(), &"timeout".into())
    );
    // It has to notice, or it would believe to be registered.
    promised.expect_end();
    assert_eq!(watcher.ids(), ["original"]);
    let mut successor = OriginalClient::connect(pmd.port());
    successor.register("successor", "svc", 1);
}

#[cfg(target_os = "linux")]
#[test]
fn every_connection_is_kept_alive() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    let (server, client) = (pmd.port(), a.local_addr().port());
    let armed = wait_until(LIMIT, || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().any(|line| {
            let field: Vec<&str> = line.split_whitespace().collect();
            let ends = (format!(":{server:04X}"), format!(":{client:04X}"));
            // Kind 2 of the running timer is keep-alive; its interval is in the options.
            field[1].ends_with(&ends.0)
                && field[2].ends_with(&ends.1)
                && field[5].starts_with("02:")
        })
    });
    assert!(armed, "no keep-alive timer on the PMD's socket");
}
