//! One thing after the other: joining, leaving, starting, tidying up, and what others write.

use distflow_core::session::document::Writer;
use distflow_core::session::seat::{CreateOptions, Ending, Event, Refusal, Role, Seat, Timing};
use distflow_core::session::{Document, Lobby, Moment, State, Vocabulary};

use crate::begun::{room_for, started, with_members};
use crate::broker::Up;
use crate::world::{SESSION, World, name};

#[test]
fn creation_and_join() {
    let mut world = started(&room_for(4));
    let member = world.join();
    world.settle(500);
    assert!(world.has(member, |event| *event == Event::Joined));
    assert!(world.has(0, |event| *event == Event::MemberJoined(name(member))));
    let other = world.join();
    world.settle(500);
    assert!(world.has(member, |event| *event == Event::MemberJoined(name(other))));
    let document = world.clients[member].seat.document().unwrap();
    assert_eq!(document.members, [name(0), name(1), name(2)]);
    assert_eq!(
        world.clients[member].seat.seed(),
        world.clients[0].seat.seed()
    );
}

#[test]
fn leave() {
    let mut world = with_members(&room_for(4), 2);
    world.leave(2);
    world.settle(500);
    assert!(world.has(1, |event| *event == Event::MemberLeft(name(2))));
    assert!(world.has(2, |event| *event == Event::Ended(Ending::Left)));
    // It is never added again.
    world.settle(60_000);
    assert_eq!(world.members(), [name(0), name(1)].into());
    let joined = |event: &&(u64, Event)| event.1 == Event::MemberJoined(name(2));
    assert_eq!(world.clients[1].events.iter().filter(joined).count(), 1);
}

#[test]
pub fn creator_loss() {
    let mut world = with_members(&room_for(4), 2);
    let at_ms = world.now_ms;
    world.kill(0);
    world.settle(30_000);
    let ended = Event::Ended(Ending::CreatorLost);
    for member in [1, 2] {
        let when = world.when(member, |event| *event == ended).unwrap();
        // Its last heartbeat was half a second before.
        assert!(
            (at_ms + 14_000..at_ms + 20_000).contains(&when),
            "{}",
            when - at_ms
        );
        assert!(world.clients[member].seat.is_over());
    }
    assert_eq!(
        world.broker.retained.len(),
        0,
        "{:?}",
        world.broker.retained
    );
}

#[test]
fn retained_messages() {
    let mut world = with_members(&room_for(4), 1);
    world.leave(1);
    world.settle(200);
    let late = world.join();
    world.settle(20_000);
    assert!(!world.has(late, |event| *event == Event::MemberJoined(name(1))));
    assert_eq!(world.members(), [name(0), name(late)].into());
}

#[test]
fn simultaneous_joins() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.create(&room_for(3));
        world.settle(100);
        world.join();
        world.join();
        world.settle(1_000);
        assert!(world.has(1, |event| *event == Event::Joined), "seed {seed}");
        assert!(world.has(2, |event| *event == Event::Joined), "seed {seed}");
        assert_eq!(world.members(), [name(0), name(1), name(2)].into());
    }
}

#[test]
fn a_killed_member_is_gone_at_once_and_nobody_else() {
    let mut world = with_members(&room_for(4), 2);
    world.kill(1);
    world.settle(1_000);
    assert_eq!(world.members(), [name(0), name(2)].into());
    assert!(world.has(2, |event| *event == Event::MemberLeft(name(1))));
}

#[test]
pub fn a_frozen_member_is_gone_within_20_s() {
    for wait_ms in [0, 1_000, 4_900] {
        let mut world = with_members(&room_for(4), 2);
        world.settle(wait_ms);
        let at_ms = world.now_ms;
        world.freeze(1);
        world.settle(30_000);
        let gone = Event::MemberLeft(name(1));
        for other in [0, 2] {
            let when = world.when(other, |event| *event == gone).unwrap() - at_ms;
            assert!((10_000..=20_000).contains(&when), "{when}");
        }
        assert_eq!(world.members(), [name(0), name(2)].into());
    }
}

