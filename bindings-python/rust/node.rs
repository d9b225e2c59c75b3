//! A node, as the Python layer uses it. Infrequent things cross as JSON text, see
//! `distflow_core::interchange`; messages are made into Python values here.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use distflow_core::dispatch::{HandlerKey, Readiness};
use distflow_core::{Error, EventStream, Node, Result, fork, interchange};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::handlers::{HandlerId, Handlers};
use crate::hub::{CallId, Hub};
use crate::message::{Maker, Message};
use crate::news::News;
use crate::{decode, encode, error, live, wait};

/// Messages taken at once.
const BATCH: usize = 256;

/// The kind under which handlers of messages are kept.
const MESSAGE: &str = "message";

/// The native half of `distflow.Node` and `distflow.aio.Node`.
#[pyclass(frozen, module = "distflow._distflow")]
pub struct NativeNode {
    inner: Arc<Inner>,
}

/// A message that was taken from the mailbox.
enum Taken {
    Raw(distflow_core::Message),
    /// One that a receiver had already.
    Made(Py<Message>),
}

/// A node that is there as soon as its start has ended well.
pub struct Inner {
    node: OnceLock<Node>,
    maker: OnceLock<Maker>,
    // Protects messages that were taken from the mailbox and wait for `next`; held to add or take.
    taken: Mutex<VecDeque<Taken>>,
    /// Told when messages were put there that a handler had been given.
    returned: News,
    // Protects the handlers of messages, which end with the node; held to add or to end one.
    listening: Mutex<Option<(Weak<Handlers>, HandlerKey)>>,
    // Protects the handlers of events, likewise.
    hearing: Mutex<Weak<Handlers>>,
    events: OnceLock<EventStream>,
    /// Somebody has asked for events.
    is_asked: AtomicBool,
    messages_ready: OnceLock<Readiness>,
    events_ready: OnceLock<Readiness>,
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
            returned: News::new(),
            listening: Mutex::default(),
            hearing: Mutex::default(),
            events: OnceLock::new(),
            is_asked: AtomicBool::new(false),
            messages_ready: OnceLock::new(),
            events_ready: OnceLock::new(),
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

    /// The next message that was taken from the mailbox, which is asked when there is none.
    fn next_taken(&self, node: &Node) -> Option<Taken> {
        let mut taken = self.taken.lock();
        if taken.is_empty() {
            let mut batch = Vec::new();
            node.try_recv_many(&mut batch, BATCH);
            taken.extend(batch.into_iter().map(Taken::Raw));
        }
        taken.pop_front()
    }

    /// Frees the events of a node that has ended, if nobody has ever asked for any.
    fn forget_events(&self) {
        if let Some(events) = self.events.get()
            && !self.is_asked.load(Ordering::Relaxed)
        {
            while events.try_next().is_some() {}
        }
    }

