//! What a PMD says on the wire, request by request and event by event.
//!
//! The numbers in the names of tests in `defects` and `quirks` are those of the protocol
//! page's lists of defects to fix and of quirks to keep.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod aliases;
mod compatibility;
mod defects;
mod extensions;
mod liveness;
mod ownership;
mod quirks;
mod request_ids;
mod requests;
mod strangers;
mod watch;

use distflow_core::pmd::{Pmd, PmdOptions};

/// Options of a PMD on a free port.
fn options() -> PmdOptions {
    PmdOptions {
        port: 0,
        ..PmdOptions::default()
    }
}

/// A PMD with the defaults, on a free port.
fn pmd() -> Pmd {
    Pmd::start(options()).unwrap()
}

/// A PMD that lets a live holder of a name defend it for so long.
fn pmd_with_probe(probe_ms: u64) -> Pmd {
    Pmd::start(PmdOptions {
        probe_ms,
        ..options()
    })
    .unwrap()
}

const SUCCESS: &str = r#"{"success":true}"#;
