//! The originals beside ours; and what they do among themselves, as a control: the same tests have to
//! fail there.

use distflow_core::session::State;
use distflow_core::session::seat::{CreateOptions, Ending, Event};

use crate::original::{Generation, Mixed, ORIGINALS};
use crate::world::name;

fn big() -> CreateOptions {
    CreateOptions {
        players_max: 30,
        ..CreateOptions::default()
    }
}

#[test]
fn originals_join_our_sessions_and_leave_them() {
    for seed in 0..100 {
        let mut mixed = Mixed::new(seed);
        mixed.world.create(&big());
        mixed.settle(100);
        mixed.world.join();
        for generation in [
            Generation::Running,
            Generation::Planned,
            Generation::Running,
        ] {
            mixed.add(generation, false);
        }
        mixed.world.join();
        mixed.settle(3_000);
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        assert_eq!(mixed.all().len(), 6);
        // Everybody sees everybody.
        for original in &mixed.originals {
            let members = &original.document.as_ref().unwrap().members;
            assert_eq!(members.len(), 6, "seed {seed}: {}", original.id);
        }
        for at in 0..2 {
            let local = mixed.world.moment(usize::MAX).local;
            mixed.originals[at].leave(local);
            mixed.send();
            mixed.settle(3_000);
            assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        }
        assert!(
            mixed
                .world
                .has(1, |event| *event == Event::MemberLeft("h000".into()))
        );
        mixed.settle(30_000);
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
    }
}

#[test]
fn ours_join_sessions_of_originals_and_leave_them() {
    for seed in 0..100 {
        let mut mixed = Mixed::new(seed);
        mixed.add(Generation::Running, true);
        mixed.settle(200);
        mixed.world.join();
        mixed.world.join();
        mixed.settle(8_000);
        mixed.add(Generation::Running, false);
        mixed.settle(8_000);
        for member in [0, 1] {
            assert!(
                mixed.world.has(member, |event| *event == Event::Joined),
                "seed {seed}"
            );
        }
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        assert_eq!(mixed.all().len(), 4);
        assert_eq!(
            mixed.originals[0].document.as_ref().unwrap().members.len(),
            4
        );
        mixed.world.leave(0);
        mixed.settle(8_000);
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        assert!(
            mixed
                .world
                .has(1, |event| *event == Event::MemberLeft(name(0)))
        );
    }
}

#[test]
fn ours_notice_when_an_original_creator_dies_and_originals_when_ours_does() {
    let mut mixed = Mixed::new(1);
    mixed.add(Generation::Running, true);
    mixed.settle(200);
    mixed.world.join();
    mixed.settle(8_000);
    mixed.originals[0].has_left = true;
    mixed.world.broker.cut(ORIGINALS);
    let at_ms = mixed.world.now_ms;
    mixed.settle(25_000);
    let lost = Event::Ended(Ending::CreatorLost);
    let when = mixed.world.when(0, |event| *event == lost).unwrap();
    assert!(when <= at_ms + 20_000, "{}", when - at_ms);

    let mut mixed = Mixed::new(1);
    mixed.world.create(&big());
    mixed.settle(100);
    mixed.add(Generation::Running, false);
    mixed.settle(12_000);
    mixed.world.kill(0);
    mixed.settle(20_000);
    assert!(mixed.originals[0].has_closed);
}

#[test]
fn an_original_that_closes_our_session_ends_it_for_all() {
    let mut mixed = Mixed::new(1);
    mixed.world.create(&big());
    mixed.settle(100);
    mixed.world.join();
    mixed.add(Generation::Running, false);
    mixed.settle(3_000);
    let document = mixed.originals[0].document.as_mut().unwrap();
    document.state = Some(State::Closed);
    document.version += 1;
    mixed.originals[0].publish();
    mixed.send();
    mixed.settle(30_000);
    for client in [0, 1] {
        assert!(
            mixed
                .world
                .has(client, |event| matches!(event, Event::Ended(_))),
            "{client}"
        );
    }
}

/// How many of so many that join at once are in the document afterwards.
fn storm(seed: u64, joiners: usize, is_ours: bool) -> usize {
    let mut mixed = Mixed::new(seed);
    if is_ours {
        mixed.world.create(&big());
    } else {
        mixed.add(Generation::Running, true);
    }
    mixed.settle(200);
    for _ in 0..joiners {
        if is_ours {
            mixed.world.join();
        } else {
            mixed.add(Generation::Running, false);
        }
    }
    mixed.settle(3_000);
    mixed.world.members().len() - 1
}

#[test]
fn ten_that_join_at_once_are_all_in_and_without_us_they_are_not() {
    let mut lost = 0;
    for seed in 0..50 {
        assert_eq!(storm(seed, 10, true), 10, "seed {seed}");
        lost += 10 - storm(seed, 10, false);
    }
    assert!(lost > 0, "the control has to fail");
}

#[test]
fn originals_stay_when_ours_hands_over() {
    for seed in 0..20 {
        let mut mixed = Mixed::new(seed);
        mixed.world.create(&CreateOptions {
            hand_over: true,
            ..big()
        });
        mixed.settle(100);
        mixed.world.join();
        mixed.add(Generation::Running, false);
        mixed.settle(3_000);
        assert_eq!(mixed.all().len(), 3, "seed {seed}");
        let now = mixed.world.moment(0);
        mixed.world.clients[0].seat.hand_over(None, now).unwrap();
        mixed.world.pump(0);
        mixed.settle(60_000);
        assert_eq!(mixed.world.document().unwrap().creator, name(1));
        assert_eq!(mixed.world.members(), mixed.all(), "seed {seed}");
        assert_eq!(mixed.all().len(), 3, "seed {seed}");
    }
}