    /// Waits until a message waits; false when the node has ended and none does.
    async fn ready(&self, node: &Node) -> bool {
        let mut ready = pin!(node.ready());
        let mut returned = pin!(self.returned.next());
        std::future::poll_fn(|cx| {
            // In this order, for another thread moves them from the one to the other.
            let is_there = ready.as_mut().poll(cx);
            let is_returned = returned.as_mut().poll(cx).is_ready();
            match self.taken.lock().is_empty() && !is_returned {
                true => is_there,
                false => Poll::Ready(true),
            }
        })
        .await
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
        let Some(sending) = error::checked(py, node.begin_send(target, &payload))? else {
            return Ok(());
        };
        match wait::until(py, timeout, sending.finish())? {
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

    /// Adds the next message to a list, or nothing when the time is over. Blocks. It is in the list
    /// when a signal handler raises between this and the next line: then it can be put back.
    fn recv(
        &self,
        py: Python<'_>,
        list: &Bound<'_, PyList>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let node = checked_node(py, &self.inner)?;
        let timeout = wait::seconds(py, timeout)?;
        match self.next_message(py, node, timeout)? {
            Next::Message(message) => list.append(message),
            Next::Late => Ok(()),
            Next::Ended => Err(error::raised(py, &error::closed("the node has ended"))),
        }
    }

    /// Makes a message that was taken the next one again.
    fn put_back(&self, message: Py<Message>) {
        self.inner.taken.lock().push_front(Taken::Made(message));
        self.inner.returned.tell();
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// The next message, until the node has ended. Blocks.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Message>>> {
        let node = checked_node(py, &self.inner)?;
        Ok(match self.next_message(py, node, None)? {
            Next::Message(message) => Some(message),
            Next::Late | Next::Ended => None,
        })
    }

    /// Moves up to so many messages that wait to the end of a deque; does not block. What a signal
    /// handler raises comes afterwards, when they are there.
    fn take(&self, py: Python<'_>, deque: &Bound<'_, PyAny>, max: usize) -> PyResult<()> {
        let node = checked_node(py, &self.inner)?;
        let append = intern!(py, "append");
        let maker = self.inner.maker(py, node);
        let taken = std::mem::take(&mut *self.inner.taken.lock());
        for taken in taken {
            let message = match taken {
                Taken::Made(made) => made,
                Taken::Raw(message) => maker.make(py, &message)?,
            };
            deque.call_method1(append, (message,))?;
        }
        let mut messages = Vec::new();
        node.try_recv_many(&mut messages, max);
        for message in &messages {
            deque.call_method1(append, (maker.make(py, message)?,))?;
        }
        Ok(())
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

    /// A descriptor that is readable while an event waits, or the node has ended.
    fn events_fd(&self, py: Python<'_>) -> PyResult<i32> {
        checked_node(py, &self.inner)?;
        if let Some(readiness) = self.inner.events_ready.get() {
            return Ok(readiness.fd());
        }
        let readiness = error::checked(py, Readiness::new())?;
        if let Some(events) = self.inner.events.get() {
            events.set_readiness(readiness.clone());
        }
        Ok(self.inner.events_ready.get_or_init(|| readiness).fd())
    }

    /// Calls a function with each message, on the node's callback thread; its number.
    fn on_message(&self, py: Python<'_>, handler: Py<PyAny>) -> PyResult<HandlerId> {
        let node = checked_node(py, &self.inner)?;
        let mut listening = self.inner.listening.lock();
        if let Some((handlers, _)) = &*listening
            && let Some(handlers) = handlers.upgrade()
            && !handlers.is_empty()
        {
            return Ok(handlers.add(MESSAGE, handler));
        }
        let handlers = Arc::new(Handlers::default());
        let id = handlers.add(MESSAGE, handler);
        let weak = Arc::downgrade(&handlers);
        let inner = Arc::downgrade(&self.inner);
        let maker = Maker::new(py, node.id());
        let is_silent = self.inner.is_silent.clone();
        let call = move |messages: &[distflow_core::Message]| {
            let goes_on = || !wait::is_over() && !is_silent.load(Ordering::Relaxed);
            // Once for the batch. Without an interpreter, it is ending.
            Python::try_attach(|py| {
                for (at, message) in messages.iter().enumerate() {
                    if !goes_on() {
                        return;
                    }
                    if handlers.is_empty() {
                        // Ended by one of them: what is left is for whoever receives.
                        if let Some(inner) = inner.upgrade() {
                            let rest = messages[at..].iter().cloned().map(Taken::Raw);
                            inner.taken.lock().extend(rest);
                            inner.returned.tell();
                        }
                        return;
                    }
                    let make = || maker.make(py, message).map(Py::into_any);
                    handlers.call(py, MESSAGE, make, goes_on);
                }
            });
        };
        let key = error::checked(py, node.on_messages_until(call))?;
        *listening = Some((weak, key));
        node.set_attended(true);
        Ok(id)
    }

    /// Ends a handler of messages; without any left, messages are for whoever receives.
    fn end_on_message(&self, id: HandlerId) {
        let Ok(node) = self.inner.node() else {
            return;
        };
        let mut listening = self.inner.listening.lock();
        let Some((handlers, key)) = &*listening else {
            return;
        };
        let Some(handlers) = handlers.upgrade() else {
            return;
        };
        let ended = handlers.end(id);
        if ended.is_some() && handlers.is_empty() {
            node.end_on_messages(*key);
            node.set_attended(false);
            *listening = None;
        }
        drop(listening);
        drop(ended);
    }

    /// Says whether somebody takes what comes: then a full mailbox drops no newest message.
    fn attend(&self, is_attended: bool) {
        if let Ok(node) = self.inner.node() {
            node.set_attended(is_attended);
        }
    }

    /// Calls a function with what another one makes of the row of each event of a kind, on the
    /// node's callback thread; its number. Made once for all, and only when somebody listens.
    fn on_event(
        &self,
        py: Python<'_>,
        kind: &str,
        handler: Py<PyAny>,
        make: Py<PyAny>,
    ) -> PyResult<HandlerId> {
        let node = checked_node(py, &self.inner)?;
        let mut hearing = self.inner.hearing.lock();
        if let Some(handlers) = hearing.upgrade() {
            return Ok(handlers.add(kind, handler));
        }
        let handlers = Arc::new(Handlers::default());
        let id = handlers.add(kind, handler);
        let weak = Arc::downgrade(&handlers);
        let is_silent = self.inner.is_silent.clone();
        let call = move |event: &distflow_core::NodeEvent| {
            let goes_on = || !is_silent.load(Ordering::Relaxed);
            let kind = interchange::node_event_name(event);
            if !goes_on() || !handlers.has(kind) {
                return;
            }
            let row = interchange::node_event(event);
            Python::try_attach(|py| {
                let made = || make.call1(py, (decode::value(py, row.as_bytes())?,));
                handlers.call(py, kind, made, goes_on);
            });
        };
        error::checked(py, node.on_event(call))?;
        *hearing = weak;
        Ok(id)
    }

    /// Ends a handler of events.
    fn end_on_event(&self, id: HandlerId) {
        // Without the lock: what ends with it is code of the program.
        let handlers = self.inner.hearing.lock().upgrade();
        if let Some(handlers) = handlers {
            handlers.end(id);
        }
    }

    /// Adds to a list what a function makes of the next event's row; nothing when the time is over,
    /// or for good when the node has ended. What was taken goes back when a signal handler raises.
    fn next_event(
        &self,
        py: Python<'_>,
        list: &Bound<'_, PyList>,
        make: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        checked_node(py, &self.inner)?;
        self.inner.is_asked.store(true, Ordering::Relaxed);
        let Some(events) = self.inner.events.get() else {
            return Ok(());
        };
        let timeout = wait::seconds(py, timeout)?;
        let until = wait::Deadline::after(timeout);
        loop {
            if let Some(event) = events.try_next() {
                let text = interchange::node_event(&event);
                let made = decode::value(py, text.as_bytes()).and_then(|row| make.call1((row,)));
                return match wait::unless_raised(py, made) {
                    Ok(made) => list.append(made),
                    Err(raised) => {
                        events.put_back(event);
                        Err(raised)
                    }
                };
            }
            if wait::until(py, until.left(), events.ready())? != Some(true) {
                return Ok(());
            }
        }
    }

    /// The rows of events that wait, of those kinds that a dict has; the others are dropped. At most
    /// 256: fewer are all.
    fn take_events(&self, py: Python<'_>, wanted: &Bound<'_, PyDict>) -> PyResult<Vec<Py<PyAny>>> {
        let Some(events) = self.inner.events.get() else {
            return Ok(Vec::new());
        };
        let mut rows = Vec::new();
        while rows.len() < BATCH
            && let Some(event) = events.try_next()
        {
            if wanted.contains(interchange::node_event_name(&event))? {
                let text = interchange::node_event(&event);
                rows.push(decode::value(py, text.as_bytes())?.unbind());
            }
        }
        Ok(rows)
    }

    /// Asks the PMD for everyone else; blocks.
    #[pyo3(signature = (prefix=None, timeout=None))]
    fn discover(
        &self,
        py: Python<'_>,
        prefix: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let node = checked_node(py, &self.inner)?;
        let timeout = wait::seconds(py, timeout)?;
        let prefix = prefix_of(prefix)?;
        let asked = wait::until(py, timeout, node.discover(prefix.as_deref()))?;
        let peers = error::checked(py, asked.unwrap_or_else(|| Err(Error::request_timeout())))?;
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
            self.inner.forget_events();
            return error::checked(py, ended);
        }
        let node = node.clone();
        wait::run(py, async move { node.shutdown().await })?;
        self.inner.forget_events();
        Ok(())
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

/// Outcome of waiting for a message.
enum Next {
    Message(Py<Message>),
    /// The time is over.
    Late,
    /// The node has ended, and nothing is left.
    Ended,
}

impl NativeNode {
    fn next_message(
        &self,
        py: Python<'_>,
        node: &Node,
        timeout: Option<Duration>,
    ) -> PyResult<Next> {
        let until = wait::Deadline::after(timeout);
        loop {
            if let Some(taken) = self.inner.next_taken(node) {
                let made = match &taken {
                    Taken::Made(made) => Ok(made.clone_ref(py)),
                    Taken::Raw(message) => self.inner.maker(py, node).make(py, message),
                };
                return match wait::unless_raised(py, made) {
                    Ok(made) => Ok(Next::Message(made)),
                    Err(raised) => {
                        self.inner.taken.lock().push_front(taken);
                        Err(raised)
                    }
                };
            }
            match wait::until(py, until.left(), self.inner.ready(node))? {
                Some(true) => {}
                Some(false) => return Ok(Next::Ended),
                None => return Ok(Next::Late),
            }
        }
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
