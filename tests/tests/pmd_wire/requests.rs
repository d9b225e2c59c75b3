//! Each request: its answer on success and on failure, byte for byte.

use distflow_tests::{LIMIT, OriginalClient, register_payload, wait_until};

use crate::{SUCCESS, pmd};

/// The text of a response.
fn response(number: u64, payload: &str) -> String {
    format!(r#"{{"type":"response","requestId":"req_{number}","payload":{payload}}}"#)
}

/// The text of a response that says what is wrong.
fn error(number: u64, text: &str) -> String {
    response(number, &format!(r#"{{"error":"{text}"}}"#))
}

/// A node object as text, with the time found in what was received.
fn node(id: &str, alias: &str, port: u16, received: &str) -> String {
    let start = format!(r#"{{"nodeId":"{id}""#);
    let rest = &received[received.find(&start).expect("no such node")..];
    let (_, time) = rest.split_once(r#""lastHeartbeat":"#).unwrap();
    let time: String = time.chars().take_while(char::is_ascii_digit).collect();
    let payload = register_payload(id, alias, port);
    format!(
        r#"{},"lastHeartbeat":{time}}}"#,
        &payload[..payload.len() - 1]
    )
}

#[test]
fn register_succeeds_and_a_taken_alias_is_refused() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    let answer = a.call_text("register", &register_payload("a", "svc", 4001));
    assert_eq!(answer, response(1, SUCCESS));
    let mut b = OriginalClient::connect(pmd.port());
    let answer = b.call_text("register", &register_payload("b", "svc", 4002));
    assert_eq!(answer, error(1, "Alias 'svc' already in use"));
    assert_eq!(b.ids(), ["a"]);
}

#[test]
fn unregister_removes_a_node_and_knows_no_other() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "svc", 4001);
    assert_eq!(
        a.call_text("unregister", r#"{"nodeId":"a"}"#),
        response(2, SUCCESS)
    );
    assert_eq!(a.resolve("svc"), None);
    assert_eq!(a.resolve("a"), None);
    let answer = a.call_text("unregister", r#"{"nodeId":"a"}"#);
    assert_eq!(answer, error(5, "Node not found"));
    // The alias is free at once.
    a.register("b", "svc", 4002);
}

#[test]
fn resolve_finds_by_alias_and_by_id() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("0123456789abcdef", "svc", 40001);
    for name in ["svc", "0123456789abcdef"] {
        let answer = a.call_text("resolve", &format!(r#"{{"alias":"{name}"}}"#));
        let node = node("0123456789abcdef", "svc", 40001, &answer);
        let number = if name == "svc" { 2 } else { 3 };
        assert_eq!(answer, response(number, &format!(r#"{{"node":{node}}}"#)));
    }
    let answer = a.call_text("resolve", r#"{"alias":"nobody"}"#);
    assert_eq!(answer, error(4, "Node not found"));
}

#[test]
fn list_is_in_order_of_registration() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    assert_eq!(a.call_text("list", "{}"), response(1, r#"{"nodes":[]}"#));
    let mut b = OriginalClient::connect(pmd.port());
    a.register("z", "first", 4001);
    b.register("m", "", 4002);
    a.register("a", "third", 4003);
    let answer = a.call_text("list", "{}");
    let nodes = [
        node("z", "first", 4001, &answer),
        node("m", "", 4002, &answer),
        node("a", "third", 4003, &answer),
    ];
    let nodes = nodes.join(",");
    assert_eq!(answer, response(4, &format!(r#"{{"nodes":[{nodes}]}}"#)));
    // A node that registers again keeps its place; one that leaves gives it up.
    a.register("z", "first", 4001);
    assert_eq!(a.ids(), ["z", "m", "a"]);
    assert_eq!(a.call("unregister", r#"{"nodeId":"z"}"#)["success"], true);
    a.register("z", "first", 4001);
    assert_eq!(a.ids(), ["m", "a", "z"]);
}

#[test]
fn heartbeat_moves_the_time_of_a_known_node() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "svc", 4001);
    let time = |client: &mut OriginalClient| {
        client.resolve("a").unwrap()["lastHeartbeat"]
            .as_u64()
            .unwrap()
    };
    let before = time(&mut a);
    assert_eq!(
        a.call_text("heartbeat", r#"{"nodeId":"a"}"#),
        response(3, SUCCESS)
    );
    let moved = wait_until(LIMIT, || {
        a.call("heartbeat", r#"{"nodeId":"a"}"#);
        time(&mut a) > before
    });
    assert!(moved, "lastHeartbeat stays {before}");
    let text = a.refused("heartbeat", r#"{"nodeId":"b"}"#);
    assert_eq!(text, "Node not found");
}

#[test]
fn last_heartbeat_is_the_time_of_registration() {
    let pmd = pmd();
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.unwrap().as_millis() as u64
    };
    let mut a = OriginalClient::connect(pmd.port());
    let before = now();
    a.register("a", "", 4001);
    let time = a.resolve("a").unwrap()["lastHeartbeat"].as_u64().unwrap();
    // The PMD sets its clock right once a second.
    assert!((before - 1_000..=now() + 1_000).contains(&time), "{time}");
}

#[test]
fn watch_succeeds_without_a_snapshot() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "svc", 4001);
    assert_eq!(a.call_text("watch", "{}"), response(2, SUCCESS));
}

#[test]
fn shutdown_answers_and_ends_the_pmd() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    assert_eq!(a.call_text("shutdown", "{}"), response(1, SUCCESS));
    a.expect_end();
    assert!(wait_until(LIMIT, || !pmd.is_running()));
}

#[test]
fn any_other_type_is_unknown() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    for (at, kind) in ["nonsense", "REGISTER", "", "response", "event"]
        .iter()
        .enumerate()
    {
        let answer = a.call_text(kind, "{}");
        assert_eq!(
            answer,
            error(at as u64 + 1, "Unknown message type"),
            "{kind}"
        );
    }
    // A type that is no text is no known type either.
    for kind in ["1", "true", "{}", "[\"list\"]"] {
        a.send_text(format!(
            r#"{{"type":{kind},"payload":{{}},"requestId":"x"}}"#
        ));
        let answer = a.response_text();
        let expected =
            r#"{"type":"response","requestId":"x","payload":{"error":"Unknown message type"}}"#;
        assert_eq!(answer, expected, "{kind}");
    }
    a.send_text(r#"{"payload":{},"requestId":"x"}"#);
    let answer = a.response_text();
    assert!(
        answer.contains(r#""requestId":"x","payload":{"error":"#),
        "{answer}"
    );
}

#[test]
fn an_empty_or_null_alias_is_none() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    for (id, alias) in [
        ("a", r#""alias":"","#),
        ("b", r#""alias":null,"#),
        ("c", ""),
    ] {
        let payload = format!(r#"{{"nodeId":"{id}",{alias}"host":"h","port":1}}"#);
        assert_eq!(a.call("register", &payload)["success"], true);
        assert_eq!(a.resolve(id).unwrap().get("alias"), None);
    }
    assert_eq!(a.resolve(""), None);
}

#[test]
fn any_member_order_white_space_and_extra_fields_are_accepted() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.send_text(
        " {\n\t\"requestId\" : \"r\" , \"later\":[{}], \"payload\" : { \"port\" : 7 ,\r\n \
         \"extra\":{\"a\":[1,null]}, \"host\":\"h\\u00e9\", \"nodeId\":\"\\u0061\" } , \
         \"type\":\"regist\\u0065r\" } ",
    );
    assert_eq!(
        a.response_text(),
        r#"{"type":"response","requestId":"r","payload":{"success":true}}"#
    );
    assert_eq!(a.resolve("a").unwrap()["host"], "h\u{e9}");
}
