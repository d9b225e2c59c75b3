//! The server around the registry: one thread, one poll loop, every socket.
//!
//! It moves bytes and time; every decision is the registry's. An idle connection holds no
//! buffer. Events for a watcher are collected during a turn and written in one call.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::canary::{self, Canary};
use crate::error::{Error, Result};
#[cfg(unix)]
use crate::fork::CloseInChild;
use crate::limits;
use crate::net;
use crate::pmd::conn::{Conn, ConnState};
use crate::pmd::control::{Command, Control};
use crate::pmd::options::PmdOptions;
use crate::registry::{self, ConnId, Feeds, Input, Notice, Output, Outputs, Registry, StopReason};
use crate::time::{Clock, Now};
use crate::wire::pmd::Register;

mod accepting;
mod reading;
mod status;
mod stranger;
mod writing;

const WAKER: Token = Token(usize::MAX);
const LISTENER_FIRST: usize = usize::MAX - 8;

/// What the owner of a server is told, on the server's thread.
#[derive(Debug)]
pub enum ServerNotice<'a> {
    /// Something the registry noticed.
    Registry(&'a Notice),
    /// A connection broke or was cut off.
    Connection(&'a str),
    /// The server ends; `None` when its owner asked for it.
    Stopping(Option<StopReason>),
}

/// A PMD that is bound but does not run yet.
pub struct Server {
    poll: Poll,
    // A child of the host must not keep the port. Before the listeners, to be dropped first.
    #[cfg(unix)]
    listeners_fork: Vec<CloseInChild>,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    control: Control,
    options: PmdOptions,
    clock: Clock,
    started_ms: u64,
    registry: Registry,
    outputs: Outputs,
    conns: Vec<Option<Conn>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    open: usize,
    /// Connections to look at again without waiting for the kernel.
    again: VecDeque<ConnId>,
    /// Connections with an answer to write.
    dirty: Vec<ConnId>,
    feeds: Feeds,
    /// Something was announced since watchers were last looked at.
    announced: bool,
    /// Watchers whose sockets would take events that wait.
    behind: VecDeque<ConnId>,
    /// When to look for watchers that take nothing, while there can be some.
    stalls_at_ms: Option<u64>,
    /// When to give memory back, after the last change.
    trim_at_ms: Option<u64>,
    /// Deadlines of incomplete frames; a connection's may since have moved.
    partials: BinaryHeap<Reverse<(u64, ConnId)>>,
    lingering: VecDeque<(u64, ConnId)>,
    accept_again_ms: Option<u64>,
    room: accepting::Room,
    scratch: Box<[u8]>,
    stopping: Option<Option<StopReason>>,
    frozen_now: Option<Now>,
    /// Outputs are being carried out; those that this causes come after them.
    carrying_out: bool,
    /// Of an embedded PMD.
    canary: Option<Arc<Canary>>,
}

impl Server {
    /// Binds the port. Fails with what is wrong: the port is taken, or the host is not allowed.
    pub fn bind(options: PmdOptions) -> Result<Self> {
        let listeners = net::listen(&options.host, options.port, options.insecure)?;
        Self::on(options, listeners)
    }

    /// Binds a port that another PMD of the same user shares with this one for the moment.
    pub(super) fn bind_shared(options: PmdOptions) -> Result<Self> {
        let listeners = net::listen_shared(&options.host, options.port, options.insecure)?;
        Self::on(options, listeners)
    }

    fn on(options: PmdOptions, bound: Vec<std::net::TcpListener>) -> Result<Self> {
        options.detection.check()?;
        let room = accepting::Room::new(&options);
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        let io = |error: &io::Error| Error::io("cannot set up the PMD", error);
        for listener in bound {
            addresses.push(listener.local_addr().map_err(|error| io(&error))?);
            listeners.push(TcpListener::from_std(listener));
        }
        let poll = Poll::new().map_err(|error| io(&error))?;
        for (i, listener) in listeners.iter_mut().enumerate() {
            poll.registry()
                .register(listener, Token(LISTENER_FIRST + i), Interest::READABLE)
                .map_err(|error| io(&error))?;
        }
        let waker = Waker::new(poll.registry(), WAKER).map_err(|error| io(&error))?;
        let clock = Clock::new();
        let mut secret = [0u8; 32];
        for half in secret.chunks_exact_mut(16) {
            half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        let mut config = registry::Config::new(uuid::Uuid::new_v4().simple().to_string(), secret);
        config.auto_shutdown_ms = options.auto_shutdown_ms;
        config.heartbeat_ttl_ms = options.heartbeat_ttl_ms;
        config.heartbeat_expel_ms = options.heartbeat_expel_ms;
        config.probe_ms = options.probe_ms;
        config.nodes_max = options.nodes_max;
        config.nodes_per_connection_max = options.nodes_per_connection_max;
        config.gives_way = options.gives_way;
        Ok(Self {
            poll,
            #[cfg(unix)]
            listeners_fork: listeners
                .iter()
                .map(|listener| CloseInChild::new(std::os::fd::AsRawFd::as_raw_fd(listener)))
                .collect(),
            listeners,
            addresses,
            control: Control::new(waker),
            started_ms: clock.now().mono_ms,
            registry: Registry::new(config, clock.now()),
            options,
            clock,
            outputs: Outputs::default(),
            conns: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            open: 0,
            again: VecDeque::new(),
            dirty: Vec::new(),
            feeds: Feeds::default(),
            announced: false,
            behind: VecDeque::new(),
            stalls_at_ms: None,
            trim_at_ms: None,
            partials: BinaryHeap::new(),
            lingering: VecDeque::new(),
            accept_again_ms: None,
            room,
            scratch: vec![0; limits::PMD_READ_BYTES].into(),
            stopping: None,
            frozen_now: None,
            carrying_out: false,
            canary: None,
        })
    }

    /// Begins with the nodes of a PMD that gave way.
    pub(super) fn expect(&mut self, nodes: Vec<Register>) {
        let now = self.clock.now();
        self.registry.expect(now, nodes);
    }

    /// Shares the port with nobody any more.
    pub(super) fn keep_port(&self) {
        net::share_port(&self.listeners, false);
    }

    /// The addresses it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }

    /// The handle by which another thread or a signal handler's thread stops it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until it is stopped. `notice` is called on this thread and must not block.
    pub fn run(mut self, mut notice: impl FnMut(ServerNotice<'_>)) -> Result<()> {
        let mut events = Events::with_capacity(1_024);
        while self.stopping.is_none() {
            if self.is_gone() {
                // Closing anything would close what is the host's by now.
                std::mem::forget(self);
                return Err(canary::gone());
            }
            match self.poll.poll(&mut events, self.timeout()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) if self.is_gone() => continue,
                Err(error) => return Err(Error::io("cannot wait for events", &error)),
            }
            // One reading of the clock serves the whole turn.
            self.frozen_now = Some(self.clock.now());
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(token) if token >= LISTENER_FIRST => {
                        self.accept(token - LISTENER_FIRST, &mut notice);
                    }
                    Token(slot) => {
                        let id = self.id(slot as u32);
                        if event.is_readable() || event.is_error() {
                            self.readable(id, &mut notice);
                        }
                        if event.is_writable() {
                            self.writable(id);
                        }
                        // Who waits for a name is not read, and its end is only reported once.
                        if event.is_read_closed() && self.conn(id).is_some_and(|c| c.paused) {
                            self.close(id, &mut notice);
                        }
                    }
                }
            }
            self.look_again(&mut notice);
            self.settle(&mut notice);
            self.run_commands();
            self.timers(&mut notice);
            self.write_answers(&mut notice);
            self.write_events(&mut notice);
        }
        let reason = self.stopping.flatten();
        notice(ServerNotice::Stopping(reason));
        self.finish();
        Ok(())
    }

    /// Looks after the descriptors of a host that may close them.
    pub(super) fn watch_over(&mut self, canary: Arc<Canary>) {
        self.canary = Some(canary);
    }

    fn is_gone(&self) -> bool {
        self.canary.as_ref().is_some_and(|canary| canary.look())
    }

    fn now(&self) -> Now {
        self.frozen_now.unwrap_or_else(|| self.clock.now())
    }

    fn id(&self, slot: u32) -> ConnId {
        ConnId {
            slot,
            generation: self.generations.get(slot as usize).copied().unwrap_or(0),
        }
    }

    fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns
            .get_mut(id.slot as usize)?
            .as_mut()
            .filter(|conn| conn.generation == id.generation)
    }

    fn timeout(&self) -> Option<Duration> {
        // Writing can close a connection, which others have to be told of.
        let unwritten = self.announced || !self.dirty.is_empty() || !self.behind.is_empty();
        if unwritten || !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadline = [
            self.registry.next_deadline_ms(),
            self.partials.peek().map(|Reverse((at, _))| *at),
            self.lingering.front().map(|(at, _)| *at),
            self.accept_again_ms,
            self.stalls_at_ms,
            self.trim_at_ms,
        ];
        let deadline = deadline.into_iter().flatten().min()?;
        // Rounded up, or the last fraction of a millisecond would be spent spinning.
        let left = deadline.saturating_sub(self.clock.now().mono_ms) + 1;
        Some(Duration::from_millis(left))
    }

    /// Carries out what the registry asked for, including what that causes in turn.
    fn carry_out(&mut self, notice: &mut impl FnMut(ServerNotice<'_>)) {
        if std::mem::replace(&mut self.carrying_out, true) {
            // A connection broke while it was written to. What follows from that is later than
            // everything asked for before, and every watcher has to see it in that order.
            return;
        }
        while !self.outputs.items.is_empty() {
            let mut outputs = std::mem::take(&mut self.outputs);
            for item in outputs.items.drain(..) {
                match item {
                    Output::Answer(id, range) => self.enqueue(id, &outputs.bytes[range]),
                    Output::Shared(id, bytes) => {
                        if let Some(conn) = self.conn(id) {
                            conn.out.share(&bytes);
                        }
                    }
                    Output::Watch(id, kind) => self.watch(id, kind),
                    Output::Announce(kind, range) => {
                        self.feeds.push(kind, &outputs.bytes[range]);
                        self.announced = true;
                    }
                    Output::Inspect(id) => self.inspect(id),
                    Output::Pause(id) => {
                        if let Some(conn) = self.conn(id) {
                            conn.paused = true;
                        }
                    }
                    Output::Resume(id) => {
                        if let Some(conn) = self.conn(id) {
                            conn.paused = false;
                            self.again.push_back(id);
                        }
                    }
                    Output::Close(id, why) => {
                        notice(ServerNotice::Connection(why));
                        self.linger(id);
                    }
                    Output::Notice(what) => notice(ServerNotice::Registry(&what)),
                    Output::Status(id, request_id) => self.answer_status(id, request_id.as_deref()),
                    Output::SharePort => net::share_port(&self.listeners, true),
                    Output::Stop(reason) => self.stopping = Some(Some(reason)),
                }
            }
            outputs.clear();
            // Carrying out may have produced more; the buffers are kept either way.
            if self.outputs.items.is_empty() {
                self.outputs = outputs;
            }
        }
        self.carrying_out = false;
    }

    /// Has a connection read at once, so that its end is noticed before anything else.
    fn inspect(&mut self, id: ConnId) {
        self.again.push_front(id);
    }

    fn look_again(&mut self, notice: &mut impl FnMut(ServerNotice<'_>)) {
        for _ in 0..self.again.len() {
            let Some(id) = self.again.pop_front() else {
                break;
            };
            // What waited while the connection was paused comes before what is unread.
            let resumed = self
                .conn(id)
                .is_some_and(|conn| !conn.is_held() && !conn.pending.is_empty());
            if resumed {
                self.received(id, &[], notice);
            }
            self.readable(id, notice);
            if self
                .conn(id)
                .is_some_and(|conn| conn.paused && conn.is_at_end())
            {
                self.close(id, notice);
            }
        }
    }

    fn close(&mut self, id: ConnId, notice: &mut impl FnMut(ServerNotice<'_>)) {
        let Some(slot) = self.conns.get_mut(id.slot as usize) else {
            return;
        };
        let Some(mut conn) = slot.take_if(|conn| conn.generation == id.generation) else {
            return;
        };
        let _ = self.poll.registry().deregister(&mut conn.stream);
        conn.out.clear(&mut self.feeds);
        if self.is_gone() {
            // Its number may be that of a file of the host's by now.
            std::mem::forget(conn);
        } else {
            drop(conn);
        }
        self.open -= 1;
        self.free.push(id.slot);
        self.trim_at_ms = Some(self.now().mono_ms + limits::PMD_TRIM_MS);
        self.registry
            .step(self.now(), Input::Closed(id), &mut self.outputs);
        self.carry_out(notice);
    }

    fn run_commands(&mut self) {
        for command in self.control.take() {
            match command {
                Command::Snapshot(reply) => reply(self.registry.nodes().collect()),
                Command::Stop => self.stopping = Some(None),
            }
        }
    }

    fn timers(&mut self, notice: &mut impl FnMut(ServerNotice<'_>)) {
        self.frozen_now = Some(self.clock.now());
        let now = self.now();
        if self.accept_again_ms.is_some_and(|at| at <= now.mono_ms) {
            self.accept_again_ms = None;
            for listener in 0..self.listeners.len() {
                self.accept(listener, notice);
            }
        }
        while let Some(&Reverse((at, id))) = self.partials.peek()
            && at <= now.mono_ms
        {
            self.partials.pop();
            self.partial_due(id, notice);
        }
        while let Some((_, id)) = self.lingering.pop_front_if(|(at, _)| *at <= now.mono_ms) {
            let unsent = self.unsent(id);
            match self.conn(id) {
                Some(conn) if matches!(conn.state, ConnState::Ended(left) if unsent < left) => {
                    conn.state = ConnState::Ended(unsent);
                    self.lingering
                        .push_back((now.mono_ms + limits::LINGER_MS, id));
                }
                _ => self.close(id, notice),
            }
        }
        if self
            .registry
            .next_deadline_ms()
            .is_some_and(|at| at <= now.mono_ms)
        {
            self.registry.step(now, Input::Tick, &mut self.outputs);
            self.carry_out(notice);
        }
        self.look_for_stalls(notice);
        self.trim(now);
    }

    /// Sends what is queued for a moment, then lets everything go.
    fn finish(mut self) {
        // Whoever was accepted by the system already would be reset, and sees an end instead.
        for listener in 0..self.listeners.len() {
            self.accept(listener, &mut |_| {});
        }
        #[cfg(unix)]
        self.listeners_fork.clear();
        self.listeners.clear();
        let until = Instant::now() + Duration::from_millis(limits::PMD_FLUSH_MS);
        let mut ignore = |_: ServerNotice<'_>| {};
        loop {
            let queued: Vec<ConnId> = (0..self.conns.len() as u32)
                .map(|slot| self.id(slot))
                .filter(|&id| self.unsent(id) > 0)
                .collect();
            if queued.is_empty() || Instant::now() >= until {
                break;
            }
            let mut events = Events::with_capacity(64);
            for id in queued {
                self.flush(id, &mut ignore);
            }
            let _ = self.poll.poll(&mut events, Some(Duration::from_millis(5)));
        }
        for conn in self.conns.into_iter().flatten() {
            let _ = conn.stream.shutdown(std::net::Shutdown::Write);
        }
    }
}
