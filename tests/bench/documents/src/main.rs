//! Shared documents in Rust, beside yrs, loro and a bare map, interleaved in one run:
//!
//!     cargo run --release --manifest-path tests/bench/documents/Cargo.toml -- [rounds [name]]
//!
//! A document is `{k: {keyN: {v, s}}}`; each set writes one `v` and gives the message that travels; a
//! message is read and taken in by another replica. The yardsticks keep history and sequences, and so do
//! more work for each operation; the map keeps only the latest write of each path.

mod contestants;

use std::time::Instant;

use contestants::{Bare, Contestant, Distflow, Loro, Yrs};

const KEYS: [usize; 4] = [100, 1_000, 10_000, 100_000];

/// Sets and messages taken in, per second.
fn measure<C: Contestant>(keys: usize, count: usize) -> (f64, f64) {
    let (mut a, mut b) = C::pair(keys);
    let at = |number: usize| number * 7 % keys;
    // What a document does once is not measured.
    for number in 0..count / 5 {
        let message = a.set(at(number), 0).to_vec();
        b.receive(&message);
    }
    let begun = Instant::now();
    for number in 0..count {
        a.set(at(number), number as i64);
    }
    let sets = begun.elapsed().as_secs_f64();
    // Those that it needs to go on; and then the ones that are measured.
    b.catch_up(&mut a);
    let messages: Vec<Vec<u8>> = (0..count)
        .map(|number| a.set(at(number), number as i64).to_vec())
        .collect();
    let begun = Instant::now();
    for message in &messages {
        b.receive(message);
    }
    let received = begun.elapsed().as_secs_f64();
    assert_eq!(a.value(at(count - 1)), Some(count as i64 - 1));
    assert_eq!(b.value(at(count - 1)), Some(count as i64 - 1));
    (count as f64 / sets, count as f64 / received)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(3);
    let only = std::env::args().nth(2);
    type Measure = fn(usize, usize) -> (f64, f64);
    let contestants: [(&str, Measure, usize); 4] = [
        ("distflow", measure::<Distflow>, 200_000),
        ("yrs", measure::<Yrs>, 50_000),
        ("loro", measure::<Loro>, 20_000),
        ("bare map", measure::<Bare>, 200_000),
    ];
    let is_wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let contestants: Vec<_> = contestants.into_iter().filter(|(name, ..)| is_wanted(name)).collect();
    println!("{:>8}  {:<10} {:>12} {:>12}", "keys", "", "set", "receive");
    for keys in KEYS {
        let mut figures = vec![(Vec::new(), Vec::new()); contestants.len()];
        for _ in 0..rounds {
            for (at, (_, measure, count)) in contestants.iter().enumerate() {
                let (set, receive) = measure(keys, *count);
                figures[at].0.push(set);
                figures[at].1.push(receive);
            }
        }
        for ((name, ..), (set, receive)) in contestants.iter().zip(figures) {
            let rate = |values| format!("{:.0} k/s", median(values) / 1e3);
            println!("{keys:>8}  {name:<10} {:>12} {:>12}", rate(set), rate(receive));
        }
    }
}
