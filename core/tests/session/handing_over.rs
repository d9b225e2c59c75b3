//! Who continues a session when its creator goes or is lost.

use distflow_core::session::State;
use distflow_core::session::seat::{CreateOptions, Ending, Event, Role};

use crate::begun::{act, handed_over, room_for, with_members};
use crate::broker::Up;
use crate::world::{Random, World, name};

#[test]
fn the_first_member_continues_when_the_creator_is_lost() {
    let mut world = with_members(&handed_over(), 3);
    let at_ms = world.now_ms;
    world.kill(0);
    world.settle(30_000);
    let changed = Event::CreatorChanged {
        creator: name(1),
        term: 1,
    };
    for member in [1, 2, 3] {
        let when = world.when(member, |event| *event == changed).unwrap();
        assert!(when <= at_ms + 20_000, "{}", when - at_ms);
    }
    assert_eq!(world.clients[1].seat.role(), Role::Creator);
    assert_eq!(world.members(), [name(1), name(2), name(3)].into());
    let late = world.join();
    world.settle(500);
    assert!(world.has(late, |event| *event == Event::Joined));
}

#[test]
fn a_countdown_ends_with_its_creator_and_can_be_begun_again() {
    let mut world = with_members(&handed_over(), 2);
    let now = world.moment(0);
    world.clients[0].seat.start(30, now).unwrap();
    world.pump(0);
    world.settle(500);
    assert!(world.has(2, |event| *event == Event::StateChanged(State::Starting)));
    world.kill(0);
    world.settle(20_000);
    assert!(world.has(2, |event| *event == Event::StateChanged(State::Open)));
    let late = world.join();
    world.settle(500);
    assert!(world.has(late, |event| *event == Event::Joined));
    let now = world.moment(1);
    world.clients[1].seat.start(1, now).unwrap();
    world.pump(1);
    world.settle(3_000);
    assert!(world.has(2, |event| matches!(event, Event::GameStarted { .. })));
}

#[test]
fn who_continues_a_session_starts_it_when_it_is_full_as_well() {
    let options = CreateOptions {
        auto_start_s: Some(1),
        players_max: 3,
        ..handed_over()
    };
    let mut world = with_members(&options, 1);
    world.kill(0);
    world.settle(20_000);
    assert_eq!(world.clients[1].seat.role(), Role::Creator);
    world.join();
    world.join();
    world.settle(5_000);
    assert!(world.has(1, |event| matches!(event, Event::GameStarted { .. })));
}

/// All of them ask in the same instant, and each hears its own claim first.
#[test]
fn one_continues_whatever_the_order_of_claims() {
    for seed in 0..300 {
        one_continues(seed);
    }
}

pub fn one_continues(seed: u64) {
    let mut world = World::new(seed);
    world.timing.candidate_ms = 0;
    world.create(&handed_over());
    world.settle(100);
    for _ in 0..4 {
        world.join();
    }
    world.settle(1_000);
    world.broker.disorder = Some(Random(seed));
    world.kill(0);
    world.settle(40_000);
    let is_creator = |client: &usize| world.clients[*client].seat.role() == Role::Creator;
    assert_eq!((1..5).filter(is_creator).count(), 1, "seed {seed}");
    assert_eq!(world.members(), (1..5).map(name).collect(), "seed {seed}");
    // And nobody else was, not even for a moment.
    for client in 1..5 {
        let changes = world.clients[client].events.iter();
        let is_change = |(_, event): &&(u64, Event)| matches!(event, Event::CreatorChanged { .. });
        assert_eq!(changes.filter(is_change).count(), 1, "seed {seed}");
    }
}

#[test]
fn when_the_first_is_dead_as_well_the_next_continues() {
    let mut world = with_members(&handed_over(), 3);
    world.kill(0);
    world.kill(1);
    world.settle(40_000);
    assert_eq!(world.clients[2].seat.role(), Role::Creator);
    assert_eq!(world.members(), [name(2), name(3)].into());
}

