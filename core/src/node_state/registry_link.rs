//! A node's connection to its PMD: connect, greet, register, watch, and over again for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::CallId;
use super::config::Describe;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Rng;
use crate::limits;
use crate::time::{Now, earliest};
use crate::wire::frame;
use crate::wire::pmd::{
    Answer, Capabilities, FromPmd, LeaveCause, NodeInfo, Register, Snapshot, ToPmd, append_request,
    parse_from_pmd,
};

/// How a node deals with its registry.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub node: Register,
    /// Where the PMD is, for error texts: host and port.
    pub pmd: String,
    /// Send a heartbeat this often; `None` = never.
    pub heartbeat_ms: Option<u64>,
    /// Whether a PMD may be launched when none answers.
    pub may_launch: bool,
    pub start_timeout_ms: u64,
    pub request_timeout_ms: u64,
    pub known: Arc<dyn Describe>,
}

/// A question the node has for the PMD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    Resolve(String),
    Discover(CallId, Option<String>),
    /// Who has an id, to know its alias.
    Introduce(CallId, String),
    Unregister,
}

#[derive(Debug)]
enum Purpose {
    Hello,
    Register,
    Watch,
    /// The snapshot of an original, which gives none with `watch`.
    Snapshot,
    Heartbeat,
    Ask(Ask),
}

/// What the link reports to its node.
#[derive(Debug)]
pub(super) enum Output {
    Connect,
    Launch,
    Drop,
    /// The first registration succeeded, or a later one after a loss.
    Ready,
    Lost(Error),
    Refused(Error),
    StartFailed(Error),
    /// Everyone who is registered; `grace_ms` is set when the PMD may not know all yet.
    Snapshot(Vec<Arc<NodeInfo>>, Option<u64>),
    Join(Arc<NodeInfo>),
    Leave(Arc<NodeInfo>, LeaveCause),
    Answer(Ask, Result<Answer>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting { until_ms: u64 },
    Connecting,
    Launching,
    Greeting { until_ms: u64 },
    Joining,
    Ready,
    Stopped,
}

#[derive(Debug)]
pub(super) struct RegistryLink {
    config: Config,
    phase: Phase,
    rng: Rng,
    pub out: Vec<u8>,
    pub outputs: Vec<Output>,
    next_request: u64,
    /// Requests in flight, by number, which is by deadline as well.
    pending: BTreeMap<u64, (Purpose, u64)>,
    caps: Capabilities,
    starting: bool,
    start_deadline_ms: u64,
    last_error: Option<Error>,
    failures: u32,
    strikes: u32,
    /// What the PMD said that is no answer to a request: why it is about to hang up.
    last_words: Option<Error>,
    /// Not before this may a lost PMD be launched anew by this node.
    launch_after_ms: u64,
    heartbeat_at_ms: Option<u64>,
    epoch: Option<String>,
    rev: Option<u64>,
    session: Option<Box<str>>,
    was_ready: bool,
}

impl RegistryLink {
    pub fn new(config: Config, seed: u64, now: Now) -> Self {
        Self {
            start_deadline_ms: now.mono_ms + config.start_timeout_ms,
            config,
            phase: Phase::Waiting {
                until_ms: now.mono_ms,
            },
            rng: Rng::new(seed),
            out: Vec::new(),
            outputs: Vec::new(),
            next_request: 1,
            pending: BTreeMap::new(),
            caps: Capabilities::default(),
            starting: true,
            last_error: None,
            failures: 0,
            strikes: 0,
            last_words: None,
            launch_after_ms: now.mono_ms,
            heartbeat_at_ms: None,
            epoch: None,
            rev: None,
            session: None,
            was_ready: false,
        }
    }

    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Whether the PMD keeps capabilities and metadata of nodes; an original does not.
    pub fn keeps_extras(&self) -> bool {
        self.caps.meta
    }

    fn wanted_caps(&self) -> Capabilities {
        Capabilities {
            heartbeat: self.config.heartbeat_ms.is_some(),
            ..Capabilities::all()
        }
    }

