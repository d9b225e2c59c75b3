//! What the tasks of a node share: the state machine behind its lock, and the carrying out of
//! what it asks for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::canary;
use crate::dispatch::{Inbox, Wakeups};
use crate::error::{Error, ErrorKind, Result};
use crate::fork;
use crate::names::NodeId;
use crate::node::inbound::Message;
use crate::node::link::{self, Sink};
use crate::node::options::NodeOptions;
use crate::node::registry;
use crate::node_state::{
    Action, CallId, Inbound, LinkAction, LinkId, NodeEvent, NodeState, Outcome,
};
use crate::pmd::Pmd;
use crate::runtime;
use crate::time::{Clock, Now};
use crate::wire::peer::Payload;

/// The state machine and the tables that change with it.
pub(super) struct Locked {
    pub state: NodeState,
    calls: HashMap<CallId, oneshot::Sender<Outcome>>,
    sinks: HashMap<LinkId, Arc<Sink>>,
    /// Links whose flush waits for more messages, or for [`Shared::flush`].
    held: Vec<LinkId>,
    /// Number of the current connection to the PMD; tasks of earlier ones are told to end by
    /// its change.
    pub pmd_connection: u64,
}

/// Everything the tasks of one node share.
pub(super) struct Shared {
    pub id: NodeId,
    pub options: NodeOptions,
    pub clock: Clock,
    pub runtime: runtime::Handle,
    fork_generation: u64,
    // Protects the state machine. Held for one step and the carrying out of its actions, none
    // of which waits or runs user code.
    locked: Mutex<Locked>,
    // Protects the streams of senders, and makes the order of delivery the order of their
    // verdicts. Taken after `locked` when both are needed.
    pub inbound: Mutex<Inbound>,
    pub inbox: Inbox<Message>,
    // Protects the list of subscribers.
    subscribers: Mutex<Vec<Inbox<NodeEvent>>>,
    pub delivered: Arc<AtomicU64>,
    pub bad_frames: AtomicU64,
    /// Woken when a deadline is earlier than `armed_ms`, which the timer task sleeps for.
    pub timer: Notify,
    armed_ms: AtomicU64,
    /// Woken when bytes wait for the PMD.
    pub pmd_flush: Notify,
    pmd_changed: watch::Sender<u64>,
    stopped: watch::Sender<bool>,
    /// Every task holds a clone; when all are gone, the receiver reports the end.
    alive: Mutex<Option<mpsc::Sender<()>>>,
    ended: AtomicBool,
    // Protects the PMD that this node serves as, if it does. Held to put it there or to take it.
    pmd: Mutex<Option<Pmd>>,
}

/// How a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Wait for an address, a connection, or room.
    Wait,
    /// Like `Wait`, and more messages follow: they are written together, at the latest by
    /// [`Shared::flush`].
    Hold,
    /// Fail instead of waiting.
    Try,
}

/// What has to happen after the lock is released.
#[derive(Default)]
pub(super) struct After {
    wake: Vec<(oneshot::Sender<Outcome>, Outcome)>,
    wakeups: Vec<Wakeups>,
    /// Events to be logged, which may be slow and may wake somebody.
    events: Vec<NodeEvent>,
    /// Tasks were given something to do.
    attend: bool,
    flush: Vec<(LinkId, Arc<Sink>)>,
    /// The PMD of a node that has ended, and what keeps the end waiting for it.
    pmd: Option<(Pmd, Option<mpsc::Sender<()>>)>,
    /// The host was seen not to have closed the library's descriptors.
    looked: bool,
}

