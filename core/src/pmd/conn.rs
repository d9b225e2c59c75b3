//! One connection of the server: its socket and what waits on either side of it.

use std::io::{self, Write};

use mio::net::TcpStream;

#[cfg(unix)]
use crate::fork::CloseInChild;
use crate::limits;
use crate::registry::{Feeds, Outgoing};
use crate::wire::frame;

#[derive(Debug)]
pub(super) struct Conn {
    // Before the socket, which must still be its own when this is dropped.
    #[cfg(unix)]
    _fork: CloseInChild,
    pub stream: TcpStream,
    pub generation: u32,
    /// Bytes of a frame that is not complete yet, or of requests that have to wait.
    pub pending: Vec<u8>,
    /// When the incomplete frame began; 0 = none.
    pub partial_since_ms: u64,
    /// A frame of it has been complete: whoever speaks here knows the protocol.
    pub has_spoken: bool,
    /// Whether `Server::partials` has an entry for it; one is enough.
    pub partial_watched: bool,
    pub out: Outgoing,
    pub state: ConnState,
    /// An answer waits to be written in this turn.
    pub dirty: bool,
    /// It is among those whose events wait to be written.
    pub behind: bool,
    /// The socket takes nothing until it says so.
    pub blocked: bool,
    pub paused: bool,
}

impl Conn {
    pub fn new(stream: TcpStream, generation: u32) -> Self {
        Self {
            #[cfg(unix)]
            _fork: CloseInChild::new(std::os::fd::AsRawFd::as_raw_fd(&stream)),
            stream,
            generation,
            pending: Vec::new(),
            partial_since_ms: 0,
            has_spoken: false,
            partial_watched: false,
            out: Outgoing::default(),
            state: ConnState::Open,
            dirty: false,
            behind: false,
            blocked: false,
            paused: false,
        }
    }

    /// When the incomplete frame has to be complete. Fewer than four bytes from someone who has
    /// not spoken yet are hardly a frame in the making.
    pub fn partial_deadline_ms(&self, frame_deadline_ms: u64) -> u64 {
        let is_header = self.pending.len() < frame::HEADER_BYTES && !self.has_spoken;
        let time_ms = if is_header {
            limits::FIRST_BYTES_MS.min(frame_deadline_ms)
        } else {
            frame_deadline_ms
        };
        self.partial_since_ms + time_ms
    }

    /// Whether its requests have to wait: for a name, or for it to read its answers.
    pub fn is_held(&self) -> bool {
        self.paused || self.out.answer_bytes() > limits::ANSWERS_BYTES_MAX
    }

    /// Whether nothing more comes, of a connection that may not be read.
    pub fn is_at_end(&self) -> bool {
        let mut byte = [0u8; 1];
        match self.stream.peek(&mut byte) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Writes as much of what waits as the socket takes. Fails when the connection broke.
    pub fn write_queued(&mut self, feeds: &mut Feeds) -> io::Result<()> {
        loop {
            let next = self.out.next(feeds);
            if next.is_empty() {
                return Ok(());
            }
            match self.stream.write(next) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.out.wrote(feeds, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnState {
    Open,
    /// Flushing a last answer; what still arrives is thrown away until the moment given.
    Lingering(u64),
    /// The peer has ended its side and the registry has closed it; what is queued is sent as
    /// long as the peer takes it. Holds how much was queued when that was last looked at.
    Ended(usize),
}
