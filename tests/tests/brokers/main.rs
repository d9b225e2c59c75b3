//! Game sessions on brokers of others, as they are installed: `make test-brokers`.
//!
//! What is found here is the table in `docs/sessions.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::time::{Duration, Instant};

use distflow_core::ErrorKind;
use distflow_core::mqtt::{BrokerOptions, Link, LinkEvent, Version};
use distflow_core::session::Completeness;
use distflow_core::session::seat::{CreateOptions, Event, Role};
use distflow_core::sessions::{Session, Sessions, instance_id};
use distflow_tests::{Broker, BrokerKind as Kind, Child, LIMIT, distflow_program};

/// What is expected of a broker.
struct Case {
    kind: Kind,
    speaks_5: bool,
    /// How many of [`KEPT`] it brings to a wildcard of quality of service 0, and of 1.
    brings: [usize; 2],
    /// What becomes of letters in topics, where it is not what was written.
    letters: &'static [(&'static str, Fate)],
}

/// What is kept to see how much is brought.
const KEPT: usize = 1_300;

/// What a broker makes of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// It comes as this.
    Comes(&'static str),
    /// Nobody may subscribe to it, and whoever publishes to it loses the connection.
    Refused,
    /// It comes as what is no topic, and whoever hears it gives the connection up.
    Misspelled,
}

impl Case {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            speaks_5: true,
            brings: [KEPT; 2],
            letters: &[],
        }
    }
}

#[test]
fn in_the_box() {
    check(&Case::new(Kind::InTheBox));
}

#[test]
fn mosquitto() {
    check(&Case {
        brings: [KEPT, 1_020],
        ..Case::new(Kind::Mosquitto)
    });
}

#[test]
fn nats() {
    check(&Case {
        speaks_5: false,
        letters: &[(".", Fate::Refused), (" ", Fate::Refused)],
        ..Case::new(Kind::Nats)
    });
}

#[test]
fn rabbit_mq() {
    check(&Case {
        speaks_5: false,
        brings: [0; 2],
        letters: &[(".", Fate::Comes("x/y/z")), ("*", Fate::Misspelled)],
        ..Case::new(Kind::RabbitMq)
    });
}

#[test]
fn ejabberd() {
    check(&Case {
        brings: [1_000; 2],
        ..Case::new(Kind::Ejabberd)
    });
}

#[test]
fn aedes() {
    check(&Case {
        speaks_5: false,
        ..Case::new(Kind::Aedes)
    });
}

fn check(case: &Case) {
    let mut broker = Broker::start(case.kind);
    block_on(versions(&broker, case));
    block_on(letters_of_originals(&broker, case));
    block_on(what_is_brought(&broker, case));
    let mut spoken = vec![Version::Auto, Version::V311];
    if case.speaks_5 {
        spoken.push(Version::V5);
    }
    for version in spoken {
        let sessions = sessions(&broker, version);
        block_on(names(&sessions));
        block_on(joins_at_once(&sessions));
        block_on(a_killed_member_is_gone(&broker, &sessions));
        block_on(a_killed_creator_is_continued(&broker, &sessions));
        block_on(the_list(&sessions, case));
        block_on(nothing_is_left(&broker, &sessions));
    }
    a_restart(&mut broker);
}

fn sessions(broker: &Broker, version: Version) -> Sessions {
    let mut options = BrokerOptions::parse(&broker.url()).unwrap();
    options.version = version;
    Sessions::new(options).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let limited = async { tokio::time::timeout(10 * LIMIT, future).await };
    runtime.block_on(limited).expect("it took too long")
}

fn room_for(players_max: u32) -> CreateOptions {
    CreateOptions {
        players_max,
        ..CreateOptions::default()
    }
}

async fn count(session: &Session, count: usize) {
    let counting = async {
        while session.view().members().len() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(LIMIT, counting).await;
    assert!(in_time.is_ok(), "{:?}", session.view().members());
}

async fn until(session: &Session, is_it: impl Fn(&Event) -> bool) -> Event {
    let waiting = async {
        loop {
            let event = session.next_event().await.expect("the session is over");
            assert!(!matches!(event, Event::NotAllowed { .. }), "{event:?}");
            if is_it(&event) {
                return event;
            }
        }
    };
    let in_time = tokio::time::timeout(LIMIT, waiting).await;
    in_time.expect("it did not happen")
}

/// An instance in a process of its own, in the session.
fn process(broker: &Broker, arguments: &[&str]) -> Child {
    let mut command = std::process::Command::new(distflow_program());
    command.args(["session", arguments[0], "--json", "--broker", &broker.url()]);
    command.args(&arguments[1..]);
    let child = Child::spawn(command);
    loop {
        let line: serde_json::Value = serde_json::from_str(&child.line()).unwrap();
        assert_ne!(line["event"], "error", "{line}");
        if line["event"] == "in" {
            return child;
        }
    }
}

/// The version that is not spoken is refused, with the right word, long before the time is over.
async fn versions(broker: &Broker, case: &Case) {
    if case.speaks_5 {
        return;
    }
    let error = sessions(broker, Version::V5)
        .create(None, room_for(2))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.message().contains("speak"), "{error}");
}

