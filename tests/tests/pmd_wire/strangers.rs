//! Those who speak another protocol on the PMD's port are let go at once.

use distflow_core::pmd::{Pmd, PmdOptions};
use distflow_tests::OriginalClient;

/// A PMD that waits for ever for the rest of a frame.
fn patient_pmd() -> Pmd {
    Pmd::start(PmdOptions {
        port: 0,
        frame_deadline_ms: 3_600_000,
        ..PmdOptions::default()
    })
    .unwrap()
}

#[test]
fn erlang_is_let_go_and_recognised() {
    let pmd = patient_pmd();
    // `epmd -names`; a node that wants to be registered, on ports whose second byte begins no
    // JSON, and begins some.
    let alive = |port: [u8; 2]| {
        let mut bytes = b"\0\x0dx".to_vec();
        bytes.extend_from_slice(&port);
        bytes.extend_from_slice(b"\x4d\0\0\x06\0\x05\0\x01a\0");
        bytes
    };
    for bytes in [
        b"\0\x01n".to_vec(),
        alive([0xd4, 0xff]),
        alive([0xd4, b'1']),
    ] {
        let mut erlang = OriginalClient::connect(pmd.port());
        erlang.send_bytes(&bytes);
        let answer = erlang.frame().unwrap();
        assert!(answer.contains("Erlang"), "{bytes:?}: {answer}");
        erlang.expect_end();
    }
}

#[test]
fn bytes_that_begin_no_frame_are_not_waited_for() {
    let pmd = patient_pmd();
    let mut known = OriginalClient::connect(pmd.port());
    known.register("a", "a", 1);
    for bytes in [&b"\0"[..], b"\0\0\0", b"\0\0\0\x20x", b"\0\0\0\x20\xff"] {
        let mut stranger = OriginalClient::connect(pmd.port());
        stranger.send_bytes(bytes);
        assert!(stranger.frame().is_some());
        stranger.expect_end();
    }
    // Whoever has spoken has the whole time, also for the first bytes of a frame.
    let next = known.request_text("list", "{}");
    let next = distflow_tests::frame(next);
    known.send_bytes(&next[..2]);
    let mut stranger = OriginalClient::connect(pmd.port());
    stranger.send_bytes(b"\0");
    assert!(stranger.frame().is_some(), "a second has passed");
    known.send_bytes(&next[2..]);
    assert!(known.response_text().contains("nodes"));
}
