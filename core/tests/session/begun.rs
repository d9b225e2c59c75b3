//! Sessions that have begun.

use distflow_core::session::Moment;
use distflow_core::session::seat::{CreateOptions, Event, Seat};

use crate::world::World;

pub fn room_for(players_max: u32) -> CreateOptions {
    CreateOptions {
        players_max,
        ..CreateOptions::default()
    }
}

pub fn handed_over() -> CreateOptions {
    CreateOptions {
        hand_over: true,
        ..room_for(8)
    }
}

pub fn started(options: &CreateOptions) -> World {
    let mut world = World::new(1);
    world.create(options);
    world.settle(100);
    assert!(world.has(0, |event| *event == Event::Created));
    world
}

pub fn with_members(options: &CreateOptions, members: usize) -> World {
    let mut world = started(options);
    for _ in 0..members {
        world.join();
        world.settle(100);
    }
    for client in 1..=members {
        assert!(
            world.has(client, |event| *event == Event::Joined),
            "{client}"
        );
    }
    world
}

/// What a client does, and what becomes of it.
pub fn act<T>(
    world: &mut World,
    client: usize,
    what: impl FnOnce(&mut Seat, Moment) -> distflow_core::Result<T>,
) -> distflow_core::Result<T> {
    let now = world.moment(client);
    let result = what(&mut world.clients[client].seat, now);
    world.pump(client);
    world.elapse(500);
    result
}
