//! What a step of the registry asks its surroundings to do.

use std::ops::Range;
use std::sync::Arc;

use crate::wire::frame;
use crate::wire::pmd::{Capabilities, LeaveCause, Register};

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

/// Kind of client, by which members the events for it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(u8);

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// The kind of a client that announced these capabilities.
    pub fn of(caps: Capabilities) -> Self {
        Self(u8::from(caps.rev) | u8::from(caps.meta) << 1)
    }

    /// Number of the kind, below [`Self::COUNT`].
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// Whether events have a revision, and a leave its cause.
    pub(super) fn has_rev(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether nodes have metadata and capabilities.
    pub(super) fn has_meta(self) -> bool {
        self.0 & 2 == 2
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send an answer: a frame in [`Outputs::bytes`].
    Answer(ConnId, Range<usize>),
    /// Send the rest of the answer before it, which others get as well.
    Shared(ConnId, Arc<[u8]>),
    /// Let the connection have, from here on, what is announced to this kind of client.
    Watch(ConnId, Kind),
    /// Announce an event to every watcher of a kind: a frame in [`Outputs::bytes`].
    Announce(Kind, Range<usize>),
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
    /// Answer with what the surroundings know of the PMD.
    Status(ConnId, Option<Box<str>>),
    /// Let a successor listen on the same port.
    SharePort,
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
    /// Another PMD has taken over, with the table.
    TakenOver,
}

impl StopReason {
    /// The word in every language.
    pub const fn name(self) -> &'static str {
        match self {
            StopReason::Requested => "requested",
            StopReason::NoNodes => "idle",
            StopReason::TakenOver => "taken_over",
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
        let _ = frame::append(&mut self.bytes, u32::MAX as usize, write);
        start..self.bytes.len()
    }

    /// Appends the beginning of a frame of which `more` bytes are elsewhere.
    pub(super) fn head(&mut self, more: usize, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let range = self.frame(write);
        let body = range.len() - frame::HEADER_BYTES + more;
        let header = &mut self.bytes[range.start..range.start + frame::HEADER_BYTES];
        header.copy_from_slice(&(body as u32).to_be_bytes());
        range
    }
}