impl runtime::User for Shared {
    fn lost(&self) {
        self.ended.store(true, Ordering::Release);
        let calls = std::mem::take(&mut self.locked.lock().calls);
        // Each of them ends: nobody will answer it.
        drop(calls);
        self.close_queues();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub fn new(
        id: NodeId,
        options: NodeOptions,
        clock: Clock,
        runtime: runtime::Handle,
        state: NodeState,
    ) -> (Arc<Self>, mpsc::Receiver<()>) {
        let (alive, all_ended) = mpsc::channel(1);
        let shared = Arc::new(Self {
            inbound: Mutex::new(Inbound::new(id.clone())),
            inbox: Inbox::new(options.mailbox),
            id,
            options,
            clock,
            runtime,
            fork_generation: fork::generation(),
            locked: Mutex::new(Locked {
                state,
                calls: HashMap::new(),
                sinks: HashMap::new(),
                held: Vec::new(),
                pmd_connection: 0,
            }),
            subscribers: Mutex::new(Vec::new()),
            delivered: Arc::default(),
            bad_frames: AtomicU64::new(0),
            timer: Notify::new(),
            armed_ms: AtomicU64::new(u64::MAX),
            pmd_flush: Notify::new(),
            pmd_changed: watch::Sender::new(0),
            stopped: watch::Sender::new(false),
            alive: Mutex::new(Some(alive)),
            ended: AtomicBool::new(false),
            pmd: Mutex::new(None),
        });
        (shared, all_ended)
    }

    /// Fails in a process that inherited the node over `fork`, and in one that is known to have
    /// closed its descriptors.
    pub fn check_fork(&self) -> Result<()> {
        if fork::generation() != self.fork_generation {
            Err(Error::forked())
        } else if self.runtime.is_lost() {
            Err(self.gone())
        } else {
            Ok(())
        }
    }

    /// Whether the host has closed the node's descriptors; asks the system. Without the lock.
    ///
    /// Errors: `forked`.
    pub fn is_over(&self) -> Result<bool> {
        if fork::generation() == self.fork_generation {
            Ok(self.runtime.is_over())
        } else {
            Err(Error::forked())
        }
    }

    /// The error of a node whose descriptors the host has closed. Without the lock.
    fn gone(&self) -> Error {
        self.runtime.is_over();
        canary::gone()
    }

    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Runs a task of this node until it ends or the node stops.
    pub fn spawn(self: &Arc<Self>, task: impl std::future::Future<Output = ()> + Send + 'static) {
        let mut stopped = self.stopped.subscribe();
        let Some(alive) = self.keep_alive() else {
            return;
        };
        // Without the network there is nothing to do.
        let _ = self.runtime.spawn(async move {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = task => {}
            }
            drop(alive);
        });
    }

    /// Keeps the end of the node waiting while it lives; `None` when the node has ended.
    pub fn keep_alive(&self) -> Option<mpsc::Sender<()>> {
        self.alive.lock().clone()
    }

    /// Owns the PMD that this node serves as until the node has ended. Blocks when there was
    /// one already, or the node has ended.
    pub fn keep_pmd(&self, pmd: Pmd) {
        let superfluous = {
            let mut kept = self.pmd.lock();
            // Who ends the node says so before it looks for a PMD here.
            if self.has_ended() {
                Some(pmd)
            } else {
                kept.replace(pmd)
            }
        };
        drop(superfluous);
    }

    /// Lets the state machine take a step and carries out what it asks for.
    pub fn step<R>(self: &Arc<Self>, step: impl FnOnce(&mut Locked, Now) -> R) -> R {
        let now = self.now();
        let mut after = After::default();
        let (result, deadline_ms) = {
            let mut locked = self.locked.lock();
            let result = step(&mut locked, now);
            self.act(&mut locked, &mut after);
            (result, locked.state.next_deadline_ms())
        };
        if self.runtime.is_lost() {
            self.runtime.is_over();
            return result;
        }
        self.finish(after);
        self.arm(deadline_ms);
        result
    }

    /// Carries out what the state machine asks for; nothing of it when the host has closed the
    /// library's descriptors.
    fn act(self: &Arc<Self>, locked: &mut Locked, after: &mut After) {
        while let Some(action) = locked.state.pop_action() {
            // A flush is a write, which looks for itself.
            let is_flush = matches!(action, Action::Link(LinkAction::Flush(_)));
            if !is_flush && !after.looked {
                if self.runtime.look() {
                    while locked.state.pop_action().is_some() {}
                    return;
                }
                after.looked = true;
            }
            self.carry_out(locked, action, after);
        }
    }

    /// Wakes the timer task if a deadline is earlier than what it sleeps for.
    fn arm(&self, deadline_ms: Option<u64>) {
        let deadline_ms = deadline_ms.unwrap_or(u64::MAX);
        if deadline_ms < self.armed_ms.fetch_min(deadline_ms, Ordering::AcqRel) {
            if self.runtime.is_over() {
                return;
            }
            self.timer.notify_one();
            self.runtime.attend();
        }
    }

