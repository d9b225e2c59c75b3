//! Who plays whom.

use distflow_core::ErrorKind;
use distflow_core::limits::SESSION_PLAYERS_MAX;
use distflow_core::session::seat::{Ending, Event};

use crate::begun::{act, room_for, with_members};
use crate::broker::Up;
use crate::world::{SESSION, name};

#[test]
fn players_go_to_who_asked_first() {
    let mut world = with_members(&room_for(4), 2);
    for client in [1, 2] {
        let now = world.moment(client);
        world.clients[client].seat.reserve("Farmer", now).unwrap();
        world.pump(client);
    }
    world.settle(500);
    let holder = world.clients[0].seat.reserved()["Farmer"].clone();
    for client in 0..3 {
        assert_eq!(world.clients[client].seat.reserved()["Farmer"], holder);
    }
    let (first, second) = if holder == name(1) { (1, 2) } else { (2, 1) };
    let now = world.moment(second);
    let error = world.clients[second]
        .seat
        .register("Farmer", now)
        .unwrap_err();
    assert!(error.message().contains("taken"), "{error}");
    world.clients[first].seat.register("Farmer", now).unwrap();
    world.clients[second]
        .seat
        .register("Hunter/+", now)
        .unwrap();
    world.clients[0].seat.register("Judge", now).unwrap();
    for client in 0..3 {
        world.pump(client);
    }
    world.settle(500);
    for client in 0..3 {
        let seat = &world.clients[client].seat;
        assert_eq!(seat.registered()["Farmer"], holder, "{client}");
        assert!(seat.are_all_players_selected(), "{client}");
        assert!(seat.registered().contains_key("Hunter/+"));
    }
    // Whoever leaves gives its players back.
    world.leave(first);
    world.settle(500);
    let free = Event::Released {
        player: "Farmer".into(),
    };
    assert!(world.has(second, |event| *event == free));
    let now = world.moment(second);
    world.clients[second].seat.reserve("Farmer", now).unwrap();
    // Also before the creator has answered.
    world.clients[second].seat.release("Farmer", now).unwrap();
    world.pump(second);
    world.settle(500);
    for client in [0, second] {
        let reserved = world.clients[client].seat.reserved();
        assert!(!reserved.contains_key("Farmer"), "{client}: {reserved:?}");
    }
}

#[test]
fn who_is_away_asks_for_so_many_players_only() {
    let mut world = with_members(&room_for(4), 2);
    world.cut(1);
    let mut asked = |gives_back| {
        let accepted = (0..2 * SESSION_PLAYERS_MAX).map_while(|at| {
            let player = format!("{gives_back}{at}");
            let reserved = act(&mut world, 1, |seat, now| seat.reserve(&player, now));
            if gives_back {
                act(&mut world, 1, |seat, now| seat.release(&player, now)).unwrap();
            }
            match reserved {
                Ok(()) => Some(()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                    None
                }
            }
        });
        accepted.count()
    };
    let given_back = asked(true);
    assert_eq!(given_back, SESSION_PLAYERS_MAX);
    assert_eq!(asked(false), 0);
}

#[test]
pub fn players_are_asked_for_again_by_who_was_away_and_of_who_was_away() {
    let mut world = with_members(&room_for(4), 2);
    act(&mut world, 1, |seat, now| seat.reserve("Farmer", now)).unwrap();
    act(&mut world, 1, |seat, now| seat.register("Farmer", now)).unwrap();
    world.cut(1);
    world.elapse(1_000);
    assert!(world.clients[2].seat.registered().is_empty());
    world.connect(1);
    world.settle(1_000);
    for client in 0..3 {
        let seat = &world.clients[client].seat;
        assert_eq!(seat.reserved()["Farmer"], name(1), "{client}");
        assert_eq!(seat.registered()["Farmer"], name(1), "{client}");
    }
    // The creator does not hear this at once.
    world.cut(0);
    act(&mut world, 2, |seat, now| seat.register("Hunter", now)).unwrap();
    assert!(!world.clients[0].seat.registered().contains_key("Hunter"));
    world.connect(0);
    world.settle(1_000);
    assert_eq!(world.clients[0].seat.registered()["Hunter"], name(2));
    // Nor is what the creator does itself lost.
    world.cut(0);
    act(&mut world, 0, |seat, now| seat.register("Judge", now)).unwrap();
    world.connect(0);
    world.settle(1_000);
    for client in 0..3 {
        let seat = &world.clients[client].seat;
        assert_eq!(seat.registered()["Judge"], name(0), "{client}");
        assert!(seat.are_all_players_selected(), "{client}");
    }
    // Until somebody is missing.
    world.leave(1);
    world.leave(2);
    world.settle(1_000);
    let late = world.join();
    world.settle(1_000);
    for client in [0, late] {
        assert!(!world.clients[client].seat.are_all_players_selected());
    }
}

