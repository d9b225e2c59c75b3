//! Seats and lists without a connection of their own: for a client that the program brings.
//!
//! Calls are short, and keep the interpreter's lock.

use distflow_core::session::Lobby;
use distflow_core::session::seat::{Action, Event, Seat, Timing};
use distflow_core::{ids, interchange, sessions};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::{decode, error, session};

/// `("subscribe" | "unsubscribe" | "publish", topic, payload, retain)`
type Row = (&'static str, String, Option<Py<PyBytes>>, bool);

fn action(py: Python<'_>, action: Action) -> Row {
    match action {
        Action::Subscribe(filter) | Action::SubscribeLoosely(filter) => {
            ("subscribe", filter, None, false)
        }
        Action::Unsubscribe(filter) => ("unsubscribe", filter, None, false),
        Action::Publish {
            topic,
            payload,
            retain,
            // The client is the program's own, and may speak 3.1.1.
            expires_s: _,
        } => (
            "publish",
            topic,
            Some(PyBytes::new(py, &payload).unbind()),
            retain,
        ),
    }
}

/// Seconds from now to a deadline.
fn wait_s(deadline_ms: Option<u64>) -> Option<f64> {
    let now_ms = sessions::moment().mono_ms;
    deadline_ms.map(|deadline_ms| deadline_ms.saturating_sub(now_ms) as f64 / 1e3)
}

fn json(py: Python<'_>, text: &str) -> PyResult<Py<PyAny>> {
    decode::value(py, text.as_bytes()).map(Bound::unbind)
}

/// One instance's part in one session, over whatever connection.
#[pyclass(frozen, module = "distflow._distflow")]
pub struct NativeSeat {
    // Protects the seat; held for a short call.
    seat: Mutex<Seat>,
}

impl NativeSeat {
    fn new(seat: Seat) -> Self {
        Self {
            seat: Mutex::new(seat),
        }
    }
}

#[pymethods]
impl NativeSeat {
    #[staticmethod]
    fn create(py: Python<'_>, session: &str, instance: &str, options: &str) -> PyResult<Self> {
        let options = session::create_options(py, options)?;
        let (timing, random) = (Timing::default(), ids::random_u64());
        let now = sessions::moment();
        let seat = Seat::create(session, instance, &options, timing, random, now);
        error::checked(py, seat).map(Self::new)
    }

    #[staticmethod]
    fn join(py: Python<'_>, session: &str, instance: &str, as_it_is: bool) -> PyResult<Self> {
        let (timing, random) = (Timing::default(), ids::random_u64());
        let as_it_is = as_it_is.then(|| Seat::join_as_it_is(session, instance, timing, random));
        let seat = match as_it_is.flatten() {
            Some(seat) => Ok(seat),
            None => Seat::join(session, instance, timing, random),
        };
        error::checked(py, seat).map(Self::new)
    }

    fn connected(&self) {
        self.seat.lock().connected(sessions::moment());
    }

    fn disconnected(&self) {
        self.seat.lock().disconnected(sessions::moment());
    }

    fn message(&self, topic: &str, payload: &[u8], retained: bool) {
        let now = sessions::moment();
        self.seat.lock().message(topic, payload, retained, now);
    }

    fn tick(&self) {
        self.seat.lock().tick(sessions::moment());
    }

    /// Seconds until `tick` is to be called.
    fn wait_s(&self) -> Option<f64> {
        wait_s(self.seat.lock().deadline_ms())
    }

    fn actions(&self, py: Python<'_>) -> Vec<Row> {
        let mut seat = self.seat.lock();
        std::iter::from_fn(|| seat.pop_action())
            .map(|one| action(py, one))
            .collect()
    }

    fn events(&self, py: Python<'_>) -> PyResult<Vec<crate::session::Row>> {
        let mut seat = self.seat.lock();
        let events: Vec<Event> = std::iter::from_fn(|| seat.pop_event()).collect();
        drop(seat);
        events
            .iter()
            .map(|event| crate::session::row(py, event))
            .collect()
    }

    fn view(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let view = sessions::View::of(&self.seat.lock());
        json(py, &interchange::session_view(&view).to_string())
    }

    fn is_departed(&self) -> bool {
        self.seat.lock().is_departed()
    }

    fn is_over(&self) -> bool {
        self.seat.lock().is_over()
    }

    fn start(&self, py: Python<'_>, countdown_s: u32) -> PyResult<()> {
        let started = self.seat.lock().start(countdown_s, sessions::moment());
        error::checked(py, started)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let closed = self.seat.lock().close(sessions::moment());
        error::checked(py, closed)
    }

    fn leave(&self) {
        self.seat.lock().leave(sessions::moment());
    }

    fn reserve(&self, py: Python<'_>, player: &str) -> PyResult<()> {
        let reserved = self.seat.lock().reserve(player, sessions::moment());
        error::checked(py, reserved)
    }

    fn release(&self, py: Python<'_>, player: &str) -> PyResult<()> {
        let released = self.seat.lock().release(player, sessions::moment());
        error::checked(py, released)
    }

    fn register(&self, py: Python<'_>, player: &str) -> PyResult<()> {
        let registered = self.seat.lock().register(player, sessions::moment());
        error::checked(py, registered)
    }
}

/// The list of sessions, over whatever connection.
#[pyclass(frozen, module = "distflow._distflow")]
pub struct NativeLobby {
    // Protects the list; held for a short call.
    lobby: Mutex<Lobby>,
}

#[pymethods]
impl NativeLobby {
    #[new]
    fn new() -> Self {
        Self {
            lobby: Mutex::new(Lobby::new(Timing::default(), true, ids::random_u64())),
        }
    }

    fn connected(&self) {
        self.lobby.lock().connected(sessions::moment());
    }

    fn disconnected(&self) {
        self.lobby.lock().disconnected(sessions::moment());
    }

    #[pyo3(signature = (topic, payload, retained = true))]
    fn message(&self, topic: &str, payload: &[u8], retained: bool) {
        let now = sessions::moment();
        self.lobby.lock().message(topic, payload, retained, now);
    }

    fn tick(&self) {
        self.lobby.lock().tick(sessions::moment());
    }

    /// Seconds until `tick` is to be called.
    fn wait_s(&self) -> Option<f64> {
        wait_s(self.lobby.lock().deadline_ms())
    }

    fn actions(&self, py: Python<'_>) -> Vec<Row> {
        let mut lobby = self.lobby.lock();
        std::iter::from_fn(|| lobby.pop_action())
            .map(|one| action(py, one))
            .collect()
    }

    fn take_changed(&self) -> bool {
        self.lobby.lock().take_changed()
    }

    /// The sessions, and their rows as seen by whoever is in one.
    fn sessions(&self, py: Python<'_>, own: Option<&str>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        let listings = self.lobby.lock().sessions(sessions::moment());
        Ok((
            json(py, &interchange::session_listings(&listings))?,
            json(py, &interchange::session_rows(&listings, own))?,
        ))
    }
}
