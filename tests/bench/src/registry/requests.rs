//! Requests to a PMD, byte for byte as the originals write them.

use std::ops::Range;

use crate::frames;

/// A request's frame.
pub fn request(out: &mut Vec<u8>, kind: &str, payload: &str, number: usize) {
    let body =
        format!("{{\"type\":\"{kind}\",\"payload\":{payload},\"requestId\":\"req_{number}\"}}");
    frames::append(out, body.as_bytes());
}

/// A registration's frame.
pub fn register(out: &mut Vec<u8>, id: &str, alias: &str, number: usize) {
    let port = 20_000 + number % 40_000;
    let payload = format!(
        "{{\"nodeId\":\"{id}\",\"alias\":\"{alias}\",\"host\":\"localhost\",\"port\":{port}}}"
    );
    request(out, "register", &payload, number);
}

/// The id of a node of the prefill.
pub fn id(node: usize) -> String {
    format!("{:016x}", node + 1)
}

/// Its alias.
pub fn alias(node: usize) -> String {
    format!("service-{node}")
}

fn success(number: usize) -> Vec<u8> {
    format!(
        "{{\"type\":\"response\",\"requestId\":\"req_{number}\",\"payload\":{{\"success\":true}}}}"
    )
    .into_bytes()
}

/// Requests to be written at once, and how each answer begins.
#[derive(Debug, Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    pub answers: Vec<Vec<u8>>,
}

impl Batch {
    /// Looks up aliases of the prefill.
    pub fn resolve(nodes: impl Iterator<Item = usize>) -> Self {
        let mut batch = Self::default();
        for (number, node) in nodes.enumerate() {
            let payload = format!("{{\"alias\":\"{}\"}}", alias(node));
            request(&mut batch.bytes, "resolve", &payload, number);
            let answer = format!(
                "{{\"type\":\"response\",\"requestId\":\"req_{number}\",\"payload\":{{\"node\":{{\
                 \"nodeId\":\"{}\"",
                id(node)
            );
            batch.answers.push(answer.into_bytes());
        }
        batch
    }

    /// Registers nodes of the prefill.
    pub fn register(nodes: Range<usize>) -> Self {
        let mut batch = Self::default();
        for node in nodes {
            register(&mut batch.bytes, &id(node), &alias(node), node);
            batch.answers.push(success(node));
        }
        batch
    }

    /// Registers nodes beside the prefill, each followed by its removal.
    pub fn register_and_unregister(nodes: Range<usize>) -> Self {
        let mut batch = Self::default();
        for node in nodes {
            let id = format!("visitor{node:09}");
            register(&mut batch.bytes, &id, &format!("visitor-{node}"), 2 * node);
            let payload = format!("{{\"nodeId\":\"{id}\"}}");
            request(&mut batch.bytes, "unregister", &payload, 2 * node + 1);
            batch.answers.push(success(2 * node));
            batch.answers.push(success(2 * node + 1));
        }
        batch
    }
}