    fn request(&mut self, now: Now, request: ToPmd<'_>, purpose: Purpose) {
        let number = self.next_request;
        self.next_request += 1;
        // Names and metadata were checked, so no request of ours comes near the limit.
        let _ = frame::append(&mut self.out, limits::PMD_FRAME_BYTES_MAX, |out| {
            append_request(out, number, request);
        });
        let deadline_ms = now.mono_ms + self.config.request_timeout_ms;
        self.pending.insert(number, (purpose, deadline_ms));
    }

    pub fn ask(&mut self, now: Now, ask: Ask) -> Result<()> {
        if self.phase != Phase::Ready {
            return Err(Error::not_connected());
        }
        if self.pending.len() >= limits::REQUESTS_PENDING_MAX {
            return Err(Error::new(
                ErrorKind::Busy,
                "too many requests to the PMD are waiting",
            ));
        }
        let own = self.config.node.node_id.clone();
        let prefix = match &ask {
            Ask::Discover(_, prefix) => prefix.clone().filter(|_| self.caps.rev),
            _ => None,
        };
        let name = match &ask {
            Ask::Resolve(name) | Ask::Introduce(_, name) => name.clone(),
            _ => String::new(),
        };
        let request = match &ask {
            Ask::Resolve(_) | Ask::Introduce(..) => ToPmd::Resolve(&name),
            Ask::Discover(..) => ToPmd::List(prefix.as_deref()),
            Ask::Unregister => ToPmd::Unregister(own.as_str()),
        };
        self.request(now, request, Purpose::Ask(ask));
        Ok(())
    }

    // ------------------------------------------------------------------ connection

    pub fn connected(&mut self, now: Now) {
        if self.phase != Phase::Connecting {
            return self.outputs.push(Output::Drop);
        }
        self.out.clear();
        self.caps = Capabilities::default();
        self.phase = Phase::Greeting {
            until_ms: now.mono_ms + limits::HANDSHAKE_TIMEOUT_MS,
        };
        let caps = self.wanted_caps();
        self.request(now, ToPmd::Hello(caps), Purpose::Hello);
    }

    /// `refused` says that nothing listens on the port.
    pub fn connect_failed(&mut self, now: Now, error: Error, refused: bool) {
        if self.phase != Phase::Connecting {
            return;
        }
        if refused && self.config.may_launch && now.mono_ms >= self.launch_after_ms {
            self.phase = Phase::Launching;
            self.outputs.push(Output::Launch);
        } else {
            self.retry(now, error);
        }
    }

    pub fn launched(&mut self, now: Now, result: Result<()>) {
        if self.phase != Phase::Launching {
            return;
        }
        match result {
            Ok(()) => self.connect(),
            Err(error) => {
                self.launch_after_ms = now.mono_ms + limits::RECONNECT_MS_MAX;
                if self.starting {
                    self.fail_start(error);
                } else {
                    self.retry(now, error);
                }
            }
        }
    }

    pub fn closed(&mut self, now: Now, error: Error) {
        let error = self.last_words.take().unwrap_or(error);
        match self.phase {
            // It is a PMD, and may have room later.
            Phase::Greeting { .. } if error.kind() == ErrorKind::Busy => self.lose(now, error),
            Phase::Greeting { .. } => {
                // A PMD that is just ending closes like this as well; a stranger does it again.
                self.strikes += 1;
                if self.strikes >= 2 {
                    return self.not_a_pmd(now, error);
                }
                self.lose(now, error);
            }
            Phase::Joining | Phase::Ready => self.lose(now, error),
            _ => {}
        }
    }

    fn not_a_pmd(&mut self, now: Now, cause: Error) {
        self.strikes = 0;
        let pmd = &self.config.pmd;
        let text = if cause.kind() == ErrorKind::Timeout {
            format!(
                "something accepts connections on {pmd}, but does not answer: it is not a \
                 distflow PMD, or one that hangs"
            )
        } else {
            format!(
                "something answers on {pmd}, but it is not a distflow PMD (Erlang's epmd \
                 also uses port 4369); stop it or choose another port"
            )
        };
        let error = Error::new(ErrorKind::NotPmd, text).because(cause);
        self.outputs.push(Output::Drop);
        if self.starting {
            self.fail_start(error);
        } else {
            self.lose(now, error);
        }
    }

