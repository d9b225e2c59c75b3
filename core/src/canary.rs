//! Noticing that the host has closed descriptors that are the library's.
//!
//! Programs that become daemons close every descriptor from 3 on, without asking whose it is. What
//! the library has open is gone then, and its numbers soon belong to files of the host. So one
//! descriptor that is good for nothing else is looked at before a call wakes, waits for, or starts
//! anything of the network: if it is not the one that it was, nothing may be touched any more.

use std::io;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind};
use crate::fork;

/// A descriptor that stands for all of the library's.
#[derive(Debug)]
pub struct Canary {
    fd: i32,
    identity: (u64, u64),
    generation: u64,
    is_gone: AtomicBool,
}

// Protects the canary of today. Held to get it, or to make it.
static CURRENT: Mutex<Option<Arc<Canary>>> = Mutex::new(None);

impl Canary {
    /// The canary for what is opened from now on.
    ///
    /// Errors: those of the system, when it has no descriptor for it.
    pub fn current() -> io::Result<Arc<Self>> {
        let Some(mut current) = CURRENT.try_lock_for(std::time::Duration::from_secs(5)) else {
            // A forked child, of a thread that the lock belongs to.
            return Self::new().map(Arc::new);
        };
        if let Some(canary) = &*current
            && canary.generation == fork::generation()
            && !canary.look()
        {
            return Ok(canary.clone());
        }
        let canary = Arc::new(Self::new()?);
        *current = Some(canary.clone());
        Ok(canary)
    }

    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use std::os::fd::IntoRawFd;
        // Of all that is cheap, a pipe has a number of its own.
        let (reader, _) = io::pipe()?;
        let fd = reader.into_raw_fd();
        Ok(Self {
            fd,
            identity: fork::identity(fd).unwrap_or_default(),
            generation: fork::generation(),
            is_gone: AtomicBool::new(false),
        })
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {
            fd: -1,
            identity: (0, 0),
            generation: fork::generation(),
            is_gone: AtomicBool::new(false),
        })
    }

    /// True once the descriptors are known to be gone.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Looks whether the descriptors are gone, which asks the system.
    pub fn look(&self) -> bool {
        if self.is_gone() {
            return true;
        }
        #[cfg(unix)]
        if fork::identity(self.fd) != Some(self.identity) {
            self.is_gone.store(true, Ordering::Release);
            tracing::error!("the host has closed descriptors of distflow: what was open is closed");
            return true;
        }
        false
    }
}

/// An object with a descriptor, which is not dropped once the host has closed the descriptor: its number
/// is one of the host's by then.
#[derive(Debug)]
pub struct Owned<T> {
    object: ManuallyDrop<T>,
    canary: Arc<Canary>,
}

impl<T> Owned<T> {
    /// Takes an object whose descriptor was opened after the canary's.
    pub fn new(object: T, canary: &Arc<Canary>) -> Self {
        Self {
            object: ManuallyDrop::new(object),
            canary: canary.clone(),
        }
    }

    /// Looks whether the host has closed the descriptor, which asks the system. To be called before
    /// anything is done with it.
    pub fn is_gone(&self) -> bool {
        self.canary.look()
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.object
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.is_gone() {
            // SAFETY: it is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.object) };
        }
    }
}

/// The error of whatever lived when the descriptors were closed.
pub fn gone() -> Error {
    Error::new(
        ErrorKind::Closed,
        "this process has closed descriptors that belong to distflow, and with them what was open; \
         open it anew",
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_closed_canary_is_gone_also_when_its_number_is_in_use_again() {
        let canary = Canary::new().unwrap();
        assert!(!canary.look());
        // SAFETY: the descriptor is this test's own; nobody else knows it.
        let again = unsafe {
            let other = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY);
            let again = libc::dup2(other, canary.fd);
            libc::close(other);
            again
        };
        assert_eq!(again, canary.fd);
        assert!(canary.look() && canary.is_gone());
        // SAFETY: as above.
        unsafe { libc::close(again) };
        assert!(canary.look());
    }
}
