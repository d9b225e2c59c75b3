//! A node, as the Python layer uses it. Infrequent things cross as JSON text, see
//! `distflow_core::interchange`; messages are made into Python values here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use distflow_core::dispatch::Readiness;
use distflow_core::{Error, EventStream, Node, Result, fork, interchange};
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::hub::{CallId, Hub};
use crate::message::{Maker, Message};
use crate::{decode, encode, error, live, wait};

/// Messages taken at once.
const BATCH: usize = 256;

/// The native half of `distflow.Node` and `distflow.aio.Node`.
#[pyclass(frozen, module = "distflow._distflow")]
pub struct NativeNode {
    inner: Arc<Inner>,
}

/// A node that is there as soon as its start has ended well.
pub struct Inner {
    node: OnceLock<Node>,
    maker: OnceLock<Maker>,
    // Protects messages that were taken from the mailbox and wait for `next`; held to add or take.
    taken: Mutex<VecDeque<distflow_core::Message>>,
    events: OnceLock<EventStream>,
    messages_ready: OnceLock<Readiness>,
    /// The process it was started in.
    generation: u64,
    /// Set by a handler that ends its node: no handler is called any more.
    is_silent: Arc<AtomicBool>,
}

impl Inner {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            node: OnceLock::new(),
            maker: OnceLock::new(),
            taken: Mutex::default(),
            events: OnceLock::new(),
            messages_ready: OnceLock::new(),
            generation: fork::generation(),
            is_silent: Arc::default(),
        })
    }

    /// Whether it belongs to the process that forked this one.
    fn is_foreign(&self) -> bool {
        self.generation != fork::generation()
    }

    pub fn node(&self) -> Result<&Node> {
        self.node.get().ok_or_else(Error::not_started)
    }

    fn set(&self, node: Node) {
        // Subscribed before anybody can ask for peers, so that nothing is missed in between.
        let _ = self.events.set(node.events());
        let _ = self.node.set(node);
    }

    fn maker(&self, py: Python<'_>, node: &Node) -> &Maker {
        self.maker.get_or_init(|| Maker::new(py, node.id()))
    }
}

fn checked_node<'a>(py: Python<'_>, inner: &'a Inner) -> PyResult<&'a Node> {
    if inner.is_foreign() {
        return Err(error::raised(py, &Error::forked()));
    }
    error::checked(py, inner.node())
}

fn prefix_of(prefix: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    prefix
        .map(|prefix| encode::text("prefix", prefix).map(str::to_owned))
        .transpose()
}

#[pymethods]
impl NativeNode {
    #[new]
    fn new() -> Self {
        Self {
            inner: Inner::new(),
        }
    }

    /// Starts the node; blocks.
    fn start(&self, py: Python<'_>, options: &str) -> PyResult<()> {
        let options = error::checked(py, interchange::node_options(options))?;
        let node = wait::run(py, Node::start(options))?;
        self.inner.set(node);
        live::add(&self.inner);
        Ok(())
    }

    /// Starts the node; the end comes to the hub.
    fn begin_start(
        &self,
        py: Python<'_>,
        options: &str,
        hub: &Bound<'_, Hub>,
        call: CallId,
    ) -> PyResult<()> {
        let options = error::checked(py, interchange::node_options(options))?;
        let (inner, events) = (Arc::downgrade(&self.inner), hub.get().readiness());
        let begun = hub.get().run(call, async move {
            let node = Node::start(options).await?;
            // Nobody waits any more: the node ends with its last handle.
            let inner = inner
                .upgrade()
                .ok_or_else(|| error::closed("the start was given up"))?;
            inner.set(node);
            if let Some(stream) = inner.events.get() {
                stream.set_readiness(events);
            }
            live::add(&inner);
            Ok(String::new())
        });
        error::checked(py, begun)
    }

    #[getter]
    fn node_id(&self, py: Python<'_>) -> PyResult<String> {
        Ok(checked_node(py, &self.inner)?.id().to_owned())
    }

