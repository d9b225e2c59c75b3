//! The logic of a node: its registry link, its table of peers, its links to them.
//!
//! Pure state machines: sockets, clock, randomness and threads belong to `node` or to the
//! simulator. Every method takes the time and leaves what is to be done in a queue of
//! [`Action`]s.

mod config;
mod event;
mod inbound;
mod link;
mod outbound;
mod peers;
mod registry_link;
mod sending;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

pub use config::{Action, CallId, Config, Describe, Outcome, SendCounts};
pub use event::NodeEvent;
pub use inbound::{Inbound, InboundId, Verdict};
pub use outbound::{LinkAction, LinkId, Sent};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::time::{Now, earliest};
use crate::wire::peer::Payload;
use crate::wire::pmd::{LeaveCause, NodeInfo};
use outbound::Outbound;
use peers::{Change, Peers};
use registry_link::{Ask, RegistryLink};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Starting,
    Running,
    /// Flushing until the deadline.
    Flushing(u64),
    /// Waiting for the answer to `unregister` until the deadline.
    Leaving(u64),
    Stopped,
}

/// The state machine. See the module's documentation.
#[derive(Debug)]
pub struct NodeState {
    id: String,
    life: Life,
    registry: RegistryLink,
    peers: Peers,
    outbound: Outbound,
    /// Where the last message went; most go where the one before went. Forgotten with any
    /// change of the table or of a link.
    last_target: Option<(String, LinkId)>,
    /// Messages whose target is being resolved, by target, in order.
    resolving: HashMap<String, VecDeque<(CallId, Payload)>>,
    resolving_count: usize,
    resolving_bytes: usize,
    grace_until_ms: Option<u64>,
    was_lost: bool,
    overflow: Overflow,
    shutdown_ms: u64,
    next_call: CallId,
    start_calls: Vec<CallId>,
    shutdown_calls: Vec<CallId>,
    actions: VecDeque<Action>,
}

#[derive(Debug, Default)]
struct Overflow {
    total: u64,
    reported: u64,
    next_event_ms: u64,
}

