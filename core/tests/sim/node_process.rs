//! A node's process: the real machines, and a shell that moves their bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use distflow_core::mailbox::{Mailbox, MailboxConfig};
use distflow_core::names::NodeId;
use distflow_core::node_state::{
    Action, CallId, Config, Inbound, LinkAction, LinkId, NodeEvent, NodeState, Outcome,
};
use distflow_core::wire::frame::FrameReader;
use distflow_core::wire::peer::Payload;
use distflow_core::wire::pmd::NodeInfo;

use crate::checks;
use crate::env::{Env, Ready, broken};
use crate::network::{ConnIx, ReadEnd};
use crate::node_receiving::Reading;
use crate::queue::{Dial, Event, MS, Pid};

/// Port of the PMD in every run.
pub const PMD_PORT: u16 = 4369;

/// What a connection is for.
pub enum Role {
    Pmd,
    Link(LinkId, u64),
    Inbound(Box<Reading>),
}

/// A chunk that the socket did not take completely yet.
struct Writing {
    connection: u64,
    bytes: Vec<u8>,
    written: usize,
}

/// What a node's process is made with.
#[derive(Debug, Clone)]
pub struct NodeSetup {
    pub slot: usize,
    pub config: Config,
    pub mailbox: MailboxConfig,
    /// Others open their links to it, always: it understands that, and every PMD tells of it.
    pub opens: bool,
    /// Takes a message this often; 0 = at once.
    pub consume_us: u64,
}

pub struct NodeProcess {
    pub pid: Pid,
    pub setup: NodeSetup,
    pub id: String,
    pub alias: String,
    /// It understands the frame that opens a link; originals do not.
    pub opens: bool,
    pub state: NodeState,
    pub inbound: Inbound,
    pub mailbox: Mailbox<(NodeId, Payload)>,
    /// The payloads in the mailbox, to know which ones a policy dropped.
    pub mirror: VecDeque<Payload>,
    pub dropped: u64,
    /// Whether its start succeeded.
    pub started: bool,
    pub start_error: Option<distflow_core::error::Error>,
    pub stopping: bool,
    pub stopped: bool,
    start_call: CallId,
    shutdown_call: Option<CallId>,
    pub view: BTreeMap<String, Arc<NodeInfo>>,
    failed_sends: u64,
    pub roles: BTreeMap<ConnIx, Role>,
    pmd_conn: Option<ConnIx>,
    pmd_reader: FrameReader,
    pmd_out: Vec<u8>,
    links: BTreeMap<(LinkId, u64), ConnIx>,
    writing: BTreeMap<LinkId, Writing>,
    flushes: Vec<LinkId>,
    pub consume_queued: bool,
    /// What became of the application's messages when nobody reads fast enough.
    pub overflow_events: u64,
}

impl NodeProcess {
    pub fn new(pid: Pid, setup: NodeSetup, env: &mut Env) -> Self {
        let node = &setup.config.node;
        let (id, alias) = (node.node_id.clone(), node.alias.clone().unwrap());
        env.listen(pid, node.port);
        let mut state = NodeState::new(setup.config.clone(), env.now());
        let start_call = state.started();
        let mut process = Self {
            pid,
            id: id.as_str().to_owned(),
            alias: alias.as_str().to_owned(),
            opens: setup.opens,
            state,
            inbound: Inbound::new(id),
            mailbox: Mailbox::new(setup.mailbox),
            mirror: VecDeque::new(),
            dropped: 0,
            started: false,
            start_error: None,
            stopping: false,
            stopped: false,
            start_call,
            shutdown_call: None,
            view: BTreeMap::new(),
            failed_sends: 0,
            roles: BTreeMap::new(),
            pmd_conn: None,
            pmd_reader: FrameReader::new(64 << 20),
            pmd_out: Vec::new(),
            links: BTreeMap::new(),
            writing: BTreeMap::new(),
            flushes: Vec::new(),
            consume_queued: false,
            overflow_events: 0,
            setup,
        };
        process.settle(env);
        process
    }