    #[getter]
    fn alias(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(checked_node(py, &self.inner)?.alias().map(str::to_owned))
    }

    #[getter]
    fn port(&self, py: Python<'_>) -> PyResult<u16> {
        Ok(checked_node(py, &self.inner)?.port())
    }

    fn is_registered(&self) -> bool {
        !self.inner.is_foreign() && self.inner.node().is_ok_and(Node::is_registered)
    }

    fn has_ended(&self) -> bool {
        self.inner.is_foreign() || self.inner.node().is_ok_and(Node::has_ended)
    }

    /// Sends a value; blocks while the target's address, its connection or room is waited for.
    #[pyo3(signature = (target, value, timeout=None))]
    fn send(
        &self,
        py: Python<'_>,
        target: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let node = checked_node(py, &self.inner)?;
        let timeout = wait::seconds(py, timeout)?;
        let target = encode::text("target", target)?;
        let payload = encode::payload(value)?;
        let Some(mut sending) = error::checked(py, node.begin_send(target, &payload))? else {
            return Ok(());
        };
        match wait::sliced(py, timeout, |limit| sending.finish_within(limit))? {
            Some(result) => error::checked(py, result),
            None => Err(error::raised(
                py,
                &Error::new(
                    distflow_core::ErrorKind::Timeout,
                    "the send did not end in time",
                ),
            )),
        }
    }

    /// Queues a value without waiting.
    fn try_send(
        &self,
        py: Python<'_>,
        target: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let node = checked_node(py, &self.inner)?;
        let target = encode::text("target", target)?;
        let payload = encode::payload(value)?;
        error::checked(py, node.try_send(target, &payload))
    }

    /// Sends a value; false: it is in the queue of an established connection. True: the end comes
    /// to the hub. Held values wait for `flush`.
    fn begin_send(
        &self,
        py: Python<'_>,
        target: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        held: bool,
        hub: &Bound<'_, Hub>,
        call: CallId,
    ) -> PyResult<bool> {
        let node = checked_node(py, &self.inner)?;
        let target = encode::text("target", target)?;
        let payload = encode::payload(value)?;
        let begun = match held {
            true => node.begin_send_held(target, &payload),
            false => node.begin_send(target, &payload),
        };
        let Some(sending) = error::checked(py, begun)? else {
            return Ok(false);
        };
        let run = hub.get().run(call, async move {
            sending.finish().await?;
            Ok(String::new())
        });
        error::checked(py, run)?;
        Ok(true)
    }

    /// Writes what was held back.
    fn flush(&self) {
        if let Ok(node) = self.inner.node() {
            node.flush();
        }
    }

