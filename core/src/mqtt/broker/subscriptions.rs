//! Who has subscribed to what, as a tree of levels: finding the subscribers of a topic costs what the topic
//! is long, not how many there are.

use std::collections::{BTreeMap, HashMap};

/// One subscription of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscription {
    pub qos: u8,
    pub no_local: bool,
    pub as_published: bool,
    pub id: Option<usize>,
}

/// The subscriptions of all clients, which are known by numbers of the broker's making.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    root: Level,
}

#[derive(Debug, Default)]
struct Level {
    below: HashMap<Box<str>, Level>,
    here: BTreeMap<u64, Subscription>,
}

impl Subscriptions {
    /// Adds a subscription, or replaces that of the same client and filter. Returns whether it is new.
    pub fn add(&mut self, filter: &str, client: u64, subscription: Subscription) -> bool {
        let mut level = &mut self.root;
        for name in filter.split('/') {
            level = level.below.entry(name.into()).or_default();
        }
        level.here.insert(client, subscription).is_none()
    }

    /// Takes a subscription away, and the levels that nobody needs then.
    pub fn remove(&mut self, filter: &str, client: u64) {
        let levels: Vec<&str> = filter.split('/').collect();
        self.root.remove(&levels, client);
    }

    /// The clients that hear a topic, with their subscriptions, in the order of their numbers.
    pub fn of(&self, topic: &str) -> BTreeMap<u64, Vec<Subscription>> {
        let mut found = BTreeMap::new();
        let levels: Vec<&str> = topic.split('/').collect();
        self.root.find(&levels, topic.starts_with('$'), &mut found);
        found
    }
}

impl Level {
    fn is_empty(&self) -> bool {
        self.below.is_empty() && self.here.is_empty()
    }

    fn remove(&mut self, levels: &[&str], client: u64) {
        let Some((first, rest)) = levels.split_first() else {
            self.here.remove(&client);
            return;
        };
        if let Some(below) = self.below.get_mut(*first) {
            below.remove(rest, client);
            if below.is_empty() {
                self.below.remove(*first);
                if self.below.len() * 4 < self.below.capacity() {
                    self.below.shrink_to_fit();
                }
            }
        }
    }

    fn tell(&self, found: &mut BTreeMap<u64, Vec<Subscription>>) {
        for (client, subscription) in &self.here {
            found.entry(*client).or_default().push(*subscription);
        }
    }

    fn find(
        &self,
        levels: &[&str],
        is_of_the_broker: bool,
        found: &mut BTreeMap<u64, Vec<Subscription>>,
    ) {
        if !is_of_the_broker && let Some(all) = self.below.get("#") {
            all.tell(found);
        }
        let Some((first, rest)) = levels.split_first() else {
            self.tell(found);
            return;
        };
        if let Some(below) = self.below.get(*first) {
            below.find(rest, false, found);
        }
        if !is_of_the_broker && let Some(below) = self.below.get("+") {
            below.find(rest, false, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::matches;

    const PLAIN: Subscription = Subscription {
        qos: 0,
        no_local: false,
        as_published: false,
        id: None,
    };

    #[test]
    fn the_tree_finds_what_filters_match() {
        let filters = [
            "#", "+", "a", "a/#", "a/+", "a/b", "+/b", "+/+/#", "/", "/+", "a/", "$SYS/#",
            "$SYS/+", "a//b",
        ];
        let mut tree = Subscriptions::default();
        for (number, filter) in filters.iter().enumerate() {
            assert!(tree.add(filter, number as u64, PLAIN));
            assert!(!tree.add(filter, number as u64, PLAIN));
        }
        for topic in [
            "a", "b", "a/b", "a/b/c", "/", "/a", "a/", "a//b", "$SYS", "$SYS/x", "x/b",
        ] {
            let found: Vec<u64> = tree.of(topic).into_keys().collect();
            let wanted = (0..)
                .zip(filters)
                .filter(|(_, filter)| matches(filter, topic));
            let wanted: Vec<u64> = wanted.map(|(number, _)| number).collect();
            assert_eq!(found, wanted, "{topic}");
        }
        for (number, filter) in filters.iter().enumerate() {
            tree.remove(filter, number as u64);
        }
        assert!(tree.root.is_empty());
    }
}
