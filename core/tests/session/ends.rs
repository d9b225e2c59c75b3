//! Whoever ends tidies up before; names of any letters; what the broker does not take; and the list that
//! knows what it lacks.

use distflow_core::session::seat::{Action, CreateOptions, Event, Seat, Timing};
use distflow_core::session::{Completeness, Lobby, LocalTime, Moment, State};

use crate::begun::{act, handed_over, room_for, started, with_members};
use crate::original::{Generation, Mixed};
use crate::world::{SESSION, World, name};

#[test]
pub fn a_creator_that_leaves_leaves_nothing_behind() {
    // Alone, with members, and after it had closed the session before.
    for members in [0, 3] {
        for closes_before in [false, true] {
            let mut world = with_members(&room_for(8), members);
            if closes_before {
                act(&mut world, 0, |seat, now| seat.close(now)).unwrap();
            }
            let at_ms = world.now_ms;
            world.leave(0);
            while world.clients[0].is_alive {
                world.elapse(1);
            }
            assert!(world.now_ms <= at_ms + 500, "{members} {closes_before}");
            assert_eq!(
                world.broker.retained.len(),
                0,
                "{:?}",
                world.broker.retained
            );
            for member in 1..=members {
                assert!(world.has(member, |event| matches!(event, Event::Ended(_))));
            }
        }
    }
}

