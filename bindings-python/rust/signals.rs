//! Signals on their way to a wait of the main thread.
//!
//! The interpreter notes a signal and writes a byte to the descriptor that it was told, if any
//! (`signal.set_wakeup_fd`). While the main thread waits here, and only then, that is one of ours:
//! so a signal ends the wait whichever thread it reached, and also one that came just before. What
//! the program had set there is set again before any of its code runs, and gets the bytes, too.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use distflow_core::{Error, Readable, Result, fork};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt};

use crate::error;

/// Where the interpreter writes, and where that is read.
struct Bell {
    write: UnixStream,
    /// The same descriptor as that which is watched.
    read: UnixStream,
    watched: Readable,
    /// Device and inode of the write end, which tell it from another file of the same number.
    identity: Option<(u64, u64)>,
}

/// A descriptor that is not closed here.
fn borrowed(fd: RawFd) -> ManuallyDrop<File> {
    // SAFETY: it is never dropped, and a number that is no descriptor any more gives errors.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })
}

// Protects the bell, which is made once a process; held to look or to make it.
static BELL: Mutex<Option<Arc<Bell>>> = Mutex::new(None);

// `_signal.set_wakeup_fd`.
static SET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

thread_local! {
    /// The process in which this thread was found not to be the main one.
    static OTHER: Cell<Option<u64>> = const { Cell::new(None) };
}

impl Bell {
    fn new() -> Result<Self> {
        let made = || {
            let (write, read) = UnixStream::pair()?;
            write.set_nonblocking(true)?;
            read.set_nonblocking(true)?;
            Ok((write, read.try_clone()?, read))
        };
        let (write, watched, read) =
            made().map_err(|error| Error::io("cannot make a pair of sockets", &error))?;
        Ok(Self {
            identity: fork::identity(write.as_raw_fd()),
            write,
            read,
            watched: Readable::new(OwnedFd::from(watched))?,
        })
    }

    /// The bell of this process.
    fn current() -> Result<Arc<Self>> {
        let mut current = BELL.lock();
        if let Some(bell) = current.as_ref().filter(|bell| bell.is_good()) {
            return Ok(bell.clone());
        }
        let bell = Arc::new(Self::new()?);
        // The parent's stays open: the interpreter may still write there, until it is told another.
        // What the program has closed may be something else by now.
        std::mem::forget(current.replace(bell.clone()));
        Ok(bell)
    }

    /// Tells whether the pipe was made in this process, and the program has not closed its descriptors.
    fn is_good(&self) -> bool {
        !self.watched.is_foreign()
            && self.identity.is_some()
            && self.identity == fork::identity(self.write.as_raw_fd())
    }
}

/// Takes the interpreter's word of signals for the length of a wait.
pub struct Signals {
    bell: Arc<Bell>,
    /// Wake-up descriptor that the program had set before.
    before: i32,
}

fn set_wakeup_fd(py: Python<'_>, fd: i32, warns: bool) -> PyResult<i32> {
    let set = SET.get_or_try_init(py, || {
        let module = py.import("_signal")?;
        Ok::<_, PyErr>(module.getattr("set_wakeup_fd")?.unbind())
    })?;
    let named = PyDict::new(py);
    named.set_item("warn_on_full_buffer", warns)?;
    let before = set.bind(py).call((fd,), Some(&named))?;
    before.cast::<PyInt>()?.extract()
}

impl Signals {
    /// `None` on every thread but the main one, which alone runs the handlers of signals.
    pub fn take(py: Python<'_>) -> PyResult<Option<Self>> {
        let generation = fork::generation();
        if OTHER.get() == Some(generation) {
            return Ok(None);
        }
        let bell = error::checked(py, Bell::current())?;
        match set_wakeup_fd(py, bell.write.as_raw_fd(), false) {
            Ok(before) => Ok(Some(Self { bell, before })),
            Err(refused) if refused.is_instance_of::<PyValueError>(py) => {
                OTHER.set(Some(generation));
                Ok(None)
            }
            Err(failed) => Err(failed),
        }
    }

    /// Ends when a signal has come.
    pub async fn come(&self) {
        self.bell.watched.ready().await;
    }

    /// Gives back what was taken.
    pub fn give_back(self, py: Python<'_>) -> PyResult<()> {
        let own = self.bell.write.as_raw_fd();
        // Whether the program wants a warning when its descriptor is full is not to be learnt; it
        // gets none.
        set_wakeup_fd(py, self.before, self.before < 0)?;
        self.bell.watched.forget();
        let mut bytes = [0u8; 64];
        while let Ok(count) = (&self.bell.read).read(&mut bytes) {
            if count == 0 {
                break;
            }
            if self.before >= 0 && self.before != own {
                // One that is full has news already.
                let _ = borrowed(self.before).write(&bytes[..count]);
            }
        }
        Ok(())
    }
}