#[test]
pub fn who_finds_no_room_is_told_at_once() {
    let mut world = with_members(&room_for(2), 1);
    let late = world.join();
    world.settle(200);
    assert!(world.has(late, |event| *event == Event::Refused(Refusal::Full)));
    assert_eq!(world.members(), [name(0), name(1)].into());
    // And room that comes free is used.
    world.leave(1);
    world.settle(200);
    let next = world.join();
    world.settle(200);
    assert!(world.has(next, |event| *event == Event::Joined));
}

#[test]
fn nobody_joins_as_the_creator_itself() {
    let mut world = started(&room_for(4));
    let random = world.random.below(u64::MAX);
    let mut seat = Seat::join(SESSION, &name(0), world.timing, random).unwrap();
    let now = world.moment(0);
    seat.connected(now);
    for (topic, payload) in world.broker.retained.clone() {
        seat.message(&topic, &payload, true, now);
    }
    let events: Vec<Event> = std::iter::from_fn(|| seat.pop_event()).collect();
    assert!(
        events.contains(&Event::Refused(Refusal::SameId)),
        "{events:?}"
    );
    assert!(seat.is_over());
    // And the creator says again that it is there.
    world.broker.publish(
        format!("{SESSION}/session_instance_ready/{}", name(0)),
        Vec::new(),
        true,
    );
    world.settle(200);
    assert!(
        world
            .broker
            .retained
            .contains_key(&format!("{SESSION}/session_instance_ready/{}", name(0)))
    );
}

#[test]
fn who_comes_too_late_is_told_why() {
    let mut world = with_members(&room_for(4), 1);
    let now = world.moment(0);
    world.clients[0].seat.start(0, now).unwrap();
    world.pump(0);
    let late = world.join();
    world.settle(300);
    assert!(world.has(late, |event| *event == Event::Refused(Refusal::Started)));
    let now = world.moment(0);
    world.clients[0].seat.close(now).unwrap();
    world.pump(0);
    let later = world.join();
    world.settle(300);
    assert!(world.has(later, |event| *event == Event::Refused(Refusal::Closed)));
    assert!(world.has(1, |event| *event == Event::Ended(Ending::Closed)));
    world.settle(30_000);
    assert_eq!(
        world.broker.retained.len(),
        0,
        "{:?}",
        world.broker.retained
    );
    let last = world.join();
    world.settle(10_000);
    assert!(world.has(last, |event| *event == Event::Refused(Refusal::Unknown)));
}

#[test]
fn a_start_with_a_countdown() {
    let mut world = with_members(&room_for(4), 1);
    let now = world.moment(0);
    world.clients[0].seat.start(3, now).unwrap();
    assert!(world.clients[0].seat.start(3, now).is_err());
    assert!(world.clients[1].seat.start(3, now).is_err());
    world.pump(0);
    world.settle(5_000);
    for left in [3, 2, 1] {
        assert!(world.has(0, |event| *event == Event::Countdown(left)));
    }
    for state in [State::Starting, State::InProgress] {
        assert!(
            world.has(1, |event| *event == Event::StateChanged(state)),
            "{state:?}"
        );
    }
    assert!(world.has(
        1,
        |event| matches!(event, Event::GameStarted { by, .. } if *by == name(0))
    ));
    // Whoever started it hears it in the order of the others.
    for client in [0, 1] {
        let mut events = world.clients[client].events.iter().map(|(_, event)| event);
        assert!(events.any(|event| matches!(event, Event::GameStarted { .. })));
        assert!(events.any(|event| *event == Event::StateChanged(State::InProgress)));
    }
}

