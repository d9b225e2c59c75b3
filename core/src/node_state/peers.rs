//! The table of known nodes, kept right by the watch: it is the alias cache as well.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::outbound::LinkId;
use crate::wire::pmd::{LeaveCause, NodeInfo};

/// What is known of a node beside what the PMD says.
#[derive(Debug)]
struct Peer {
    link: Option<LinkId>,
    /// Capabilities and metadata are known: a PMD that keeps them told of it.
    complete: bool,
    /// Not seen since the PMD restarted; gone for good when the grace period ends.
    unconfirmed: bool,
}

/// A node as the key of its id. What the PMD says is shared by all nodes of a process that know
/// it, and names are not copied: with many nodes in one process, tables grow by the square.
#[derive(Debug)]
struct ById(Arc<NodeInfo>);

/// A node as the key of its alias.
#[derive(Debug)]
struct ByAlias(Arc<NodeInfo>);

impl ById {
    fn name(&self) -> &str {
        &self.0.node_id
    }
}

impl ByAlias {
    fn name(&self) -> &str {
        self.0.alias.as_deref().unwrap_or_default()
    }
}

macro_rules! named {
    ($key:ident) => {
        impl Borrow<str> for $key {
            fn borrow(&self) -> &str {
                self.name()
            }
        }

        impl Hash for $key {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.name().hash(state);
            }
        }

        impl PartialEq for $key {
            fn eq(&self, other: &Self) -> bool {
                self.name() == other.name()
            }
        }

        impl Eq for $key {}
    };
}

named!(ById);
named!(ByAlias);

/// A difference between two views of the registry.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Join(Arc<NodeInfo>),
    /// With the link that led to it, if there was one.
    Leave(Arc<NodeInfo>, LeaveCause, Option<LinkId>),
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    by_id: HashMap<ById, Peer>,
    by_alias: HashSet<ByAlias>,
    unconfirmed: usize,
}

impl Peers {
    fn find(&self, name: &str) -> Option<(&Arc<NodeInfo>, &Peer)> {
        let found = self.by_id.get_key_value(name).or_else(|| {
            let ByAlias(info) = self.by_alias.get(name)?;
            self.by_id.get_key_value(&*info.node_id)
        });
        found.map(|(ById(info), peer)| (info, peer))
    }

    /// The node of an id or, failing that, of an alias.
    pub fn lookup(&self, name: &str) -> Option<&Arc<NodeInfo>> {
        self.find(name).map(|(info, _)| info)
    }

    /// The link to a node, found by node id or alias.
    pub fn link(&self, name: &str) -> Option<LinkId> {
        self.find(name)?.1.link
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
        let mut all: Vec<_> = self.by_id.keys().map(|key| key.0.clone()).collect();
        all.sort_by(|a, b| a.node_id.cmp(&b.node_id));
        all
    }

    pub fn has_unconfirmed(&self) -> bool {
        self.unconfirmed > 0
    }

    /// A node joined, or was in a snapshot. A node known with other properties left first.
    ///
    /// `complete` says that the PMD keeps capabilities and metadata. One that does not, as the
    /// originals', says nothing about them, and who was known with some is still the same.
    pub fn join(&mut self, info: Arc<NodeInfo>, complete: bool, changes: &mut Vec<Change>) {
        if let Some((ById(known), peer)) = self.by_id.get_key_value(&*info.node_id) {
            let comparable = peer.complete && complete || crate::plant::active("kind_matters");
            let same = if comparable {
                known.same_registration(&info)
            } else {
                known.same_address(&info)
            };
            if same {
                let less = peer.complete && !complete;
                return self.again(info, less, complete);
            }
            self.leave(&info.node_id, LeaveCause::Replaced, changes);
        }
        if let Some(alias) = info.alias.as_deref().filter(|alias| !alias.is_empty()) {
            // Whoever held the alias before is gone: the registry gives it to one node only.
            if let Some(ByAlias(holder)) = self.by_alias.get(alias) {
                let holder = holder.node_id.clone();
                self.leave(&holder, LeaveCause::Unknown, changes);
            }
            self.by_alias.insert(ByAlias(info.clone()));
        }
        let peer = Peer {
            link: None,
            complete,
            unconfirmed: false,
        };
        self.by_id.insert(ById(info.clone()), peer);
        changes.push(Change::Join(info));
    }

    /// The same registration is told of again, with `less` than is known.
    fn again(&mut self, info: Arc<NodeInfo>, less: bool, complete: bool) {
        let Some((ById(known), mut peer)) = self.by_id.remove_entry(&*info.node_id) else {
            return;
        };
        self.unconfirmed -= usize::from(std::mem::take(&mut peer.unconfirmed));
        peer.complete |= complete;
        let info = if less { known } else { info };
        if info.alias.as_deref().is_some_and(|alias| !alias.is_empty()) {
            self.by_alias.replace(ByAlias(info.clone()));
        }
        self.by_id.insert(ById(info), peer);
    }

    /// A node left; nothing happens when it is not known.
    pub fn leave(&mut self, id: &str, cause: LeaveCause, changes: &mut Vec<Change>) {
        let Some((ById(info), peer)) = self.by_id.remove_entry(id) else {
            return;
        };
        self.unconfirmed -= usize::from(peer.unconfirmed);
        if let Some(alias) = &info.alias
            && let Some(ByAlias(holder)) = self.by_alias.get(&**alias)
            && holder.node_id == id
        {
            self.by_alias.remove(&**alias);
        }
        changes.push(Change::Leave(info, cause, peer.link));
    }

