//! A connection that is made again whenever it breaks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::address::BrokerOptions;
use super::choice::{Choice, Verdict};
use super::library::{Connection, Publication, Said};
use super::refusal::Stage;
use super::silence::Topical;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LINK_HEARD_BYTES_MAX;

/// What happens on a link.
#[derive(Debug)]
pub enum LinkEvent {
    /// The connection is there, for the first time or again. The broker remembers nothing of it.
    Connected,
    /// It is not, for this reason. The link goes on trying unless [`LinkEvent::Refused`] follows.
    Disconnected(Error),
    /// The broker wants none: trying again is no use.
    Refused(Error),
    /// The broker does not let this client publish something, or subscribe to it: it has said so, or
    /// breaks the connection whenever it is tried.
    NotAllowed {
        /// What was tried.
        what: Topical,
        /// What the broker says.
        why: String,
    },
    /// A message of a topic that was subscribed to.
    Message {
        /// Its topic.
        topic: String,
        /// What it says.
        payload: Vec<u8>,
        /// Whether the broker had kept it.
        retained: bool,
    },
}

/// See the module. Dropped, it ends without a good-bye: the broker does its will.
pub struct Link {
    options: BrokerOptions,
    client_id: String,
    will_topic: Option<String>,
    connection: Option<(Connection, mpsc::Receiver<Said>)>,
    is_connected: bool,
    /// Since when.
    connected_at: Option<Instant>,
    /// What has come while something was being said.
    heard: VecDeque<Said>,
    heard_bytes: usize,
    attempts: u32,
    /// When the next connection is tried. Kept here, so that a wait that is given up is not begun anew.
    retry_at: Option<tokio::time::Instant>,
    /// What comes after the event that was last given.
    refused: Option<Error>,
    choice: Choice,
    /// What the broker has not acknowledged when it broke the last connections, and how many.
    suspect: Option<(Topical, u32)>,
    not_allowed: Option<Topical>,
    /// The end of a connection of which it is not yet clear what follows.
    judging: Option<(Error, Stage)>,
    /// Whether a broker has taken a connection, if only to break it.
    is_reached: bool,
    random: u64,
}

const BACKOFF_MS: u64 = 100;
const BACKOFF_MS_MAX: u64 = 5_000;
/// A connection that lasted so long was a good one.
const STABLE: Duration = Duration::from_secs(5);
/// How often a connection breaks after the same message before the message is held to be the reason.
const SUSPECT_TIMES: u32 = 3;

impl Link {
    /// A link that connects when it is first asked for an event. The will of each of its connections
    /// is to take away what is retained on a topic.
    ///
    /// Error: `invalid_argument`.
    pub fn new(
        options: BrokerOptions,
        client_id: String,
        will_topic: Option<String>,
        random: u64,
    ) -> Result<Self> {
        options.check()?;
        let version = options.version;
        Ok(Self {
            options,
            client_id,
            will_topic,
            connection: None,
            is_connected: false,
            connected_at: None,
            heard: VecDeque::new(),
            heard_bytes: 0,
            attempts: 0,
            retry_at: None,
            refused: None,
            choice: Choice::new(version),
            suspect: None,
            not_allowed: None,
            judging: None,
            is_reached: false,
            random: random | 1,
        })
    }

    /// The will of the next connection.
    pub fn set_will_topic(&mut self, will_topic: Option<String>) {
        self.will_topic = will_topic;
    }

