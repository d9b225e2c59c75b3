//! Messages as Python gets them.

use distflow_core::names::{Alias, NodeId};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::decode;

type Reduced<'py> = (
    Bound<'py, PyType>,
    (
        Py<PyAny>,
        Py<PyString>,
        Py<PyString>,
        u64,
        Option<Py<PyString>>,
    ),
);

/// A message: what was sent, by whom, to whom, and when.
#[pyclass(frozen, module = "distflow", name = "Message")]
pub struct Message {
    // An error is raised by whoever looks at the payload: the others are still delivered.
    payload: PyResult<Py<PyAny>>,
    sender: Py<PyString>,
    recipient: Py<PyString>,
    timestamp: u64,
    alias: Option<Py<PyString>>,
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (payload, sender, recipient, timestamp, alias=None))]
    fn new(
        payload: Py<PyAny>,
        sender: Py<PyString>,
        recipient: Py<PyString>,
        timestamp: u64,
        alias: Option<Py<PyString>>,
    ) -> Self {
        Self {
            payload: Ok(payload),
            sender,
            recipient,
            timestamp,
            alias,
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

    /// Alias of the node that sent it, by its own claim; of an original package, as the PMD
    /// knows it. ``None`` when it has none.
    #[getter]
    fn alias(&self, py: Python<'_>) -> Option<Py<PyString>> {
        self.alias.as_ref().map(|alias| alias.clone_ref(py))
    }

    /// How it is copied and pickled: from what it is made of.
    fn __reduce__<'py>(this: &Bound<'py, Self>) -> PyResult<Reduced<'py>> {
        let (py, message) = (this.py(), this.get());
        let parts = (
            message.payload(py)?,
            message.sender(py),
            message.recipient(py),
            message.timestamp,
            message.alias(py),
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
        let alias = |message: &Self| {
            let alias = message.alias.as_ref();
            alias.map(|alias| alias.bind(py).to_string())
        };
        Ok(self.timestamp == other.timestamp
            && alias(self) == alias(other)
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
    // Protects the last sender and its alias; held to look or to replace it.
    last: Mutex<Option<Last>>,
}

struct Last {
    id: NodeId,
    alias: Option<Alias>,
    names: (Py<PyString>, Option<Py<PyString>>),
}

impl Maker {
    pub fn new(py: Python<'_>, recipient: &str) -> Self {
        Self {
            recipient: PyString::new(py, recipient).unbind(),
            last: Mutex::new(None),
        }
    }

    pub fn make(&self, py: Python<'_>, message: &distflow_core::Message) -> PyResult<Py<Message>> {
        let payload = if message.payload.is_absent() {
            Ok(py.None())
        } else {
            decode::value(py, message.payload.as_bytes()).map(Bound::unbind)
        };
        let (sender, alias) = self.names(py, message);
        let message = Message {
            payload,
            sender,
            recipient: self.recipient.clone_ref(py),
            timestamp: message.timestamp,
            alias,
        };
        Py::new(py, message)
    }

    fn names(
        &self,
        py: Python<'_>,
        message: &distflow_core::Message,
    ) -> (Py<PyString>, Option<Py<PyString>>) {
        let mut last = self.last.lock();
        let known = last
            .as_ref()
            .filter(|last| last.id.is(&message.from) && last.alias == message.alias);
        let (sender, alias) = match known {
            Some(known) => &known.names,
            None => {
                let text = |text: &str| PyString::new(py, text).unbind();
                let alias = message.alias.as_ref().map(|alias| text(alias.as_str()));
                let names = (text(message.from.as_str()), alias);
                let made = Last {
                    id: message.from.clone(),
                    alias: message.alias.clone(),
                    names,
                };
                &last.insert(made).names
            }
        };
        let alias = alias.as_ref().map(|alias| alias.clone_ref(py));
        (sender.clone_ref(py), alias)
    }
}
