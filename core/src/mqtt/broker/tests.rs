//! The machine of the broker, told step by step, and the broker as a whole where it may fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod access;
mod machine;
mod store;
mod whole;

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::access::Access;
use super::packet::{
    Connect, Delivery, FromClient, Message, Reason, ToClient, Version, Wanted, WantedRetained, Will,
};
use super::state::{Output, Said, State};

/// A machine, and what it wanted done.
struct World {
    state: State,
    now_ms: u64,
    sent: HashMap<u64, VecDeque<ToClient>>,
    closed: HashMap<u64, Reason>,
    said: Vec<Said>,
    changed: Vec<String>,
    /// Whether bytes for clients are written at once.
    is_written: bool,
}

fn message(topic: &str, payload: &str) -> Message {
    Message {
        topic: topic.into(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        qos: 1,
        retain: false,
        expires_s: None,
        properties: None,
    }
}

fn retained(topic: &str, payload: &str) -> Message {
    Message {
        retain: true,
        ..message(topic, payload)
    }
}

fn connect(id: &str) -> Connect {
    Connect {
        version: Version::V5,
        client_id: id.into(),
        clean: true,
        keep_alive_s: 0,
        session_expiry_s: 0,
        receive_max: u16::MAX,
        packet_bytes_max: u32::MAX,
        will: None,
        user: None,
        password: None,
    }
}

fn wanted(filter: &str, qos: u8) -> Wanted {
    Wanted {
        filter: filter.into(),
        qos,
        no_local: false,
        as_published: false,
        retained: WantedRetained::Always,
    }
}

impl World {
    fn new() -> Self {
        Self::with(Access::default(), 100)
    }

    fn with(access: Access, clients_max: usize) -> Self {
        Self {
            state: State::new(access, clients_max, 1),
            now_ms: 1_000,
            sent: HashMap::new(),
            closed: HashMap::new(),
            said: Vec::new(),
            changed: Vec::new(),
            is_written: true,
        }
    }

    fn settle(&mut self) {
        while let Some(output) = self.state.pop_output() {
            match output {
                Output::Send(connection, packets) => {
                    self.sent.entry(connection).or_default().extend(packets);
                    if self.is_written {
                        self.state.unwritten(connection, 0, self.now_ms);
                    }
                }
                Output::Close(connection, reason) => {
                    self.closed.insert(connection, reason);
                }
                Output::Again(connection) => self.state.again(connection, self.now_ms),
                Output::Retained(topic) => self.changed.push(topic.to_string()),
                Output::Said(said) => self.said.push(said),
            }
        }
    }

    /// Connects, and returns what the client is told first.
    fn connect(&mut self, connection: u64, connect: Connect) -> ToClient {
        self.state.connect(connection, connect, self.now_ms);
        self.settle();
        self.next(connection)
    }

    /// Connects a client that is let in without an earlier session.
    fn enter(&mut self, connection: u64, id: &str) {
        let told = self.connect(connection, connect(id));
        assert!(
            matches!(
                told,
                ToClient::ConnAck {
                    reason: Reason::Success,
                    has_session: false,
                    ..
                }
            ),
            "{told:?}"
        );
    }

    fn say(&mut self, connection: u64, packet: FromClient) {
        self.state.packet(connection, packet, self.now_ms);
        self.settle();
    }

    fn publish(&mut self, connection: u64, message: Message) {
        let id = u16::from(message.qos > 0);
        self.say(connection, FromClient::Publish(message, id));
    }

    fn subscribe(&mut self, connection: u64, wanted: Vec<Wanted>) -> Vec<Result<u8, Reason>> {
        self.say(
            connection,
            FromClient::Subscribe {
                id: 7,
                wanted,
                subscription_id: None,
            },
        );
        match self.next(connection) {
            ToClient::SubAck(7, granted) => granted,
            told => panic!("{told:?}"),
        }
    }

    /// The connection is gone without a word.
    fn lose(&mut self, connection: u64) {
        self.state.closed(connection, self.now_ms);
        self.settle();
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(at_ms) = self.state.next_deadline_ms()
            && at_ms <= end
        {
            self.now_ms = self.now_ms.max(at_ms);
            self.state.tick(self.now_ms);
            self.settle();
        }
        self.now_ms = end;
    }

    fn next(&mut self, connection: u64) -> ToClient {
        self.told(connection).expect("nothing was told")
    }

    fn told(&mut self, connection: u64) -> Option<ToClient> {
        self.sent.get_mut(&connection)?.pop_front()
    }

    /// The messages that a client was told, acknowledged as it should.
    fn heard(&mut self, connection: u64) -> Vec<Delivery> {
        let mut heard = Vec::new();
        while let Some(told) = self.told(connection) {
            match told {
                ToClient::Publish(delivery) => {
                    match delivery.qos {
                        0 => {}
                        1 => self.say(connection, FromClient::PubAck(delivery.id)),
                        _ => self.say(
                            connection,
                            FromClient::PubRec {
                                id: delivery.id,
                                is_refused: false,
                            },
                        ),
                    }
                    heard.push(delivery);
                }
                ToClient::PubRel(id) => self.say(connection, FromClient::PubComp(id)),
                _ => {}
            }
        }
        heard
    }

    fn payloads(&mut self, connection: u64) -> Vec<String> {
        let text =
            |delivery: &Delivery| String::from_utf8(delivery.message.payload.to_vec()).unwrap();
        self.heard(connection).iter().map(text).collect()
    }
}
