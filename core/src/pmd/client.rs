//! A blocking client of the PMD's protocol, for the command line and for bindings.
//!
//! A node has its own, event-driven connection to the PMD (`node_state`); this one asks one
//! question at a time.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::net;
use crate::wire::frame::{self, FrameReader};
use crate::wire::pmd::{
    Answer, Capabilities, FromPmd, LeaveCause, NodeInfo, Register, ToPmd, append_request,
    parse_from_pmd,
};

/// A change seen by a watching client.
#[derive(Debug, Clone, PartialEq)]
pub enum PmdEvent {
    /// A node joined.
    Join(NodeInfo),
    /// A node left, and why if the PMD says so.
    Leave(NodeInfo, LeaveCause),
}

/// A connection to a PMD.
#[derive(Debug)]
pub struct PmdClient {
    stream: TcpStream,
    reader: FrameReader,
    events: VecDeque<PmdEvent>,
    next_request: u64,
    timeout: Duration,
    caps: Capabilities,
}

impl PmdClient {
    /// Connects and finds out what the PMD can do.
    ///
    /// Errors: `pmd_unavailable` when nothing listens, `not_pmd` when something else does.
    pub fn connect(host: &str, port: u16) -> Result<Self> {
        let mut client = Self::connect_plain(host, port)?;
        client.hello(host, port)?;
        Ok(client)
    }

    /// Connects and speaks as an original client, without `hello`.
    pub fn connect_plain(host: &str, port: u16) -> Result<Self> {
        let timeout = Duration::from_millis(limits::REQUEST_TIMEOUT_MS_DEFAULT);
        let stream = net::connect(host, port, timeout).map_err(|error| {
            Error::new(
                ErrorKind::PmdUnavailable,
                format!("no PMD answers on {host}:{port}"),
            )
            .because(error)
        })?;
        Ok(Self {
            stream,
            reader: FrameReader::new(limits::PMD_ANSWER_BYTES_MAX),
            events: VecDeque::new(),
            next_request: 1,
            timeout,
            caps: Capabilities::default(),
        })
    }

    fn hello(&mut self, host: &str, port: u16) -> Result<()> {
        let wanted = Capabilities {
            // A client that only asks has no heartbeat to promise.
            heartbeat: false,
            ..Capabilities::all()
        };
        let handshake = Duration::from_millis(limits::HANDSHAKE_TIMEOUT_MS);
        let usual = std::mem::replace(&mut self.timeout, handshake);
        let answer = self.request(ToPmd::Hello(wanted));
        self.timeout = usual;
        match answer {
            Ok(answer) => {
                self.caps =
                    Capabilities::from_names(answer.caps.iter().map(String::as_str)).and(wanted);
                Ok(())
            }
            // An original says `Unknown message type` and is spoken to as an original.
            Err(error) if error.kind() == ErrorKind::Refused => Ok(()),
            Err(error) if error.kind() == ErrorKind::Timeout => Err(Error::new(
                ErrorKind::NotPmd,
                format!(
                    "something accepts connections on {host}:{port}, but does not answer: it is \
                     not a distflow PMD, or one that hangs"
                ),
            )
            .because(error)),
            Err(error) => Err(Error::new(
                ErrorKind::NotPmd,
                format!(
                    "something answers on {host}:{port}, but it is not a distflow PMD (Erlang's \
                     epmd also uses port 4369); stop it or choose another port"
                ),
            )
            .because(error)),
        }
    }

    /// Limits every further request; the default is 5 s.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Whether the PMD knows distflow's additions.
    pub fn is_extended(&self) -> bool {
        self.caps.rev
    }

    /// Registers a node that lives as long as this connection.
    pub fn register(&mut self, node: &Register) -> Result<()> {
        if self.caps.meta {
            return self.request(ToPmd::Register(node)).map(drop);
        }
        let plain = Register {
            caps: None,
            meta: None,
            session: None,
            ..node.clone()
        };
        self.request(ToPmd::Register(&plain)).map(drop)
    }

    /// Removes a node this connection registered.
    pub fn unregister(&mut self, node_id: &str) -> Result<()> {
        self.request(ToPmd::Unregister(node_id)).map(drop)
    }