async fn link(broker: &Broker) -> Link {
    let mut options = BrokerOptions::parse(&broker.url()).unwrap();
    options.version = Version::V311;
    let mut link = Link::new(options, format!("link-{}", instance_id()), None, 1).unwrap();
    while !matches!(link.next().await, LinkEvent::Connected) {}
    link
}

/// Topics as originals write them: distflow's own have no such letters.
async fn letters_of_originals(broker: &Broker, case: &Case) {
    for letter in [".", " ", "*", ">", "%", "$", "~", "\"", "ü"] {
        let topic = format!("x{letter}y/z");
        let known = case.letters.iter().find(|(one, _)| *one == letter);
        let fate = known.map_or(Fate::Comes(""), |(_, fate)| fate.clone());
        let mut one = link(broker).await;
        one.subscribe(topic.clone()).await.unwrap();
        if fate == Fate::Refused {
            let refused = event(&mut one).await;
            assert!(
                matches!(refused, LinkEvent::NotAllowed { .. }),
                "{topic}: {refused:?}"
            );
        }
        (one.publish(topic.clone(), b"1".to_vec(), false, 1).await).unwrap();
        let heard = event(&mut one).await;
        let is_so = match (&fate, &heard) {
            (Fate::Comes(as_it), LinkEvent::Message { topic: heard, .. }) => {
                heard == if as_it.is_empty() { &topic } else { *as_it }
            }
            (Fate::Refused | Fate::Misspelled, LinkEvent::Disconnected(_)) => true,
            _ => false,
        };
        assert!(is_so, "{topic}: {heard:?}, expected was {fate:?}");
        one.close(Duration::from_secs(1)).await;
    }
}

async fn event(link: &mut Link) -> LinkEvent {
    let event = tokio::time::timeout(LIMIT, link.next()).await;
    event.expect("nothing came")
}

/// How much of what is kept comes to a wildcard.
async fn what_is_brought(broker: &Broker, case: &Case) {
    let mut writer = link(broker).await;
    let topic = |number: usize| format!("kept/{number}/state");
    for number in 0..KEPT {
        (writer.publish(topic(number), b"1".to_vec(), true, 1).await).unwrap();
    }
    writer.close(LIMIT).await;
    for (qos, expected) in (0..).zip(case.brings) {
        let mut reader = link(broker).await;
        (reader.subscribe_with("kept/+/state".to_owned(), qos).await).unwrap();
        let mut brought = 0;
        let is_message = |event: &LinkEvent| matches!(event, LinkEvent::Message { .. });
        while brought < expected {
            brought += usize::from(is_message(&event(&mut reader).await));
        }
        // And nothing more.
        let more = tokio::time::timeout(Duration::from_secs(1), reader.next()).await;
        assert!(more.is_err(), "{brought} and {more:?}");
        reader.close(Duration::from_secs(1)).await;
    }
    let mut writer = link(broker).await;
    for number in 0..KEPT {
        (writer.publish(topic(number), Vec::new(), true, 1).await).unwrap();
    }
    writer.close(LIMIT).await;
}

/// Letters of the broker's own language in names, and of none.
async fn names(sessions: &Sessions) {
    let id = format!("a b.c*>$ü {}", instance_id());
    let one = sessions.create(Some(&id), room_for(3)).await.unwrap();
    let two = sessions.join(&id).await.unwrap();
    count(&one, 2).await;
    for player in ["Player 1", "a.b", "a/b", "x*", ">", "Ödön", "50%"] {
        two.reserve(player).await.unwrap();
        until(
            &one,
            |event| matches!(event, Event::Reserved { player: known, .. } if known == player),
        )
        .await;
        until(
            &two,
            |event| matches!(event, Event::Reserved { player: known, .. } if known == player),
        )
        .await;
    }
    two.register("Player 1").await.unwrap();
    until(
        &one,
        |event| matches!(event, Event::Registered { player, .. } if player == "Player 1"),
    )
    .await;
    two.publish("next turn.1", b"x".to_vec()).await.unwrap();
    until(
        &one,
        |event| matches!(event, Event::Game { name, .. } if name == "next turn.1"),
    )
    .await;
    assert!(one.view().is_connected && two.view().is_connected);
    two.leave().await;
    count(&one, 1).await;
    one.leave().await;
}

