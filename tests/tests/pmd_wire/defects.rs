//! Defects of the originals that are fixed, by their number. The ones that are about bounds
//! (1, 2 and 10) are tested at length in `pmd_bounds`.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use distflow_core::error::ErrorKind;
use distflow_core::pmd::{Pmd, PmdNotice, PmdOptions};
use distflow_core::registry::StopReason;
use distflow_tests::{LIMIT, OriginalClient, frame, register_payload, wait_until};
use serde_json::Value;

use crate::{options, pmd, pmd_with_probe};

#[test]
fn defect_1_an_over_long_header_is_refused_and_the_connection_closed() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.send_bytes(&u32::MAX.to_be_bytes());
    let answer = a.frame().unwrap();
    assert!(
        answer.contains("Frame too large: 4294967295 bytes"),
        "{answer}"
    );
    a.expect_end();
}

#[test]
fn defect_2_a_large_frame_in_many_pieces_takes_linear_time() {
    const BYTES: usize = 24 << 20;
    let pmd = Pmd::start(PmdOptions {
        frame_bytes_max: BYTES + 100,
        ..options()
    })
    .unwrap();
    let mut a = OriginalClient::connect(pmd.port());
    let text = format!(
        r#"{{"type":"list","payload":{{"x":"{}"}},"requestId":1}}"#,
        "y".repeat(BYTES)
    );
    let started = Instant::now();
    for piece in frame(text).chunks(1_460) {
        a.send_bytes(piece);
    }
    assert_eq!(
        a.frame().unwrap(),
        r#"{"type":"response","requestId":1,"payload":{"nodes":[]}}"#
    );
    // Copying everything for each piece would be 200 GB.
    assert!(started.elapsed() < LIMIT);
}

#[test]
fn defect_3_a_stale_close_removes_nothing() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut old = OriginalClient::connect(pmd.port());
    old.register("a", "svc", 1);
    let mut new = OriginalClient::connect(pmd.port());
    new.register("a", "svc", 1);
    drop(old);
    OriginalClient::connect(pmd.port()).ids();
    assert_eq!(watcher.changes(), ["peer:join a"]);
    assert_eq!(new.resolve("svc").unwrap()["nodeId"], "a");
}

#[test]
fn defect_4_a_live_id_cannot_be_taken_over() {
    let pmd = pmd_with_probe(50);
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "svc", 1);
    let mut b = OriginalClient::connect(pmd.port());
    assert_eq!(
        b.register_refused("a", "svc", 2),
        "Node 'a' already registered"
    );
    assert_eq!(a.resolve("svc").unwrap()["port"], 1);
}

#[test]
fn defect_5_an_old_alias_is_forgotten() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "old", 1);
    a.register("a", "new", 1);
    assert_eq!(a.resolve("old"), None);
    assert_eq!(a.resolve("new").unwrap()["nodeId"], "a");
    let mut b = OriginalClient::connect(pmd.port());
    b.register("b", "old", 1);
    a.register("a", "", 1);
    assert_eq!(a.resolve("new"), None);
    a.call("unregister", r#"{"nodeId":"a"}"#);
    assert_eq!(a.resolve("old").unwrap()["nodeId"], "b");
}

#[test]
fn defect_6_every_node_of_a_connection_leaves() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    for id in ["a", "b", "c"] {
        a.register(id, "", 1);
    }
    a.reset();
    let mut leaves: Vec<String> = (0..6).map(|_| watcher.change()).skip(3).collect();
    leaves.sort();
    assert_eq!(leaves, ["peer:leave a", "peer:leave b", "peer:leave c"]);
}

#[test]
fn defect_7_shutdown_does_not_wait_for_clients() {
    // A machine that is busy elsewhere may stand still for a while, but not each time.
    let took = [(); 3].map(|()| shutdown_with_clients());
    assert!(
        took.iter().min() < Some(&Duration::from_secs(2)),
        "{took:?}"
    );
}

fn shutdown_with_clients() -> Duration {
    let pmd = pmd();
    let mut clients: Vec<_> = (0..20)
        .map(|_| OriginalClient::connect(pmd.port()))
        .collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.register(&format!("n{n}"), "", 1);
        client.watch();
    }
    let started = Instant::now();
    let mut killer = OriginalClient::connect(pmd.port());
    assert_eq!(killer.call("shutdown", "{}")["success"], true);
    killer.expect_end();
    assert!(wait_until(LIMIT, || !pmd.is_running()));
    for client in &mut clients {
        while client.frame().is_some() {}
    }
    let took = started.elapsed();
    // Nothing listens any more.
    assert!(std::net::TcpStream::connect(("127.0.0.1", pmd.port())).is_err());
    took
}