#[test]
fn a_full_session_starts_by_itself_unless_somebody_leaves() {
    let options = CreateOptions {
        auto_start_s: Some(3),
        players_min: 2,
        ..room_for(3)
    };
    let mut world = with_members(&options, 2);
    world.settle(1_000);
    world.leave(2);
    world.settle(5_000);
    assert!(world.has(0, |event| *event == Event::CountdownStopped));
    assert_eq!(world.document().unwrap().state, Some(State::Open));
    world.join();
    world.settle(6_000);
    assert!(world.has(0, |event| matches!(event, Event::GameStarted { .. })));
    assert_eq!(world.document().unwrap().state, Some(State::InProgress));
}

#[test]
fn an_id_that_is_in_use_is_refused_and_one_that_was_abandoned_is_not() {
    let mut world = started(&room_for(4));
    let second = world.create(&room_for(4));
    world.settle(20_000);
    let failed = |event: &Event| matches!(event, Event::Failed(error) if error.message().contains("exists already"));
    assert!(world.has(second, failed));
    assert_eq!(world.members(), [name(0)].into());
    assert!(world.clients[0].seat.is_in());

    let mut world = started(&room_for(4));
    world.kill(0);
    world.begin_another();
    let heir = world.create(&room_for(4));
    world.settle(20_000);
    assert!(world.has(heir, |event| *event == Event::Created));
    assert_eq!(world.members(), [name(heir)].into());
}

#[test]
fn of_two_that_create_at_once_one_stays() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        // Both are of the first term until they know of each other.
        world.is_amnesic = true;
        world.create(&room_for(4));
        world.create(&room_for(4));
        world.settle(30_000);
        // The other one has failed, or, if it had been seen to be there, is a member now.
        assert_eq!(world.members(), world.alive_in(), "seed {seed}");
        let roles = world
            .clients
            .iter()
            .filter(|one| one.is_alive)
            .map(|one| one.seat.role());
        let creators = roles.filter(|role| *role == Role::Creator);
        assert_eq!(creators.count(), 1, "seed {seed}");
    }
}

#[test]
fn presence_that_an_earlier_session_left_behind_is_no_wish_to_join() {
    let mut world = World::new(1);
    let ghost = format!("{SESSION}/session_instance_ready/ghost");
    let presence = br#"{"clientId": "ghost", "timestamp": "2026-01-01T00:00:00"}"#;
    world.broker.publish(ghost.clone(), presence.to_vec(), true);
    world.create(&room_for(4));
    world.settle(1_000);
    assert_eq!(world.members(), [name(0)].into());
    assert!(!world.broker.retained.contains_key(&ghost));
}

#[test]
fn garbage_is_counted_and_changes_nothing() {
    let mut world = with_members(&room_for(4), 1);
    let before = world.document().unwrap();
    for topic in [
        format!("{SESSION}/session_state"),
        format!("{SESSION}/session_instance_ready/x"),
        format!("{SESSION}/session_seed_sync"),
        format!("{SESSION}/session_player_disconnect/{}", name(1)),
        format!("{SESSION}/session_player_reservation/Farmer"),
        format!("{SESSION}/session_creator_claim"),
        format!("session_state/{SESSION}"),
    ] {
        for payload in [
            &b"{"[..],
            b"[]",
            b"7",
            b"{\"clientId\": \"c#\"}",
            &[0xff; 10],
            &vec![b'['; 70_000],
        ] {
            world.broker.publish(topic.clone(), payload.to_vec(), false);
        }
    }
    world.settle(500);
    assert_eq!(world.document().unwrap().members, before.members);
    assert!(world.clients[0].seat.ignored() >= 30);
    assert!(world.clients[1].seat.is_in());
}

