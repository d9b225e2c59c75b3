//! Brokers that do less than they are asked for, and do not say so: something between the clients and
//! Mosquitto changes what clients ask for.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use distflow_core::mqtt::{BrokerOptions, Version};
use distflow_core::session::seat::Event;
use distflow_core::sessions::Sessions;
use distflow_tests::LIMIT;

use crate::brokers::{Broker, Kind, OfBroker, block_on};
use crate::people::{count, room_for, shows, until};

/// What the broker does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Less {
    /// Subscriptions get quality of service 0, whatever they ask for.
    Quality,
    /// Nothing is kept, neither messages nor wills.
    Retain,
}

/// A broker that does less, and how often it had to.
struct Changed {
    port: u16,
    changes: Arc<AtomicUsize>,
}

impl Changed {
    fn before(broker: &Broker, less: Less, version: Version) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = ("127.0.0.1", broker.port);
        let changes = Arc::new(AtomicUsize::new(0));
        let counts = changes.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(mut server) = TcpStream::connect(to) else {
                    continue;
                };
                let mut back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut back.0, &mut back.1);
                    let _ = back.1.shutdown(std::net::Shutdown::Both);
                });
                let (mut client, counts) = (client, counts.clone());
                std::thread::spawn(move || {
                    while let Some(mut packet) = read(&mut client) {
                        let count = packet.change(less, version == Version::V5);
                        counts.fetch_add(count, Ordering::SeqCst);
                        if server.write_all(&packet.bytes()).is_err() {
                            break;
                        }
                    }
                    let _ = server.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { port, changes }
    }

    fn sessions(&self, version: Version) -> Sessions {
        let url = format!("mqtt://127.0.0.1:{}", self.port);
        let mut options = BrokerOptions::parse(&url).unwrap();
        options.version = version;
        options.connect_timeout_ms = LIMIT.as_millis() as u64;
        Sessions::new(options).unwrap()
    }
}

struct Packet {
    first: u8,
    body: Vec<u8>,
}

fn read(stream: &mut TcpStream) -> Option<Packet> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let first = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 127) << shift;
        shift += 7;
        if byte[0] < 128 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Packet { first, body })
}

impl Packet {
    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.first];
        let mut left = self.body.len();
        loop {
            let more = if left > 127 { 128 } else { 0 };
            out.push((left % 128) as u8 | more);
            left /= 128;
            if left == 0 {
                break;
            }
        }
        out.extend(&self.body);
        out
    }

    /// How many places were changed.
    fn change(&mut self, less: Less, is_v5: bool) -> usize {
        match (less, self.first >> 4) {
            // The flag of a retained will, behind the protocol's name and level.
            (Less::Retain, 1) if self.body[7] & 0x20 != 0 => self.body[7] &= !0x20,
            (Less::Retain, 3) if self.first & 1 != 0 => self.first &= !1,
            (Less::Quality, 8) => return self.lower(is_v5),
            _ => return 0,
        }
        1
    }

    /// Asks for quality of service 0 with each filter.
    fn lower(&mut self, is_v5: bool) -> usize {
        let properties = if is_v5 {
            1 + usize::from(self.body[2])
        } else {
            0
        };
        assert!(!is_v5 || self.body[2] < 128);
        let (mut at, mut lowered) = (2 + properties, 0);
        while at + 2 < self.body.len() {
            at += 2 + usize::from(self.body[at]) * 256 + usize::from(self.body[at + 1]);
            lowered += usize::from(self.body[at] & 3 != 0);
            self.body[at] &= !3;
            at += 1;
        }
        lowered
    }
}

/// All that a session does is done there, too.
fn play(less: Less) {
    let broker = Broker::start(Kind::Mosquitto);
    for version in [Version::V311, Version::V5] {
        let changed = Changed::before(&broker, less, version);
        let sessions = changed.sessions(version);
        block_on(async {
            let one = sessions.create(None, room_for(3)).await.unwrap();
            let two = sessions.join(one.id()).await.unwrap();
            let watching = sessions.observe(one.id()).await.unwrap();
            count(&one, 2).await;
            count(&watching, 2).await;
            let list = sessions.list().await.unwrap();
            shows(&list, None, &["Forest (2/1-3 instances (Ready))"]).await;
            two.reserve("Farmer").await.unwrap();
            two.register("Farmer").await.unwrap();
            let registered = |event: &Event| matches!(event, Event::Registered { .. });
            until(&one, registered).await;
            one.start(0).await.unwrap();
            two.publish("move", b"1".to_vec()).await.unwrap();
            let moved = |event: &Event| matches!(event, Event::Game { name, .. } if name == "move");
            until(&one, moved).await;
            let kept = broker.retained(one.id()).await;
            assert_eq!(kept.is_empty(), less == Less::Retain, "{kept:?}");
            two.leave().await;
            count(&one, 1).await;
            one.leave().await;
        });
        assert!(changed.changes.load(Ordering::SeqCst) > 0);
    }
}

#[test]
fn sessions_work_where_subscriptions_get_less_than_they_ask_for() {
    play(Less::Quality);
}

#[test]
fn sessions_work_where_nothing_is_kept() {
    play(Less::Retain);
}
