//! What a step of the registry asks its surroundings to do.

use std::ops::Range;
use std::sync::Arc;

use crate::wire::pmd::{LeaveCause, Register};

/// A connection, as named by whoever owns the sockets.
///
/// A slot is reused after its connection closed, with another generation, so that what is
/// meant for an old connection never reaches a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Small index.
    pub slot: u32,
    /// How often the slot was reused.
    pub generation: u32,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send an answer: a frame in [`Outputs::bytes`].
    Answer(ConnId, Range<usize>),
    /// Send an event: a frame in [`Outputs::bytes`]. Subject to the watcher's bounds.
    Event(ConnId, Range<usize>),
    /// Look at once whether the connection is at its end, and report it if so.
    Inspect(ConnId),
    /// Hand over no more frames of this connection until it is resumed.
    Pause(ConnId),
    /// Go on handing over frames.
    Resume(ConnId),
    /// Flush what is queued, close, and report the close.
    Close(ConnId, &'static str),
    /// Something worth telling the owner of the PMD.
    Notice(Notice),
    /// Flush what is queued and end the PMD.
    Stop(StopReason),
}

/// What the owner of a PMD may want to know or print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A node registered that was not registered before.
    Joined(Arc<Register>),
    /// A node is gone.
    Left(Arc<Register>, LeaveCause),
    /// The last node went; the PMD ends after that many milliseconds.
    AutoShutdownArmed(u64),
    /// A node came before the PMD ended.
    AutoShutdownCancelled,
    /// A frame was no request; the text says why.
    BadFrame(String),
}

/// Why a PMD ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// A client asked for it.
    Requested,
    /// No node was registered for the whole delay.
    NoNodes,
}

impl StopReason {
    /// The word in every language.
    pub const fn name(self) -> &'static str {
        match self {
            StopReason::Requested => "requested",
            StopReason::NoNodes => "idle",
        }
    }
}

/// The outputs of one or several steps, in order.
#[derive(Debug, Default)]
pub struct Outputs {
    /// The frames that the items refer to.
    pub bytes: Vec<u8>,
    /// What to do.
    pub items: Vec<Output>,
}

impl Outputs {
    /// Forgets everything, keeping the memory unless it is unusually much.
    pub fn clear(&mut self) {
        const KEEP_BYTES: usize = 1 << 20;
        self.items.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEEP_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// Appends a frame and returns where it is.
    pub(super) fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.bytes.len();
        // The only limit on an outgoing frame is the format's own, 4 GiB, which the bound on
        // the number of nodes keeps far away.
        let _ = crate::wire::frame::append(&mut self.bytes, u32::MAX as usize, write);
        start..self.bytes.len()
    }
}
