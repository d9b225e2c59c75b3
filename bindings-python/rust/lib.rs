//! The native half of the Python package; the public API is Python, in `python/distflow/`.
//!
//! Every wait gives up the interpreter's lock, and a signal ends it (`wait`, `signals`). No thread of
//! the core's needs the interpreter except the callback threads and that of the log, which enter it
//! once for a batch and only while it is not ending (`live`).
#![allow(
    missing_docs,
    reason = "what Python sees is documented there; see `python/distflow/_distflow.pyi`"
)]

mod decode;
mod document;
mod encode;
mod error;
mod handlers;
mod hub;
mod live;
mod log;
mod message;
mod news;
mod node;
mod op;
mod place;
mod pmd;
mod seat;
mod session;
mod signals;
mod wait;

use distflow_core::ErrorKind;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// JSON text of a value, as a payload is written.
#[pyfunction]
fn dumps(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyString>> {
    let payload = encode::payload(value)?;
    Ok(PyString::new(py, payload.as_str()).unbind())
}

/// The value of JSON text, as a payload is read.
#[pyfunction]
fn loads(py: Python<'_>, text: &str) -> PyResult<Py<PyAny>> {
    let payload = distflow_core::Payload::from_json(text.to_owned());
    let payload = error::checked(py, payload)?;
    decode::value(py, payload.as_bytes()).map(Bound::unbind)
}

/// Checks a node's options before anything is started.
#[pyfunction]
fn check_options(py: Python<'_>, options: &str) -> PyResult<()> {
    error::checked(py, distflow_core::interchange::node_options(options)).map(drop)
}

/// Runs the command line and returns its exit code; `own` is the command that runs it again.
#[pyfunction]
fn run_cli(py: Python<'_>, arguments: Vec<String>, own: Vec<String>) -> u8 {
    py.detach(|| distflow_core::cli::run_hosted(arguments, own))
}

#[pymodule]
fn _distflow(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", distflow_core::VERSION)?;
    let codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
    module.add("ERROR_CODES", codes)?;
    module.add_class::<hub::Hub>()?;
    module.add_class::<message::Message>()?;
    module.add_class::<document::NativeDocument>()?;
    module.add_class::<node::NativeNode>()?;
    module.add_class::<op::Op>()?;
    module.add_class::<pmd::NativePmd>()?;
    module.add_class::<seat::NativeLobby>()?;
    module.add_class::<seat::NativeSeat>()?;
    module.add_class::<session::NativeSession>()?;
    module.add_class::<session::NativeSessionList>()?;
    module.add_class::<pmd::NativePmdClient>()?;
    module.add_function(wrap_pyfunction!(document::call_next, module)?)?;
    module.add_function(wrap_pyfunction!(document::document_difference, module)?)?;
    module.add_function(wrap_pyfunction!(check_options, module)?)?;
    module.add_function(wrap_pyfunction!(dumps, module)?)?;
    module.add_function(wrap_pyfunction!(loads, module)?)?;
    module.add_function(wrap_pyfunction!(run_cli, module)?)?;
    module.add_function(wrap_pyfunction!(session::check_broker_options, module)?)?;
    module.add_function(wrap_pyfunction!(session::session_count_text, module)?)?;
    module.add_function(wrap_pyfunction!(live::end_all, module)?)?;
    module.add_function(wrap_pyfunction!(log::route_log, module)?)
}
