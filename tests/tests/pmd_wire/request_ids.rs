//! Request ids are opaque, and answers come in the order of the requests.

use distflow_tests::{OriginalClient, frame};
use serde_json::Value;

use crate::pmd;

#[test]
fn a_request_id_comes_back_verbatim() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    for id in [
        r#""req_1""#,
        r#""""#,
        r#""\u00e9\"\\ x""#,
        "7",
        "-1.50e+3",
        "12345678901234567890123",
        "null",
        "true",
        r#"{"a":[1,{"b":null}]}"#,
        "[]",
    ] {
        a.send_text(format!(
            r#"{{"type":"list","payload":{{}},"requestId":{id}}}"#
        ));
        let expected =
            format!(r#"{{"type":"response","requestId":{id},"payload":{{"nodes":[]}}}}"#);
        assert_eq!(a.response_text(), expected);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    const REQUESTS: u64 = 2_000;
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    a.watch();
    let mut bytes = Vec::new();
    for n in 0..REQUESTS {
        let request = match n % 4 {
            0 => format!(
                r#"{{"type":"register","payload":{{"nodeId":"n{n}","host":"h","port":1}},"requestId":{n}}}"#
            ),
            1 => format!(
                r#"{{"type":"resolve","payload":{{"alias":"n{}"}},"requestId":{n}}}"#,
                n - 1
            ),
            2 => format!(
                r#"{{"type":"unregister","payload":{{"nodeId":"n{}"}},"requestId":{n}}}"#,
                n - 2
            ),
            _ => format!(r#"{{"type":"nonsense","requestId":{n}}}"#),
        };
        bytes.extend(frame(request));
    }
    a.send_bytes(&bytes);
    for n in 0..REQUESTS {
        let answer: Value = serde_json::from_str(&a.response_text()).unwrap();
        assert_eq!(answer["requestId"], n);
        let payload = &answer["payload"];
        let good = match n % 4 {
            0 | 2 => payload["success"] == true,
            1 => payload["node"]["nodeId"] == format!("n{}", n - 1),
            _ => payload["error"] == "Unknown message type",
        };
        assert!(good, "{n}: {answer}");
    }
    // Events came in the same order, to the one who caused them and to others.
    for client in [&mut a, &mut watcher] {
        for n in (0..REQUESTS).step_by(4) {
            assert_eq!(client.change(), format!("peer:join n{n}"));
            assert_eq!(client.change(), format!("peer:leave n{n}"));
        }
        assert_eq!(client.changes(), [""; 0]);
    }
}
