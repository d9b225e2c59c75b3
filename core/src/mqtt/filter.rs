//! Topic filters, and who wants what they match (MQTT 3.1.1, 4.7).

use std::collections::BTreeMap;

/// Whether a filter matches a topic. `+` stands for one level, `#` for all that are left; neither for
/// a first level that begins with `$`.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether a text is a filter: wildcards stand for whole levels, and `#` comes last.
pub fn is_filter(filter: &str) -> bool {
    let count = filter.split('/').count();
    let is_level = |(at, level): (usize, &str)| match level {
        "+" => true,
        "#" => at + 1 == count,
        _ => !level.contains(['+', '#', '\0']),
    };
    (1..=65_535).contains(&filter.len()) && filter.split('/').enumerate().all(is_level)
}

/// Entries by filter, as a tree of levels: finding those of a topic costs what the topic is long, not
/// how many there are.
#[derive(Debug)]
pub struct Dispatcher<T> {
    root: Level<T>,
    next_id: u64,
}

#[derive(Debug)]
struct Level<T> {
    below: BTreeMap<String, Level<T>>,
    here: Vec<(u64, T)>,
}

impl<T> Default for Level<T> {
    fn default() -> Self {
        Self {
            below: BTreeMap::new(),
            here: Vec::new(),
        }
    }
}

impl<T> Default for Dispatcher<T> {
    fn default() -> Self {
        Self {
            root: Level::default(),
            next_id: 1,
        }
    }
}

impl<T> Dispatcher<T> {
    /// Adds an entry; its number is for [`Dispatcher::remove`]. `None` for what is no filter.
    pub fn add(&mut self, filter: &str, entry: T) -> Option<u64> {
        if !is_filter(filter) {
            return None;
        }
        let mut level = &mut self.root;
        for name in filter.split('/') {
            level = level.below.entry(name.to_owned()).or_default();
        }
        let id = self.next_id;
        self.next_id += 1;
        level.here.push((id, entry));
        Some(id)
    }

    /// Takes an entry away; `None` if there is none of this number.
    pub fn remove(&mut self, id: u64) -> Option<T> {
        self.root.remove(id)
    }

    /// The entries whose filters match a topic, in the order in which they were added.
    pub fn of(&self, topic: &str) -> Vec<&T> {
        let mut found = Vec::new();
        let levels: Vec<&str> = topic.split('/').collect();
        self.root.find(&levels, topic.starts_with('$'), &mut found);
        found.sort_by_key(|(id, _)| *id);
        found.into_iter().map(|(_, entry)| entry).collect()
    }
}

impl<T> Level<T> {
    fn find<'a>(&'a self, levels: &[&str], is_special: bool, found: &mut Vec<&'a (u64, T)>) {
        if !is_special && let Some(rest) = self.below.get("#") {
            found.extend(&rest.here);
        }
        let Some((first, rest)) = levels.split_first() else {
            found.extend(&self.here);
            return;
        };
        if !is_special && let Some(any) = self.below.get("+") {
            any.find(rest, false, found);
        }
        if let Some(level) = self.below.get(*first) {
            level.find(rest, false, found);
        }
    }

    fn remove(&mut self, id: u64) -> Option<T> {
        if let Some(at) = self.here.iter().position(|(known, _)| *known == id) {
            return Some(self.here.remove(at).1);
        }
        let mut removed = None;
        self.below.retain(|_, level| {
            if removed.is_none() {
                removed = level.remove(id);
            }
            !level.below.is_empty() || !level.here.is_empty()
        });
        removed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, is_match) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "a/b", true),
            ("+/+", "/b", true),
            ("+", "/b", false),
            ("#", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("+/x", "$SYS/x", false),
        ] {
            assert_eq!(matches(filter, topic), is_match, "{filter} {topic}");
        }
        for (filter, is_one) in [
            ("a/#/b", false),
            ("a+/b", false),
            ("", false),
            ("+/#", true),
        ] {
            assert_eq!(is_filter(filter), is_one, "{filter}");
        }
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_matches(
            filters in proptest::collection::vec("[ab+#]{1,2}(/[ab+#]){0,2}", 0..12),
            topic in "[ab$](/[ab]){0,3}",
            gone in 0..12_usize,
        ) {
            let mut dispatcher = Dispatcher::default();
            let mut ids = Vec::new();
            for filter in filters {
                if let Some(id) = dispatcher.add(&filter, filter.clone()) {
                    ids.push((id, filter));
                }
            }
            if gone < ids.len() {
                let (id, filter) = ids.remove(gone);
                prop_assert_eq!(dispatcher.remove(id), Some(filter));
                prop_assert_eq!(dispatcher.remove(id), None);
            }
            let expected: Vec<_> = ids.iter().map(|(_, filter)| filter).filter(|filter| matches(filter, &topic)).collect();
            prop_assert_eq!(dispatcher.of(&topic), expected);
        }
    }
}
