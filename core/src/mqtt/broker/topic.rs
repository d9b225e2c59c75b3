//! Topics and filters as the broker takes them: of a bounded depth.

use crate::limits::BROKER_TOPIC_LEVELS_MAX;
use crate::mqtt::filter;

/// Whether a text is a topic that can be published to.
pub(super) fn is_topic(topic: &str) -> bool {
    (1..=65_535).contains(&topic.len()) && !topic.contains(['+', '#', '\0']) && is_shallow(topic)
}

/// Whether a text is a filter that can be subscribed to.
pub(super) fn is_filter(filter: &str) -> bool {
    is_shallow(filter) && filter::is_filter(filter)
}

fn is_shallow(topic: &str) -> bool {
    topic.split('/').nth(BROKER_TOPIC_LEVELS_MAX).is_none()
}

/// What a filter says before its first wildcard: every topic that it matches begins so.
pub(super) fn literal_start(filter: &str) -> &str {
    let end = filter.find(['+', '#']).unwrap_or(filter.len());
    let start = &filter[..end];
    // `a/#` matches `a`, too.
    if filter[end..].starts_with('#') {
        start.strip_suffix('/').unwrap_or(start)
    } else {
        start
    }
}

/// Whether everything that a filter matches is also matched by a wider one.
pub(super) fn covers(wider: &str, filter: &str) -> bool {
    if filter.starts_with('$') && wider.starts_with(['+', '#']) {
        return false;
    }
    let (mut wider, mut filter) = (wider.split('/'), filter.split('/'));
    loop {
        match (wider.next(), filter.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_filters_have_a_bounded_depth() {
        assert!(is_topic("a") && is_topic("/") && is_topic("$SYS/x") && is_topic("ü b/%"));
        assert!(!is_topic("") && !is_topic("a/+") && !is_topic("#") && !is_topic("a\0"));
        assert!(is_filter("#") && is_filter("+/a/#") && !is_filter("a+") && !is_filter("#/a"));
        let deepest = "/".repeat(BROKER_TOPIC_LEVELS_MAX - 1);
        assert!(is_topic(&deepest) && is_filter(&deepest));
        let deeper = "/".repeat(BROKER_TOPIC_LEVELS_MAX);
        assert!(!is_topic(&deeper) && !is_filter(&deeper));
    }

    #[test]
    fn the_start_of_a_filter_is_what_all_its_topics_begin_with() {
        for (filter, start) in [
            ("#", ""),
            ("+/a", ""),
            ("a/b", "a/b"),
            ("a/#", "a"),
            ("a/+/c", "a/"),
            ("a/b/#", "a/b"),
        ] {
            assert_eq!(literal_start(filter), start, "{filter}");
        }
    }

    #[test]
    fn a_wider_filter_covers_a_narrower_one() {
        for (wider, filter) in [
            ("#", "a/b"),
            ("#", "#"),
            ("a/#", "a"),
            ("a/#", "a/+/c"),
            ("a/+", "a/b"),
            ("a/+", "a/+"),
            ("a/+/#", "a/b/#"),
            ("$SYS/#", "$SYS/x"),
        ] {
            assert!(covers(wider, filter), "{wider} {filter}");
        }
        for (wider, filter) in [
            ("a/b", "a/+"),
            ("a/+", "a/#"),
            ("a/+", "#"),
            ("a/+", "a"),
            ("+/b", "#"),
            ("a/#", "b"),
            ("a/#", "+"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
        ] {
            assert!(!covers(wider, filter), "{wider} {filter}");
        }
    }
}
