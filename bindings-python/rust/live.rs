//! What has to end before the interpreter does.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use distflow_core::fork;
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::node::Inner;
use crate::{log, wait};

/// How long the end of the interpreter waits for nodes to end, and then for threads to notice.
const NODES_MS: u64 = 2_000;
const THREADS_MS: u64 = 500;

struct Live {
    nodes: Vec<Weak<Inner>>,
    /// The process they belong to.
    generation: u64,
}

// Protects the list of nodes; held to add one or to take all.
static LIVE: Mutex<Live> = Mutex::new(Live {
    nodes: Vec::new(),
    generation: 0,
});

/// Has a node ended before the interpreter does.
pub fn add(node: &Arc<Inner>) {
    let mut live = LIVE.lock();
    let generation = fork::generation();
    if live.generation != generation {
        live.nodes.clear();
        live.generation = generation;
    }
    live.nodes.retain(|other| other.strong_count() > 0);
    live.nodes.push(Arc::downgrade(node));
}

/// Ends every node, and lets nobody wait any more. For `atexit`: afterwards no thread of the
/// core's enters the interpreter.
#[pyfunction]
pub fn end_all(py: Python<'_>) {
    let nodes: Vec<_> = {
        let mut live = LIVE.lock();
        if live.generation != fork::generation() {
            live.nodes.clear();
        }
        let nodes = std::mem::take(&mut live.nodes);
        nodes.iter().filter_map(Weak::upgrade).collect()
    };
    py.detach(|| {
        wait::begin_end();
        let deadline = Instant::now() + Duration::from_millis(NODES_MS);
        let ending: Vec<_> = nodes
            .into_iter()
            .filter_map(|inner| {
                let node = inner.node().ok()?.clone();
                distflow_core::threads::spawn("distflow-end", move || {
                    let left = deadline.saturating_duration_since(Instant::now());
                    // A handler that goes on is left behind.
                    let _ = node.shutdown_within(left);
                })
                .ok()
            })
            .collect();
        for thread in ending {
            let _ = thread.join();
        }
        log::end();
        wait::end(Duration::from_millis(THREADS_MS));
    });
}
