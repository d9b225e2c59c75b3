//! Waiting for a queue of the core's: with a timeout, or by a descriptor.

use std::ffi::c_int;

use distflow_core::dispatch::{Inbox, Readiness, RecvError};
use distflow_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;

use crate::convert;

/// The next item; `over` says what has ended when none will come.
pub(crate) fn receive<T>(inbox: &Inbox<T>, timeout_ms: i64, over: &'static str) -> Result<T> {
    let item = inbox.recv_timeout(convert::timeout(timeout_ms));
    item.map_err(|error| match error {
        RecvError::Closed => Error::new(ErrorKind::Closed, over),
        RecvError::Timeout => Error::new(ErrorKind::Timeout, "nothing came in time"),
    })
}

/// A queue's descriptor, made at first use.
#[derive(Default)]
// Protects the descriptor; held to look at it or to make it.
pub(crate) struct Descriptor(Mutex<Option<Readiness>>);

impl Descriptor {
    pub(crate) fn of<T>(&self, inbox: &Inbox<T>) -> Result<c_int> {
        let mut made = self.0.lock();
        if let Some(readiness) = &*made {
            return Ok(readiness.fd());
        }
        let readiness = Readiness::new()?;
        inbox.set_readiness(readiness.clone());
        let fd = readiness.fd();
        *made = Some(readiness);
        Ok(fd)
    }
}
