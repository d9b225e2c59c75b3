//! What goes beyond the originals, for those who announced it.

use std::collections::BTreeSet;

use distflow_core::pmd::PmdOptions;
use distflow_tests::{GatedPmd, OriginalClient, frame, register_payload};
use serde_json::{Value, json};

use crate::{options, pmd};

#[test]
fn hello_is_answered_with_what_both_know() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    let answer = a.hello(&["rev", "meta", "hb", "probe", "of a later version"]);
    assert_eq!(
        answer,
        json!({"v": 1, "caps": ["rev", "meta", "hb", "probe"]})
    );
    let mut b = OriginalClient::connect(pmd.port());
    assert_eq!(b.hello(&["rev"])["caps"], json!(["rev"]));
    assert_eq!(b.hello(&[])["caps"], json!([]));
    // Members of later versions do not disturb.
    let answer = b.call("hello", r#"{"v":99,"caps":["meta"],"auth":{"x":[]}}"#);
    assert_eq!(answer["caps"], json!(["meta"]));
    assert!(
        b.refused("hello", r#"{"caps":7}"#)
            .starts_with("Invalid payload")
    );
}

#[test]
fn watch_gives_snapshot_revision_and_epoch() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "x", 1);
    a.register("b", "y", 2);
    a.call("unregister", r#"{"nodeId":"a"}"#);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.hello(&["rev"]);
    let answer = watcher.watch();
    assert_eq!(answer["rev"], 3);
    assert!(
        answer["epoch"]
            .as_str()
            .is_some_and(|epoch| epoch.len() >= 16),
        "{answer}"
    );
    assert!(
        answer["warming"].as_u64().is_some_and(|ms| ms <= 6_000),
        "{answer}"
    );
    assert_eq!(answer["nodes"], json!(watcher.list()));
    // Another run of a PMD has another epoch.
    let other = crate::pmd();
    let mut elsewhere = OriginalClient::connect(other.port());
    elsewhere.hello(&["rev"]);
    assert_ne!(elsewhere.watch()["epoch"], answer["epoch"]);
}

#[test]
fn every_event_has_its_revision_and_a_leave_its_cause() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.hello(&["rev"]);
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    a.call("unregister", r#"{"nodeId":"a"}"#);
    a.register("a", "", 1);
    a.register("a", "", 2);
    drop(a);
    let expected = [
        ("peer:join", Value::Null),
        ("peer:leave", "unregistered".into()),
        ("peer:join", Value::Null),
        ("peer:leave", "replaced".into()),
        ("peer:join", Value::Null),
        ("peer:leave", "closed".into()),
    ];
    for (at, (name, cause)) in expected.into_iter().enumerate() {
        let event = watcher.event();
        assert_eq!(event["event"], name);
        assert_eq!(event["rev"], at + 1);
        assert_eq!(event["cause"], cause, "{event}");
    }
    // Not for an original that watches beside it: `watch` tests its bytes.
}

#[test]
fn nothing_is_missed_or_doubled_by_those_who_watch_while_others_join() {
    const JOINERS: usize = 50;
    const WATCHERS: usize = 20;
    let pmd = pmd();
    let port = pmd.port();
    let all: BTreeSet<String> = (0..JOINERS).map(|n| format!("n{n}")).collect();
    std::thread::scope(|scope| {
        let joiners: Vec<_> = (0..JOINERS)
            .map(|n| {
                scope.spawn(move || {
                    let mut client = OriginalClient::connect(port);
                    client.register(&format!("n{n}"), "", 1);
                    client
                })
            })
            .collect();
        let watchers: Vec<_> = (0..WATCHERS)
            .map(|_| {
                let all = &all;
                scope.spawn(move || {
                    let mut client = OriginalClient::connect(port);
                    client.hello(&["rev"]);
                    let snapshot = client.watch();
                    let mut rev = snapshot["rev"].as_u64().unwrap();
                    let mut seen = BTreeSet::new();
                    for node in snapshot["nodes"].as_array().unwrap() {
                        assert!(seen.insert(node["nodeId"].as_str().unwrap().to_owned()));
                    }
                    assert_eq!(rev, seen.len() as u64, "the snapshot is of its revision");
                    while seen.len() < JOINERS {
                        let event = client.event();
                        rev += 1;
                        assert_eq!(event["rev"], rev);
                        let id = event["peer"]["nodeId"].as_str().unwrap();
                        assert!(seen.insert(id.into()), "{id} came twice");
                    }
                    assert_eq!(&seen, all);
                    assert_eq!(client.changes(), [""; 0]);
                })
            })
            .collect();
        for watcher in watchers {
            watcher.join().unwrap();
        }
        drop(joiners);
    });
}

