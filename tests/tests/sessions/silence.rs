//! Links that say nothing, brokers that do not do what they say, and who goes all the same.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use distflow_core::error::ErrorKind;
use distflow_core::mqtt::{BrokerOptions, Link, LinkEvent, Version};
use distflow_core::session::seat::Event;
use distflow_core::sessions::Sessions;
use distflow_tests::{LIMIT, TempFolder, wait_until};

use crate::brokers::{Broker, Kind, OfBroker, block_on, on_both};
use crate::people::{count, create, room_for};

/// Stands between clients and a broker; what goes through can be stopped.
struct Wall {
    port: u16,
    /// Connections up to this number are deaf.
    deaf_up_to: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Wall {
    fn before(broker: &Broker) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wall = Self {
            port: listener.local_addr().unwrap().port(),
            deaf_up_to: Arc::default(),
            connections: Arc::default(),
        };
        let to = ("127.0.0.1", broker.port);
        let (deaf, count) = (wall.deaf_up_to.clone(), wall.connections.clone());
        // Ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(to) else {
                    continue;
                };
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                for (from, to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ] {
                    let deaf = deaf.clone();
                    std::thread::spawn(move || pass(from, to, number, &deaf));
                }
            }
        });
        wall
    }

    fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Nothing comes through the connections that there are.
    fn stop(&self) {
        let all = self.connections.load(Ordering::SeqCst);
        self.deaf_up_to.store(all, Ordering::SeqCst);
    }

    /// What was stopped comes through.
    fn go_on(&self) {
        self.deaf_up_to.store(0, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, number: usize, deaf: &AtomicUsize) {
    let mut bytes = [0; 4_096];
    while let Ok(len) = from.read(&mut bytes) {
        while len > 0 && number <= deaf.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if len == 0 || to.write_all(&bytes[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// Whoever has a link that went silent notices it, and is in again by another.
#[test]
fn a_silent_link_is_replaced() {
    let broker = Broker::start(Kind::Mosquitto);
    for version in [Version::V311, Version::V5] {
        let wall = Wall::before(&broker);
        block_on(async {
            let one = create(&broker, room_for(4)).await;
            let mut options = BrokerOptions::parse(&wall.url()).unwrap();
            options.version = version;
            options.connect_timeout_ms = LIMIT.as_millis() as u64;
            let two = Sessions::new(options)
                .unwrap()
                .join(one.id())
                .await
                .unwrap();
            count(&one, 2).await;
            wall.stop();
            let before = wall.connections.load(Ordering::SeqCst);
            let is_another = || wall.connections.load(Ordering::SeqCst) > before;
            assert!(wait_until(LIMIT, is_another));
            assert!(wait_until(LIMIT, || two.view().is_connected));
            count(&one, 2).await;
            count(&two, 2).await;
            assert!(two.view().is_in && two.view().ending.is_none());
            two.leave().await;
            one.leave().await;
        });
    }
}

/// A link that stands still for less than that costs nobody anything.
#[test]
fn a_link_that_stood_still_ends_nothing() {
    let broker = Broker::start(Kind::Mosquitto);
    let wall = Wall::before(&broker);
    block_on(async {
        let one = create(&broker, room_for(4)).await;
        let two = Sessions::new(BrokerOptions::parse(&wall.url()).unwrap()).unwrap();
        let two = two.join(one.id()).await.unwrap();
        count(&one, 2).await;
        one.take_events();
        wall.stop();
        tokio::time::sleep(Duration::from_secs(8)).await;
        wall.go_on();
        // The link may be given up just then, on a busy machine, and what it was given with it.
        let mut is_heard = false;
        while !is_heard {
            two.publish("still", b"here".to_vec()).await.unwrap();
            let heard =
                |event: &Event| matches!(event, Event::Game { name, .. } if name == "still");
            let waiting = crate::people::until(&one, heard);
            is_heard = tokio::time::timeout(Duration::from_secs(2), waiting)
                .await
                .is_ok();
        }
        assert_eq!(one.view().members().len(), 2);
        assert!(two.view().is_in && two.view().ending.is_none());
    });
}

on_both! {
    a_program_that_goes_on_calling_is_connected_again,
    what_is_published_comes_back_by_an_earlier_subscription,
    whoever_has_left_is_off_the_broker,
    a_session_that_is_over_lets_go_of_a_broker_that_is_gone,
}

/// The library behind a link has different queues for the two.
fn what_is_published_comes_back_by_an_earlier_subscription(broker: &mut Broker) {
    block_on(async {
        for version in [Version::V311, Version::V5] {
            let mut options = BrokerOptions::parse(&broker.url()).unwrap();
            options.version = version;
            for number in 0..20 {
                let name = format!("link-{number}");
                let mut link = Link::new(options.clone(), name.clone(), None, 1).unwrap();
                while !matches!(link.next().await, LinkEvent::Connected) {}
                link.subscribe(name.clone()).await.unwrap();
                link.publish(name.clone(), b"here".to_vec(), false, 1)
                    .await
                    .unwrap();
                let coming =
                    async { while !matches!(link.next().await, LinkEvent::Message { .. }) {} };
                let in_time = tokio::time::timeout(LIMIT, coming).await;
                assert!(in_time.is_ok(), "{name} hears nothing");
                link.close(Duration::from_secs(1)).await;
            }
        }
    });
}

/// When it has returned, not only soon.
fn whoever_has_left_is_off_the_broker(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(4)).await;
        for _ in 0..20 {
            let two = broker.sessions().join(one.id()).await.unwrap();
            let own = two.instance().to_owned();
            two.leave().await;
            let left = broker.retained(one.id()).await;
            assert!(!left.iter().any(|topic| topic.contains(&own)), "{left:?}");
        }
    });
}

/// It tries for a while to tidy up, and then ends with all that belongs to it.
fn a_session_that_is_over_lets_go_of_a_broker_that_is_gone(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(4)).await;
        let token = Arc::new(());
        let held = token.clone();
        one.on_event(move |_| drop(held.clone())).unwrap();
        one.close().await.unwrap();
        drop(one);
        broker.kill();
        assert!(wait_until(2 * LIMIT, || Arc::strong_count(&token) == 1));
    });
}

