//! Whoever watches learns of every change: where it is not known what has changed, it is told to look.

use distflow_core::JsonCrdt;
use distflow_core::crdt::document::{Event, Options};
use distflow_core::crdt::watch::Pattern;

fn document(replica: &str) -> JsonCrdt {
    let document = JsonCrdt::new(replica, "{}", Options::default()).unwrap();
    document.set_listening(true);
    document
}

/// Names and JSON of what is told.
fn told(document: &JsonCrdt) -> Vec<(&'static str, String)> {
    document.events().iter().map(Event::to_json).collect()
}

fn look_again(id: u64) -> (&'static str, String) {
    ("watch", format!(r#"{{"id":{id},"path":[],"local":false}}"#))
}

#[test]
pub fn after_a_merge_and_a_restore_every_watch_is_told_once() {
    let (a, b) = (document("A"), document("B"));
    b.set("/x", 1).unwrap();
    let first = a.watch(Pattern::parse("x").unwrap());
    let second = a.watch(Pattern::parse("y.*").unwrap());
    for is_merge in [true, false] {
        match is_merge {
            true => a.merge(b.snapshot()).unwrap(),
            false => a.restore(b.snapshot()).unwrap(),
        }
        let restore = ("restore", format!(r#"{{"merge":{is_merge}}}"#));
        assert_eq!(told(&a), [look_again(first), look_again(second), restore]);
    }
    assert!(a.unwatch(second));
    a.merge(b.snapshot()).unwrap();
    assert_eq!(told(&a).len(), 2);
}

#[test]
fn when_events_are_gone_every_watch_is_told_once() {
    let a = document("A");
    let id = a.watch(Pattern::parse("x").unwrap());
    let other = a.watch(Pattern::parse("never").unwrap());
    let keep = Options {
        log_ops_max: 100_000,
        ..Options::default()
    };
    let all = JsonCrdt::new("B", "{}", keep).unwrap();
    for at in 0..40_000 {
        all.set("/x", at).unwrap();
    }
    let (bytes, is_complete) = all.encode_since(&Default::default());
    assert!(is_complete);
    a.receive_batch(&bytes).unwrap();
    let events = told(&a);
    assert_eq!(events[0].0, "lost");
    assert_eq!(events[1..3], [look_again(id), look_again(other)]);
    let is_known = |event: &(&str, String)| event.0 != "watch" || event.1.contains("\"op\"");
    assert!(events[3..].iter().all(is_known));
    assert_eq!(told(&a), []);
}
