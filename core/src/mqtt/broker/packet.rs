//! Packets in one shape for both versions of MQTT: what a client says, and what it is told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::v5::Properties;

/// Version of the protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V311,
    V5,
}

/// A message as it was published.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub topic: Arc<str>,
    pub payload: Bytes,
    pub qos: u8,
    pub retain: bool,
    /// Seconds after which nobody is told any more, counted from its publication.
    pub expires_s: Option<u32>,
    /// What MQTT 5 adds, handed on as it is.
    pub properties: Option<Box<Properties>>,
}

impl Message {
    /// Bytes that the message takes on the wire, about; what it costs in a queue.
    pub fn cost(&self) -> usize {
        let properties = self
            .properties
            .as_ref()
            .map_or(0, |properties| properties.cost());
        self.topic.len() + self.payload.len() + properties + 64
    }
}

/// A message that the broker publishes for a client whose connection breaks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Will {
    pub message: Message,
    pub delay_s: u32,
}

/// The first packet of a connection.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Connect {
    pub version: Version,
    /// The name the client has given itself; it may be empty.
    pub client_id: String,
    /// Whether an earlier session of that name is to be forgotten.
    pub clean: bool,
    pub keep_alive_s: u16,
    /// Seconds for which the session outlives its connection.
    pub session_expiry_s: u32,
    pub receive_max: u16,
    pub packet_bytes_max: u32,
    pub will: Option<Will>,
    pub user: Option<String>,
    pub password: Option<Bytes>,
}

impl Connect {
    /// Silence after which the connection counts as broken: one and a half times what was agreed.
    pub fn patience(&self) -> Option<Duration> {
        (self.keep_alive_s > 0).then(|| Duration::from_millis(u64::from(self.keep_alive_s) * 1_500))
    }
}

/// A filter that a client wants to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub filter: String,
    pub qos: u8,
    /// Without what the client itself publishes.
    pub no_local: bool,
    /// Live messages keep their mark of being retained.
    pub as_published: bool,
    pub retained: WantedRetained,
}

/// When a subscription brings what is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WantedRetained {
    Always,
    IfNew,
    Never,
}

/// A packet of a client after its first.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FromClient {
    Connect(Box<Connect>),
    /// A message, with its number unless its quality of service is 0.
    Publish(Message, u16),
    PubAck(u16),
    /// Reception of a message of quality of service 2, or its refusal.
    PubRec {
        id: u16,
        is_refused: bool,
    },
    PubRel(u16),
    PubComp(u16),
    Subscribe {
        id: u16,
        wanted: Vec<Wanted>,
        subscription_id: Option<usize>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect {
        with_will: bool,
        session_expiry_s: Option<u32>,
    },
}

/// A packet for a client.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ToClient {
    ConnAck {
        reason: Reason,
        has_session: bool,
        /// The name that the broker has given to a client without one.
        given_id: Option<String>,
    },
    Publish(Delivery),
    PubAck(u16, Reason),
    PubRec(u16, Reason),
    PubRel(u16),
    PubComp(u16),
    SubAck(u16, Vec<Result<u8, Reason>>),
    UnsubAck(u16, Vec<Reason>),
    Pong,
    /// The end of the connection. MQTT 3.1.1 has no such packet from a broker.
    Disconnect(Reason),
}

/// A message on its way to one client.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Delivery {
    pub message: Arc<Message>,
    /// Number of the packet; 0 with quality of service 0.
    pub id: u16,
    pub qos: u8,
    pub retain: bool,
    pub is_repeated: bool,
    pub subscription_ids: Vec<usize>,
    /// Seconds that are left of the message's life.
    pub expires_s: Option<u32>,
}

/// Why something was refused or ended; [`Reason::Success`] where it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Success,
    NoSubscription,
    Malformed,
    Protocol,
    Version,
    ClientId,
    BadCredentials,
    NotAuthorized,
    ServerBusy,
    ShuttingDown,
    KeepAlive,
    TakenOver,
    FilterInvalid,
    TopicInvalid,
    TopicAlias,
    TooLarge,
    Quota,
    SharedSubscriptions,
}

impl Reason {
    /// What a log says.
    pub fn text(self) -> &'static str {
        match self {
            Reason::Success => "it said good-bye",
            Reason::NoSubscription => "it has no such subscription",
            Reason::Malformed => "it sent what is no packet of MQTT",
            Reason::Protocol => "it sent a packet that may not come there",
            Reason::Version => "it speaks a version of MQTT other than 3.1.1 and 5",
            Reason::ClientId => {
                "its client id is too long, or missing in a session that is to be kept"
            }
            Reason::BadCredentials => "user name or password is wrong or missing",
            Reason::NotAuthorized => "the rules do not allow it",
            Reason::ServerBusy => "there are as many clients as the broker takes",
            Reason::ShuttingDown => "the broker ends",
            Reason::KeepAlive => "it was silent for longer than it had announced",
            Reason::TakenOver => "another connection has its client id",
            Reason::FilterInvalid => "a filter is none, or too deep",
            Reason::TopicInvalid => "a topic is none, or too deep",
            Reason::TopicAlias => "it used a number for a topic, which the broker does not take",
            Reason::TooLarge => "it sent a packet that is too large",
            Reason::Quota => "a limit of the broker is reached",
            Reason::SharedSubscriptions => "the broker has no shared subscriptions",
        }
    }
}
