//! What a connection waits for: the broker's answers, and the library's sending.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

/// How long the broker owes an answer. The library itself asks only when nothing else is said, and
/// sessions always say something.
pub(super) struct Silence {
    since: Option<tokio::time::Instant>,
    patience: Duration,
}

impl Silence {
    pub fn new(patience: Duration) -> Self {
        Self {
            since: None,
            patience,
        }
    }

    /// Something was said that is answered.
    pub fn begin(&mut self) {
        self.since.get_or_insert_with(tokio::time::Instant::now);
    }

    pub fn end(&mut self) {
        self.since = None;
    }

    /// Waits until it has lasted too long.
    pub async fn is_too_long(&self) {
        match self.since {
            None => std::future::pending().await,
            Some(since) => tokio::time::sleep_until(since + self.patience).await,
        }
    }
}

/// How much of what was handed to the library it has sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub subscriptions: u64,
    pub publications: u64,
}

/// Keeps the order: the library has different queues for subscriptions and publications, and would
/// let one pass the other.
pub(super) struct Order {
    subscriptions: AtomicU64,
    publications: AtomicU64,
    sent: watch::Receiver<Count>,
}

impl Order {
    pub fn new(sent: watch::Receiver<Count>) -> Self {
        Self {
            subscriptions: AtomicU64::new(0),
            publications: AtomicU64::new(0),
            sent,
        }
    }

    pub fn subscribes(&self) {
        self.subscriptions.fetch_add(1, Ordering::SeqCst);
    }

    pub fn publishes(&self) {
        self.publications.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until every subscription was sent; what is published then comes back by them.
    pub async fn subscriptions(&self) {
        let wanted = self.subscriptions.load(Ordering::SeqCst);
        self.until(|sent| sent.subscriptions >= wanted).await;
    }

    /// Waits until every publication was sent.
    pub async fn publications(&self) {
        let wanted = self.publications.load(Ordering::SeqCst);
        self.until(|sent| sent.publications >= wanted).await;
    }

    async fn until(&self, is_so: impl Fn(&Count) -> bool) {
        // It fails when the connection has ended: nothing is sent any more then.
        let _ = self.sent.clone().wait_for(|sent| is_so(sent)).await;
    }
}

/// What was said on a topic, or subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topical {
    /// Whether it was to be published; otherwise it was subscribed to.
    pub is_publication: bool,
    /// The topic, or the filter.
    pub topic: String,
}

/// What the broker has still to acknowledge: of a refusal it names the number only, and some refuse by
/// breaking the connection.
#[derive(Debug, Default)]
pub(super) struct Owed(Mutex<Owing>);

#[derive(Debug, Default)]
struct Owing {
    /// Handed to the library, which numbers them in this order.
    subscriptions: VecDeque<String>,
    publications: VecDeque<String>,
    /// Sent, in this order.
    sent: BTreeMap<u64, (u16, Topical)>,
    next: u64,
}

/// Acknowledgements that are waited for: more than a broker may owe.
const OWED_MAX: usize = 65_536;

impl Owed {
    pub fn subscribes(&self, filter: &str) {
        self.0.lock().subscriptions.push_back(filter.to_owned());
    }

    /// Of quality of service 0 none is acknowledged.
    pub fn publishes(&self, topic: &str, qos: u8) {
        if qos > 0 {
            self.0.lock().publications.push_back(topic.to_owned());
        }
    }

    pub fn has_sent(&self, is_publication: bool, number: u16) {
        let mut owing = self.0.lock();
        let handed = match is_publication {
            true => owing.publications.pop_front(),
            false => owing.subscriptions.pop_front(),
        };
        if let Some(topic) = handed
            && owing.sent.len() < OWED_MAX
        {
            owing.next += 1;
            let (next, topical) = (
                owing.next,
                Topical {
                    is_publication,
                    topic,
                },
            );
            owing.sent.insert(next, (number, topical));
        }
    }

    /// The broker has acknowledged one; what it was.
    pub fn acknowledged(&self, is_publication: bool, number: u16) -> Option<Topical> {
        let mut owing = self.0.lock();
        let is_it = |(_, (sent, topical)): &(&u64, &(u16, Topical))| {
            *sent == number && topical.is_publication == is_publication
        };
        let at = *owing.sent.iter().find(is_it)?.0;
        owing.sent.remove(&at).map(|(_, topical)| topical)
    }

    /// The likely reason if the connection breaks: of what is not acknowledged, the first in other letters than
    /// those that every broker takes, or else the first.
    pub fn suspect(&self) -> Option<Topical> {
        let is_unusual = |topic: &str| {
            let is_usual = |c: char| c.is_ascii_alphanumeric() || "/-_%+#$".contains(c);
            !topic.chars().all(is_usual)
        };
        let owing = self.0.lock();
        let mut sent = owing.sent.values().map(|(_, sent)| sent);
        let first = sent.clone().next();
        sent.find(|sent| is_unusual(&sent.topic)).or(first).cloned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn what_is_owed_is_known_by_its_number() {
        let owed = Owed::default();
        owed.subscribes("a/+");
        owed.publishes("b", 1);
        owed.publishes("c", 0);
        owed.publishes("d", 1);
        owed.has_sent(false, 1);
        owed.has_sent(true, 2);
        owed.has_sent(true, 3);
        assert_eq!(owed.suspect().unwrap().topic, "a/+");
        assert_eq!(owed.acknowledged(false, 1).unwrap().topic, "a/+");
        assert_eq!(owed.acknowledged(false, 3), None);
        assert_eq!(owed.acknowledged(true, 3).unwrap().topic, "d");
        let first = owed.suspect().unwrap();
        assert!(first.is_publication && first.topic == "b");
        owed.publishes("player/Player 1", 1);
        owed.has_sent(true, 4);
        assert_eq!(owed.suspect().unwrap().topic, "player/Player 1");
    }
}
