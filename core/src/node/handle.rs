//! The handle of a node.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc;

#[cfg(target_os = "linux")]
use crate::dispatch::Readiness;
use crate::dispatch::{Callbacks, Handler, HandlerKey, Inbox, RecvError};
use crate::error::{Error, ErrorKind, Result};
use crate::lockfile::LockFile;
use crate::names::{Alias, Host, NodeId};
use crate::node::addresses::addresses;
use crate::node::events::{EventStream, Sending, event_inbox, recv_error};
use crate::node::inbound::{self, Message};
use crate::node::known::Known;
use crate::node::options::{NodeBuilder, NodeOptions};
use crate::node::registry;
use crate::node::shared::{How, Shared, outcome};
use crate::node_state::{Config, NodeEvent, NodeState, Outcome};
use crate::park::block_on;
use crate::runtime;
use crate::time::Clock;
use crate::wire::peer::{LINK, Payload};
use crate::wire::pmd::{NodeInfo, Register, checked_meta};
use crate::{fork, ids, limits, names, net};

/// What the nodes of this process know, and the fork generation it is for.
type KnownHere = (u64, Arc<Known>);

// Protects what the nodes of this process share. Held to get it, or to make it anew.
static KNOWN: Mutex<Option<KnownHere>> = Mutex::new(None);

/// What the nodes of this process share. A forked child begins anew: locks of its parent may be
/// held for ever there.
fn known() -> Arc<Known> {
    let generation = fork::generation();
    let Some(mut kept) = KNOWN.try_lock_for(Duration::from_secs(5)) else {
        return Arc::default();
    };
    match &*kept {
        Some((made_in, known)) if *made_in == generation => known.clone(),
        _ => {
            let known = Arc::<Known>::default();
            let inherited = kept.replace((generation, known.clone()));
            // Nothing that its nodes hold is touched in a child.
            std::mem::forget(inherited);
            known
        }
    }
}

/// A running node. Clones are the same node; when the last one is dropped, the node ends
/// without the good-byes of [`Node::shutdown`].
///
/// Usable from any thread and any async runtime: the node runs on threads of its own.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    alias: Option<Alias>,
    port: u16,
    callbacks: Callbacks<Message, NodeEvent>,
    callback_events: Inbox<NodeEvent>,
    // Protects whether the callbacks' queue is subscribed yet.
    callback_events_subscribed: Mutex<bool>,
    // Protects the lock file until the node has ended.
    lock_file: Mutex<Option<LockFile>>,
    // Protects the receiver that reports the end of every task; whoever shuts down waits for it
    // in turn, across awaits, hence tokio's.
    all_ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

/// Counters of a node. At rest, and unless a process crashed,
/// Σ `sent` = Σ (`delivered` + `dropped` + `lost_outbound` + `lost_inbound` + `waiting` +
/// `misdirected`) over all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stats {
    /// Messages accepted by `send` and `try_send`.
    pub sent: u64,
    /// Messages handed to the application.
    pub delivered: u64,
    /// Messages that found the mailbox full.
    pub dropped: u64,
    /// Accepted messages given up because their peer could not be reached.
    pub lost_outbound: u64,
    /// Messages of senders that were lost with a connection.
    pub lost_inbound: u64,
    /// Messages for another node that arrived here.
    pub misdirected: u64,
    /// Messages waiting in the mailbox.
    pub waiting: u64,
    /// Frames that were refused.
    pub bad_frames: u64,
}

