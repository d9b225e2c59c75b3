//! Peers as mqtt-session.md describes the originals, on real brokers, in both roles: they see ours,
//! and ours see them. How they behave in every order of events, `core/tests/session/originals.rs` shows.

use std::collections::BTreeSet;
use std::time::Duration;

use distflow_core::mqtt::{BrokerOptions, Link, LinkEvent};
use distflow_core::session::seat::{Ending, Event};
use distflow_core::session::{Document, State, Vocabulary};
use distflow_core::sessions::{instance_id, moment};

use distflow_tests::LIMIT;

use crate::brokers::{Broker, Instance, OfBroker, block_on, block_on_for, on_both};
use crate::people::{count, create, join, room_for, shows, until};

on_both!(
    originals_join_ours,
    ours_join_sessions_of_originals,
    planned_peers_join_ours,
    a_game_of_an_original_is_left_alone,
    a_member_that_is_killed_is_taken_out_of_an_originals_session,
    an_original_that_chooses_last_learns_that_all_have,
    what_a_killed_original_left_behind_is_no_member,
    a_session_of_an_original_may_have_any_letters_in_its_id,
);

/// One of them: it takes whatever document arrives, and writes its own over it.
struct Original {
    id: String,
    session: String,
    vocabulary: Vocabulary,
    link: Link,
    document: Option<Document>,
}

impl Original {
    async fn start(broker: &Broker, session: &str, vocabulary: Vocabulary) -> Self {
        let id = instance_id();
        let options = BrokerOptions::parse(&broker.url()).unwrap();
        let mut link = Link::new(options, format!("original-{id}"), None, 1).unwrap();
        while !matches!(link.next().await, LinkEvent::Connected) {}
        let mut original = Self {
            id,
            session: session.to_owned(),
            vocabulary,
            link,
            document: None,
        };
        let topic = original.topic();
        original.link.subscribe(topic).await.unwrap();
        original
    }

    /// One that has created a session.
    async fn create(broker: &Broker, session: &str) -> Self {
        let mut original = Self::start(broker, session, Vocabulary::Running).await;
        original.show_presence().await;
        let local = moment().local;
        original.document = Some(Document {
            session_id: session.to_owned(),
            creator: original.id.clone(),
            model_name: "Original".to_owned(),
            state: Some(State::Open),
            members: vec![original.id.clone()],
            version: 1,
            last_heartbeat: Some(local),
            created_at: Some(local),
            last_updated: Some(local),
            players_min: 1,
            players_max: 4,
            writer: None,
        });
        original.publish().await;
        original
    }

    fn topic(&self) -> String {
        match self.vocabulary {
            Vocabulary::Planned => format!("session_state/{}", self.session),
            Vocabulary::Running => format!("{}/session_state", self.session),
        }
    }

    async fn show_presence(&mut self) {
        let presence = format!(
            r#"{{"clientId": "{}", "timestamp": "{}", "seed_synced": true, "game_start_subscribed": true}}"#,
            self.id,
            moment().local
        );
        let topic = format!("{}/session_instance_ready/{}", self.session, self.id);
        self.link
            .publish(topic, presence.into_bytes(), true, 1)
            .await
            .unwrap();
    }

    async fn announce(&mut self) {
        let announcement = format!(
            r#"{{"session_id": "{}", "clientId": "{}", "num_players_min": 1, "num_players_max": 4, "model_name": "Original", "timestamp": "{}"}}"#,
            self.session,
            self.id,
            moment().local
        );
        let topic = format!("session_discovery/{}", self.session);
        let payload = announcement.into_bytes();
        self.link.publish(topic, payload, true, 1).await.unwrap();
    }

    async fn publish(&mut self) {
        let document = self.document.as_mut().unwrap();
        // `to_dict` drops what it does not know.
        document.writer = None;
        let payload = document.write(self.vocabulary);
        self.link
            .publish(self.topic(), payload, true, 1)
            .await
            .unwrap();
    }