    /// Notes what the timer task is going to sleep for.
    pub fn rearm(&self) -> Option<u64> {
        // Emptied first: an earlier deadline that comes up from here on wakes the task again.
        self.armed_ms.store(u64::MAX, Ordering::Release);
        let deadline_ms = self.read(NodeState::next_deadline_ms);
        if let Some(deadline_ms) = deadline_ms {
            self.armed_ms.fetch_min(deadline_ms, Ordering::AcqRel);
        }
        deadline_ms
    }

    /// Sends a message. The usual case, a link that is up and has room, is one turn of the
    /// lock and at most one write by this thread.
    pub fn send(
        self: &Arc<Self>,
        target: &str,
        payload: &Payload,
        how: How,
    ) -> Result<Option<oneshot::Receiver<Outcome>>> {
        let now = self.now();
        let mut after = After::default();
        let (result, flush_held, deadline_ms) = {
            let mut locked = self.locked.lock();
            let result = match how {
                How::Wait | How::Hold => locked.state.send(now, target, payload),
                How::Try => locked.state.try_send(now, target, payload).map(|()| None),
            };
            let result = result.map(|call| {
                call.map(|call| {
                    let (sender, receiver) = oneshot::channel();
                    locked.calls.insert(call, sender);
                    receiver
                })
            });
            self.act(&mut locked, &mut after);
            let held = &mut locked.held;
            if how == How::Hold {
                // Only the first flush of a batch is held back, not that of a full one.
                after.flush.retain(|(id, _)| {
                    let known = held.iter().position(|other| other == id);
                    match known {
                        Some(at) => drop(held.swap_remove(at)),
                        None => held.push(*id),
                    }
                    known.is_some()
                });
            }
            let flush_held = how != How::Hold && !held.is_empty();
            (result, flush_held, locked.state.next_deadline_ms())
        };
        if self.runtime.is_lost() {
            return Err(self.gone());
        }
        for (id, sink) in std::mem::take(&mut after.flush) {
            match how {
                How::Hold => link::write_now(self, id, &sink),
                How::Wait | How::Try => link::write_unless_burst(self, id, &sink),
            }
        }
        if flush_held {
            // This message may be behind one that was held back.
            self.flush();
        }
        if self.runtime.is_lost() {
            return Err(self.gone());
        }
        self.finish(after);
        self.arm(deadline_ms);
        result
    }

    /// Writes what [`How::Hold`] held back, as far as sockets take it at once.
    pub fn flush(self: &Arc<Self>) {
        let held: Vec<_> = {
            let mut locked = self.locked.lock();
            let held = std::mem::take(&mut locked.held);
            let sink = |id: LinkId| Some((id, locked.sinks.get(&id)?.clone()));
            held.into_iter().filter_map(sink).collect()
        };
        for (id, sink) in held {
            link::write_now(self, id, &sink);
        }
    }