impl NodeState {
    /// A node that begins to connect with the first `tick`.
    pub fn new(config: Config, now: Now) -> Self {
        let id = config.node.node_id.clone();
        Self {
            id: id.as_str().to_owned(),
            life: Life::Starting,
            outbound: Outbound::new(
                id,
                config.node.alias.clone(),
                config.incarnation,
                config.queue_bytes_max,
                config.frame_bytes_max,
            ),
            registry: RegistryLink::new(
                registry_link::Config {
                    node: config.node,
                    heartbeat_ms: config.heartbeat_ms,
                    may_launch: config.may_launch,
                    start_timeout_ms: config.start_timeout_ms,
                    request_timeout_ms: config.request_timeout_ms,
                    known: config.known,
                    pmd: config.pmd,
                },
                config.seed,
                now,
            ),
            peers: Peers::default(),
            last_target: None,
            resolving: HashMap::new(),
            resolving_count: 0,
            resolving_bytes: 0,
            grace_until_ms: None,
            was_lost: false,
            overflow: Overflow::default(),
            shutdown_ms: config.shutdown_ms,
            next_call: 1,
            start_calls: Vec::new(),
            shutdown_calls: Vec::new(),
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn pop_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn call(&mut self) -> CallId {
        let call = self.next_call;
        self.next_call += 1;
        call
    }

    /// Whether it is registered and its table of peers is current.
    pub fn is_registered(&self) -> bool {
        self.registry.is_ready()
    }

    /// Whether it has ended, by shutdown or because it could not start.
    pub fn is_stopped(&self) -> bool {
        self.life == Life::Stopped
    }

    /// Everyone else it knows, in order of node id.
    pub fn peers(&self) -> Vec<Arc<NodeInfo>> {
        let mut all = self.peers.all();
        all.retain(|peer| peer.node_id != self.id);
        all
    }

    /// The node of an id.
    pub fn peer(&self, id: &str) -> Option<&Arc<NodeInfo>> {
        self.peers.lookup(id).filter(|peer| peer.node_id == id)
    }

    /// Asks the PMD for a node that the table does not have yet; the call ends with the answer, or
    /// without one. `None` when there is nothing to wait for.
    pub fn introduce(&mut self, now: Now, id: &str) -> Option<CallId> {
        if self.peer(id).is_some() || self.life != Life::Running {
            return None;
        }
        let call = self.call();
        let asked = self.registry.ask(now, Ask::Introduce(call, id.to_owned()));
        self.actions.push_back(Action::PmdFlush);
        asked.is_ok().then_some(call)
    }

    /// What it sent.
    pub fn send_counts(&self) -> SendCounts {
        SendCounts {
            sent: self.outbound.accepted,
            lost: self.outbound.lost,
        }
    }

    // ------------------------------------------------------------------ calls

    fn check_running(&self) -> Result<()> {
        match self.life {
            Life::Running => Ok(()),
            Life::Starting => Err(Error::not_started()),
            Life::Flushing(_) | Life::Leaving(_) | Life::Stopped => Err(Error::ended()),
        }
    }

    /// A call that ends when the start has succeeded or failed.
    pub fn started(&mut self) -> CallId {
        let call = self.call();
        self.start_calls.push(call);
        call
    }

    /// Asks the PMD for everyone who is registered, optionally by alias prefix.
    pub fn discover(&mut self, now: Now, prefix: Option<String>) -> Result<CallId> {
        self.check_running()?;
        let call = self.call();
        self.registry.ask(now, Ask::Discover(call, prefix))?;
        self.actions.push_back(Action::PmdFlush);
        Ok(call)
    }

    /// Flushes for at most so long, unregisters and ends. The call ends when that is done; `None`
    /// when the node has ended already. A later call can give more time, but not less.
    pub fn shutdown(&mut self, now: Now, flush_ms: u64) -> Option<CallId> {
        if self.life == Life::Stopped {
            return None;
        }
        let call = self.call();
        self.shutdown_calls.push(call);
        let mut deadline_ms = now.mono_ms.saturating_add(flush_ms);
        if crate::plant::active("slow_end") {
            deadline_ms = deadline_ms.saturating_add(2_000);
        }
        match self.life {
            Life::Starting | Life::Running => self.life = Life::Flushing(deadline_ms),
            Life::Flushing(until_ms) => self.life = Life::Flushing(until_ms.max(deadline_ms)),
            Life::Leaving(_) | Life::Stopped => {}
        }
        self.advance_shutdown(now);
        Some(call)
    }

    fn advance_shutdown(&mut self, now: Now) {
        if let Life::Flushing(deadline_ms) = self.life
            && (self.outbound.is_flushed() || now.mono_ms >= deadline_ms)
        {
            let asked = self.registry.ask(now, Ask::Unregister);
            self.actions.push_back(Action::PmdFlush);
            match asked {
                Ok(()) => self.life = Life::Leaving(now.mono_ms + self.shutdown_ms),
                Err(_) => self.stop(&Error::ended()),
            }
        }
        if let Life::Leaving(deadline_ms) = self.life
            && now.mono_ms >= deadline_ms
        {
            self.stop(&Error::ended());
        }
    }

    fn stop(&mut self, error: &Error) {
        self.life = Life::Stopped;
        self.registry.stop();
        self.drain_registry_outputs(Now::default());
        self.outbound.abandon_all(&Error::new(
            ErrorKind::Closed,
            "the node ended before the message was written",
        ));
        self.drain_outbound();
        for (_, waiting) in std::mem::take(&mut self.resolving) {
            for (call, _) in waiting {
                let outcome = Outcome::Done(Err(error.clone()));
                self.actions.push_back(Action::Ended(call, outcome));
            }
        }
        for call in std::mem::take(&mut self.start_calls) {
            let outcome = Outcome::Done(Err(error.clone()));
            self.actions.push_back(Action::Ended(call, outcome));
        }
        for call in std::mem::take(&mut self.shutdown_calls) {
            self.actions
                .push_back(Action::Ended(call, Outcome::Done(Ok(()))));
        }
        self.actions.push_back(Action::Stopped);
    }

    // ------------------------------------------------------------------ the PMD

    /// The bytes to write to the PMD.
    pub fn take_pmd_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.registry.out)
    }