    fn connect(&mut self) {
        self.phase = Phase::Connecting;
        self.outputs.push(Output::Connect);
    }

    fn fail_start(&mut self, error: Error) {
        self.starting = false;
        self.phase = Phase::Stopped;
        self.outputs.push(Output::StartFailed(error));
    }

    /// The connection is gone: everything in flight fails at once.
    fn lose(&mut self, now: Now, error: Error) {
        self.out.clear();
        self.heartbeat_at_ms = None;
        if std::mem::take(&mut self.was_ready) {
            self.failures = 0;
            self.outputs.push(Output::Lost(error.clone()));
        }
        self.fail_pending();
        self.retry(now, error);
    }

    /// Narrows the time until this node may launch a PMD to what its number of peers needs.
    pub fn spread_launch(&mut self, now: Now, peers: usize) {
        let spread = limits::RELAUNCH_SPREAD_PER_PEER_MS.saturating_mul(peers as u64);
        let spread = spread.min(limits::RELAUNCH_SPREAD_MS_MAX);
        self.launch_after_ms = now.mono_ms + self.rng.below(spread.max(1));
    }

    fn fail_pending(&mut self) {
        for (_, (purpose, _)) in std::mem::take(&mut self.pending) {
            if let Purpose::Ask(ask) = purpose {
                self.outputs
                    .push(Output::Answer(ask, Err(Error::not_connected())));
            }
        }
    }

    fn retry(&mut self, now: Now, error: Error) {
        self.last_error = Some(error);
        let longest = if self.starting {
            limits::RECONNECT_MS_MIN
        } else {
            limits::RECONNECT_MS_MAX
        };
        let longest = if crate::plant::active("slow_reconnect") {
            8 * longest
        } else {
            longest
        };
        let step = (limits::RECONNECT_MS_MIN << self.failures.min(16)).min(longest);
        self.failures += 1;
        // Between half and all of the step, so that many nodes do not come in lockstep.
        let pause = step / 2 + self.rng.below(step / 2 + 1);
        self.phase = Phase::Waiting {
            until_ms: now.mono_ms + pause,
        };
    }

    /// Says good-bye to the PMD for good.
    pub fn stop(&mut self) {
        self.fail_pending();
        self.phase = Phase::Stopped;
        self.heartbeat_at_ms = None;
        self.outputs.push(Output::Drop);
    }

    // ------------------------------------------------------------------ conversation

    /// Takes a frame. An error means that the other side does not speak the protocol; the
    /// caller closes the connection and reports `closed`.
    pub fn frame(&mut self, now: Now, body: &[u8]) -> Result<()> {
        match parse_from_pmd(body)? {
            FromPmd::Response {
                request_id,
                payload,
            } => {
                if request_id.is_none() {
                    self.last_words = Answer::parse_last_words(payload);
                }
                let pending = request_id.and_then(|id| self.pending.remove(&id));
                // A late answer after a timeout is ignored.
                match pending {
                    Some((Purpose::Watch, _)) => self.watching(now, Snapshot::parse(payload))?,
                    Some((Purpose::Snapshot, _)) => self.listed(now, Snapshot::parse(payload))?,
                    Some((purpose, _)) => self.answered(now, purpose, Answer::parse(payload)),
                    None => {}
                }
            }
            FromPmd::Join { peer, rev } => {
                let peer = self.config.known.describe(peer.get())?;
                if self.in_order(now, rev) {
                    self.outputs.push(Output::Join(peer));
                }
            }
            FromPmd::Leave { peer, rev, cause } => {
                let peer = self.config.known.describe(peer.get())?;
                if self.in_order(now, rev) {
                    self.outputs.push(Output::Leave(peer, cause));
                }
            }
            FromPmd::Probe(number) => {
                let id = self.config.node.node_id.clone();
                let request = ToPmd::Heartbeat(id.as_str(), Some(number));
                self.request(now, request, Purpose::Heartbeat);
            }
            FromPmd::Other => {}
        }
        Ok(())
    }

