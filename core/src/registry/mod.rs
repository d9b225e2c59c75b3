//! The registry: which nodes exist, who owns them, and who is told about it.
//!
//! A pure state machine: [`Registry::step`] takes an input and the time and appends what is
//! to be done to [`Outputs`]. It owns no sockets, reads no clock and draws no random numbers;
//! `pmd::server` and the simulator drive the same code. The rules are those of pmd.md 3-7 with
//! the fixes of its section 14, and `docs/wire.md` for what goes beyond.

mod feed;
mod hand_over;
mod output;
mod register;
mod sweep;
mod table;

use std::collections::VecDeque;
use std::sync::Arc;

pub use feed::{Feeds, Outgoing};
pub use output::{ConnId, Kind, Notice, Output, Outputs, StopReason};

use crate::limits;
use crate::time::{Now, earliest};
use crate::wire::pmd::{
    self, Capabilities, Incoming, LeaveCause, PEER_JOIN, PEER_LEAVE, Register, Request,
};
use register::Waiting;
use table::{Entry, Key, Liveness, Table};

/// What a registry is made with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Identity of this run; a client that sees another one knows that the PMD restarted.
    pub epoch: String,
    /// Random bytes from which registration tokens are derived.
    pub secret: [u8; 32],
    /// End after this long without any node; `None` = never.
    pub auto_shutdown_ms: Option<u64>,
    /// Age at which a heartbeat-bound node is removed.
    pub heartbeat_ttl_ms: u64,
    /// Silence after which a node that promised heartbeats is expelled.
    pub heartbeat_expel_ms: u64,
    /// How long a conflicting registration waits for the holder to prove dead.
    pub probe_ms: u64,
    /// Nodes at most.
    pub nodes_max: usize,
    /// Nodes of one connection at most.
    pub nodes_per_connection_max: usize,
    /// Hand over to a successor that asks for it.
    pub gives_way: bool,
}

impl Config {
    /// Defaults with the given identity and secret.
    pub fn new(epoch: String, secret: [u8; 32]) -> Self {
        Self {
            epoch,
            secret,
            auto_shutdown_ms: None,
            heartbeat_ttl_ms: limits::HEARTBEAT_TTL_MS,
            heartbeat_expel_ms: limits::HEARTBEAT_EXPEL_MS,
            probe_ms: limits::PROBE_MS,
            nodes_max: limits::PMD_NODES_MAX,
            nodes_per_connection_max: limits::PMD_NODES_PER_CONNECTION_MAX,
            gives_way: false,
        }
    }
}

/// What can happen to a registry.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection was accepted; `loopback` says whether its peer is on this machine.
    Opened(ConnId, bool),
    /// A frame's body arrived.
    Frame(ConnId, &'a [u8]),
    /// A connection ended, for whatever reason.
    Closed(ConnId),
    /// Time passed.
    Tick,
}

#[derive(Debug)]
struct Conn {
    generation: u32,
    loopback: bool,
    greeted: bool,
    caps: Capabilities,
    /// The kind of events it gets, if it watches.
    watches: Option<Kind>,
    /// A snapshot for it waits for [`Registry::settle`].
    asked: bool,
    /// A registration of this connection waits for a name; its other requests wait with it.
    waits: bool,
    /// The nodes that leave with this connection.
    nodes: Vec<Key>,
}

/// The state machine. See the module's documentation.
#[derive(Debug)]
pub struct Registry {
    config: Config,
    table: Table,
    conns: Vec<Option<Conn>>,
    /// Number of watchers of each kind.
    watchers: [usize; Kind::COUNT],
    /// Who is to get a snapshot, with the id of the request.
    snapshots: Vec<(ConnId, Option<Box<str>>)>,
    waiting: VecDeque<Waiting>,
    rev: u64,
    started_ms: u64,
    /// When the registry became empty; `None` while it has nodes.
    empty_since_ms: Option<u64>,
    stopping: bool,
    last_step_ms: u64,
    last_sweep_ms: u64,
    sweeping: bool,
    /// How long this process was stopped in total; own time = monotonic time minus this.
    paused_ms: u64,
    next_probe: u64,
}