#[test]
fn nobody_can_be_sent_away_by_somebody_else() {
    let mut world = with_members(&room_for(4), 2);
    let notice = format!(r#"{{"clientId": "{}"}}"#, name(2));
    let topic = format!("{SESSION}/session_player_disconnect/{}", name(1));
    world.broker.publish(topic, notice.into_bytes(), false);
    world.settle(500);
    assert_eq!(world.members().len(), 3);
}

#[test]
fn the_list_shows_what_is_there() {
    let mut world = started(&room_for(4));
    let watcher = 1_000;
    world.broker.connect(watcher, None);
    let mut lobby = Lobby::new(Timing::default(), true, 1);
    let now = |world: &World| Moment {
        mono_ms: world.now_ms,
        ..Moment::default()
    };
    lobby.connected(now(&world));
    let look = |world: &mut World, lobby: &mut Lobby, ms: u64| {
        let until_ms = world.now_ms + ms;
        while world.now_ms < until_ms {
            let moment = now(world);
            lobby.tick(moment);
            while let Some(action) = lobby.pop_action() {
                world
                    .broker
                    .links
                    .get_mut(&watcher)
                    .unwrap()
                    .up
                    .push_back(Up::from(action));
            }
            while world.broker.step_up(watcher) {}
            let down: Vec<_> = world
                .broker
                .links
                .get_mut(&watcher)
                .unwrap()
                .down
                .drain(..)
                .collect();
            for message in down {
                lobby.message(&message.topic, &message.payload, message.retained, moment);
            }
            world.settle(50);
        }
    };
    look(&mut world, &mut lobby, 500);
    assert!(lobby.take_changed());
    let sessions = lobby.sessions(now(&world));
    assert_eq!((sessions.len(), sessions[0].members.len()), (1, 1));
    world.join();
    look(&mut world, &mut lobby, 500);
    let sessions = lobby.sessions(now(&world));
    assert_eq!(
        sessions[0].row(false).text,
        "Unknown (2/1-4 instances (Ready))"
    );
    // A heartbeat alone changes nothing.
    lobby.take_changed();
    look(&mut world, &mut lobby, 20_000);
    assert!(!lobby.take_changed());
    // All of them die: it goes from the list, and then from the broker.
    world.kill(0);
    world.kill(1);
    look(&mut world, &mut lobby, 16_000);
    assert!(lobby.take_changed());
    assert_eq!(lobby.sessions(now(&world)).len(), 0);
    assert!(!world.broker.retained.is_empty());
    look(&mut world, &mut lobby, 70_000);
    assert_eq!(
        world.broker.retained.len(),
        0,
        "{:?}",
        world.broker.retained
    );
}

#[test]
fn the_document_speaks_to_both_generations() {
    let world = started(&room_for(4));
    for (topic, vocabulary) in [
        (format!("session_state/{SESSION}"), Vocabulary::Planned),
        (format!("{SESSION}/session_state"), Vocabulary::Running),
    ] {
        let payload = &world.broker.retained[&topic];
        let document = Document::parse(payload, 0).unwrap();
        assert_eq!(document.write(vocabulary), *payload);
        let writer = document.writer.unwrap();
        assert_eq!((writer.instance, writer.term), (name(0), 0));
    }
    let _ = Writer::default();
}

#[test]
fn wrong_options_are_named() {
    let now = Moment::default();
    let create = |options: &CreateOptions| {
        let seat = Seat::create("s", "me", options, Timing::default(), 1, now);
        seat.unwrap_err().message().to_owned()
    };
    assert!(create(&room_for(0)).contains("players_max must be 1 to 1024, not 0"));
    let few = CreateOptions {
        players_min: 5,
        ..room_for(4)
    };
    assert!(create(&few).contains("players_min must be 1 to players_max"));
    let seed = CreateOptions {
        seed: Some(0),
        ..room_for(4)
    };
    assert!(create(&seed).contains("seed must be 1 to 1000000"));
    let join = |session, me| Seat::join(session, me, Timing::default(), 1).unwrap_err();
    assert!(join("a/b", "me").message().contains("'/'"));
    assert!(
        join("s", "m e")
            .message()
            .contains("the instance's id must be")
    );
}
