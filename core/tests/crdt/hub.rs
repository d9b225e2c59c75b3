//! A document of which one member stays and others begin anew all the time: what their lives cost, and what is
//! told of those that go on after their end.

use distflow_core::ErrorKind;
use distflow_core::crdt::document::{Document, Event, Listening, Options, Received};
use distflow_core::crdt::op::Op;
use distflow_core::crdt::value::Value;

use crate::lives::{NAMES, START_MS};

fn source_of(op: &Op) -> String {
    op.src.to_string()
}

/// A document of which one member stays and one begins anew all the time, each life with one write.
struct Hub {
    hub: Document,
    snapshot: Vec<u8>,
    now_ms: u64,
    lives: u64,
}

const HOUR_MS: u64 = 3_600_000;

/// What one life costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Cost {
    text: usize,
    clock: usize,
    snapshot: usize,
    names: usize,
}

impl Hub {
    fn new() -> Self {
        let options = Options {
            log_ops_max: 20,
            ..Options::default()
        };
        let mut hub = Document::new("hub", Value::object(), options).unwrap();
        hub.begin_source(1 << 40);
        hub.set_members(Some(&["hub", "bob"]));
        Self {
            snapshot: hub.snapshot(),
            hub,
            now_ms: START_MS,
            lives: 0,
        }
    }

    /// A life of ten minutes: it takes a snapshot, writes, and ends.
    fn live(&mut self) -> Cost {
        self.now_ms += HOUR_MS / 6;
        self.lives += 1;
        let mut bob = Document::new("bob", Value::object(), Options::default()).unwrap();
        bob.begin_source(self.lives);
        bob.set_members(Some(&["hub", "bob"]));
        let difference = self.hub.since(&bob.clock());
        match difference.is_complete {
            true => difference
                .ops
                .into_iter()
                .for_each(|op| drop(bob.receive(op, self.now_ms))),
            false => bob.merge(&self.snapshot, self.now_ms).unwrap(),
        }
        let key = format!("k{}", self.lives % 10);
        let op = match self.lives % 3 {
            0 => bob.delete(&[key.as_str().into()], self.now_ms),
            _ => bob.set(&[key.as_str().into()], self.lives as i64, self.now_ms),
        };
        let op = op.unwrap();
        let text = op.encode();
        let received = self.hub.receive(Op::decode(&text).unwrap(), self.now_ms);
        assert_eq!(received.unwrap(), Received::Applied);
        let own = self
            .hub
            .set(&["at".into()], self.lives as i64, self.now_ms + 1)
            .unwrap();
        assert_eq!(
            bob.receive(own.clone(), self.now_ms + 1).unwrap(),
            Received::Applied
        );
        if self.lives.is_multiple_of(100) {
            assert_eq!(bob.canonical(), self.hub.canonical());
        }
        self.snapshot = self.hub.snapshot();
        Cost {
            text: text.len().max(own.encode().len()),
            clock: self.hub.clock().len(),
            snapshot: self.snapshot.len(),
            names: self.hub.names(),
        }
    }
}

/// A hundred thousand with LIVES=100000, which `make sim` does.
#[test]
fn lives_that_have_ended_cost_nothing() {
    let given = std::env::var("LIVES").ok();
    let lives: usize = given.and_then(|lives| lives.parse().ok()).unwrap_or(1_500);
    let mut hub = Hub::new();
    let tenth = lives / 10;
    let (mut first, mut last) = (Cost::default(), Cost::default());
    let worst = |most: &mut Cost, cost: Cost| {
        most.text = most.text.max(cost.text);
        most.clock = most.clock.max(cost.clock);
        most.snapshot = most.snapshot.max(cost.snapshot);
        most.names = most.names.max(cost.names);
    };
    for at in 0..lives {
        let cost = hub.live();
        if at < tenth {
            worst(&mut first, cost);
        }
        if at >= lives - tenth {
            worst(&mut last, cost);
        }
    }
    // Numbers have more digits by then.
    assert!(last.text <= first.text + 64, "{first:?} {last:?}");
    assert!(last.clock <= first.clock + 1, "{first:?} {last:?}");
    assert!(
        last.snapshot <= first.snapshot + 2_048,
        "{first:?} {last:?}"
    );
    assert!(last.names <= first.names + 64, "{first:?} {last:?}");
    assert!(last.clock < 64 && last.names < 256, "{last:?}");
}

/// Nobody stays: each life begins with a snapshot of one that is about to end, and lives for two turns of
/// ten minutes.
#[test]
fn short_lives_alone_fold_those_before_them() {
    let begin = |turn: u64, before: Option<&mut Document>, now_ms: u64| {
        let name = NAMES[turn as usize % 2];
        let mut document = Document::new(name, Value::object(), Options::default()).unwrap();
        document.begin_source(turn);
        document.set_members(Some(&NAMES[..2]));
        if let Some(before) = before {
            document.merge(&before.snapshot(), now_ms).unwrap();
        }
        document
    };
    let mut now_ms = START_MS;
    let mut one = begin(0, None, now_ms);
    let mut most = 0;
    for turn in 1..1_000 {
        now_ms += HOUR_MS / 6;
        let mut next = begin(turn, Some(&mut one), now_ms);
        for _ in 0..2 {
            let op = next.set(&["at".into()], turn as i64, now_ms).unwrap();
            assert_eq!(one.receive(op, now_ms).unwrap(), Received::Applied);
            let op = one.set(&["seen".into()], turn as i64, now_ms).unwrap();
            assert_eq!(next.receive(op, now_ms).unwrap(), Received::Applied);
        }
        assert_eq!(one.canonical(), next.canonical());
        most = most.max(next.clock().len());
        one = next;
    }
    assert!(most < 64, "{most}");
}

