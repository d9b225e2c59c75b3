//! Quirks of the originals that callers rely on.

use distflow_core::pmd::{PmdClient, PmdEvent};
use distflow_tests::{LIMIT, OriginalClient};

use crate::pmd;

#[test]
fn quirk_1_errors_arrive_in_a_normal_response() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "x", 1);
    let errors = [
        ("resolve", r#"{"alias":"y"}"#, "Node not found"),
        ("unregister", r#"{"nodeId":"y"}"#, "Node not found"),
        ("heartbeat", r#"{"nodeId":"y"}"#, "Node not found"),
        (
            "register",
            r#"{"nodeId":"b","alias":"x","host":"h","port":1}"#,
            "Alias 'x' already in use",
        ),
        ("nonsense", "{}", "Unknown message type"),
    ];
    for (at, (kind, payload, text)) in errors.iter().enumerate() {
        let number = at + 2;
        let expected = format!(
            r#"{{"type":"response","requestId":"req_{number}","payload":{{"error":"{text}"}}}}"#
        );
        assert_eq!(a.call_text(kind, payload), expected);
    }
}

#[test]
fn quirk_2_an_alias_hides_no_id_of_that_name() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("one", "", 1);
    assert_eq!(a.resolve("one").unwrap()["nodeId"], "one");
    // Originals may register so, but nobody can stand in for another node.
    a.register("two", "one", 2);
    assert_eq!(a.resolve("one").unwrap()["nodeId"], "one");
    a.call("unregister", r#"{"nodeId":"one"}"#);
    assert_eq!(a.resolve("one").unwrap()["nodeId"], "two");
    // Nor can it keep the node from coming back, whichever kind of client that is.
    let mut ours = OriginalClient::connect(pmd.port());
    ours.hello(&["rev"]);
    ours.register("one", "", 1);
    assert_eq!(a.resolve("one").unwrap()["nodeId"], "one");
}

#[test]
fn names_of_our_own_clients_say_one_thing() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.hello(&["rev"]);
    a.register("one", "uno", 1);
    let mut b = OriginalClient::connect(pmd.port());
    b.hello(&["rev"]);
    assert_eq!(
        b.register_refused("two", "one", 2),
        "Alias 'one' is the id of another node: it is already in use"
    );
    assert_eq!(
        b.register_refused("uno", "", 2),
        "Node 'uno' has another node's alias for an id: it is already registered"
    );
    // A node may have its own id for an alias.
    b.register("two", "two", 2);
    assert_eq!(a.resolve("two").unwrap()["nodeId"], "two");
}

#[test]
fn quirk_3_registering_again_is_silent() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "svc", 1);
    a.register("a", "svc", 1);
    assert_eq!(watcher.changes(), ["peer:join a"]);
    // With another address or alias, caches elsewhere have to learn of it.
    a.register("a", "svc", 2);
    assert_eq!(watcher.changes(), ["peer:leave a", "peer:join a"]);
    assert_eq!(a.resolve("svc").unwrap()["port"], 2);
}

#[test]
fn quirk_4_no_event_for_the_own_join_but_for_the_own_leave() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    a.watch();
    a.call("unregister", r#"{"nodeId":"a"}"#);
    assert_eq!(a.changes(), ["peer:leave a"]);
}

#[test]
fn quirk_5_replaced_bad_input_is_answered_and_the_connection_stays() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    for bad in [
        "",
        " ",
        "nope",
        "{",
        "[]",
        "1",
        "null",
        "\"x\"",
        "{}{}",
        "{\"type\":\"list\"",
        "\u{feff}{}",
    ] {
        a.send_text(bad);
        let answer = a.response_text();
        assert!(
            answer.starts_with(r#"{"type":"response","payload":{"error":""#),
            "{bad:?}: {answer}"
        );
    }
    assert_eq!(a.ids(), ["a"]);
}

#[test]
fn quirk_6_the_host_is_what_the_node_sent() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    for (id, host) in [
        ("a", "localhost"),
        ("b", "10.1.2.3"),
        ("c", "no such host!"),
        ("d", "::1"),
    ] {
        a.call(
            "register",
            &format!(r#"{{"nodeId":"{id}","host":"{host}","port":1}}"#),
        );
        assert_eq!(a.resolve(id).unwrap()["host"], host);
    }
}

#[test]
fn quirk_7_no_request_id_in_the_answer_when_there_was_none() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.send_text(r#"{"type":"list","payload":{}}"#);
    assert_eq!(
        a.response_text(),
        r#"{"type":"response","payload":{"nodes":[]}}"#
    );
    a.send_text(r#"{"type":"resolve","payload":{"alias":"x"}}"#);
    assert_eq!(
        a.response_text(),
        r#"{"type":"response","payload":{"error":"Node not found"}}"#
    );
}

#[test]
fn quirk_8_who_watches_late_uses_list() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    let mut late = OriginalClient::connect(pmd.port());
    assert_eq!(late.watch(), serde_json::json!({"success": true}));
    assert_eq!(late.changes(), [""; 0]);
    assert_eq!(late.ids(), ["a"]);
}

#[test]
fn quirk_13_our_client_ignores_unknown_answers_and_events() {
    use std::io::Write;
    use std::net::TcpListener;

    use distflow_tests::{frame, read_frame};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let daemon = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_frame(&mut stream).unwrap().unwrap();
        let node = r#"{"nodeId":"a","host":"h","port":1,"lastHeartbeat":5,"later":{}}"#;
        for text in [
            r#"{"type":"response","requestId":"req_99","payload":{"error":"late"}}"#,
            r#"{"type":"response","requestId":7,"payload":{"error":"strange"}}"#,
            r#"{"type":"response","payload":{"error":"without id"}}"#,
            r#"{"type":"event","payload":{"event":"peer:dance","peer":5,"rev":1}}"#,
            r#"{"type":"event","payload":{"event":"later"}}"#,
            &format!(r#"{{"type":"event","payload":{{"event":"peer:join","peer":{node}}}}}"#),
            &format!(r#"{{"type":"response","requestId":"req_1","payload":{{"node":{node}}}}}"#),
        ] {
            stream.write_all(&frame(text)).unwrap();
        }
        // Kept open until the client is done.
        assert_eq!(read_frame(&mut stream).unwrap(), None);
    });
    let mut client = PmdClient::connect_plain("127.0.0.1", port).unwrap();
    assert_eq!(client.resolve("a").unwrap().node_id, "a");
    let event = client.next_event(LIMIT).unwrap().unwrap();
    assert!(matches!(event, PmdEvent::Join(node) if node.node_id == "a"));
    drop(client);
    daemon.join().unwrap();
}
