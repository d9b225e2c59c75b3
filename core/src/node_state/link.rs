//! One link: its connection, its queue, and what its writer holds.

use std::collections::VecDeque;

use super::CallId;
use crate::names::NodeId;
use crate::wire::frame;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Retry { at_ms: u64 },
    Connecting,
    Up,
}

#[derive(Debug)]
pub(super) struct Chunk {
    pub connection: u64,
    pub messages: u64,
    pub bytes: usize,
    pub has_open: bool,
}

impl Chunk {
    /// Length of the frame that opens the link, if the chunk begins with it.
    pub fn open_bytes(&self, bytes: &[u8]) -> usize {
        if self.has_open { first_frame(bytes) } else { 0 }
    }
}

#[derive(Debug)]
pub(super) struct Link {
    pub generation: u32,
    pub peer: NodeId,
    pub host: String,
    pub port: u16,
    /// The peer understands the frame that opens a link.
    pub opens: bool,
    pub head: Vec<u8>,
    pub incarnation: u64,
    pub state: State,
    pub connection: u64,
    pub open_pending: bool,
    /// Frames to be written, back to back.
    pub queue: Vec<u8>,
    pub queued: u64,
    /// What the writer holds at the moment.
    pub chunk: Option<Chunk>,
    /// Messages written completely since the link was made.
    pub written: u64,
    pub written_on_connection: bool,
    pub failures: u32,
    /// Calls whose message is queued and that wait for the connection.
    pub connecting: Vec<CallId>,
    /// Calls that wait for room, with their frames.
    pub blocked: VecDeque<(CallId, Vec<u8>)>,
    /// The peer left: the queue is drained and then the link ends.
    pub leaving: bool,
}

impl Link {
    pub fn has_room(&self, bytes: usize, max: usize) -> bool {
        let held = self.queue.len() + self.chunk.as_ref().map_or(0, |chunk| chunk.bytes);
        held == 0 || held + bytes <= max
    }

    pub fn written_completely(&mut self, messages: u64, mut bytes: Vec<u8>) {
        const KEEP_BYTES: usize = 1 << 20;
        self.written += messages;
        self.written_on_connection |= messages > 0;
        self.failures = 0;
        if self.queue.is_empty() && bytes.capacity() <= KEEP_BYTES {
            bytes.clear();
            self.queue = bytes;
        }
    }

    /// Puts what was not written completely back to the front of the queue.
    pub fn written_partly(&mut self, chunk: &Chunk, mut bytes: Vec<u8>, written: usize) {
        // The open frame of a dead connection means nothing to the next one.
        let open = chunk.open_bytes(&bytes);
        let (messages, end) = if crate::plant::active("resend_all") {
            (0, 0)
        } else {
            complete_frames(&bytes[open..], written.saturating_sub(open))
        };
        self.written += messages;
        self.written_on_connection |= messages > 0;
        self.queued += chunk.messages - messages;
        bytes.drain(..open + end);
        bytes.extend_from_slice(&self.queue);
        self.queue = bytes;
    }
}

fn first_frame(bytes: &[u8]) -> usize {
    match frame::announced(bytes, usize::MAX) {
        Ok(Some(len)) => frame::HEADER_BYTES + len,
        _ => 0,
    }
}

/// How many frames end within the first `written` bytes, and where the last of them ends.
pub(super) fn complete_frames(bytes: &[u8], written: usize) -> (u64, usize) {
    let (mut frames, mut end) = (0, 0);
    loop {
        let next = end + first_frame(&bytes[end..]);
        if next == end || next > written {
            return (frames, end);
        }
        frames += 1;
        end = next;
    }
}
