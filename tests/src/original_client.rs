//! A client that speaks the originals' bytes.

use std::collections::VecDeque;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

use crate::frames::{frame, read_frame};
use crate::wait::LIMIT;

/// A blocking connection to a PMD. Every read is bounded by [`LIMIT`] and panics past it.
#[derive(Debug)]
pub struct OriginalClient {
    stream: BufReader<TcpStream>,
    requests: u64,
    /// Events that arrived while a response was awaited, as text.
    events: VecDeque<String>,
}

/// The payload of `register` as the originals write it; an empty alias is left out.
pub fn register_payload(id: &str, alias: &str, port: u16) -> String {
    let alias = match alias {
        "" => String::new(),
        alias => format!(r#""alias":"{alias}","#),
    };
    format!(r#"{{"nodeId":"{id}",{alias}"host":"localhost","port":{port}}}"#)
}

impl OriginalClient {
    /// Connects to a port of this machine.
    pub fn connect(port: u16) -> Self {
        Self::connect_to(([127, 0, 0, 1], port).into())
    }

    /// Connects to an address.
    pub fn connect_to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        Self::over(stream)
    }

    /// Speaks over a connection that exists.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self {
            stream: BufReader::new(stream),
            requests: 0,
            events: VecDeque::new(),
        }
    }

    /// The socket, for what this type has no word for.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// This end's address.
    pub fn local_addr(&self) -> SocketAddr {
        self.socket().local_addr().unwrap()
    }

    /// Bounds every further read.
    pub fn set_limit(&self, limit: Duration) {
        self.socket().set_read_timeout(Some(limit)).unwrap();
    }

    /// Writes bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes).expect("cannot send");
    }

    /// Writes bytes as they are, to an end that may have closed.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Writes one frame with that text.
    pub fn send_text(&mut self, text: impl AsRef<[u8]>) {
        self.send_bytes(&frame(text));
    }

    /// Text of the next request, which gets the next request id.
    pub fn request_text(&mut self, kind: &str, payload: &str) -> String {
        self.requests += 1;
        let number = self.requests;
        format!(r#"{{"type":"{kind}","payload":{payload},"requestId":"req_{number}"}}"#)
    }

    /// Sends a request and returns its id.
    pub fn send(&mut self, kind: &str, payload: &str) -> String {
        let text = self.request_text(kind, payload);
        self.send_text(text);
        format!("req_{}", self.requests)
    }

    /// Sends a request and returns the whole text of its response. Events that come first are
    /// kept for [`OriginalClient::event_text`].
    pub fn call_text(&mut self, kind: &str, payload: &str) -> String {
        self.send(kind, payload);
        self.response_text()
    }

    /// Sends a request and returns the payload of its response.
    pub fn call(&mut self, kind: &str, payload: &str) -> Value {
        let id = self.send(kind, payload);
        let response = parse(&self.response_text());
        assert_eq!(response["requestId"], id.as_str(), "not ours: {response}");
        response["payload"].clone()
    }

    /// Sends a request that must fail and returns the text of the error.
    pub fn refused(&mut self, kind: &str, payload: &str) -> String {
        let answer = self.call(kind, payload);
        let error = answer["error"].as_str();
        error.unwrap_or_else(|| panic!("accepted: {answer}")).into()
    }

    /// Registers a node, which must succeed.
    pub fn register(&mut self, id: &str, alias: &str, port: u16) -> Value {
        let answer = self.call("register", &register_payload(id, alias, port));
        assert_eq!(answer["success"], true, "{id}: {answer}");
        answer
    }

    /// Tries to register a node that must be refused and returns the text of the error.
    pub fn register_refused(&mut self, id: &str, alias: &str, port: u16) -> String {
        self.refused("register", &register_payload(id, alias, port))
    }

    /// Watches, and returns the answer's payload.
    pub fn watch(&mut self) -> Value {
        let answer = self.call("watch", "{}");
        assert_eq!(answer["success"], true, "{answer}");
        answer
    }

    /// Announces capabilities, as no original does, and returns the answer's payload.
    pub fn hello(&mut self, caps: &[&str]) -> Value {
        let caps = serde_json::to_string(caps).unwrap();
        let answer = self.call("hello", &format!(r#"{{"v":1,"caps":{caps}}}"#));
        assert_eq!(answer["error"], Value::Null, "{answer}");
        answer
    }

    /// The registered nodes, as `list` gives them.
    pub fn list(&mut self) -> Vec<Value> {
        let answer = self.call("list", "{}");
        answer["nodes"].as_array().expect("no nodes").clone()
    }

    /// Ids of the registered nodes in the order of `list`.
    pub fn ids(&mut self) -> Vec<String> {
        self.list().iter().map(id_of).collect()
    }

    /// The node of that alias or id, if there is one.
    pub fn resolve(&mut self, name: &str) -> Option<Value> {
        let answer = self.call("resolve", &format!(r#"{{"alias":"{name}"}}"#));
        if answer["error"] == "Node not found" {
            return None;
        }
        assert!(
            answer["node"].is_object(),
            "neither node nor error: {answer}"
        );
        Some(answer["node"].clone())
    }

    /// The next frame's text, whatever it is; `None` at the end of the stream.
    pub fn frame(&mut self) -> Option<String> {
        match read_frame(&mut self.stream) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no further frame: {error}"),
        }
    }

    /// Text of the next response; events that come first are kept.
    pub fn response_text(&mut self) -> String {
        loop {
            let text = self.frame().expect("closed instead of a response");
            if !is_event(&text) {
                return text;
            }
            self.events.push_back(text);
        }
    }

    /// Text of the next event.
    pub fn event_text(&mut self) -> String {
        if let Some(text) = self.events.pop_front() {
            return text;
        }
        let text = self.frame().expect("closed instead of an event");
        assert!(is_event(&text), "not an event: {text}");
        text
    }

    /// Payload of the next event.
    pub fn event(&mut self) -> Value {
        parse(&self.event_text())["payload"].clone()
    }

    /// Name and node id of the next event, as `peer:join 0123`.
    pub fn change(&mut self) -> String {
        change_of(&self.event())
    }

    /// Everything announced up to now, as `peer:join 0123`. A request is answered after every
    /// event before it, so nothing is missed and nothing is waited for.
    pub fn changes(&mut self) -> Vec<String> {
        self.call("resolve", r#"{"alias":"no such node"}"#);
        self.events
            .drain(..)
            .map(|text| change_of(&parse(&text)["payload"]))
            .collect()
    }

    /// Sends the end of the stream; what the PMD still says can be read.
    pub fn half_close(&self) {
        self.socket().shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset, as the kernel does for a process with unread data.
    pub fn reset(self) {
        SockRef::from(self.socket())
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// Reads to the end and panics when anything but the end comes.
    pub fn expect_end(&mut self) {
        if let Some(text) = self.frame() {
            panic!("not closed, but said {text}");
        }
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn is_event(text: &str) -> bool {
    parse(text)["type"] == "event"
}

fn id_of(node: &Value) -> String {
    node["nodeId"].as_str().expect("no nodeId").into()
}

fn change_of(event: &Value) -> String {
    let name = event["event"].as_str().expect("no event name");
    format!("{name} {}", id_of(&event["peer"]))
}
