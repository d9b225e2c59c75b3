//! Where something is in a document: paths from Python, and as Python has them.

use distflow_core::crdt::path::{self, Path, Segment};
use distflow_core::json_crdt::IntoPath;
use distflow_core::limits::CRDT_INDEX_MAX;
use distflow_core::{Error, ErrorKind, Result};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyList, PyString, PyTuple};

use crate::{encode, error};

/// A place as it is given from Python.
pub enum Given {
    Path(Path),
    /// Text for a place; the document says whether it is one key or a JSON pointer.
    Text(String),
}

impl IntoPath for Given {
    fn into_path(self, is_array: &mut dyn FnMut(&[Segment]) -> bool) -> Result<Path> {
        match self {
            Self::Path(path) => Ok(path),
            Self::Text(text) => path::from_text(&text, is_array),
        }
    }
}

/// A path: a tuple or list of keys and indices, one of them alone, or a JSON pointer.
///
/// Errors: `TypeError`, `InvalidArgumentError`; both name the segment.
pub fn path(place: &Bound<'_, PyAny>) -> PyResult<Given> {
    if let Ok(parts) = place.cast::<PyTuple>() {
        return segments(parts.iter()).map(Given::Path);
    }
    if let Ok(parts) = place.cast::<PyList>() {
        return segments(parts.iter()).map(Given::Path);
    }
    if place.is_instance_of::<PyString>() {
        let text = encode::text_named(|| "the path".to_owned(), place)?;
        return Ok(Given::Text(text.to_owned()));
    }
    if !place.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err(format!(
            "a path must be a tuple or list, or one str or int, not {}",
            place.get_type().name()?
        )));
    }
    Ok(Given::Path(vec![segment(0, place)?]))
}

fn segments<'py>(parts: impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<Path> {
    parts
        .enumerate()
        .map(|(at, part)| segment(at, &part))
        .collect()
}

fn segment(at: usize, part: &Bound<'_, PyAny>) -> PyResult<Segment> {
    if part.is_instance_of::<PyString>() {
        let name = || format!("segment {at} of the path");
        return encode::text_named(name, part).map(Segment::from);
    }
    if part.is_instance_of::<PyBool>() || !part.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err(format!(
            "segment {at} of the path must be a str or an int, not {}",
            part.get_type().name()?
        )));
    }
    match part.extract::<u32>() {
        Ok(index) if index <= CRDT_INDEX_MAX => Ok(Segment::Index(index)),
        _ => {
            let text = format!(
                "segment {at} of the path is {part}, but an index must be a whole number from 0 to {CRDT_INDEX_MAX}"
            );
            let error = Error::new(ErrorKind::InvalidArgument, text);
            Err(error::raised(part.py(), &error))
        }
    }
}

/// A path as a tuple.
pub fn tuple<'py>(py: Python<'py>, path: &[Segment]) -> PyResult<Bound<'py, PyTuple>> {
    let parts = path.iter().map(|segment| match segment {
        Segment::Key(key) => Ok(PyString::new(py, key).into_any()),
        Segment::Index(index) => Ok(index.into_pyobject(py)?.into_any()),
    });
    PyTuple::new(py, parts.collect::<PyResult<Vec<_>>>()?)
}