#[test]
fn a_watcher_that_breaks_while_it_is_told_does_not_disturb_the_order_for_others() {
    let pmd = GatedPmd::start(PmdOptions {
        // Two events, so that the third is written at once instead of at the turn's end.
        watcher_queue_bytes_max: 300,
        ..options()
    });
    let mut broken = OriginalClient::connect(pmd.port());
    broken.register("broken", "", 1);
    broken.watch();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.hello(&["rev"]);
    let mut rev = watcher.watch()["rev"].as_u64().unwrap();
    let mut a = OriginalClient::connect(pmd.port());
    let bytes: Vec<u8> = [GatedPmd::GATE, "n1", "n2", "n3", "n4"]
        .iter()
        .flat_map(|id| frame(a.request_text("register", &register_payload(id, "", 1))))
        .collect();
    a.send_bytes(&bytes);
    // The first is announced to both; then, before the rest, the other watcher dies.
    pmd.wait_at_gate();
    broken.reset();
    pmd.go_on();
    let mut changes = Vec::new();
    for _ in 0..6 {
        let event = watcher.event();
        rev += 1;
        assert_eq!(event["rev"], rev, "{event}");
        changes.push(event["event"].as_str().unwrap().to_owned());
    }
    changes.sort();
    assert_eq!(changes[4..], ["peer:join", "peer:leave"]);
}

/// The payload of `register` with members beyond the originals'.
fn extended(id: &str, alias: &str, extras: &str) -> String {
    let payload = register_payload(id, alias, 1);
    format!("{},{extras}}}", &payload[..payload.len() - 1])
}

#[test]
fn metadata_is_for_those_who_asked_for_it() {
    let pmd = pmd();
    let mut original = OriginalClient::connect(pmd.port());
    original.watch();
    let mut extended_watcher = OriginalClient::connect(pmd.port());
    extended_watcher.hello(&["rev", "meta"]);
    extended_watcher.watch();
    let mut without = OriginalClient::connect(pmd.port());
    without.hello(&["rev"]);
    without.watch();
    let mut a = OriginalClient::connect(pmd.port());
    a.hello(&["meta"]);
    let meta = json!({"zone": "eu", "n": [1, 1.5, null], "deep": {"a": "\u{e9}"}});
    let payload = extended("a", "svc", &format!(r#""caps":["link"],"meta":{meta}"#));
    assert_eq!(a.call("register", &payload)["success"], true);

    for client in [&mut a, &mut extended_watcher] {
        let node = client.resolve("svc").unwrap();
        assert_eq!((&node["meta"], &node["caps"]), (&meta, &json!(["link"])));
        assert_eq!(client.list(), [node]);
    }
    let join = extended_watcher.event();
    assert_eq!(join["peer"]["meta"], meta);
    let mut late = OriginalClient::connect(pmd.port());
    late.hello(&["rev", "meta"]);
    assert_eq!(late.watch()["nodes"][0]["meta"], meta);

    let five = ["alias", "host", "lastHeartbeat", "nodeId", "port"];
    let members =
        |node: &Value| -> Vec<String> { node.as_object().unwrap().keys().cloned().collect() };
    for client in [&mut original, &mut without] {
        assert_eq!(members(&client.resolve("svc").unwrap()), five);
        assert_eq!(members(&client.list()[0]), five);
        assert_eq!(members(&client.event()["peer"]), five);
    }
}

#[test]
fn metadata_can_change_and_is_limited() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.hello(&["meta"]);
    a.call("register", &extended("a", "", r#""meta":{"v":1}"#));
    a.call("register", &extended("a", "", r#""meta":{"v":2}"#));
    assert_eq!(a.resolve("a").unwrap()["meta"], json!({"v": 2}));
    let exactly = |bytes: usize| format!(r#""meta":{{"x":"{}"}}"#, "y".repeat(bytes - 8));
    assert_eq!(
        a.call("register", &extended("b", "", &exactly(4_096)))["success"],
        true
    );
    let text = a.refused("register", &extended("c", "", &exactly(4_097)));
    assert!(text.contains("4096"), "{text}");
    for wrong in [r#""meta":[]"#, r#""meta":"x""#, r#""meta":7"#] {
        let text = a.refused("register", &extended("c", "", wrong));
        assert!(text.starts_with("Invalid payload"), "{wrong}: {text}");
    }
    for wrong in [
        r#""caps":"link""#,
        r#""caps":["with space"]"#,
        r#""caps":[""]"#,
    ] {
        let text = a.refused("register", &extended("c", "", wrong));
        assert!(text.starts_with("Invalid payload"), "{wrong}: {text}");
    }
    assert_eq!(a.ids(), ["a", "b"]);
}

#[test]
fn list_can_be_filtered_by_alias_prefix() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.hello(&[]);
    for (id, alias) in [
        ("1", "ring-a"),
        ("2", "ring-b"),
        ("3", "ringo"),
        ("4", "other"),
        ("5", ""),
    ] {
        a.register(id, alias, 1);
    }
    let ids = |client: &mut OriginalClient, payload: &str| -> Vec<String> {
        let answer = client.call("list", payload);
        let nodes = answer["nodes"].as_array().unwrap();
        nodes
            .iter()
            .map(|node| node["nodeId"].as_str().unwrap().into())
            .collect()
    };
    assert_eq!(ids(&mut a, r#"{"prefix":"ring-"}"#), ["1", "2"]);
    assert_eq!(ids(&mut a, r#"{"prefix":"ring"}"#), ["1", "2", "3"]);
    assert_eq!(ids(&mut a, r#"{"prefix":"zzz"}"#), [""; 0]);
    assert_eq!(ids(&mut a, r#"{"prefix":""}"#), ["1", "2", "3", "4", "5"]);
    assert_eq!(ids(&mut a, "{}").len(), 5);
    // To an original that field means nothing.
    let mut original = OriginalClient::connect(pmd.port());
    assert_eq!(ids(&mut original, r#"{"prefix":"ring-"}"#).len(), 5);
}