#[test]
fn it_waits_a_moment_for_members_that_do_not_answer() {
    let mut world = with_members(&room_for(8), 2);
    // Nobody has told it, and it hears nothing.
    world.broker.cut(1);
    world.broker.links.get_mut(&0).unwrap().down.clear();
    let at_ms = world.now_ms;
    world.leave(0);
    while world.clients[0].is_alive {
        world.elapse(1);
    }
    assert!(world.now_ms <= at_ms + 2_000, "{}", world.now_ms - at_ms);
    let left: Vec<_> = world.broker.retained.keys().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_creator_that_leaves_originals_tells_them_before() {
    let mut mixed = Mixed::new(1);
    mixed.world.create(&room_for(8));
    mixed.settle(200);
    mixed.add(Generation::Running, false);
    mixed.settle(3_000);
    mixed.world.leave(0);
    mixed.settle(2_000);
    assert!(mixed.originals[0].has_closed);
    let kept = &mixed.world.broker.retained;
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn all_of_a_session_that_is_handed_over_can_leave_one_after_the_other() {
    let mut world = with_members(&handed_over(), 3);
    for client in 0..4 {
        world.leave(client);
        world.settle(4_000);
    }
    assert_eq!(
        world.broker.retained.len(),
        0,
        "{:?}",
        world.broker.retained
    );
}

#[test]
fn a_session_that_is_full_from_the_beginning_starts_by_itself() {
    let options = CreateOptions {
        auto_start_s: Some(1),
        ..room_for(1)
    };
    let mut world = started(&options);
    world.settle(2_000);
    assert!(world.has(0, |event| matches!(event, Event::GameStarted { .. })));
    assert_eq!(world.document().unwrap().state, Some(State::InProgress));
}

/// Everything that is published for a session and players of these names, and what others make of it.
fn topics_of(session: &str, player: &str) -> Vec<String> {
    let mut now = Moment {
        mono_ms: 1,
        local: LocalTime(1_800_000_000_000_000),
        offset_s: 0,
    };
    let timing = Timing::default();
    let mut seat = Seat::create(session, "me", &room_for(1), timing, 1, now).unwrap();
    assert_eq!(seat.session_id(), session);
    seat.connected(now);
    let mut topics = Vec::new();
    for _ in 0..8 {
        while let Some(action) = seat.pop_action() {
            if let Action::Publish { topic, payload, .. } = action {
                seat.message(&topic, &payload, false, now);
                topics.push(topic);
            }
        }
        now.mono_ms += 500;
        seat.tick(now);
    }
    assert!(seat.is_in());
    seat.reserve(player, now).unwrap();
    seat.register(player, now).unwrap();
    while let Some(action) = seat.pop_action() {
        if let Action::Publish { topic, payload, .. } = action {
            seat.message(&topic, &payload, false, now);
            topics.push(topic);
        }
    }
    assert!(seat.registered().contains_key(player));
    topics
}

#[test]
pub fn names_are_no_letters_of_a_broker_s_language() {
    for session in ["a b", "a.b", "x*y>z", "50%", "Ödön", "a%2Fb"] {
        for player in ["Player 1", "a/b", "+", "#", "a.b", "50%25", "Ö"] {
            let topics = topics_of(session, player);
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_%/".contains(c);
            for topic in &topics {
                assert!(topic.chars().all(is_plain), "{topic}");
            }
            let is_reservation = |topic: &&String| topic.contains("/session_player_reservation/");
            assert_eq!(
                topics.iter().filter(is_reservation).count(),
                1,
                "{topics:?}"
            );
        }
    }
}

#[test]
fn players_of_originals_are_written_as_they_write_them() {
    // Beside an original creator.
    let mut mixed = Mixed::new(1);
    mixed.add(Generation::Running, true);
    mixed.settle(200);
    mixed.world.join();
    mixed.settle(8_000);
    act(&mut mixed.world, 0, |seat, now| {
        seat.reserve("Player 1", now)
    })
    .unwrap();
    let error = act(&mut mixed.world, 0, |seat, now| seat.reserve("a/b", now)).unwrap_err();
    assert!(
        error.message().contains("can't be one because of '/'"),
        "{error}"
    );
    mixed.settle(500);
    let topic = format!("{SESSION}/session_player_reservation/Player 1");
    assert!(mixed.world.broker.retained.contains_key(&topic));

    // And where an original has asked for it: the answer is where it looks.
    let mut world = with_members(&room_for(4), 1);
    let wish = format!(
        r#"{{"clientId": "{}", "player_name": "Player 1", "action": "reserve"}}"#,
        name(1)
    );
    world.broker.publish(topic.clone(), wish.into_bytes(), true);
    world.settle(500);
    for client in [0, 1] {
        assert_eq!(world.clients[client].seat.reserved()["Player 1"], name(1));
    }
    for topic in [topic.clone(), topic.replace(' ', "%20")] {
        let answer = String::from_utf8(world.broker.retained[&topic].clone()).unwrap();
        assert!(answer.contains("confirmed_by"), "{topic}: {answer}");
    }
    world.leave(1);
    world.settle(500);
    assert!(!world.broker.retained.contains_key(&topic));
}

#[test]
fn what_the_broker_does_not_take_is_told_once_and_not_repeated() {
    let mut world = with_members(&room_for(4), 1);
    act(&mut world, 1, |seat, now| seat.reserve("Farmer", now)).unwrap();
    let topic = format!("{SESSION}/session_player_reservation/Farmer");
    for _ in 0..2 {
        world.clients[1].seat.not_allowed(true, &topic, "because");
        world.pump(1);
    }
    let told = Event::NotAllowed {
        is_publication: true,
        topic: topic.clone(),
        why: "because".into(),
    };
    let events = world.clients[1].events.iter();
    assert_eq!(events.filter(|(_, event)| *event == told).count(), 1);
    let error = act(&mut world, 1, |seat, now| seat.reserve("Farmer", now)).unwrap_err();
    assert!(error.message().contains("does not take"), "{error}");
    let said = world.broker.published.len();
    world.cut(1);
    world.settle(10_000);
    assert!(world.clients[1].seat.is_in());
    let is_wish = |(known, payload): &&(String, Vec<u8>)| {
        let text = String::from_utf8_lossy(payload);
        *known == topic && !payload.is_empty() && !text.contains("confirmed_by")
    };
    assert_eq!(
        world.broker.published[said..]
            .iter()
            .filter(is_wish)
            .count(),
        0
    );
}

/// A list on a broker that brings what it keeps, or not.
fn list_on(world: &mut World, brings_kept: bool, ms: u64) -> Vec<(u64, Completeness, usize)> {
    let watcher = 1_000;
    world.broker.connect(watcher, None);
    let mut lobby = Lobby::new(Timing::default(), false, 7);
    let mut seen = Vec::new();
    let begun_ms = world.now_ms;
    let moment = |world: &World| Moment {
        mono_ms: world.now_ms,
        ..Moment::default()
    };
    lobby.connected(moment(world));
    while world.now_ms < begun_ms + ms {
        while let Some(action) = lobby.pop_action() {
            let link = world.broker.links.get_mut(&watcher).unwrap();
            link.up.push_back(action.into());
        }
        while world.broker.step_up(watcher) {}
        let link = world.broker.links.get_mut(&watcher).unwrap();
        for down in link.down.drain(..).collect::<Vec<_>>() {
            if !down.retained || brings_kept {
                lobby.message(&down.topic, &down.payload, down.retained, moment(world));
            }
        }
        lobby.tick(moment(world));
        let count = lobby.sessions(moment(world)).len();
        seen.push((world.now_ms - begun_ms, lobby.completeness(), count));
        world.settle(20);
    }
    assert!(
        !world
            .broker
            .retained
            .keys()
            .any(|topic| topic.ends_with("session_probe"))
    );
    seen
}

#[test]
fn the_list_is_complete_at_once_where_the_broker_brings_what_it_keeps() {
    let mut world = started(&room_for(4));
    world.settle(20_000);
    let seen = list_on(&mut world, true, 8_000);
    let complete = seen.iter().find(|(_, how, _)| how.is_final()).unwrap();
    assert!(complete.0 <= 100 && complete.2 == 1, "{complete:?}");
    assert!(seen.iter().all(|(_, how, _)| *how != Completeness::CutOff));
}

#[test]
pub fn the_list_waits_for_announcements_where_it_does_not() {
    let mut world = started(&room_for(4));
    world.settle(20_000);
    let seen = list_on(&mut world, false, 8_000);
    let waits = |(_, how, _): &&(u64, Completeness, usize)| *how == Completeness::Announcements;
    let first = seen.iter().find(waits).unwrap();
    assert!(first.0 <= 2_000, "{first:?}");
    let complete = seen.iter().find(|(_, how, _)| how.is_final()).unwrap();
    assert!(
        (5_000..7_000).contains(&complete.0) && complete.2 == 1,
        "{complete:?}"
    );
    assert_eq!(complete.1, Completeness::Complete);
}

#[test]
fn the_list_says_when_what_the_broker_keeps_was_cut_off() {
    let mut world = started(&room_for(4));
    world.settle(20_000);
    // The broker brings the list's own message, and not this session.
    let kept = std::mem::take(&mut world.broker.retained);
    let seen = list_on(&mut world, true, 8_000);
    drop(kept);
    assert_eq!(seen.last().unwrap().1, Completeness::CutOff);
    assert_eq!(seen.last().unwrap().2, 1);
    // One that is new is none that was missing.
    let mut world = World::new(1);
    world.create(&room_for(4));
    let seen = list_on(&mut world, true, 30_000);
    assert_eq!(seen.last().unwrap().1, Completeness::Complete);
    assert_eq!(seen.last().unwrap().2, 1);
}

/// The creator is killed, and nobody is in the session who could tidy up behind it.
#[test]
pub fn of_many_lists_one_tidies_up_behind_a_session() {
    const LISTS: usize = 50;
    let mut world = World::new(1);
    world.create(&room_for(4));
    world.settle(5_000);
    world.kill(0);
    let mut lists: Vec<(usize, Lobby)> = (0..LISTS)
        .map(|at| {
            (
                1_000 + at,
                Lobby::new(Timing::default(), true, 7 + at as u64),
            )
        })
        .collect();
    let moment = |now_ms: u64| Moment {
        mono_ms: now_ms,
        ..Moment::default()
    };
    for (client, lobby) in &mut lists {
        world.broker.connect(*client, None);
        lobby.connected(moment(world.now_ms));
    }
    let (begun_ms, begun_at) = (world.now_ms, world.broker.published.len());
    let is_kept = |world: &World| {
        world
            .broker
            .retained
            .keys()
            .any(|topic| topic.contains(SESSION))
    };
    let mut gone_ms = None;
    while world.now_ms < begun_ms + 100_000 {
        for (client, lobby) in &mut lists {
            lobby.tick(moment(world.now_ms));
            while let Some(action) = lobby.pop_action() {
                let link = world.broker.links.get_mut(client).unwrap();
                link.up.push_back(action.into());
            }
            while world.broker.step_up(*client) {}
        }
        world.now_ms += 50;
        for (client, lobby) in &mut lists {
            let link = world.broker.links.get_mut(client).unwrap();
            for down in link.down.drain(..).collect::<Vec<_>>() {
                lobby.message(
                    &down.topic,
                    &down.payload,
                    down.retained,
                    moment(world.now_ms),
                );
            }
        }
        if gone_ms.is_none() && !is_kept(&world) {
            gone_ms = Some(world.now_ms - begun_ms);
        }
    }
    let gone_ms = gone_ms.expect("it is kept still");
    assert!((60_000..80_100).contains(&gone_ms), "{gone_ms}");
    let topic = format!("{SESSION}/session_state");
    let emptied = world.broker.published[begun_at..].iter();
    let emptied = emptied.filter(|(other, payload)| *other == topic && payload.is_empty());
    // Another may have begun before it heard of the first.
    let times = emptied.count();
    assert!((1..=3).contains(&times), "emptied {times} times");
}
