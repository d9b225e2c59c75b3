//! Python values to JSON text.

use std::ffi::{c_char, c_int};
use std::fmt::{Display, Write as _};

use distflow_core::Payload;
use distflow_core::limits::JSON_DEPTH_MAX;
use distflow_core::wire::json::append_string;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::error;

unsafe extern "C" {
    /// Every CPython has it; the limited API has it from 3.10 on.
    fn PyUnicode_AsUTF8AndSize(
        text: *mut ffi::PyObject,
        size: *mut ffi::Py_ssize_t,
    ) -> *const c_char;
}

/// Why a value can't be sent.
struct Refusal {
    error: PyErr,
    /// Where in the payload it is, the innermost first.
    path: Vec<String>,
}

type Written = Result<(), Box<Refusal>>;

fn refuse(error: PyErr) -> Written {
    Err(Box::new(Refusal {
        error,
        path: Vec::new(),
    }))
}

fn within(written: Written, step: impl FnOnce() -> String) -> Written {
    written.map_err(|mut refusal| {
        refusal.path.push(step());
        refusal
    })
}

/// An argument that must be a str.
///
/// Errors: `TypeError`, and `InvalidArgumentError` for surrogates that stand alone; both name it.
pub fn text<'a>(name: &str, value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    text_named(|| name, value)
}

/// The same, with a name that is made when it is needed.
pub fn text_named<'a, Name: Display>(
    name: impl Fn() -> Name,
    value: &'a Bound<'_, PyAny>,
) -> PyResult<&'a str> {
    let py = value.py();
    // SAFETY: `value` is alive.
    if unsafe { ffi::PyUnicode_Check(value.as_ptr()) } == 0 {
        let given = value.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "{} must be a str, not {given}",
            name()
        )));
    }
    let mut size = 0;
    // SAFETY: `value` is a str; its buffer lives as long as it.
    let bytes = unsafe {
        let start = PyUnicode_AsUTF8AndSize(value.as_ptr(), &mut size);
        (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast::<u8>(), size as usize))
    };
    bytes
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .ok_or_else(|| {
            // What the attempt raised.
            drop(PyErr::take(py));
            let text = format!("{} has a surrogate that stands alone", name());
            let kind = distflow_core::ErrorKind::InvalidArgument;
            error::raised(py, &distflow_core::Error::new(kind, text))
        })
}

/// A value as a payload: dict with keys of str, list, tuple, str, int, float, bool, None.
///
/// Errors: `TypeError` for any other type, `InvalidJsonError` (a `ValueError`) for NaN, infinity
/// and what is nested deeper than 64; both say where it is.
pub fn payload(value: &Bound<'_, PyAny>) -> PyResult<Payload> {
    Payload::from_json(json("payload", value)?).map_err(|error| error::raised(value.py(), &error))
}

/// JSON text of a value. Errors: as [`payload`], with the name that is given here.
pub fn json(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let py = value.py();
    let mut out = Vec::with_capacity(128);
    let Err(refusal) = write(py, &mut out, value.as_ptr(), 0) else {
        return Ok(out);
    };
    let Refusal { error, path } = *refusal;
    if path.is_empty() {
        return Err(error);
    }
    let place: String = path.iter().rev().map(String::as_str).collect();
    Err(match error.is_instance_of::<PyTypeError>(py) {
        true => PyTypeError::new_err(format!("{name}{place}: {}", error.value(py))),
        false => invalid(py, &format!("{name}{place}: {}", error.value(py))),
    })
}

fn invalid(py: Python<'_>, text: &str) -> PyErr {
    error::raised(
        py,
        &distflow_core::Error::new(distflow_core::ErrorKind::InvalidJson, text.to_owned()),
    )
}

/// Writes a borrowed object. None of the calls runs code of the program's, so what it borrows from
/// containers stays alive: the interpreter's lock is held, and only exact C functions are used.
fn write(py: Python<'_>, out: &mut Vec<u8>, value: *mut ffi::PyObject, depth: u32) -> Written {
    // SAFETY: `value` is alive (see above), and the interpreter is attached, in all that follows.
    unsafe {
        if value == ffi::Py_None() {
            out.extend_from_slice(b"null");
        } else if value == ffi::Py_True() {
            out.extend_from_slice(b"true");
        } else if value == ffi::Py_False() {
            out.extend_from_slice(b"false");
        } else if ffi::PyUnicode_Check(value) != 0 {
            return write_text(py, out, value);
        } else if ffi::PyLong_Check(value) != 0 {
            return write_int(py, out, value);
        } else if ffi::PyFloat_Check(value) != 0 {
            return write_float(py, out, ffi::PyFloat_AsDouble(value));
        } else if ffi::PyDict_Check(value) != 0 {
            return write_dict(py, out, value, deeper(py, depth)?);
        } else if ffi::PyList_Check(value) != 0 {
            let length = ffi::PyList_Size(value);
            let item = |at| ffi::PyList_GetItem(value, at);
            return write_items(py, out, length, item, deeper(py, depth)?);
        } else if ffi::PyTuple_Check(value) != 0 {
            let length = ffi::PyTuple_Size(value);
            let item = |at| ffi::PyTuple_GetItem(value, at);
            return write_items(py, out, length, item, deeper(py, depth)?);
        } else {
            return refuse(wrong_type(py, value));
        }
    }
    Ok(())
}

#[cold]
fn wrong_type(py: Python<'_>, value: *mut ffi::PyObject) -> PyErr {
    // SAFETY: the object is alive, and the interpreter is attached.
    let value = unsafe { Bound::from_borrowed_ptr(py, value) };
    let name = value.get_type().fully_qualified_name();
    let name = name.map_or_else(|_| "object".to_owned(), |name| name.to_string());
    let hint = match name.as_str() {
        "bytes" | "bytearray" | "memoryview" => "; encode it, as base64 for example",
        "set" | "frozenset" => "; make it a list",
        _ => "",
    };
    PyTypeError::new_err(format!(
        "{name} can't be sent: a payload is made of dict, list, tuple, str, int, float, bool and None{hint}"
    ))
}

