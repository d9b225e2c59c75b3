use super::*;
use crate::limits::{
    BROKER_IN_FLIGHT_MAX, BROKER_SUBSCRIPTIONS_MAX, BROKER_SWEEP_MS, BROKER_UNWRITTEN_BYTES_MAX,
    BROKER_WAITING_BYTES_MAX, BROKER_WAITING_MESSAGES_MAX,
};

#[test]
fn messages_reach_who_has_subscribed_once() {
    let mut world = World::new();
    world.enter(1, "a");
    world.enter(2, "b");
    let granted = world.subscribe(2, vec![wanted("x/#", 0), wanted("x/+", 2), wanted("a+", 1)]);
    assert_eq!(granted, [Ok(0), Ok(2), Err(Reason::FilterInvalid)]);
    world.publish(1, message("x/y", "one"));
    assert_eq!(world.next(1), ToClient::PubAck(1, Reason::Success));
    let heard = world.heard(2);
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].qos, heard[0].retain), (1, false));
    world.say(
        2,
        FromClient::Unsubscribe {
            id: 9,
            filters: vec!["x/+".into(), "z".into()],
        },
    );
    let reasons = vec![Reason::Success, Reason::NoSubscription];
    assert_eq!(world.next(2), ToClient::UnsubAck(9, reasons));
    world.publish(1, message("x/y", "two"));
    assert_eq!(world.heard(2)[0].qos, 0);
}

#[cfg(feature = "plants")]
#[test]
fn the_planted_bug_is_found() {
    let test = all_that_is_retained_is_told_however_much_it_is;
    crate::plant::turns_red("retained_cut", test);
}

/// Other brokers cut them off: a list of sessions would miss some.
#[test]
fn all_that_is_retained_is_told_however_much_it_is() {
    let mut world = World::new();
    world.enter(1, "a");
    for number in 0..10_000 {
        world.publish(1, retained(&format!("s/{number}"), "x"));
    }
    world.publish(1, retained("s/7", ""));
    assert_eq!(world.changed.len(), 10_001);
    for (connection, qos) in [(2, 0), (3, 1)] {
        world.enter(connection, &format!("reader {connection}"));
        world.subscribe(connection, vec![wanted("s/+", qos)]);
        let heard = world.heard(connection);
        assert_eq!(heard.len(), 9_999);
        assert!(
            heard
                .iter()
                .all(|delivery| delivery.retain && delivery.qos == qos)
        );
    }
    // To a reader that does not read, no more is handed than a bound.
    world.is_written = false;
    world.enter(4, "slow");
    world.subscribe(4, vec![wanted("s/+", 0)]);
    let cost = message("s/1234", "x").cost();
    let handed = world.heard(4).len();
    assert!(handed <= BROKER_UNWRITTEN_BYTES_MAX / cost + 50, "{handed}");
    world.is_written = true;
    world.state.unwritten(4, 0, world.now_ms);
    world.settle();
    assert_eq!(handed + world.heard(4).len(), 9_999);
}

#[test]
fn a_subscription_says_whether_it_wants_what_is_retained() {
    let mut world = World::new();
    world.enter(1, "a");
    world.publish(1, retained("x", "old"));
    world.heard(1);
    for (kind, first, second) in [
        (WantedRetained::Always, 1, 1),
        (WantedRetained::IfNew, 1, 0),
        (WantedRetained::Never, 0, 0),
    ] {
        let filter = "x/#".to_owned();
        let wanted = Wanted {
            retained: kind,
            ..wanted(&filter, 1)
        };
        world.subscribe(1, vec![wanted.clone()]);
        assert_eq!(world.heard(1).len(), first);
        world.subscribe(1, vec![wanted]);
        assert_eq!(world.heard(1).len(), second);
        world.say(
            1,
            FromClient::Unsubscribe {
                id: 1,
                filters: vec![filter],
            },
        );
        world.heard(1);
    }
    let own = Wanted {
        no_local: true,
        ..wanted("x", 1)
    };
    world.subscribe(1, vec![own]);
    world.heard(1);
    world.publish(1, message("x", "of itself"));
    assert!(world.heard(1).is_empty());
}