    /// Whether an event follows the last one. A gap would mean a missed event, and the watch
    /// is asked for anew.
    fn in_order(&mut self, now: Now, rev: Option<u64>) -> bool {
        match (rev, self.rev) {
            (None, _) => true,
            // The snapshot will have it.
            (Some(_), None) => false,
            (Some(rev), Some(known)) if rev == known + 1 => {
                self.rev = Some(rev);
                true
            }
            (Some(rev), Some(known)) if rev <= known => false,
            (Some(_), Some(_)) if crate::plant::active("gap_ignored") => {
                self.rev = rev;
                true
            }
            (Some(_), Some(_)) => {
                self.rev = None;
                self.request(now, ToPmd::Watch, Purpose::Watch);
                false
            }
        }
    }

    /// Registers and watches anew on the connection that is there.
    pub fn rejoin(&mut self, now: Now) {
        if self.phase == Phase::Ready {
            self.join(now);
        }
    }

    fn join(&mut self, now: Now) {
        self.phase = Phase::Joining;
        let mut node = self.config.node.clone();
        if self.caps.meta {
            node.session = self.session.clone();
        } else {
            (node.caps, node.meta, node.session) = (None, None, None);
        }
        self.rev = None;
        self.request(now, ToPmd::Register(&node), Purpose::Register);
        if self.starting && !self.caps.rev {
            // An original may refuse the registration; nothing else is asked before.
            return;
        }
        self.request(now, ToPmd::Watch, Purpose::Watch);
    }

    fn answered(&mut self, now: Now, purpose: Purpose, answer: Result<Answer>) {
        match (purpose, answer) {
            (Purpose::Hello, Ok(answer)) => {
                self.caps = Capabilities::from_names(answer.caps.iter().map(String::as_str))
                    .and(self.wanted_caps());
                self.strikes = 0;
                self.join(now);
            }
            (Purpose::Hello, Err(error)) if error.kind() == ErrorKind::Refused => {
                // An original: `Unknown message type`.
                self.strikes = 0;
                self.join(now);
            }
            (Purpose::Hello, Err(error)) => self.not_a_pmd(now, error),
            (Purpose::Register, Ok(answer)) => {
                self.session = answer.session.map(Into::into);
                self.heartbeat_at_ms = self.config.heartbeat_ms.map(|ms| now.mono_ms + ms);
                if self.starting && !self.caps.rev {
                    self.request(now, ToPmd::Watch, Purpose::Watch);
                }
            }
            (Purpose::Register, Err(error)) => {
                self.outputs.push(Output::Drop);
                if self.starting {
                    self.pending.clear();
                    self.fail_start(error);
                } else {
                    self.outputs.push(Output::Refused(error.clone()));
                    self.lose(now, error);
                }
            }
            // These have answers of their own.
            (Purpose::Watch | Purpose::Snapshot, _) => {}
            (Purpose::Heartbeat, Err(error)) if error.kind() == ErrorKind::NodeNotFound => {
                self.join(now);
            }
            (Purpose::Heartbeat, _) => {}
            (Purpose::Ask(ask), answer) => self.outputs.push(Output::Answer(ask, answer)),
        }
    }

    fn nodes(&self, texts: &[&RawValue]) -> Result<Vec<Arc<NodeInfo>>> {
        let nodes = texts.iter();
        nodes
            .map(|text| self.config.known.describe(text.get()))
            .collect()
    }

