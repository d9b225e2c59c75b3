//! Operations of shared documents as Python gets them.

use std::hash::{DefaultHasher, Hash, Hasher};

use distflow_core::crdt::op::{Kind, Op as CoreOp};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use crate::{decode, encode, error, place};

type Reduced<'py> = (Bound<'py, PyType>, (String,));

/// An operation on a shared document; :meth:`distflow.JsonCrdt.set` and
/// :meth:`distflow.JsonCrdt.delete` make them.
///
/// ``Op(text)`` reads one from its text, or from a dict of the same members. It can't be changed, it
/// can be compared, hashed, copied and pickled.
///
/// Errors: ``InvalidJsonError``; ``InvalidMessageError``, which names the member.
#[pyclass(frozen, module = "distflow", name = "Op")]
pub struct Op(pub CoreOp);

/// An operation: an `Op`, its text, or a dict.
///
/// Errors: `TypeError`, and those of reading one.
pub fn given(value: &Bound<'_, PyAny>) -> PyResult<CoreOp> {
    if let Ok(op) = value.cast::<Op>() {
        return Ok(op.get().0.clone());
    }
    let decoded = if value.is_instance_of::<PyString>() {
        CoreOp::decode(encode::text("an operation", value)?)
    } else if value.is_instance_of::<PyDict>() {
        CoreOp::decode(encode::json("op", value)?)
    } else {
        return Err(PyTypeError::new_err(format!(
            "an operation must be an Op, its text or a dict, not {}",
            value.get_type().name()?
        )));
    };
    error::checked(value.py(), decoded)
}

#[pymethods]
impl Op {
    #[new]
    fn new(text: &Bound<'_, PyAny>) -> PyResult<Self> {
        given(text).map(Self)
    }

    /// Names it for people.
    #[getter]
    fn id(&self) -> String {
        self.0.id().to_string()
    }

    /// ``set``, ``tombstone`` (a delete) or ``del`` (the same, as others write it); or a kind of another
    /// version, which does nothing.
    #[getter]
    fn kind(&self) -> &str {
        self.0.kind.name()
    }

    /// Where: keys and indices.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        place::tuple(py, &self.0.path)
    }

    /// What a ``set`` sets, as a copy; ``None`` for other kinds.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &self.0.kind {
            Kind::Set(value) => decode::value(py, value.as_bytes()).map(Some),
            _ => Ok(None),
        }
    }

    /// When it was written and by whom: ``t`` Unix milliseconds, ``c`` a counter, ``r`` the source.
    #[getter]
    fn hlc<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stamp = PyDict::new(py);
        stamp.set_item("t", self.0.time.t)?;
        stamp.set_item("c", self.0.time.c)?;
        stamp.set_item("r", &*self.0.src)?;
        Ok(stamp)
    }

    /// The source's clock, this operation included: ``deps[src]`` is its number.
    #[getter]
    fn deps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let deps = PyDict::new(py);
        for (replica, count) in &self.0.deps {
            deps.set_item(&**replica, count)?;
        }
        Ok(deps)
    }

    /// The replica that wrote it.
    #[getter]
    fn src(&self) -> &str {
        &self.0.src
    }

    /// The text that travels: JSON, the same from every language.
    #[getter]
    fn text(&self) -> String {
        self.0.encode()
    }

    /// How it is copied and pickled: by its text.
    fn __reduce__<'py>(this: &Bound<'py, Self>) -> Reduced<'py> {
        (this.get_type(), (this.get().text(),))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Op({})", PyString::new(py, &self.text()).repr()?))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Self>()
            .is_ok_and(|other| other.get().text() == self.text())
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.text().hash(&mut hasher);
        hasher.finish()
    }
}
