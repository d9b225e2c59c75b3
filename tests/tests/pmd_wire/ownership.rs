//! A registration belongs to its connection.

use distflow_tests::{OriginalClient, register_payload};

use crate::{pmd, pmd_with_probe};

#[test]
fn closing_an_old_connection_never_removes_a_newer_registration() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    for round in 0..60 {
        let id = format!("n{round}");
        let mut old = OriginalClient::connect(pmd.port());
        old.register(&id, &id, 1);
        let mut new = OriginalClient::connect(pmd.port());
        new.register(&id, &id, 1);
        if round % 2 == 0 {
            drop(old);
        } else {
            old.reset();
        }
        // The old connection's end is handled before a new one is greeted.
        OriginalClient::connect(pmd.port()).ids();
        assert_eq!(new.resolve(&id).unwrap()["nodeId"], id.as_str());
        assert_eq!(watcher.changes(), [format!("peer:join {id}")]);
        drop(new);
        assert_eq!(watcher.change(), format!("peer:leave {id}"));
    }
}

#[test]
fn an_id_cannot_be_taken_over_with_another_endpoint() {
    let pmd = pmd_with_probe(50);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut holder = OriginalClient::connect(pmd.port());
    holder.register("a", "svc", 1);
    let before = holder.resolve("a");
    let mut thief = OriginalClient::connect(pmd.port());
    for payload in [
        register_payload("a", "svc", 2),
        register_payload("a", "other", 1),
        register_payload("a", "", 1),
        r#"{"nodeId":"a","alias":"svc","host":"127.0.0.1","port":1}"#.into(),
    ] {
        let text = thief.refused("register", &payload);
        assert_eq!(text, "Node 'a' already registered", "{payload}");
    }
    assert_eq!(holder.resolve("a"), before);
    assert_eq!(watcher.changes(), ["peer:join a"]);
    // It owns nothing: its end changes nothing.
    drop(thief);
    assert_eq!(watcher.changes(), [""; 0]);
}

#[test]
fn the_same_endpoint_on_a_second_connection_is_a_reconnect() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut old = OriginalClient::connect(pmd.port());
    old.register("a", "svc", 1);
    let mut new = OriginalClient::connect(pmd.port());
    new.register("a", "svc", 1);
    assert_eq!(watcher.changes(), ["peer:join a"]);
    // Ownership moved.
    let text = old.refused("unregister", r#"{"nodeId":"a"}"#);
    assert_eq!(text, "Node 'a' is registered by another connection");
    assert_eq!(new.call("unregister", r#"{"nodeId":"a"}"#)["success"], true);
    assert_eq!(watcher.changes(), ["peer:leave a"]);
}

#[test]
fn only_the_owner_may_unregister() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "svc", 1);
    let mut b = OriginalClient::connect(pmd.port());
    let text = b.refused("unregister", r#"{"nodeId":"a"}"#);
    assert_eq!(text, "Node 'a' is registered by another connection");
    assert_eq!(b.ids(), ["a"]);
}

#[test]
fn a_dead_holders_id_is_free_for_any_endpoint() {
    let pmd = pmd_with_probe(20_000);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut old = OriginalClient::connect(pmd.port());
    old.register("a", "svc", 1);
    let mut new = OriginalClient::connect(pmd.port());
    new.send("register", &register_payload("a", "svc", 2));
    assert_eq!(old.ids(), ["a"]);
    drop(old);
    let answer = new.response_text();
    assert!(answer.contains(r#"{"success":true}"#), "{answer}");
    assert_eq!(new.resolve("svc").unwrap()["port"], 2);
    assert_eq!(
        watcher.changes(),
        ["peer:join a", "peer:leave a", "peer:join a"]
    );
}

#[test]
fn the_session_token_takes_an_id_over_from_a_live_holder() {
    let pmd = pmd_with_probe(50);
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.hello(&["rev"]);
    watcher.watch();
    let mut old = OriginalClient::connect(pmd.port());
    old.hello(&[]);
    let first = old.register("a", "svc", 1)["session"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut new = OriginalClient::connect(pmd.port());
    new.hello(&[]);
    let with_session = |session: &str| {
        let payload = register_payload("a", "renamed", 2);
        format!(
            r#"{},"session":"{session}"}}"#,
            &payload[..payload.len() - 1]
        )
    };
    for wrong in ["", "x", &first[1..], &first.replace(|_| true, "0")] {
        let text = new.refused("register", &with_session(wrong));
        assert_eq!(text, "Node 'a' already registered");
    }
    let answer = new.call("register", &with_session(&first));
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(watcher.event()["event"], "peer:join");
    let leave = watcher.event();
    assert_eq!(
        (&leave["event"], &leave["cause"]),
        (&"peer:leave".into(), &"replaced".into())
    );
    assert_eq!(
        (&leave["rev"], &leave["peer"]["port"]),
        (&2.into(), &1.into())
    );
    let join = watcher.event();
    assert_eq!(
        (&join["event"], &join["rev"]),
        (&"peer:join".into(), &3.into())
    );
    assert_eq!(join["peer"]["alias"], "renamed");
    assert_eq!(new.resolve("svc"), None);
    drop(old);
    assert_eq!(watcher.changes(), [""; 0]);
    // The token is of that registration: the next has another.
    assert_ne!(answer["session"], first.as_str());
    let mut third = OriginalClient::connect(pmd.port());
    let again = with_session(&first).replace("\"port\":2", "\"port\":3");
    assert_eq!(
        third.refused("register", &again),
        "Node 'a' already registered"
    );
}

#[test]
fn registering_again_on_the_own_connection_may_change_everything() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "one", 1);
    a.register("a", "two", 2);
    assert_eq!(a.resolve("one"), None);
    let node = a.resolve("two").unwrap();
    assert_eq!((&node["port"], &node["alias"]), (&2.into(), &"two".into()));
    assert_eq!(
        watcher.changes(),
        ["peer:join a", "peer:leave a", "peer:join a"]
    );
    drop(a);
    assert_eq!(watcher.change(), "peer:leave a");
    assert_eq!(watcher.ids(), [""; 0]);
}
