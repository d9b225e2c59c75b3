//! Frames on a blocking socket: a 4-byte big-endian length and that many bytes.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::failure::{Result, failure};

const READ_BYTES: usize = 256 << 10;

/// Appends a frame.
pub fn append(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
}

/// A listener on a free loopback port, and the port.
pub fn listen() -> Result<(TcpListener, u16)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// A connection to a loopback port, without delay.
pub fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Accepts one connection.
pub fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A port that is free at this moment.
pub fn free_port() -> Result<u16> {
    Ok(listen()?.1)
}

/// Waits until a port answers.
pub fn wait_for(port: u16) -> Result<()> {
    for _ in 0..2_000 {
        if connect(port).is_ok() {
            return Ok(());
        }
        // A server that prints nothing can only be asked again.
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(failure(format!("nothing answers on port {port}")))
}

/// Reads frames with large reads.
#[derive(Debug)]
pub struct Reader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
        }
    }
}

impl Reader {
    /// The next complete frame that was read already.
    pub fn next_frame(&mut self) -> Option<&[u8]> {
        let held = &self.buffer[self.start..self.end];
        let header = held.first_chunk::<4>()?;
        let len = u32::from_be_bytes(*header) as usize;
        if held.len() < 4 + len {
            return None;
        }
        let body = self.start + 4..self.start + 4 + len;
        self.start = body.end;
        Some(&self.buffer[body])
    }

    /// Reads once; fails at the end of the stream.
    pub fn fill(&mut self, mut stream: impl Read) -> Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => Err(failure("the connection ended")),
            Ok(read) => {
                self.end += read;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for a frame and looks at it.
    pub fn wait<R>(&mut self, stream: &TcpStream, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
        // A borrow cannot be returned out of a loop that also reads, hence the copy of indices.
        loop {
            let before = self.start;
            if self.next_frame().is_some() {
                let body = before + 4..self.start;
                return Ok(look(&self.buffer[body]));
            }
            self.fill(stream)?;
        }
    }
}