    /// Takes a snapshot; `complete` as for [`Self::join`]. Who is missing from it left, or, when
    /// the PMD may not know everyone yet, `warming`, stays unconfirmed.
    pub fn reconcile(
        &mut self,
        nodes: Vec<Arc<NodeInfo>>,
        complete: bool,
        warming: bool,
        changes: &mut Vec<Change>,
    ) {
        let present: HashSet<&str> = nodes.iter().map(|node| &*node.node_id).collect();
        let mut missing: Vec<String> = self
            .by_id
            .keys()
            .map(ById::name)
            .filter(|id| !present.contains(id))
            .map(str::to_owned)
            .collect();
        missing.sort_unstable();
        for id in missing {
            if !warming {
                self.leave(&id, LeaveCause::Unknown, changes);
            } else if let Some(peer) = self.by_id.get_mut(&*id)
                && !std::mem::replace(&mut peer.unconfirmed, true)
            {
                self.unconfirmed += 1;
            }
        }
        for node in nodes {
            self.join(node, complete, changes);
        }
    }

    /// The grace period is over: who did not come back has left.
    pub fn expire_unconfirmed(&mut self, changes: &mut Vec<Change>) {
        let mut gone: Vec<String> = self
            .by_id
            .iter()
            .filter(|(_, peer)| peer.unconfirmed)
            .map(|(key, _)| key.name().to_owned())
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

    fn node(id: &str, alias: Option<&str>, port: u16) -> Arc<NodeInfo> {
        Arc::new(NodeInfo {
            node_id: id.into(),
            alias: alias.map(Into::into),
            host: "localhost".into(),
            port,
            last_heartbeat: 0,
            caps: Vec::new(),
            meta: None,
        })
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
    fn a_node_id_wins_over_an_alias() {
        let (mut peers, mut changes) = (Peers::default(), Vec::new());
        peers.join(node("x", None, 1), true, &mut changes);
        peers.join(node("y", Some("x"), 2), true, &mut changes);
        assert_eq!(peers.lookup("x").unwrap().node_id, "x");
        assert_eq!(peers.lookup("y").unwrap().node_id, "y");
        assert!(peers.lookup("z").is_none());
        peers.leave("x", LeaveCause::Closed, &mut changes);
        assert_eq!(peers.lookup("x").unwrap().node_id, "y");
    }

    #[test]
    fn a_restarted_pmd_invents_nothing() {
        let (mut peers, mut changes) = (Peers::default(), Vec::new());
        for (id, port) in [("a", 1), ("b", 2), ("c", 3)] {
            peers.join(node(id, None, port), true, &mut changes);
        }
        changes.clear();
        peers.reconcile(
            vec![node("a", None, 1), node("d", None, 4)],
            true,
            true,
            &mut changes,
        );
        assert_eq!(told(&changes), ["+d"]);
        peers.join(node("b", None, 2), true, &mut changes);
        assert_eq!(told(&changes), ["+d"]);
        assert!(peers.has_unconfirmed());
        peers.expire_unconfirmed(&mut changes);
        assert_eq!(told(&changes), ["+d", "-c unknown"]);
        assert!(!peers.has_unconfirmed());
    }

    #[test]
    fn other_capabilities_are_another_registration() {
        let (mut peers, mut changes) = (Peers::default(), Vec::new());
        peers.join(node("a", Some("s"), 1), true, &mut changes);
        let mut again = node("a", Some("s"), 1);
        Arc::make_mut(&mut again).last_heartbeat = 7;
        peers.join(again.clone(), true, &mut changes);
        Arc::make_mut(&mut again).caps = vec!["link".into()];
        peers.join(again, true, &mut changes);
        assert_eq!(told(&changes), ["+a", "-a replaced", "+a"]);
    }

    #[test]
    fn a_pmd_that_keeps_less_tells_of_the_same_registration() {
        let (mut peers, mut changes) = (Peers::default(), Vec::new());
        let mut full = node("a", Some("s"), 1);
        Arc::make_mut(&mut full).caps = vec!["link".into()];
        peers.join(full.clone(), true, &mut changes);
        changes.clear();
        // Ours, an original, ours again: what is known is neither lost nor another node.
        peers.reconcile(vec![node("a", Some("s"), 1)], false, true, &mut changes);
        assert_eq!(peers.lookup("a").unwrap().caps, ["link"]);
        peers.reconcile(vec![full.clone()], true, true, &mut changes);
        assert_eq!(told(&changes), [""; 0]);
        // An original first: the capabilities that another PMD tells of are no other node.
        peers.join(node("b", None, 2), false, &mut changes);
        changes.clear();
        let mut b = node("b", None, 2);
        Arc::make_mut(&mut b).caps = vec!["link".into()];
        peers.join(b.clone(), true, &mut changes);
        assert_eq!(peers.lookup("b").unwrap().caps, ["link"]);
        assert_eq!(told(&changes), [""; 0]);
        // What is another address is another registration, whoever tells.
        peers.join(node("b", None, 3), false, &mut changes);
        assert_eq!(told(&changes), ["-b replaced", "+b"]);
    }

    #[test]
    fn a_complete_snapshot_is_the_truth() {
        let (mut peers, mut changes) = (Peers::default(), Vec::new());
        peers.join(node("a", Some("s"), 1), true, &mut changes);
        peers.join(node("b", None, 2), true, &mut changes);
        changes.clear();
        peers.reconcile(
            vec![node("n", Some("s"), 9), node("b", None, 3)],
            true,
            false,
            &mut changes,
        );
        assert_eq!(told(&changes), ["-a unknown", "+n", "-b replaced", "+b"]);
        assert_eq!(peers.lookup("s").unwrap().node_id, "n");
    }
}
