//! What a seat tells and wants.

use crate::error::Error;
use crate::session::document::State;
use crate::session::message::StartKind;

/// What is to be done with the broker, in order. Almost everything is of quality of service 1: no message
/// of a session may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Subscribe to what a filter matches.
    Subscribe(String),
    /// Subscribe with quality of service 0: everything that matches is said again, and brokers that
    /// limit what waits for acknowledgements bring more of what they have kept.
    SubscribeLoosely(String),
    /// Unsubscribe from it.
    Unsubscribe(String),
    /// Publish a message.
    Publish {
        /// Its topic.
        topic: String,
        /// Empty to take a retained message away.
        payload: Vec<u8>,
        /// Whether the broker keeps it.
        retain: bool,
        /// Seconds after which it is worth nothing, for brokers of MQTT 5 to drop it.
        expires_s: Option<u32>,
    },
}

/// Why somebody can't join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no room.
    Full,
    /// The game runs, or is about to.
    Started,
    /// It has ended.
    Closed,
    /// Nobody has published a session of this id.
    Unknown,
    /// Its creator is silent.
    NoAnswer,
    /// Its creator has the id of this instance.
    SameId,
}

impl Refusal {
    /// The reason for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Full => "the session is full",
            Self::Started => "the session has started",
            Self::Closed => "the session is closed",
            Self::Unknown => "there is no session of this id on the broker",
            Self::NoAnswer => "the session's creator does not answer",
            Self::SameId => "the session's creator has the same instance id",
        }
    }

    /// The reason for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Started => "started",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
            Self::NoAnswer => "no_answer",
            Self::SameId => "same_id",
        }
    }
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Its creator closed it.
    Closed,
    /// Its creator was silent for too long, and nobody was to continue it.
    CreatorLost,
    /// This instance left it.
    Left,
    /// This instance was away for so long that its place went to somebody else.
    Removed,
}

impl Ending {
    /// For people, as the originals say it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Closed => "The session has been closed.",
            Self::CreatorLost => {
                "The session creator has disconnected. The session has been closed."
            }
            Self::Left => "The session was left.",
            Self::Removed => {
                "This instance was away for too long, and is no longer in the session."
            }
        }
    }

    /// For programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::CreatorLost => "creator_lost",
            Self::Left => "left",
            Self::Removed => "removed",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The session is there: its document was read back from the broker.
    Created,
    /// This instance is a member: it was read in the creator's document.
    Joined,
    /// It can't be one. The seat has ended.
    Refused(Refusal),
    /// The session can't be created. The seat has ended.
    Failed(Error),
    /// Another instance is in.
    MemberJoined(String),
    /// Another instance is no longer in.
    MemberLeft(String),
    /// The session goes on in its life.
    StateChanged(State),
    /// Seconds until the start.
    Countdown(u32),
    /// The countdown was stopped: somebody left.
    CountdownStopped,
    /// The creator has started the game.
    GameStarted {
        /// Who started it.
        by: String,
        /// How it came about.
        kind: StartKind,
    },
    /// Another instance continues the session.
    CreatorChanged {
        /// Who.
        creator: String,
        /// How many creators there were before it.
        term: u64,
    },
    /// The seed is known, or another.
    SeedChanged(u32),
    /// The creator confirmed whose the player is; in a session of the originals, somebody said so.
    Reserved {
        /// The player's name.
        player: String,
        /// The instance that has it.
        instance: String,
    },
    /// Nobody has the player reserved any more.
    Released {
        /// The player's name.
        player: String,
    },
    /// An instance says that it plays a player.
    Registered {
        /// The player's name.
        player: String,
        /// The instance that has it.
        instance: String,
    },
    /// As many players are registered as are needed.
    AllPlayersSelected,
    /// The game said something.
    Game {
        /// Behind `game_` in the topic.
        name: String,
        /// What it said.
        payload: Vec<u8>,
    },
    /// The broker does not let this instance publish something, or subscribe to it.
    NotAllowed {
        /// Whether it was to be published; otherwise it was subscribed to.
        is_publication: bool,
        /// The topic, or the filter.
        topic: String,
        /// What the broker says.
        why: String,
    },
    /// The last event: the session is over for this instance, and this seat ends as soon as it has
    /// tidied up.
    Ended(Ending),
}

impl Event {
    /// Whether nothing comes after it.
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Refused(_) | Self::Failed(_))
    }
}
