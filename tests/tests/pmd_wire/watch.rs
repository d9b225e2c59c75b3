//! Watching as the originals do it.

use distflow_tests::{OriginalClient, register_payload};
use serde_json::Value;

use crate::pmd;

/// Text of an event about a node whose time is known.
fn event(name: &str, id: &str, alias: &str, port: u16, time: &Value) -> String {
    let payload = register_payload(id, alias, port);
    let node = &payload[..payload.len() - 1];
    format!(
        r#"{{"type":"event","payload":{{"event":"{name}","peer":{node},"lastHeartbeat":{time}}}}}}}"#
    )
}

#[test]
fn events_are_byte_identical_to_the_originals() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("0123456789abcdef", "svc", 40001);
    a.register("b", "", 40002);
    let times: Vec<Value> = a
        .list()
        .iter()
        .map(|node| node["lastHeartbeat"].clone())
        .collect();
    let join = event("peer:join", "0123456789abcdef", "svc", 40001, &times[0]);
    assert_eq!(watcher.event_text(), join);
    let join = event("peer:join", "b", "", 40002, &times[1]);
    assert_eq!(watcher.event_text(), join);
    // A leave shows the node as it last was.
    a.call("heartbeat", r#"{"nodeId":"b"}"#);
    let time = a.resolve("b").unwrap()["lastHeartbeat"].clone();
    drop(a);
    let mut leaves = [watcher.event_text(), watcher.event_text()];
    leaves.sort();
    assert_eq!(
        leaves,
        [
            event("peer:leave", "0123456789abcdef", "svc", 40001, &times[0]),
            event("peer:leave", "b", "", 40002, &time),
        ]
    );
}

#[test]
fn watching_twice_announces_once() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    assert_eq!(watcher.changes(), ["peer:join a"]);
}

#[test]
fn only_those_who_watch_are_told_and_closing_ends_it() {
    let pmd = pmd();
    let mut deaf = OriginalClient::connect(pmd.port());
    let mut first = OriginalClient::connect(pmd.port());
    let mut second = OriginalClient::connect(pmd.port());
    let mut third = OriginalClient::connect(pmd.port());
    for client in [&mut first, &mut second, &mut third] {
        client.watch();
    }
    // From the start, the middle and the end of the server's list.
    drop(first);
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    assert_eq!(second.changes(), ["peer:join a"]);
    drop(third);
    a.register("b", "", 1);
    assert_eq!(second.changes(), ["peer:join b"]);
    assert_eq!(deaf.changes(), [""; 0]);
}

#[test]
fn the_response_comes_before_the_events_it_causes() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.watch();
    a.send("register", &register_payload("a", "", 1));
    a.send("unregister", r#"{"nodeId":"a"}"#);
    let frames: Vec<String> = (0..4).map(|_| a.frame().unwrap()).collect();
    let order = ["req_2", "peer:join", "req_3", "peer:leave"];
    for (frame, part) in frames.iter().zip(order) {
        assert!(frame.contains(part), "{frames:?}");
    }
}

#[test]
fn every_watcher_gets_every_event_of_every_cause() {
    let pmd = pmd();
    let mut watchers: Vec<_> = (0..10)
        .map(|_| OriginalClient::connect(pmd.port()))
        .collect();
    for watcher in &mut watchers {
        watcher.watch();
    }
    let mut stays = OriginalClient::connect(pmd.port());
    stays.register("unregisters", "", 1);
    stays.call("unregister", r#"{"nodeId":"unregisters"}"#);
    let mut closes = OriginalClient::connect(pmd.port());
    closes.register("closes", "", 1);
    drop(closes);
    assert_eq!(watchers[0].change(), "peer:join unregisters");
    assert_eq!(watchers[0].change(), "peer:leave unregisters");
    assert_eq!(watchers[0].change(), "peer:join closes");
    assert_eq!(watchers[0].change(), "peer:leave closes");
    let mut resets = OriginalClient::connect(pmd.port());
    resets.register("resets", "", 1);
    resets.reset();
    assert_eq!(watchers[0].change(), "peer:join resets");
    assert_eq!(watchers[0].change(), "peer:leave resets");
    for watcher in &mut watchers[1..] {
        let expected = ["unregisters", "closes", "resets"]
            .iter()
            .flat_map(|id| [format!("peer:join {id}"), format!("peer:leave {id}")]);
        assert_eq!(watcher.changes(), expected.collect::<Vec<_>>());
    }
}
