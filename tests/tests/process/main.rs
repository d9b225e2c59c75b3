//! Real processes: starting, killing, freezing and forking them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod aliases;
mod auto_start;
mod command_line;
mod detection;
mod embedded_pmd;
mod fork;
mod half_open;
mod launch;
mod namespaces;
mod nodes;
mod registry_loss;
mod service;
mod unread;
mod version_6;