    /// Takes documents until one fulfils a condition.
    async fn sees(&mut self, is_it: impl Fn(&Document) -> bool) {
        let seeing = async {
            while !self.document.as_ref().is_some_and(&is_it) {
                if let LinkEvent::Message { payload, .. } = self.link.next().await
                    && !payload.is_empty()
                {
                    self.document = Some(Document::parse(&payload, 0).unwrap());
                }
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(30), seeing).await;
        assert!(in_time.is_ok(), "{:?}", self.document);
    }

    async fn join(&mut self) {
        self.sees(|document| document.state == Some(State::Open))
            .await;
        let me = self.id.clone();
        let document = self.document.as_mut().unwrap();
        document.members.push(me.clone());
        document.version += 1;
        self.publish().await;
        // Nobody has lost it, whoever wrote meanwhile.
        self.document = None;
        self.sees(|document| document.has(&me)).await;
    }

    /// Writes as its own what others have written, while something else goes on.
    async fn creates_while<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            tokio::select! {
                done = &mut other => return done,
                event = self.link.next() => {
                    if let LinkEvent::Message { payload, .. } = event {
                        self.document = Some(Document::parse(&payload, 0).unwrap());
                    }
                }
            }
        }
    }

    /// Opens the dialog in which players are chosen: its user has chosen one at once. Waits until as many
    /// are registered as there are members, or somebody says that all are.
    async fn choose(&mut self, player: &str, members: usize) {
        let (id, session) = (self.id.clone(), self.session.clone());
        let topic = |name: &str| format!("{session}/session_{name}");
        for filter in ["player_registration/+", "all_players_selected"] {
            self.link.subscribe(topic(filter)).await.unwrap();
        }
        let registration = format!(
            r#"{{"clientId": "{id}", "assigned_player_name": "{player}", "num_players_min": 1, "num_players_max": 4, "timestamp": "{}"}}"#,
            moment().local
        );
        let own = topic(&format!("player_registration/{player}"));
        (self.link)
            .publish(own, registration.into_bytes(), false, 1)
            .await
            .unwrap();
        let mut registered = BTreeSet::new();
        let choosing = async {
            while registered.len() < members {
                let LinkEvent::Message { topic, payload, .. } = self.link.next().await else {
                    continue;
                };
                if topic.ends_with("/session_all_players_selected") && !payload.is_empty() {
                    break;
                }
                if topic.contains("/session_player_registration/") && !payload.is_empty() {
                    registered.insert(topic);
                }
            }
        };
        let in_time = tokio::time::timeout(LIMIT, choosing).await;
        assert!(in_time.is_ok(), "{registered:?}");
    }

    /// Its dialog may begin to wait only now, and has dropped what was said before.
    async fn hears_again(&mut self, player: &str) {
        let registration = format!("/session_player_registration/{player}");
        let mut missing = vec![registration.as_str(), "/session_all_players_selected"];
        let hearing = async {
            while !missing.is_empty() {
                if let LinkEvent::Message { topic, payload, .. } = self.link.next().await
                    && !payload.is_empty()
                {
                    missing.retain(|end| !topic.ends_with(end));
                }
            }
        };
        let in_time = tokio::time::timeout(LIMIT, hearing).await;
        assert!(in_time.is_ok(), "not heard again: {missing:?}");
    }

    async fn leave(&mut self) {
        let me = self.id.clone();
        let document = self.document.as_mut().unwrap();
        document.members.retain(|member| *member != me);
        document.version += 1;
        self.publish().await;
        let ready = format!("{}/session_instance_ready/{me}", self.session);
        self.link.publish(ready, Vec::new(), true, 1).await.unwrap();
        let notice = format!(r#"{{"clientId": "{me}", "assigned_player_name": null}}"#);
        let topic = format!("{}/session_player_disconnect/{me}", self.session);
        self.link
            .publish(topic, notice.into_bytes(), false, 1)
            .await
            .unwrap();
    }
}

