//! The simulator: a PMD and its nodes, the real state machines, over an in-memory network in
//! virtual time. One seed is one run, and the same seed is always the same run.
//!
//! `cargo test -p distflow-core --test sim` runs a few hundred seeds; `SEEDS=n` runs that
//! many, `FIRST=n` begins at another one, and `SEED=n` runs one and prints what happens.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod checks;
mod env;
mod faults;
mod harness;
mod ledger;
mod network;
mod node_process;
mod node_receiving;
mod plan;
mod pmd_process;
mod promises;
mod queue;
mod raw_client;
mod world;

/// Seeds of a run without `SEEDS`.
const SEEDS_DEFAULT: u64 = 400;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn promises_hold_under_faults() {
    let reports = match number("SEED") {
        Some(seed) => vec![harness::run(seed, true)],
        None => {
            let count = number("SEEDS").unwrap_or(SEEDS_DEFAULT);
            let first = number("FIRST").unwrap_or(0);
            harness::sweep(first..first + count, "", |_| false)
        }
    };
    let sum = |of: fn(&harness::Report) -> u64| reports.iter().map(of).sum::<u64>();
    println!(
        "{} seeds, {} steps, {} messages",
        reports.len(),
        sum(|report| report.steps),
        sum(|report| report.messages)
    );
    let failed = reports
        .iter()
        .filter_map(|report| Some((report.seed, report.failure.as_ref()?)));
    let failed: Vec<_> = failed.collect();
    for (seed, failure) in failed.iter().take(20) {
        eprintln!("seed {seed}: {failure}");
    }
    if let Some((seed, failure)) = failed.first() {
        panic!(
            "{} of {} seeds failed; seed {seed}: {failure}\nreplay with: SEED={seed} cargo test \
             -p distflow-core --test sim promises -- --nocapture",
            failed.len(),
            reports.len()
        );
    }
}

#[test]
fn a_seed_is_one_run() {
    for seed in [1, 2, 3] {
        let first = harness::run(seed, false);
        assert_eq!(first, harness::run(seed, false));
        assert_ne!(first.hash, harness::run(seed + 100, false).hash);
    }
}
