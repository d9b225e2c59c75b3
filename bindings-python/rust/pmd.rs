//! An embedded PMD, and a client of any PMD.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use distflow_core::names::{Alias, Host, NodeId};
use distflow_core::wire::pmd::Register;
use distflow_core::{Error, Interrupter, Pmd, PmdClient, PmdEvent, Readable, Result, interchange};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::handlers::{HandlerId, Handlers};
use crate::news::News;
use crate::{decode, error, wait};

/// The native half of `distflow.Pmd`.
#[pyclass(frozen, module = "distflow._distflow")]
pub struct NativePmd {
    // Protects the PMD, which is there while it serves; held to look, to put or to take it.
    pmd: Mutex<Option<Arc<Pmd>>>,
    // Protects the handlers of events, which end with the PMD; held to add or to look.
    hearing: Mutex<Weak<Handlers>>,
}

impl NativePmd {
    fn pmd(&self, py: Python<'_>) -> PyResult<Arc<Pmd>> {
        let pmd = self.pmd.lock().clone();
        error::checked(
            py,
            pmd.ok_or_else(|| error::closed("the PMD is not running")),
        )
    }
}

#[pymethods]
impl NativePmd {
    #[new]
    fn new() -> Self {
        Self {
            pmd: Mutex::new(None),
            hearing: Mutex::default(),
        }
    }

    /// Starts to serve; blocks.
    fn start(&self, py: Python<'_>, options: &str) -> PyResult<()> {
        let options = error::checked(py, interchange::pmd_options(options))?;
        let pmd = wait::run_blocking(py, move || Pmd::start(options))?;
        *self.pmd.lock() = Some(Arc::new(pmd));
        Ok(())
    }

    #[getter]
    fn port(&self, py: Python<'_>) -> PyResult<u16> {
        Ok(self.pmd(py)?.port())
    }

    fn is_running(&self) -> bool {
        self.pmd.lock().as_ref().is_some_and(|pmd| pmd.is_running())
    }

    /// The registered nodes, as rows; blocks.
    fn nodes(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let pmd = self.pmd(py)?;
        let nodes = wait::run_blocking(py, move || pmd.nodes())?;
        let rows = interchange::array(nodes.iter().map(|node| interchange::registered(node)));
        decode::value(py, rows.as_bytes()).map(Bound::unbind)
    }

    /// Calls a function with what another one makes of the row of each event of a kind, on the
    /// PMD's callback thread; its number. Made once for all, and only when somebody listens.
    fn on_event(
        &self,
        py: Python<'_>,
        kind: &str,
        handler: Py<PyAny>,
        make: Py<PyAny>,
    ) -> PyResult<HandlerId> {
        let pmd = self.pmd(py)?;
        let mut hearing = self.hearing.lock();
        if let Some(handlers) = hearing.upgrade() {
            return Ok(handlers.add(kind, handler));
        }
        let handlers = Arc::new(Handlers::default());
        let id = handlers.add(kind, handler);
        let weak = Arc::downgrade(&handlers);
        let call = move |notice: &distflow_core::PmdNotice| {
            let kind = interchange::pmd_event_name(notice);
            if !handlers.has(kind) {
                return;
            }
            let row = interchange::pmd_event(notice);
            Python::try_attach(|py| {
                let made = || make.call1(py, (decode::value(py, row.as_bytes())?,));
                handlers.call(py, kind, made, || true);
            });
        };
        error::checked(py, pmd.on_event(call))?;
        *hearing = weak;
        Ok(id)
    }

    /// Ends a handler of events.
    fn end_on_event(&self, id: HandlerId) {
        let handlers = self.hearing.lock().upgrade();
        if let Some(handlers) = handlers {
            handlers.end(id);
        }
    }

    /// Ends it; blocks, but not for the callback thread when it is the caller.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let Some(pmd) = self.pmd.lock().take() else {
            return Ok(());
        };
        if pmd.is_callback_thread() {
            pmd.stop_callbacks();
            return wait::detached(py, move || pmd.stop());
        }
        wait::run_blocking(py, move || {
            pmd.stop();
            Ok(())
        })
    }
}

/// The native half of `distflow.PmdClient`.
#[pyclass(frozen, module = "distflow._distflow")]
pub struct NativePmdClient {
    // Protects the connection, of which one thread at a time asks something; taken for the length
    // of a request, without the interpreter's lock.
    client: Arc<Mutex<PmdClient>>,
    interrupter: Interrupter,
    arrivals: Readable,
    /// Told when a request is over, which may have read events.
    asked: Arc<News>,
    is_closed: AtomicBool,
}

impl NativePmdClient {
    fn ask<T: Send + 'static>(
        &self,
        py: Python<'_>,
        ask: impl FnOnce(&mut PmdClient) -> Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let (client, asked) = (self.client.clone(), self.asked.clone());
        let answer = wait::run_blocking(py, move || {
            let answer = ask(&mut client.lock());
            asked.tell();
            Ok(answer)
        })?;
        self.checked(py, answer)
    }

    /// Whatever fails after an end fails because of it.
    fn checked<T>(&self, py: Python<'_>, answer: Result<T>) -> PyResult<T> {
        let is_closed = self.is_closed.load(Ordering::Relaxed);
        error::checked(
            py,
            answer.map_err(|error| match is_closed {
                true => error::closed("the client was closed"),
                false => error,
            }),
        )
    }
}