fn originals_join_ours(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(8)).await;
        let two = broker.sessions().join(one.id()).await.unwrap();
        let mut original = Original::start(broker, one.id(), Vocabulary::Running).await;
        original.show_presence().await;
        original.join().await;
        for session in [&one, &two] {
            count(session, 3).await;
        }
        original.sees(|document| document.members.len() == 3).await;
        original.leave().await;
        for session in [&one, &two] {
            count(session, 2).await;
        }
        one.close().await.unwrap();
        original.sees(Document::is_closed).await;
    });
}

fn planned_peers_join_ours(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(8)).await;
        // They have no presence: the document is all they write.
        let mut original = Original::start(broker, one.id(), Vocabulary::Planned).await;
        original.join().await;
        count(&one, 2).await;
        one.start(0).await.unwrap();
        original
            .sees(|document| document.state == Some(State::InProgress))
            .await;
    });
}

fn ours_join_sessions_of_originals(broker: &mut Broker) {
    block_on(async {
        let id = format!("s-{}", instance_id());
        let mut original = Original::create(broker, &id).await;
        let sessions = broker.sessions();
        let joining = async { tokio::join!(sessions.join(&id), sessions.join(&id)) };
        let (two, three) = original.creates_while(joining).await;
        let (two, three) = (two.unwrap(), three.unwrap());
        original.sees(|document| document.members.len() == 3).await;
        for session in [&two, &three] {
            count(session, 3).await;
        }
        three.leave().await;
        original.sees(|document| document.members.len() == 2).await;
        count(&two, 2).await;
        original.document.as_mut().unwrap().state = Some(State::Closed);
        original.document.as_mut().unwrap().version += 1;
        original.publish().await;
        until(&two, |event| *event == Event::Ended(Ending::Closed)).await;
    });
}

