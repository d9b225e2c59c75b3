//! What is retained: the last message of each topic that was published so.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::packet::Message;
use super::topic;
use crate::limits::{BROKER_RETAINED_BYTES_MAX, BROKER_RETAINED_MAX};
use crate::mqtt::filter::matches;

/// A retained message.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub message: Arc<Message>,
    /// When nobody is told any more.
    pub expires_at_ms: Option<u64>,
    /// Counts what was retained, on all topics.
    revision: u64,
}

/// The retained messages of a broker, in the order of their topics.
#[derive(Debug, Default)]
pub(super) struct Retained {
    topics: BTreeMap<Arc<str>, Kept>,
    bytes: usize,
    revision: u64,
}

/// What a subscription has still to hear of what was retained when it began.
///
/// Messages are not copied into a queue: however many there are, each is looked up when its turn comes.
#[derive(Debug)]
pub(super) struct Cursor {
    filter: Arc<str>,
    pub qos: u8,
    pub subscription_id: Option<usize>,
    /// What is newer was heard when it was published.
    revision: u64,
    after: Option<Arc<str>>,
}

/// The next step of a cursor.
#[derive(Debug)]
pub(super) enum Step {
    Message(Kept),
    /// So many were looked at that it is the others' turn.
    Later,
    End,
}

impl Cursor {
    /// Whether it is for a filter.
    pub fn is_of(&self, filter: &str) -> bool {
        &*self.filter == filter
    }
}

impl Retained {
    /// Retains a message instead of its topic's last one. Returns whether there was room.
    pub fn set(&mut self, message: Arc<Message>, expires_at_ms: Option<u64>) -> bool {
        let cost = message.cost();
        let before = self.topics.get(&message.topic);
        let freed = before.map_or(0, |kept| kept.message.cost());
        let is_new = before.is_none();
        if is_new && self.topics.len() >= BROKER_RETAINED_MAX
            || self.bytes - freed + cost > BROKER_RETAINED_BYTES_MAX
        {
            return false;
        }
        self.bytes = self.bytes - freed + cost;
        self.revision += 1;
        let kept = Kept {
            expires_at_ms,
            revision: self.revision,
            message: message.clone(),
        };
        self.topics.insert(message.topic.clone(), kept);
        true
    }

    /// Forgets what is retained on a topic. Returns whether there was something.
    pub fn remove(&mut self, topic: &str) -> bool {
        let removed = self.topics.remove(topic);
        if let Some(kept) = &removed {
            self.bytes -= kept.message.cost();
        }
        removed.is_some()
    }

    /// Forgets what nobody is told any more, and returns its topics.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Arc<str>> {
        let is_over = |kept: &&Kept| kept.expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let over = self.topics.values().filter(is_over);
        let over: Vec<Arc<str>> = over.map(|kept| kept.message.topic.clone()).collect();
        for topic in &over {
            self.remove(topic);
        }
        over
    }

    /// Whether anything will be forgotten by itself.
    pub fn expires(&self) -> bool {
        self.topics
            .values()
            .any(|kept| kept.expires_at_ms.is_some())
    }

    /// The message retained on a topic.
    pub fn get(&self, topic: &str) -> Option<&Kept> {
        self.topics.get(topic)
    }

    /// Everything, in the order of topics.
    pub fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.topics.values()
    }

    /// Bytes of all of it, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Begins to tell a new subscription what is retained.
    pub fn cursor(&self, filter: Arc<str>, qos: u8, subscription_id: Option<usize>) -> Cursor {
        Cursor {
            filter,
            qos,
            subscription_id,
            revision: self.revision,
            after: None,
        }
    }

    /// The next message for a subscription. `turn` counts down what is looked at.
    pub fn next(&self, cursor: &mut Cursor, turn: &mut usize, now_ms: u64) -> Step {
        let start = topic::literal_start(&cursor.filter);
        let from = match &cursor.after {
            Some(after) => Bound::Excluded(&**after),
            None => Bound::Included(start),
        };
        for (topic, kept) in self.topics.range::<str, _>((from, Bound::Unbounded)) {
            if !topic.starts_with(start) {
                return Step::End;
            }
            if crate::plant::active("retained_cut") && topic.ends_with("/100") {
                return Step::End;
            }
            if *turn == 0 {
                return Step::Later;
            }
            *turn -= 1;
            cursor.after = Some(topic.clone());
            let is_over = kept.expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms);
            if kept.revision <= cursor.revision && !is_over && matches(&cursor.filter, topic) {
                return Step::Message(kept.clone());
            }
        }
        Step::End
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use bytes::Bytes;

    use super::*;

    fn message(topic: &str) -> Arc<Message> {
        Arc::new(Message {
            topic: topic.into(),
            payload: Bytes::from_static(b"x"),
            qos: 1,
            retain: true,
            expires_s: None,
            properties: None,
        })
    }

    fn all(retained: &Retained, cursor: &mut Cursor) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            match retained.next(cursor, &mut 3, 0) {
                Step::Message(kept) => found.push(kept.message.topic.to_string()),
                Step::Later => {}
                Step::End => return found,
            }
        }
    }

    #[test]
    fn a_subscription_hears_all_that_was_retained_when_it_began() {
        let mut retained = Retained::default();
        let topics = ["a", "a/b", "a/b/c", "a0", "a-", "b/c", "$SYS/x", "ü"];
        for topic in topics {
            assert!(retained.set(message(topic), None));
        }
        for filter in ["#", "a", "a/#", "a/+", "+/c", "+", "$SYS/#", "b/#", "x/#"] {
            let mut wanted: Vec<&str> = topics.to_vec();
            wanted.retain(|topic| matches(filter, topic));
            wanted.sort_unstable();
            let mut cursor = retained.cursor(filter.into(), 1, None);
            assert_eq!(all(&retained, &mut cursor), wanted, "{filter}");
        }
        // What changes meanwhile comes as a live message.
        let mut cursor = retained.cursor("+".into(), 1, None);
        retained.set(message("a"), None);
        retained.set(message("c"), None);
        retained.remove("a-");
        assert_eq!(all(&retained, &mut cursor), ["a0", "ü"]);
    }

    #[test]
    fn what_is_forgotten_counts_no_more() {
        let mut retained = Retained::default();
        for _ in 0..3 {
            assert!(retained.set(message("a"), Some(5)));
        }
        assert_eq!(
            (retained.topics.len(), retained.bytes),
            (1, message("a").cost())
        );
        let mut cursor = retained.cursor("#".into(), 0, None);
        assert!(matches!(retained.next(&mut cursor, &mut 9, 5), Step::End));
        assert!(retained.expires() && retained.expire(4).is_empty());
        assert_eq!(retained.expire(5), ["a".into()]);
        assert!(!retained.expires());
        assert_eq!((retained.topics.len(), retained.bytes), (0, 0));
        assert!(!retained.remove("a"));
        for number in 0..BROKER_RETAINED_MAX {
            assert!(retained.set(message(&number.to_string()), None));
        }
        assert!(!retained.set(message("one more"), None));
        assert!(retained.set(message("7"), None));
    }
}