    /// Looks up an alias or node id. Error `node_not_found` when there is none.
    pub fn resolve(&mut self, name: &str) -> Result<NodeInfo> {
        let answer = self.request(ToPmd::Resolve(name))?;
        answer.node.map(|node| *node).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidMessage,
                "the PMD's answer to resolve has no node",
            )
        })
    }

    /// The registered nodes, optionally only those whose alias starts with `prefix`.
    pub fn list(&mut self, prefix: Option<&str>) -> Result<Vec<NodeInfo>> {
        let asked = prefix.filter(|_| self.is_extended());
        let nodes = self.request(ToPmd::List(asked))?.nodes.unwrap_or_default();
        Ok(match prefix {
            // An original PMD was not asked for it.
            Some(prefix) => nodes
                .into_iter()
                .filter(|node| node.alias.as_deref().unwrap_or("").starts_with(prefix))
                .collect(),
            None => nodes,
        })
    }

    /// Refreshes a node.
    pub fn heartbeat(&mut self, node_id: &str) -> Result<()> {
        self.request(ToPmd::Heartbeat(node_id, None)).map(drop)
    }

    /// Subscribes to events and returns the nodes of that moment: none is missed in between.
    pub fn watch(&mut self) -> Result<Vec<NodeInfo>> {
        let answer = self.request(ToPmd::Watch)?;
        match answer.nodes {
            Some(nodes) => Ok(nodes),
            // An original gives no snapshot; events that arrive meanwhile are in `events`.
            None => self.list(None),
        }
    }

    /// Ends the PMD.
    pub fn shutdown(&mut self) -> Result<()> {
        self.request(ToPmd::Shutdown).map(drop)
    }

    /// Waits for the next event; `None` when none came in time.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<PmdEvent>> {
        let deadline = Instant::now() + timeout;
        while self.events.is_empty() {
            match self.receive(deadline)? {
                Some(body) => drop(self.take(&body)?),
                None => return Ok(None),
            }
        }
        Ok(self.events.pop_front())
    }

    fn request(&mut self, request: ToPmd<'_>) -> Result<Answer> {
        let number = self.next_request;
        self.next_request += 1;
        let mut bytes = Vec::new();
        frame::append(&mut bytes, limits::PMD_FRAME_BYTES_MAX, |out| {
            append_request(out, number, request);
        })?;
        self.stream
            .write_all(&bytes)
            .map_err(|error| Error::not_connected().because(Error::io("write", &error)))?;
        let deadline = Instant::now() + self.timeout;
        loop {
            let Some(body) = self.receive(deadline)? else {
                return Err(Error::request_timeout());
            };
            if let Some((id, answer)) = self.take(&body)? {
                // An answer to an earlier request that timed out is ignored.
                if id == number {
                    return answer;
                }
            }
        }
    }

    /// Sorts a frame: an event is queued, an answer returned with its request's number.
    fn take(&mut self, body: &[u8]) -> Result<Option<(u64, Result<Answer>)>> {
        match parse_from_pmd(body)? {
            FromPmd::Response {
                request_id: Some(id),
                payload,
            } => return Ok(Some((id, Answer::parse(payload)))),
            FromPmd::Join { peer, .. } => self.events.push_back(PmdEvent::Join(*peer)),
            FromPmd::Leave { peer, cause, .. } => {
                self.events.push_back(PmdEvent::Leave(*peer, cause));
            }
            FromPmd::Response { .. } | FromPmd::Probe(_) | FromPmd::Other => {}
        }
        Ok(None)
    }

    fn receive(&mut self, deadline: Instant) -> Result<Option<bytes::Bytes>> {
        let broken = |error: &std::io::Error| {
            Error::not_connected().because(Error::io("read from the PMD", error))
        };
        let mut chunk = [0u8; 16 << 10];
        loop {
            if let Some(body) = self.reader.next_frame()? {
                return Ok(Some(body));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream
                .set_read_timeout(Some(left))
                .map_err(|error| broken(&error))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Error::not_connected()),
                Ok(read) => self.reader.push(&chunk[..read]),
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock
                            | std::io::ErrorKind::TimedOut
                            | std::io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}
