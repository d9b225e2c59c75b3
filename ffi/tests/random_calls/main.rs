//! Random sequences of calls, the same in every run. The fuzz target `ffi_calls` goes further.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod calls;

use std::sync::atomic::Ordering;

use calls::{SUCCEEDED, World};

/// Bytes that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn sequence(&mut self) -> Vec<u8> {
        // Every other one may make calls that take long.
        let len = self.next() % 20 * 8 + self.next() % 2;
        // The byte by which a sequence asks for what takes long comes more often than by chance.
        let byte = |number: u64| {
            if number.is_multiple_of(24) {
                0x5a
            } else {
                (number >> 32) as u8
            }
        };
        (0..len).map(|_| byte(self.next())).collect()
    }
}

fn run(seed: u64, sequences: u32) {
    let mut random = Random(seed);
    let mut world = World::new();
    let before = SUCCEEDED.load(Ordering::Relaxed);
    for number in 0..sequences {
        // Shown when the test fails.
        println!("seed {seed}, sequence {number}");
        world.run(&random.sequence());
    }
    world.end();
    let succeeded = SUCCEEDED.load(Ordering::Relaxed) - before;
    assert!(
        succeeded > u64::from(sequences),
        "only {succeeded} calls succeeded"
    );
}

#[test]
fn no_sequence_of_calls_does_harm() {
    run(1, 10_000);
}

#[test]
fn no_sequence_of_calls_does_harm_beside_others() {
    let threads: Vec<_> = (2..6)
        .map(|seed| std::thread::spawn(move || run(seed, 2_500)))
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