#[test]
fn a_player_is_free_when_it_was_given_back() {
    let mut world = with_members(&room_for(4), 2);
    act(&mut world, 1, |seat, now| seat.reserve("Farmer", now)).unwrap();
    act(&mut world, 1, |seat, now| seat.register("Farmer", now)).unwrap();
    assert!(act(&mut world, 2, |seat, now| seat.register("Farmer", now)).is_err());
    act(&mut world, 1, |seat, now| seat.release("Farmer", now)).unwrap();
    act(&mut world, 2, |seat, now| seat.register("Farmer", now)).unwrap();
    for client in 0..3 {
        assert_eq!(world.clients[client].seat.registered()["Farmer"], name(2));
    }
    // One that was only registered as well.
    act(&mut world, 0, |seat, now| seat.register("Cook", now)).unwrap();
    world.cut(0);
    act(&mut world, 0, |seat, now| seat.release("Cook", now)).unwrap();
    world.connect(0);
    world.settle(1_000);
    for client in 0..3 {
        let seat = &world.clients[client].seat;
        assert!(!seat.registered().contains_key("Cook"), "{client}");
    }
    // Also without a connection, once there is one again.
    for client in [0, 1] {
        act(&mut world, client, |seat, now| seat.reserve("Judge", now)).unwrap();
        world.cut(client);
        act(&mut world, client, |seat, now| seat.release("Judge", now)).unwrap();
        world.connect(client);
        world.settle(1_000);
        for other in 0..3 {
            assert!(!world.clients[other].seat.reserved().contains_key("Judge"));
        }
    }
}

#[test]
fn who_lost_its_place_has_no_player_either() {
    let mut world = with_members(&room_for(3), 2);
    act(&mut world, 1, |seat, now| seat.register("Farmer", now)).unwrap();
    world.cut(1);
    world.elapse(1_000);
    world.join();
    world.elapse(1_000);
    world.connect(1);
    world.settle(20_000);
    assert!(world.has(1, |event| *event == Event::Ended(Ending::Removed)));
    for client in [0, 2, 3] {
        assert!(world.clients[client].seat.registered().is_empty());
    }
}

#[test]
fn who_is_taken_out_by_mistake_has_its_players_again() {
    let mut world = with_members(&room_for(4), 2);
    act(&mut world, 1, |seat, now| seat.reserve("Farmer", now)).unwrap();
    act(&mut world, 1, |seat, now| seat.register("Farmer", now)).unwrap();
    // As the will of an earlier connection does, which a broker carries out late.
    let topic = format!("{SESSION}/session_instance_ready/{}", name(1));
    let link = world.broker.links.get_mut(&2).unwrap();
    link.up.push_back(Up::Publish {
        topic,
        payload: Vec::new(),
        retain: true,
    });
    world.settle(1_000);
    assert!(world.has(2, |event| *event == Event::MemberLeft(name(1))));
    for client in 0..3 {
        let seat = &world.clients[client].seat;
        assert_eq!(seat.reserved()["Farmer"], name(1), "{client}");
        assert_eq!(seat.registered()["Farmer"], name(1), "{client}");
    }
}
