//! Nodes as PMDs described them, kept once for all nodes of a process.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::Result;
use crate::node_state::Describe;
use crate::wire::pmd::NodeInfo;

/// What many nodes of one process were told, kept once: the text of a node object leads to what
/// it says. An entry lives as long as somebody knows the node.
#[derive(Debug, Default)]
pub struct Known {
    // Protects the table. Held for one look into it.
    nodes: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_text: HashMap<Box<str>, Weak<NodeInfo>>,
    /// Number of entries at which those that nobody needs are removed.
    sweep_at: usize,
}

/// Entries that are not worth looking through.
const SWEEP_MIN: usize = 64;

impl Describe for Known {
    /// Parses the text only if nobody knows it.
    fn describe(&self, text: &str) -> Result<Arc<NodeInfo>> {
        if let Some(known) = self.nodes.lock().by_text.get(text).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let info = Arc::new(NodeInfo::parse(text)?);
        let mut table = self.nodes.lock();
        if table.by_text.len() >= table.sweep_at.max(SWEEP_MIN) {
            table.by_text.retain(|_, node| node.strong_count() > 0);
            table.by_text.shrink_to_fit();
            table.sweep_at = 2 * table.by_text.len();
        }
        table.by_text.insert(text.into(), Arc::downgrade(&info));
        Ok(info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(n: u32) -> String {
        format!("{{\"nodeId\":\"n{n}\",\"host\":\"h\",\"port\":1}}")
    }

    #[test]
    fn what_is_known_is_kept_once_and_as_long_as_it_is_needed() {
        let known = Known::default();
        let first = known.describe(&text(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &known.describe(&text(1)).unwrap()));
        assert_ne!(first.node_id, known.describe(&text(2)).unwrap().node_id);
        for n in 0..100 * SWEEP_MIN as u32 {
            known.describe(&text(n)).unwrap();
        }
        assert!(known.nodes.lock().by_text.len() <= SWEEP_MIN + 1);
        assert!(Arc::ptr_eq(&first, &known.describe(&text(1)).unwrap()));
        assert!(known.describe("{\"nodeId\":5}").is_err());
    }
}
