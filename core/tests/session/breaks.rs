//! Connections that break, links that are dead, brokers that restart, clocks that are set.

use distflow_core::ErrorKind;
use distflow_core::session::seat::{Ending, Event, Role};

use crate::begun::{act, handed_over, room_for, with_members};
use crate::world::{World, name};

#[test]
fn a_short_break_of_the_creator_changes_nothing() {
    for options in [room_for(4), handed_over()] {
        let mut world = with_members(&options, 2);
        world.cut(0);
        world.now_ms += 8_000;
        world.settle(40_000);
        assert_eq!(world.members(), [name(0), name(1), name(2)].into());
        assert_eq!(world.clients[0].seat.role(), Role::Creator);
        for member in [1, 2] {
            assert!(!world.has(member, |event| matches!(event, Event::Ended(_))));
        }
    }
}

#[test]
fn a_broker_that_restarts_loses_nobody() {
    for keeps in [true, false] {
        let mut world = with_members(&room_for(8), 4);
        world.restart_broker(keeps);
        world.settle(60_000);
        let all: std::collections::BTreeSet<_> = (0..5).map(name).collect();
        assert_eq!(world.members(), all, "{keeps}");
        assert_eq!(world.alive_in(), all, "{keeps}");
        for member in 1..5 {
            assert!(!world.has(member, |event| matches!(event, Event::Ended(_))));
        }
    }
}

#[test]
fn a_member_that_dies_with_the_broker_is_gone_when_its_lease_is_over() {
    let mut world = with_members(&room_for(8), 2);
    world.restart_broker(false);
    world.clients[1].is_alive = false;
    world.settle(20_000);
    assert_eq!(world.members(), [name(0), name(2)].into());
}

#[test]
fn a_short_break_of_a_member_costs_it_nothing_while_the_game_runs() {
    let mut world = with_members(&room_for(3), 2);
    let now = world.moment(0);
    world.clients[0].seat.start(0, now).unwrap();
    world.pump(0);
    world.settle(1_000);
    world.cut(1);
    world.settle(1_000);
    world.connect(1);
    world.settle(5_000);
    assert_eq!(world.members(), [name(0), name(1), name(2)].into());
    assert!(world.clients[1].seat.is_in());
    assert!(!world.has(1, |event| matches!(event, Event::Ended(_))));
}

#[test]
fn who_has_a_dead_link_ends_nothing_and_claims_nothing() {
    for options in [room_for(4), handed_over()] {
        let mut world = with_members(&options, 2);
        // Nobody has told it.
        world.broker.cut(1);
        world.elapse(60_000);
        assert!(!world.has(1, |event| matches!(event, Event::Ended(_))));
        assert_eq!(world.clients[1].seat.role(), Role::Member);
        assert_eq!(world.members(), [name(0), name(2)].into());
        world.cut(1);
        world.connect(1);
        world.settle(1_000);
        assert_eq!(world.members(), [name(0), name(1), name(2)].into());
        // And later it can continue the session, if that is how it was created.
        world.kill(0);
        world.settle(30_000);
        if options.hand_over {
            assert_eq!(world.members(), [name(1), name(2)].into());
        } else {
            assert!(world.has(1, |event| *event == Event::Ended(Ending::CreatorLost)));
        }
    }
}

#[test]
fn a_creator_with_a_dead_link_throws_nobody_out() {
    let mut world = with_members(&room_for(4), 2);
    world.broker.cut(0);
    world.elapse(14_000);
    assert!(!world.has(0, |event| matches!(event, Event::MemberLeft(_))));
    world.cut(0);
    world.connect(0);
    world.settle(1_000);
    assert_eq!(world.members(), [name(0), name(1), name(2)].into());
    assert!(!world.has(0, |event| matches!(event, Event::MemberLeft(_))));
}

#[test]
fn what_has_to_be_heard_at_once_needs_a_connection() {
    let mut world = with_members(&handed_over(), 1);
    world.cut(0);
    for result in [
        act(&mut world, 0, |seat, now| seat.start(0, now)),
        act(&mut world, 0, |seat, now| seat.hand_over(None, now)),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionFailed, "{error}");
    }
    world.connect(0);
    world.settle(1_000);
    act(&mut world, 0, |seat, now| seat.start(0, now)).unwrap();
    assert!(world.has(1, |event| matches!(event, Event::GameStarted { .. })));
}

#[test]
fn a_session_that_was_closed_ends_without_a_broker_as_well() {
    let mut world = with_members(&room_for(4), 1);
    act(&mut world, 0, |seat, now| seat.close(now)).unwrap();
    world.cut(0);
    world.leave(0);
    assert!(world.clients[0].seat.is_over());
}

#[test]
pub fn clocks_that_differ_or_are_set_end_nothing() {
    let mut world = World::new(1);
    world.create(&room_for(4));
    world.clients[0].hours = -2;
    world.settle(100);
    world.join();
    world.clients[1].hours = 2;
    world.settle(60_000);
    // Summer time ends, and then begins.
    for hours in [-1, 1] {
        world.step_us += hours * 3_600_000_000;
        world.settle(60_000);
        assert_eq!(world.members(), [name(0), name(1)].into());
        assert!(!world.has(1, |event| matches!(event, Event::Ended(_))));
        let now = world.moment(0);
        // And what changes meanwhile is seen.
        let late = world.join();
        world.settle(500);
        assert!(
            world.has(1, |event| *event == Event::MemberJoined(name(late))),
            "{now:?}"
        );
        world.leave(late);
        world.settle(500);
    }
}
