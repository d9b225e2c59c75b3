//! Processes and brokers that die.

use std::time::Duration;

use distflow_core::session::seat::{CreateOptions, Event, Role};
use distflow_core::sessions::Session;

use crate::brokers::{Broker, Instance, Kind, OfBroker, block_on, on_both};
use crate::people::{count, create, join, room_for, until};

on_both!(
    a_killed_member_is_gone_everywhere,
    a_frozen_member_is_gone,
    a_killed_creator_is_continued,
    a_broker_that_is_killed_loses_nobody,
    a_session_that_is_dropped_is_left_and_tidied_up,
    nothing_is_left_behind,
);

fn a_killed_member_is_gone_everywhere(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(4)).await;
        let two = join(broker, &one).await;
        let mut three = Instance::start(broker, &["join", one.id()], &[]);
        let id = three.is_in()["instance"].as_str().unwrap().to_owned();
        count(&two, 3).await;
        three.child.kill();
        for session in [&one, &two] {
            until(session, |event| *event == Event::MemberLeft(id.clone())).await;
        }
        let kept = broker.retained(one.id()).await;
        assert!(!kept.iter().any(|topic| topic.ends_with(&id)), "{kept:?}");
    });
}

fn a_frozen_member_is_gone(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(4)).await;
        let three = Instance::start(broker, &["join", one.id()], &[]);
        three.is_in();
        count(&one, 2).await;
        three.child.signal(libc::SIGSTOP);
        until(&one, |event| matches!(event, Event::MemberLeft(_))).await;
        // It finds its way back when it goes on.
        three.child.signal(libc::SIGCONT);
        count(&one, 2).await;
    });
}

fn a_killed_creator_is_continued(broker: &mut Broker) {
    // By the one that joined first. On a busy machine both may ask, and the broker decides; hardly
    // each time.
    assert!((0..3).any(|number| is_continued_by_the_first(broker, number)));
}

fn is_continued_by_the_first(broker: &mut Broker, number: usize) -> bool {
    let id = format!("s-continued-{number}");
    let mut one = Instance::start(broker, &["create", "--id", &id, "--hand-over"], &[]);
    one.is_in();
    block_on(async {
        let sessions = broker.sessions();
        let two = sessions.join(&id).await.unwrap();
        let three = sessions.join(&id).await.unwrap();
        count(&two, 3).await;
        one.child.kill();
        for session in [&two, &three] {
            let changed = |event: &Event| matches!(event, Event::CreatorChanged { .. });
            until(session, changed).await;
        }
        let is_creator = |session: &Session| session.view().role == Some(Role::Creator);
        assert_ne!(is_creator(&two), is_creator(&three));
        let four = sessions.join(&id).await.unwrap();
        count(&three, 3).await;
        four.leave().await;
        count(&three, 2).await;
        is_creator(&two)
    })
}

fn survives(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(8)).await;
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(join(broker, &one).await);
        }
        count(&one, 5).await;
        broker.kill();
        while one.view().is_connected || others.iter().any(|session| session.view().is_connected) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        broker.start_again();
        while !others
            .iter()
            .chain([&one])
            .all(|session| session.view().is_connected)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Longer than any lease.
        tokio::time::sleep(Duration::from_secs(17)).await;
        for session in others.iter().chain([&one]) {
            count(session, 5).await;
            let view = session.view();
            assert!(view.is_in && view.ending.is_none());
        }
        let late = join(broker, &one).await;
        count(&one, 6).await;
        late.leave().await;
        count(&others[0], 5).await;
    });
}

fn a_broker_that_is_killed_loses_nobody(broker: &mut Broker) {
    survives(broker);
}

#[test]
fn nor_does_one_that_remembers() {
    survives(&mut Broker::start(Kind::PersistentMosquitto));
}

fn nothing_is_left_behind(broker: &mut Broker) {
    block_on(async {
        let options = CreateOptions {
            players_min: 2,
            ..room_for(4)
        };
        let one = create(broker, options).await;
        let two = join(broker, &one).await;
        two.reserve("Farmer/1").await.unwrap();
        until(&one, |event| matches!(event, Event::Reserved { .. })).await;
        two.register("Farmer/1").await.unwrap();
        one.register("Hunter").await.unwrap();
        until(&two, |event| *event == Event::AllPlayersSelected).await;
        one.start(1).await.unwrap();
        until(&two, |event| matches!(event, Event::GameStarted { .. })).await;
        let kept = broker.retained(one.id()).await;
        assert!(kept.len() >= 7, "{kept:?}");
        one.close().await.unwrap();
        while one.next_event().await.is_some() {}
        while two.next_event().await.is_some() {}
        assert_eq!(broker.retained(one.id()).await, [""; 0]);
    });
}

fn a_session_that_is_dropped_is_left_and_tidied_up(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(4)).await;
        let two = join(broker, &one).await;
        let id = one.id().to_owned();
        count(&one, 2).await;
        drop(two);
        count(&one, 1).await;
        let watcher = broker.sessions().observe(&id).await.unwrap();
        drop(one);
        until(&watcher, |event| matches!(event, Event::Ended(_))).await;
        while !broker.retained(&id).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}