    /// A connection to the PMD is there.
    pub fn pmd_connected(&mut self, now: Now) {
        self.registry.connected(now);
        self.drain_registry(now);
    }

    /// No connection; `refused` says that nothing listens on the port.
    pub fn pmd_connect_failed(&mut self, now: Now, error: Error, refused: bool) {
        self.registry.connect_failed(now, error, refused);
        self.drain_registry(now);
    }

    /// A launch succeeded or failed.
    pub fn pmd_launched(&mut self, now: Now, result: Result<()>) {
        self.registry.launched(now, result);
        self.drain_registry(now);
    }

    /// A frame's body arrived from the PMD. On an error the caller closes the connection and
    /// reports it.
    pub fn pmd_frame(&mut self, now: Now, body: &[u8]) -> Result<()> {
        let result = self.registry.frame(now, body);
        self.drain_registry(now);
        result
    }

    /// The connection to the PMD ended.
    pub fn pmd_closed(&mut self, now: Now, error: Error) {
        self.registry.closed(now, error);
        self.drain_registry(now);
    }

    fn drain_registry(&mut self, now: Now) {
        self.drain_registry_outputs(now);
        if !self.registry.out.is_empty() {
            self.actions.push_back(Action::PmdFlush);
        }
    }

    fn drain_registry_outputs(&mut self, now: Now) {
        for output in std::mem::take(&mut self.registry.outputs) {
            self.registry_output(now, output);
        }
    }

    fn registry_output(&mut self, now: Now, output: registry_link::Output) {
        use registry_link::Output;
        let mut changes = Vec::new();
        match output {
            Output::Connect => self.actions.push_back(Action::PmdConnect),
            Output::Launch => self.actions.push_back(Action::PmdLaunch),
            Output::Drop => self.actions.push_back(Action::PmdDrop),
            Output::StartFailed(error) => self.stop(&error),
            Output::Ready => self.ready(),
            Output::Lost(error) => {
                self.was_lost = true;
                self.registry.spread_launch(now, self.peers.len());
                self.event(NodeEvent::RegistryLost(error));
                if self.life != Life::Running {
                    self.advance_shutdown(now);
                }
            }
            Output::Refused(error) => self.event(NodeEvent::RegistrationRefused(error)),
            Output::Snapshot(nodes, grace) => {
                // Losing a PMD that just restarted does not give the others less time.
                let running = self.grace_until_ms.filter(|at| *at > now.mono_ms);
                self.grace_until_ms = grace.map(|ms| now.mono_ms + ms).or(running);
                let warming = self.grace_until_ms.is_some();
                let complete = self.registry.keeps_extras();
                self.peers.reconcile(nodes, complete, warming, &mut changes);
                if self.life == Life::Starting {
                    // Who was there before is not news.
                    changes.retain(|change| !matches!(change, Change::Join(_)));
                }
            }
            Output::Join(info) => {
                let complete = self.registry.keeps_extras();
                self.peers.join(info, complete, &mut changes);
            }
            Output::Leave(info, cause) => self.peers.leave(&info.node_id, cause, &mut changes),
            Output::Answer(ask, result) => self.answered(now, ask, result),
        }
        self.apply(now, changes);
    }