#[pymethods]
impl NativePmdClient {
    /// Connects; blocks.
    #[new]
    fn new(py: Python<'_>, host: String, port: u16, timeout: &Bound<'_, PyAny>) -> PyResult<Self> {
        let timeout = wait::seconds(py, Some(timeout))?.unwrap_or(Duration::MAX);
        let client =
            wait::run_blocking(py, move || PmdClient::connect_within(&host, port, timeout))?;
        let interrupter = error::checked(py, client.interrupter())?;
        let arrivals = error::checked(py, client.arrivals())?;
        Ok(Self {
            arrivals,
            asked: Arc::new(News::new()),
            client: Arc::new(Mutex::new(client)),
            interrupter,
            is_closed: AtomicBool::new(false),
        })
    }

    /// Registers a node for as long as this connection lives.
    #[pyo3(signature = (node_id, alias, host, port, meta=None))]
    fn register(
        &self,
        py: Python<'_>,
        node_id: String,
        alias: Option<String>,
        host: String,
        port: u16,
        meta: Option<String>,
    ) -> PyResult<()> {
        let register = || {
            Ok::<_, Error>(Register {
                node_id: NodeId::new(&node_id)?,
                alias: alias.as_deref().map(Alias::new).transpose()?,
                host: Host::new(&host)?,
                port,
                caps: None,
                meta: meta
                    .as_deref()
                    .map(distflow_core::wire::pmd::checked_meta)
                    .transpose()?,
                session: None,
            })
        };
        let node = error::checked(py, register())?;
        self.ask(py, move |client| client.register(&node))
    }

    fn unregister(&self, py: Python<'_>, node_id: String) -> PyResult<()> {
        self.ask(py, move |client| client.unregister(&node_id))
    }

    fn heartbeat(&self, py: Python<'_>, node_id: String) -> PyResult<()> {
        self.ask(py, move |client| client.heartbeat(&node_id))
    }

    fn resolve(&self, py: Python<'_>, name: String) -> PyResult<Py<PyAny>> {
        let node = self.ask(py, move |client| client.resolve(&name))?;
        decode::value(py, interchange::peer(&node).as_bytes()).map(Bound::unbind)
    }

    #[pyo3(signature = (prefix=None))]
    fn list(&self, py: Python<'_>, prefix: Option<String>) -> PyResult<Py<PyAny>> {
        let nodes = self.ask(py, move |client| client.list(prefix.as_deref()))?;
        let rows = interchange::array(nodes.iter().map(interchange::peer));
        decode::value(py, rows.as_bytes()).map(Bound::unbind)
    }

    fn watch(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let nodes = self.ask(py, |client| client.watch())?;
        let rows = interchange::array(nodes.iter().map(interchange::peer));
        decode::value(py, rows.as_bytes()).map(Bound::unbind)
    }

    /// Adds to a list what a function makes of the next event's row; nothing when the time is over.
    /// Blocks. What was taken goes back when a signal handler raises.
    fn next_event(
        &self,
        py: Python<'_>,
        list: &Bound<'_, PyList>,
        make: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let until = wait::Deadline::after(wait::seconds(py, timeout)?);
        loop {
            // Before the look, so that what comes after it is told.
            self.arrivals.forget();
            let asked = self.asked.next();
            if let Some(mut client) = self.client.try_lock()
                && let Some(event) = self.checked(py, client.try_event())?
            {
                // What it makes may ask this client for something.
                drop(client);
                let made =
                    decode::value(py, row_of(&event).as_bytes()).and_then(|row| make.call1((row,)));
                return match wait::unless_raised(py, made) {
                    Ok(made) => list.append(made),
                    Err(raised) => {
                        py.detach(|| self.client.lock().put_back(event));
                        Err(raised)
                    }
                };
            }
            // A request of another thread reads what arrives, and tells when it is done.
            let mut asked = pin!(asked);
            let mut arrived = pin!(self.arrivals.ready());
            let news = std::future::poll_fn(|cx| {
                match asked.as_mut().poll(cx).is_ready() | arrived.as_mut().poll(cx).is_ready() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            });
            if wait::until(py, until.left(), news)?.is_none() {
                return Ok(());
            }
        }
    }

    /// Ends the connection, and with it every wait.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.interrupter.interrupt();
        self.asked.tell();
    }
}

fn row_of(event: &PmdEvent) -> String {
    match event {
        PmdEvent::Join(node) => format!("[\"peer:join\",{}]", interchange::peer(node)),
        PmdEvent::Leave(node, cause) => format!(
            "[\"peer:leave\",{},\"{}\"]",
            interchange::peer(node),
            cause.name()
        ),
    }
}
