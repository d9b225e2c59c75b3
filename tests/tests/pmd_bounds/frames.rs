//! Bytes that are no frame, frames that are no message, and frames that take their time.

use std::time::{Duration, Instant};

use distflow_core::pmd::{Pmd, PmdOptions};
use distflow_tests::{LIMIT, OriginalClient, frame, wait_until};

use crate::{MIB, options, pmd_process};

fn pmd() -> Pmd {
    Pmd::start(options()).unwrap()
}

#[test]
fn an_over_long_frame_is_answered_closed_and_never_stored() {
    let mut pmd = pmd_process(&[]);
    let mut bystander = OriginalClient::connect(pmd.port());
    bystander.register("a", "", 1);
    let before = pmd.child().memory();
    for len in [MIB as u32 + 1, 1 << 24, 1 << 31, u32::MAX] {
        let mut a = OriginalClient::connect(pmd.port());
        a.register("own", "", 1);
        a.send_bytes(&len.to_be_bytes());
        let text = format!("Frame too large: {len} bytes, at most 1048576 are allowed");
        let expected = format!(r#"{{"type":"response","payload":{{"error":"{text}"}}}}"#);
        assert_eq!(a.frame().unwrap(), expected);
        // What was announced is sent after all, until the PMD has had enough.
        let chunk = vec![b'x'; MIB as usize];
        for _ in 0..32 {
            if a.try_send_bytes(&chunk).is_err() {
                break;
            }
        }
        a.expect_end();
        assert!(wait_until(LIMIT, || bystander.ids() == ["a"]));
    }
    let after = pmd.child().memory();
    assert!(
        after < before + 8 * MIB,
        "{before} bytes before, {after} after"
    );
}

#[test]
fn who_is_turned_away_holds_no_name_any_more() {
    let pmd = Pmd::start(PmdOptions {
        probe_ms: 0,
        ..options()
    })
    .unwrap();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "svc", 1);
    a.send_bytes(&u32::MAX.to_be_bytes());
    assert!(a.frame().unwrap().contains("Frame too large"));
    // It is told, and does not close its side yet.
    let mut b = OriginalClient::connect(pmd.port());
    b.register("b", "svc", 2);
    assert_eq!(
        watcher.changes(),
        ["peer:join a", "peer:leave a", "peer:join b"]
    );
    a.expect_end();
}

#[test]
fn memory_grows_with_what_is_received_not_with_what_is_announced() {
    const CLIENTS: usize = 300;
    let mut pmd = pmd_process(&[]);
    let mut bystander = OriginalClient::connect(pmd.port());
    bystander.ids();
    let before = pmd.child().memory();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = OriginalClient::connect(pmd.port());
            client.send_bytes(&(MIB as u32).to_be_bytes());
            client.send_bytes(br#"{"type":"#);
            client
        })
        .collect();
    bystander.ids();
    OriginalClient::connect(pmd.port()).ids();
    let after = pmd.child().memory();
    assert!(
        after < before + 8 * MIB,
        "{before} bytes before, {after} after"
    );
    drop(clients);
}

