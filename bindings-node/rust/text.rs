//! What crosses from and to JavaScript, as JSON text.

use std::mem::MaybeUninit;
use std::ptr;

use bytes::Bytes;
use distflow_core::Message;
use distflow_core::names::NodeId;
use napi::bindgen_prelude::{FromNapiValue, ToNapiValue, TypeName, ValidateNapiValue, ValueType};
use napi::sys;
use serde_json::Value;

/// Text as JavaScript gives it.
pub struct Text(pub Bytes);

/// Text of so many bytes is read in one step; longer text is measured first.
const SHORT_BYTES: usize = 4 << 10;
/// V8 writes no part of a character, of at most so many bytes, and a NUL byte.
const CHARACTER_BYTES: usize = 4;

impl FromNapiValue for Text {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        let read = |to: *mut u8, bytes: usize| {
            let mut length = 0;
            // SAFETY: the caller vouches for both values; `to` has room for so many bytes, or is
            // null, and then the text is measured.
            let status = unsafe {
                sys::napi_get_value_string_utf8(env, value, to.cast(), bytes, &mut length)
            };
            if status == sys::Status::napi_ok {
                Ok(length)
            } else {
                Err(napi::Error::new(status.into(), "text was expected"))
            }
        };
        let mut short = [MaybeUninit::<u8>::uninit(); SHORT_BYTES];
        let length = read(short.as_mut_ptr().cast(), SHORT_BYTES)?;
        if length + CHARACTER_BYTES < SHORT_BYTES {
            // SAFETY: so many bytes were just written.
            let short = unsafe { std::slice::from_raw_parts(short.as_ptr().cast(), length) };
            return Ok(Self(Bytes::copy_from_slice(short)));
        }
        let mut long = vec![0; read(ptr::null_mut(), 0)? + 1];
        let length = read(long.as_mut_ptr(), long.len())?;
        long.truncate(length);
        Ok(Self(long.into()))
    }
}

impl TypeName for Text {
    fn type_name() -> &'static str {
        "String"
    }

    fn value_type() -> ValueType {
        ValueType::String
    }
}

impl ValidateNapiValue for Text {}

/// A string, or a whole number, that was given, before it is read.
pub struct Given {
    env: sys::napi_env,
    value: sys::napi_value,
}

impl FromNapiValue for Given {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        Ok(Self { env, value })
    }
}

impl TypeName for Given {
    fn type_name() -> &'static str {
        "String"
    }

    fn value_type() -> ValueType {
        ValueType::String
    }
}

impl ValidateNapiValue for Given {}

impl Given {
    /// The number, if it is one: what it has behind the point is cut off.
    pub fn integer(&self) -> Option<i64> {
        let mut number = 0;
        // SAFETY: both values are of the call that is under way.
        let status = unsafe { sys::napi_get_value_int64(self.env, self.value, &mut number) };
        (status == sys::Status::napi_ok).then_some(number)
    }

    /// Reads it into memory that is used again and again. To be called in the call that it was given
    /// to.
    pub fn read<'a>(&self, buf: &'a mut Vec<u8>) -> napi::Result<&'a str> {
        if buf.len() < SHORT_BYTES {
            buf.resize(SHORT_BYTES, 0);
        }
        let mut length = self.read_bytes(buf)?;
        if length + CHARACTER_BYTES >= buf.len() {
            let mut all = 0;
            // SAFETY: as below; without memory, it is measured.
            let status = unsafe {
                sys::napi_get_value_string_utf8(self.env, self.value, ptr::null_mut(), 0, &mut all)
            };
            napi::check_status!(status)?;
            buf.resize(all + CHARACTER_BYTES + 1, 0);
            length = self.read_bytes(buf)?;
        }
        let text = buf.get(..length).unwrap_or_default();
        std::str::from_utf8(text)
            .map_err(|_| napi::Error::new(napi::Status::StringExpected, "text was expected"))
    }

    fn read_bytes(&self, buf: &mut [u8]) -> napi::Result<usize> {
        let mut length = 0;
        // SAFETY: both values are of the call that is under way; `buf` has so many bytes.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                self.value,
                buf.as_mut_ptr().cast(),
                buf.len(),
                &mut length,
            )
        };
        napi::check_status!(status, "text was expected")?;
        Ok(length)
    }
}

/// Text for JavaScript, which is UTF-8.
pub struct Reply(pub Vec<u8>);

impl ToNapiValue for Reply {
    unsafe fn to_napi_value(env: sys::napi_env, reply: Self) -> napi::Result<sys::napi_value> {
        let (bytes, mut value) = (reply.0, ptr::null_mut());
        // V8 keeps ASCII as it is, and needs not look for longer characters then.
        let create = match bytes.is_ascii() {
            true => sys::napi_create_string_latin1,
            false => sys::napi_create_string_utf8,
        };
        // SAFETY: the caller vouches for `env`; the text has so many bytes.
        let status =
            unsafe { create(env, bytes.as_ptr().cast(), bytes.len() as isize, &mut value) };
        napi::check_status!(status)?;
        Ok(value)
    }
}

/// Appends messages in groups, `[from, alias, timestamp, payload, …]`, where an empty alias is
/// none: messages in a row of one sender and one millisecond share what they have in common. A group without a payload is one message
/// that has none.
///
/// Each payload is one JSON value, which the core has checked; otherwise a payload with a comma
/// and brackets of its own could forge messages.
#[derive(Default)]
pub struct Groups {
    /// There is a group already.
    any: bool,
    /// Sender and time of the group that is open.
    open: Option<(NodeId, u64)>,
}

impl Groups {
    pub fn append(&mut self, text: &mut String, message: &Message) {
        let goes_on = !message.payload.is_absent()
            && self.open.as_ref().is_some_and(|(from, timestamp)| {
                *timestamp == message.timestamp && from.is(&message.from)
            });
        if !goes_on {
            self.end(text);
            text.push_str(if self.any { ",[" } else { "[" });
            self.any = true;
            append_string(text, message.from.as_str());
            text.push(',');
            append_string(
                text,
                message.alias.as_ref().map_or("", |alias| alias.as_str()),
            );
            text.push(',');
            append_number(text, message.timestamp);
            self.open = Some((message.from.clone(), message.timestamp));
        }
        if message.payload.is_absent() {
            self.end(text);
        } else {
            text.push(',');
            text.push_str(message.payload.as_str());
        }
    }

    /// Closes the last group.
    pub fn end(&mut self, text: &mut String) {
        if self.open.take().is_some() {
            text.push(']');
        }
    }
}

fn append_string(text: &mut String, string: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if string.bytes().all(plain) {
        text.push('"');
        text.push_str(string);
        text.push('"');
    } else {
        text.push_str(&Value::from(string).to_string());
    }
}

fn append_number(text: &mut String, number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}
