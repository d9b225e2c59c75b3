//! The tree of stamped registers, without replicas or clocks: writes in any order.

use distflow_core::crdt::path::{Path, Segment};
use distflow_core::crdt::shape::{self, Write};
use distflow_core::crdt::stamp::{Replicas, Stamp, Time};
use distflow_core::crdt::tree::Tree;
use distflow_core::crdt::value::Value;
use proptest::collection::vec;
use proptest::prelude::*;

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        3 => (0..3u8).prop_map(|key| Segment::from(["a", "b", "c"][usize::from(key)])),
        1 => (0..3u32).prop_map(Segment::Index),
    ]
}

fn path() -> impl Strategy<Value = Path> {
    vec(segment(), 0..4)
}

pub fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0..100i32).prop_map(Value::from),
        1 => Just(Value::Null),
        2 => Just(Value::parse(r#"{"a":{"b":1,"c":[1,{"a":2}]},"b":"x"}"#).unwrap()),
        1 => Just(Value::parse(r#"{"a":[[1,2],[3]],"c":{}}"#).unwrap()),
        2 => Just(Value::parse(r#"["p","q",{"a":1},["r"]]"#).unwrap()),
        1 => Just(Value::object()),
        1 => Just(Value::Array(Vec::new())),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![2 => value().prop_map(|value| Write::Set(value.into())), 1 => Just(Write::Delete)]
}

/// Writes in the order of their stamps.
pub fn writes(most: usize) -> impl Strategy<Value = Vec<(Path, Write)>> {
    vec((path(), write()), 1..most)
}

fn stamp(replicas: &mut Replicas, at: usize) -> Stamp {
    // Some in the same millisecond, some told apart by the replica only.
    let names = ["A", "B", "C"];
    Stamp {
        time: Time {
            t: 1_000 + at as u64 / 6,
            c: (at as u64 / 3) % 2,
        },
        replica: replicas.intern(names[at % 3]),
        seq: 1 + at as u64 / 3,
    }
}

fn read(tree: &mut Tree, replicas: &Replicas, path: &[Segment]) -> Option<Value> {
    tree.get(replicas, path).map(|json| json.value())
}

proptest! {
    #![proptest_config(crate::config(3_000))]

    #[test]
    fn any_order_gives_what_a_replay_gives(
        initial in value(),
        writes in writes(14),
        seed in any::<u64>(),
        reads in vec((any::<prop::sample::Index>(), path()), 0..6),
    ) {
        let mut replicas = Replicas::default();
        for name in ["C", "A", "B"] {
            replicas.intern(name);
        }
        let mut model = initial.clone();
        for (path, write) in &writes {
            shape::apply(&mut model, path, write);
        }
        let mut order: Vec<usize> = (0..writes.len()).collect();
        let mut state = seed | 1;
        for at in (1..order.len()).rev() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            order.swap(at, (state % (at as u64 + 1)) as usize);
        }
        let mut tree = Tree::new(initial.into());
        for (done, &at) in order.iter().enumerate() {
            let (path, write) = &writes[at];
            let stamp = stamp(&mut replicas, at);
            tree.write(&replicas, path, stamp, write.clone());
            // Reading in between changes nothing but what is remembered.
            for (when, path) in &reads {
                if when.index(order.len()) == done {
                    let whole = tree.json(&replicas).value();
                    prop_assert_eq!(read(&mut tree, &replicas, path), shape::get(&whole, path).cloned());
                }
            }
        }
        for (_, path) in &reads {
            prop_assert_eq!(read(&mut tree, &replicas, path), shape::get(&model, path).cloned());
        }
        prop_assert_eq!(tree.json(&replicas).value().to_json(), model.to_json());
        prop_assert_eq!(tree.json(&replicas).value().to_json(), model.to_json());
    }
}
