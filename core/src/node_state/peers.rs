//! The table of known nodes, kept right by the watch: it is the alias cache as well.

use std::collections::HashMap;
use std::sync::Arc;

use super::outbound::LinkId;
use crate::wire::pmd::{LeaveCause, NodeInfo};

#[derive(Debug)]
struct Peer {
    info: Arc<NodeInfo>,
    link: Option<LinkId>,
    /// Not seen since the PMD restarted; gone for good when the grace period ends.
    unconfirmed: bool,
}

/// A difference between two views of the registry.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Join(Arc<NodeInfo>),
    /// With the link that led to it, if there was one.
    Leave(Arc<NodeInfo>, LeaveCause, Option<LinkId>),
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    by_id: HashMap<String, Peer>,
    by_alias: HashMap<String, String>,
    unconfirmed: usize,
}

impl Peers {
    /// The node of an alias or, failing that, of a node id.
    pub fn lookup(&self, name: &str) -> Option<&Arc<NodeInfo>> {
        let id = self.by_alias.get(name).map_or(name, String::as_str);
        self.by_id.get(id).map(|peer| &peer.info)
    }

    /// The link to a node, found by alias or node id.
    pub fn link(&self, name: &str) -> Option<LinkId> {
        let id = self.by_alias.get(name).map_or(name, String::as_str);
        self.by_id.get(id)?.link
    }

