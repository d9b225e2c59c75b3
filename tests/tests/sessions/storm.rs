//! Many at one instant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use distflow_core::error::{Error, ErrorKind};
use distflow_core::mqtt::{BrokerOptions, Link, LinkEvent, Version};
use distflow_core::session::{Document, Vocabulary};
use distflow_core::sessions::{Session, instance_id};
use distflow_tests::LIMIT;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::brokers::{Broker, OfBroker, block_on, on_both};
use crate::people::{count, create, room_for};

on_both!(all_are_in, capacity_is_kept, read_modify_write_loses_some);

const CLIENTS: usize = 100;
const VERSIONS: [Version; 3] = [Version::Auto, Version::V311, Version::V5];

async fn storm(broker: &Broker, version: Version, id: &str) -> Vec<Result<Session, Error>> {
    let mut joining = JoinSet::new();
    for _ in 0..CLIENTS {
        let (sessions, id) = (broker.sessions_in(version), id.to_owned());
        joining.spawn(async move { sessions.join(&id).await });
    }
    let mut joined = Vec::new();
    while let Some(result) = joining.join_next().await {
        joined.push(result.unwrap());
    }
    joined
}

/// How many were told what.
fn told(joined: &[Result<Session, Error>]) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for error in joined.iter().filter_map(|result| result.as_ref().err()) {
        *told.entry(error.to_string()).or_default() += 1;
    }
    told
}

/// 100 clients, 20 rounds: none missing, none reported in without being in.
fn all_are_in(broker: &mut Broker) {
    block_on(async {
        for round in 0..20 {
            let one = create(broker, room_for(CLIENTS as u32 + 1)).await;
            let version = VERSIONS[round % VERSIONS.len()];
            let joined = storm(broker, version, one.id()).await;
            let refusals = told(&joined);
            assert!(
                refusals.is_empty(),
                "round {round}, {version:?}: {refusals:?}"
            );
            let joined: Vec<Session> = joined.into_iter().flatten().collect();
            count(&one, CLIENTS + 1).await;
            for session in &joined {
                assert!(
                    session.view().document.unwrap().has(session.instance()),
                    "round {round}"
                );
                count(session, CLIENTS + 1).await;
            }
            let mut leaving = JoinSet::new();
            for session in joined {
                leaving.spawn(async move { session.leave().await });
            }
            while leaving.join_next().await.is_some() {}
            count(&one, 1).await;
            one.close().await.unwrap();
        }
    });
}

/// With room for 30 exactly 29 are in beside the creator, the others are told so, and no document ever
/// names more.
fn capacity_is_kept(broker: &mut Broker) {
    block_on(async {
        for version in VERSIONS {
            capacity_is_kept_in(broker, version).await;
        }
    });
}

async fn capacity_is_kept_in(broker: &Broker, version: Version) {
    let options = BrokerOptions::parse(&broker.url()).unwrap();
    let one = create(broker, room_for(30)).await;
    let topic = format!("{}/session_state", one.id());
    let is_exceeded = Arc::new(AtomicBool::new(false));
    let exceeded = is_exceeded.clone();
    let watcher = tokio::spawn(async move {
        let mut link = Link::new(options, instance_id(), None, 1).unwrap();
        loop {
            match link.next().await {
                LinkEvent::Connected => link.subscribe(topic.clone()).await.unwrap(),
                LinkEvent::Message { payload, .. } if !payload.is_empty() => {
                    let document = Document::parse(&payload, 0).unwrap();
                    if document.members.len() > 30 {
                        exceeded.store(true, Ordering::Relaxed);
                    }
                }
                _ => {}
            }
        }
    });
    let joined = storm(broker, version, one.id()).await;
    let in_it = joined.iter().flatten().count();
    let is_refused = |result: &&Result<Session, Error>| matches!(result, Err(error) if error.kind() == ErrorKind::Refused);
    let refused = joined.iter().filter(is_refused).count();
    let refusals = told(&joined);
    assert_eq!(
        (in_it, refused),
        (29, CLIENTS - 29),
        "{version:?}: {refusals:?}"
    );
    count(&one, 30).await;
    watcher.abort();
    assert!(!is_exceeded.load(Ordering::Relaxed));
}

/// As the originals joined: read the document, add oneself, write it. The control that must fail.
async fn read_modify_write(
    options: BrokerOptions,
    topic: String,
    me: String,
    at_once: Arc<Barrier>,
) {
    let mut link = Link::new(options, me.clone(), None, 1).unwrap();
    let mut has_waited = false;
    loop {
        match link.next().await {
            LinkEvent::Connected => {
                if !std::mem::replace(&mut has_waited, true) {
                    at_once.wait().await;
                }
                link.subscribe(topic.clone()).await.unwrap();
            }
            LinkEvent::Message { payload, .. } => {
                let mut document = Document::parse(&payload, 0).unwrap();
                document.members.push(me.clone());
                document.version += 1;
                document.writer = None;
                let payload = document.write(Vocabulary::Running);
                link.publish(topic.clone(), payload, true, 1).await.unwrap();
                break;
            }
            _ => {}
        }
    }
    link.close(Duration::from_secs(2)).await;
}

/// The document that the broker keeps.
async fn kept(options: &BrokerOptions, topic: &str) -> Document {
    let mut link = Link::new(options.clone(), instance_id(), None, 1).unwrap();
    loop {
        match link.next().await {
            LinkEvent::Connected => link.subscribe(topic.to_owned()).await.unwrap(),
            LinkEvent::Message { payload, .. } => return Document::parse(&payload, 0).unwrap(),
            _ => {}
        }
    }
}

fn read_modify_write_loses_some(broker: &mut Broker) {
    // A broker that is slow may serve one after the other, but hardly every time.
    const STORMS_MAX: usize = 5;
    let options = BrokerOptions::parse(&broker.url()).unwrap();
    let is_one_lost = async |number: usize| {
        let topic = format!("s-control-{number}/session_state");
        let mut first = Link::new(options.clone(), instance_id(), None, 1).unwrap();
        while !matches!(first.next().await, LinkEvent::Connected) {}
        let document = br#"{"session_id": "s-control", "creator_client_id": "aa", "connected_instances": ["aa"], "num_players_max": 1000}"#;
        first
            .publish(topic.clone(), document.to_vec(), true, 1)
            .await
            .unwrap();
        first.close(LIMIT).await;
        let at_once = Arc::new(Barrier::new(CLIENTS));
        let mut joining = JoinSet::new();
        for client in 0..CLIENTS {
            joining.spawn(read_modify_write(
                options.clone(),
                topic.clone(),
                format!("c{number}-{client}"),
                at_once.clone(),
            ));
        }
        while let Some(joined) = joining.join_next().await {
            joined.unwrap();
        }
        kept(&options, &topic).await.members.len() < CLIENTS + 1
    };
    block_on(async {
        for number in 0..STORMS_MAX {
            if is_one_lost(number).await {
                return;
            }
        }
        panic!("the control lost nobody");
    });
}
