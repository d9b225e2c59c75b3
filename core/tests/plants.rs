//! Tests of the simulator: it finds every planted bug, and nothing when none is planted.
//!
//! `cargo test -p distflow-core --features plants --test plants`; `PLANT=name` tries only one.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "sim/checks.rs"]
mod checks;
#[path = "sim/env.rs"]
mod env;
#[path = "sim/faults.rs"]
mod faults;
#[path = "sim/harness.rs"]
mod harness;
#[path = "sim/ledger.rs"]
mod ledger;
#[path = "sim/network.rs"]
mod network;
#[path = "sim/node_process.rs"]
mod node_process;
#[path = "sim/node_receiving.rs"]
mod node_receiving;
#[path = "sim/plan.rs"]
mod plan;
#[path = "sim/pmd_process.rs"]
mod pmd_process;
#[path = "sim/promises.rs"]
mod promises;
#[path = "sim/queue.rs"]
mod queue;
#[path = "sim/raw_client.rs"]
mod raw_client;
#[path = "sim/world.rs"]
mod world;

/// Seeds within which each planted bug has to be found.
const SEEDS_MAX: u64 = 2_000;

const PLANTS: [&str; 20] = [
    "alias_leak",
    "takeover",
    "stale_close",
    "watch_gap",
    "pause_expels",
    "silent_drop",
    "no_fence",
    "uncounted_loss",
    "to_unchecked",
    "resend_all",
    "uncounted_abandon",
    "gap_ignored",
    "no_grace",
    "kind_matters",
    "kind_restarts",
    "alias_first",
    "slow_is_cut",
    "slow_expel",
    "slow_reconnect",
    "slow_end",
];

#[test]
fn every_planted_bug_is_found() {
    let only = std::env::var("PLANT").ok();
    let wanted = |plant: &&&str| only.as_ref().is_none_or(|only| only == **plant);
    let mut missed = Vec::new();
    for plant in PLANTS.iter().filter(wanted) {
        let failed = |report: &harness::Report| report.failure.is_some();
        let reports = harness::sweep(0..SEEDS_MAX, plant, failed);
        match reports.into_iter().find(failed) {
            Some(report) => println!(
                "{plant}: seed {} of {SEEDS_MAX}: {}",
                report.seed,
                report.failure.unwrap_or_default()
            ),
            None => missed.push(plant),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    let reports = harness::sweep(0..40, "", |_| false);
    assert!(reports.iter().all(|report| report.failure.is_none()));
    assert!(reports.iter().all(|report| report.steps > 1_000));
}

#[test]
#[ignore = "takes minutes; says how often each is found"]
fn how_often_each_is_found() {
    const SEEDS: u64 = 300;
    for plant in PLANTS {
        let reports = harness::sweep(0..SEEDS, plant, |_| false);
        let found = reports.iter().filter(|report| report.failure.is_some());
        println!("{plant}: in {} of {SEEDS} seeds", found.count());
    }
}
