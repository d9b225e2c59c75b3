//! A blocking client of the PMD's protocol, for the command line and for bindings.
//!
//! A node has its own, event-driven connection to the PMD (`node_state`); this one asks one
//! question at a time.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::net;
#[cfg(unix)]
use crate::runtime::Readable;
use crate::wire::frame::{self, FrameReader};
use crate::wire::pmd::{
    Answer, Capabilities, FromPmd, LeaveCause, NodeInfo, PmdStatus, Register, ToPmd,
    append_request, parse_from_pmd,
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
    /// What the socket was last told.
    write_timeout: Option<Duration>,
    caps: Capabilities,
    /// What the PMD said that is no answer to a request: why it is about to hang up.
    last_words: Option<Error>,
}

/// Ends what a [`PmdClient`] waits for, from another thread.
#[derive(Debug)]
pub struct Interrupter(TcpStream);

impl Interrupter {
    /// Ends the client's connection: the request or wait that runs fails at once with
    /// `pmd_unavailable`, and so does everything after it.
    pub fn interrupt(&self) {
        // It may have ended by itself.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

const TIMEOUT_DEFAULT: Duration = Duration::from_millis(limits::REQUEST_TIMEOUT_MS_DEFAULT);

impl PmdClient {
    /// Connects and finds out what the PMD can do, within 5 s.
    ///
    /// Errors: those of [`PmdClient::connect_within`].
    pub fn connect(host: &str, port: u16) -> Result<Self> {
        Self::connect_within(host, port, TIMEOUT_DEFAULT)
    }

    /// Connects and finds out what the PMD can do. The time is for both together, and limits
    /// every further request. Looking up a host name, other than `localhost`, comes on top.
    ///
    /// Errors: `pmd_unavailable` when nothing listens, `not_pmd` when something else does,
    /// `timeout`.
    pub fn connect_within(host: &str, port: u16, timeout: Duration) -> Result<Self> {
        let start = Instant::now();
        let mut client = Self::open(host, port, timeout)?;
        client.hello(host, port, timeout, start)?;
        Ok(client)
    }

    /// Connects and speaks as an original client, without `hello`.
    pub fn connect_plain(host: &str, port: u16) -> Result<Self> {
        Self::open(host, port, TIMEOUT_DEFAULT)
    }

    fn open(host: &str, port: u16, timeout: Duration) -> Result<Self> {
        let stream = net::connect(host, port, timeout).map_err(|error| {
            if error.kind() == ErrorKind::Timeout {
                return no_answer(host, port, timeout).because(error);
            }
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
            write_timeout: None,
            caps: Capabilities::default(),
            last_words: None,
        })
    }

    /// A handle by which another thread can end what this client waits for.
    ///
    /// Errors: `io` when there are no more file descriptors.
    pub fn interrupter(&self) -> Result<Interrupter> {
        self.stream
            .try_clone()
            .map(Interrupter)
            .map_err(|error| Error::io("cannot duplicate the connection to the PMD", &error))
    }

    fn hello(&mut self, host: &str, port: u16, timeout: Duration, start: Instant) -> Result<()> {
        let wanted = Capabilities {
            // A client that only asks has no heartbeat to promise.
            heartbeat: false,
            ..Capabilities::all()
        };
        let handshake = Duration::from_millis(limits::HANDSHAKE_TIMEOUT_MS);
        let left = timeout.saturating_sub(start.elapsed());
        match self.request_within(ToPmd::Hello(wanted), left.min(handshake)) {
            Ok(answer) => {
                self.caps =
                    Capabilities::from_names(answer.caps.iter().map(String::as_str)).and(wanted);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Busy => Err(no_room(host, port, &error)),
            // An original says `Unknown message type` and is spoken to as an original.
            Err(error) if error.kind() == ErrorKind::Refused => Ok(()),
            // The caller was in more of a hurry than a PMD may be asked to be.
            Err(error) if error.kind() == ErrorKind::Timeout && left < handshake => {
                Err(no_answer(host, port, timeout).because(error))
            }
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

    /// Limits every further request; the default is 5 s. Zero is over at once.
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

    /// What the PMD says of itself.
    ///
    /// Errors: `refused` from an original or an earlier version.
    pub fn status(&mut self) -> Result<PmdStatus> {
        let answer = self.request(ToPmd::Status)?;
        answer.status.map(|status| *status).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidMessage,
                "the PMD's answer to status has no status",
            )
        })
    }

    /// Asks the PMD to share its port, which gives its nodes, and then (`done`) to end.
    pub(super) fn take_over(&mut self, done: bool) -> Result<Vec<NodeInfo>> {
        let answer = self.request(ToPmd::TakeOver { done })?;
        Ok(answer.nodes.unwrap_or_default())
    }

    /// Ends the PMD.
    pub fn shutdown(&mut self) -> Result<()> {
        self.request(ToPmd::Shutdown).map(drop)
    }

    /// Waits for the next event; `None` when none came in time.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<PmdEvent>> {
        let deadline = Instant::now().checked_add(timeout);
        while self.events.is_empty() {
            match self.receive(deadline)? {
                Some(body) => drop(self.take(&body)?),
                None => return Ok(None),
            }
        }
        Ok(self.events.pop_front())
    }

    /// The next event that has arrived; waits for none.
    pub fn try_event(&mut self) -> Result<Option<PmdEvent>> {
        let mut chunk = [0u8; 16 << 10];
        loop {
            while self.events.is_empty()
                && let Some(body) = self.reader.next_frame()?
            {
                self.take(&body)?;
            }
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match self.read_at_once(&mut chunk) {
                Ok(0) => return Err(Error::not_connected()),
                Ok(read) => self.reader.push(&chunk[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if is_over(&error) => return Ok(None),
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    /// Puts an event back that [`PmdClient::try_event`] gave: it is the next one again.
    pub fn put_back(&mut self, event: PmdEvent) {
        self.events.push_front(event);
    }

    fn read_at_once(&mut self, chunk: &mut [u8]) -> std::io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let read = self.stream.read(chunk);
        self.stream.set_nonblocking(false)?;
        read
    }

    /// Tells when something has arrived from the PMD, for waits without a lock on the client.
    ///
    /// Errors: `io` when there are no more file descriptors.
    #[cfg(unix)]
    pub fn arrivals(&self) -> Result<Readable> {
        let stream = self
            .stream
            .try_clone()
            .map_err(|error| Error::io("cannot duplicate the connection to the PMD", &error))?;
        Readable::new(stream.into())
    }

    fn request(&mut self, request: ToPmd<'_>) -> Result<Answer> {
        self.request_within(request, self.timeout)
    }

    fn request_within(&mut self, request: ToPmd<'_>, timeout: Duration) -> Result<Answer> {
        if timeout.is_zero() {
            return Err(Error::request_timeout());
        }
        let deadline = Instant::now().checked_add(timeout);
        let number = self.next_request;
        self.next_request += 1;
        let mut bytes = Vec::new();
        frame::append(&mut bytes, limits::PMD_FRAME_BYTES_MAX, |out| {
            append_request(out, number, request);
        })?;
        self.write(&bytes, timeout)?;
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

    fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<()> {
        let timeout = timeout.min(SOCKET_TIMEOUT_MAX);
        let written = if self.write_timeout == Some(timeout) {
            Ok(())
        } else {
            self.stream.set_write_timeout(Some(timeout))
        };
        self.write_timeout = Some(timeout);
        let Err(error) = written.and_then(|()| self.stream.write_all(bytes)) else {
            return Ok(());
        };
        // Half a frame may be under way, after which no other can follow.
        let _ = self.stream.shutdown(Shutdown::Both);
        Err(if is_over(&error) {
            Error::request_timeout()
        } else {
            Error::not_connected().because(Error::io("write", &error))
        })
    }

    /// Sorts a frame: an event is queued, an answer returned with its request's number.
    fn take(&mut self, body: &[u8]) -> Result<Option<(u64, Result<Answer>)>> {
        match parse_from_pmd(body)? {
            FromPmd::Response {
                request_id: Some(id),
                payload,
            } => return Ok(Some((id, Answer::parse(payload)))),
            FromPmd::Join { peer, .. } => {
                let peer = NodeInfo::parse(peer.get())?;
                self.events.push_back(PmdEvent::Join(peer));
            }
            FromPmd::Leave { peer, cause, .. } => {
                let peer = NodeInfo::parse(peer.get())?;
                self.events.push_back(PmdEvent::Leave(peer, cause));
            }
            FromPmd::Response { payload, .. } => {
                self.last_words = Answer::parse_last_words(payload);
            }
            FromPmd::Probe(_) | FromPmd::Other => {}
        }
        Ok(None)
    }

    /// The next frame; `None` when the deadline passed first. No deadline is none.
    fn receive(&mut self, deadline: Option<Instant>) -> Result<Option<bytes::Bytes>> {
        let mut chunk = [0u8; 16 << 10];
        loop {
            if let Some(body) = self.reader.next_frame()? {
                return Ok(Some(body));
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            self.stream
                .set_read_timeout(left.map(|left| left.min(SOCKET_TIMEOUT_MAX)))
                .map_err(|error| broken(&error))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(self.last_words.take().unwrap_or_else(Error::not_connected)),
                Ok(read) => self.reader.push(&chunk[..read]),
                Err(error) if is_over(&error) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(self.last_words.take().unwrap_or_else(|| broken(&error)));
                }
            }
        }
    }
}

/// Some systems refuse longer times; who waits longer waits again.
const SOCKET_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

fn broken(error: &std::io::Error) -> Error {
    Error::not_connected().because(Error::io("read from the PMD", error))
}

/// Whether a socket's time for one read or write is over; systems differ in how they say so.
fn is_over(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    )
}

fn no_room(host: &str, port: u16, said: &Error) -> Error {
    Error::new(
        ErrorKind::Busy,
        format!("the PMD on {host}:{port} takes no more connections: {said}"),
    )
}

fn no_answer(host: &str, port: u16, timeout: Duration) -> Error {
    let ms = timeout.as_millis();
    Error::new(
        ErrorKind::Timeout,
        format!("no PMD answers on {host}:{port} within {ms} ms"),
    )
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::pmd::{Pmd, PmdOptions};

    const LIMIT: Duration = Duration::from_secs(30);

    fn pmd() -> Pmd {
        Pmd::start(PmdOptions {
            port: 0,
            ..PmdOptions::default()
        })
        .unwrap()
    }

    #[test]
    fn no_time_is_a_timeout() {
        let pmd = pmd();
        let error = PmdClient::connect_within("localhost", pmd.port(), Duration::ZERO);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout);
        let mut client = PmdClient::connect_within("localhost", pmd.port(), LIMIT).unwrap();
        client.set_timeout(Duration::ZERO);
        assert_eq!(client.list(None).unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(client.next_event(Duration::ZERO), Ok(None));
        // The connection is as good as before.
        client.set_timeout(Duration::MAX);
        assert_eq!(client.list(None), Ok(Vec::new()));
    }

    #[test]
    fn time_is_for_connecting_and_the_first_answer() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        // The time of a stranger would be over later, and name another kind.
        let error = PmdClient::connect_within("localhost", port, Duration::from_millis(30));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("within 30 ms"), "{error}");
    }

    #[test]
    fn an_interrupt_ends_what_waits_on_another_thread() {
        fn check<T: Send + Sync>(_: &T) {}
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let mut asks = PmdClient::connect_plain("127.0.0.1", port).unwrap();
        asks.set_timeout(Duration::MAX);
        let pmd = pmd();
        let mut watches = PmdClient::connect("localhost", pmd.port()).unwrap();
        watches.watch().unwrap();
        let handles = [asks.interrupter().unwrap(), watches.interrupter().unwrap()];
        check(&handles);
        let asking = std::thread::spawn(move || asks.list(None).unwrap_err());
        let watching = std::thread::spawn(move || {
            let error = watches.next_event(Duration::MAX).unwrap_err();
            assert_eq!(watches.list(None).unwrap_err().kind(), error.kind());
            error
        });
        // Whether the threads wait by now or not yet, the outcome is the same.
        for handle in &handles {
            handle.interrupt();
            handle.interrupt();
        }
        for thread in [asking, watching] {
            assert_eq!(thread.join().unwrap().kind(), ErrorKind::PmdUnavailable);
        }
    }
}