    // ------------------------------------------------------------------ calls

    /// Hands a message to the machine.
    pub fn send(&mut self, env: &mut Env, target: &str, slot: usize, padding: usize, wait: bool) {
        let payload = env.ledger.payload(padding);
        let message = env
            .ledger
            .call((self.pid, &self.id), target, slot, payload.clone());
        let before = self.state.send_counts().sent;
        let result = if wait {
            self.state.send(env.now(), target, &payload)
        } else {
            self.state
                .try_send(env.now(), target, &payload)
                .map(|()| None)
        };
        match result {
            Ok(None) => env.ledger.accepted(message),
            Ok(Some(call)) => {
                env.ledger.waits(self.pid, call, message);
                if self.state.send_counts().sent > before {
                    env.ledger.queued(message);
                }
            }
            Err(_) => {}
        }
        self.settle(env);
    }

    pub fn shutdown(&mut self, env: &mut Env) {
        self.stopping = true;
        env.meta[self.pid].stopping = true;
        self.shutdown_call = self
            .state
            .shutdown(env.now(), distflow_core::limits::SHUTDOWN_MS);
        self.settle(env);
    }

    // ------------------------------------------------------------------ the shell

    /// Goes on with some of what is ready.
    pub fn turn(&mut self, env: &mut Env) {
        for _ in 0..16 {
            let Some(ready) = env.take_ready(self.pid) else {
                break;
            };
            self.handle(env, ready);
            if self.stopped {
                return;
            }
        }
        env.schedule_turn(self.pid);
    }

    /// Looks at the machine's deadline.
    pub fn tick(&mut self, env: &mut Env) {
        let now = env.now();
        let due = |state: &NodeState| state.next_deadline_ms().is_some_and(|at| at <= now.mono_ms);
        if due(&self.state) {
            env.note_tick(self.pid);
            self.state.tick(now);
        }
        self.settle(env);
    }

    fn handle(&mut self, env: &mut Env, ready: Ready) {
        match ready {
            Ready::Accepted(conn) => {
                self.roles.insert(conn, Role::Inbound(Box::default()));
                self.read_inbound(env, conn);
            }
            Ready::Dialled(conn, dial) => self.dialled(env, conn, dial),
            Ready::Readable(conn) => match self.roles.get(&conn) {
                Some(Role::Pmd) => self.read_pmd(env, conn),
                Some(Role::Link(..)) => self.read_link(env, conn),
                Some(Role::Inbound(_)) => self.read_inbound(env, conn),
                None => {}
            },
            Ready::Writable(conn) => match self.roles.get(&conn) {
                Some(Role::Pmd) => self.write_pmd(env),
                Some(Role::Link(link, _)) => self.write_link(env, *link),
                _ => {}
            },
            Ready::Launched(ok) => {
                let result = if ok { Ok(()) } else { Err(broken()) };
                self.state.pmd_launched(env.now(), result);
            }
            Ready::Own(at) => {
                let at = at as usize % self.flushes.len().max(1);
                if at < self.flushes.len() {
                    let link = self.flushes.swap_remove(at);
                    self.write_link(env, link);
                }
            }
        }
        self.settle(env);
    }

    fn dialled(&mut self, env: &mut Env, conn: ConnIx, dial: Dial) {
        let now = env.now();
        env.log(|| format!("process {}: connection {conn}: {dial:?}", self.pid));
        match self.roles.get(&conn) {
            Some(Role::Pmd) if dial == Dial::Ok => self.state.pmd_connected(now),
            Some(Role::Pmd) => {
                self.drop_pmd(env);
                let refused = dial == Dial::Refused;
                self.state.pmd_connect_failed(now, broken(), refused);
            }
            Some(&Role::Link(link, number)) if dial == Dial::Ok => {
                self.state.peer_connected(link, number);
            }
            Some(&Role::Link(link, number)) => {
                self.drop_link(env, link, number);
                self.state.peer_connect_failed(now, link, number, broken());
            }
            // Dropped while it was connecting, and closed then.
            _ => {}
        }
    }