    fn ready(&mut self) {
        if self.life == Life::Starting {
            self.life = Life::Running;
            for call in std::mem::take(&mut self.start_calls) {
                self.actions
                    .push_back(Action::Ended(call, Outcome::Done(Ok(()))));
            }
        }
        if std::mem::take(&mut self.was_lost) {
            self.event(NodeEvent::RegistryRestored);
        }
    }

    fn answered(&mut self, now: Now, ask: Ask, result: Result<crate::wire::pmd::Answer>) {
        match ask {
            Ask::Resolve(target) => {
                let found = result.and_then(|answer| {
                    let node = answer
                        .node
                        .ok_or_else(|| Error::new(ErrorKind::NodeNotFound, "Node not found"))?;
                    // The watch has told of it already, unless the PMD is an original whose
                    // event is still to come.
                    let mut changes = Vec::new();
                    let complete = self.registry.keeps_extras();
                    self.peers.join(Arc::new(*node), complete, &mut changes);
                    self.apply(now, changes);
                    Ok(())
                });
                self.resolved(now, &target, found);
            }
            Ask::Introduce(call, id) => {
                let node = result.ok().and_then(|answer| answer.node);
                if let Some(node) = node.filter(|node| node.node_id == id) {
                    let mut changes = Vec::new();
                    let complete = self.registry.keeps_extras();
                    self.peers.join(Arc::new(*node), complete, &mut changes);
                    self.apply(now, changes);
                }
                let outcome = Outcome::Done(Ok(()));
                self.actions.push_back(Action::Ended(call, outcome));
            }
            Ask::Discover(call, prefix) => {
                let peers = result.map(|answer| {
                    let mut nodes = answer.nodes.unwrap_or_default();
                    let prefix = prefix.unwrap_or_default();
                    nodes.retain(|node| {
                        node.node_id != self.id
                            && node.alias.as_deref().unwrap_or("").starts_with(&prefix)
                    });
                    nodes
                });
                self.actions
                    .push_back(Action::Ended(call, Outcome::Peers(peers)));
            }
            Ask::Unregister => {
                // The own leave, which the originals emit too.
                let mut changes = Vec::new();
                let own = self.id.clone();
                self.peers
                    .leave(&own, LeaveCause::Unregistered, &mut changes);
                self.apply(now, changes);
                if matches!(self.life, Life::Leaving(_)) {
                    self.stop(&Error::ended());
                }
            }
        }
    }