    /// Registers a call that ends later.
    pub fn expect(locked: &mut Locked, call: CallId) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        locked.calls.insert(call, sender);
        receiver
    }

    fn carry_out(self: &Arc<Self>, locked: &mut Locked, action: Action, after: &mut After) {
        match action {
            Action::PmdConnect => {
                locked.pmd_connection += 1;
                self.pmd_changed.send_replace(locked.pmd_connection);
                self.spawn(registry::connect(self.clone(), locked.pmd_connection));
            }
            Action::PmdLaunch => self.spawn(registry::launch(self.clone())),
            Action::PmdFlush => {
                self.pmd_flush.notify_one();
                after.attend = true;
            }
            Action::PmdDrop => {
                after.attend = true;
                locked.pmd_connection += 1;
                self.pmd_changed.send_replace(locked.pmd_connection);
            }
            Action::Link(LinkAction::Connect(id, connection, host, port)) => {
                self.spawn(link::connect(self.clone(), id, connection, host, port));
            }
            Action::Link(LinkAction::Flush(id)) => {
                if let Some(sink) = locked.sinks.get(&id) {
                    after.flush.push((id, sink.clone()));
                }
            }
            Action::Link(LinkAction::Drop(id, connection)) => {
                if locked
                    .sinks
                    .get(&id)
                    .is_some_and(|sink| sink.connection == connection)
                    && let Some(sink) = locked.sinks.remove(&id)
                {
                    sink.close();
                    after.attend = true;
                }
            }
            // Queued under the lock, so that subscribers see the order of the state machine.
            Action::Event(event) => {
                self.publish(&event, after);
                after.events.push(event);
            }
            Action::Forget(id) => self.inbound.lock().forget(&id),
            Action::Ended(call, outcome) => {
                if let Some(sender) = locked.calls.remove(&call) {
                    after.wake.push((sender, outcome));
                }
            }
            Action::Stopped => {
                after.attend = true;
                for (_, sink) in locked.sinks.drain() {
                    sink.close();
                }
                self.ended.store(true, Ordering::Release);
                self.stopped.send_replace(true);
                let alive = self.alive.lock().take();
                after.pmd = self.pmd.lock().take().map(|pmd| (pmd, alive));
            }
        }
    }

    fn finish(&self, after: After) {
        for event in &after.events {
            log_event(&self.id, self.options.alias.as_deref(), event);
        }
        if let Some((pmd, alive)) = after.pmd {
            // Its end is waited for, which this thread, that of the network perhaps, must not.
            self.runtime.spawn_blocking(move || {
                drop(pmd);
                drop(alive);
            });
        }
        if after.attend || !after.flush.is_empty() {
            if !after.looked && self.runtime.is_over() {
                return;
            }
            for (_, sink) in after.flush {
                sink.flush.notify_one();
            }
            self.runtime.attend();
        }
        for (sender, outcome) in after.wake {
            // The caller may have given up.
            let _ = sender.send(outcome);
        }
    }

    fn publish(&self, event: &NodeEvent, after: &mut After) {
        let mut subscribers = self.subscribers.lock();
        subscribers.retain(|subscriber| !subscriber.is_closed());
        for subscriber in subscribers.iter() {
            let (_, wakeups) = subscriber.push_all(&mut [(event.clone(), 0)].into());
            after.wakeups.push(wakeups);
        }
    }

    /// Adds a subscriber to the events from here on. After the end, it is closed at once.
    pub fn subscribe(&self, inbox: Inbox<NodeEvent>) {
        let mut subscribers = self.subscribers.lock();
        if self.ended.load(Ordering::Acquire) {
            inbox.close();
        }
        subscribers.push(inbox);
    }

    /// Ends every queue towards the application.
    pub fn close_queues(&self) {
        self.inbox.close();
        for subscriber in self.subscribers.lock().drain(..) {
            subscriber.close();
        }
    }

    /// A receiver that reports a change of the connection to the PMD.
    pub fn pmd_changes(&self) -> watch::Receiver<u64> {
        self.pmd_changed.subscribe()
    }

    /// Makes a connected link's socket known.
    pub fn add_sink(self: &Arc<Self>, id: LinkId, sink: Arc<Sink>) {
        let connection = sink.connection;
        self.step(|locked, _| {
            if let Some(old) = locked.sinks.insert(id, sink) {
                old.close();
            }
            locked.state.peer_connected(id, connection);
        });
    }

    /// Reads the state without changing it.
    pub fn read<R>(&self, read: impl FnOnce(&NodeState) -> R) -> R {
        read(&self.locked.lock().state)
    }

    /// Whether the node has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Waits for the end of a call.
pub(super) async fn outcome(receiver: oneshot::Receiver<Outcome>) -> Result<Outcome> {
    receiver
        .await
        .map_err(|_| Error::new(ErrorKind::Closed, "the node ended while the call waited"))
}

fn log_event(node: &NodeId, alias: Option<&str>, event: &NodeEvent) {
    match event {
        NodeEvent::PeerJoin(peer) => {
            tracing::info!(%node, alias, peer = peer.node_id, peer_alias = peer.alias, "peer joined");
        }
        NodeEvent::PeerLeave(peer, cause) => {
            tracing::info!(%node, alias, peer = peer.node_id, peer_alias = peer.alias, reason = cause.name(), "peer left");
        }
        NodeEvent::RegistryLost(error) => {
            tracing::warn!(%node, alias, reason = %error, "connection to the PMD lost");
        }
        NodeEvent::RegistryRestored => tracing::info!(%node, alias, "Reconnected to PMD"),
        NodeEvent::RegistrationRefused(error) => {
            tracing::warn!(%node, alias, reason = %error, "registration refused");
        }
        NodeEvent::MailboxOverflow(total) => {
            tracing::warn!(%node, alias, total, "mailbox full, messages dropped");
        }
        NodeEvent::SendFailed {
            to,
            messages,
            error,
        } => tracing::warn!(%node, alias, %to, messages, reason = %error, "messages lost"),
    }
}