    /// The answer to `watch`.
    fn watching(&mut self, now: Now, answer: Result<Snapshot<'_>>) -> Result<()> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.not_watching(now, error);
                return Ok(());
            }
        };
        let (Some(nodes), Some(rev)) = (&answer.nodes, answer.rev) else {
            self.request(now, ToPmd::List(None), Purpose::Snapshot);
            return Ok(());
        };
        let nodes = self.nodes(nodes)?;
        self.rev = Some(rev);
        // The one before may have been an original, which has no epoch.
        let restarted = !self.starting
            && self.epoch != answer.epoch
            && !(crate::plant::active("kind_restarts") && self.epoch.is_none());
        self.epoch = answer.epoch;
        let grace = restarted.then_some(answer.warming.max(1));
        self.snapshot(nodes, grace);
        Ok(())
    }

    /// The list of an original, which gives no snapshot with `watch`.
    fn listed(&mut self, now: Now, answer: Result<Snapshot<'_>>) -> Result<()> {
        match answer {
            Ok(answer) => {
                // An original does not say whether it restarted, so it may have.
                let again = !self.starting && self.phase != Phase::Ready;
                self.epoch = None;
                let nodes = self.nodes(&answer.nodes.unwrap_or_default())?;
                self.snapshot(nodes, again.then_some(limits::WARMING_MS));
            }
            Err(error) => self.not_watching(now, error),
        }
        Ok(())
    }

    fn not_watching(&mut self, now: Now, error: Error) {
        self.outputs.push(Output::Drop);
        self.lose(now, error);
    }

    fn snapshot(&mut self, nodes: Vec<Arc<NodeInfo>>, grace: Option<u64>) {
        let grace = grace.filter(|_| !crate::plant::active("no_grace"));
        self.outputs.push(Output::Snapshot(nodes, grace));
        if self.phase == Phase::Joining {
            self.phase = Phase::Ready;
            self.starting = false;
            self.was_ready = true;
            self.failures = 0;
            self.outputs.push(Output::Ready);
        }
    }

    // ------------------------------------------------------------------ time

    pub fn next_deadline_ms(&self) -> Option<u64> {
        let phase = match self.phase {
            Phase::Waiting { until_ms } | Phase::Greeting { until_ms } => Some(until_ms),
            _ => None,
        };
        let start = self.starting.then_some(self.start_deadline_ms);
        let request = self.pending.first_key_value().map(|(_, (_, at))| *at);
        earliest([phase, start, request, self.heartbeat_at_ms])
    }

    pub fn tick(&mut self, now: Now) {
        if self.starting && now.mono_ms >= self.start_deadline_ms {
            let error = self.not_in_time();
            self.outputs.push(Output::Drop);
            self.fail_start(error);
        }
        match self.phase {
            Phase::Waiting { until_ms } if now.mono_ms >= until_ms => self.connect(),
            Phase::Greeting { until_ms } if now.mono_ms >= until_ms => {
                self.not_a_pmd(now, Error::request_timeout());
            }
            _ => {}
        }
        if self.heartbeat_at_ms.is_some_and(|at| now.mono_ms >= at) {
            let interval = self
                .config
                .heartbeat_ms
                .unwrap_or(limits::HEARTBEAT_INTERVAL_MS);
            self.heartbeat_at_ms = Some(now.mono_ms + interval);
            let id = self.config.node.node_id.clone();
            let request = ToPmd::Heartbeat(id.as_str(), None);
            self.request(now, request, Purpose::Heartbeat);
        }
        self.expire_requests(now);
    }

    /// The error of a start whose time is over. Its text has the cause, since not every language
    /// shows another error's.
    fn not_in_time(&mut self) -> Error {
        let Config {
            pmd,
            start_timeout_ms,
            ..
        } = &self.config;
        let text = format!("no PMD answered on {pmd} within {start_timeout_ms} ms");
        let Some(cause) = self.last_error.take() else {
            let doing = match self.phase {
                Phase::Launching => "one was being launched",
                Phase::Greeting { .. } => "what listens there had not answered yet",
                Phase::Joining => "it was being asked to register this node",
                _ => "the connection was not made yet",
            };
            return Error::new(ErrorKind::PmdUnavailable, format!("{text}: {doing}"));
        };
        let kind = match cause.kind() {
            ErrorKind::Busy => ErrorKind::Busy,
            _ => ErrorKind::PmdUnavailable,
        };
        // The deepest one says most: what the system said.
        Error::new(kind, format!("{text}: {}", cause.root())).because(cause)
    }

    fn expire_requests(&mut self, now: Now) {
        while let Some(entry) = self.pending.first_entry() {
            if entry.get().1 > now.mono_ms {
                return;
            }
            match entry.remove().0 {
                Purpose::Ask(ask) => self
                    .outputs
                    .push(Output::Answer(ask, Err(Error::request_timeout()))),
                Purpose::Heartbeat => {}
                // A PMD that leaves these unanswered is as good as gone.
                Purpose::Hello | Purpose::Register | Purpose::Watch | Purpose::Snapshot => {
                    self.outputs.push(Output::Drop);
                    return self.lose(now, Error::request_timeout());
                }
            }
        }
    }
}