    /// The next event. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> LinkEvent {
        if let Some(what) = self.not_allowed.take() {
            let why = "it breaks the connection".to_owned();
            return LinkEvent::NotAllowed { what, why };
        }
        if let Some(error) = self.refused.take() {
            return LinkEvent::Refused(error);
        }
        loop {
            if self.judging.is_some()
                && let Some(event) = self.judge().await
            {
                return event;
            }
            if self.connection.is_none() {
                if let Some(retry_at) = self.retry_at {
                    tokio::time::sleep_until(retry_at).await;
                    self.retry_at = None;
                }
                self.attempts = self.attempts.saturating_add(1);
                match Connection::open(
                    &self.options,
                    self.choice.spoken(),
                    &self.client_id,
                    self.will_topic.as_deref(),
                    Choice::patience(&self.options),
                ) {
                    Ok(connection) => self.connection = Some(connection),
                    Err(error) => return LinkEvent::Refused(error),
                }
            }
            let Some((_, hear)) = &mut self.connection else {
                continue;
            };
            let heard = match self.heard.pop_front() {
                Some(heard) => {
                    self.heard_bytes -= heard.bytes();
                    Some(heard)
                }
                None => hear.recv().await,
            };
            match heard {
                Some(Said::Connected) => {
                    self.is_connected = true;
                    self.is_reached = true;
                    self.choice.is_right();
                    self.connected_at = Some(Instant::now());
                    return LinkEvent::Connected;
                }
                Some(Said::Message {
                    topic,
                    payload,
                    retained,
                }) => {
                    return LinkEvent::Message {
                        topic,
                        payload,
                        retained,
                    };
                }
                Some(Said::NotAllowed { what, why }) => {
                    return LinkEvent::NotAllowed { what, why };
                }
                Some(Said::Ended { error, stage, owed }) => {
                    self.has_ended(error, stage, owed);
                }
                None => {
                    self.ended();
                    let text = "the connection to the broker has ended";
                    return LinkEvent::Disconnected(Error::new(ErrorKind::ConnectionFailed, text));
                }
            }
        }
    }

    /// A connection has ended: what follows is judged by [`Link::judge`].
    fn has_ended(&mut self, error: Error, stage: Stage, owed: Option<Topical>) {
        self.is_reached |= stage != Stage::Unreached;
        let is_soon = self
            .connected_at
            .is_some_and(|since| since.elapsed() < STABLE);
        if self.is_connected {
            self.suspect = match (owed.filter(|_| is_soon), self.suspect.take()) {
                (Some(owed), Some((known, times))) if owed == known => Some((owed, times + 1)),
                (owed, _) => owed.map(|owed| (owed, 1)),
            };
        }
        // There are brokers that refuse by breaking the connection.
        if self
            .suspect
            .as_ref()
            .is_some_and(|(_, times)| *times >= SUSPECT_TIMES)
        {
            self.not_allowed = self.suspect.take().map(|(what, _)| what);
        }
        self.ended();
        self.judging = Some((error, stage));
    }

    /// What follows from the end of a connection; nothing, if another version is to be tried.
    async fn judge(&mut self) -> Option<LinkEvent> {
        let (error, stage) = self.judging.clone()?;
        let (options, will_topic) = (&self.options, self.will_topic.as_deref());
        let verdict = self.choice.judge(stage, &error, options, will_topic).await;
        self.judging = None;
        match verdict {
            Verdict::Other => {
                self.attempts = self.attempts.saturating_sub(1);
                self.retry_at = None;
                return None;
            }
            Verdict::Refused(refusal) => self.refused = Some(refusal),
            Verdict::Again if error.kind() == ErrorKind::Refused => {
                self.refused = Some(error.clone());
            }
            Verdict::Again => {}
        }
        Some(LinkEvent::Disconnected(error))
    }

    /// The broker's URL, without secrets.
    pub fn url(&self) -> String {
        self.options.url()
    }

    /// Whether something on the broker's port has taken a connection, if only to break it.
    pub fn is_reached(&self) -> bool {
        self.is_reached
    }

    fn ended(&mut self) {
        self.is_connected = false;
        self.connection = None;
        self.heard.clear();
        self.heard_bytes = 0;
        // One that ends soon counts as one that failed: two of one id would evict each other for ever.
        let since = self.connected_at.take();
        if since.is_some_and(|since| since.elapsed() >= STABLE) {
            self.attempts = 0;
        }
        let wait = Duration::from_millis(self.backoff_ms());
        self.retry_at = Some(tokio::time::Instant::now() + wait);
    }

    /// 100 ms, and twice as long each time up to 5 s, less up to half of it, so that those who lost
    /// the same broker do not come back in step.
    fn backoff_ms(&mut self) -> u64 {
        if self.attempts == 0 {
            return 0;
        }
        let most_ms = (BACKOFF_MS << self.attempts.min(10)).min(BACKOFF_MS_MAX);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        most_ms - self.random % (most_ms / 2)
    }

    /// Whether messages can be sent now.
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Does something on the connection. Should that have to wait, what comes meanwhile is kept for
    /// [`Link::next`]: the library takes in nothing more while nobody hears it, and then sends nothing
    /// either.
    async fn say<'a, F>(&'a mut self, say: impl FnOnce(&'a Connection) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        let closed = || {
            Error::new(
                ErrorKind::ConnectionFailed,
                "there is no connection to the broker",
            )
        };
        let is_connected = self.is_connected;
        let Some((connection, hear)) = self.connection.as_mut().filter(|_| is_connected) else {
            return Err(closed());
        };
        let mut saying = std::pin::pin!(say(connection));
        loop {
            tokio::select! {
                biased;
                said = &mut saying => return said,
                heard = hear.recv() => match heard {
                    Some(heard) => {
                        self.heard_bytes += heard.bytes();
                        self.heard.push_back(heard);
                        if self.heard_bytes > LINK_HEARD_BYTES_MAX {
                            break;
                        }
                    }
                    None => return Err(closed()),
                },
            }
        }
        // What comes first when this is asked for an event is that it is over.
        let text = format!(
            "the broker sent {} MiB and acknowledged nothing",
            self.heard_bytes >> 20
        );
        let error = Error::new(ErrorKind::ConnectionFailed, text);
        self.heard = VecDeque::from([Said::Ended {
            error: error.clone(),
            stage: Stage::Answered,
            owed: None,
        }]);
        self.heard_bytes = 0;
        Err(error)
    }

    /// Subscribes with quality of service 1.
    ///
    /// Error: `connection_failed`, as for all of these.
    pub async fn subscribe(&mut self, filter: String) -> Result<()> {
        self.subscribe_with(filter, 1).await
    }

    /// Subscribes with a quality of service from 0 to 2.
    ///
    /// Error: `connection_failed`.
    pub async fn subscribe_with(&mut self, filter: String, qos: u8) -> Result<()> {
        self.say(|connection| connection.subscribe(filter, qos))
            .await
    }

    /// Ends a subscription.
    ///
    /// Error: `connection_failed`.
    pub async fn unsubscribe(&mut self, filter: String) -> Result<()> {
        self.say(|connection| connection.unsubscribe(filter)).await
    }

    /// Sends a message with a quality of service from 0 to 2.
    ///
    /// Error: `connection_failed`.
    pub async fn publish(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        retain: bool,
        qos: u8,
    ) -> Result<()> {
        self.send(Publication {
            topic,
            payload,
            retain,
            qos,
            expires_s: None,
        })
        .await
    }

    /// Sends a message.
    ///
    /// Error: `connection_failed`.
    pub async fn send(&mut self, publication: Publication) -> Result<()> {
        self.say(|connection| connection.publish(publication)).await
    }

    /// Says good-bye: what was published before is acknowledged by the broker, and no will is done.
    pub async fn close(mut self, within: Duration) {
        let Some((connection, mut hear)) = self.connection.take() else {
            return;
        };
        if !self.is_connected {
            return;
        }
        connection.disconnect(within).await;
        let rest = async { while hear.recv().await.is_some() {} };
        let _ = tokio::time::timeout(within + Duration::from_millis(500), rest).await;
    }
}
