//! Two want one name: the dead lose it at once, the living keep it.

use std::time::{Duration, Instant};

use distflow_tests::{GatedPmd, OriginalClient, register_payload};
use serde_json::Value;

use crate::{options, pmd, pmd_with_probe};

/// A probe time that no test waits out.
const LONG_MS: u64 = 20_000;
/// What is surely less than that, and surely enough for an answer.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn a_restart_under_the_same_alias_is_never_refused() {
    let pmd = pmd_with_probe(LONG_MS);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut holder = OriginalClient::connect(pmd.port());
    holder.register("node 0", "svc", 1);
    let mut expected = vec!["peer:join node 0".to_owned()];
    for n in 1..=200 {
        let mut successor = OriginalClient::connect(pmd.port());
        // Killed, and its successor asks without waiting for anything.
        match n % 3 {
            0 => drop(holder),
            1 => holder.reset(),
            _ => {
                // Killed with unread data in its socket.
                holder.send("list", "{}");
                drop(holder);
            }
        }
        successor.register(&format!("node {n}"), "svc", 1);
        expected.push(format!("peer:leave node {}", n - 1));
        expected.push(format!("peer:join node {n}"));
        holder = successor;
    }
    assert_eq!(watcher.changes(), expected);
}

#[test]
fn a_holder_at_end_of_file_loses_even_when_its_successor_is_read_first() {
    let pmd = GatedPmd::start(options());
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut holder = OriginalClient::connect(pmd.port());
    holder.register("old", "svc", 1);
    let mut successor = OriginalClient::connect(pmd.port());
    // The PMD stands still between the successor's two requests; the holder dies meanwhile,
    // so the conflict is met before its end was read.
    let mut bytes = distflow_tests::frame(
        successor.request_text("register", &register_payload(GatedPmd::GATE, "", 1)),
    );
    bytes.extend(distflow_tests::frame(
        successor.request_text("register", &register_payload("new", "svc", 2)),
    ));
    successor.send_bytes(&bytes);
    pmd.wait_at_gate();
    drop(holder);
    pmd.go_on();
    for _ in 0..2 {
        let answer = successor.response_text();
        assert!(answer.contains(r#"{"success":true}"#), "{answer}");
    }
    let expected = [
        "peer:join old",
        "peer:join gate",
        "peer:leave old",
        "peer:join new",
    ];
    assert_eq!(watcher.changes(), expected);
}

#[test]
fn a_holder_that_dies_while_its_successor_waits_loses() {
    let pmd = pmd_with_probe(LONG_MS);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut holder = OriginalClient::connect(pmd.port());
    holder.register("old", "svc", 1);
    let mut successor = OriginalClient::connect(pmd.port());
    let started = Instant::now();
    successor.send("register", &register_payload("new", "svc", 2));
    // What comes after waits as well, and is answered in order.
    successor.send("resolve", r#"{"alias":"svc"}"#);
    // The holder lives, and others are served.
    assert_eq!(holder.ids(), ["old"]);
    assert_eq!(watcher.changes(), ["peer:join old"]);
    drop(holder);
    let answer = successor.response_text();
    assert!(
        answer.contains(r#""req_1","payload":{"success":true}"#),
        "{answer}"
    );
    let answer = successor.response_text();
    assert!(
        answer.contains(r#""req_2","payload":{"node":{"nodeId":"new""#),
        "{answer}"
    );
    assert!(started.elapsed() < AT_ONCE);
    assert_eq!(watcher.changes(), ["peer:leave old", "peer:join new"]);
}

#[test]
fn a_live_original_holder_keeps_its_alias_after_the_probe_time() {
    const PROBE_MS: u64 = 300;
    let pmd = pmd_with_probe(PROBE_MS);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut holder = OriginalClient::connect(pmd.port());
    holder.register("a", "svc", 1);
    let started = Instant::now();
    let mut other = OriginalClient::connect(pmd.port());
    let text = other.register_refused("b", "svc", 2);
    assert_eq!(text, "Alias 'svc' already in use");
    assert!(
        started.elapsed() >= Duration::from_millis(PROBE_MS),
        "not probed"
    );
    assert_eq!(watcher.changes(), ["peer:join a"]);
    assert_eq!(holder.resolve("svc").unwrap()["nodeId"], "a");
    // An original is not asked anything: it would not know what to do.
    assert_eq!(holder.changes(), [""; 0]);
    // The refused one can go on.
    other.register("b", "other", 2);
}

/// Reads the event that asks for a sign of life; returns its number.
fn probe(client: &mut OriginalClient) -> Value {
    let event = client.event();
    assert_eq!(event["event"], "probe", "{event}");
    event["probe"].clone()
}

#[test]
fn a_holder_that_answers_the_probe_has_the_other_refused_at_once() {
    let pmd = pmd_with_probe(LONG_MS);
    let mut holder = OriginalClient::connect(pmd.port());
    holder.hello(&["probe"]);
    holder.register("a", "svc", 1);
    for round in 0..3 {
        let mut other = OriginalClient::connect(pmd.port());
        let started = Instant::now();
        other.send("register", &register_payload("b", "svc", 2));
        let number = probe(&mut holder);
        holder.call(
            "heartbeat",
            &format!(r#"{{"nodeId":"a","probe":{number}}}"#),
        );
        let answer = other.response_text();
        assert!(
            answer.contains("Alias 'svc' already in use"),
            "{round}: {answer}"
        );
        assert!(started.elapsed() < AT_ONCE);
    }
    assert_eq!(holder.ids(), ["a"]);
}

#[test]
fn only_the_holders_own_answer_to_the_probe_counts() {
    let pmd = pmd_with_probe(LONG_MS);
    let mut holder = OriginalClient::connect(pmd.port());
    holder.hello(&["probe"]);
    holder.register("a", "svc", 1);
    let mut other = OriginalClient::connect(pmd.port());
    other.send("register", &register_payload("b", "svc", 2));
    let number = probe(&mut holder);
    // A stranger claims that the holder lives, and an old number proves nothing.
    let mut stranger = OriginalClient::connect(pmd.port());
    stranger.hello(&["probe"]);
    stranger.call(
        "heartbeat",
        &format!(r#"{{"nodeId":"a","probe":{number}}}"#),
    );
    holder.call("heartbeat", r#"{"nodeId":"a","probe":0}"#);
    drop(holder);
    let answer = other.response_text();
    assert!(answer.contains(r#"{"success":true}"#), "{answer}");
}

#[test]
fn a_silent_holder_on_an_open_connection_is_probed_and_keeps_its_alias() {
    let pmd = pmd_with_probe(100);
    let mut holder = OriginalClient::connect(pmd.port());
    holder.hello(&["probe"]);
    holder.register("a", "svc", 1);
    let mut other = OriginalClient::connect(pmd.port());
    assert_eq!(
        other.register_refused("b", "svc", 2),
        "Alias 'svc' already in use"
    );
    probe(&mut holder);
    assert_eq!(holder.ids(), ["a"]);
}

#[test]
fn of_several_successors_the_first_gets_the_alias() {
    // Longer than the gap between two turns by which a PMD notices that it was stopped itself.
    let pmd = pmd_with_probe(10_000);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut holder = OriginalClient::connect(pmd.port());
    holder.register("old", "svc", 1);
    let mut gives_up = OriginalClient::connect(pmd.port());
    gives_up.send("register", &register_payload("gives up", "svc", 2));
    // It waits, and ends while it does.
    OriginalClient::connect(pmd.port()).ids();
    drop(gives_up);
    // Its end has been handled when a later connection is answered.
    OriginalClient::connect(pmd.port()).ids();
    let mut successors: Vec<_> = (0..3)
        .map(|_| OriginalClient::connect(pmd.port()))
        .collect();
    for (n, successor) in successors.iter_mut().enumerate() {
        // One after the other: connected and known, then waiting.
        successor.ids();
        successor.send("register", &register_payload(&format!("new {n}"), "svc", 2));
        holder.ids();
    }
    drop(holder);
    let answers = successors.iter_mut().map(OriginalClient::response_text);
    let accepted = answers
        .filter(|answer| answer.contains(r#"{"success":true}"#))
        .count();
    assert_eq!(accepted, 1);
    let changes = watcher.changes();
    assert_eq!(
        changes,
        ["peer:join old", "peer:leave old", "peer:join new 0"]
    );
}

#[test]
fn a_connection_cannot_wait_for_itself() {
    let pmd = pmd_with_probe(LONG_MS);
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "svc", 1);
    let started = Instant::now();
    assert_eq!(
        a.register_refused("b", "svc", 2),
        "Alias 'svc' already in use"
    );
    assert!(started.elapsed() < AT_ONCE);
}

#[test]
fn an_alias_is_free_for_others_once_its_owner_left_by_any_way() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "svc", 1);
    a.call("unregister", r#"{"nodeId":"a"}"#);
    let mut b = OriginalClient::connect(pmd.port());
    b.register("b", "svc", 1);
    b.register("b", "renamed", 1);
    a.register("a", "svc", 1);
    drop(a);
    b.register("b", "svc", 1);
    assert_eq!(b.resolve("renamed"), None);
}

#[test]
fn three_thousand_races_for_an_alias_have_one_owner_each() {
    let pmd = pmd_with_probe(0);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.hello(&["rev"]);
    watcher.watch();
    let mut clients: Vec<_> = (0..3)
        .map(|_| OriginalClient::connect(pmd.port()))
        .collect();
    for round in 0..1_000 {
        for (n, client) in clients.iter_mut().enumerate() {
            client.send("register", &register_payload(&format!("{n}"), "svc", 1));
        }
        let mut owners = Vec::new();
        for (n, client) in clients.iter_mut().enumerate() {
            let answer = client.response_text();
            if answer.contains(r#"{"success":true}"#) {
                owners.push(n);
            } else {
                assert!(answer.contains("Alias 'svc' already in use"), "{answer}");
            }
        }
        assert_eq!(owners.len(), 1, "round {round}");
        let id = owners[0].to_string();
        clients[owners[0]].call("unregister", &format!(r#"{{"nodeId":"{id}"}}"#));
        assert_eq!(watcher.change(), format!("peer:join {id}"));
        assert_eq!(watcher.change(), format!("peer:leave {id}"));
    }
}