#[test]
fn defect_8_a_missing_payload_is_answered() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    for kind in ["register", "unregister", "resolve", "heartbeat", "hello"] {
        for payload in [
            "",
            r#""payload":null,"#,
            r#""payload":{},"#,
            r#""payload":["a"],"#,
            r#""payload":7,"#,
        ] {
            if kind == "hello" && payload.contains('{') {
                continue;
            }
            a.send_text(format!(r#"{{"type":"{kind}",{payload}"requestId":"x"}}"#));
            let answer = a.response_text();
            let start = r#"{"type":"response","requestId":"x","payload":{"error":"Invalid payload"#;
            assert!(answer.starts_with(start), "{kind} {payload}: {answer}");
        }
    }
    // Those that need none do without.
    for kind in ["list", "watch"] {
        a.send_text(format!(r#"{{"type":"{kind}","requestId":"x"}}"#));
        assert!(!a.response_text().contains("error"), "{kind}");
    }
}

#[test]
fn defect_9_input_is_validated_and_a_refusal_changes_nothing() {
    let pmd = pmd();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    let long = |bytes: usize| "x".repeat(bytes);
    let wrong = [
        r#"{"alias":"b","host":"h","port":1}"#.to_owned(),
        r#"{"nodeId":"","host":"h","port":1}"#.into(),
        r#"{"nodeId":7,"host":"h","port":1}"#.into(),
        r#"{"nodeId":null,"host":"h","port":1}"#.into(),
        r#"{"nodeId":"a","port":1}"#.into(),
        r#"{"nodeId":"a","host":"","port":1}"#.into(),
        r#"{"nodeId":"a","host":["h"],"port":1}"#.into(),
        r#"{"nodeId":"a","host":"h"}"#.into(),
        r#"{"nodeId":"a","host":"h","port":0}"#.into(),
        r#"{"nodeId":"a","host":"h","port":65536}"#.into(),
        r#"{"nodeId":"a","host":"h","port":-1}"#.into(),
        r#"{"nodeId":"a","host":"h","port":1.5}"#.into(),
        r#"{"nodeId":"a","host":"h","port":"1"}"#.into(),
        r#"{"nodeId":"a","host":"h","port":1e999}"#.into(),
        r#"{"nodeId":"a","alias":7,"host":"h","port":1}"#.into(),
        r#"{"nodeId":"a","alias":"x\ny","host":"h","port":1}"#.into(),
        r#"{"nodeId":"a\u0000","host":"h","port":1}"#.into(),
        r#"{"nodeId":"a","host":"h\u001b[2J","port":1}"#.into(),
        r#"{"nodeId":"a","nodeId":"b","host":"h","port":1}"#.into(),
        format!(r#"{{"nodeId":"{}","host":"h","port":1}}"#, long(129)),
        format!(
            r#"{{"nodeId":"a","alias":"{}","host":"h","port":1}}"#,
            long(256)
        ),
        format!(r#"{{"nodeId":"a","host":"{}","port":1}}"#, long(256)),
    ];
    for payload in wrong {
        let text = a.refused("register", &payload);
        assert!(text.starts_with("Invalid payload"), "{payload}: {text}");
    }
    assert_eq!(a.ids(), [""; 0]);
    assert_eq!(watcher.changes(), [""; 0]);
    // At the limits everything is accepted.
    let most = format!(
        r#"{{"nodeId":"{}","alias":"{}","host":"{}","port":65535}}"#,
        long(128),
        long(255),
        long(255)
    );
    assert_eq!(a.call("register", &most)["success"], true);
    assert_eq!(
        a.call("register", r#"{"nodeId":"__proto__","host":"h","port":1}"#)["success"],
        true
    );
    assert_eq!(a.resolve("__proto__").unwrap()["port"], 1);
}

#[test]
fn defect_10_a_watcher_that_never_reads_is_cut_off() {
    let mut options = PmdOptions {
        watcher_queue_bytes_max: 4 << 10,
        ..options()
    };
    // The kernel would give it up as well, after this time.
    options.detection.user_timeout = Duration::from_secs(3_600);
    let pmd = Pmd::start(options).unwrap();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.register("watcher", "", 1);
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    let gone = wait_until(LIMIT, || {
        let mut bytes = Vec::new();
        for _ in 0..500 {
            bytes.extend(frame(
                a.request_text("register", &register_payload("a", "", 1)),
            ));
            bytes.extend(frame(a.request_text("unregister", r#"{"nodeId":"a"}"#)));
        }
        a.send_bytes(&bytes);
        for _ in 0..1_000 {
            a.response_text();
        }
        a.resolve("watcher").is_none()
    });
    assert!(gone, "still registered, so still connected");
}

#[test]
fn defect_11_an_embedded_pmd_reports_its_end_and_leaves_the_host_alone() {
    let pmd = Pmd::start(PmdOptions {
        auto_shutdown_ms: Some(100),
        ..options()
    })
    .unwrap();
    // Armed from the start: no node ever came.
    assert!(wait_until(LIMIT, || !pmd.is_running()));
    let end = pmd.events().recv_timeout(Some(LIMIT)).unwrap();
    assert_eq!(end, PmdNotice::Stopped(Some(StopReason::NoNodes)));

    let pmd = Pmd::start(PmdOptions {
        auto_shutdown_ms: Some(3_000),
        ..options()
    })
    .unwrap();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    // Longer than the time, with a node: shown by its staying registered throughout.
    let since = Instant::now();
    let stayed = wait_until(LIMIT, || {
        assert!(pmd.is_running());
        assert_eq!(a.ids(), ["a"]);
        since.elapsed() > Duration::from_millis(6_000)
    });
    assert!(stayed);
    // Who only watches does not keep it.
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    drop(a);
    assert!(wait_until(LIMIT, || !pmd.is_running()));
    assert_eq!(watcher.change(), "peer:leave a");
    watcher.expect_end();

    let pmd = crate::pmd();
    OriginalClient::connect(pmd.port()).call("shutdown", "{}");
    let end = pmd.events().recv_timeout(Some(LIMIT)).unwrap();
    assert_eq!(end, PmdNotice::Stopped(Some(StopReason::Requested)));
}

/// An address of this machine that is not loopback, if it has one.
fn outer_address() -> Option<SocketAddr> {
    // Nothing is sent: connecting a datagram socket only picks the address.
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.200:9").ok()?;
    let address = socket.local_addr().ok()?;
    (!address.ip().is_loopback()).then_some(address)
}

#[test]
fn defect_12_shutdown_is_only_accepted_from_loopback() {
    let Some(mut address) = outer_address() else {
        eprintln!("NOT TESTED: this machine has only loopback addresses");
        return;
    };
    let pmd = Pmd::start(PmdOptions {
        host: "0.0.0.0".into(),
        insecure: true,
        ..options()
    })
    .unwrap();
    address.set_port(pmd.port());
    let mut stranger = OriginalClient::connect_to(address);
    assert!(!stranger.local_addr().ip().is_loopback());
    let text = stranger.refused("shutdown", "{}");
    assert_eq!(text, "shutdown is only allowed from loopback");
    // Everything else as before.
    stranger.register("a", "svc", 1);
    let mut local = OriginalClient::connect(pmd.port());
    assert_eq!(local.ids(), ["a"]);
    // Not even from loopback may one unregister another's node.
    let text = local.refused("unregister", r#"{"nodeId":"a"}"#);
    assert_eq!(text, "Node 'a' is registered by another connection");
    assert_eq!(local.call("shutdown", "{}")["success"], true);
    assert!(wait_until(LIMIT, || !pmd.is_running()));
}

#[test]
fn defect_13_a_failing_start_says_why() {
    let pmd = pmd();
    let again = PmdOptions {
        port: pmd.port(),
        ..options()
    };
    let error = Pmd::start(again).err().expect("two PMDs on one port");
    assert_eq!(error.kind(), ErrorKind::AddressInUse);
    assert!(
        error.to_string().contains(&pmd.port().to_string()),
        "{error}"
    );
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        let wide = PmdOptions {
            host: host.into(),
            ..options()
        };
        let error = Pmd::start(wide).err().expect("listens beyond loopback");
        assert_eq!(error.kind(), ErrorKind::Insecure, "{error}");
    }
    let nowhere = PmdOptions {
        host: "203.0.113.77".into(),
        insecure: true,
        ..options()
    };
    let error = Pmd::start(nowhere)
        .err()
        .expect("listens on a foreign address");
    assert!(error.to_string().contains("203.0.113.77"), "{error}");
}

#[test]
fn both_loopback_families_are_served() {
    let pmd = pmd();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("a", "", 1);
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("NOT TESTED: this machine has no IPv6 loopback");
        return;
    }
    let mut b = OriginalClient::connect_to(SocketAddr::new("::1".parse().unwrap(), pmd.port()));
    assert_eq!(b.ids(), ["a"]);
    let answer: Value = b.call("shutdown", "{}");
    assert_eq!(answer["success"], true);
}