    fn read_pmd(&mut self, env: &mut Env, conn: ConnIx) {
        let (bytes, end) = env.read(conn, 0, usize::MAX);
        self.pmd_reader.push(&bytes);
        while self.pmd_conn == Some(conn) {
            let result = match self.pmd_reader.next_frame() {
                Ok(Some(body)) => self.state.pmd_frame(env.now(), &body),
                Ok(None) => break,
                Err(error) => Err(error),
            };
            self.carry_out(env);
            if let Err(error) = result {
                env.fail(|| format!("process {}: the PMD is not understood: {error}", self.pid));
                return;
            }
        }
        if end != ReadEnd::Open && self.pmd_conn == Some(conn) {
            self.drop_pmd(env);
            self.state.pmd_closed(env.now(), broken());
        }
    }

    fn write_pmd(&mut self, env: &mut Env) {
        let Some(conn) = self.pmd_conn else { return };
        if let Ok(written) = env.write(conn, 0, &self.pmd_out) {
            self.pmd_out.drain(..written);
        }
        // An error is noticed by reading as well.
    }

    fn drop_pmd(&mut self, env: &mut Env) {
        if let Some(conn) = self.pmd_conn.take() {
            self.roles.remove(&conn);
            env.close(conn, 0);
        }
        self.pmd_reader = FrameReader::new(64 << 20);
        self.pmd_out.clear();
    }

    fn read_link(&mut self, env: &mut Env, conn: ConnIx) {
        let Some(&Role::Link(link, number)) = self.roles.get(&conn) else {
            return;
        };
        let (_, end) = env.read(conn, 0, usize::MAX);
        if end != ReadEnd::Open {
            self.drop_link(env, link, number);
            self.state
                .peer_disconnected(env.now(), link, number, broken());
        }
    }

    /// Closes a link's connection; its writer notices at its next attempt.
    fn drop_link(&mut self, env: &mut Env, link: LinkId, number: u64) {
        if let Some(conn) = self.links.remove(&(link, number)) {
            self.roles.remove(&conn);
            env.close(conn, 0);
            if self.writing.contains_key(&link) {
                self.want_write(env, link);
            }
        }
    }

    fn want_write(&mut self, env: &mut Env, link: LinkId) {
        self.flushes.push(link);
        let note = env.rng.below(1 << 32);
        env.wake(self.pid, Ready::Own(note));
    }

    /// Writes chunks until there are none or the socket takes no more.
    fn write_link(&mut self, env: &mut Env, link: LinkId) {
        loop {
            let mut chunk = match self.writing.remove(&link) {
                Some(chunk) => chunk,
                None => match self.state.take_chunk(env.now(), link) {
                    Some((connection, bytes)) => Writing {
                        connection,
                        bytes,
                        written: 0,
                    },
                    None => return,
                },
            };
            let result = match self.links.get(&(link, chunk.connection)) {
                Some(&conn) => env.write(conn, 0, &chunk.bytes[chunk.written..]),
                None => Err(()),
            };
            let error = match result {
                Ok(count) => {
                    chunk.written += count;
                    if chunk.written < chunk.bytes.len() {
                        self.writing.insert(link, chunk);
                        return;
                    }
                    None
                }
                Err(()) => Some(broken()),
            };
            let failed = error.is_some();
            self.state
                .chunk_done(env.now(), link, chunk.bytes, chunk.written, error);
            self.carry_out(env);
            if failed {
                return;
            }
        }
    }

    // ------------------------------------------------------------------ actions

    fn settle(&mut self, env: &mut Env) {
        self.carry_out(env);
        let lost = self.state.send_counts().lost;
        if self.failed_sends != lost {
            let failed = self.failed_sends;
            env.fail(|| {
                format!("M2: {failed} messages reported as failed, {lost} counted as lost")
            });
        }
        env.arm(self.pid, self.state.next_deadline_ms());
        let registered = self.state.is_registered();
        env.meta[self.pid].registered_over = self.pmd_conn.filter(|_| registered);
    }

