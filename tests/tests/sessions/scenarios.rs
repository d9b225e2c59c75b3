//! The five scenarios of the originals' acceptance, on both brokers.

use std::time::{Duration, Instant};

use distflow_core::session::rows::rows;
use distflow_core::session::seat::{Ending, Event};

use crate::brokers::{Broker, Instance, OfBroker, block_on, on_both};
use crate::people::{count, create, join, room_for, shows, until};

on_both!(
    creation_and_join,
    leave,
    creator_loss,
    retained_messages,
    simultaneous_joins
);

/// 1 creates and sees the check mark on its session only; 2 joins and counts 2; 3 joins and 2 counts 3.
fn creation_and_join(broker: &mut Broker) {
    block_on(async {
        let list = broker.sessions().list().await.unwrap();
        let other = create(broker, room_for(2)).await;
        shows(&list, None, &["Forest (1/1-2 instances (Ready))"]).await;
        let one = create(broker, room_for(4)).await;
        shows(
            &list,
            Some(one.id()),
            &[
                "Forest ✓ (1/1-4 instances (Ready))",
                "Forest (1/1-2 instances (Ready))",
            ],
        )
        .await;
        let checked: Vec<_> = rows(&list.sessions().1, Some(one.id()))
            .into_iter()
            .filter(|row| row.is_checked)
            .map(|row| row.session_id)
            .collect();
        assert_eq!(checked, [one.id()]);
        let two = join(broker, &one).await;
        count(&two, 2).await;
        let three = join(broker, &one).await;
        count(&two, 3).await;
        count(&one, 3).await;
        assert_eq!(two.view().seed, one.view().seed);
        assert_eq!(other.view().members().len(), 1);
        assert_eq!(
            three.view().members(),
            [one.instance(), two.instance(), three.instance()]
        );
    });
}

/// 3 leaves, 2 counts 2, and 3 is never added again.
fn leave(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(4)).await;
        let two = join(broker, &one).await;
        let three = join(broker, &one).await;
        count(&two, 3).await;
        two.take_events();
        three.leave().await;
        count(&two, 2).await;
        // Longer than anything is renewed.
        tokio::time::sleep(Duration::from_secs(7)).await;
        let added = |event: &Event| matches!(event, Event::MemberJoined(_));
        assert!(!two.take_events().iter().any(added));
        assert_eq!(two.view().members(), [one.instance(), two.instance()]);
        assert_eq!(three.view().ending, Some(Ending::Left));
    });
}

/// 1 is killed; 2 notices after more than 15 s and within 20 s, the session is closed, 2 is out of it.
fn creator_loss(broker: &mut Broker) {
    let mut one = Instance::start(broker, &["create", "--id", "s-loss"], &[]);
    one.is_in();
    block_on(async {
        let two = broker.sessions().join("s-loss").await.unwrap();
        let heartbeat = || two.view().document.unwrap().writer.unwrap().heartbeat;
        let before = heartbeat();
        // Both sides of the moment at which it is seen.
        let (mut not_seen, mut seen) = (Instant::now(), Instant::now());
        while heartbeat() == before {
            not_seen = seen;
            tokio::time::sleep(Duration::from_millis(1)).await;
            seen = Instant::now();
        }
        one.child.kill();
        let event = until(&two, |event| matches!(event, Event::Ended(_))).await;
        let (at_most, at_least) = (not_seen.elapsed(), seen.elapsed());
        assert_eq!(event, Event::Ended(Ending::CreatorLost));
        assert!(at_most > Duration::from_secs(15), "{at_most:?}");
        assert!(at_least <= Duration::from_secs(20), "{at_least:?}");
        let view = two.view();
        assert!(!view.is_in && view.document.unwrap().is_closed());
        // It tidies up behind the creator.
        while two.next_event().await.is_some() {}
        assert_eq!(broker.retained("s-loss").await, [""; 0]);
    });
}

/// 3 connects after 2 left and never sees 2.
fn retained_messages(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(4)).await;
        let two = join(broker, &one).await;
        count(&one, 2).await;
        let watcher = broker.sessions().observe(one.id()).await.unwrap();
        count(&watcher, 2).await;
        two.leave().await;
        // Not before the broker has the document without it.
        count(&watcher, 1).await;
        let three = join(broker, &one).await;
        let gone = Event::MemberJoined(two.instance().to_owned());
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(!three.take_events().contains(&gone));
        assert_eq!(three.view().members(), [one.instance(), three.instance()]);
    });
}

/// 2 and 3 join in the same instant, both are in, nothing is lost.
fn simultaneous_joins(broker: &mut Broker) {
    block_on(async {
        for _ in 0..20 {
            let one = create(broker, room_for(3)).await;
            let (two, three) = tokio::join!(join(broker, &one), join(broker, &one));
            for session in [&one, &two, &three] {
                count(session, 3).await;
            }
            tokio::join!(two.leave(), three.leave());
            count(&one, 1).await;
        }
    });
}
