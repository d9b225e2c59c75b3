//! Options of a node.

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::mailbox::{MailboxConfig, Overflow};
use crate::names::{Alias, NodeId};
use crate::net::Detection;
use crate::node::Node;
use crate::pmd::Launcher;

/// How a node is set up. `NodeOptions::default()` is an unnamed node on loopback that finds or
/// launches the PMD on port 4369.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The name other nodes find this one by. Default none.
    pub alias: Option<String>,
    /// A fixed node id; default: 16 random hex digits. A restart with the same id is the same
    /// node to its peers.
    pub node_id: Option<String>,
    /// Host of the PMD. Default `localhost`.
    pub pmd_host: String,
    /// Port of the PMD. Default 4369.
    pub pmd_port: u16,
    /// Launch a PMD when none answers and `pmd_host` is `localhost`, `127.0.0.1` or `::1`, where
    /// a launched one listens. Default true.
    pub auto_start: bool,
    /// The command to launch it with; default: searched, see [`Launcher::find`].
    pub launcher: Option<Launcher>,
    /// When no `distflow` program is found to launch, serve as the PMD from this process, on
    /// the same port, for as long as this node runs. When it ends, another node takes over and
    /// all register again. Default false.
    pub embed_pmd: bool,
    /// Milliseconds without any node after which a launched PMD ends. Default 30,000.
    pub pmd_auto_shutdown_ms: u64,
    /// Host to listen on for messages; `localhost` means both loopback families. Default
    /// `localhost`.
    pub listen_host: String,
    /// Port to listen on; 0 picks a free one. Default 0.
    pub listen_port: u16,
    /// Allows a listening host beyond loopback although there is no authentication.
    pub insecure: bool,
    /// Host that peers are told to dial. Default: `localhost` when the PMD is on loopback,
    /// otherwise this machine's address towards the PMD.
    pub advertised_host: Option<String>,
    /// Metadata: a small JSON object that `peers` and `discover` show to others. Default none.
    pub meta: Option<String>,
    /// Bounds of the mailbox. Default 1,000 messages, 16 MiB, `drop-newest`.
    pub mailbox: MailboxConfig,
    /// Send heartbeats, so that a frozen process is noticed. Default false.
    pub use_heartbeat: bool,
    /// Interval of heartbeats in milliseconds. Default 1,000.
    pub heartbeat_interval_ms: u64,
    /// Be the only such node of this process, by the originals' lock file. The core itself can
    /// run many; the language packages' `start` sets this. Default false.
    pub exclusive: bool,
    /// Time for the whole start in milliseconds; until then, a PMD that does not answer yet is
    /// tried again. Default 5,000.
    pub start_timeout_ms: u64,
    /// Time for one request to the PMD in milliseconds. Default 5,000.
    pub request_timeout_ms: u64,
    /// Largest frame sent or accepted. A peer that accepts only smaller ones loses what is larger,
    /// and counts it. Default 16 MiB.
    pub frame_bytes_max: usize,
    /// Time in milliseconds to complete a frame that has begun. Default 10,000.
    pub frame_deadline_ms: u64,
    /// Bytes waiting to be written to one peer. Default 4 MiB.
    pub queue_bytes_max: usize,
    /// How silent connections are found dead.
    pub detection: Detection,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            alias: None,
            node_id: None,
            pmd_host: "localhost".into(),
            pmd_port: limits::PMD_PORT_DEFAULT,
            auto_start: true,
            launcher: None,
            embed_pmd: false,
            pmd_auto_shutdown_ms: limits::AUTO_SHUTDOWN_MS_DEFAULT,
            listen_host: "localhost".into(),
            listen_port: 0,
            insecure: false,
            advertised_host: None,
            meta: None,
            mailbox: MailboxConfig::default(),
            use_heartbeat: false,
            heartbeat_interval_ms: limits::HEARTBEAT_INTERVAL_MS,
            exclusive: false,
            start_timeout_ms: limits::START_TIMEOUT_MS_DEFAULT,
            request_timeout_ms: limits::REQUEST_TIMEOUT_MS_DEFAULT,
            frame_bytes_max: limits::NODE_FRAME_BYTES_MAX,
            frame_deadline_ms: limits::FRAME_DEADLINE_MS,
            queue_bytes_max: limits::LINK_QUEUE_BYTES_DEFAULT,
            detection: Detection::default(),
        }
    }
}

