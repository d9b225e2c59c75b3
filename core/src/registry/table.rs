//! The registered nodes, by id, by alias and in order of registration.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::names::{Alias, NodeId};
use crate::registry::output::ConnId;
use crate::wire::json;
use crate::wire::pmd::{self, Register};

/// How a node's life is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Liveness {
    /// It leaves when its connection closes.
    Socket,
    /// As `Socket`, and its connection promised heartbeats.
    SocketAndHeartbeat,
    /// Heartbeats came from another connection than its own: it leaves when they stop
    /// (pmd.md 7, first-generation clients).
    HeartbeatOnly,
    /// A predecessor handed it over, and it has not come back yet: it leaves when it does not.
    Expected,
}

/// One registered node.
#[derive(Debug)]
pub(super) struct Entry {
    pub node: Arc<Register>,
    /// The node object as JSON, up to its last member's value.
    json: Box<[u8]>,
    /// Members that only clients with `meta` get, as JSON.
    extras: Box<[u8]>,
    pub last_heartbeat_wall_ms: u64,
    /// When the node last showed life, in the registry's own time.
    pub seen_ms: u64,
    /// The owning connection; `None` once it closed under a `HeartbeatOnly` node.
    pub conn: Option<ConnId>,
    pub liveness: Liveness,
    /// Number of this registration, never reused.
    pub generation: u64,
    /// Place in the order of `list`.
    order: u64,
    pub suspect_probed: bool,
}

impl Entry {
    /// Appends the node object, with or without the members beyond the originals'.
    pub fn append(&self, out: &mut Vec<u8>, extended: bool) {
        out.extend_from_slice(&self.json);
        json::append_number(out, self.last_heartbeat_wall_ms);
        if extended {
            out.extend_from_slice(&self.extras);
        }
        out.push(b'}');
    }
}

/// Index of an entry; valid until the entry is removed.
pub(super) type Key = u32;

#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Option<Entry>>,
    free: Vec<Key>,
    by_id: HashMap<NodeId, Key>,
    by_alias: HashMap<Alias, Key>,
    /// Generation of the first registration → entry: the order of `list`.
    order: BTreeMap<u64, Key>,
    next_generation: u64,
}

/// What is fixed when an entry is made or replaced.
pub(super) struct Binding {
    /// Absent for a node that is expected.
    pub conn: Option<ConnId>,
    pub liveness: Liveness,
    pub wall_ms: u64,
    pub seen_ms: u64,
}

impl Table {
    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Gives back memory of entries that are gone.
    pub fn shrink(&mut self) {
        while self.entries.last().is_some_and(Option::is_none) {
            self.entries.pop();
        }
        let entries = self.entries.len() as Key;
        self.free.retain(|key| *key < entries);
        self.entries.shrink_to_fit();
        self.free.shrink_to_fit();
        self.by_id.shrink_to_fit();
        self.by_alias.shrink_to_fit();
    }

    pub fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(key as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(key as usize)?.as_mut()
    }

    pub fn by_id(&self, id: &str) -> Option<Key> {
        self.by_id.get(id).copied()
    }

    pub fn by_alias(&self, alias: &str) -> Option<Key> {
        self.by_alias.get(alias).copied()
    }

    /// In order of registration.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Entry)> {
        self.order
            .values()
            .filter_map(|&key| Some((key, self.get(key)?)))
    }

    fn entry(&mut self, mut node: Register, binding: Binding) -> (u64, Entry) {
        let generation = self.next_generation;
        self.next_generation += 1;
        let mut json = Vec::with_capacity(160);
        pmd::append_node_prefix(&mut json, &node);
        let mut extras = Vec::new();
        pmd::append_node_extras(&mut extras, node.caps.as_deref(), node.meta.as_deref());
        node.session = None;
        let entry = Entry {
            node: Arc::new(node),
            json: json.into(),
            extras: extras.into(),
            last_heartbeat_wall_ms: binding.wall_ms,
            seen_ms: binding.seen_ms,
            conn: binding.conn,
            liveness: binding.liveness,
            generation,
            order: generation,
            suspect_probed: false,
        };
        (generation, entry)
    }

    /// Adds a node whose id and alias are free.
    pub fn insert(&mut self, node: Register, binding: Binding) -> Key {
        let (generation, entry) = self.entry(node, binding);
        let key = self.free.pop().unwrap_or(self.entries.len() as Key);
        self.by_id.insert(entry.node.node_id.clone(), key);
        if let Some(alias) = &entry.node.alias {
            self.by_alias.insert(alias.clone(), key);
        }
        self.order.insert(generation, key);
        if key as usize == self.entries.len() {
            self.entries.push(Some(entry));
        } else {
            self.entries[key as usize] = Some(entry);
        }
        key
    }

    /// Replaces what a node registered, keeping its place in the order of the others;
    /// returns what was there.
    pub fn replace(&mut self, key: Key, node: Register, binding: Binding) -> Option<Entry> {
        let (generation, entry) = self.entry(node, binding);
        let old = self.entries.get_mut(key as usize)?.take()?;
        if let Some(alias) = &old.node.alias
            && !crate::plant::active("alias_leak")
        {
            self.by_alias.remove(alias.as_str());
        }
        if let Some(alias) = &entry.node.alias {
            self.by_alias.insert(alias.clone(), key);
        }
        // The generation is new, for the token; the place in `list` is the old one.
        debug_assert!(generation > old.generation);
        self.entries[key as usize] = Some(Entry {
            order: old.order,
            ..entry
        });
        Some(old)
    }

    pub fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.get_mut(key as usize)?.take()?;
        self.free.push(key);
        self.by_id.remove(entry.node.node_id.as_str());
        if let Some(alias) = &entry.node.alias
            && self.by_alias.get(alias.as_str()) == Some(&key)
        {
            self.by_alias.remove(alias.as_str());
        }
        self.order.remove(&entry.order);
        Some(entry)
    }
}
