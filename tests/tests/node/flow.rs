//! Overload: what is full is full, and every message is accounted for.

use std::time::Duration;

use distflow_core::{ErrorKind, Node, NodeEvent, Overflow, Stats, limits};
use distflow_tests::{LIMIT, wait_until};

use crate::{builder, node, payload, pmd};

/// sent = delivered + dropped + lost + waiting, over both sides.
fn balanced(sender: &Stats, receiver: &Stats) -> bool {
    sender.sent
        == receiver.delivered
            + receiver.dropped
            + receiver.waiting
            + receiver.lost_inbound
            + receiver.misdirected
            + sender.lost_outbound
}

fn flood(overflow: Overflow) -> (Node, Node, Vec<u64>) {
    const MESSAGES: u64 = 5_000;
    let pmd = pmd();
    let a = node(&pmd, "a");
    let b = builder(&pmd, "b")
        .mailbox(100, overflow)
        .start_blocking()
        .unwrap();
    for n in 0..MESSAGES {
        a.send_blocking("b", &payload(n), Some(LIMIT)).unwrap();
    }
    assert!(wait_until(LIMIT, || balanced(&a.stats(), &b.stats())));
    let mut got = Vec::new();
    while let Some(message) = b.try_recv() {
        got.push(message.payload.parse().unwrap());
    }
    assert!(
        balanced(&a.stats(), &b.stats()),
        "{:?} {:?}",
        a.stats(),
        b.stats()
    );
    assert_eq!(a.stats().sent, MESSAGES);
    assert_eq!(b.stats().dropped, MESSAGES - got.len() as u64);
    (a, b, got)
}

#[test]
fn drop_newest_keeps_the_first() {
    let (_, _, got) = flood(Overflow::DropNewest);
    assert_eq!(got, (0..100).collect::<Vec<_>>());
}

#[test]
fn drop_oldest_keeps_the_last() {
    let (_, _, got) = flood(Overflow::DropOldest);
    assert_eq!(got, (4_900..5_000).collect::<Vec<_>>());
}

#[test]
fn an_overflow_is_an_event_with_the_total() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    let b = builder(&pmd, "b")
        .mailbox(1, Overflow::DropNewest)
        .start_blocking()
        .unwrap();
    let events = b.events();
    for n in 0..50 {
        a.send_blocking("b", &payload(n), Some(LIMIT)).unwrap();
    }
    // The first drop is told at once, the rest at most once a second.
    let mut told = 0;
    while told < 49 {
        if let NodeEvent::MailboxOverflow(total) = events.next_timeout(LIMIT).unwrap() {
            assert!(total > told);
            told = total;
        }
    }
    assert_eq!(b.stats().dropped, 49);
}

#[test]
fn block_is_felt_by_the_sender_and_loses_nothing() {
    let pmd = pmd();
    let a = builder(&pmd, "a")
        .with(|o| o.queue_bytes_max = 64 << 10)
        .start_blocking()
        .unwrap();
    let b = builder(&pmd, "b")
        .mailbox(10, Overflow::Block)
        .start_blocking()
        .unwrap();
    let text = "x".repeat(4_000);
    a.send_blocking("b", &payload((0u64, &text)), Some(LIMIT))
        .unwrap();
    // Until mailbox, sockets and queue are full.
    let mut sent = 1u64;
    let busy = loop {
        match a.try_send("b", &payload((sent, &text))) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1_000_000, "nothing ever fills");
    };
    assert_eq!(busy.kind(), ErrorKind::Busy);
    // A waiting send ends when the receiver makes room.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| a.send_blocking("b", &payload((sent, &text)), Some(LIMIT)));
        for n in 0..=sent {
            let message = b.recv_timeout(Some(LIMIT)).unwrap();
            assert_eq!(message.payload.parse::<(u64, String)>().unwrap().0, n);
        }
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(b.stats().dropped, 0);
    assert_eq!(b.stats().delivered, sent + 1);
}

#[test]
fn one_full_receiver_does_not_hold_up_another() {
    let pmd = pmd();
    let a = builder(&pmd, "a")
        .with(|o| o.queue_bytes_max = 64 << 10)
        .start_blocking()
        .unwrap();
    let full = builder(&pmd, "full")
        .mailbox(1, Overflow::Block)
        .start_blocking()
        .unwrap();
    let free = node(&pmd, "free");
    let text = payload("x".repeat(4_000));
    a.send_blocking("full", &text, Some(LIMIT)).unwrap();
    while a.try_send("full", &text).is_ok() {}
    a.send_blocking("free", &payload(1), Some(LIMIT)).unwrap();
    assert_eq!(
        free.recv_timeout(Some(LIMIT)).unwrap().payload.as_str(),
        "1"
    );
    // Its good-bye is not held up for ever either: what cannot be flushed is given up.
    a.shutdown_blocking().unwrap();
    drop(full);
}

