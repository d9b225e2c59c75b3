//! Messages as Python gets them.

use distflow_core::names::NodeId;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::decode;

type Reduced<'py> = (
    Bound<'py, PyType>,
    (Py<PyAny>, Py<PyString>, Py<PyString>, u64),
);

/// A message: what was sent, by whom, to whom, and when.
#[pyclass(frozen, module = "distflow", name = "Message")]
pub struct Message {
    // An error is raised by whoever looks at the payload: the others are still delivered.
    payload: PyResult<Py<PyAny>>,
    sender: Py<PyString>,
    recipient: Py<PyString>,
    timestamp: u64,
}

#[pymethods]
impl Message {
    #[new]
    fn new(
        payload: Py<PyAny>,
        sender: Py<PyString>,
        recipient: Py<PyString>,
        timestamp: u64,
    ) -> Self {
        Self {
            payload: Ok(payload),
            sender,
            recipient,
            timestamp,
        }
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str, &'static str) {
        ("payload", "sender", "recipient", "timestamp")
    }

    /// What was sent; ``None`` also for what JavaScript sends as ``undefined``.
    ///
    /// Error: ``ValueError`` for an integer of more digits than this interpreter reads.
    #[getter]
    fn payload(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.payload {
            Ok(payload) => Ok(payload.clone_ref(py)),
            Err(error) => Err(error.clone_ref(py)),
        }
    }

    /// Id of the node that sent it, by its own claim.
    #[getter]
    fn sender(&self, py: Python<'_>) -> Py<PyString> {
        self.sender.clone_ref(py)
    }

    /// Id of the node that got it.
    #[getter]
    fn recipient(&self, py: Python<'_>) -> Py<PyString> {
        self.recipient.clone_ref(py)
    }

    /// Unix milliseconds when it was sent, by the sender's clock.
    #[getter]
    fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// How it is copied and pickled: from what it is made of.
    fn __reduce__<'py>(this: &Bound<'py, Self>) -> PyResult<Reduced<'py>> {
        let (py, message) = (this.py(), this.get());
        let parts = (
            message.payload(py)?,
            message.sender(py),
            message.recipient(py),
            message.timestamp,
        );
        Ok((this.get_type(), parts))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let payload = self.payload(py)?;
        Ok(format!(
            "Message(payload={}, sender={}, recipient={}, timestamp={})",
            payload.bind(py).repr()?,
            self.sender.bind(py).repr()?,
            self.recipient.bind(py).repr()?,
            self.timestamp
        ))
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<Self>() else {
            return Ok(false);
        };
        let other = other.get();
        Ok(self.timestamp == other.timestamp
            && self.sender.bind(py).as_any().eq(other.sender.bind(py))?
            && self
                .recipient
                .bind(py)
                .as_any()
                .eq(other.recipient.bind(py))?
            && self.payload(py)?.bind(py).eq(other.payload(py)?)?)
    }
}

/// Makes messages of one node: their names are the same again and again.
pub struct Maker {
    recipient: Py<PyString>,
    // Protects the last sender; held to look or to replace it.
    sender: Mutex<Option<(NodeId, Py<PyString>)>>,
}

impl Maker {
    pub fn new(py: Python<'_>, recipient: &str) -> Self {
        Self {
            recipient: PyString::new(py, recipient).unbind(),
            sender: Mutex::new(None),
        }
    }

    pub fn make(&self, py: Python<'_>, message: &distflow_core::Message) -> PyResult<Py<Message>> {
        let payload = if message.payload.is_absent() {
            Ok(py.None())
        } else {
            decode::value(py, message.payload.as_bytes()).map(Bound::unbind)
        };
        let message = Message {
            payload,
            sender: self.sender(py, &message.from),
            recipient: self.recipient.clone_ref(py),
            timestamp: message.timestamp,
        };
        Py::new(py, message)
    }

    fn sender(&self, py: Python<'_>, from: &NodeId) -> Py<PyString> {
        let mut last = self.sender.lock();
        match &*last {
            Some((id, name)) if id.is(from) => name.clone_ref(py),
            _ => {
                let name = PyString::new(py, from.as_str()).unbind();
                *last = Some((from.clone(), name.clone_ref(py)));
                name
            }
        }
    }
}