    /// The next message; `None` when the time is over. Blocks.
    #[pyo3(signature = (timeout=None))]
    fn recv(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<Message>>> {
        let node = checked_node(py, &self.inner)?;
        let timeout = wait::seconds(py, timeout)?;
        let Some(message) = self.next_message(py, node, timeout)? else {
            return Ok(None);
        };
        let message = error::checked(py, message)?;
        Ok(Some(self.inner.maker(py, node).make(py, &message)?))
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// The next message, until the node has ended. Blocks.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Message>>> {
        let node = checked_node(py, &self.inner)?;
        match self.next_message(py, node, None)? {
            Some(Ok(message)) => Ok(Some(self.inner.maker(py, node).make(py, &message)?)),
            Some(Err(error)) if error.kind() != distflow_core::ErrorKind::Closed => {
                Err(error::raised(py, &error))
            }
            _ => Ok(None),
        }
    }

    /// Up to so many messages that wait; does not block.
    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Vec<Py<Message>>> {
        let node = checked_node(py, &self.inner)?;
        let mut messages = Vec::new();
        messages.extend(self.inner.taken.lock().drain(..));
        node.try_recv_many(&mut messages, max);
        let maker = self.inner.maker(py, node);
        messages
            .iter()
            .map(|message| maker.make(py, message))
            .collect()
    }

    /// A descriptor that is readable while a message waits, or the node has ended.
    fn messages_fd(&self, py: Python<'_>) -> PyResult<i32> {
        let node = checked_node(py, &self.inner)?;
        if let Some(readiness) = self.inner.messages_ready.get() {
            return Ok(readiness.fd());
        }
        let readiness = error::checked(py, Readiness::new())?;
        error::checked(py, node.set_readiness(readiness.clone()))?;
        Ok(self.inner.messages_ready.get_or_init(|| readiness).fd())
    }

    /// Calls a function with each message, on the node's callback thread.
    fn on_message(&self, py: Python<'_>, handler: Py<PyAny>) -> PyResult<()> {
        let node = checked_node(py, &self.inner)?;
        let maker = Maker::new(py, node.id());
        let is_silent = self.inner.is_silent.clone();
        let call = move |messages: &[distflow_core::Message]| {
            // Once for the batch. Without an interpreter, it is ending.
            Python::try_attach(|py| {
                for message in messages {
                    if wait::is_over() || is_silent.load(Ordering::Relaxed) {
                        return;
                    }
                    let called = maker
                        .make(py, message)
                        .and_then(|message| handler.call1(py, (message,)));
                    report(py, called.map(drop), &handler);
                }
            });
        };
        error::checked(py, node.on_messages(call))?;
        node.set_attended(true);
        Ok(())
    }

    /// Somebody takes what comes: a full mailbox drops no newest message any more.
    fn attend(&self) {
        if let Ok(node) = self.inner.node() {
            node.set_attended(true);
        }
    }

    /// Calls a function with each event's row, on the node's callback thread.
    fn on_event(&self, py: Python<'_>, handler: Py<PyAny>) -> PyResult<()> {
        let node = checked_node(py, &self.inner)?;
        let is_silent = self.inner.is_silent.clone();
        let call = move |event: &distflow_core::NodeEvent| {
            if is_silent.load(Ordering::Relaxed) {
                return;
            }
            let row = interchange::node_event(event);
            Python::try_attach(|py| {
                let called =
                    decode::value(py, row.as_bytes()).and_then(|row| handler.call1(py, (row,)));
                report(py, called.map(drop), &handler);
            });
        };
        error::checked(py, node.on_event(call))
    }

    /// The next event's row; `None` when the time is over, or for good when the node has ended.
    #[pyo3(signature = (timeout=None))]
    fn next_event(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        checked_node(py, &self.inner)?;
        let Some(events) = self.inner.events.get() else {
            return Ok(None);
        };
        let timeout = wait::seconds(py, timeout)?;
        let event = wait::sliced(py, timeout, |limit| match events.next_timeout(limit) {
            Err(error) if error.kind() == distflow_core::ErrorKind::Timeout => None,
            event => Some(event.ok()),
        })?;
        event
            .flatten()
            .map(|event| {
                decode::value(py, interchange::node_event(&event).as_bytes()).map(Bound::unbind)
            })
            .transpose()
    }

    /// The rows of events that wait.
    fn take_events(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let Some(events) = self.inner.events.get() else {
            return Ok(Vec::new());
        };
        std::iter::from_fn(|| events.try_next())
            .take(BATCH)
            .map(|event| {
                decode::value(py, interchange::node_event(&event).as_bytes()).map(Bound::unbind)
            })
            .collect()
    }

    /// Asks the PMD for everyone else; blocks.
    #[pyo3(signature = (prefix=None, timeout=None))]
    fn discover(
        &self,
        py: Python<'_>,
        prefix: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let node = checked_node(py, &self.inner)?.clone();
        let timeout = wait::seconds(py, timeout)?;
        let prefix = prefix_of(prefix)?;
        let peers =
            wait::run_blocking(py, move || node.discover_within(prefix.as_deref(), timeout))?;
        let rows = interchange::array(peers.iter().map(interchange::peer));
        decode::value(py, rows.as_bytes()).map(Bound::unbind)
    }

    /// Asks the PMD for everyone else; the rows come to the hub.
    fn begin_discover(
        &self,
        py: Python<'_>,
        prefix: Option<&Bound<'_, PyAny>>,
        hub: &Bound<'_, Hub>,
        call: CallId,
    ) -> PyResult<()> {
        let node = checked_node(py, &self.inner)?.clone();
        let prefix = prefix_of(prefix)?;
        let begun = hub.get().run(call, async move {
            let peers = node.discover(prefix.as_deref()).await?;
            Ok(interchange::array(peers.iter().map(interchange::peer)))
        });
        error::checked(py, begun)
    }

    /// Everyone else who is known, as rows.
    fn peers(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let peers = checked_node(py, &self.inner)?.peers();
        let rows = interchange::array(peers.iter().map(|peer| interchange::peer(peer)));
        decode::value(py, rows.as_bytes()).map(Bound::unbind)
    }

    /// The counters, as a dict.
    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut stats = checked_node(py, &self.inner)?.stats();
        let taken = self.inner.taken.lock().len() as u64;
        stats.delivered = stats.delivered.saturating_sub(taken);
        stats.waiting += taken;
        let text = serde_json::json!(stats).to_string();
        decode::value(py, text.as_bytes()).map(Bound::unbind)
    }

