//! Old and new together: nobody gets what it did not ask for.

use distflow_core::names::{Alias, Host, NodeId};
use distflow_core::pmd::{PmdClient, PmdEvent};
use distflow_core::wire::pmd::Register;
use distflow_tests::{FakePmd, LIMIT, OriginalClient};

use crate::pmd;

#[test]
fn an_original_client_among_new_ones_gets_only_the_originals_bytes() {
    let pmd = pmd();
    let mut original = OriginalClient::connect(pmd.port());
    original.send("watch", "{}");
    let mut new = OriginalClient::connect(pmd.port());
    new.hello(&["rev", "meta", "probe"]);
    new.watch();
    let extras = r#""caps":["link"],"meta":{"zone":1},"session":"x""#;
    let payload = r#"{"nodeId":"a","alias":"svc","host":"localhost","port":40001"#;
    new.call("register", &format!("{payload},{extras}}}"));
    original.send("list", "{}");
    original.send("resolve", r#"{"alias":"svc"}"#);
    original.send(
        "register",
        r#"{"nodeId":"b","host":"localhost","port":40002}"#,
    );
    // An original that holds a name someone else wants is not probed.
    let mut thief = OriginalClient::connect(pmd.port());
    thief.refused(
        "register",
        r#"{"nodeId":"b","host":"localhost","port":40003}"#,
    );
    original.send("unregister", r#"{"nodeId":"b"}"#);
    new.call("unregister", r#"{"nodeId":"a"}"#);
    original.send("list", "{}");
    let frames: Vec<String> = (0..10)
        .map(|_| without_times(&original.frame().unwrap()))
        .collect();
    let node = format!(r#"{payload},"lastHeartbeat":T}}"#);
    let b = r#"{"nodeId":"b","host":"localhost","port":40002,"lastHeartbeat":T}"#;
    let response = |number: u32, payload: &str| {
        format!(r#"{{"type":"response","requestId":"req_{number}","payload":{payload}}}"#)
    };
    let event = |name: &str, peer: &str| {
        format!(r#"{{"type":"event","payload":{{"event":"peer:{name}","peer":{peer}}}}}"#)
    };
    let mut expected = vec![
        response(1, r#"{"success":true}"#),
        event("join", &node),
        response(2, &format!(r#"{{"nodes":[{node}]}}"#)),
        response(3, &format!(r#"{{"node":{node}}}"#)),
        response(4, r#"{"success":true}"#),
        event("join", b),
        response(5, r#"{"success":true}"#),
        event("leave", b),
        event("leave", &node),
        response(6, r#"{"nodes":[]}"#),
    ];
    // What two connections ask at the same time may be handled in either order.
    if frames[6] == expected[8] {
        expected[6..9].rotate_right(1);
    }
    assert_eq!(frames, expected);
}

/// A text with every `lastHeartbeat` replaced, after a look at its form.
fn without_times(text: &str) -> String {
    let mut parts = text.split(r#""lastHeartbeat":"#);
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let digits = part.chars().take_while(char::is_ascii_digit).count();
        assert_eq!(digits, 13, "no Unix time in milliseconds: {text}");
        out.push_str(r#""lastHeartbeat":T"#);
        out.push_str(&part[digits..]);
    }
    out
}

#[test]
fn our_client_works_with_an_original_pmd() {
    let pmd = FakePmd::start();
    let mut original = OriginalClient::connect(pmd.port());
    original.register("theirs", "old", 1);
    let mut client = PmdClient::connect("localhost", pmd.port()).unwrap();
    let known = client.watch().unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(client.resolve("old").unwrap(), known[0]);
    let error = client.resolve("nobody").unwrap_err();
    assert_eq!(error.to_string(), "Node not found");
    original.call("unregister", r#"{"nodeId":"theirs"}"#);
    let event = client.next_event(LIMIT).unwrap().unwrap();
    assert!(matches!(event, PmdEvent::Leave(node, _) if node.node_id == "theirs"));
    original.register("again", "", 1);
    let event = client.next_event(LIMIT).unwrap().unwrap();
    assert!(matches!(event, PmdEvent::Join(node) if node.node_id == "again"));
    client.shutdown().unwrap();
    original.expect_end();
}

#[test]
fn nothing_beyond_the_originals_is_sent_to_an_original_pmd() {
    let pmd = FakePmd::start();
    let mut client = PmdClient::connect("127.0.0.1", pmd.port()).unwrap();
    assert!(!client.is_extended());
    let node = Register {
        node_id: NodeId::new("a").unwrap(),
        alias: Some(Alias::new("ring-1").unwrap()),
        host: Host::new("localhost").unwrap(),
        port: 40_001,
        caps: Some(r#"["link"]"#.into()),
        meta: Some(r#"{"zone":1}"#.into()),
        session: Some("token".into()),
    };
    client.register(&node).unwrap();
    assert_eq!(client.list(Some("ring-")).unwrap().len(), 1);
    assert_eq!(client.list(Some("other-")).unwrap().len(), 0);
    assert_eq!(pmd.ids(), ["a"]);
    let requests = pmd.requests();
    assert!(
        requests[0].starts_with(r#"{"type":"hello","#),
        "{requests:?}"
    );
    assert_eq!(
        requests[1..],
        [
            r#"{"type":"register","payload":{"nodeId":"a","alias":"ring-1","host":"localhost","port":40001},"requestId":"req_2"}"#,
            r#"{"type":"list","payload":{},"requestId":"req_3"}"#,
            r#"{"type":"list","payload":{},"requestId":"req_4"}"#,
        ]
    );
}