impl Registry {
    /// An empty registry that starts now.
    pub fn new(config: Config, now: Now) -> Self {
        Self {
            config,
            table: Table::default(),
            conns: Vec::new(),
            watchers: [0; Kind::COUNT],
            snapshots: Vec::new(),
            waiting: VecDeque::new(),
            rev: 0,
            started_ms: now.mono_ms,
            // Armed from the start, or a PMD whose first node died would live for ever.
            empty_since_ms: Some(now.mono_ms),
            stopping: false,
            last_step_ms: now.mono_ms,
            last_sweep_ms: now.mono_ms,
            sweeping: false,
            paused_ms: 0,
            next_probe: 1,
        }
    }

    /// The registered nodes in order of registration.
    pub fn nodes(&self) -> impl Iterator<Item = Arc<Register>> + '_ {
        self.table.iter().map(|(_, entry)| entry.node.clone())
    }

    /// Number of registered nodes.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no node is registered.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Revision: the number of joins and leaves so far.
    pub fn revision(&self) -> u64 {
        self.rev
    }

    /// Gives back memory that it needed at times of more nodes.
    pub fn shrink(&mut self) {
        while self.conns.last().is_some_and(Option::is_none) {
            self.conns.pop();
        }
        self.conns.shrink_to_fit();
        self.waiting.shrink_to_fit();
        self.snapshots.shrink_to_fit();
        self.table.shrink();
    }

    /// Takes one input.
    pub fn step(&mut self, now: Now, input: Input<'_>, out: &mut Outputs) {
        self.note_time(now);
        match input {
            Input::Opened(id, loopback) => self.opened(id, loopback),
            Input::Frame(id, body) => self.frame(now, id, body, out),
            Input::Closed(id) => self.closed(now, id, out),
            Input::Tick => self.sweep(now, out),
        }
    }

    /// When the next [`Input::Tick`] is due, on the monotonic scale.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let shutdown = match (self.config.auto_shutdown_ms, self.empty_since_ms) {
            (Some(delay), Some(since)) if !self.stopping => Some(since + delay),
            _ => None,
        };
        let sweep = self
            .sweeping
            .then_some(self.last_sweep_ms + limits::SWEEP_MS);
        let waiting = self
            .waiting
            .iter()
            .map(|waiting| waiting.deadline_ms + self.paused_ms)
            .min()
            // Steps must come often enough for a gap to mean that this process was stopped.
            .map(|at| at.min(self.last_step_ms + limits::SWEEP_MS));
        earliest([shutdown, sweep, waiting])
    }

    /// A gap between two steps, while steps were due, means that this process was stopped. Its
    /// clients' signs of life are then still unread, so nothing may expire because of it.
    fn note_time(&mut self, now: Now) {
        let gap = now.mono_ms.saturating_sub(self.last_step_ms);
        let due = self.sweeping || !self.waiting.is_empty();
        if due && gap > limits::OWN_PAUSE_MS && !crate::plant::active("pause_expels") {
            self.paused_ms += gap;
        }
        self.last_step_ms = now.mono_ms.max(self.last_step_ms);
    }

    fn own_ms(&self, now: Now) -> u64 {
        now.mono_ms.saturating_sub(self.paused_ms)
    }

    fn conn(&self, id: ConnId) -> Option<&Conn> {
        self.conns
            .get(id.slot as usize)?
            .as_ref()
            .filter(|conn| conn.generation == id.generation)
    }

    fn conn_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns
            .get_mut(id.slot as usize)?
            .as_mut()
            .filter(|conn| conn.generation == id.generation)
    }

    fn opened(&mut self, id: ConnId, loopback: bool) {
        let slot = id.slot as usize;
        if slot >= self.conns.len() {
            self.conns.resize_with(slot + 1, || None);
        }
        self.conns[slot] = Some(Conn {
            generation: id.generation,
            loopback,
            greeted: false,
            caps: Capabilities::default(),
            watches: None,
            asked: false,
            waits: false,
            nodes: Vec::new(),
        });
    }

    fn frame(&mut self, now: Now, id: ConnId, body: &[u8], out: &mut Outputs) {
        let Some(conn) = self.conn(id) else { return };
        debug_assert!(!conn.waits, "a paused connection gets no frames");
        match pmd::parse_request(body) {
            Ok(Incoming {
                request_id,
                request: Ok(request),
            }) => self.request(now, id, request_id, request, out),
            Ok(Incoming {
                request_id,
                request: Err(text),
            }) => answer_error(out, id, request_id, &text),
            Err(error) => {
                answer_error(out, id, None, error.message());
                out.items
                    .push(Output::Notice(Notice::BadFrame(error.message().to_owned())));
            }
        }
    }

    fn request(
        &mut self,
        now: Now,
        id: ConnId,
        request_id: Option<&str>,
        request: Request<'_>,
        out: &mut Outputs,
    ) {
        if self.conn(id).is_some_and(|conn| conn.asked) {
            // Answers come in the order of the requests.
            self.settle(now, out);
        }
        let Some(conn) = self.conn(id) else { return };
        let extended = conn.caps.meta;
        match request {
            Request::Hello(caps) => {
                let caps = caps.and(Capabilities::all());
                if let Some(conn) = self.conn_mut(id) {
                    conn.greeted = true;
                    conn.caps = caps;
                    if conn.watches.is_some() {
                        self.count_watcher(id, Some(Kind::of(caps)));
                        out.items.push(Output::Watch(id, Kind::of(caps)));
                    }
                }
                answer(out, id, request_id, |out| {
                    pmd::append_hello_answer(out, caps);
                });
            }
            Request::Register(node) => {
                let waiting = Waiting {
                    conn: id,
                    request_id: request_id.map(Into::into),
                    node,
                    deadline_ms: self.own_ms(now) + self.config.probe_ms,
                    holder: None,
                };
                self.register(now, waiting, out);
            }
            Request::Unregister(node_id) => self.unregister(now, id, request_id, &node_id, out),
            Request::Resolve(name) => {
                // An id is its node's, whoever took it for an alias. The originals look at
                // aliases first, so that anybody could stand in for a node.
                let (id_of, alias_of) = (self.table.by_id(&name), self.table.by_alias(&name));
                let key = if crate::plant::active("alias_first") {
                    alias_of.or(id_of)
                } else {
                    id_of.or(alias_of)
                };
                match key.and_then(|key| self.table.get(key)) {
                    Some(entry) => answer(out, id, request_id, |out| {
                        out.extend_from_slice(b"{\"node\":");
                        entry.append(out, extended);
                        out.push(b'}');
                    }),
                    None => answer_error(out, id, request_id, "Node not found"),
                }
            }
            Request::List(prefix) => {
                // An original's list is never filtered, whatever its payload holds.
                let prefix = prefix.filter(|_| self.conn(id).is_some_and(|conn| conn.greeted));
                answer(out, id, request_id, |out| {
                    out.push(b'{');
                    self.append_nodes(out, extended, prefix.as_deref());
                    out.push(b'}');
                });
            }
            Request::Heartbeat(node_id, probe) => {
                self.heartbeat(now, id, request_id, &node_id, probe, out);
            }
            Request::Status => {
                let id_text = request_id.map(Into::into);
                out.items.push(Output::Status(id, id_text));
            }
            Request::TakeOver { done } => self.hand_over(id, request_id, done, out),
            Request::Watch => self.watch(id, request_id, out),
            Request::Shutdown => {
                if self.conn(id).is_some_and(|conn| conn.loopback) {
                    answer_success(out, id, request_id);
                    self.stop(StopReason::Requested, out);
                } else {
                    answer_error(
                        out,
                        id,
                        request_id,
                        "shutdown is only allowed from loopback",
                    );
                }
            }
        }
    }

    fn append_nodes(&self, out: &mut Vec<u8>, extended: bool, prefix: Option<&str>) {
        out.extend_from_slice(b"\"nodes\":[");
        let start = out.len();
        for (_, entry) in self.table.iter() {
            let alias = entry.node.alias.as_ref().map_or("", |alias| alias.as_str());
            if prefix.is_some_and(|prefix| !alias.starts_with(prefix)) {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            entry.append(out, extended);
        }
        out.push(b']');
    }

    fn unregister(
        &mut self,
        now: Now,
        id: ConnId,
        request_id: Option<&str>,
        node_id: &str,
        out: &mut Outputs,
    ) {
        let Some(key) = self.table.by_id(node_id) else {
            return answer_error(out, id, request_id, "Node not found");
        };
        let owner = self.table.get(key).and_then(|entry| entry.conn);
        // A node without a connection lives by heartbeats alone and has no other owner.
        let orphan_of_loopback = owner.is_none() && self.conn(id).is_some_and(|conn| conn.loopback);
        if owner != Some(id) && !orphan_of_loopback {
            let text = format!("Node '{node_id}' is registered by another connection");
            return answer_error(out, id, request_id, &text);
        }
        answer_success(out, id, request_id);
        self.remove(now, key, LeaveCause::Unregistered, out);
        self.retry_waiting(now, out);
    }

    fn heartbeat(
        &mut self,
        now: Now,
        id: ConnId,
        request_id: Option<&str>,
        node_id: &str,
        probe: Option<u64>,
        out: &mut Outputs,
    ) {
        let own_ms = self.own_ms(now);
        let key = self.table.by_id(node_id);
        let Some(entry) = key.and_then(|key| self.table.get_mut(key)) else {
            return answer_error(out, id, request_id, "Node not found");
        };
        entry.last_heartbeat_wall_ms = now.wall_ms;
        let owned = entry.conn == Some(id);
        let owner = entry.conn;
        if owned || entry.liveness == Liveness::HeartbeatOnly {
            entry.seen_ms = own_ms;
            entry.suspect_probed = false;
        } else if !owner.is_some_and(|owner| self.conn(owner).is_some_and(|conn| conn.greeted)) {
            // Only originals of the first generation beat from another connection.
            if let Some(entry) = key.and_then(|key| self.table.get_mut(key)) {
                entry.liveness = Liveness::HeartbeatOnly;
                entry.seen_ms = own_ms;
            }
            self.sweeping = true;
        }
        answer_success(out, id, request_id);
        if let Some(number) = probe {
            self.probe_answered(now, id, number, out);
        }
    }

    fn watch(&mut self, id: ConnId, request_id: Option<&str>, out: &mut Outputs) {
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        let caps = conn.caps;
        if caps.rev {
            conn.asked = true;
            self.snapshots.push((id, request_id.map(Into::into)));
            return;
        }
        answer_success(out, id, request_id);
        self.count_watcher(id, Some(Kind::of(caps)));
        out.items.push(Output::Watch(id, Kind::of(caps)));
    }

    fn count_watcher(&mut self, id: ConnId, kind: Option<Kind>) {
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut conn.watches, kind);
        if let Some(before) = before {
            self.watchers[before.index()] -= 1;
        }
        if let Some(kind) = kind {
            self.watchers[kind.index()] += 1;
        }
    }

    /// Answers whoever asked to watch since the last call. Called when all that came at once has
    /// been taken in: so those who come together get one snapshot, written once, that has them
    /// all, and need not be told of each other one by one.
    pub fn settle(&mut self, now: Now, out: &mut Outputs) {
        let mut bodies: [Option<Arc<[u8]>>; 2] = [None, None];
        for (id, request_id) in std::mem::take(&mut self.snapshots) {
            let Some(conn) = self.conn_mut(id) else {
                continue;
            };
            conn.asked = false;
            let caps = conn.caps;
            let body = bodies[usize::from(caps.meta)]
                .get_or_insert_with(|| self.snapshot(now, caps.meta))
                .clone();
            let head = out.head(body.len(), |out| {
                pmd::append_response_head(out, request_id.as_deref());
            });
            out.items.push(Output::Answer(id, head));
            out.items.push(Output::Shared(id, body));
            self.count_watcher(id, Some(Kind::of(caps)));
            out.items.push(Output::Watch(id, Kind::of(caps)));
        }
    }

    /// The payload of the answer to `watch`, and the end of the answer.
    fn snapshot(&self, now: Now, extended: bool) -> Arc<[u8]> {
        let warming = (self.started_ms + limits::WARMING_MS).saturating_sub(now.mono_ms);
        let mut out = Vec::new();
        out.extend_from_slice(b"{\"success\":true,\"rev\":");
        crate::wire::json::append_number(&mut out, self.rev);
        out.extend_from_slice(b",\"epoch\":");
        crate::wire::json::append_string(&mut out, &self.config.epoch);
        out.extend_from_slice(b",\"warming\":");
        crate::wire::json::append_number(&mut out, warming);
        out.push(b',');
        self.append_nodes(&mut out, extended, None);
        out.extend_from_slice(b"}}");
        out.into()
    }

    /// Tells every watcher, writing the event once for each kind of client. The caller has
    /// counted the revision.
    fn announce(&self, event: &str, entry: &Entry, cause: Option<LeaveCause>, out: &mut Outputs) {
        // An ignored gap does no harm as long as none opens.
        if (crate::plant::active("watch_gap") || crate::plant::active("gap_ignored"))
            && self.rev.is_multiple_of(7)
        {
            return;
        }
        for kind in Kind::all().filter(|kind| self.watchers[kind.index()] > 0) {
            let frame = out.frame(|out| {
                let extras = kind.has_rev().then_some((self.rev, cause));
                pmd::append_event(out, event, |out| entry.append(out, kind.has_meta()), extras);
            });
            out.items.push(Output::Announce(kind, frame));
        }
    }

    fn joined(&mut self, key: Key, out: &mut Outputs) {
        if self.empty_since_ms.take().is_some() && self.config.auto_shutdown_ms.is_some() {
            out.items
                .push(Output::Notice(Notice::AutoShutdownCancelled));
        }
        self.rev += 1;
        if let Some(entry) = self.table.get(key) {
            self.announce(PEER_JOIN, entry, None, out);
            out.items
                .push(Output::Notice(Notice::Joined(entry.node.clone())));
        }
    }

    fn left(&mut self, entry: &Entry, cause: LeaveCause, out: &mut Outputs) {
        self.rev += 1;
        self.announce(PEER_LEAVE, entry, Some(cause), out);
        out.items
            .push(Output::Notice(Notice::Left(entry.node.clone(), cause)));
    }

    /// Removes a node and all that refers to it, and announces that it left.
    fn remove(&mut self, now: Now, key: Key, cause: LeaveCause, out: &mut Outputs) {
        let Some(entry) = self.table.remove(key) else {
            return;
        };
        if let Some(conn) = entry.conn.and_then(|id| self.conn_mut(id)) {
            forget(&mut conn.nodes, key);
        }
        self.left(&entry, cause, out);
        if self.table.is_empty() {
            self.empty_since_ms = Some(now.mono_ms);
            if let Some(delay) = self.config.auto_shutdown_ms {
                out.items
                    .push(Output::Notice(Notice::AutoShutdownArmed(delay)));
            }
        }
    }

    fn closed(&mut self, now: Now, id: ConnId, out: &mut Outputs) {
        let Some(slot) = self.conns.get_mut(id.slot as usize) else {
            return;
        };
        let Some(conn) = slot.take_if(|conn| conn.generation == id.generation) else {
            return;
        };
        if let Some(kind) = conn.watches {
            self.watchers[kind.index()] -= 1;
        }
        if conn.asked {
            self.snapshots.retain(|(asker, _)| *asker != id);
        }
        self.waiting.retain(|waiting| waiting.conn != id);
        for key in conn.nodes {
            match self.table.get_mut(key) {
                Some(entry) if entry.conn != Some(id) && !crate::plant::active("stale_close") => {}
                Some(entry) if entry.liveness == Liveness::HeartbeatOnly => {
                    entry.conn = None;
                }
                Some(_) => self.remove(now, key, LeaveCause::Closed, out),
                None => {}
            }
        }
        self.retry_waiting(now, out);
    }

    fn stop(&mut self, reason: StopReason, out: &mut Outputs) {
        if !self.stopping {
            self.stopping = true;
            out.items.push(Output::Stop(reason));
        }
    }
}

fn forget(keys: &mut Vec<Key>, key: Key) {
    if let Some(at) = keys.iter().position(|&known| known == key) {
        keys.swap_remove(at);
    }
}

fn answer(
    out: &mut Outputs,
    id: ConnId,
    request_id: Option<&str>,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    let frame = out.frame(|out| pmd::append_response(out, request_id, payload));
    out.items.push(Output::Answer(id, frame));
}

fn answer_success(out: &mut Outputs, id: ConnId, request_id: Option<&str>) {
    answer(out, id, request_id, |out| {
        out.extend_from_slice(b"{\"success\":true}");
    });
}

fn answer_error(out: &mut Outputs, id: ConnId, request_id: Option<&str>, text: &str) {
    answer(out, id, request_id, |out| pmd::append_error(out, text));
}