#[test]
fn a_will_is_said_when_a_connection_breaks_and_not_after_a_good_bye() {
    let mut world = World::new();
    world.enter(1, "hears");
    world.subscribe(1, vec![wanted("#", 1)]);
    let with_will = |id: &str, delay_s| Connect {
        will: Some(Will {
            message: retained("gone", id),
            delay_s,
        }),
        session_expiry_s: 60,
        ..connect(id)
    };
    world.connect(2, with_will("breaks", 0));
    world.lose(2);
    assert_eq!(world.payloads(1), ["breaks"]);
    world.connect(3, with_will("leaves", 0));
    let good_bye = |with_will| FromClient::Disconnect {
        with_will,
        session_expiry_s: None,
    };
    world.say(3, good_bye(false));
    assert_eq!(world.closed[&3], Reason::Success);
    assert!(world.payloads(1).is_empty());
    world.connect(4, with_will("wants it", 0));
    world.say(4, good_bye(true));
    assert_eq!(world.payloads(1), ["wants it"]);
    // One that is back in time has not gone.
    world.connect(5, with_will("is back", 10));
    world.lose(5);
    world.pass(9_000);
    let back = Connect {
        clean: false,
        ..connect("is back")
    };
    world.connect(6, back);
    world.pass(100_000);
    assert!(world.payloads(1).is_empty());
    world.connect(7, with_will("stays away", 10));
    world.lose(7);
    world.pass(11_000);
    assert_eq!(world.payloads(1), ["stays away"]);
}

#[test]
fn silence_ends_a_connection_after_one_and_a_half_times_what_was_agreed() {
    let mut world = World::new();
    let silent = |id: &str| Connect {
        keep_alive_s: 10,
        ..connect(id)
    };
    world.connect(1, silent("silent"));
    world.connect(2, silent("pings"));
    world.enter(3, "has agreed on nothing");
    for _ in 0..3 {
        world.pass(9_000);
        world.say(2, FromClient::Ping);
    }
    assert_eq!(world.closed.get(&1), Some(&Reason::KeepAlive));
    assert_eq!(world.next(1), ToClient::Disconnect(Reason::KeepAlive));
    assert_eq!(world.next(2), ToClient::Pong);
    assert_eq!(world.closed.len(), 1);
}

/// Originals have the player's name as their id: two of them have the same one at times.
#[test]
fn a_second_connection_of_a_client_takes_over() {
    let mut world = World::new();
    world.enter(1, "ann");
    world.subscribe(1, vec![wanted("x", 1)]);
    world.enter(2, "ann");
    assert_eq!(world.next(1), ToClient::Disconnect(Reason::TakenOver));
    assert_eq!(world.closed[&1], Reason::TakenOver);
    // What the old one says late, or that it is gone, changes nothing.
    world.publish(1, message("y", "late"));
    world.lose(1);
    world.subscribe(2, vec![wanted("y", 1)]);
    world.publish(2, message("x", "nobody hears it"));
    world.publish(2, message("y", "heard"));
    assert_eq!(world.payloads(2), ["heard"]);
}

