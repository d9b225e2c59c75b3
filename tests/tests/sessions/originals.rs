//! Peers as mqtt-session.md describes the originals, on real brokers, in both roles: they see ours,
//! and ours see them. How they behave in every order of events, `core/tests/session/originals.rs` shows.

use std::time::Duration;

use distflow_core::mqtt::{BrokerOptions, Link, LinkEvent};
use distflow_core::session::seat::{Ending, Event};
use distflow_core::session::{Document, State, Vocabulary};
use distflow_core::sessions::{instance_id, moment};

use crate::brokers::{Broker, OfBroker, block_on, on_both};
use crate::people::{count, create, room_for, shows, until};

on_both!(
    originals_join_ours,
    ours_join_sessions_of_originals,
    planned_peers_join_ours,
    a_game_of_an_original_is_left_alone,
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
        let (two, three) = {
            let joining = async { tokio::join!(sessions.join(&id), sessions.join(&id)) };
            tokio::pin!(joining);
            // The creator hears what the others write, and publishes that as its own.
            loop {
                tokio::select! {
                    (two, three) = &mut joining => break (two.unwrap(), three.unwrap()),
                    event = original.link.next() => {
                        if let LinkEvent::Message { payload, .. } = event {
                            original.document = Some(Document::parse(&payload, 0).unwrap());
                        }
                    }
                }
            }
        };
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

/// The creator's heartbeat ends with its dialog when the game starts; seed and announcement go on.
fn a_game_of_an_original_is_left_alone(broker: &mut Broker) {
    block_on(async {
        let id = format!("s-{}", instance_id());
        let mut original = Original::create(broker, &id).await;
        let ours = broker.sessions().join(&id).await.unwrap();
        original.sees(|document| document.members.len() == 2).await;
        let document = original.document.as_mut().unwrap();
        document.state = Some(State::InProgress);
        document.version += 1;
        original.publish().await;
        let started = Event::StateChanged(State::InProgress);
        until(&ours, |event| *event == started).await;
        // Longer than a heartbeat may stand still.
        for _ in 0..9 {
            let seed = format!(
                r#"{{"clientId": "{}", "seed": 7, "is_leader": true}}"#,
                original.id
            );
            let topic = format!("{id}/session_seed_sync");
            original
                .link
                .publish(topic, seed.into_bytes(), true, 1)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let view = ours.view();
        assert!(view.is_in && view.ending.is_none() && view.is_connected);
        let document = view.document.unwrap();
        assert!(!document.is_closed() && document.is_original());
        let kept = broker.retained(&id).await;
        assert!(kept.contains(&format!("{id}/session_state")), "{kept:?}");
        ours.leave().await;
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
        let member = {
            let joining = sessions.join(ID);
            tokio::pin!(joining);
            loop {
                tokio::select! {
                    member = &mut joining => break member.unwrap(),
                    event = original.link.next() => {
                        if let LinkEvent::Message { payload, .. } = event {
                            original.document = Some(Document::parse(&payload, 0).unwrap());
                        }
                    }
                }
            }
        };
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