#[test]
fn the_largest_frame_passes_in_pieces_of_any_size() {
    let pmd = pmd();
    let text = |bytes: usize| {
        let (start, end) = (r#"{"type":"list","payload":{"x":""#, r#""},"requestId":1}"#);
        format!(
            "{start}{}{end}",
            "y".repeat(bytes - start.len() - end.len())
        )
    };
    let bytes = frame(text(MIB as usize));
    let mut random = 0x1234_5678_u64;
    for most in [7, 1_000, 100_000, bytes.len()] {
        let mut a = OriginalClient::connect(pmd.port());
        let mut rest = &bytes[..];
        // A few tiny pieces at either end, where headers and ends are, and any size between.
        while !rest.is_empty() {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let edge = rest.len() < 50 || rest.len() > bytes.len() - 50;
            let piece = if edge {
                1
            } else {
                1 + (random >> 33) as usize % most.max(2_000)
            };
            let (now, later) = rest.split_at(piece.min(rest.len()));
            a.send_bytes(now);
            rest = later;
        }
        let answer = a.frame().unwrap();
        assert_eq!(
            answer,
            r#"{"type":"response","requestId":1,"payload":{"nodes":[]}}"#
        );
    }
    let mut a = OriginalClient::connect(pmd.port());
    let _ = a.try_send_bytes(&frame(text(MIB as usize + 1)));
    assert!(
        a.frame()
            .unwrap()
            .contains("Frame too large: 1048577 bytes")
    );
}

#[test]
fn one_byte_at_a_time_is_as_good_as_all_at_once() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    let mut bytes = frame(a.request_text("list", "{}"));
    bytes.extend(frame(""));
    bytes.extend(frame(a.request_text("resolve", r#"{"alias":"x"}"#)));
    for byte in bytes {
        a.send_bytes(&[byte]);
    }
    assert!(
        a.frame()
            .unwrap()
            .contains(r#""req_1","payload":{"nodes":[]}"#)
    );
    assert!(a.frame().unwrap().contains(r#""payload":{"error":"#));
    assert!(
        a.frame()
            .unwrap()
            .contains(r#""req_2","payload":{"error":"Node not found"}"#)
    );
}

#[test]
fn a_frame_that_is_not_completed_in_time_is_cut_off() {
    const DEADLINE_MS: u64 = 300;
    let pmd = Pmd::start(PmdOptions {
        frame_deadline_ms: DEADLINE_MS,
        ..options()
    })
    .unwrap();
    let mut idle = OriginalClient::connect(pmd.port());
    idle.register("idle", "", 1);
    let whole = frame(idle.request_text("list", "{}"));
    for cut in [1, 4, 5, whole.len() - 1] {
        let mut a = OriginalClient::connect(pmd.port());
        a.register("a", "svc", 1);
        let started = Instant::now();
        a.send_bytes(&whole[..cut]);
        let answer = a.frame().unwrap();
        assert!(
            answer.contains("frame not completed within 300 ms"),
            "{answer}"
        );
        assert!(started.elapsed() >= Duration::from_millis(DEADLINE_MS));
        a.expect_end();
        drop(a);
        // Its node went with it.
        OriginalClient::connect(pmd.port()).register("b", "svc", 2);
    }
    // Time between frames is unlimited.
    assert_eq!(idle.resolve("idle").unwrap()["nodeId"], "idle");
}

#[test]
fn every_frame_has_its_own_time() {
    let pmd = Pmd::start(PmdOptions {
        frame_deadline_ms: 4_000,
        ..options()
    })
    .unwrap();
    let mut a = OriginalClient::connect(pmd.port());
    let mut next = frame(a.request_text("list", "{}"));
    a.send_bytes(&next[..9]);
    let since = Instant::now();
    let done = wait_until(LIMIT, || {
        // The rest of one and the start of another: there is always an incomplete frame.
        let following = frame(a.request_text("list", "{}"));
        a.send_bytes(&[&next[9..], &following[..9]].concat());
        next = following;
        let answer = a.frame().unwrap();
        assert!(answer.contains(r#"{"nodes":[]}"#), "{answer}");
        since.elapsed() > Duration::from_millis(9_000)
    });
    assert!(done);
}

#[test]
fn strangers_are_told_off_and_closed() {
    let pmd = pmd();
    let strangers: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: localhost:4369\r\n\r\n",
        b"POST /register HTTP/1.1\r\nContent-Length: 100000\r\n\r\n",
        // The start of a TLS handshake.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff\xfe\xfd\xfc",
    ];
    for bytes in strangers {
        let mut a = OriginalClient::connect(pmd.port());
        a.send_bytes(bytes);
        assert!(a.frame().unwrap().contains("Frame too large"));
        a.expect_end();
    }
    // Erlang's epmd protocol has two bytes of length: this one looks like the start of a frame
    // of 90,112 bytes, and its client closes when nothing comes.
    let mut epmd = OriginalClient::connect(pmd.port());
    epmd.send_bytes(b"\x00\x01\x6e");
    epmd.half_close();
    epmd.expect_end();
    assert_eq!(OriginalClient::connect(pmd.port()).ids(), [""; 0]);
}

#[test]
fn what_is_no_message_is_answered_and_changes_nothing() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    let bomb =
        |open: &str, close: &str, times: usize| [open.repeat(times), close.repeat(times)].concat();
    let nested = |depth: usize| {
        let inner = bomb("[", "]", depth);
        format!(r#"{{"type":"list","payload":{{"x":{inner}}},"requestId":1}}"#)
    };
    let mut bad: Vec<Vec<u8>> = [
        &bomb("[", "]", 500_000),
        &bomb(r#"{"a":"#, "}", 80_000),
        &"[".repeat(1_000_000),
        // Two levels are the message's own.
        &nested(63),
        r#"{"type":"list","payload":{},"requestId":1} x"#,
        r#"{"type":"list","payload":{},"requestId":1}{"type":"shutdown","payload":{}}"#,
        "{\"type\":\"list\",\"payload\":{},\"requestId\":1}\0",
        r#"{"type":"list","payload":{"x":NaN},"requestId":1}"#,
        r#"{"type":"list","payload":{"x":01},"requestId":1}"#,
        r#"{"type":"list","payload":{"x":"\x41"},"requestId":1}"#,
        "{\"type\":\"list\",\"payload\":{\"x\":\"a\nb\"},\"requestId\":1}",
        r#"{"type":"list","payload":{},}"#,
        r#"{'type':'list'}"#,
        r#"{"type":"list","type":"shutdown","requestId":1}"#,
        r#"["list",{},1]"#,
        r#"{"type":"register","payload":{"nodeId":"b\ud800","host":"h","port":1}}"#,
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    for broken in [
        &b"\xff"[..],
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
    ] {
        bad.push(
            [
                br#"{"type":"list","payload":{"x":""#,
                broken,
                br#""},"requestId":1}"#,
            ]
            .concat(),
        );
    }
    for text in bad {
        a.send_text(&text);
        let answer = a.frame().unwrap();
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
        assert!(
            answer.contains(r#""payload":{"error":"Invalid"#),
            "{shown}: {answer}"
        );
        assert!(answer.len() < 300, "{shown}: {answer}");
    }
    a.send_text(nested(62));
    assert!(a.frame().unwrap().contains(r#""nodes":[{"nodeId":"a""#));
    assert_eq!(a.ids(), ["a"]);
}