    /// Makes joins and leaves known, and lets links and waiting sends follow.
    fn apply(&mut self, now: Now, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.last_target = None;
        }
        for change in changes {
            match change {
                Change::Join(info) => {
                    if info.node_id != self.id {
                        self.event(NodeEvent::PeerJoin(info.clone()));
                    }
                    let mut targets = vec![info.node_id.clone()];
                    targets.extend(info.alias.clone());
                    for target in targets {
                        if self.resolving.contains_key(&target) {
                            self.resolved(now, &target, Ok(()));
                        }
                    }
                }
                Change::Leave(info, cause, link) => {
                    self.actions.push_back(Action::Forget(info.node_id.clone()));
                    if let Some(link) = link {
                        self.outbound.leave(link);
                        self.drain_outbound();
                    }
                    if info.node_id == self.id && self.life == Life::Running {
                        // The PMD lost us without our doing: register again.
                        if cause != LeaveCause::Replaced {
                            self.registry.rejoin(now);
                        }
                    } else {
                        self.event(NodeEvent::PeerLeave(info, cause));
                    }
                }
            }
        }
    }

    fn event(&mut self, event: NodeEvent) {
        self.actions.push_back(Action::Event(event));
    }

    // ------------------------------------------------------------------ links

    /// A link's connection is there.
    pub fn peer_connected(&mut self, link: LinkId, connection: u64) {
        self.outbound.connected(link, connection);
        self.drain_outbound();
    }

    /// A link's connection could not be made.
    pub fn peer_connect_failed(&mut self, now: Now, link: LinkId, connection: u64, error: Error) {
        self.outbound.connect_failed(now, link, connection, error);
        self.drain_outbound();
        self.advance_shutdown(now);
    }

    /// A link's connection ended.
    pub fn peer_disconnected(&mut self, now: Now, link: LinkId, connection: u64, error: Error) {
        self.outbound.disconnected(now, link, connection, error);
        self.drain_outbound();
        self.advance_shutdown(now);
    }

    /// The next bytes to write to a link, and the connection they are for. Only one chunk is
    /// out at a time: `chunk_done` has to follow.
    pub fn take_chunk(&mut self, now: Now, link: LinkId) -> Option<(u64, Vec<u8>)> {
        self.outbound.take_chunk(link, now)
    }

    /// A chunk was written, or its first bytes were before an error.
    pub fn chunk_done(
        &mut self,
        now: Now,
        link: LinkId,
        bytes: Vec<u8>,
        written: usize,
        error: Option<Error>,
    ) {
        self.outbound.chunk_done(now, link, bytes, written, error);
        if !self.outbound.outputs.is_empty() {
            self.drain_outbound();
        }
        if self.life != Life::Running {
            self.advance_shutdown(now);
        }
    }

    fn drain_outbound(&mut self) {
        for output in std::mem::take(&mut self.outbound.outputs) {
            match output {
                outbound::Output::Do(action) => self.actions.push_back(Action::Link(action)),
                outbound::Output::Event(event) => self.event(event),
                outbound::Output::Done(call, result) => self
                    .actions
                    .push_back(Action::Ended(call, Outcome::Done(result))),
                outbound::Output::Removed(peer, link) => {
                    self.last_target = None;
                    if self.peers.link(peer.as_str()) == Some(link) {
                        self.peers.set_link(peer.as_str(), None);
                    }
                }
            }
        }
    }

    // ------------------------------------------------------------------ the mailbox

    /// Messages were dropped because the mailbox was full.
    pub fn mailbox_dropped(&mut self, now: Now, messages: u64) {
        self.overflow.total += messages;
        self.report_overflow(now);
    }

    fn report_overflow(&mut self, now: Now) {
        if self.overflow.total > self.overflow.reported
            && now.mono_ms >= self.overflow.next_event_ms
        {
            self.overflow.reported = self.overflow.total;
            self.overflow.next_event_ms = now.mono_ms + limits::OVERFLOW_EVENT_MS;
            self.event(NodeEvent::MailboxOverflow(self.overflow.total));
        }
    }

    // ------------------------------------------------------------------ time

    /// When `tick` is due, on the monotonic scale.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let life = match self.life {
            Life::Flushing(at) | Life::Leaving(at) => Some(at),
            _ => None,
        };
        let overflow =
            (self.overflow.total > self.overflow.reported).then_some(self.overflow.next_event_ms);
        earliest([
            self.registry.next_deadline_ms(),
            self.outbound.next_deadline_ms(),
            self.grace_until_ms,
            life,
            overflow,
        ])
    }

    /// Time passed.
    pub fn tick(&mut self, now: Now) {
        if self.life == Life::Stopped {
            return;
        }
        self.registry.tick(now);
        self.drain_registry(now);
        self.outbound.tick(now);
        self.drain_outbound();
        if self.grace_until_ms.is_some_and(|at| now.mono_ms >= at) {
            self.grace_until_ms = None;
            // Only a registry one is connected to can have had the time to learn of everyone.
            if self.registry.is_ready() && self.peers.has_unconfirmed() {
                let mut changes = Vec::new();
                self.peers.expire_unconfirmed(&mut changes);
                self.apply(now, changes);
            }
        }
        self.report_overflow(now);
        self.advance_shutdown(now);
    }

    /// Ends at once, without flushing or good-byes.
    pub fn abort(&mut self) {
        if !self.registry.is_stopped() || self.life != Life::Stopped {
            self.stop(&Error::ended());
        }
    }
}