#[test]
fn a_session_that_is_kept_goes_on_where_it_was() {
    let mut world = World::new();
    let keeps = |clean| Connect {
        clean,
        session_expiry_s: 100,
        ..connect("keeps")
    };
    world.connect(1, keeps(true));
    world.subscribe(1, vec![wanted("x", 2)]);
    world.enter(2, "says");
    world.publish(2, message("x", "not acknowledged"));
    world.publish(
        2,
        Message {
            qos: 2,
            ..message("x", "received")
        },
    );
    let Some(ToClient::Publish(first)) = world.told(1) else {
        panic!();
    };
    let Some(ToClient::Publish(second)) = world.told(1) else {
        panic!();
    };
    world.say(
        1,
        FromClient::PubRec {
            id: second.id,
            is_refused: false,
        },
    );
    world.lose(1);
    world.publish(2, message("x", "while away"));
    world.publish(
        2,
        Message {
            qos: 0,
            ..message("x", "at most once")
        },
    );
    let told = world.connect(3, keeps(false));
    assert!(matches!(
        told,
        ToClient::ConnAck {
            has_session: true,
            ..
        }
    ));
    let Some(ToClient::Publish(again)) = world.told(3) else {
        panic!();
    };
    assert_eq!((again.id, again.is_repeated), (first.id, true));
    world.say(3, FromClient::PubAck(again.id));
    assert_eq!(world.next(3), ToClient::PubRel(second.id));
    world.say(3, FromClient::PubComp(second.id));
    assert_eq!(world.payloads(3), ["while away"]);
    world.lose(3);
    world.pass(101_000);
    let told = world.connect(4, keeps(false));
    assert!(matches!(
        told,
        ToClient::ConnAck {
            has_session: false,
            ..
        }
    ));
}

#[test]
fn what_is_to_come_exactly_once_is_published_once() {
    let mut world = World::new();
    world.enter(1, "a");
    world.subscribe(1, vec![wanted("x", 0)]);
    let exactly = || {
        FromClient::Publish(
            Message {
                qos: 2,
                ..message("x", "once")
            },
            5,
        )
    };
    for _ in 0..3 {
        world.say(1, exactly());
    }
    assert_eq!(world.payloads(1), ["once"]);
    world.say(1, FromClient::PubRel(5));
    assert_eq!(world.next(1), ToClient::PubComp(5));
    world.say(1, exactly());
    assert_eq!(world.payloads(1), ["once"]);
}

#[test]
fn a_message_ends_when_its_publisher_says() {
    let mut world = World::new();
    world.enter(1, "a");
    let short = Message {
        expires_s: Some(14),
        ..retained("x", "short")
    };
    world.publish(1, short);
    world.pass(5_500);
    world.enter(2, "in time");
    world.subscribe(2, vec![wanted("x", 1)]);
    assert_eq!(world.heard(2)[0].expires_s, Some(9));
    world.pass(9_000);
    world.enter(3, "late");
    world.subscribe(3, vec![wanted("x", 1)]);
    assert!(world.heard(3).is_empty());
    world.changed.clear();
    world.pass(BROKER_SWEEP_MS);
    assert_eq!(world.changed, ["x"]);
    assert_eq!(world.state.retained().bytes(), 0);
    assert_eq!(world.state.next_deadline_ms(), None);
}

/// The promise behind the bounds of the page: none of them grows with what a client does.
#[test]
fn queues_and_tables_of_a_client_are_bounded() {
    let mut world = World::new();
    world.enter(1, "says");
    world.enter(2, "never acknowledges");
    world.subscribe(2, vec![wanted("x", 1)]);
    for _ in 0..BROKER_IN_FLIGHT_MAX + BROKER_WAITING_MESSAGES_MAX + 10 {
        world.publish(1, message("x", "y"));
    }
    let told = world.sent[&2].len();
    assert_eq!(told, BROKER_IN_FLIGHT_MAX);
    let drops = |said: &Said| matches!(said, Said::Drops { .. });
    assert_eq!(world.said.iter().filter(|said| drops(said)).count(), 1);
    // The rest comes when it acknowledges, in order and without those that were dropped.
    assert_eq!(
        world.heard(2).len(),
        BROKER_IN_FLIGHT_MAX + BROKER_WAITING_MESSAGES_MAX
    );

    let long = "z".repeat(1 << 20);
    world.is_written = false;
    for _ in 0..40 {
        world.publish(
            1,
            Message {
                qos: 0,
                ..message("x", &long)
            },
        );
    }
    let heard = world.heard(2).len();
    assert!(heard <= 2, "{heard}");
    world.is_written = true;
    world.state.unwritten(2, 0, world.now_ms);
    world.settle();
    let rest = world.heard(2).len();
    assert!(rest <= BROKER_WAITING_BYTES_MAX >> 20, "{rest}");

    world.heard(1);
    let many = (0..BROKER_SUBSCRIPTIONS_MAX).map(|number| wanted(&number.to_string(), 0));
    let granted = world.subscribe(1, many.collect());
    assert!(granted.iter().all(Result::is_ok));
    assert_eq!(
        world.subscribe(1, vec![wanted("more", 0)]),
        [Err(Reason::Quota)]
    );
    assert_eq!(world.subscribe(1, vec![wanted("3", 0)]), [Ok(0)]);
}

