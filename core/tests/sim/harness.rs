//! Runs of seeds: one, or many on every core.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
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

/// Runs seeds on all cores, with a planted bug or, if that is empty, without, until `enough`
/// says so or they are used up. In order of seed.
pub fn sweep(
    seeds: std::ops::Range<u64>,
    plant: &'static str,
    enough: impl Fn(&Report) -> bool + Sync,
) -> Vec<Report> {
    let next = AtomicU64::new(seeds.start);
    let reports = Mutex::new(Vec::new());
    let worker = || {
        plant_bug(plant);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = run(seed, false);
            if enough(&report) {
                next.store(seeds.end, Ordering::Relaxed);
            }
            reports.lock().unwrap().push(report);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(worker);
        }
    });
    let mut reports = reports.into_inner().unwrap();
    reports.sort_by_key(|report: &Report| report.seed);
    reports
}

/// The switch is one of the thread, so every worker sets it.
fn plant_bug(_name: &'static str) {
    #[cfg(feature = "plants")]
    distflow_core::plant::set(_name);
}