#[test]
fn a_creator_that_was_away_finds_its_successor_and_is_a_member() {
    let mut world = with_members(&handed_over(), 2);
    world.cut(0);
    // Nobody connects it meanwhile.
    let until_ms = world.now_ms + 25_000;
    while world.now_ms < until_ms {
        while world.step() {}
        world.pass(100);
        world.now_ms += 1;
    }
    assert_eq!(world.clients[1].seat.role(), Role::Creator);
    world.settle(5_000);
    assert_eq!(world.clients[0].seat.role(), Role::Member);
    assert_eq!(world.members(), [name(0), name(1), name(2)].into());
}

#[test]
fn a_creator_that_leaves_hands_over_or_closes() {
    let mut world = with_members(&handed_over(), 2);
    world.leave(0);
    world.settle(5_000);
    assert_eq!(world.clients[1].seat.role(), Role::Creator);
    assert_eq!(world.members(), [name(1), name(2)].into());
    assert!(world.clients[0].seat.is_over());

    let mut world = with_members(&room_for(4), 2);
    world.leave(0);
    world.settle(30_000);
    assert!(world.has(1, |event| *event == Event::Ended(Ending::Closed)));
    assert_eq!(world.broker.retained.len(), 0);
}

#[test]
fn a_creator_can_name_its_successor_and_stays_a_member() {
    let mut world = with_members(&handed_over(), 2);
    let now = world.moment(0);
    assert!(world.clients[1].seat.hand_over(None, now).is_err());
    assert!(
        world.clients[0]
            .seat
            .hand_over(Some("nobody"), now)
            .is_err()
    );
    world.clients[0]
        .seat
        .hand_over(Some(&name(2)), now)
        .unwrap();
    world.pump(0);
    world.settle(5_000);
    assert_eq!(world.clients[2].seat.role(), Role::Creator);
    assert_eq!(world.clients[0].seat.role(), Role::Member);
    assert_eq!(world.members(), [name(0), name(1), name(2)].into());
    // It never was out, not even for a moment in which another could take its place.
    for client in 0..3 {
        assert!(!world.has(client, |event| matches!(event, Event::MemberLeft(_))));
    }
}

#[test]
fn what_a_successor_has_closed_stays_closed() {
    let mut world = with_members(&handed_over(), 2);
    world.cut(0);
    world.elapse(20_000);
    act(&mut world, 1, |seat, now| seat.close(now)).unwrap();
    world.connect(0);
    world.settle(1_000);
    assert!(world.has(0, |event| matches!(event, Event::Ended(_))));
    assert!(world.document().is_none_or(|document| document.is_closed()));
    world.settle(30_000);
    assert_eq!(world.broker.retained.len(), 0);
}

#[test]
fn a_creator_that_was_lost_comes_back_into_the_game_without_its_players() {
    let mut world = with_members(&handed_over(), 2);
    act(&mut world, 0, |seat, now| seat.reserve("Judge", now)).unwrap();
    act(&mut world, 0, |seat, now| seat.register("Judge", now)).unwrap();
    act(&mut world, 0, |seat, now| seat.start(0, now)).unwrap();
    world.cut(0);
    world.elapse(20_000);
    for client in [1, 2] {
        let seat = &world.clients[client].seat;
        assert!(seat.reserved().is_empty() && seat.registered().is_empty());
    }
    act(&mut world, 2, |seat, now| seat.reserve("Judge", now)).unwrap();
    assert_eq!(world.clients[1].seat.reserved()["Judge"], name(2));
    world.connect(0);
    world.settle(5_000);
    assert_eq!(world.members(), [name(0), name(1), name(2)].into());
    assert_eq!(world.clients[0].seat.role(), Role::Member);
    assert_eq!(world.clients[0].seat.reserved()["Judge"], name(2));
}

#[test]
fn a_claim_that_was_lost_with_the_link_can_be_made_again() {
    let mut world = with_members(&handed_over(), 1);
    world.cut(0);
    let is_claim =
        |up: &Up| matches!(up, Up::Publish { topic, .. } if topic.ends_with("creator_claim"));
    while !world.broker.links[&1].up.iter().any(is_claim) {
        if !world.step() {
            world.pass(1_000);
        }
    }
    world.cut(1);
    world.connect(0);
    world.connect(1);
    world.settle(5_000);
    assert_eq!(world.clients[0].seat.role(), Role::Creator);
    world.kill(0);
    world.settle(30_000);
    assert_eq!(world.clients[1].seat.role(), Role::Creator);
}
