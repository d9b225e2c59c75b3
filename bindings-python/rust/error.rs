//! Errors on their way to Python.

use distflow_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

// `distflow.errors._make`, which knows the class of each code.
static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception of an error: an instance, of the class for its kind.
pub fn instance<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let mut causes = Vec::new();
    let mut next = error.cause();
    while let Some(cause) = next {
        causes.push(cause.message().to_owned());
        next = cause.cause();
    }
    let make = MAKE.get_or_try_init(py, || {
        let module = py.import("distflow.errors")?;
        Ok::<_, PyErr>(module.getattr("_make")?.unbind())
    })?;
    make.bind(py)
        .call1((error.kind().name(), error.message(), causes))
}

/// The exception of an error, to be raised.
pub fn raised(py: Python<'_>, error: &Error) -> PyErr {
    match instance(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failed) => failed,
    }
}

/// Whether an exception is one of this package's.
pub fn is_own(py: Python<'_>, error: &PyErr) -> bool {
    let class = py
        .import("distflow.errors")
        .and_then(|module| module.getattr("DistflowError"));
    class.is_ok_and(|class| error.is_instance(py, &class))
}

/// The result of a call of the core's.
pub fn checked<T>(py: Python<'_>, result: distflow_core::Result<T>) -> PyResult<T> {
    result.map_err(|error| raised(py, &error))
}

/// An error that only this module has.
pub fn closed(what: &str) -> Error {
    Error::new(ErrorKind::Closed, what.to_owned())
}