impl Node {
    /// Builds a node step by step.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// Starts a node: finds or launches the PMD, registers, and learns who is there.
    ///
    /// Errors: `invalid_argument`, `insecure`, `alias_in_use`, `node_id_in_use`,
    /// `pmd_unavailable`, `not_pmd`, `pmd_launch_failed`, `address_in_use`, and, for an
    /// exclusive node, `already_running`.
    pub async fn start(mut options: NodeOptions) -> Result<Self> {
        options.check()?;
        options.bound_times();
        // Given back by its drop, also when the start fails.
        let lock_file = options.exclusive.then(LockFile::acquire).transpose()?;
        let runtime = runtime::Handle::current()?;
        let (listeners, advertised_host) = addresses(&runtime, &options).await?;
        let port = listeners
            .first()
            .and_then(|listener| listener.local_addr().ok())
            .map_or(0, |address| address.port());
        let node_id = match &options.node_id {
            Some(id) => {
                let node_id = NodeId::new(id)?;
                names::check_own("nodeId", id)?;
                node_id
            }
            None => NodeId::new(ids::random_node_id(&net::hostname()))?,
        };
        let alias = options
            .alias
            .as_deref()
            .filter(|alias| !alias.is_empty())
            .map(|alias| {
                names::check_own("alias", alias)?;
                Alias::new(alias)
            })
            .transpose()?;
        let register = Register {
            node_id: node_id.clone(),
            alias: alias.clone(),
            host: Host::new(advertised_host)?,
            port,
            caps: Some(format!("[\"{LINK}\"]").into()),
            meta: options.meta.as_deref().map(checked_meta).transpose()?,
            session: None,
        };
        let clock = Clock::new();
        let config = Config {
            pmd: format!("{}:{}", options.pmd_host, options.pmd_port),
            heartbeat_ms: options
                .use_heartbeat
                .then_some(options.heartbeat_interval_ms),
            may_launch: options.auto_start && net::is_localhost(&options.pmd_host),
            start_timeout_ms: options.start_timeout_ms,
            request_timeout_ms: options.request_timeout_ms,
            queue_bytes_max: options.queue_bytes_max,
            frame_bytes_max: options.frame_bytes_max,
            known: known(),
            // Milliseconds with room for the links of this run, which count upwards from it.
            ..Config::new(register, clock.now().wall_ms << 20, ids::random_u64())
        };
        let state = NodeState::new(config, clock.now());
        let (shared, all_ended) = Shared::new(node_id, options, clock, runtime.clone(), state);
        let user: std::sync::Weak<dyn runtime::User> = Arc::downgrade(&shared) as _;
        runtime.add_user(user);
        let callback_events = event_inbox();
        // From here on, dropping the handle ends the tasks.
        let node = Self {
            inner: Arc::new(Inner {
                callbacks: Callbacks::new(
                    shared.inbox.clone(),
                    callback_events.clone(),
                    shared.delivered.clone(),
                ),
                callback_events,
                callback_events_subscribed: Mutex::new(false),
                shared: shared.clone(),
                alias,
                port,
                lock_file: Mutex::new(lock_file),
                all_ended: tokio::sync::Mutex::new(all_ended),
            }),
        };
        {
            let _runtime = runtime.enter();
            let open = Arc::new(AtomicUsize::new(0));
            for listener in listeners {
                let listener = tokio::net::TcpListener::from_std(listener)
                    .map_err(|error| Error::io("cannot listen for messages", &error))?;
                shared.spawn(inbound::accept(shared.clone(), listener, open.clone()));
            }
        }
        let started = shared.step(|locked, _| {
            let call = locked.state.started();
            Shared::expect(locked, call)
        });
        shared.spawn(registry::deadlines(shared.clone()));
        match outcome(started).await? {
            Outcome::Done(result) => result?,
            Outcome::Peers(_) => {}
        }
        tracing::info!(node = %node.id(), alias = node.alias(), port, "node started");
        Ok(node)
    }

    /// Like [`Node::start`], blocking this thread.
    pub fn start_blocking(options: NodeOptions) -> Result<Self> {
        block_on(Self::start(options))
    }

    /// This node's id.
    pub fn id(&self) -> &str {
        self.inner.shared.id.as_str()
    }

    /// This node's alias.
    pub fn alias(&self) -> Option<&str> {
        self.inner.alias.as_ref().map(Alias::as_str)
    }

    /// The port this node listens on.
    pub fn port(&self) -> u16 {
        self.inner.port
    }

    /// Whether it is registered with a PMD right now.
    pub fn is_registered(&self) -> bool {
        self.inner.shared.check_fork().is_ok() && self.inner.shared.read(NodeState::is_registered)
    }

