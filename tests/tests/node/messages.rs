//! Sending and receiving.

use std::sync::mpsc::channel;

use distflow_core::{ErrorKind, Overflow, Payload};
use distflow_tests::LIMIT;

use crate::{builder, node, payload, pmd};

#[test]
fn messages_go_by_alias_by_id_and_to_oneself() {
    let pmd = pmd();
    let (a, b) = (node(&pmd, "a"), node(&pmd, "b"));
    a.send_blocking("b", &payload("by alias"), Some(LIMIT))
        .unwrap();
    a.send_blocking(b.id(), &payload("by id"), Some(LIMIT))
        .unwrap();
    b.send_blocking("b", &payload("to oneself"), Some(LIMIT))
        .unwrap();
    let mut texts = Vec::new();
    for _ in 0..3 {
        let message = b.recv_timeout(Some(LIMIT)).unwrap();
        assert!(message.timestamp > 1_700_000_000_000);
        texts.push((
            message.from.to_string(),
            message.payload.as_str().to_owned(),
        ));
    }
    texts.sort();
    let mut want = vec![
        (a.id().to_owned(), "\"by alias\"".to_owned()),
        (a.id().to_owned(), "\"by id\"".to_owned()),
        (b.id().to_owned(), "\"to oneself\"".to_owned()),
    ];
    want.sort();
    assert_eq!(texts, want);
}

#[test]
fn payloads_arrive_as_they_were_given() {
    let pmd = pmd();
    let (a, b) = (node(&pmd, "a"), node(&pmd, "b"));
    let texts = [
        "null",
        "0",
        "-0.0",
        "1e999",
        "9007199254740993",
        "\"é\\u0000🚀\"",
        "[1, 2 ,3]",
        "{\"b\":1,\"a\":{\"b\":[]}}",
        "\"\\ud800\"",
    ];
    for text in texts {
        let payload = Payload::from_json(text).unwrap();
        a.send_blocking("b", &payload, Some(LIMIT)).unwrap();
        assert_eq!(b.recv_timeout(Some(LIMIT)).unwrap().payload.as_str(), text);
    }
    a.send_blocking("b", &Payload::absent(), Some(LIMIT))
        .unwrap();
    assert!(b.recv_timeout(Some(LIMIT)).unwrap().payload.is_absent());
}

#[test]
fn an_unknown_target_is_an_error_with_the_originals_text() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    let error = a
        .send_blocking("nobody", &payload(1), Some(LIMIT))
        .unwrap_err();
    assert_eq!(error.to_string(), "Failed to resolve target: nobody");
    assert_eq!(error.kind(), ErrorKind::ResolveFailed);
    assert_eq!(error.cause().unwrap().kind(), ErrorKind::NodeNotFound);
    assert_eq!(
        a.try_send("nobody", &payload(1)).unwrap_err().kind(),
        ErrorKind::ResolveFailed
    );
}

#[test]
fn parallel_first_sends_share_a_connection_and_keep_their_order() {
    const THREADS: u64 = 8;
    const EACH: u64 = 500;
    let pmd = pmd();
    let a = node(&pmd, "a");
    let b = builder(&pmd, "b")
        .mailbox(100_000, Overflow::DropNewest)
        .start_blocking()
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let a = &a;
            scope.spawn(move || {
                for n in 0..EACH {
                    a.send_blocking("b", &payload((thread, n)), Some(LIMIT))
                        .unwrap();
                }
            });
        }
    });
    let mut next = [0u64; THREADS as usize];
    for _ in 0..THREADS * EACH {
        let message = b.recv_timeout(Some(LIMIT)).unwrap();
        let (thread, n): (u64, u64) = message.payload.parse().unwrap();
        assert_eq!(n, next[thread as usize], "thread {thread}");
        next[thread as usize] += 1;
    }
}

