//! The way out: one link per peer, with one connection at a time and one bounded queue.
//!
//! Everything for a peer goes through its link in order, so parallel first sends share one
//! connection. What a lost connection had not taken completely is sent again on the next one;
//! nothing is ever sent twice, because a frame that was not written completely cannot have
//! been read.

use std::collections::VecDeque;

use super::CallId;
use super::event::NodeEvent;
use super::link::{Chunk, Link, State, complete_frames};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::names::{Alias, NodeId};
use crate::time::Now;
use crate::wire::frame;
use crate::wire::peer::{self, Payload};
use crate::wire::pmd::NodeInfo;

/// A link, as named towards the owner of the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    slot: u32,
    generation: u32,
}

/// What the owner of the sockets has to do for a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkAction {
    /// Connect to the host and port and report `connected` or `connect_failed`, with this
    /// connection number.
    Connect(LinkId, u64, String, u16),
    /// Bytes wait: take chunks and write them until there are none. Asked for with the first
    /// message, and again when they are [`limits::FLUSH_BYTES`], for who waited for more.
    Flush(LinkId),
    /// Close the connection.
    Drop(LinkId, u64),
}

/// What a link reports to its node.
#[derive(Debug)]
pub(super) enum Output {
    Do(LinkAction),
    Event(NodeEvent),
    Done(CallId, Result<()>),
    /// The link is gone; the peer table must not refer to it.
    Removed(NodeId, LinkId),
}

/// Where the stream to a peer stands whose link ended. If the peer comes back, it goes on, so
/// that what its last connection lost is counted.
#[derive(Debug)]
struct Parked {
    peer: NodeId,
    host: String,
    port: u16,
    incarnation: u64,
    connection: u64,
    written: u64,
}

/// A chunk whose link ended while its writer held it.
#[derive(Debug)]
struct Orphan {
    link: LinkId,
    peer: NodeId,
    chunk: Chunk,
}

/// How a message was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the link's queue.
    Queued,
    /// The call ends later.
    Waits,
}

/// All links of a node.
#[derive(Debug)]
pub(super) struct Outbound {
    own: NodeId,
    alias: Option<Alias>,
    incarnation: u64,
    queue_bytes_max: usize,
    frame_bytes_max: usize,
    links: Vec<Option<Link>>,
    generations: Vec<u32>,
    /// Oldest first.
    parked: VecDeque<Parked>,
    pub outputs: Vec<Output>,
    /// Messages accepted for sending.
    pub accepted: u64,
    /// Accepted messages that were given up before they were written.
    pub lost: u64,
    /// Calls waiting for room.
    blocked: usize,
    blocked_bytes: usize,
    /// Chunks whose writers still hold them, of links that have ended.
    orphans: Vec<Orphan>,
    /// No link tries again before this.
    next_retry_ms: Option<u64>,
}

impl Outbound {
    pub fn new(
        own: NodeId,
        alias: Option<Alias>,
        incarnation: u64,
        queue_bytes_max: usize,
        frame_bytes_max: usize,
    ) -> Self {
        Self {
            own,
            alias,
            incarnation,
            queue_bytes_max,
            frame_bytes_max,
            links: Vec::new(),
            generations: Vec::new(),
            parked: VecDeque::new(),
            outputs: Vec::new(),
            accepted: 0,
            lost: 0,
            blocked: 0,
            blocked_bytes: 0,
            orphans: Vec::new(),
            next_retry_ms: None,
        }
    }

    fn get(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links
            .get_mut(id.slot as usize)?
            .as_mut()
            .filter(|link| link.generation == id.generation)
    }

    fn ids(&self) -> Vec<LinkId> {
        let ids = self.links.iter().enumerate();
        ids.filter_map(|(slot, link)| {
            Some(LinkId {
                slot: slot as u32,
                generation: link.as_ref()?.generation,
            })
        })
        .collect()
    }