    fn carry_out(&mut self, env: &mut Env) {
        while let Some(action) = self.state.pop_action() {
            match action {
                Action::PmdConnect => {
                    self.drop_pmd(env);
                    let conn = env.dial(self.pid, PMD_PORT);
                    self.roles.insert(conn, Role::Pmd);
                    self.pmd_conn = Some(conn);
                }
                Action::PmdLaunch => {
                    env.log(|| format!("process {} launches a PMD", self.pid));
                    let in_us = env.between(20, 400) * MS;
                    env.at(in_us, Event::Launched(self.pid));
                }
                Action::PmdFlush => {
                    let bytes = self.state.take_pmd_bytes();
                    env.note_bytes(&bytes);
                    self.pmd_out.extend_from_slice(&bytes);
                    self.write_pmd(env);
                }
                Action::PmdDrop => {
                    checks::pmd_dropped(env, self);
                    self.drop_pmd(env);
                }
                Action::Link(action) => self.link(env, action),
                Action::Event(event) => self.event(env, &event),
                Action::Forget(id) => self.inbound.forget(&id),
                Action::Ended(call, outcome) => self.ended(env, call, outcome),
                Action::Stopped => self.close_all(env),
            }
        }
    }

    fn link(&mut self, env: &mut Env, action: LinkAction) {
        match action {
            LinkAction::Connect(link, number, _, port) => {
                let conn = env.dial(self.pid, port);
                self.roles.insert(conn, Role::Link(link, number));
                self.links.insert((link, number), conn);
            }
            LinkAction::Flush(link) => self.want_write(env, link),
            LinkAction::Drop(link, number) => self.drop_link(env, link, number),
        }
    }

    fn event(&mut self, env: &mut Env, event: &NodeEvent) {
        env.log(|| format!("process {} ({}): {event:?}", self.pid, self.id));
        match event {
            NodeEvent::PeerJoin(info) => checks::peer_joined(env, self, info),
            NodeEvent::PeerLeave(info, cause) => checks::peer_left(env, self, info, *cause),
            NodeEvent::MailboxOverflow(total) => {
                self.overflow_events += 1;
                if *total > self.dropped {
                    env.fail(|| format!("M5: {total} drops reported, {} happened", self.dropped));
                }
            }
            NodeEvent::SendFailed { to, messages, .. } => {
                self.failed_sends += messages;
                if let Some(slot) = checks::slot_of(to.as_str()) {
                    env.ledger.lost_by_sender((self.pid, slot), *messages);
                }
            }
            NodeEvent::RegistrationRefused(error) => checks::refused(env, self, error),
            _ => {}
        }
    }

    fn ended(&mut self, env: &mut Env, call: CallId, outcome: Outcome) {
        let Outcome::Done(result) = outcome else {
            return;
        };
        env.note(&[self.pid as u64, call, u64::from(result.is_ok())]);
        if call == self.start_call {
            self.started = result.is_ok();
            env.meta[self.pid].started_us = self.started.then_some(env.now_us);
            let peers = self.state.peers().into_iter();
            self.view = peers.map(|peer| (peer.node_id.clone(), peer)).collect();
            env.log(|| format!("process {} ({}) starts: {result:?}", self.pid, self.id));
            if let Err(error) = result {
                checks::refused(env, self, &error);
                self.start_error = Some(error);
            }
        } else if Some(call) != self.shutdown_call {
            env.ledger.ended(self.pid, call, result.is_ok());
        }
    }

    /// The process ends by itself.
    fn close_all(&mut self, env: &mut Env) {
        self.stopped = true;
        env.bury(self.pid);
        // The kernel closes what is left as it does after a kill, only at once.
        env.reap(self.pid);
    }
}
