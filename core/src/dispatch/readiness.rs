//! A file descriptor that is readable exactly while something waits in a queue.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::fork::CloseInChild;

/// An `eventfd` for one or more queues, for a host whose event loop waits for descriptors.
///
/// It is readable while one of its queues holds an item or is closed. Nobody but the queues
/// reads or writes it.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // Closed in a forked child, which would otherwise share the state of its parent's.
    _fork: CloseInChild,
    event: OwnedFd,
    // Protects the number of raised queues together with the state of the descriptor. Taken
    // under a queue's lock; nothing else is taken under it.
    raised: Mutex<usize>,
}

impl Readiness {
    /// Makes a descriptor that is not readable.
    pub fn new() -> Result<Self> {
        // SAFETY: the call takes no pointer; its result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            let error = std::io::Error::last_os_error();
            return Err(Error::io("cannot make an event descriptor", &error));
        }
        Ok(Self(Arc::new(Inner {
            _fork: CloseInChild::new(fd),
            // SAFETY: the descriptor was just made, and nothing else owns it.
            event: unsafe { OwnedFd::from_raw_fd(fd) },
            raised: Mutex::new(0),
        })))
    }

    /// The descriptor; valid while this value, or a queue that has it, lives.
    pub fn fd(&self) -> RawFd {
        self.0.event.as_raw_fd()
    }

    /// One more queue has something.
    pub(super) fn raise(&self) {
        let mut raised = self.0.raised.lock();
        *raised += 1;
        if *raised == 1 {
            let one = 1u64.to_ne_bytes();
            // SAFETY: the buffer is valid for its 8 bytes. The counter is 0, so it never blocks.
            unsafe { libc::write(self.fd(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// One queue has nothing any more.
    pub(super) fn lower(&self) {
        let mut raised = self.0.raised.lock();
        *raised = raised.saturating_sub(1);
        if *raised == 0 {
            let mut count = [0u8; 8];
            // SAFETY: the buffer is valid for its 8 bytes, and the descriptor does not block.
            unsafe { libc::read(self.fd(), count.as_mut_ptr().cast(), count.len()) };
        }
    }
}
