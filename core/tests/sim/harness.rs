//! Runs of seeds: one, or many on every core.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::world::World;

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub seed: u64,
    /// Sums up everything that happened, in order.
    pub hash: u64,
    /// Events of virtual time.
    pub steps: u64,
    pub messages: u64,
    pub failure: Option<String>,
}

/// Runs one seed. A panic of a machine is a failure like any other.
pub fn run(seed: u64, verbose: bool) -> Report {
    let mut world = World::new(seed, verbose);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    if let Err(panic) = result {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        world.env.fail(|| format!("a panic: {text}"));
    }
    Report {
        seed,
        hash: world.env.hash(),
        steps: world.env.steps,
        messages: world.env.ledger.len() as u64,
        failure: world.env.failure,
    }
}

/// Runs seeds from `first` on, on all cores; returns the reports in order of seed.
pub fn run_many(first: u64, count: u64) -> Vec<Report> {
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut reports = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return reports;
            }
            reports.push(run(seed, false));
        }
    };
    let mut reports: Vec<Report> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let all = workers.into_iter().flat_map(|worker| worker.join().unwrap());
        all.collect()
    });
    reports.sort_by_key(|report| report.seed);
    reports
}
