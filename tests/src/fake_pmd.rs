//! A PMD that behaves as the original of generation H does, for tests of clients.
//!
//! Written from its description, with its known defects left out only where they would make
//! tests hang. It knows nothing of `hello`.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::frames::{frame, read_frame};

/// A running fake. Dropping it closes every connection, as a killed daemon would.
#[derive(Debug)]
pub struct FakePmd {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    conns: HashMap<u64, TcpStream>,
    next_conn: u64,
    watchers: Vec<u64>,
    /// In order of registration: the node object, and the connection it is bound to.
    nodes: Vec<(Value, u64)>,
    requests: Vec<String>,
    ended: bool,
}

impl FakePmd {
    /// Starts one on a free port.
    pub fn start() -> Self {
        Self::start_on(0)
    }

    /// Starts one on a port.
    pub fn start_on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("cannot listen");
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut state = lock(&shared);
                if state.ended {
                    return;
                }
                stream.set_nodelay(true).unwrap();
                let conn = state.next_conn;
                state.next_conn += 1;
                state.conns.insert(conn, stream.try_clone().unwrap());
                drop(state);
                let shared = shared.clone();
                std::thread::spawn(move || serve(&shared, conn, stream));
            }
        });
        Self { port, state }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The text of every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.state).requests.clone()
    }

    /// Ids of the registered nodes in order of registration.
    pub fn ids(&self) -> Vec<String> {
        let state = lock(&self.state);
        let ids = state.nodes.iter().map(|(node, _)| text(&node["nodeId"]));
        ids.collect()
    }
}

impl Drop for FakePmd {
    fn drop(&mut self) {
        lock(&self.state).end();
        // Wakes the listening thread, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("a thread of the fake PMD panicked")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

fn serve(state: &Mutex<State>, conn: u64, mut stream: TcpStream) {
    while let Ok(Some(body)) = read_frame(&mut stream) {
        let mut state = lock(state);
        state.requests.push(body.clone());
        // What it cannot parse it ignores.
        if let Ok(message) = serde_json::from_str::<Value>(&body) {
            state.handle(conn, &message);
        }
    }
    lock(state).closed(conn);
}

impl State {
    fn handle(&mut self, conn: u64, message: &Value) {
        let payload = &message["payload"];
        let id = text(&payload["nodeId"]);
        match message["type"].as_str() {
            Some("register") => self.register(conn, message),
            Some("unregister") => {
                // This generation announces before it answers.
                let found = self.remove(|node, _| node["nodeId"] == id.as_str());
                let answer = if found { success() } else { not_found() };
                self.answer(conn, message, &answer);
            }
            Some("resolve") => {
                let name = text(&payload["alias"]);
                let by = |member: &str| {
                    let nodes = self.nodes.iter().map(|(node, _)| node);
                    nodes.clone().find(|node| node[member] == name.as_str())
                };
                let answer = match by("alias").or_else(|| by("nodeId")) {
                    Some(node) => json!({ "node": node }),
                    None => not_found(),
                };
                self.answer(conn, message, &answer);
            }
            Some("list") => {
                let nodes: Vec<&Value> = self.nodes.iter().map(|(node, _)| node).collect();
                let answer = json!({ "nodes": nodes });
                self.answer(conn, message, &answer);
            }
            Some("heartbeat") => {
                let known = self
                    .nodes
                    .iter_mut()
                    .find(|(node, _)| node["nodeId"] == id.as_str());
                let answer = match known {
                    Some((node, _)) => {
                        node["lastHeartbeat"] = now_ms().into();
                        success()
                    }
                    None => not_found(),
                };
                self.answer(conn, message, &answer);
            }
            Some("watch") => {
                if !self.watchers.contains(&conn) {
                    self.watchers.push(conn);
                }
                self.answer(conn, message, &success());
            }
            Some("shutdown") => {
                self.answer(conn, message, &success());
                self.end();
            }
            _ => self.answer(conn, message, &json!({"error": "Unknown message type"})),
        }
    }

    fn register(&mut self, conn: u64, message: &Value) {
        let mut node = message["payload"].clone();
        let (id, alias) = (text(&node["nodeId"]), text(&node["alias"]));
        let holder = self.nodes.iter().find(|(node, _)| {
            !alias.is_empty() && node["alias"] == alias.as_str() && node["nodeId"] != id.as_str()
        });
        if holder.is_some() {
            let error = format!("Alias '{alias}' already in use");
            return self.answer(conn, message, &json!({ "error": error }));
        }
        node["lastHeartbeat"] = now_ms().into();
        let known = self
            .nodes
            .iter_mut()
            .find(|(node, _)| node["nodeId"] == id.as_str());
        let is_new = known.is_none();
        match known {
            Some(known) => *known = (node.clone(), conn),
            None => self.nodes.push((node.clone(), conn)),
        }
        self.answer(conn, message, &success());
        if is_new {
            self.announce("peer:join", &node);
        }
    }

    fn remove(&mut self, which: impl Fn(&Value, u64) -> bool) -> bool {
        let nodes = std::mem::take(&mut self.nodes);
        let (gone, kept): (Vec<_>, Vec<_>) = nodes
            .into_iter()
            .partition(|(node, conn)| which(node, *conn));
        self.nodes = kept;
        for (node, _) in &gone {
            self.announce("peer:leave", node);
        }
        !gone.is_empty()
    }

    fn closed(&mut self, conn: u64) {
        self.conns.remove(&conn);
        self.watchers.retain(|&watcher| watcher != conn);
        self.remove(|_, owner| owner == conn);
    }

    fn announce(&mut self, event: &str, peer: &Value) {
        let message = json!({"type": "event", "payload": {"event": event, "peer": peer}});
        for conn in self.watchers.clone() {
            self.write(conn, &message);
        }
    }

    fn answer(&mut self, conn: u64, request: &Value, payload: &Value) {
        let mut message = json!({"type": "response", "payload": payload});
        if let Some(id) = request.get("requestId") {
            message["requestId"] = id.clone();
        }
        self.write(conn, &message);
    }

    fn write(&mut self, conn: u64, message: &Value) {
        if let Some(stream) = self.conns.get_mut(&conn) {
            // A client that went away is noticed by its reading thread.
            let _ = stream.write_all(&frame(message.to_string()));
        }
    }

    fn end(&mut self) {
        self.ended = true;
        for stream in self.conns.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn success() -> Value {
    json!({"success": true})
}

fn not_found() -> Value {
    json!({"error": "Node not found"})
}
