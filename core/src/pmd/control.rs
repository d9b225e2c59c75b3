//! What other threads ask of a running server.

use std::sync::Arc;

use mio::Waker;
use parking_lot::Mutex;

use crate::wire::pmd::Register;

/// What another thread asks of a running server.
pub(super) enum Command {
    Snapshot(Box<dyn FnOnce(Vec<Arc<Register>>) + Send>),
    Stop,
}

/// Commands and the way to wake the server for them; clones share both.
#[derive(Clone)]
pub struct Control {
    // Protects the queue of commands; held for a push or a swap.
    commands: Arc<Mutex<Vec<Command>>>,
    waker: Arc<Waker>,
}

impl Control {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            commands: Arc::default(),
            waker: Arc::new(waker),
        }
    }

    pub(super) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *self.commands.lock())
    }

    pub(super) fn send(&self, command: Command) {
        self.commands.lock().push(command);
        // Fails only when the server is gone, and then nobody waits for the command.
        let _ = self.waker.wake();
    }

    /// Asks the server to end: it flushes, closes every connection and returns.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }
}