    /// Makes a link to a peer that has none.
    ///
    /// A peer that left and came back may still have its old link. At the same address that
    /// one goes on, or newer messages could overtake those it holds; at another it ends.
    pub fn add(&mut self, peer: &NodeInfo) -> Result<LinkId> {
        let node_id = NodeId::new(&peer.node_id)?;
        for id in self.ids() {
            let Some(link) = self.get(id).filter(|link| link.peer == node_id) else {
                continue;
            };
            if link.host == peer.host && link.port == peer.port {
                link.leaving = false;
                return Ok(id);
            }
            self.abandon(id, &broken());
            self.remove(id);
        }
        let slot = self
            .links
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.links.push(None);
                self.generations.push(0);
                self.links.len() - 1
            });
        self.generations[slot] += 1;
        let (incarnation, connection, written) = self.stream(&node_id, peer);
        let mut head = Vec::new();
        peer::append_head(&mut head, &self.own, &node_id);
        self.links[slot] = Some(Link {
            generation: self.generations[slot],
            peer: node_id,
            host: peer.host.clone(),
            port: peer.port,
            opens: peer.caps.iter().any(|cap| cap == peer::LINK),
            head,
            incarnation,
            state: State::Idle,
            connection,
            open_pending: false,
            queue: Vec::new(),
            queued: 0,
            chunk: None,
            written,
            written_on_connection: false,
            failures: 0,
            connecting: Vec::new(),
            blocked: VecDeque::new(),
            leaving: false,
        });
        Ok(LinkId {
            slot: slot as u32,
            generation: self.generations[slot],
        })
    }

    /// The stream of a new link: that of an earlier link to the same address, or a new one.
    /// Later streams to a peer have larger numbers.
    fn stream(&mut self, node_id: &NodeId, peer: &NodeInfo) -> (u64, u64, u64) {
        let at = self.parked.iter().position(|old| old.peer == *node_id);
        if let Some(old) = at.and_then(|at| self.parked.remove(at))
            && (&*old.host, old.port) == (&*peer.host, peer.port)
        {
            return (old.incarnation, old.connection, old.written);
        }
        self.incarnation += 1;
        (self.incarnation, 0, 0)
    }

    /// Queues a message. With a call, waits for the connection or for room; without one, a
    /// full queue is `busy`.
    pub fn send(
        &mut self,
        id: LinkId,
        payload: &Payload,
        now: Now,
        call: Option<CallId>,
    ) -> Result<Sent> {
        let (queue_bytes_max, frame_bytes_max) = (self.queue_bytes_max, self.frame_bytes_max);
        let blocked_full = self.blocked >= limits::SENDS_WAITING_MAX
            || self.blocked_bytes + payload.len() > limits::SENDS_WAITING_BYTES_MAX;
        let Some(link) = self.get(id) else {
            return Err(Error::new(ErrorKind::Internal, "the link is gone"));
        };
        let write = |link: &Link, out: &mut Vec<u8>| {
            frame::append(out, frame_bytes_max, |out| {
                peer::append_message(out, &link.head, payload, now.wall_ms);
            })
        };
        let bytes = link.head.len() + payload.len() + 64;
        if !link.blocked.is_empty() || !link.has_room(bytes, queue_bytes_max) {
            let Some(call) = call.filter(|_| !blocked_full) else {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("the queue to node '{}' is full", link.peer),
                ));
            };
            let mut frame = Vec::new();
            write(link, &mut frame)?;
            let frame_bytes = frame.len();
            link.blocked.push_back((call, frame));
            self.blocked += 1;
            self.blocked_bytes += frame_bytes;
            return Ok(Sent::Waits);
        }
        let before = link.queue.len();
        let mut queue = std::mem::take(&mut link.queue);
        let written = write(link, &mut queue);
        link.queue = queue;
        written?;
        link.queued += 1;
        let fills = before < limits::FLUSH_BYTES && link.queue.len() >= limits::FLUSH_BYTES;
        self.accepted += 1;
        self.go(id, fills, call)
    }

    /// Gets a message that was just queued on its way. `fills`: it made a batch full.
    fn go(&mut self, id: LinkId, fills: bool, call: Option<CallId>) -> Result<Sent> {
        let Some(link) = self.get(id) else {
            return Ok(Sent::Queued);
        };
        match link.state {
            State::Up => {
                if link.chunk.is_none() && (link.queued == 1 || fills) {
                    self.outputs.push(Output::Do(LinkAction::Flush(id)));
                }
                return Ok(Sent::Queued);
            }
            State::Idle if link.chunk.is_none() => self.connect(id),
            State::Idle | State::Retry { .. } | State::Connecting => {}
        }
        match (call, self.get(id)) {
            (Some(call), Some(link)) => {
                link.connecting.push(call);
                Ok(Sent::Waits)
            }
            _ => Ok(Sent::Queued),
        }
    }

    fn connect(&mut self, id: LinkId) {
        if let Some(link) = self.get(id) {
            link.state = State::Connecting;
            link.connection += 1;
            let action = LinkAction::Connect(id, link.connection, link.host.clone(), link.port);
            self.outputs.push(Output::Do(action));
        }
    }

    pub fn connected(&mut self, id: LinkId, connection: u64) {
        let Some(link) = self
            .get(id)
            .filter(|link| link.connection == connection && link.state == State::Connecting)
        else {
            self.outputs
                .push(Output::Do(LinkAction::Drop(id, connection)));
            return;
        };
        link.state = State::Up;
        link.open_pending = link.opens;
        link.written_on_connection = false;
        let flush = link.open_pending || link.queued > 0;
        let calls = std::mem::take(&mut link.connecting);
        let done = calls.into_iter().map(|call| Output::Done(call, Ok(())));
        self.outputs.extend(done);
        if flush {
            self.outputs.push(Output::Do(LinkAction::Flush(id)));
        }
    }

    pub fn connect_failed(&mut self, now: Now, id: LinkId, connection: u64, error: Error) {
        let Some(link) = self.get(id) else { return };
        if link.connection == connection && link.state == State::Connecting {
            link.state = State::Idle;
            self.after_loss(now, id, error);
        }
    }

    /// The connection ended, noticed by its reader.
    pub fn disconnected(&mut self, now: Now, id: LinkId, connection: u64, error: Error) {
        let Some(link) = self.get(id) else { return };
        if link.connection != connection || link.state != State::Up {
            return;
        }
        link.state = State::Idle;
        let writer_is_done = link.chunk.is_none();
        self.outputs
            .push(Output::Do(LinkAction::Drop(id, connection)));
        if writer_is_done {
            self.after_loss(now, id, error);
        }
    }

    /// The next bytes to write. `chunk_done` has to follow before there are more.
    pub fn take_chunk(&mut self, id: LinkId, now: Now) -> Option<(u64, Vec<u8>)> {
        let alias = self.alias.clone();
        let link = self.get(id)?;
        if link.state != State::Up || link.chunk.is_some() {
            return None;
        }
        let has_open = std::mem::take(&mut link.open_pending);
        let queue = std::mem::take(&mut link.queue);
        let bytes = if has_open {
            let mut bytes = Vec::with_capacity(queue.len() + 256);
            let stream = (link.incarnation, link.connection, link.written);
            // Its size is that of two names and some numbers.
            let _ = frame::append(&mut bytes, usize::MAX, |out| {
                peer::append_open(out, &link.head, stream, alias.as_ref(), now.wall_ms);
            });
            bytes.extend_from_slice(&queue);
            bytes
        } else {
            queue
        };
        if bytes.is_empty() {
            link.queue = bytes;
            return None;
        }
        link.chunk = Some(Chunk {
            connection: link.connection,
            messages: std::mem::take(&mut link.queued),
            bytes: bytes.len(),
            has_open,
        });
        Some((link.connection, bytes))
    }

    /// The writer is through with a chunk: all of it, or the first `written` bytes before an
    /// error.
    pub fn chunk_done(
        &mut self,
        now: Now,
        id: LinkId,
        bytes: Vec<u8>,
        written: usize,
        error: Option<Error>,
    ) {
        let Some(link) = self.get(id) else {
            return self.orphan_done(id, &bytes, written);
        };
        let Some(chunk) = link.chunk.take() else {
            return;
        };
        let complete = written == bytes.len();
        if complete {
            link.written_completely(chunk.messages, bytes);
        } else {
            link.written_partly(&chunk, bytes, written);
        }
        let is_current = link.connection == chunk.connection;
        match link.state {
            State::Up if complete || !is_current => self.unblock(id),
            State::Up => {
                self.disconnected(now, id, chunk.connection, error.unwrap_or_else(broken));
            }
            // The reader noticed the end first and left the rest to us.
            State::Idle => self.after_loss(now, id, error.unwrap_or_else(broken)),
            State::Retry { .. } | State::Connecting => {}
        }
    }

    /// A chunk comes back whose link has ended meanwhile: what was not written is lost.
    fn orphan_done(&mut self, id: LinkId, bytes: &[u8], written: usize) {
        let known = self.orphans.iter().position(|orphan| orphan.link == id);
        let Some(at) = known else { return };
        let Orphan { peer, chunk, .. } = self.orphans.swap_remove(at);
        let open = chunk.open_bytes(bytes);
        let (complete, _) = complete_frames(&bytes[open..], written.saturating_sub(open));
        let messages = chunk.messages - complete;
        if messages > 0 {
            self.lost += messages;
            self.outputs.push(Output::Event(NodeEvent::SendFailed {
                to: peer,
                messages,
                error: broken(),
            }));
        }
    }

    /// Lets in who waits for room, flushes what is queued, and ends a link that is drained.
    fn unblock(&mut self, id: LinkId) {
        let max = self.queue_bytes_max;
        let Some(link) = self.get(id) else { return };
        let (mut done, mut bytes) = (Vec::new(), 0);
        while let Some((_, frame)) = link.blocked.front() {
            if !link.has_room(frame.len(), max) {
                break;
            }
            if let Some((call, frame)) = link.blocked.pop_front() {
                link.queue.extend_from_slice(&frame);
                link.queued += 1;
                bytes += frame.len();
                done.push(call);
            }
        }
        let flush = link.queued > 0 && link.chunk.is_none() && link.state == State::Up;
        let ends = link.leaving && link.queued == 0 && link.chunk.is_none();
        self.blocked -= done.len();
        self.blocked_bytes -= bytes;
        self.accepted += done.len() as u64;
        let done = done.into_iter().map(|call| Output::Done(call, Ok(())));
        self.outputs.extend(done);
        if flush {
            self.outputs.push(Output::Do(LinkAction::Flush(id)));
        }
        if ends {
            self.remove(id);
        }
    }

    /// Decides what becomes of a link whose connection is gone.
    fn after_loss(&mut self, now: Now, id: LinkId, error: Error) {
        let Some(link) = self.get(id) else { return };
        if link.leaving {
            self.abandon(id, &error);
            self.remove(id);
        } else if link.queued > 0 || !link.blocked.is_empty() {
            link.failures += 1;
            if link.failures >= limits::LINK_ATTEMPTS_MAX {
                self.abandon(id, &error);
            } else {
                let at_ms = now.mono_ms + limits::LINK_RETRY_MS * u64::from(link.failures - 1);
                link.state = State::Retry { at_ms };
                self.note_retry(at_ms);
            }
        } else if link.opens && link.written_on_connection {
            // Nothing to send, but the receiver learns only from a new connection how much the
            // old one lost. One attempt: a peer that is gone lost nothing that counts.
            link.written_on_connection = false;
            link.failures = limits::LINK_ATTEMPTS_MAX;
            link.state = State::Retry { at_ms: now.mono_ms };
            self.note_retry(now.mono_ms);
        } else {
            link.failures = 0;
        }
    }

    /// Gives up what is queued.
    fn abandon(&mut self, id: LinkId, error: &Error) {
        let Some(link) = self.get(id) else { return };
        let messages = std::mem::take(&mut link.queued);
        link.queue = Vec::new();
        link.failures = 0;
        link.state = State::Idle;
        let to = link.peer.clone();
        let connecting = std::mem::take(&mut link.connecting);
        let blocked = std::mem::take(&mut link.blocked);
        self.blocked -= blocked.len();
        self.blocked_bytes -= blocked.iter().map(|(_, frame)| frame.len()).sum::<usize>();
        let calls = connecting
            .into_iter()
            .chain(blocked.into_iter().map(|(call, _)| call));
        let done = calls.map(|call| Output::Done(call, Err(error.clone())));
        self.outputs.extend(done);
        if messages > 0 {
            if !crate::plant::active("uncounted_abandon") {
                self.lost += messages;
            }
            self.outputs.push(Output::Event(NodeEvent::SendFailed {
                to,
                messages,
                error: error.clone(),
            }));
        }
    }

    fn remove(&mut self, id: LinkId) {
        if let Some(link) = self.get(id) {
            let (peer, connection) = (link.peer.clone(), link.connection);
            self.outputs.push(Output::Removed(peer, id));
            self.outputs
                .push(Output::Do(LinkAction::Drop(id, connection)));
            let slot = self.links.get_mut(id.slot as usize);
            let Some(mut link) = slot.and_then(Option::take) else {
                return;
            };
            if let Some(chunk) = link.chunk.take() {
                // How much of it was written is known when its writer is through.
                self.orphans.push(Orphan {
                    link: id,
                    peer: link.peer,
                    chunk,
                });
            } else if link.opens && link.written > 0 {
                if self.parked.len() >= limits::LINKS_PARKED_MAX {
                    self.parked.pop_front();
                }
                self.parked.push_back(Parked {
                    peer: link.peer,
                    host: link.host,
                    port: link.port,
                    incarnation: link.incarnation,
                    connection: link.connection,
                    written: link.written,
                });
            }
        }
    }

    /// The peer left. What is queued may still reach it; then the link ends.
    pub fn leave(&mut self, id: LinkId) {
        let Some(link) = self.get(id) else { return };
        link.leaving = true;
        let idle = link.queued == 0 && link.chunk.is_none() && link.blocked.is_empty();
        if idle || link.state == State::Idle && link.chunk.is_none() {
            let gone = Error::new(
                ErrorKind::ConnectionFailed,
                format!("node '{}' has left", link.peer),
            );
            self.abandon(id, &gone);
            self.remove(id);
        }
    }

    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.next_retry_ms
    }

    /// When the first link tries again; asked for after every step, so not looked for then.
    fn note_retry(&mut self, at_ms: u64) {
        self.next_retry_ms = Some(self.next_retry_ms.map_or(at_ms, |known| known.min(at_ms)));
    }

    pub fn tick(&mut self, now: Now) {
        if self.next_retry_ms.is_none_or(|at_ms| at_ms > now.mono_ms) {
            return;
        }
        self.next_retry_ms = None;
        for id in self.ids() {
            match self.get(id).map(|link| link.state) {
                Some(State::Retry { at_ms }) if at_ms <= now.mono_ms => self.connect(id),
                Some(State::Retry { at_ms }) => self.note_retry(at_ms),
                _ => {}
            }
        }
    }

    /// Whether nothing waits to be written.
    pub fn is_flushed(&self) -> bool {
        self.links
            .iter()
            .flatten()
            .all(|link| link.queued == 0 && link.chunk.is_none() && link.blocked.is_empty())
    }

    /// Gives up everything, because the node ends.
    pub fn abandon_all(&mut self, error: &Error) {
        for id in self.ids() {
            self.abandon(id, error);
            self.remove(id);
        }
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::ConnectionFailed, "the connection broke")
}