    pub fn set_link(&mut self, id: &str, link: Option<LinkId>) {
        if let Some(peer) = self.by_id.get_mut(id) {
            peer.link = link;
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Everyone, in order of node id.
    pub fn all(&self) -> Vec<Arc<NodeInfo>> {
        let mut all: Vec<_> = self.by_id.values().map(|peer| peer.info.clone()).collect();
        all.sort_by(|a, b| a.node_id.cmp(&b.node_id));
        all
    }

    pub fn has_unconfirmed(&self) -> bool {
        self.unconfirmed > 0
    }

    fn confirm(&mut self, id: &str) {
        if let Some(peer) = self.by_id.get_mut(id)
            && std::mem::take(&mut peer.unconfirmed)
        {
            self.unconfirmed -= 1;
        }
    }

    /// A node joined, or was in a snapshot. A node known with other properties left first.
    pub fn join(&mut self, info: NodeInfo, changes: &mut Vec<Change>) {
        let id = info.node_id.clone();
        if let Some(known) = self.by_id.get_mut(&id) {
            if known.info.same_registration(&info) {
                known.info = Arc::new(info);
                self.confirm(&id);
                return;
            }
            self.leave(&id, LeaveCause::Replaced, changes);
        }
        if let Some(alias) = &info.alias {
            // Whoever held the alias before is gone: the registry gives it to one node only.
            if let Some(holder) = self.by_alias.get(alias).cloned() {
                self.leave(&holder, LeaveCause::Unknown, changes);
            }
            self.by_alias.insert(alias.clone(), id.clone());
        }
        let info = Arc::new(info);
        self.by_id.insert(
            id,
            Peer {
                info: info.clone(),
                link: None,
                unconfirmed: false,
            },
        );
        changes.push(Change::Join(info));
    }

    /// A node left; nothing happens when it is not known.
    pub fn leave(&mut self, id: &str, cause: LeaveCause, changes: &mut Vec<Change>) {
        let Some(peer) = self.by_id.remove(id) else {
            return;
        };
        self.unconfirmed -= usize::from(peer.unconfirmed);
        if let Some(alias) = &peer.info.alias
            && self.by_alias.get(alias).is_some_and(|holder| holder == id)
        {
            self.by_alias.remove(alias);
        }
        changes.push(Change::Leave(peer.info, cause, peer.link));
    }

    /// Takes a snapshot. Who is missing from it left, or, when the PMD may not know everyone
    /// yet, stays unconfirmed.
    pub fn reconcile(&mut self, nodes: Vec<NodeInfo>, complete: bool, changes: &mut Vec<Change>) {
        let present: std::collections::HashSet<String> =
            nodes.iter().map(|node| node.node_id.clone()).collect();
        let mut missing: Vec<String> = self
            .by_id
            .keys()
            .filter(|id| !present.contains(*id))
            .cloned()
            .collect();
        missing.sort_unstable();
        for id in missing {
            if complete {
                self.leave(&id, LeaveCause::Unknown, changes);
            } else if let Some(peer) = self.by_id.get_mut(&id)
                && !std::mem::replace(&mut peer.unconfirmed, true)
            {
                self.unconfirmed += 1;
            }
        }
        for node in nodes {
            self.join(node, changes);
        }
    }

    /// The grace period is over: who did not come back has left.
    pub fn expire_unconfirmed(&mut self, changes: &mut Vec<Change>) {
        let mut gone: Vec<String> = self
            .by_id
            .iter()
            .filter(|(_, peer)| peer.unconfirmed)
            .map(|(id, _)| id.clone())
            .collect();
        gone.sort_unstable();
        for id in gone {
            self.leave(&id, LeaveCause::Unknown, changes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, alias: Option<&str>, port: u16) -> NodeInfo {
        NodeInfo {
            node_id: id.into(),
            alias: alias.map(Into::into),
            host: "localhost".into(),
            port,
            last_heartbeat: 0,
            caps: Vec::new(),
            meta: None,
        }
    }

    fn told(changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|change| match change {
                Change::Join(info) => format!("+{}", info.node_id),
                Change::Leave(info, cause, _) => format!("-{} {}", info.node_id, cause.name()),
            })
            .collect()
    }

    #[test]
    fn an_alias_wins_over_a_node_id() {
        let (mut peers, mut changes) = (Peers::default(), Vec::new());
        peers.join(node("x", None, 1), &mut changes);
        peers.join(node("y", Some("x"), 2), &mut changes);
        assert_eq!(peers.lookup("x").unwrap().node_id, "y");
        assert_eq!(peers.lookup("y").unwrap().node_id, "y");
        assert!(peers.lookup("z").is_none());
    }

    #[test]
    fn a_restarted_pmd_invents_nothing() {
        let (mut peers, mut changes) = (Peers::default(), Vec::new());
        for (id, port) in [("a", 1), ("b", 2), ("c", 3)] {
            peers.join(node(id, None, port), &mut changes);
        }
        changes.clear();
        peers.reconcile(
            vec![node("a", None, 1), node("d", None, 4)],
            false,
            &mut changes,
        );
        assert_eq!(told(&changes), ["+d"]);
        peers.join(node("b", None, 2), &mut changes);
        assert_eq!(told(&changes), ["+d"]);
        assert!(peers.has_unconfirmed());
        peers.expire_unconfirmed(&mut changes);
        assert_eq!(told(&changes), ["+d", "-c unknown"]);
        assert!(!peers.has_unconfirmed());
    }

    #[test]
    fn other_capabilities_are_another_registration() {
        let (mut peers, mut changes) = (Peers::default(), Vec::new());
        peers.join(node("a", Some("s"), 1), &mut changes);
        let mut again = node("a", Some("s"), 1);
        again.last_heartbeat = 7;
        peers.join(again.clone(), &mut changes);
        again.caps = vec!["link".into()];
        peers.join(again, &mut changes);
        assert_eq!(told(&changes), ["+a", "-a replaced", "+a"]);
    }

    #[test]
    fn a_complete_snapshot_is_the_truth() {
        let (mut peers, mut changes) = (Peers::default(), Vec::new());
        peers.join(node("a", Some("s"), 1), &mut changes);
        peers.join(node("b", None, 2), &mut changes);
        changes.clear();
        peers.reconcile(
            vec![node("n", Some("s"), 9), node("b", None, 3)],
            true,
            &mut changes,
        );
        assert_eq!(told(&changes), ["-a unknown", "+n", "-b replaced", "+b"]);
        assert_eq!(peers.lookup("s").unwrap().node_id, "n");
    }
}