#[test]
fn a_large_message_passes_and_a_too_large_one_is_refused() {
    let pmd = pmd();
    let (a, b) = (node(&pmd, "a"), node(&pmd, "b"));
    let large = payload("x".repeat(15 << 20));
    a.send_blocking("b", &large, Some(LIMIT)).unwrap();
    assert_eq!(b.recv_timeout(Some(LIMIT)).unwrap().payload, large);
    let too_large = payload("x".repeat(17 << 20));
    let error = a.send_blocking("b", &too_large, Some(LIMIT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    // The link goes on.
    a.send_blocking("b", &payload(1), Some(LIMIT)).unwrap();
    assert_eq!(b.recv_timeout(Some(LIMIT)).unwrap().payload.as_str(), "1");
}

#[test]
fn bad_payloads_are_named() {
    for (text, says) in [
        ("{", "unexpected end"),
        ("1],[2", "text after the value"),
        ("NaN", "expected a value"),
    ] {
        let error = Payload::from_json(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidJson);
        assert!(error.to_string().contains(says), "{error}");
    }
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    assert!(
        Payload::from_json(deep)
            .unwrap_err()
            .to_string()
            .contains("deeper than 64")
    );
    // serde_json writes NaN as null, and refuses keys that are no strings.
    let map = std::collections::BTreeMap::from([(vec![1], 2)]);
    assert!(Payload::from_value(&map).is_err());
}

#[test]
fn messages_wait_for_the_first_handler() {
    let pmd = pmd();
    let (a, b) = (node(&pmd, "a"), node(&pmd, "b"));
    for n in 0..10 {
        a.send_blocking("b", &payload(n), Some(LIMIT)).unwrap();
    }
    let (sender, got) = channel();
    let other = sender.clone();
    b.on_message(move |message| {
        sender
            .send(message.payload.parse::<u64>().unwrap())
            .unwrap()
    })
    .unwrap();
    for n in 0..10 {
        assert_eq!(got.recv_timeout(LIMIT).unwrap(), n);
    }
    // Every handler sees every message.
    b.on_message(move |_| other.send(99).unwrap()).unwrap();
    a.send_blocking("b", &payload(10), Some(LIMIT)).unwrap();
    assert_eq!(got.recv_timeout(LIMIT).unwrap(), 10);
    assert_eq!(got.recv_timeout(LIMIT).unwrap(), 99);
}

#[test]
fn a_handler_that_panics_stops_nobody() {
    let pmd = pmd();
    let (a, b) = (node(&pmd, "a"), node(&pmd, "b"));
    let (sender, got) = channel();
    b.on_message(|message| assert_ne!(message.payload.as_str(), "1", "a test's own panic"))
        .unwrap();
    b.on_message(move |message| sender.send(message.payload.as_str().to_owned()).unwrap())
        .unwrap();
    for n in 1..=2 {
        a.send_blocking("b", &payload(n), Some(LIMIT)).unwrap();
    }
    assert_eq!(got.recv_timeout(LIMIT).unwrap(), "1");
    assert_eq!(got.recv_timeout(LIMIT).unwrap(), "2");
}

#[test]
fn a_handler_may_send_and_ask() {
    let pmd = pmd();
    let (a, b) = (node(&pmd, "a"), node(&pmd, "b"));
    let answering = b.clone();
    b.on_message(move |message| {
        let peers = answering.discover_blocking(None).unwrap().len();
        let to = message.from.as_str();
        answering
            .send_blocking(to, &payload(peers), Some(LIMIT))
            .unwrap();
    })
    .unwrap();
    a.send_blocking("b", &payload("how many?"), Some(LIMIT))
        .unwrap();
    assert_eq!(a.recv_timeout(Some(LIMIT)).unwrap().payload.as_str(), "1");
}

#[test]
fn any_async_runtime_will_do() {
    let pmd = pmd();
    let own = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    own.block_on(async {
        let a = builder(&pmd, "a").start().await.unwrap();
        let b = builder(&pmd, "b").start().await.unwrap();
        a.send("b", &serde_json::json!({"n": 1})).await.unwrap();
        let message = b.recv().await.unwrap();
        assert_eq!(message.payload.as_str(), "{\"n\":1}");
        assert_eq!(a.discover(Some("b")).await.unwrap().len(), 1);
        a.shutdown().await.unwrap();
        b.shutdown().await.unwrap();
        assert!(b.recv().await.is_none());
    });
}

#[test]
fn messages_that_are_held_go_out_together_and_in_order() {
    let pmd = pmd();
    let (a, b) = (node(&pmd, "a"), node(&pmd, "b"));
    let next = || b.recv_timeout(Some(LIMIT)).unwrap().payload.parse::<u64>();
    let send = |number: u64| {
        let payload = Payload::from_value(&number).unwrap();
        assert!(a.begin_send_held("b", &payload).unwrap().is_none());
    };
    a.send_blocking("b", &payload(0), Some(LIMIT)).unwrap();
    assert_eq!(next().unwrap(), 0);

    // Few wait for the flush, as a message in between shows: it would have come before them.
    (1..=3).for_each(send);
    b.send_blocking("b", &payload(99), Some(LIMIT)).unwrap();
    assert_eq!(next().unwrap(), 99);
    a.flush();
    for number in 1..=3 {
        assert_eq!(next().unwrap(), number);
    }

    // Many do not: a full batch goes by itself.
    (0..900).for_each(send);
    assert_eq!(next().unwrap(), 0);
    // Neither does what is sent in the usual way after them.
    a.send_blocking("b", &payload(900), Some(LIMIT)).unwrap();
    for number in 1..=900 {
        assert_eq!(next().unwrap(), number);
    }

    // A shutdown flushes what is held.
    (0..5).for_each(send);
    a.shutdown_blocking().unwrap();
    for number in 0..5 {
        assert_eq!(next().unwrap(), number);
    }
    assert_eq!(a.stats().lost_outbound, 0);
}
