//! The bare loop: one thread, one poll, two maps, the same frames. No checks, no bounds, no
//! events, no owners: what is left is the work that no registry can avoid.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use serde::Deserialize;

use crate::failure::Result;

const LISTENER: Token = Token(usize::MAX);
const READ_BYTES: usize = 64 << 10;
/// Any time will do; the real ones have that of the registration.
const HEARTBEAT: u64 = 1_700_000_000_000;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    payload: Arguments<'a>,
    #[serde(rename = "requestId")]
    id: &'a str,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(rename = "nodeId", default)]
    node_id: &'a str,
    #[serde(default)]
    alias: &'a str,
    #[serde(default)]
    host: &'a str,
    #[serde(default)]
    port: u16,
}

struct Node {
    alias: String,
    text: String,
}

#[derive(Default)]
struct Tables {
    nodes: HashMap<String, Node>,
    aliases: HashMap<String, String>,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    own: HashSet<String>,
}

/// Runs a child's role: serves until it is killed.
pub fn serve() -> Result<()> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listener = TcpListener::bind(address)?;
    println!("ready {}", listener.local_addr()?.port());
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1_024);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut tables = Tables::default();
    let mut scratch = vec![0; READ_BYTES];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections)?;
                continue;
            }
            let Some(slot) = connections.get_mut(event.token().0) else {
                continue;
            };
            if let Some(connection) = slot
                && !connection.turn(&mut tables, &mut scratch)
            {
                for id in &connection.own {
                    tables.remove(id);
                }
                *slot = None;
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    connections: &mut Vec<Option<Connection>>,
) -> Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut stream, Token(connections.len()), both)?;
        connections.push(Some(Connection {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            own: HashSet::new(),
        }));
    }
    Ok(())
}

impl Connection {
    /// Reads, answers and writes; false at the end of the connection.
    fn turn(&mut self, tables: &mut Tables, scratch: &mut [u8]) -> bool {
        let open = loop {
            match self.stream.read(scratch) {
                Ok(0) => break false,
                Ok(read) => self.input.extend_from_slice(&scratch[..read]),
                Err(error) => break error.kind() == ErrorKind::WouldBlock,
            }
        };
        let mut used = 0;
        while let Some(header) = self.input[used..].first_chunk::<4>() {
            let len = u32::from_be_bytes(*header) as usize;
            let Some(body) = self.input.get(used + 4..used + 4 + len) else {
                break;
            };
            used += 4 + len;
            let Ok(request) = serde_json::from_slice::<Request<'_>>(body) else {
                return false;
            };
            answer(&mut self.output, tables, &mut self.own, &request);
        }
        self.input.drain(..used);
        let mut written = 0;
        while written < self.output.len() {
            match self.stream.write(&self.output[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        self.output.drain(..written);
        open
    }
}

fn answer(
    out: &mut Vec<u8>,
    tables: &mut Tables,
    own: &mut HashSet<String>,
    request: &Request<'_>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(b"{\"type\":\"response\",\"requestId\":\"");
    out.extend_from_slice(request.id.as_bytes());
    out.extend_from_slice(b"\",\"payload\":{");
    match request.kind {
        "register" => {
            tables.register(&request.payload);
            own.insert(request.payload.node_id.to_owned());
            out.extend_from_slice(b"\"success\":true");
        }
        "unregister" => {
            tables.remove(request.payload.node_id);
            own.remove(request.payload.node_id);
            out.extend_from_slice(b"\"success\":true");
        }
        "resolve" => match tables.find(request.payload.alias) {
            Some(node) => {
                out.extend_from_slice(b"\"node\":");
                out.extend_from_slice(node.text.as_bytes());
            }
            None => out.extend_from_slice(b"\"error\":\"Node not found\""),
        },
        "list" => {
            out.extend_from_slice(b"\"nodes\":[");
            for (i, node) in tables.nodes.values().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(node.text.as_bytes());
            }
            out.push(b']');
        }
        _ => out.extend_from_slice(b"\"error\":\"Unknown message type\""),
    }
    out.extend_from_slice(b"}}");
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

impl Tables {
    fn register(&mut self, node: &Arguments<'_>) {
        let (id, alias, host, port) = (node.node_id, node.alias, node.host, node.port);
        let text = format!(
            "{{\"nodeId\":\"{id}\",\"alias\":\"{alias}\",\"host\":\"{host}\",\"port\":{port},\
             \"lastHeartbeat\":{HEARTBEAT}}}"
        );
        self.aliases.insert(alias.to_owned(), id.to_owned());
        let alias = alias.to_owned();
        self.nodes.insert(id.to_owned(), Node { alias, text });
    }

    fn remove(&mut self, id: &str) {
        if let Some(node) = self.nodes.remove(id) {
            self.aliases.remove(&node.alias);
        }
    }

    fn find(&self, name: &str) -> Option<&Node> {
        let id = self.aliases.get(name).map_or(name, String::as_str);
        self.nodes.get(id)
    }
}