#[test]
fn nothing_is_left_of_clients_that_have_gone() {
    let mut world = World::with(Access::default(), 10);
    for round in 0..1_000 {
        let kept = Connect {
            session_expiry_s: 10_000 + round,
            keep_alive_s: 600,
            will: Some(Will {
                message: message("will", "x"),
                delay_s: 1_000,
            }),
            ..connect(&format!("client {round}"))
        };
        world.connect(u64::from(round), kept);
        world.subscribe(u64::from(round), vec![wanted(&format!("a/{round}"), 1)]);
        world.lose(u64::from(round));
        world.sent.clear();
    }
    // As many as may be connected are remembered, those that are forgotten last.
    let sizes = |world: &World| world.state.sizes();
    assert_eq!(sizes(&world), [10, 10, 20]);
    world.pass(12_000_000);
    assert_eq!(sizes(&world), [0, 0, 0]);
}

#[test]
fn more_clients_than_there_is_room_for_are_told() {
    let mut world = World::with(Access::default(), 2);
    world.enter(1, "a");
    world.enter(2, "b");
    let told = world.connect(3, connect("c"));
    assert!(matches!(
        told,
        ToClient::ConnAck {
            reason: Reason::ServerBusy,
            ..
        }
    ));
    assert_eq!(world.closed[&3], Reason::ServerBusy);
    // Who is in can come back.
    world.enter(4, "a");
    world.lose(4);
    world.enter(5, "c");
}

#[test]
fn names_are_given_to_clients_without_one_and_long_ones_refused() {
    let mut world = World::new();
    let ToClient::ConnAck {
        given_id: Some(first),
        ..
    } = world.connect(1, connect(""))
    else {
        panic!();
    };
    let ToClient::ConnAck {
        given_id: Some(second),
        ..
    } = world.connect(2, connect(""))
    else {
        panic!();
    };
    assert_ne!(first, second);
    for (number, name) in (10..).zip(["%", "+", "#", "$SYS", "a/b", "ü", "\u{202e}", " "]) {
        world.enter(number, name);
    }
    let nameless = Connect {
        version: Version::V311,
        clean: false,
        ..connect("")
    };
    for refused in [nameless, connect(&"x".repeat(2_000))] {
        let told = world.connect(4, refused);
        assert!(matches!(
            told,
            ToClient::ConnAck {
                reason: Reason::ClientId,
                ..
            }
        ));
    }
}

#[test]
fn the_end_of_the_broker_is_told_and_says_no_will() {
    let mut world = World::new();
    let with_will = Connect {
        will: Some(Will {
            message: message("x", "will"),
            delay_s: 0,
        }),
        ..connect("a")
    };
    world.connect(1, with_will);
    world.enter(2, "b");
    world.subscribe(2, vec![wanted("#", 0)]);
    let now_ms = world.now_ms;
    world.state.shut_down(now_ms);
    world.settle();
    assert_eq!(world.next(1), ToClient::Disconnect(Reason::ShuttingDown));
    assert_eq!(world.next(2), ToClient::Disconnect(Reason::ShuttingDown));
    assert_eq!(world.told(2), None);
}
