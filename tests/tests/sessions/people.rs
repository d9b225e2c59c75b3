//! Instances within the test's own process.

use std::time::Duration;

use distflow_core::session::rows::rows;
use distflow_core::session::seat::{CreateOptions, Event};
use distflow_core::sessions::{Session, SessionList};
use distflow_tests::LIMIT;

use crate::brokers::{Broker, OfBroker};

pub fn room_for(players_max: u32) -> CreateOptions {
    CreateOptions {
        players_max,
        model_name: "Forest".to_owned(),
        ..CreateOptions::default()
    }
}

pub async fn create(broker: &Broker, options: CreateOptions) -> Session {
    broker.sessions().create(None, options).await.unwrap()
}

pub async fn join(broker: &Broker, session: &Session) -> Session {
    broker.sessions().join(session.id()).await.unwrap()
}

/// Waits for an event of a session, at most three times as long as the longest that is promised; what
/// comes before it is dropped.
pub async fn until(session: &Session, is_it: impl Fn(&Event) -> bool) -> Event {
    let waiting = async {
        loop {
            match session.next_event().await {
                Some(event) if is_it(&event) => return event,
                Some(_) => {}
                None => panic!("the session is over"),
            }
        }
    };
    tokio::time::timeout(2 * LIMIT, waiting)
        .await
        .expect("it did not happen")
}

/// Waits until a session is seen with so many members.
pub async fn count(session: &Session, count: usize) {
    let counting = async {
        while session.view().members().len() != count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(LIMIT, counting).await;
    assert!(
        in_time.is_ok(),
        "{count} were to be in: {:?}",
        session.view().members()
    );
}

/// Waits until the list has rows with these texts, for an instance that is in a session or in none.
pub async fn shows(list: &SessionList, own: Option<&str>, texts: &[&str]) {
    let looking = async {
        let (mut version, mut sessions) = list.sessions();
        loop {
            let rows = rows(&sessions, own);
            if rows
                .iter()
                .map(|row| row.text.as_str())
                .eq(texts.iter().copied())
            {
                return;
            }
            (version, sessions) = list.changed(version).await.unwrap();
        }
    };
    let in_time = tokio::time::timeout(LIMIT, looking).await;
    assert!(in_time.is_ok(), "{:?}", rows(&list.sessions().1, own));
}
