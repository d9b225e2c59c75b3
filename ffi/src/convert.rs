//! From C's arguments to checked values.

use std::ffi::c_char;
use std::time::Duration;

use bytes::Bytes;
use distflow_core::{Error, ErrorKind, Payload, Result};

/// Longest NUL-terminated text that is looked at; every name has a lower limit of its own.
const TEXT_BYTES_MAX: usize = 64 << 10;

pub(crate) fn invalid(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidArgument, what)
}

/// NUL-terminated UTF-8; NULL = `None`.
///
/// # Safety
/// The pointer is NULL or points to text that ends with a NUL byte and stays as it is during
/// the call.
pub(crate) unsafe fn optional_text<'a>(what: &str, text: *const c_char) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller promises a NUL byte; up to it, everything may be read.
    let len = unsafe { libc::strnlen(text, TEXT_BYTES_MAX) };
    if len == TEXT_BYTES_MAX {
        return Err(invalid(format!(
            "{what} has no NUL byte within {TEXT_BYTES_MAX} bytes"
        )));
    }
    // SAFETY: strnlen has just read these bytes.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) };
    std::str::from_utf8(bytes)
        .map(Some)
        .map_err(|error| invalid(format!("{what} is not valid UTF-8: {error}")))
}

/// Like [`optional_text`], but NULL is an error.
///
/// # Safety
/// As there.
pub(crate) unsafe fn text<'a>(what: &str, text: *const c_char) -> Result<&'a str> {
    // SAFETY: the caller's promise is this function's.
    unsafe { optional_text(what, text) }?.ok_or_else(|| invalid(format!("{what} is NULL")))
}

/// Pointer and length; the pointer counts for nothing when the length is 0.
///
/// # Safety
/// The pointer is readable for the length, unless it is NULL or the length is 0.
pub(crate) unsafe fn slice<'a>(what: &str, data: *const c_char, len: usize) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(invalid(format!("{what} is NULL, but its length is {len}")));
    }
    if len > isize::MAX as usize {
        return Err(invalid(format!("{what} cannot be {len} bytes long")));
    }
    // SAFETY: not NULL, not too long, and the caller promises that the bytes can be read.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// JSON text by pointer and length; when the length is 0, what it is by default.
///
/// # Safety
/// As for [`slice`].
pub(crate) unsafe fn json<'a>(
    what: &str,
    data: *const c_char,
    len: usize,
    default: &'a str,
) -> Result<&'a str> {
    // SAFETY: the caller's promise is this function's.
    let text = unsafe { slice(what, data, len) }?;
    if text.is_empty() {
        return Ok(default);
    }
    std::str::from_utf8(text)
        .map_err(|error| invalid(format!("{what} is not valid UTF-8: {error}")))
}

/// A payload: JSON text, or nothing at all when the length is 0.
///
/// # Safety
/// As for [`slice`].
pub(crate) unsafe fn payload(data: *const c_char, len: usize, bytes_max: usize) -> Result<Payload> {
    // SAFETY: the caller's promise is this function's.
    let text = unsafe { slice("payload", data, len) }?;
    if text.is_empty() {
        return Ok(Payload::absent());
    }
    if text.len() > bytes_max {
        // Before it is copied.
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "a payload of {} bytes does not fit into a frame of {bytes_max}",
                text.len()
            ),
        ));
    }
    Payload::from_json(Bytes::copy_from_slice(text))
}

/// Milliseconds of C: negative = no limit.
pub(crate) fn timeout(ms: i64) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}

/// Writes to a caller's out parameter; NULL is an error.
///
/// # Safety
/// The pointer is NULL or writable as a `T`.
pub(crate) unsafe fn set<T>(what: &str, out: *mut T, value: T) -> Result<()> {
    check_out(what, out)?;
    // SAFETY: not NULL, and the caller promises that it is writable.
    unsafe { out.write_unaligned(value) };
    Ok(())
}

/// Fails for an out parameter that is NULL, before anything is done for it.
pub(crate) fn check_out<T>(what: &str, out: *mut T) -> Result<()> {
    if out.is_null() {
        return Err(invalid(format!("{what} is NULL")));
    }
    Ok(())
}

/// Reads a caller's struct that begins with its size. What a caller of an earlier version does
/// not have is zero; what a later version added must be zero, or it would be ignored silently.
///
/// # Safety
/// The pointer is readable for as many bytes as the size it points to says. `T` is a `repr(C)`
/// struct for which all zeros is a value, and begins with `struct_size`.
pub(crate) unsafe fn sized<T>(what: &str, from: *const T, size_first: usize) -> Result<T> {
    // SAFETY: every version of the struct begins with its size.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    if size < size_first {
        return Err(invalid(format!(
            "{what}: struct_size is {size}, but at least {size_first} was expected; fill the \
             struct with its _init function first"
        )));
    }
    if size > STRUCT_BYTES_MAX {
        return Err(invalid(format!(
            "{what}: struct_size is {size}, which cannot be; fill the struct with its _init \
             function first"
        )));
    }
    let known = size.min(size_of::<T>());
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: both sides are valid for the smaller of the two sizes; zeros are a value.
    let value = unsafe {
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), known);
        value.assume_init()
    };
    // SAFETY: the caller promises `size` readable bytes.
    let rest = unsafe { std::slice::from_raw_parts(from.cast::<u8>().add(known), size - known) };
    if rest.iter().any(|byte| *byte != 0) {
        return Err(invalid(format!(
            "{what}: a member that this version ({}) does not have is set; use a later library",
            distflow_core::VERSION
        )));
    }
    Ok(value)
}

/// No public struct comes near this; a larger size is garbage.
pub(crate) const STRUCT_BYTES_MAX: usize = 4_096;

/// Fills a caller's options with the defaults. A caller of an earlier version has room for
/// less, one of a later version gets zeros for what this version does not know.
///
/// # Safety
/// The pointer is NULL or points to `size` writable bytes. `T` is a `repr(C)` struct that
/// begins with `struct_size`.
pub(crate) unsafe fn init<T>(
    what: &str,
    out: *mut T,
    size: usize,
    size_first: usize,
    defaults: T,
) -> Result<()> {
    check_out(what, out)?;
    if size < size_first || size > STRUCT_BYTES_MAX {
        return Err(invalid(format!(
            "struct_size is {size}; pass the sizeof of the struct, at least {size_first}"
        )));
    }
    // SAFETY: the caller promises `size` writable bytes; the defaults are copied as far as
    // they fit.
    unsafe {
        out.cast::<u8>().write_bytes(0, size);
        let known = size.min(size_of::<T>());
        std::ptr::copy_nonoverlapping((&raw const defaults).cast::<u8>(), out.cast(), known);
        out.cast::<usize>().write_unaligned(size);
    }
    Ok(())
}

/// Members that are yes or no.
pub(crate) fn check_flags(flags: &[(&str, u8)]) -> Result<()> {
    match flags.iter().find(|(_, value)| *value > 1) {
        Some((name, value)) => Err(invalid(format!("{name} is {value}, but must be 0 or 1"))),
        None => Ok(()),
    }
}

/// A reserved member is set.
pub(crate) fn from_later(what: &str) -> Error {
    invalid(format!(
        "{what}: a reserved member is not zero; fill the struct with its _init function first"
    ))
}
