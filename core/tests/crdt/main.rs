//! The shared document beside its definition: a replay of all operations in the order of their
//! stamps.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use proptest::test_runner::Config;

mod convergence;
mod damage;
mod edge;
mod ends;
mod hub;
mod kept;
mod lives;
#[cfg(feature = "plants")]
mod plants;
mod promises;
mod reopen;
mod scenario;
mod sources;
mod tree;
mod vectors;
mod watches;

/// How many histories a property is tried with: so many, or CASES.
fn config(cases: u32) -> Config {
    let given = std::env::var("CASES").ok();
    Config {
        cases: given.and_then(|cases| cases.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        ..Config::default()
    }
}