/// The creator's heartbeat ends with its dialog when the game starts; seed and announcement go on. For a
/// little longer than a heartbeat may stand still, or `GAME_S` seconds.
fn a_game_of_an_original_is_left_alone(broker: &mut Broker) {
    let given = std::env::var("GAME_S").ok();
    let game_s: u64 = given.map_or(27, |given| given.parse().unwrap());
    block_on_for(Duration::from_secs(game_s) + 10 * LIMIT, async {
        let id = format!("s-{}", instance_id());
        let mut original = Original::create(broker, &id).await;
        let sessions = broker.sessions();
        let joining = async { tokio::join!(sessions.join(&id), sessions.join(&id)) };
        let (one, two) = original.creates_while(joining).await;
        let ours = [one.unwrap(), two.unwrap()];
        original.sees(|document| document.members.len() == 3).await;
        let document = original.document.as_mut().unwrap();
        document.state = Some(State::InProgress);
        document.version += 1;
        original.publish().await;
        let started = Event::StateChanged(State::InProgress);
        for session in &ours {
            until(session, |event| *event == started).await;
        }
        for turn in 0..game_s / 3 {
            let instance = &original.id;
            let seed = format!(r#"{{"clientId": "{instance}", "seed": 7, "is_leader": true}}"#);
            let topic = format!("{id}/session_seed_sync");
            let seed = seed.into_bytes();
            original.link.publish(topic, seed, true, 1).await.unwrap();
            if turn % 2 == 0 {
                original.announce().await;
            }
            let pause = tokio::time::sleep(Duration::from_secs(3));
            original.creates_while(pause).await;
            // Nobody closes it, and nobody is taken out.
            let document = original.document.as_ref().unwrap();
            assert!(!document.is_closed(), "after {} s", 3 * turn);
            assert_eq!(document.members.len(), 3, "after {} s", 3 * turn);
        }
        for session in &ours {
            let view = session.view();
            assert!(view.is_in && view.ending.is_none() && view.is_connected);
            let document = view.document.unwrap();
            assert!(!document.is_closed() && document.is_original());
        }
        let kept = broker.retained(&id).await;
        assert!(kept.contains(&format!("{id}/session_state")), "{kept:?}");
        for session in &ours {
            session.leave().await;
        }
    });
}

/// An original creator takes nobody out.
fn a_member_that_is_killed_is_taken_out_of_an_originals_session(broker: &mut Broker) {
    block_on(async {
        let id = format!("s-{}", instance_id());
        let mut original = Original::create(broker, &id).await;
        let mut killed = Instance::start(broker, &["join", &id], &[]);
        let sessions = broker.sessions();
        let stays = original.creates_while(sessions.join(&id)).await.unwrap();
        let both = original.creates_while(count(&stays, 3));
        both.await;
        killed.child.kill();
        original.creates_while(count(&stays, 2)).await;
        original.sees(|document| document.members.len() == 2).await;
        let document = original.document.as_ref().unwrap();
        assert!(document.has(&original.id) && document.has(stays.instance()));
    });
}

/// Ours has registered before the original's dialog listens, which hears only what is said from then on.
fn an_original_that_chooses_last_learns_that_all_have(broker: &mut Broker) {
    block_on(async {
        // Of ours.
        let one = create(broker, room_for(4)).await;
        let mut original = Original::start(broker, one.id(), Vocabulary::Running).await;
        original.show_presence().await;
        original.join().await;
        count(&one, 2).await;
        one.register("Farmer").await.unwrap();
        until(&one, |event| matches!(event, Event::Registered { .. })).await;
        original.choose("Hunter", 2).await;
        until(&one, |event| *event == Event::AllPlayersSelected).await;
        original.hears_again("Farmer").await;

        // Of the original.
        let id = format!("s-{}", instance_id());
        let mut original = Original::create(broker, &id).await;
        let sessions = broker.sessions();
        let two = original.creates_while(sessions.join(&id)).await.unwrap();
        original.creates_while(count(&two, 2)).await;
        two.register("Farmer").await.unwrap();
        until(&two, |event| matches!(event, Event::Registered { .. })).await;
        original.choose("Hunter", 2).await;
        until(&two, |event| *event == Event::AllPlayersSelected).await;
        original.hears_again("Farmer").await;
    });
}

/// It has no will: what it said of itself stays on the broker, and somebody creates a session of this id.
fn what_a_killed_original_left_behind_is_no_member(broker: &mut Broker) {
    block_on(async {
        let id = format!("s-{}", instance_id());
        let mut ghost = Original::start(broker, &id, Vocabulary::Running).await;
        ghost.show_presence().await;
        ghost.link.close(Duration::ZERO).await;
        let kept = broker.retained(&id).await;
        assert_eq!(kept, [format!("{id}/session_instance_ready/{}", ghost.id)]);
        let sessions = broker.sessions();
        let one = sessions.create(Some(&id), room_for(4)).await.unwrap();
        let two = join(broker, &one).await;
        count(&one, 2).await;
        assert!(!one.view().members().contains(&ghost.id));
        let is_left = |kept: &[String]| kept.iter().any(|topic| topic.ends_with(&ghost.id));
        assert!(!is_left(&broker.retained(&id).await));
        // Whoever says it now is one.
        let mut alive = Original::start(broker, &id, Vocabulary::Running).await;
        alive.show_presence().await;
        alive.join().await;
        for session in [&one, &two] {
            count(session, 3).await;
        }
    });
}

/// Ours write ids in letters that every broker takes; originals write them as they are.
fn a_session_of_an_original_may_have_any_letters_in_its_id(broker: &mut Broker) {
    const ID: &str = "Game 1.a";
    block_on(async {
        let mut original = Original::create(broker, ID).await;
        let sessions = broker.sessions();
        let watching = sessions.observe(ID).await.unwrap();
        let list = sessions.list().await.unwrap();
        shows(&list, None, &["Original (1/1-4 instances (Ready))"]).await;
        assert_eq!(list.sessions().1[0].session_id, ID);
        count(&watching, 1).await;
        let member = original.creates_while(sessions.join(ID)).await.unwrap();
        assert_eq!(member.id(), ID);
        count(&watching, 2).await;
        // What is said in the session is seen under that spelling, too.
        member.publish("move", b"1".to_vec()).await.unwrap();
        until(
            &watching,
            |event| matches!(event, Event::Game { name, .. } if name == "move"),
        )
        .await;
        member.leave().await;
        count(&watching, 1).await;
    });
}