    /// Sends a value to an alias or node id.
    ///
    /// The value is serialized: a `&str` becomes a JSON string, also if it holds JSON. JSON text
    /// goes through [`Payload::from_json`] and [`Node::send_payload`].
    ///
    /// Ends when the message is in the queue of an established connection, waiting for room if
    /// the queue is full. Delivery is at most once and in order; see `docs/guarantees.md`.
    /// Dropping the future does not take a queued message back.
    ///
    /// Errors: `resolve_failed`, `connection_failed`, `too_large`, `invalid_json`, `closed`,
    /// `busy`, `forked`.
    pub async fn send<T: Serialize + ?Sized>(&self, target: &str, value: &T) -> Result<()> {
        self.send_payload(target, &Payload::from_value(value)?)
            .await
    }

    /// Like [`Node::send`], with JSON text that was checked already.
    pub async fn send_payload(&self, target: &str, payload: &Payload) -> Result<()> {
        match self.begin_send(target, payload)? {
            None => Ok(()),
            Some(sending) => sending.finish().await,
        }
    }

    /// Begins to send, for callers that avoid a future where none is needed: `None` when the
    /// message is in the queue of an established connection already, as it is as a rule.
    ///
    /// Errors: those of [`Node::send`] that are known at once.
    pub fn begin_send(&self, target: &str, payload: &Payload) -> Result<Option<Sending>> {
        self.inner.shared.check_fork()?;
        let pending = self.inner.shared.send(target, payload, How::Wait)?;
        Ok(pending.map(Sending))
    }

    /// Like [`Node::begin_send`], for one of several messages in a row: they are written
    /// together once there are 32 KiB for a peer, or by [`Node::flush`], which has to follow.
    pub fn begin_send_held(&self, target: &str, payload: &Payload) -> Result<Option<Sending>> {
        self.inner.shared.check_fork()?;
        let pending = self.inner.shared.send(target, payload, How::Hold)?;
        Ok(pending.map(Sending))
    }

    /// Writes what [`Node::begin_send_held`] holds back. Does not block: what a socket has no
    /// room for is written as soon as it has.
    pub fn flush(&self) {
        if self.inner.shared.check_fork().is_ok() {
            self.inner.shared.flush();
        }
    }

