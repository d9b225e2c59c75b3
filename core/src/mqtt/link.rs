//! A connection that is made again whenever it breaks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::address::BrokerOptions;
use super::library::{Connection, Publication, Said};
use crate::error::{Error, ErrorKind, Result};

/// What happens on a link.
#[derive(Debug)]
pub enum LinkEvent {
    /// The connection is there, for the first time or again. The broker remembers nothing of it.
    Connected,
    /// It is not, for this reason. The link goes on trying unless [`LinkEvent::Refused`] follows.
    Disconnected(Error),
    /// The broker wants none: trying again is no use.
    Refused(Error),
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
    attempts: u32,
    /// When the next connection is tried. Kept here, so that a wait that is given up is not begun anew.
    retry_at: Option<tokio::time::Instant>,
    /// What comes after the event that was last given.
    refused: Option<Error>,
    random: u64,
}

const BACKOFF_MS: u64 = 100;
const BACKOFF_MS_MAX: u64 = 5_000;
/// A connection that lasted so long was a good one.
const STABLE: Duration = Duration::from_secs(5);

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
        Ok(Self {
            options,
            client_id,
            will_topic,
            connection: None,
            is_connected: false,
            connected_at: None,
            heard: VecDeque::new(),
            attempts: 0,
            retry_at: None,
            refused: None,
            random: random | 1,
        })
    }

    /// The will of the next connection.
    pub fn set_will_topic(&mut self, will_topic: Option<String>) {
        self.will_topic = will_topic;
    }

    /// The next event. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> LinkEvent {
        if let Some(error) = self.refused.take() {
            return LinkEvent::Refused(error);
        }
        loop {
            if self.connection.is_none() {
                if let Some(retry_at) = self.retry_at {
                    tokio::time::sleep_until(retry_at).await;
                    self.retry_at = None;
                }
                self.attempts = self.attempts.saturating_add(1);
                match Connection::open(&self.options, &self.client_id, self.will_topic.as_deref()) {
                    Ok(connection) => self.connection = Some(connection),
                    Err(error) => return LinkEvent::Refused(error),
                }
            }
            let Some((_, hear)) = &mut self.connection else {
                continue;
            };
            let heard = match self.heard.pop_front() {
                Some(heard) => Some(heard),
                None => hear.recv().await,
            };
            match heard {
                Some(Said::Connected) => {
                    self.is_connected = true;
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
                Some(Said::Ended(error)) => {
                    self.ended();
                    if error.kind() == ErrorKind::Refused {
                        self.refused = Some(error.clone());
                    }
                    return LinkEvent::Disconnected(error);
                }
                None => {
                    self.ended();
                    let text = "the connection to the broker has ended";
                    return LinkEvent::Disconnected(Error::new(ErrorKind::ConnectionFailed, text));
                }
            }
        }
    }

    fn ended(&mut self) {
        self.is_connected = false;
        self.connection = None;
        self.heard.clear();
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
                    Some(heard) => self.heard.push_back(heard),
                    None => return Err(closed()),
                },
            }
        }
    }

    /// Subscribes with quality of service 1.
    ///
    /// Error: `connection_failed`, as for all of these.
    pub async fn subscribe(&mut self, filter: String) -> Result<()> {
        self.say(|connection| connection.subscribe(filter)).await
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