/// What a snapshot says of the members counts only if it is of the same ones, and of now.
#[test]
fn an_old_snapshot_does_not_say_since_when_the_members_are_known() {
    for (members, gap_ms, folds) in [
        (&["hub", "bob"][..], 0, true),
        (&["bob", "hub"], HOUR_MS - 1, true),
        (&["hub", "bob"], HOUR_MS, false),
        (&["hub", "bob", "eve"], 0, false),
    ] {
        let mut hub = Hub::new();
        hub.hub.set_members(Some(members));
        for _ in 0..14 {
            hub.live();
        }
        let now_ms = hub.now_ms + 1 + gap_ms;
        let options = Options {
            ended_lives_min: 1,
            ..Options::default()
        };
        let mut late = Document::new("bob", Value::object(), options).unwrap();
        late.begin_source(1_000);
        late.set_members(Some(&["hub", "bob"]));
        late.merge(&hub.snapshot, now_ms).unwrap();
        let op = late.set(&["late".into()], 1, now_ms).unwrap();
        assert_eq!(op.ended.is_some(), folds, "{members:?} {gap_ms}");
    }
}

#[test]
pub fn what_goes_on_after_its_end_is_told() {
    let mut hub = Hub::new();
    // A life that is not over, and is away for a day.
    let mut away = Document::new("bob", Value::object(), Options::default()).unwrap();
    away.begin_source(77);
    away.set_listening(Listening::All);
    let op = away.set(&["away".into()], 1, START_MS).unwrap();
    let old = source_of(&op);
    hub.hub.receive(op.clone(), START_MS).unwrap();
    for _ in 0..200 {
        hub.live();
    }
    assert!(
        !hub.hub.clock().contains_key(&*old),
        "it was counted as ended"
    );
    assert_eq!(
        hub.hub.receive(op, hub.now_ms).unwrap(),
        Received::Duplicate
    );
    let next = away.set(&["away".into()], 2, hub.now_ms).unwrap();
    assert_eq!(next.src.to_string(), old);
    let error = hub.hub.receive(next, hub.now_ms).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceConflict);
    assert!(error.message().contains(&old), "{error}");
    // As soon as it hears of that, it goes on as another, and by its snapshot all is well.
    away.merge(&hub.snapshot, hub.now_ms).unwrap();
    let events = std::iter::from_fn(|| away.next_event());
    let retired = |event: &Event| matches!(event, Event::SourceRetired { unseen: 2, .. });
    assert!(events.into_iter().any(|event| retired(&event)));
    let next = away.set(&["away".into()], 3, hub.now_ms + 1).unwrap();
    assert_ne!(source_of(&next), old);
    hub.hub.merge(&away.snapshot(), hub.now_ms + 1).unwrap();
    assert_eq!(hub.hub.canonical(), away.canonical());
    assert_eq!(hub.hub.get(&["away".into()]), Some(3.into()));
}

#[test]
fn a_hostile_end_of_lives_stops_nobody() {
    let mut a = Document::new("a", Value::object(), Options::default()).unwrap();
    for (at, far) in [
        (1, (1u64 << 53) - 1),
        (2, START_MS + 1),
        (3, 253_402_300_799_999),
    ] {
        let text = format!(
            r#"{{"id":"e","kind":"set","path":["x"],"value":1,"hlc":{{"t":{START_MS},"c":0,"r":"evil"}},"deps":{{"evil":{at}}},"src":"evil","ended":{{"until":{far},"of":{{}}}}}}"#
        );
        let received = a.receive(Op::decode(text).unwrap(), START_MS);
        assert_eq!(received.unwrap(), Received::Applied);
    }
    let mut b = Document::new("b", Value::object(), Options::default()).unwrap();
    b.begin_source(5);
    let op = b.set(&["y".into()], 2, START_MS + 1).unwrap();
    assert_eq!(a.receive(op, START_MS + 1).unwrap(), Received::Applied);
    for ended in [
        "1",
        r#"{"until":1}"#,
        r#"{"until":5,"of":{"bob":1}}"#,
        r#"{"of":[]}"#,
    ] {
        let text = format!(
            r#"{{"id":"e","kind":"set","path":["x"],"value":1,"hlc":{{"t":1,"c":0,"r":"e"}},"deps":{{"e":1}},"src":"e","ended":{ended}}}"#
        );
        let op = Op::decode(text).unwrap();
        assert_eq!(op.ended.is_some(), ended == r#"{"until":1}"#, "{ended}");
    }
}
