//! Random walks: joins, leaves, kills, breaks, restarts of the broker, in any order, on links on which
//! everything takes its time.

use distflow_core::session::State;
use distflow_core::session::seat::{CreateOptions, Event};

use crate::world::{Random, World, name};

struct Walk {
    hands_over: bool,
    may_restart: bool,
    may_lose_creator: bool,
    /// Whether the broker has no one order for what several say at once.
    disorder: bool,
}

fn walk(seed: u64, walk: &Walk) -> World {
    let mut world = World::new(seed);
    world.broker.disorder = walk.disorder.then_some(Random(seed ^ 0xd150));
    let mut choose = Random(seed ^ 0x5eed);
    let players_max = 2 + choose.below(6) as u32;
    let options = CreateOptions {
        players_max,
        hand_over: walk.hands_over,
        ..CreateOptions::default()
    };
    world.create(&options);
    world.settle(100);
    for _ in 0..40 + choose.below(120) {
        let client = choose.below(world.clients.len() as u64) as usize;
        let is_alive = world.clients[client].is_alive;
        let is_linked = world.broker.links.contains_key(&client);
        let may_go = client > 0 || walk.may_lose_creator;
        match choose.below(24) {
            0 | 1 if world.clients.len() < 14 => drop(world.join()),
            2 if is_alive && client > 0 => world.leave(client),
            3 if is_alive && may_go => world.kill(client),
            4 if is_alive && is_linked => world.cut(client),
            5 if walk.may_restart => world.restart_broker(choose.below(2) == 0),
            6 | 7 if is_alive && !is_linked => world.connect(client),
            8 | 9 => world.pass(choose.below(3_000) + 1),
            _ => {
                for _ in 0..choose.below(12) {
                    world.step();
                }
            }
        }
    }
    world.settle(60_000);
    world
}

/// Whoever is alive and wants to be in is in, as everybody sees it, or was told that it can't; and
/// nobody else is.
fn check(seed: u64, world: &World) {
    let members = world.members();
    if world.alive_in().is_empty() {
        // Nobody is there to tidy up; whoever looks at the list does.
        return;
    }
    let is_open = world
        .document()
        .is_some_and(|document| document.state == Some(State::Open));
    for (client, one) in world.clients.iter().enumerate() {
        let me = name(client);
        if !one.is_alive {
            assert!(
                !members.contains(&me),
                "seed {seed}: {me} is gone and was brought back"
            );
            continue;
        }
        let is_told = world.has(client, |event| {
            matches!(
                event,
                Event::Refused(_) | Event::Failed(_) | Event::Ended(_)
            )
        });
        assert!(
            members.contains(&me) || is_told,
            "seed {seed}: {me} is lost; {members:?}, {:?}",
            one.events
        );
        if one.seat.is_in() {
            assert!(members.contains(&me), "seed {seed}: {me} believes to be in");
            let known = one.seat.document().unwrap();
            assert_eq!(
                known
                    .members
                    .iter()
                    .cloned()
                    .collect::<std::collections::BTreeSet<_>>(),
                members,
                "seed {seed}: {me}"
            );
            assert!(is_open);
        }
    }
    let mut inside = world
        .clients
        .iter()
        .filter(|one| one.is_alive && one.seat.is_in())
        .peekable();
    let expected = usize::from(inside.peek().is_some());
    let creators = inside.filter(|one| one.seat.role() == distflow_core::session::Role::Creator);
    assert_eq!(creators.count(), expected, "seed {seed}: creators");
}

fn walks(first: u64, default: u64, one: &Walk) {
    let count = std::env::var("WALKS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default);
    for seed in first..first + count {
        check(seed, &walk(seed, one));
    }
}

#[test]
pub fn no_join_is_lost_and_nobody_comes_back() {
    let one = Walk {
        hands_over: false,
        may_restart: false,
        may_lose_creator: false,
        disorder: false,
    };
    walks(0, 1_000, &one);
}

#[test]
fn nor_when_the_broker_restarts() {
    let one = Walk {
        hands_over: false,
        may_restart: true,
        may_lose_creator: false,
        disorder: false,
    };
    walks(10_000_000, 1_000, &one);
}

#[test]
fn nor_when_creators_die_and_hand_over() {
    let one = Walk {
        hands_over: true,
        may_restart: false,
        may_lose_creator: true,
        disorder: false,
    };
    walks(20_000_000, 1_000, &one);
}

#[test]
fn nor_when_all_of_that_happens() {
    let one = Walk {
        hands_over: true,
        may_restart: true,
        may_lose_creator: true,
        disorder: false,
    };
    walks(30_000_000, 1_000, &one);
}

#[test]
fn a_session_that_is_lost_is_over_for_all() {
    let one = Walk {
        hands_over: false,
        may_restart: true,
        may_lose_creator: true,
        disorder: false,
    };
    walks(40_000_000, 1_000, &one);
}

/// Each hears what several say at once in another order, and what is retained is not what came last.
#[test]
fn nor_on_a_broker_that_has_no_one_order() {
    for may_restart in [false, true] {
        let one = Walk {
            hands_over: true,
            may_restart,
            may_lose_creator: true,
            disorder: true,
        };
        walks(50_000_000, 1_000, &one);
    }
}
