//! Game sessions, as the Python layer uses them.

use std::sync::Arc;
use std::time::Duration;

use distflow_core::session::rows::count_text;
use distflow_core::session::seat::{CreateOptions, Event};
use distflow_core::sessions::{self, Session, SessionList, Sessions};
use distflow_core::{Error, Result, fork, interchange};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::{decode, error, wait};

/// An event, and the bytes of what the game said.
pub type Row = (Py<PyAny>, Option<Py<PyBytes>>);

pub fn row(py: Python<'_>, event: &Event) -> PyResult<Row> {
    let row = json(py, &interchange::session_event(event).to_string())?.unbind();
    let bytes = match event {
        Event::Game { payload, .. } => Some(PyBytes::new(py, payload).unbind()),
        _ => None,
    };
    Ok((row, bytes))
}

/// What is closed once, and can't be used in a forked child.
struct Held<T> {
    // Protects what is held, until it is closed; held to look or to take it.
    value: Mutex<Option<Arc<T>>>,
    /// The process it was made in.
    generation: u64,
}

impl<T> Held<T> {
    fn new(value: T) -> Self {
        Self {
            value: Mutex::new(Some(Arc::new(value))),
            generation: fork::generation(),
        }
    }

    fn get(&self) -> Result<Arc<T>> {
        if self.generation != fork::generation() {
            return Err(Error::forked());
        }
        let value = self.value.lock().clone();
        value.ok_or_else(|| error::closed("it was closed"))
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        // Its connection is the parent's.
        if self.generation != fork::generation() {
            std::mem::forget(self.value.get_mut().take());
        }
    }
}

/// What became of options; an error has their names in Python.
fn named<T>(py: Python<'_>, result: Result<T>) -> PyResult<T> {
    let in_python = |error: Error| {
        let mut text = error.message().to_owned();
        for (python, other) in interchange::SESSION_OPTION_NAMES {
            text = text.replace(other, python);
        }
        Error::new(error.kind(), text)
    };
    error::checked(py, result.map_err(in_python))
}

fn sessions_of(py: Python<'_>, broker: &str) -> PyResult<Sessions> {
    named(
        py,
        interchange::broker_options(broker).and_then(Sessions::new),
    )
}

/// The options of a new session.
pub fn create_options(py: Python<'_>, options: &str) -> PyResult<CreateOptions> {
    named(py, interchange::create_options(options))
}

/// The native half of `distflow.sessions.Session`.
#[pyclass(frozen, module = "distflow._distflow")]
pub struct NativeSession {
    held: Held<Session>,
    id: String,
    instance: String,
}

fn made(session: Session) -> NativeSession {
    NativeSession {
        id: session.id().to_owned(),
        instance: session.instance().to_owned(),
        held: Held::new(session),
    }
}

fn json<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    decode::value(py, text.as_bytes())
}

impl NativeSession {
    fn ask<F>(&self, py: Python<'_>, ask: impl FnOnce(Arc<Session>) -> F) -> PyResult<()>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let session = error::checked(py, self.held.get())?;
        wait::run(py, ask(session))
    }
}

#[pymethods]
impl NativeSession {
    /// Creates a session; blocks.
    #[staticmethod]
    fn create(
        py: Python<'_>,
        broker: &str,
        id: Option<String>,
        instance: Option<String>,
        options: &str,
    ) -> PyResult<Self> {
        let sessions = sessions_of(py, broker)?;
        let options = create_options(py, options)?;
        let instance = instance.unwrap_or_else(sessions::instance_id);
        let session = wait::run(py, async move {
            sessions.create_as(id.as_deref(), &instance, options).await
        })?;
        Ok(made(session))
    }

    /// Joins a session; blocks.
    #[staticmethod]
    fn join(py: Python<'_>, broker: &str, id: String, instance: Option<String>) -> PyResult<Self> {
        let sessions = sessions_of(py, broker)?;
        let instance = instance.unwrap_or_else(sessions::instance_id);
        let session = wait::run(py, async move { sessions.join_as(&id, &instance).await })?;
        Ok(made(session))
    }

    /// Looks at a session; blocks.
    #[staticmethod]
    fn observe(py: Python<'_>, broker: &str, id: String) -> PyResult<Self> {
        let sessions = sessions_of(py, broker)?;
        let session = wait::run(py, async move { sessions.observe(&id).await })?;
        Ok(made(session))
    }

    #[getter]
    fn id(&self) -> &str {
        &self.id
    }

    #[getter]
    fn instance(&self) -> &str {
        &self.instance
    }

    /// What is known of it, as a dict.
    fn view(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let session = error::checked(py, self.held.get())?;
        let text = interchange::session_view(&session.view()).to_string();
        json(py, &text).map(Bound::unbind)
    }