impl NodeOptions {
    /// Times so long that they mean "no limit" become ones that clocks can add.
    pub(super) fn bound_times(&mut self) {
        for ms in [
            &mut self.start_timeout_ms,
            &mut self.request_timeout_ms,
            &mut self.frame_deadline_ms,
            &mut self.pmd_auto_shutdown_ms,
        ] {
            *ms = (*ms).min(limits::TIME_MS_MAX);
        }
    }

    /// Checks what no type checks.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(ErrorKind::InvalidArgument, what.to_owned()));
        if self.pmd_port == 0 {
            return wrong("pmd_port must be 1 to 65535");
        }
        if self.mailbox.messages_max == 0 {
            return wrong("the mailbox must hold at least 1 message");
        }
        if !(50..=5_000).contains(&self.heartbeat_interval_ms) {
            return wrong("heartbeat_interval_ms must be 50 to 5000");
        }
        if self.queue_bytes_max == 0 {
            return wrong("queue_bytes_max must be at least 1");
        }
        if let Some(id) = &self.node_id {
            NodeId::new(id)?;
        }
        if let Some(alias) = self.alias.as_deref().filter(|alias| !alias.is_empty()) {
            Alias::new(alias)?;
        }
        self.detection.check()?;
        if self.frame_bytes_max < 1_024 || self.frame_bytes_max > u32::MAX as usize {
            return wrong("frame_bytes_max must be 1024 to 4294967295");
        }
        Ok(())
    }
}

/// Builds a node step by step; see [`NodeOptions`] for what each step means.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct NodeBuilder {
    options: NodeOptions,
}

impl NodeBuilder {
    /// Sets the alias.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.options.alias = Some(alias.into());
        self
    }

    /// Sets a fixed node id.
    pub fn node_id(mut self, node_id: impl Into<String>) -> Self {
        self.options.node_id = Some(node_id.into());
        self
    }

    /// Sets the PMD's port.
    pub fn pmd_port(mut self, port: u16) -> Self {
        self.options.pmd_port = port;
        self
    }

    /// Sets the PMD's host.
    pub fn pmd_host(mut self, host: impl Into<String>) -> Self {
        self.options.pmd_host = host.into();
        self
    }

    /// Whether a missing PMD is launched.
    pub fn auto_start(mut self, auto_start: bool) -> Self {
        self.options.auto_start = auto_start;
        self
    }

    /// Sets how many messages the mailbox holds and what happens when it is full.
    pub fn mailbox(mut self, messages_max: usize, overflow: Overflow) -> Self {
        self.options.mailbox.messages_max = messages_max;
        self.options.mailbox.overflow = overflow;
        self
    }

    /// Whether heartbeats are sent.
    pub fn use_heartbeat(mut self, use_heartbeat: bool) -> Self {
        self.options.use_heartbeat = use_heartbeat;
        self
    }

    /// Sets the metadata: a JSON object as text.
    pub fn meta(mut self, meta: impl Into<String>) -> Self {
        self.options.meta = Some(meta.into());
        self
    }

    /// Changes any other option.
    pub fn with(mut self, change: impl FnOnce(&mut NodeOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// The options so far.
    pub fn options(self) -> NodeOptions {
        self.options
    }

    /// Starts the node; see [`Node::start`].
    pub async fn start(self) -> Result<Node> {
        Node::start(self.options).await
    }

    /// Starts the node, blocking this thread; see [`Node::start`].
    pub fn start_blocking(self) -> Result<Node> {
        Node::start_blocking(self.options)
    }
}
