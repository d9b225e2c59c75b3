//! What is handed out to C: an array of structs and the text they point to, in one allocation.

use std::ffi::c_void;

use distflow_core::{Error, ErrorKind, Result};

use crate::bytes::distflow_bytes;

/// One allocation of C's own, so that `_free` needs no length, and lies about one do no harm.
pub(crate) struct Block {
    base: *mut u8,
    used: usize,
    size: usize,
}

impl Block {
    /// Room for `items` structs, and for `texts` bytes of `count` texts behind them.
    pub(crate) fn new<T>(items: usize, texts: usize, count: usize) -> Result<Self> {
        let header = items * size_of::<T>();
        let size = header + texts + count;
        // SAFETY: malloc takes any size but 0 would be useless.
        let base = unsafe { libc::malloc(size.max(1)) }.cast::<u8>();
        if base.is_null() {
            let text = format!("no memory for {size} bytes");
            return Err(Error::new(ErrorKind::Internal, text));
        }
        Ok(Self {
            base,
            used: header,
            size,
        })
    }

    /// Copies a text and a NUL byte behind it.
    pub(crate) fn put(&mut self, text: &[u8]) -> distflow_bytes {
        if self.size - self.used <= text.len() {
            // Counted wrongly; nothing is better than a write beyond the end.
            return distflow_bytes::EMPTY;
        }
        // SAFETY: there is room for the text and its NUL, which was just checked.
        let data = unsafe {
            let data = self.base.add(self.used);
            std::ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
            data.add(text.len()).write(0);
            data
        };
        self.used += text.len() + 1;
        distflow_bytes {
            data: data.cast(),
            len: text.len(),
        }
    }

    /// The array at the start; the caller writes each struct once.
    pub(crate) fn items<T>(&self) -> *mut T {
        self.base.cast()
    }

    /// Hands the allocation to the caller, who frees it with [`free`].
    pub(crate) fn release(self) -> *mut c_void {
        let base = self.base;
        std::mem::forget(self);
        base.cast()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it came from malloc and was not released.
        unsafe { libc::free(self.base.cast()) };
    }
}

/// Frees what [`Block::release`] gave; NULL is fine.
///
/// # Safety
/// The pointer is NULL or came from [`Block::release`] and was not freed before.
pub(crate) unsafe fn free(memory: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { libc::free(memory) };
}