#[test]
fn messages_to_a_peer_that_died_are_reported() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    let b = node(&pmd, "b");
    let events = a.events();
    a.send_blocking("b", &payload(0), Some(LIMIT)).unwrap();
    assert!(b.recv_timeout(Some(LIMIT)).is_ok());
    drop(b);
    let left = |event: &NodeEvent| matches!(event, NodeEvent::PeerLeave(..));
    while !left(&events.next_timeout(LIMIT).unwrap()) {}
    let error = a.send_blocking("b", &payload(1), Some(LIMIT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResolveFailed);
}

#[test]
fn a_timeout_of_a_send_is_told_apart() {
    let pmd = pmd();
    let a = builder(&pmd, "a")
        .with(|o| o.queue_bytes_max = 16 << 10)
        .start_blocking()
        .unwrap();
    let _b = builder(&pmd, "b")
        .mailbox(1, Overflow::Block)
        .start_blocking()
        .unwrap();
    let text = payload("x".repeat(4_000));
    a.send_blocking("b", &text, Some(LIMIT)).unwrap();
    // The sockets' buffers take some; in the end nothing moves any more.
    let short = Some(Duration::from_millis(20));
    let error = (0..100_000).find_map(|_| a.send_blocking("b", &text, short).err());
    assert_eq!(error.unwrap().kind(), ErrorKind::Timeout);
}

#[test]
fn many_large_answers_at_once_do_not_lock_up() {
    const CONNECTIONS: usize = 16;
    let pmd = pmd();
    let mut clients = Vec::new();
    for connection in 0..CONNECTIONS {
        let mut client = distflow_tests::OriginalClient::connect(pmd.port());
        for n in 0..64 {
            let alias = format!("{}-{connection}-{n}", "x".repeat(200));
            client.register(&format!("id-{connection}-{n}"), &alias, 1);
        }
        clients.push(client);
    }
    // Each answer is some 300 KiB: far more than the sockets hold, so requests and answers are
    // under way at the same time.
    let a = builder(&pmd, "a")
        .with(|options| options.request_timeout_ms = LIMIT.as_millis() as u64)
        .start_blocking()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let asked = (0..500).map(|_| {
            let a = a.clone();
            tokio::spawn(async move { a.discover(None).await.map(|nodes| nodes.len()) })
        });
        for answer in asked.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap().unwrap(), CONNECTIONS * 64);
        }
    });
}

#[test]
fn a_shutdown_that_cannot_flush_still_counts_exactly() {
    for round in 0..5 {
        let pmd = pmd();
        let a = node(&pmd, "a");
        let b = builder(&pmd, "b")
            .mailbox(10, Overflow::Block)
            .start_blocking()
            .unwrap();
        let text = payload("x".repeat(100_000));
        let short = Some(Duration::from_millis(100));
        while a.send_blocking("b", &text, short).is_ok() {}
        a.shutdown_blocking().unwrap();
        // Calls that gave up waiting may have been let in since; at rest, nothing is missing.
        assert!(
            wait_until(LIMIT, || {
                while b.try_recv().is_some() {}
                balanced(&a.stats(), &b.stats())
            }),
            "round {round}: {:?} {:?}",
            a.stats(),
            b.stats()
        );
    }
}

/// Longer than `TCP_USER_TIMEOUT`, and than what `shutdown` without a limit gives to flushing.
const STALL: Duration = Duration::from_millis(limits::TCP_USER_TIMEOUT_MS + 1_500);

#[test]
fn a_receiver_that_stalls_for_long_loses_nothing_and_a_close_waits_for_it() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    let b = builder(&pmd, "b")
        .mailbox(10, Overflow::Block)
        .start_blocking()
        .unwrap();
    let text = "x".repeat(1_000);
    // What the sockets and the queue hold; then there is no room for long.
    let mut sent = 0u64;
    while a
        .send_blocking(
            "b",
            &payload((sent, &text)),
            Some(Duration::from_millis(300)),
        )
        .is_ok()
    {
        sent += 1;
    }
    // The last one waits for room still, and gets it.
    sent += 1;
    let closing = a.clone();
    let closing = std::thread::spawn(move || closing.shutdown_within(LIMIT * 4));
    // The time has to pass: nothing must happen in it.
    std::thread::sleep(STALL);
    for n in 0..sent {
        let message = b.recv_timeout(Some(LIMIT)).unwrap();
        let (number, _): (u64, String) = message.payload.parse().unwrap();
        assert_eq!(number, n, "of {sent}");
    }
    closing.join().unwrap().unwrap();
    assert_eq!(a.stats().lost_outbound, 0, "{:?}", a.stats());
    assert!(
        balanced(&a.stats(), &b.stats()),
        "{:?} {:?}",
        a.stats(),
        b.stats()
    );
}
