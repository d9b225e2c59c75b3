//! A client on a raw blocking socket.

use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;

use super::requests::{Batch, request};
use crate::failure::{Result, failure};
use crate::frames::{self, Reader};

/// Nodes that one connection may register.
const NODES_PER_CONNECTION: usize = 64;

/// One connection to a PMD.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    reader: Reader,
}

impl RawClient {
    pub fn connect(port: u16) -> Result<Self> {
        Ok(Self {
            stream: frames::connect(port)?,
            reader: Reader::default(),
        })
    }

    /// Writes all requests at once and checks every answer.
    pub fn exchange(&mut self, batch: &Batch) -> Result<()> {
        self.stream.write_all(&batch.bytes)?;
        for answer in &batch.answers {
            self.reader.wait(&self.stream, |body| {
                if body.starts_with(answer) {
                    return Ok(());
                }
                Err(failure(format!(
                    "answer '{}' instead of '{}'",
                    String::from_utf8_lossy(body),
                    String::from_utf8_lossy(answer)
                )))
            })??;
        }
        Ok(())
    }

    /// Asks for all nodes; at least so many have to be in the answer.
    pub fn list(&mut self, nodes: usize) -> Result<()> {
        let mut bytes = Vec::new();
        request(&mut bytes, "list", "{}", 1);
        self.stream.write_all(&bytes)?;
        let len = self.reader.wait(&self.stream, <[u8]>::len)?;
        // A node is never shorter than this.
        if len < nodes * 80 {
            return Err(failure(format!("a list of {len} bytes")));
        }
        Ok(())
    }

    /// The socket; what was read ahead stays here.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// Registers nodes over as many connections as that takes. They leave when it is dropped.
pub fn prefill(port: u16, nodes: Range<usize>) -> Result<Vec<TcpStream>> {
    let mut connections = Vec::new();
    for first in nodes.clone().step_by(NODES_PER_CONNECTION) {
        let last = (first + NODES_PER_CONNECTION).min(nodes.end);
        let mut client = RawClient::connect(port)?;
        client.exchange(&Batch::register(first..last))?;
        connections.push(client.into_stream());
    }
    Ok(connections)
}
