//! What a node's state is made with, and what it asks its owner to do.

use std::sync::Arc;

use super::event::NodeEvent;
use super::outbound::LinkAction;
use crate::error::Result;
use crate::limits;
use crate::wire::pmd::{NodeInfo, Register};

/// Turns the node objects of a PMD into what they say. The nodes of a process can share what they
/// are all told.
pub trait Describe: std::fmt::Debug + Send + Sync {
    /// The node of a JSON text.
    fn describe(&self, text: &str) -> Result<Arc<NodeInfo>>;
}

/// Shares nothing.
#[derive(Debug)]
struct Parse;

impl Describe for Parse {
    fn describe(&self, text: &str) -> Result<Arc<NodeInfo>> {
        NodeInfo::parse(text).map(Arc::new)
    }
}

/// A call that ends later, numbered by the node's state.
pub type CallId = u64;

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    /// A send, the start or the shutdown is done.
    Done(Result<()>),
    /// The answer to `discover`.
    Peers(Result<Vec<NodeInfo>>),
}

/// What the owner of a node's state has to do.
#[derive(Debug)]
pub enum Action {
    /// Connect to the PMD and report `pmd_connected` or `pmd_connect_failed`.
    PmdConnect,
    /// Launch a PMD and report `pmd_launched`.
    PmdLaunch,
    /// Write what `take_pmd_bytes` gives.
    PmdFlush,
    /// Close the connection to the PMD.
    PmdDrop,
    /// Do something for a link.
    Link(LinkAction),
    /// Tell the application.
    Event(NodeEvent),
    /// A peer left: forget its stream.
    Forget(String),
    /// A call ended.
    Ended(CallId, Outcome),
    /// The node has ended: close everything.
    Stopped,
}

/// What a node is made with.
#[derive(Debug, Clone)]
pub struct Config {
    /// What it registers, with the port it listens on.
    pub node: Register,
    /// Where its PMD is, for error texts: host and port.
    pub pmd: String,
    /// Identity of this run; larger than that of any earlier run with the same node id.
    pub incarnation: u64,
    /// Spreads retries.
    pub seed: u64,
    /// Send a heartbeat this often; `None` = never.
    pub heartbeat_ms: Option<u64>,
    /// Whether a PMD may be launched when none answers.
    pub may_launch: bool,
    /// Time for the whole start.
    pub start_timeout_ms: u64,
    /// Time for one request to the PMD.
    pub request_timeout_ms: u64,
    /// Time for flushing and saying good-bye at shutdown.
    pub shutdown_ms: u64,
    /// Bytes waiting for one peer.
    pub queue_bytes_max: usize,
    /// Largest frame sent.
    pub frame_bytes_max: usize,
    /// What the nodes of this process know of others.
    pub known: Arc<dyn Describe>,
}

impl Config {
    /// Defaults for a node.
    pub fn new(node: Register, incarnation: u64, seed: u64) -> Self {
        Self {
            node,
            pmd: "the PMD's port".into(),
            incarnation,
            seed,
            heartbeat_ms: None,
            may_launch: false,
            start_timeout_ms: limits::START_TIMEOUT_MS_DEFAULT,
            request_timeout_ms: limits::REQUEST_TIMEOUT_MS_DEFAULT,
            shutdown_ms: limits::SHUTDOWN_MS,
            queue_bytes_max: limits::LINK_QUEUE_BYTES_DEFAULT,
            frame_bytes_max: limits::NODE_FRAME_BYTES_MAX,
            known: Arc::new(Parse),
        }
    }
}

/// Messages this node took for sending, and what became of those it still knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendCounts {
    /// Messages accepted.
    pub sent: u64,
    /// Accepted messages given up before they were written.
    pub lost: u64,
}