    /// Adds to a list what a function makes of the next event that waits, a dict and the bytes of
    /// what the game said; nothing when none does. What was taken goes back when a signal handler
    /// raises.
    fn next_event(
        &self,
        py: Python<'_>,
        list: &Bound<'_, PyList>,
        make: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let session = error::checked(py, self.held.get())?;
        let Some(event) = session.events().try_recv() else {
            return Ok(());
        };
        let made = row(py, &event).and_then(|row| make.call1(row));
        match wait::unless_raised(py, made) {
            Ok(made) => list.append(made),
            Err(raised) => {
                session.events().put_back(std::iter::once(event));
                Err(raised)
            }
        }
    }

    /// Waits for events, for so many seconds at most or without a limit; whether there will be none
    /// any more.
    fn wait_events(&self, py: Python<'_>, timeout_s: Option<f64>) -> PyResult<bool> {
        // Whoever waits does not keep the session: it is left when nobody else has it.
        let events = error::checked(py, self.held.get())?.events().clone();
        let limit = timeout_s.map(|limit| Duration::try_from_secs_f64(limit).unwrap_or_default());
        Ok(wait::until(py, limit, events.ready())? == Some(false))
    }

    fn start(&self, py: Python<'_>, countdown_s: u32) -> PyResult<()> {
        self.ask(
            py,
            |session| async move { session.start(countdown_s).await },
        )
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.ask(py, |session| async move { session.close().await })
    }

    fn hand_over(&self, py: Python<'_>, to: Option<String>) -> PyResult<()> {
        self.ask(py, |session| async move {
            session.hand_over(to.as_deref()).await
        })
    }

    fn reserve(&self, py: Python<'_>, player: String) -> PyResult<()> {
        self.ask(py, |session| async move { session.reserve(&player).await })
    }

    fn release(&self, py: Python<'_>, player: String) -> PyResult<()> {
        self.ask(py, |session| async move { session.release(&player).await })
    }

    fn register(&self, py: Python<'_>, player: String) -> PyResult<()> {
        self.ask(py, |session| async move { session.register(&player).await })
    }

    fn publish(&self, py: Python<'_>, name: String, payload: Vec<u8>) -> PyResult<()> {
        self.ask(py, |session| async move {
            session.publish(&name, payload).await
        })
    }

    /// Leaves it; blocks until the broker knows.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.ask(py, |session| async move {
            session.leave().await;
            Ok(())
        })
    }

    /// Leaves it in the background.
    fn abandon(&self) {
        if self.held.generation == fork::generation() {
            drop(self.held.value.lock().take());
        }
    }
}

/// The native half of `distflow.sessions.SessionList`.
#[pyclass(frozen, module = "distflow._distflow")]
pub struct NativeSessionList {
    held: Held<SessionList>,
}

#[pymethods]
impl NativeSessionList {
    /// Connects; blocks.
    #[staticmethod]
    fn open(py: Python<'_>, broker: &str) -> PyResult<Self> {
        let sessions = sessions_of(py, broker)?;
        let list = wait::run(py, async move { sessions.list().await })?;
        Ok(Self {
            held: Held::new(list),
        })
    }

    /// The number of the list's state, its sessions and its rows, as seen by whoever is in a session.
    fn sessions(&self, py: Python<'_>, own: Option<&str>) -> PyResult<(u64, Py<PyAny>, Py<PyAny>)> {
        let list = error::checked(py, self.held.get())?;
        let (version, sessions) = list.sessions();
        let listings = json(py, &interchange::session_listings(&sessions))?.unbind();
        let rows = json(py, &interchange::session_rows(&sessions, own))?.unbind();
        Ok((version, listings, rows))
    }

    /// Waits for another state than that of a number, for so many seconds at most or without a limit;
    /// whether it came. Ends without one when the list is closed.
    fn wait_changed(&self, py: Python<'_>, version: u64, timeout_s: Option<f64>) -> PyResult<bool> {
        let list = error::checked(py, self.held.get())?;
        let limit = timeout_s.map(|limit| Duration::try_from_secs_f64(limit).unwrap_or_default());
        let changed = wait::until(py, limit, list.changed(version))?;
        Ok(changed.flatten().is_some())
    }

    fn is_connected(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(error::checked(py, self.held.get())?.is_connected())
    }

    fn completeness(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(error::checked(py, self.held.get())?.completeness().name())
    }

    fn close(&self) {
        if self.held.generation == fork::generation()
            && let Some(list) = self.held.value.lock().take()
        {
            // Also for who waits, and has it, too.
            list.close();
        }
    }
}

/// The counter beside the list.
#[pyfunction]
pub fn session_count_text(count: u32, players_min: u32, players_max: u32) -> String {
    count_text(count, players_min, players_max)
}

/// Checks a broker's options before anything is connected.
#[pyfunction]
pub fn check_broker_options(py: Python<'_>, options: &str) -> PyResult<()> {
    named(py, interchange::broker_options(options)).map(drop)
}
