//! JSON text to Python values.
//!
//! The text was checked by the core to be one JSON value of bounded depth. That is relied on for
//! what a byte means, not for memory safety: a reader that finds something else says so.

use std::ffi::CString;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Slots for keys of objects that were seen lately, and the longest key that gets one.
const KEYS: usize = 512;
const KEY_BYTES: usize = 40;
/// Digits that surely fit into 64 bits.
const SMALL_DIGITS: usize = 18;

type Key = Option<(Box<[u8]>, Py<PyAny>)>;

// Protects the keys; held while one text is read. Making containers may run the garbage collector
// and with it any code of the program's, so nobody waits for it: without it, keys are made anew.
static SEEN: Mutex<Vec<Key>> = Mutex::new(Vec::new());

/// The value of a JSON text.
///
/// Errors: `ValueError` for an integer of more digits than the interpreter reads.
pub fn value<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mut seen = SEEN.try_lock();
    let keys = match &mut seen {
        Some(keys) => {
            keys.resize_with(KEYS, || None);
            &mut keys[..]
        }
        None => &mut [],
    };
    let mut reader = Reader {
        py,
        text,
        at: 0,
        keys,
    };
    reader.value()
}

struct Reader<'a, 'py> {
    py: Python<'py>,
    text: &'a [u8],
    at: usize,
    keys: &'a mut [Key],
}

impl<'a, 'py> Reader<'a, 'py> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn next_token(&mut self) -> u8 {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.peek()
    }

    #[cold]
    fn unexpected(&self) -> PyErr {
        PyValueError::new_err(format!("not JSON at byte {}", self.at))
    }

    /// An object that a function of the interpreter made.
    fn made(&self, object: *mut ffi::PyObject) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(self.py, object) }
    }

    fn value(&mut self) -> PyResult<Bound<'py, PyAny>> {
        match self.next_token() {
            b'"' => {
                let raw = self.raw_string()?;
                self.string(raw)
            }
            b'{' => self.object(),
            b'[' => self.array(),
            b't' => self.literal(4, true.into_pyobject(self.py)?.to_owned().into_any()),
            b'f' => self.literal(5, false.into_pyobject(self.py)?.to_owned().into_any()),
            b'n' => self.literal(4, self.py.None().into_bound(self.py)),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.unexpected()),
        }
    }

    fn literal(&mut self, length: usize, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.at += length;
        Ok(value)
    }

    fn object(&mut self) -> PyResult<Bound<'py, PyAny>> {
        self.at += 1;
        // SAFETY: the interpreter is attached.
        let dict = self.made(unsafe { ffi::PyDict_New() })?;
        if self.next_token() == b'}' {
            self.at += 1;
            return Ok(dict);
        }
        loop {
            if self.next_token() != b'"' {
                return Err(self.unexpected());
            }
            let raw = self.raw_string()?;
            let key = self.key(raw)?;
            if self.next_token() != b':' {
                return Err(self.unexpected());
            }
            self.at += 1;
            let value = self.value()?;
            // SAFETY: three objects that are alive; it takes references of its own.
            let set = unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) };
            if set != 0 {
                return Err(PyErr::fetch(self.py));
            }
            if self.ends(b'}')? {
                return Ok(dict);
            }
        }
    }

    fn array(&mut self) -> PyResult<Bound<'py, PyAny>> {
        self.at += 1;
        // SAFETY: the interpreter is attached.
        let list = self.made(unsafe { ffi::PyList_New(0) })?;
        if self.next_token() == b']' {
            self.at += 1;
            return Ok(list);
        }
        loop {
            let value = self.value()?;
            // SAFETY: two objects that are alive; it takes a reference of its own.
            if unsafe { ffi::PyList_Append(list.as_ptr(), value.as_ptr()) } != 0 {
                return Err(PyErr::fetch(self.py));
            }
            if self.ends(b']')? {
                return Ok(list);
            }
        }
    }

    /// After a member: whether the container ends, or else another member follows.
    fn ends(&mut self, end: u8) -> PyResult<bool> {
        let token = self.next_token();
        self.at += 1;
        match token {
            b',' => Ok(false),
            token if token == end => Ok(true),
            _ => Err(self.unexpected()),
        }
    }

    /// The inside of a string, and whether it has escapes.
    fn raw_string(&mut self) -> PyResult<(&'a [u8], bool)> {
        let text: &'a [u8] = self.text;
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        loop {
            match text.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => at += 1,
                None => return Err(self.unexpected()),
            }
        }
        self.at = at + 1;
        Ok((&text[start..at], escaped))
    }

    fn string(&self, (raw, escaped): (&[u8], bool)) -> PyResult<Bound<'py, PyAny>> {
        let text = if escaped { &unescape(raw)[..] } else { raw };
        // SAFETY: the bytes are alive; lone surrogates, as JSON may escape them, are let through.
        self.made(unsafe {
            ffi::PyUnicode_DecodeUTF8(
                text.as_ptr().cast(),
                text.len() as ffi::Py_ssize_t,
                c"surrogatepass".as_ptr(),
            )
        })
    }

    /// A member's name: most come again and again.
    fn key(&mut self, raw: (&[u8], bool)) -> PyResult<Bound<'py, PyAny>> {
        let (text, escaped) = raw;
        if escaped || text.len() > KEY_BYTES || self.keys.is_empty() {
            return self.string(raw);
        }
        let hash = text.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        let slot = (hash ^ (hash >> 32)) as usize % KEYS;
        if let Some((known, key)) = &self.keys[slot]
            && **known == *text
        {
            return Ok(key.bind(self.py).clone());
        }
        let key = self.string(raw)?;
        self.keys[slot] = Some((text.into(), key.clone().unbind()));
        Ok(key)
    }

    fn number(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let start = self.at;
        let mut is_float = false;
        loop {
            match self.peek() {
                b'0'..=b'9' | b'-' | b'+' => {}
                b'.' | b'e' | b'E' => is_float = true,
                _ => break,
            }
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        if is_float {
            let float: f64 = text.parse().map_err(|_| self.unexpected())?;
            // SAFETY: the interpreter is attached.
            return self.made(unsafe { ffi::PyFloat_FromDouble(float) });
        }
        if text.len() <= SMALL_DIGITS {
            let small: i64 = text.parse().map_err(|_| self.unexpected())?;
            // SAFETY: the interpreter is attached.
            return self.made(unsafe { ffi::PyLong_FromLongLong(small) });
        }
        let digits = CString::new(text).map_err(|_| self.unexpected())?;
        // SAFETY: the text is NUL-terminated and outlives the call.
        self.made(unsafe { ffi::PyLong_FromString(digits.as_ptr(), std::ptr::null_mut(), 10) })
    }
}

/// A string's inside without escapes, in UTF-8 in which surrogates may stand alone.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        let escape = raw.get(at + 1).copied().unwrap_or(b'\\');
        at += 2;
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut code = unit(raw, at);
                at += 4;
                if (0xd800..0xdc00).contains(&code) && raw[at.min(raw.len())..].starts_with(b"\\u")
                {
                    let low = unit(raw, at + 2);
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                        at += 6;
                    }
                }
                push_code(&mut out, code);
            }
            other => out.push(other),
        }
    }
    out
}

fn unit(raw: &[u8], at: usize) -> u32 {
    let digits = raw.get(at..at + 4).unwrap_or_default();
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    u32::from_str_radix(digits, 16).unwrap_or(0xfffd)
}

fn push_code(out: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(character) => {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        // A surrogate, the way its number would be written if it were a character.
        None => out.extend([
            0xe0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}
