//! Waiting for a descriptor that is not one of the network's.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Handle;
use crate::error::{Error, Result};
use crate::fork;

/// A descriptor of which a wait learns that it has become readable.
///
/// Nothing is read from it here. Whoever reads calls [`Readable::forget`] first and then reads all
/// there is: what comes later is told again.
#[derive(Debug)]
pub struct Readable {
    // There until it is dropped, and left alone by a child, whose own poll does not have it.
    fd: Option<AsyncFd<OwnedFd>>,
    generation: u64,
}

impl Readable {
    /// Begins to watch a descriptor.
    ///
    /// Errors: `io`, and those of starting the network thread.
    pub fn new(fd: OwnedFd) -> Result<Self> {
        let runtime = Handle::current()?;
        let _entered = runtime.enter();
        // SAFETY: the descriptor is owned, and its number stays the same while it is.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
            .map_err(|error| Error::io("cannot wait for a descriptor", &error.into()))?;
        Ok(Self {
            fd: Some(fd),
            generation: fork::generation(),
        })
    }

    /// Whether it was made by the process that forked this one, where nobody watches it.
    pub fn is_foreign(&self) -> bool {
        self.generation != fork::generation()
    }

    /// The descriptor.
    pub fn fd(&self) -> RawFd {
        self.fd.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Waits until there is something to read, or was since the last [`Readable::forget`]. Never
    /// ends in a forked child.
    pub async fn ready(&self) {
        match &self.fd {
            Some(fd) if !self.is_foreign() && fd.readable().await.is_ok() => {}
            // The network has ended, with the process.
            _ => std::future::pending().await,
        }
    }

    /// Forgets that something was to be read.
    pub fn forget(&self) {
        let Some(fd) = self.fd.as_ref().filter(|_| !self.is_foreign()) else {
            return;
        };
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(Ok(mut guard)) = fd.poll_read_ready(&mut cx) {
            guard.clear_ready();
        }
    }
}

impl Drop for Readable {
    fn drop(&mut self) {
        if self.is_foreign() {
            // Its place in the parent's poll is shared.
            std::mem::forget(self.fd.take());
        }
    }
}