    /// Like [`Node::send_payload`], blocking this thread.
    ///
    /// Further error: `timeout`; the message may still be sent then.
    pub fn send_blocking(
        &self,
        target: &str,
        payload: &Payload,
        timeout: Option<Duration>,
    ) -> Result<()> {
        let sending = self.send_payload(target, payload);
        self.wait(sending, timeout).unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Timeout,
                "the send did not end in time",
            ))
        })
    }

    /// Queues a message without waiting. A later failure is an event, not an error.
    ///
    /// Errors: those of [`Node::send`]; `busy` when the queue is full, `resolve_failed` when
    /// the target is not known at this moment.
    pub fn try_send(&self, target: &str, payload: &Payload) -> Result<()> {
        self.inner.shared.check_fork()?;
        self.inner.shared.send(target, payload, How::Try).map(drop)
    }

    /// Waits for the next message; `None` when the node has ended. Safe to cancel. Several
    /// receivers compete.
    pub async fn recv(&self) -> Option<Message> {
        self.inner.shared.check_fork().ok()?;
        let message = self.inner.shared.inbox.recv().await;
        self.count(u64::from(message.is_some()));
        message
    }

    /// Waits for messages and moves up to `max` of them into `messages`; 0 = the node ended.
    pub async fn recv_many(&self, messages: &mut Vec<Message>, max: usize) -> usize {
        if self.inner.shared.check_fork().is_err() {
            return 0;
        }
        let count = self.inner.shared.inbox.recv_many(messages, max).await;
        self.count(count as u64);
        count
    }

    /// Blocks this thread until a message comes; `None` = without limit.
    ///
    /// Errors: `timeout`, and `closed` when the node has ended.
    pub fn recv_timeout(&self, timeout: Option<Duration>) -> Result<Message> {
        self.inner.shared.check_fork()?;
        match self.wait(self.recv(), timeout) {
            Some(Some(message)) => Ok(message),
            Some(None) => Err(recv_error(RecvError::Closed)),
            None => Err(recv_error(RecvError::Timeout)),
        }
    }

    /// Blocks like [`Node::recv_timeout`] and moves up to `max` messages at once.
    pub fn recv_many_timeout(
        &self,
        messages: &mut Vec<Message>,
        max: usize,
        timeout: Option<Duration>,
    ) -> Result<usize> {
        self.inner.shared.check_fork()?;
        match self.wait(self.recv_many(messages, max), timeout) {
            Some(0) if max > 0 => Err(recv_error(RecvError::Closed)),
            Some(count) => Ok(count),
            None => Err(recv_error(RecvError::Timeout)),
        }
    }

    /// Waits on this thread, which drives the node's network meanwhile. What is ready at once
    /// does not get that far.
    fn wait<F: Future>(&self, future: F, timeout: Option<Duration>) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => Some(output),
            // Who does not wait does not drive.
            Poll::Pending if timeout == Some(Duration::ZERO) => None,
            Poll::Pending => self.inner.shared.runtime.wait(future, timeout),
        }
    }

    /// Waits until a message waits, without taking it; false when the node has ended and none
    /// does.
    pub async fn ready(&self) -> bool {
        self.inner.shared.check_fork().is_ok() && self.inner.shared.inbox.ready().await
    }

    /// Moves up to `max` waiting messages into `messages`; returns how many.
    pub fn try_recv_many(&self, messages: &mut Vec<Message>, max: usize) -> usize {
        if self.inner.shared.check_fork().is_err() {
            return 0;
        }
        let count = self.inner.shared.inbox.try_recv_many(messages, max);
        self.count(count as u64);
        count
    }

    /// The next message, if one waits.
    pub fn try_recv(&self) -> Option<Message> {
        let message = self.inner.shared.inbox.try_recv();
        self.count(u64::from(message.is_some()));
        message
    }

    fn count(&self, messages: u64) {
        if messages > 0 {
            self.inner
                .shared
                .delivered
                .fetch_add(messages, Ordering::Relaxed);
        }
    }

    /// Adds a handler that is called with every message, on the node's callback thread. What
    /// waits in the mailbox comes first. Handlers and `recv` compete for messages.
    ///
    /// A handler that holds a clone of the node, to answer, keeps the node alive: end it with
    /// [`Node::shutdown`].
    ///
    /// Errors: `closed` when the node has ended, `forked`.
    pub fn on_message(&self, handler: impl Fn(&Message) + Send + Sync + 'static) -> Result<()> {
        self.inner.shared.check_fork()?;
        self.inner
            .callbacks
            .on_first(Handler::Each(Box::new(handler)))
            .map(drop)
    }

    /// Like [`Node::on_message`], called with all messages that wait, up to 256.
    pub fn on_messages(&self, handler: impl Fn(&[Message]) + Send + Sync + 'static) -> Result<()> {
        self.on_messages_until(handler).map(drop)
    }

    /// Like [`Node::on_messages`], until [`Node::end_on_messages`] is called with what this returns.
    pub fn on_messages_until(
        &self,
        handler: impl Fn(&[Message]) + Send + Sync + 'static,
    ) -> Result<HandlerKey> {
        self.inner.shared.check_fork()?;
        self.inner
            .callbacks
            .on_first(Handler::Batch(Box::new(handler)))
    }

    /// Ends a handler of messages, beyond a call that runs right now; without any left, messages are
    /// for `recv` again. Returns whether it was there.
    pub fn end_on_messages(&self, handler: HandlerKey) -> bool {
        self.inner.shared.check_fork().is_ok() && self.inner.callbacks.end_first(handler)
    }

    /// Adds a handler that is called with every event from now on, on the callback thread.
    ///
    /// Errors: `closed` when the node has ended, `forked`.
    pub fn on_event(&self, handler: impl Fn(&NodeEvent) + Send + Sync + 'static) -> Result<()> {
        self.inner.shared.check_fork()?;
        // Before the subscription, so that no event finds the queue without a handler.
        self.inner
            .callbacks
            .on_second(Handler::Each(Box::new(handler)))?;
        let mut subscribed = self.inner.callback_events_subscribed.lock();
        if !std::mem::replace(&mut *subscribed, true) {
            let inbox = self.inner.callback_events.clone();
            self.inner.shared.subscribe(inbox);
        }
        Ok(())
    }

    /// Whether this is the node's callback thread.
    pub fn is_callback_thread(&self) -> bool {
        self.inner.shared.check_fork().is_ok() && self.inner.callbacks.is_current_thread()
    }

    /// Calls no handler any more, beyond one that runs right now, and drops them all. Messages
    /// keep coming, for `recv`.
    pub fn stop_callbacks(&self) {
        if self.inner.shared.check_fork().is_ok() {
            self.inner.callbacks.stop();
        }
    }

    /// Keeps a descriptor readable while a message waits in the mailbox, or the node has ended.
    #[cfg(target_os = "linux")]
    pub fn set_readiness(&self, readiness: Readiness) -> Result<()> {
        self.inner.shared.check_fork()?;
        self.inner.shared.inbox.set_readiness(readiness);
        Ok(())
    }

    /// Says whether somebody takes messages as they come. While so, a mailbox of
    /// [`Overflow::DropNewest`](crate::Overflow) drops nothing when it is full: senders wait.
    pub fn set_attended(&self, attended: bool) {
        if self.inner.shared.check_fork().is_ok() {
            self.inner.shared.inbox.set_attended(attended);
        }
    }

    /// Subscribes to events from now on. Subscribe before asking for [`Node::peers`], and
    /// nothing is missed in between.
    pub fn events(&self) -> EventStream {
        let inbox = event_inbox();
        if self.inner.shared.check_fork().is_ok() {
            self.inner.shared.subscribe(inbox.clone());
        } else {
            inbox.close();
        }
        EventStream::new(inbox)
    }

    /// Everyone else known right now, in order of node id; no question to the PMD.
    pub fn peers(&self) -> Vec<Arc<NodeInfo>> {
        if self.inner.shared.check_fork().is_err() {
            return Vec::new();
        }
        self.inner.shared.read(NodeState::peers)
    }

    /// Asks the PMD for everyone else, optionally only those whose alias starts with a prefix.
    ///
    /// Errors: `pmd_unavailable`, `timeout`, `closed`, `forked`.
    pub async fn discover(&self, prefix: Option<&str>) -> Result<Vec<NodeInfo>> {
        self.inner.shared.check_fork()?;
        let prefix = prefix.map(str::to_owned);
        let receiver = self.inner.shared.step(|locked, now| {
            let call = locked.state.discover(now, prefix)?;
            Ok::<_, Error>(Shared::expect(locked, call))
        })?;
        match outcome(receiver).await? {
            Outcome::Peers(peers) => peers,
            Outcome::Done(result) => result.map(|()| Vec::new()),
        }
    }

    /// Like [`Node::discover`], blocking this thread.
    pub fn discover_blocking(&self, prefix: Option<&str>) -> Result<Vec<NodeInfo>> {
        self.discover_within(prefix, None)
    }

    /// Like [`Node::discover_blocking`], with a limit; `None` = that of requests to the PMD.
    pub fn discover_within(
        &self,
        prefix: Option<&str>,
        timeout: Option<Duration>,
    ) -> Result<Vec<NodeInfo>> {
        let discovering = self.wait(self.discover(prefix), timeout);
        discovering.unwrap_or_else(|| Err(Error::request_timeout()))
    }

    /// Largest frame this node sends or accepts, in bytes.
    pub fn frame_bytes_max(&self) -> usize {
        self.inner.shared.options.frame_bytes_max
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.shared;
        if shared.check_fork().is_err() {
            return Stats::default();
        }
        let sends = shared.read(NodeState::send_counts);
        let inbound = shared.inbound.lock();
        Stats {
            sent: sends.sent,
            delivered: shared.delivered.load(Ordering::Relaxed),
            dropped: shared.inbox.dropped(),
            lost_outbound: sends.lost,
            lost_inbound: inbound.lost(),
            misdirected: inbound.misdirected(),
            waiting: shared.inbox.len() as u64,
            bad_frames: shared.bad_frames.load(Ordering::Relaxed),
        }
    }

    /// Flushes what is queued, for 1.5 s at most, unregisters, closes every connection, and ends
    /// every task and the callback thread. Safe to call twice, at once, and to cancel and call
    /// again. What waits in the mailbox can still be received; handlers get it first. At most
    /// about 3 s when a peer or the PMD does not respond, but as long as handlers take.
    ///
    /// What could not be flushed is counted as `lost_outbound`. On the callback thread this does
    /// not wait for the thread itself.
    pub async fn shutdown(&self) -> Result<()> {
        self.end(Duration::from_millis(limits::SHUTDOWN_MS)).await
    }

    async fn end(&self, flush: Duration) -> Result<()> {
        let shared = &self.inner.shared;
        if shared.is_over()? {
            return self.end_without_network().await;
        }
        shared.flush();
        let flush_ms = u64::try_from(flush.as_millis()).unwrap_or(u64::MAX);
        let ending = shared.step(|locked, now| {
            let call = locked.state.shutdown(now, flush_ms)?;
            Some(Shared::expect(locked, call))
        });
        if let Some(ending) = ending {
            // A node that was ended otherwise in the meantime is ended as well.
            let _ = outcome(ending).await;
        }
        // Yields nothing; ends when the last task is gone.
        let _ = self.inner.all_ended.lock().await.recv().await;
        shared.close_queues();
        self.inner.callback_events.close();
        if !self.inner.callbacks.is_current_thread() {
            self.inner.callbacks.ended().await;
        }
        *self.inner.lock_file.lock() = None;
        tracing::info!(node = %self.id(), alias = self.alias(), "node ended");
        Ok(())
    }

    /// Ends what is left of a node whose descriptors the host has closed: its handlers.
    async fn end_without_network(&self) -> Result<()> {
        self.inner.callback_events.close();
        if !self.inner.callbacks.is_current_thread() {
            self.inner.callbacks.ended().await;
        }
        // Its descriptor may be somebody else's by now.
        std::mem::forget(self.inner.lock_file.lock().take());
        Ok(())
    }

    /// Like [`Node::shutdown`], blocking this thread.
    pub fn shutdown_blocking(&self) -> Result<()> {
        self.wait(self.shutdown(), None).unwrap_or(Ok(()))
    }

    /// Like [`Node::shutdown_blocking`], but with a limit, also for handlers: when three quarters
    /// of it are over, what still waits for them is left in the mailbox.
    ///
    /// Half of it may go into flushing.
    ///
    /// Errors: `timeout` when the limit is over, because a handler still runs or the network has
    /// not ended; call again to wait on. `forked`.
    pub fn shutdown_within(&self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let flush = limit / 2;
        if let Some(result) = self.wait(self.end(flush), Some(limit / 4 * 3)) {
            return result;
        }
        self.inner.callbacks.stop();
        let left = limit.saturating_sub(begun.elapsed());
        self.wait(self.end(Duration::ZERO), Some(left))
            .unwrap_or_else(|| {
                Err(Error::new(
                    ErrorKind::Timeout,
                    "the node did not end in time; a callback may still run",
                ))
            })
    }

    /// Whether the node has ended.
    pub fn has_ended(&self) -> bool {
        self.inner.shared.has_ended()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id())
            .field("alias", &self.alias())
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Sockets and tasks belong to the parent, or the host has closed their descriptors; whatever
        // touched them here would touch descriptors that may be someone else's by now.
        match self.shared.is_over() {
            Err(_) => return std::mem::forget(self.shared.clone()),
            Ok(true) => {
                std::mem::forget(self.shared.clone());
                std::mem::forget(self.lock_file.lock().take());
                return self.callback_events.close();
            }
            Ok(false) => {}
        }
        self.shared.step(|locked, _| locked.state.abort());
        self.shared.close_queues();
        self.callback_events.close();
    }
}
