//! Nodes of one process against each other, and against hand-written originals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod events;
mod flow;
mod lifecycle;
mod messages;
mod originals;

use distflow_core::{Node, NodeBuilder, Payload, Pmd, PmdOptions};

/// An embedded PMD on a free port.
pub fn pmd() -> Pmd {
    Pmd::start(PmdOptions {
        port: 0,
        ..PmdOptions::default()
    })
    .unwrap()
}

/// A node of that PMD, to be changed before it starts.
pub fn builder(pmd: &Pmd, alias: &str) -> NodeBuilder {
    let builder = Node::builder().alias(alias).pmd_port(pmd.port());
    builder.auto_start(false)
}

/// A started node of that PMD.
pub fn node(pmd: &Pmd, alias: &str) -> Node {
    builder(pmd, alias).start_blocking().unwrap()
}

/// A value as a payload.
pub fn payload(value: impl serde::Serialize) -> Payload {
    Payload::from_value(&value).unwrap()
}
