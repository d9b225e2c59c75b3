//! New connections, and those for which there is no room.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Token};

use super::{Server, ServerNotice};
use crate::limits;
use crate::net;
use crate::pmd::conn::Conn;
use crate::pmd::descriptors::Descriptors;
use crate::pmd::options::PmdOptions;
use crate::registry::Input;
use crate::wire::frame;
use crate::wire::pmd as message;

/// How many connections there may be.
#[derive(Debug)]
pub(super) struct Room {
    pub connections_max: usize,
    pub descriptors: Option<Descriptors>,
    /// A descriptor to give up when there are no more, so that whoever comes can be told.
    spare: Option<File>,
    /// Somebody was turned away since the last one was taken in, and that was reported.
    is_full: bool,
}

impl Room {
    pub fn new(options: &PmdOptions) -> Self {
        let wanted = (options.connections_max + limits::PMD_OWN_DESCRIPTORS) as u64;
        let descriptors = if options.raise_descriptor_limit {
            Descriptors::raise(wanted)
        } else {
            Descriptors::now()
        };
        let of_limit = descriptors.map_or(usize::MAX, |limit| {
            usize::try_from(limit.soft)
                .unwrap_or(usize::MAX)
                .saturating_sub(limits::PMD_OWN_DESCRIPTORS)
        });
        Self {
            connections_max: options.connections_max.min(of_limit.max(1)),
            descriptors,
            spare: spare(),
            is_full: false,
        }
    }

    /// What somebody is told for whom there is no room.
    fn refusal(&self, open: usize) -> String {
        let limit = match self.descriptors {
            Some(Descriptors { soft, hard }) => {
                format!("; this process may have {soft} descriptors (hard limit {hard})")
            }
            None => String::new(),
        };
        format!(
            "{}: {open} are open, at most {}{limit}",
            message::NO_ROOM,
            self.connections_max
        )
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

impl Server {
    pub(super) fn accept(&mut self, listener: usize, notice: &mut impl FnMut(ServerNotice<'_>)) {
        loop {
            let Some(accepting) = self.listeners.get(listener) else {
                return;
            };
            match accepting.accept() {
                Ok((stream, peer)) if self.open < self.room.connections_max => {
                    self.room.is_full = false;
                    self.accepted(stream, peer);
                }
                Ok((stream, _)) => self.turn_away(stream, notice),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => {
                    if self.room.spare.take().is_some() {
                        // The descriptor that is free now is for telling the next one.
                        let told = self.listeners[listener].accept();
                        if let Ok((stream, _)) = told {
                            self.turn_away(stream, notice);
                        }
                        self.room.spare = spare();
                        if self.room.spare.is_some() {
                            continue;
                        }
                    }
                    // Out of memory, or the host took the spare one: those in the backlog wait,
                    // those who are connected are served, and nothing spins.
                    self.report_full(&format!("cannot accept a connection: {error}"), notice);
                    self.accept_again_ms = Some(self.now().mono_ms + limits::ACCEPT_RETRY_MS);
                    return;
                }
            }
        }
    }

    /// Tells somebody that there is no room, as well as that can be done at once.
    fn turn_away(&mut self, mut stream: TcpStream, notice: &mut impl FnMut(ServerNotice<'_>)) {
        let text = self.room.refusal(self.open);
        self.report_full(&format!("connections are turned away: {text}"), notice);
        let mut answer = Vec::new();
        let append = |out: &mut Vec<u8>| {
            message::append_response(out, None, |out| message::append_error(out, &text));
        };
        let _ = frame::append(&mut answer, usize::MAX, append);
        // A new connection takes that much; what it has sent is read, or it would be reset before
        // it has read the answer.
        let told = stream
            .write(&answer)
            .is_ok_and(|written| written == answer.len());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let read = stream.read(&mut self.scratch).unwrap_or(0);
        tracing::trace!(told, read, "connection turned away");
    }

    fn report_full(&mut self, text: &str, notice: &mut impl FnMut(ServerNotice<'_>)) {
        if !std::mem::replace(&mut self.room.is_full, true) {
            notice(ServerNotice::Connection(text));
        }
    }

    fn accepted(&mut self, mut stream: TcpStream, peer: SocketAddr) {
        net::tune(&stream, &self.options.detection);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            // Connections of a slot that was given back may still be remembered somewhere.
            if self.generations.len() < self.conns.len() {
                self.generations.push(0);
            }
            (self.conns.len() - 1) as u32
        });
        self.generations[slot as usize] += 1;
        let id = self.id(slot);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) =
            self.poll
                .registry()
                .register(&mut stream, Token(slot as usize), interest)
        {
            tracing::warn!(%peer, %error, "connection refused");
            self.free.push(slot);
            return;
        }
        self.open += 1;
        self.conns[slot as usize] = Some(Conn::new(stream, id.generation));
        let input = Input::Opened(id, peer.ip().to_canonical().is_loopback());
        self.registry.step(self.now(), input, &mut self.outputs);
        // Its first request may be here already, and the edge is only reported once.
        self.again.push_back(id);
    }
}
