//! Beside an original creator, whose heartbeat ends when the game starts; and what an original's dialog
//! needs to be told again.

use distflow_core::session::seat::{CreateOptions, Ending, Event};
use distflow_core::session::{Lobby, Moment, State};

use crate::begun::{act, room_for, started, with_members};
use crate::broker::Up;
use crate::original::{Generation, Mixed, ORIGINALS};
use crate::world::{SESSION, name};

/// An original creates, and so many of ours are in.
fn of_original(seed: u64, ours: usize) -> Mixed {
    let mut mixed = Mixed::new(seed);
    mixed.add(Generation::Running, true);
    mixed.settle(200);
    for _ in 0..ours {
        mixed.world.join();
    }
    mixed.settle(8_000);
    for client in 0..ours {
        assert!(mixed.world.has(client, |event| *event == Event::Joined));
    }
    mixed
}

fn start(mixed: &mut Mixed) {
    let local = mixed.world.moment(usize::MAX).local;
    mixed.originals[0].start(local);
    mixed.settle(1_000);
}

/// What ours publish as closed, and what is emptied of the session's own topics.
fn is_closed_by_ours(mixed: &Mixed) -> bool {
    let is_document = |topic: &str| topic.contains("session_state");
    let is_closed = |payload: &[u8]| {
        let text = String::from_utf8_lossy(payload);
        payload.is_empty() || text.contains(r#""state": "closed""#)
    };
    let published = &mixed.world.broker.published;
    published
        .iter()
        .any(|(topic, payload)| is_document(topic) && is_closed(payload))
}

/// An hour beside the recorded behaviour of an original creator whose game runs.
#[test]
pub fn nobody_but_an_original_creator_closes_its_game() {
    let mut mixed = of_original(1, 2);
    start(&mut mixed);
    mixed.settle(3_600_000);
    for client in [0, 1] {
        assert!(mixed.world.clients[client].seat.is_in());
        assert!(
            !mixed
                .world
                .has(client, |event| matches!(event, Event::Ended(_)))
        );
        assert!(mixed.world.has(client, |event| *event
            == Event::StateChanged(State::InProgress)));
    }
    assert!(!is_closed_by_ours(&mixed));
    // Nor when it is silent.
    mixed.originals[0].has_left = true;
    mixed.world.broker.cut(ORIGINALS);
    mixed.settle(600_000);
    assert!(mixed.world.clients[0].seat.is_in());
    assert!(!is_closed_by_ours(&mixed));
    // It itself does.
    mixed.world.broker.connect(ORIGINALS, None);
    let document = mixed.originals[0].document.as_mut().unwrap();
    document.state = Some(State::Closed);
    document.version += 1;
    mixed.originals[0].publish();
    mixed.send();
    mixed.settle(1_000);
    for client in [0, 1] {
        let ended = Event::Ended(Ending::Closed);
        assert!(mixed.world.has(client, |event| *event == ended));
    }
}

/// Before the game has started, too: its heartbeat stands still, and it says everything else.
#[test]
pub fn any_sign_of_life_of_an_original_creator_counts() {
    let mut mixed = of_original(1, 2);
    mixed.originals[0].has_started = true;
    mixed.settle(120_000);
    for client in [0, 1] {
        assert!(mixed.world.clients[client].seat.is_in());
    }
    assert!(!is_closed_by_ours(&mixed));
    // All of it ends.
    let at_ms = mixed.world.now_ms;
    mixed.originals[0].has_left = true;
    mixed.world.broker.cut(ORIGINALS);
    mixed.settle(25_000);
    // One of them sees it first, and closes it for both.
    let lost = Event::Ended(Ending::CreatorLost);
    let when = |client| mixed.world.when(client, |event| *event == lost);
    let when = when(0).or(when(1)).unwrap();
    assert!(
        (at_ms + 10_000..=at_ms + 20_000).contains(&when),
        "{}",
        when - at_ms
    );
}

#[test]
fn messages_of_the_game_are_signs_of_life() {
    let mut mixed = of_original(1, 1);
    mixed.originals[0].has_left = true;
    let id = mixed.originals[0].id.clone();
    for _ in 0..10 {
        mixed.settle(5_000);
        let topic = format!("{SESSION}/game_nextTurn");
        let payload = format!(r#"{{"clientId": "{id}"}}"#).into_bytes();
        mixed.world.broker.publish(topic, payload, false);
    }
    assert!(mixed.world.clients[0].seat.is_in());
    mixed.settle(25_000);
    assert!(!mixed.world.clients[0].seat.is_in());
}

#[test]
fn a_member_of_ours_that_is_killed_is_taken_out_of_an_original_s_document() {
    for seed in 0..50 {
        let mut mixed = of_original(seed, 3);
        mixed.world.kill(1);
        mixed.settle(10_000);
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        let known = &mixed.originals[0].document.as_ref().unwrap().members;
        assert!(!known.contains(&name(1)), "seed {seed}");
        // One that dies with the will is gone when its lease is over.
        mixed.world.broker.links.get_mut(&2).unwrap().will = None;
        mixed.world.kill(2);
        mixed.settle(25_000);
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        assert_eq!(mixed.all().len(), 2);
    }
}

#[test]
fn a_short_break_beside_an_original_whose_game_runs_costs_nothing() {
    let mut mixed = of_original(1, 2);
    start(&mut mixed);
    for ms in [5_000, 30_000] {
        mixed.world.cut(1);
        mixed.settle(ms);
        mixed.world.connect(1);
        mixed.settle(5_000);
        assert_eq!(mixed.world.members(), mixed.all(), "{ms}");
        assert!(mixed.world.clients[1].seat.is_in(), "{ms}");
    }
}

/// Ours register at first; the original's dialog opens later, and hears nothing of it but what is
/// said again.
#[test]
fn an_original_that_chooses_last_learns_that_all_have() {
    for is_ours in [true, false] {
        for seed in 0..50 {
            let mut mixed = Mixed::new(seed);
            let first = match is_ours {
                true => {
                    mixed.world.create(&room_for(30));
                    mixed.settle(200);
                    mixed.add(Generation::Running, false);
                    0
                }
                false => {
                    mixed.add(Generation::Running, true);
                    mixed.settle(200);
                    mixed.world.join()
                }
            };
            mixed.settle(5_000);
            assert_eq!(mixed.all().len(), 2, "seed {seed}");
            act(&mut mixed.world, first, |seat, now| {
                seat.register("Farmer", now)
            })
            .unwrap();
            mixed.settle(2_000);
            let local = mixed.world.moment(usize::MAX).local;
            let now_ms = mixed.world.now_ms;
            mixed.originals[0].choose("Hunter", now_ms, local);
            mixed.send();
            mixed.settle(5_000);
            assert!(mixed.originals[0].has_chosen(), "{is_ours} {seed}");
            let seat = &mixed.world.clients[first].seat;
            assert!(seat.are_all_players_selected(), "{is_ours} {seed}");
            // It is not said for ever.
            mixed.settle(70_000);
            let said = mixed.world.broker.published.len();
            let is_it = |(topic, _): &&(String, Vec<u8>)| topic.ends_with("_all_players_selected");
            mixed.settle(30_000);
            assert_eq!(
                mixed.world.broker.published[said..]
                    .iter()
                    .filter(is_it)
                    .count(),
                0
            );
        }
    }
}

/// An original was killed in an earlier session of this id, and has no will.
#[test]
pub fn presence_from_before_the_session_needs_a_sign_of_life() {
    let ghosts = [
        (
            r#"{"clientId": "ghost", "timestamp": "2026-01-01T00:00:00"}"#,
            false,
        ),
        (
            r#"{"clientId": "ghost", "timestamp": "2126-01-01T00:00:00"}"#,
            false,
        ),
        (
            r#"{"clientId": "ghost", "timestamp": "2026-01-01T00:00:00", "lease_ms": 15000}"#,
            false,
        ),
        (
            r#"{"clientId": "ghost", "timestamp": "2126-01-01T00:00:00", "lease_ms": 15000}"#,
            true,
        ),
    ];
    for (payload, is_taken) in ghosts {
        let mut world = started(&room_for(4));
        // It is there when the creator comes back.
        world.cut(0);
        let topic = format!("{SESSION}/session_instance_ready/ghost");
        world.broker.publish(topic.clone(), payload.into(), true);
        world.settle(1_000);
        assert_eq!(world.members().contains("ghost"), is_taken, "{payload}");
        // A fresh one counts.
        world.broker.publish(topic, payload.into(), true);
        world.settle(1_000);
        assert!(world.members().contains("ghost"), "{payload}");
    }
}

/// A list that looks on does not tidy up behind a game of an original that runs.
#[test]
fn the_list_keeps_a_game_of_an_original_while_it_is_announced() {
    let mut mixed = of_original(1, 0);
    let watcher = 1_000;
    mixed.world.broker.connect(watcher, None);
    let mut lobby = Lobby::new(mixed.world.timing, true, 1);
    let now = |mixed: &Mixed| Moment {
        mono_ms: mixed.world.now_ms,
        ..Moment::default()
    };
    lobby.connected(now(&mixed));
    start(&mut mixed);
    for _ in 0..600 {
        while let Some(action) = lobby.pop_action() {
            let link = mixed.world.broker.links.get_mut(&watcher).unwrap();
            link.up.push_back(Up::from(action));
        }
        while mixed.world.broker.step_up(watcher) {}
        let link = mixed.world.broker.links.get_mut(&watcher).unwrap();
        let down: Vec<_> = link.down.drain(..).collect();
        for message in down {
            lobby.message(
                &message.topic,
                &message.payload,
                message.retained,
                now(&mixed),
            );
        }
        lobby.tick(now(&mixed));
        mixed.settle(200);
    }
    assert_eq!(lobby.sessions(now(&mixed)).len(), 1);
    assert!(!is_closed_by_ours(&mixed));
}

#[test]
fn a_creator_of_ours_that_is_lost_is_lost_as_before() {
    let mut world = with_members(&CreateOptions::default(), 1);
    act(&mut world, 0, |seat, now| seat.start(0, now)).unwrap();
    world.kill(0);
    world.settle(25_000);
    assert!(world.has(1, |event| *event == Event::Ended(Ending::CreatorLost)));
}