async fn joins_at_once(sessions: &Sessions) {
    let one = sessions.create(None, room_for(9)).await.unwrap();
    let join = || sessions.join(one.id());
    let (a, b, c, d) = tokio::join!(join(), join(), join(), join());
    let others = [a.unwrap(), b.unwrap(), c.unwrap(), d.unwrap()];
    for session in others.iter().chain([&one]) {
        count(session, 5).await;
    }
    for other in &others {
        other.leave().await;
    }
    count(&one, 1).await;
    one.leave().await;
}

async fn a_killed_member_is_gone(broker: &Broker, sessions: &Sessions) {
    let one = sessions.create(None, room_for(3)).await.unwrap();
    let mut two = process(broker, &["join", one.id()]);
    count(&one, 2).await;
    two.kill();
    count(&one, 1).await;
    one.leave().await;
}

async fn a_killed_creator_is_continued(broker: &Broker, sessions: &Sessions) {
    let id = format!("s-{}", instance_id());
    let mut one = process(broker, &["create", "--id", &id, "--hand-over"]);
    let two = sessions.join(&id).await.unwrap();
    let three = sessions.join(&id).await.unwrap();
    count(&two, 3).await;
    one.kill();
    for session in [&two, &three] {
        until(session, |event| {
            matches!(event, Event::CreatorChanged { .. })
        })
        .await;
    }
    let is_creator = |session: &Session| session.view().role == Some(Role::Creator);
    assert_ne!(is_creator(&two), is_creator(&three));
    count(&two, 2).await;
    two.leave().await;
    three.leave().await;
}

async fn the_list(sessions: &Sessions, case: &Case) {
    let one = sessions
        .create(Some("in the list"), room_for(3))
        .await
        .unwrap();
    one.start(0).await.unwrap();
    let list = sessions.list().await.unwrap();
    let in_time = tokio::time::timeout(LIMIT, async {
        let mut seen = Vec::new();
        let (mut version, _) = list.sessions();
        loop {
            seen.push(list.completeness());
            if list.completeness().is_final() {
                return seen;
            }
            (version, _) = list.changed(version).await.unwrap();
        }
    });
    let seen = in_time.await.expect("the list is not complete");
    let waits = seen.contains(&Completeness::Announcements);
    assert_eq!(waits, case.brings[0] == 0, "{seen:?}");
    let ids: Vec<String> = list
        .sessions()
        .1
        .into_iter()
        .map(|one| one.session_id)
        .collect();
    assert!(ids.contains(&"in the list".to_owned()), "{ids:?}");
    one.leave().await;
}

/// Whoever ends tidies up before.
async fn nothing_is_left(broker: &Broker, sessions: &Sessions) {
    let id = format!("s-{}", instance_id());
    let mut one = process(broker, &["create", "--id", &id]);
    let announced = sessions.observe(&id).await.unwrap();
    count(&announced, 1).await;
    let begun = Instant::now();
    one.signal(libc::SIGTERM);
    assert!(one.wait(LIMIT).unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(10));
    let mut link = Link::new(sessions.broker().clone(), format!("look-{id}"), None, 1).unwrap();
    while !matches!(link.next().await, LinkEvent::Connected) {}
    // One by one: not every broker brings what it has kept for wildcards.
    for topic in [
        format!("{id}/session_state"),
        format!("session_state/{id}"),
        format!("session_discovery/{id}"),
        format!("{id}/session_seed_sync"),
    ] {
        link.subscribe(topic).await.unwrap();
    }
    let heard = tokio::time::timeout(Duration::from_secs(1), async {
        loop {
            if let LinkEvent::Message { topic, payload, .. } = link.next().await
                && !payload.is_empty()
            {
                return topic;
            }
        }
    });
    assert_eq!(heard.await.ok(), None);
}

fn a_restart(broker: &mut Broker) {
    let (one, others) = block_on(async {
        let sessions = sessions(broker, Version::Auto);
        let one = sessions.create(None, room_for(4)).await.unwrap();
        let others = [
            sessions.join(one.id()).await.unwrap(),
            sessions.join(one.id()).await.unwrap(),
        ];
        count(&one, 3).await;
        (one, others)
    });
    broker.kill();
    broker.start_again();
    block_on(async {
        for session in others.iter().chain([&one]) {
            while !session.view().is_connected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        // Longer than any lease.
        tokio::time::sleep(Duration::from_secs(17)).await;
        for session in others.iter().chain([&one]) {
            count(session, 3).await;
            assert!(session.view().is_in);
        }
        for session in &others {
            session.leave().await;
        }
        one.leave().await;
    });
}
