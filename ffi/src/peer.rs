//! Nodes as the registry describes them.

use std::ffi::c_void;

use distflow_core::wire::pmd::Register;
use distflow_core::{NodeInfo, Result};

use crate::block::{self, Block};
use crate::bytes::distflow_bytes;
use crate::convert;
use crate::guard::quietly;

/// A node as the registry describes it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct distflow_peer {
    /// Its node id.
    pub node_id: distflow_bytes,
    /// Its alias; length 0 when it has none.
    pub alias: distflow_bytes,
    /// The host at which it takes messages.
    pub host: distflow_bytes,
    /// What it can do beyond the original packages: a JSON array of strings; length 0 for those.
    pub capabilities: distflow_bytes,
    /// Its metadata: a JSON object; length 0 when it registered none.
    pub meta: distflow_bytes,
    /// Unix milliseconds of its registration or last heartbeat; 0 when that is unknown.
    pub last_heartbeat_ms: u64,
    /// The port at which it takes messages.
    pub port: u16,
    /// Zero; for later versions.
    pub reserved: [u16; 11],
}

/// Several nodes. Owned; freed with `distflow_peers_free`.
#[repr(C)]
#[derive(Debug)]
pub struct distflow_peers {
    /// The nodes, valid until freed; NULL when there are none.
    pub items: *const distflow_peer,
    /// How many.
    pub len: usize,
    /// What owns it all; not to be touched.
    pub memory: *mut c_void,
}

impl distflow_peers {
    pub(crate) const EMPTY: Self = Self {
        items: std::ptr::null(),
        len: 0,
        memory: std::ptr::null_mut(),
    };
}

/// Releases the nodes and empties the struct, so that doing it twice is harmless.
///
/// Ownership: takes what `peers` owns; `peers` itself stays the caller's, and may be NULL.
/// Blocks: no. In a callback: allowed. Statuses: none.
///
/// # Safety
/// `peers` must be NULL, or point to a struct that is all zero or was filled in by distflow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_peers_free(peers: *mut distflow_peers) {
    quietly(|| {
        if convert::check_out("peers", peers).is_ok() {
            // SAFETY: not NULL, and the caller promises what it holds.
            unsafe {
                let owned = peers.replace(distflow_peers::EMPTY);
                block::free(owned.memory);
            }
        }
    });
}

/// The texts of a node, in the order of the struct's members.
pub(crate) struct Texts {
    texts: [String; 5],
    last_heartbeat_ms: u64,
    port: u16,
}

impl Texts {
    pub(crate) fn of_info(info: &NodeInfo) -> Self {
        let caps = match info.caps.as_slice() {
            [] => String::new(),
            // Strings always can be written.
            caps => serde_json::to_string(caps).unwrap_or_default(),
        };
        Self {
            texts: [
                info.node_id.clone(),
                info.alias.clone().unwrap_or_default(),
                info.host.clone(),
                caps,
                info.meta
                    .as_ref()
                    .map(|meta| meta.get().to_owned())
                    .unwrap_or_default(),
            ],
            last_heartbeat_ms: info.last_heartbeat,
            port: info.port,
        }
    }

    pub(crate) fn of_register(node: &Register) -> Self {
        let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
        let alias = node.alias.as_ref().map(|alias| alias.as_str());
        Self {
            texts: [
                node.node_id.as_str().to_owned(),
                alias.unwrap_or_default().to_owned(),
                node.host.as_str().to_owned(),
                text(&node.caps),
                text(&node.meta),
            ],
            last_heartbeat_ms: 0,
            port: node.port,
        }
    }

    /// No node.
    pub(crate) fn none() -> Self {
        Self {
            texts: Default::default(),
            last_heartbeat_ms: 0,
            port: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }

    pub(crate) const COUNT: usize = 5;

    pub(crate) fn put(&self, block: &mut Block) -> distflow_peer {
        let [node_id, alias, host, capabilities, meta] =
            [0, 1, 2, 3, 4].map(|i: usize| block.put(self.texts[i].as_bytes()));
        distflow_peer {
            node_id,
            alias,
            host,
            capabilities,
            meta,
            last_heartbeat_ms: self.last_heartbeat_ms,
            port: self.port,
            reserved: [0; 11],
        }
    }
}

/// Hands nodes to C.
pub(crate) fn peers(nodes: impl Iterator<Item = Texts>) -> Result<distflow_peers> {
    let nodes: Vec<Texts> = nodes.collect();
    if nodes.is_empty() {
        return Ok(distflow_peers::EMPTY);
    }
    let bytes = nodes.iter().map(Texts::len).sum();
    let texts = nodes.len() * Texts::COUNT;
    let mut block = Block::new::<distflow_peer>(nodes.len(), bytes, texts)?;
    let items = block.items::<distflow_peer>();
    for (i, node) in nodes.iter().enumerate() {
        let peer = node.put(&mut block);
        // SAFETY: the block begins with room for that many.
        unsafe { items.add(i).write(peer) };
    }
    Ok(distflow_peers {
        items,
        len: nodes.len(),
        memory: block.release(),
    })
}