    /// Ends the node; blocks, but not for the callback thread when it is the caller.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        // Without a start there is nothing to end, nor is there in a forked child.
        let Ok(node) = self.inner.node() else {
            return Ok(());
        };
        if self.inner.is_foreign() {
            return Ok(());
        }
        if node.has_ended() && wait::is_over() {
            return Ok(());
        }
        if node.is_callback_thread() {
            self.inner.is_silent.store(true, Ordering::Relaxed);
            let node = node.clone();
            let ended = wait::detached(py, move || node.shutdown_blocking())?;
            return error::checked(py, ended);
        }
        let node = node.clone();
        wait::run(py, async move { node.shutdown().await })
    }

    /// Ends the node; the end comes to the hub.
    fn begin_close(&self, py: Python<'_>, hub: &Bound<'_, Hub>, call: CallId) -> PyResult<()> {
        let node = checked_node(py, &self.inner)?.clone();
        let begun = hub.get().run(call, async move {
            node.shutdown().await?;
            Ok(String::new())
        });
        error::checked(py, begun)
    }
}

impl NativeNode {
    /// `None` when the time is over; an error when the node has ended.
    fn next_message(
        &self,
        py: Python<'_>,
        node: &Node,
        timeout: Option<Duration>,
    ) -> PyResult<Option<Result<distflow_core::Message>>> {
        if let Some(message) = self.inner.taken.lock().pop_front() {
            return Ok(Some(Ok(message)));
        }
        let mut batch = Vec::new();
        let taken = wait::sliced(py, timeout, |limit| {
            match node.recv_many_timeout(&mut batch, BATCH, Some(limit)) {
                Err(error) if error.kind() == distflow_core::ErrorKind::Timeout => None,
                taken => Some(taken),
            }
        });
        // Also when a signal handler raised: what was taken is not lost.
        let mut waiting = self.inner.taken.lock();
        waiting.extend(batch);
        Ok(match taken? {
            None => None,
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(_)) => waiting.pop_front().map(Ok),
        })
    }
}

/// What a handler raised goes to `sys.unraisablehook`; the next one is called all the same.
pub fn report(py: Python<'_>, called: PyResult<()>, handler: &Py<PyAny>) {
    if let Err(error) = called {
        if wait::is_over() && error::is_own(py, &error) {
            // A handler that still runs when its node is ended with the interpreter.
            return;
        }
        error.write_unraisable(py, Some(handler.bind(py)));
    }
}
