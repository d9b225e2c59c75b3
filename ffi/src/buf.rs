//! Bytes that are given away.

use std::ffi::c_char;

use distflow_core::Result;

use crate::block;
use crate::convert;
use crate::guard::quietly;

/// Owned text: `len` bytes of UTF-8, followed by a NUL byte that `len` does not count. Where a
/// function says so, owned bytes of any value instead, with the same NUL byte behind them. Freed
/// with `distflow_buf_free`.
#[repr(C)]
#[derive(Debug)]
pub struct distflow_buf {
    /// The text or bytes; NULL after they were freed.
    pub data: *mut c_char,
    /// Its length in bytes.
    pub len: usize,
}

impl distflow_buf {
    pub(crate) const EMPTY: Self = Self {
        data: std::ptr::null_mut(),
        len: 0,
    };

    /// A copy of a text.
    pub(crate) fn new(text: &str) -> Result<Self> {
        Self::of_bytes(text.as_bytes())
    }

    /// A copy of bytes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self> {
        let mut block = block::Block::new::<u8>(0, bytes.len(), 1)?;
        let bytes = block.put(bytes);
        Ok(Self {
            data: block.release().cast(),
            len: bytes.len,
        })
    }
}

/// Releases the text and empties the struct, so that doing it twice is harmless.
///
/// Ownership: takes what `buf` owns; `buf` itself stays the caller's, and may be NULL.
/// Blocks: no. In a callback: allowed. Statuses: none.
///
/// # Safety
/// `buf` must be NULL, or point to a struct that is all zero or was filled in by distflow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_buf_free(buf: *mut distflow_buf) {
    quietly(|| {
        if convert::check_out("buf", buf).is_ok() {
            // SAFETY: not NULL, and the caller promises what it holds.
            unsafe {
                let owned = buf.replace(distflow_buf::EMPTY);
                block::free(owned.data.cast());
            }
        }
    });
}