fn deeper(py: Python<'_>, depth: u32) -> Result<u32, Box<Refusal>> {
    if depth < JSON_DEPTH_MAX {
        return Ok(depth + 1);
    }
    let text = format!("nested deeper than {JSON_DEPTH_MAX}, or it contains itself");
    // Without the path, which would be as deep.
    Err(Box::new(Refusal {
        error: invalid(py, &text),
        path: Vec::new(),
    }))
}

unsafe fn write_dict(
    py: Python<'_>,
    out: &mut Vec<u8>,
    dict: *mut ffi::PyObject,
    depth: u32,
) -> Written {
    out.push(b'{');
    let (mut at, mut first) = (0, true);
    let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the dict is alive and nothing changes it meanwhile; key and value are borrowed.
    while unsafe { ffi::PyDict_Next(dict, &mut at, &mut key, &mut value) } != 0 {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        // SAFETY: as above.
        if unsafe { ffi::PyUnicode_Check(key) } == 0 {
            // SAFETY: as above.
            let key = unsafe { Bound::from_borrowed_ptr(py, key) };
            let name = key.get_type().name().map(|name| name.to_string());
            return refuse(PyTypeError::new_err(format!(
                "a key of a dict must be a str, but {key} is of type {}",
                name.unwrap_or_default()
            )));
        }
        write_text(py, out, key)?;
        out.push(b':');
        within(write(py, out, value, depth), || {
            // SAFETY: as above.
            let key = unsafe { Bound::from_borrowed_ptr(py, key) };
            key.repr()
                .map_or_else(|_| "[?]".into(), |key| format!("[{key}]"))
        })?;
    }
    out.push(b'}');
    Ok(())
}

fn write_items(
    py: Python<'_>,
    out: &mut Vec<u8>,
    length: ffi::Py_ssize_t,
    item: impl Fn(ffi::Py_ssize_t) -> *mut ffi::PyObject,
    depth: u32,
) -> Written {
    out.push(b'[');
    for at in 0..length {
        if at > 0 {
            out.push(b',');
        }
        within(write(py, out, item(at), depth), || format!("[{at}]"))?;
    }
    out.push(b']');
    Ok(())
}

fn write_text(py: Python<'_>, out: &mut Vec<u8>, text: *mut ffi::PyObject) -> Written {
    let mut size = 0;
    // SAFETY: `text` is a str that is alive; the buffer lives as long as it.
    let bytes = unsafe {
        let start = PyUnicode_AsUTF8AndSize(text, &mut size);
        (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast::<u8>(), size as usize))
    };
    match bytes.map(std::str::from_utf8) {
        Some(Ok(text)) => {
            append_string(out, text);
            Ok(())
        }
        _ => write_surrogates(py, out, text),
    }
}

/// Text with surrogates that have no partner: JSON writes them as escapes, as JavaScript does.
#[cold]
fn write_surrogates(py: Python<'_>, out: &mut Vec<u8>, text: *mut ffi::PyObject) -> Written {
    // What the attempt raised.
    drop(PyErr::take(py));
    // SAFETY: `text` is a str that is alive; the names are NUL-terminated.
    let bytes = unsafe {
        let bytes =
            ffi::PyUnicode_AsEncodedString(text, c"utf-8".as_ptr(), c"surrogatepass".as_ptr());
        Bound::from_owned_ptr_or_err(py, bytes)
    };
    let bytes = match bytes.and_then(|bytes| bytes.extract::<Vec<u8>>()) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(error),
    };
    out.push(b'"');
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(_) => rest.len(),
            Err(error) => error.valid_up_to(),
        };
        let (plain, after) = rest.split_at(valid);
        let mut quoted = Vec::with_capacity(plain.len() + 2);
        append_string(&mut quoted, std::str::from_utf8(plain).unwrap_or_default());
        out.extend_from_slice(&quoted[1..quoted.len() - 1]);
        rest = match after {
            // A surrogate is three bytes, of which the first is always this one.
            [0xed, high, low, after @ ..] => {
                let unit = 0xd000 | (u32::from(high & 0x3f) << 6) | u32::from(low & 0x3f);
                let mut escape = String::new();
                let _ = write!(escape, "\\u{unit:04x}");
                out.extend_from_slice(escape.as_bytes());
                after
            }
            _ => &[],
        };
    }
    out.push(b'"');
    Ok(())
}

fn write_int(py: Python<'_>, out: &mut Vec<u8>, int: *mut ffi::PyObject) -> Written {
    let mut overflow: c_int = 0;
    // SAFETY: `int` is an int that is alive.
    let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(int, &mut overflow) };
    if overflow == 0 {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *out, &small);
        return Ok(());
    }
    // SAFETY: as above. The result is a new str, or null with an exception: too many digits.
    let digits = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyNumber_ToBase(int, 10)) };
    match digits.and_then(|digits| digits.extract::<String>()) {
        Ok(digits) => {
            out.extend_from_slice(digits.as_bytes());
            Ok(())
        }
        Err(error) => refuse(invalid(py, &format!("{}", error.value(py)))),
    }
}

fn write_float(py: Python<'_>, out: &mut Vec<u8>, float: f64) -> Written {
    if !float.is_finite() {
        let name = float.to_string().to_lowercase();
        return refuse(invalid(
            py,
            &format!("{name} can't be sent: JSON has no such number"),
        ));
    }
    let _ = serde_json::to_writer(&mut *out, &float);
    Ok(())
}
