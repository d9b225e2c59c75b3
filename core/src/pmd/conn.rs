//! One connection of the server: its socket and what waits on either side of it.

use std::io::{self, Write};

use mio::net::TcpStream;

#[cfg(unix)]
use crate::fork::CloseInChild;
use crate::limits;

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
    /// Whether `Server::partials` has an entry for it; one is enough.
    pub partial_watched: bool,
    pub out: Vec<u8>,
    /// Event bytes among `out`, at most.
    pub event_bytes: usize,
    pub state: ConnState,
    pub dirty: bool,
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
            partial_watched: false,
            out: Vec::new(),
            event_bytes: 0,
            state: ConnState::Open,
            dirty: false,
            paused: false,
        }
    }

    /// Whether its requests have to wait: for a name, or for it to read its answers.
    pub fn is_held(&self) -> bool {
        self.paused || self.out.len() > limits::ANSWERS_BYTES_MAX
    }

    /// Whether nothing more comes, of a connection that may not be read.
    pub fn is_at_end(&self) -> bool {
        let mut byte = [0u8; 1];
        match self.stream.peek(&mut byte) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Writes as much of what is queued as the socket takes. Fails when the connection broke.
    pub fn write_queued(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            if written == self.out.len() {
                break Ok(());
            }
            match self.stream.write(&self.out[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if written == self.out.len() {
            // An idle connection holds no buffer.
            self.out = Vec::new();
        } else {
            self.out.drain(..written);
        }
        self.event_bytes = self.event_bytes.min(self.out.len());
        result
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
