//! Bytes that are lent.

use std::ffi::c_char;

/// Borrowed text: `len` bytes of UTF-8, followed by a NUL byte that `len` does not count. `data`
/// is never NULL; what is absent has length 0.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct distflow_bytes {
    /// The text.
    pub data: *const c_char,
    /// Its length in bytes.
    pub len: usize,
}

impl distflow_bytes {
    /// Nothing.
    pub const EMPTY: Self = Self {
        data: c"".as_ptr(),
        len: 0,
    };
}