/// A broker that takes what it does not keep.
#[test]
fn creating_ends_on_a_broker_that_does_not_do_what_it_says() {
    let broker = Broker::configured(Kind::Mosquitto, |port, folder| {
        let file = folder.path().join("rules");
        std::fs::write(&file, "topic read #\n").unwrap();
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}",
            file.display()
        )
    });
    let mut options = BrokerOptions::parse(&broker.url()).unwrap();
    // MQTT 5 has a word for it, which is not waited for in vain.
    let limit_ms = LIMIT.as_millis() as u64;
    for (version, timeout_ms, kind, words) in [
        (Version::V311, 5_000, ErrorKind::Timeout, "did not begin"),
        (
            Version::Auto,
            limit_ms,
            ErrorKind::Refused,
            "does not let this client publish",
        ),
    ] {
        options.version = version;
        options.connect_timeout_ms = timeout_ms;
        block_on(async {
            let sessions = Sessions::new(options.clone()).unwrap();
            let error = sessions.create(None, room_for(2)).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(words), "{error}");
        });
    }
}

/// A broker that has changed its mind about a client.
#[test]
fn a_session_ends_when_the_broker_refuses_it_later() {
    let rules = |folder: &TempFolder, password: &str| {
        let made = std::process::Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(folder.path().join("passwords"))
            .args(["ann", password])
            .status();
        assert!(made.unwrap().success());
    };
    let mut broker = Broker::configured(Kind::Mosquitto, |port, folder| {
        rules(folder, "secret");
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}",
            folder.path().join("passwords").display()
        )
    });
    let url = format!("mqtt://ann:secret@127.0.0.1:{}", broker.port);
    block_on(async {
        let sessions = Sessions::new(BrokerOptions::parse(&url).unwrap()).unwrap();
        let one = sessions.create(None, room_for(2)).await.unwrap();
        broker.kill();
        rules(&broker.folder, "other");
        broker.start_again();
        let ended = |event: &Event| matches!(event, Event::Ended(_));
        crate::people::until(&one, ended).await;
        assert_eq!(one.next_event().await, None);
        assert!(one.view().ending.is_some() && !one.view().is_in);
    });
}

/// What it asks for meanwhile does not begin the wait for the next attempt anew.
fn a_program_that_goes_on_calling_is_connected_again(broker: &mut Broker) {
    block_on(async {
        let one = create(broker, room_for(4)).await;
        broker.kill();
        assert!(wait_until(LIMIT, || !one.view().is_connected));
        broker.start_again();
        let deadline = std::time::Instant::now() + LIMIT;
        while !one.view().is_connected {
            assert!(
                std::time::Instant::now() < deadline,
                "it is never connected again"
            );
            // Accepted or not.
            let _ = one.publish("move", b"1".to_vec()).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let seen = broker.sessions().observe(one.id()).await.unwrap();
        count(&seen, 1).await;
    });
}

/// It takes a connection, and reads, but acknowledges nothing; what it says has no end.
#[test]
fn a_broker_that_only_talks_is_let_go() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reads = stream.try_clone().unwrap();
            std::thread::spawn(move || {
                let mut writes = stream;
                let payload = vec![b'x'; 60_000];
                let mut publish = vec![0x30];
                let length = 3 + payload.len();
                publish.extend([
                    (length % 128) as u8 | 0x80,
                    (length / 128 % 128) as u8 | 0x80,
                ]);
                publish.extend([(length >> 14) as u8, 0, 1, b't']);
                publish.extend(payload);
                let _ = writes.write_all(&[0x20, 2, 0, 0]);
                while writes.write_all(&publish).is_ok() {}
            });
            std::thread::spawn(move || std::io::copy(&mut reads, &mut std::io::sink()));
        }
    });
    let mut options = BrokerOptions::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap();
    options.version = Version::V311;
    block_on(async {
        let mut link = Link::new(options, "one".to_owned(), None, 1).unwrap();
        assert!(matches!(link.next().await, LinkEvent::Connected));
        let failed = loop {
            // What is not acknowledged fills what may be under way, and then this waits.
            if let Err(error) = link.publish("t".to_owned(), b"1".to_vec(), false, 1).await {
                break error;
            }
        };
        assert!(
            failed.message().contains("acknowledged nothing"),
            "{failed}"
        );
        assert!(matches!(link.next().await, LinkEvent::Disconnected(_)));
        assert!(matches!(link.next().await, LinkEvent::Connected));
    });
}
