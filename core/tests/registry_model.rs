//! The registry against a model: any interleaving of connections, registrations, heartbeats,
//! closes and time gives what a few rules say, and nobody spins.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use distflow_core::limits;
use distflow_core::registry::{Config, ConnId, Input, Kind, Notice, Output, Outputs, Registry};
use distflow_core::time::Now;
use distflow_core::wire::frame::HEADER_BYTES;
use distflow_core::wire::pmd::{Capabilities, LeaveCause};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One thing that a client, the network or the clock does. Small numbers name connections,
/// ids and aliases.
#[derive(Debug, Clone)]
enum Op {
    Open(u32),
    Hello(u32, bool),
    Register(u32, u8, u8, u16, bool),
    Unregister(u32, u8),
    Heartbeat(u32, u8),
    /// Answers the latest probe of a connection.
    Prove(u32),
    Resolve(u32, u8),
    Watch(u32),
    Garbage(u32),
    Close(u32),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let (conn, id) = (0u32..5, 0u8..4);
    prop_oneof![
        3 => conn.clone().prop_map(Op::Open),
        2 => (conn.clone(), any::<bool>()).prop_map(|(c, hb)| Op::Hello(c, hb)),
        8 => (conn.clone(), id.clone(), 0u8..6, 1u16..3, any::<bool>())
            .prop_map(|(c, id, alias, port, token)| Op::Register(c, id, alias, port, token)),
        2 => (conn.clone(), id.clone()).prop_map(|(c, id)| Op::Unregister(c, id)),
        2 => (conn.clone(), id.clone()).prop_map(|(c, id)| Op::Heartbeat(c, id)),
        1 => conn.clone().prop_map(Op::Prove),
        1 => (conn.clone(), 0u8..6).prop_map(|(c, name)| Op::Resolve(c, name)),
        1 => conn.clone().prop_map(Op::Watch),
        1 => conn.clone().prop_map(Op::Garbage),
        2 => conn.prop_map(Op::Close),
        3 => prop_oneof![0u64..50, 400u64..700, 3_000u64..16_000].prop_map(Op::Wait),
    ]
}

// ---------------------------------------------------------------------------- the model

/// How a node may end without being asked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    Socket,
    SocketAndBeats,
    BeatsOnly,
}

#[derive(Debug, Clone, PartialEq)]
struct Node {
    alias: Option<String>,
    port: u16,
    conn: Option<u32>,
    token: Option<String>,
    bound: Bound,
    seen_ms: u64,
    /// When it began to live by heartbeats alone.
    orphaned_ms: u64,
}

#[derive(Debug, Default)]
struct Model {
    nodes: BTreeMap<String, Node>,
    /// Connections that said hello, and whether they promised heartbeats.
    greeted: BTreeMap<u32, bool>,
}

#[derive(Debug, Clone)]
struct Wanted {
    conn: u32,
    id: String,
    alias: Option<String>,
    port: u16,
    token: Option<String>,
}

impl Model {
    /// Who is in the way, and the refusal.
    fn conflict(&self, want: &Wanted) -> Option<(Option<u32>, String)> {
        let holds = |(id, node): &(&String, &Node)| **id != want.id && node.alias == want.alias;
        if let (Some(alias), Some((_, node))) = (&want.alias, self.nodes.iter().find(holds)) {
            return Some((node.conn, format!("Alias '{alias}' already in use")));
        }
        if self.greeted.contains_key(&want.conn) {
            // The names of our own clients say one thing only.
            let others = |id: &&String| **id != want.id;
            if let Some(alias) = &want.alias
                && let Some((_, node)) =
                    self.nodes.get_key_value(alias).filter(|(id, _)| others(id))
            {
                let text = "is the id of another node: it is already in use";
                return Some((node.conn, format!("Alias '{alias}' {text}")));
            }
            let holds = |(id, node): &(&String, &Node)| {
                others(id) && node.alias.as_deref() == Some(&*want.id)
            };
            if let Some((_, node)) = self.nodes.iter().find(holds)
                && node
                    .conn
                    .is_some_and(|conn| self.greeted.contains_key(&conn))
            {
                let text = "has another node's alias for an id: it is already registered";
                return Some((node.conn, format!("Node '{}' {text}", want.id)));
            }
        }
        let node = self.nodes.get(&want.id)?;
        let reconnect = node.alias == want.alias && node.port == want.port;
        let token = want.token.is_some() && want.token == node.token;
        let may = node.conn == Some(want.conn) || reconnect || token;
        (!may).then(|| (node.conn, format!("Node '{}' already registered", want.id)))
    }

    fn register(&mut self, now_ms: u64, want: Wanted, token: Option<String>) {
        let beats = self.greeted.get(&want.conn) == Some(&true);
        let node = Node {
            alias: want.alias,
            port: want.port,
            conn: Some(want.conn),
            token,
            bound: if beats {
                Bound::SocketAndBeats
            } else {
                Bound::Socket
            },
            seen_ms: now_ms,
            orphaned_ms: 0,
        };
        self.nodes.insert(want.id, node);
    }

    fn heartbeat(&mut self, now_ms: u64, conn: u32, id: &str) -> bool {
        let Some(node) = self.nodes.get_mut(id) else {
            return false;
        };
        let owner_is_new = node
            .conn
            .is_some_and(|conn| self.greeted.contains_key(&conn));
        if node.conn != Some(conn) && node.bound != Bound::BeatsOnly && !owner_is_new {
            node.bound = Bound::BeatsOnly;
            node.seen_ms = now_ms;
        } else if node.conn == Some(conn) || node.bound == Bound::BeatsOnly {
            node.seen_ms = now_ms;
        }
        true
    }

    fn close(&mut self, now_ms: u64, conn: u32) {
        self.greeted.remove(&conn);
        self.nodes
            .retain(|_, node| node.conn != Some(conn) || node.bound == Bound::BeatsOnly);
        for node in self.nodes.values_mut().filter(|n| n.conn == Some(conn)) {
            (node.conn, node.orphaned_ms) = (None, now_ms);
        }
    }

    /// When a node's silence ends it at the latest, and at the earliest.
    fn silence_ms(node: &Node) -> Option<u64> {
        match node.bound {
            Bound::SocketAndBeats => Some(limits::HEARTBEAT_EXPEL_MS),
            Bound::BeatsOnly if node.conn.is_none() => Some(limits::HEARTBEAT_TTL_MS),
            _ => None,
        }
    }
}

// ---------------------------------------------------------------------------- the run

enum Asked {
    Register(Wanted),
    Unregister(String),
    Heartbeat(String),
    Resolve(String),
    Other,
}

struct Run {
    registry: Registry,
    model: Model,
    now_ms: u64,
    generations: BTreeMap<u32, u32>,
    open: BTreeSet<u32>,
    paused: BTreeSet<u32>,
    probes: BTreeMap<u32, u64>,
    asked: BTreeMap<u64, (u32, Asked)>,
    next_request: u64,
    /// The token that a client last got for an id.
    tokens: BTreeMap<String, String>,
    /// What a gap-free watcher makes of its events.
    view: BTreeMap<String, Value>,
    view_rev: u64,
    /// Connections the registry wants closed.
    doomed: VecDeque<u32>,
}

/// A connection of its own, that only watches.
const WATCHER: u32 = 9;

/// Some aliases look like ids.
fn alias_or_id(number: u8) -> String {
    match number {
        0..4 => format!("a{number}"),
        _ => format!("n{}", number - 4),
    }
}

impl Run {
    fn new() -> Self {
        let config = Config::new("epoch".into(), [1; 32]);
        let mut run = Self {
            registry: Registry::new(config, Now::default()),
            model: Model::default(),
            now_ms: 0,
            generations: BTreeMap::new(),
            open: BTreeSet::new(),
            paused: BTreeSet::new(),
            probes: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_request: 0,
            tokens: BTreeMap::new(),
            view: BTreeMap::new(),
            view_rev: 0,
            doomed: VecDeque::new(),
        };
        run.open(WATCHER);
        run.ask(WATCHER, "hello", json!({"caps": ["rev"]}), Asked::Other);
        run.ask(WATCHER, "watch", json!({}), Asked::Other);
        run
    }

    fn id(&self, conn: u32) -> ConnId {
        ConnId {
            slot: conn,
            generation: self.generations[&conn],
        }
    }

    fn open(&mut self, conn: u32) {
        if self.open.insert(conn) {
            *self.generations.entry(conn).or_default() += 1;
            let id = self.id(conn);
            self.step(Input::Opened(id, true));
        }
    }

    fn ask(&mut self, conn: u32, kind: &str, payload: Value, asked: Asked) {
        if !self.open.contains(&conn) || self.paused.contains(&conn) {
            return;
        }
        let number = self.next_request;
        self.next_request += 1;
        let body = json!({"type": kind, "payload": payload, "requestId": number}).to_string();
        self.asked.insert(number, (conn, asked));
        let id = self.id(conn);
        self.step(Input::Frame(id, body.as_bytes()));
    }

    fn close(&mut self, conn: u32) {
        if self.open.remove(&conn) {
            self.paused.remove(&conn);
            self.asked.retain(|_, (asker, _)| *asker != conn);
            self.model.close(self.now_ms, conn);
            let id = self.id(conn);
            self.step(Input::Closed(id));
        }
    }

    fn step(&mut self, input: Input<'_>) {
        let now = Now {
            mono_ms: self.now_ms,
            wall_ms: self.now_ms,
        };
        let mut outputs = Outputs::default();
        self.registry.step(now, input, &mut outputs);
        // Everything comes alone here, and nobody waits for a snapshot for longer.
        self.registry.settle(now, &mut outputs);
        let mut events = Vec::new();
        for (at, item) in outputs.items.iter().enumerate() {
            let body = |range: &std::ops::Range<usize>| {
                serde_json::from_slice(&outputs.bytes[range.start + HEADER_BYTES..range.end])
            };
            match item {
                Output::Answer(id, range) => {
                    // The rest of a snapshot is behind its head.
                    let text = match outputs.items.get(at + 1) {
                        Some(Output::Shared(other, rest)) if other == id => {
                            [&outputs.bytes[range.start + HEADER_BYTES..range.end], rest].concat()
                        }
                        _ => outputs.bytes[range.start + HEADER_BYTES..range.end].to_vec(),
                    };
                    let announced = outputs.bytes[range.start..][..HEADER_BYTES].try_into();
                    assert_eq!(u32::from_be_bytes(announced.unwrap()) as usize, text.len());
                    let message: Value = serde_json::from_slice(&text).unwrap();
                    if message["type"] == "event" {
                        events.push((*id, message));
                    } else {
                        self.answered(*id, &message);
                    }
                }
                Output::Announce(kind, range) if *kind == self.watcher_kind() => {
                    events.push((self.id(WATCHER), body(range).unwrap()));
                }
                Output::Pause(id) => assert!(self.paused.insert(id.slot)),
                Output::Resume(id) => assert!(self.paused.remove(&id.slot)),
                Output::Close(id, _) => self.doomed.push_back(id.slot),
                Output::Notice(Notice::Left(node, LeaveCause::TimedOut)) => {
                    self.timed_out(node.node_id.as_str());
                }
                _ => {}
            }
        }
        for (id, event) in events {
            self.event(id, &event);
        }
        self.compare();
    }

    fn answered(&mut self, id: ConnId, answer: &Value) {
        assert_eq!(id, self.id(id.slot));
        let Some((conn, asked)) = answer["requestId"]
            .as_u64()
            .and_then(|number| self.asked.remove(&number))
        else {
            assert!(answer["payload"]["error"].is_string(), "{answer}");
            return;
        };
        assert_eq!(conn, id.slot);
        let payload = &answer["payload"];
        let error = payload["error"].as_str();
        match asked {
            Asked::Register(want) => match (error, self.model.conflict(&want)) {
                (None, None) => {
                    let token = payload["session"].as_str().map(str::to_owned);
                    assert_eq!(token.is_some(), self.model.greeted.contains_key(&conn));
                    if let Some(token) = &token {
                        self.tokens.insert(want.id.clone(), token.clone());
                    }
                    self.model.register(self.now_ms, want, token);
                }
                (Some(error), Some((_, text))) => assert_eq!(error, text),
                (error, conflict) => panic!("{want:?}: {error:?}, but {conflict:?}"),
            },
            Asked::Unregister(id) => {
                let node = self.model.nodes.get(&id);
                let may = node.is_some_and(|node| node.conn.is_none_or(|owner| owner == conn));
                assert_eq!(error.is_none(), may, "{answer}");
                if may {
                    self.model.nodes.remove(&id);
                }
            }
            Asked::Heartbeat(id) => {
                let known = self.model.heartbeat(self.now_ms, conn, &id);
                assert_eq!(error.is_none(), known, "{answer}");
            }
            Asked::Resolve(name) => {
                let mut all = self.model.nodes.iter();
                let found = all.find(|(_, node)| node.alias.as_deref() == Some(&*name));
                let found = found.map(|(id, _)| id.as_str());
                // An id is its node's, whoever has it for an alias.
                let by_id = self.model.nodes.get_key_value(&name);
                let want = by_id.map(|(id, _)| id.as_str()).or(found);
                assert_eq!(payload["node"]["nodeId"].as_str(), want, "{answer}");
            }
            Asked::Other => assert!(error.is_none(), "{answer}"),
        }
    }

    fn watcher_kind(&self) -> Kind {
        Kind::of(Capabilities::from_names(["rev"]))
    }

    fn timed_out(&mut self, id: &str) {
        let node = self.model.nodes.remove(id).unwrap();
        let bound_ms = Model::silence_ms(&node).expect("it need not show life");
        assert!(self.now_ms - node.seen_ms > bound_ms, "{id} {node:?}");
    }

    fn event(&mut self, id: ConnId, event: &Value) {
        let payload = &event["payload"];
        if payload["event"] == "probe" {
            self.probes
                .insert(id.slot, payload["probe"].as_u64().unwrap());
        } else if id.slot == WATCHER {
            self.view_rev += 1;
            assert_eq!(payload["rev"].as_u64(), Some(self.view_rev));
            let (peer, joins) = (payload["peer"].clone(), payload["event"] == "peer:join");
            let id = peer["nodeId"].as_str().unwrap().to_owned();
            if joins {
                assert!(
                    self.view.insert(id, peer).is_none(),
                    "joined twice: {event}"
                );
            } else {
                assert!(self.view.remove(&id).is_some(), "left twice: {event}");
            }
        }
    }

    /// Registry, model and what the watcher was told agree.
    fn compare(&self) {
        let names = |id: &str, alias: Option<&str>, port: u64| {
            (id.to_owned(), alias.map(str::to_owned), port)
        };
        let registry: BTreeSet<_> = self
            .registry
            .nodes()
            .map(|node| {
                let alias = node.alias.as_ref().map(|alias| alias.as_str());
                names(node.node_id.as_str(), alias, node.port.into())
            })
            .collect();
        let model = self.model.nodes.iter();
        let model: BTreeSet<_> = model
            .map(|(id, node)| names(id, node.alias.as_deref(), node.port.into()))
            .collect();
        let view = self
            .view
            .iter()
            .map(|(id, peer)| names(id, peer["alias"].as_str(), peer["port"].as_u64().unwrap()));
        assert_eq!(registry, model);
        assert_eq!(registry, view.collect());
        let aliases: Vec<_> = registry
            .iter()
            .filter_map(|(_, alias, _)| alias.as_ref())
            .collect();
        let distinct: BTreeSet<_> = aliases.iter().collect();
        assert_eq!(aliases.len(), distinct.len(), "an alias has two owners");
    }

    /// Lets time pass, with a tick whenever the registry wants one.
    fn wait(&mut self, for_ms: u64) {
        let until_ms = self.now_ms + for_ms;
        while let Some(at_ms) = self
            .registry
            .next_deadline_ms()
            .filter(|at| *at <= until_ms)
        {
            self.now_ms = self.now_ms.max(at_ms);
            self.step(Input::Tick);
            let next = self.registry.next_deadline_ms();
            assert!(next.is_none_or(|at| at > self.now_ms), "it spins: {next:?}");
            while let Some(conn) = self.doomed.pop_front() {
                self.close(conn);
            }
        }
        self.now_ms = until_ms;
        for (id, node) in &self.model.nodes {
            if let Some(bound_ms) = Model::silence_ms(node) {
                let silent_ms = (node.seen_ms + bound_ms).max(node.orphaned_ms);
                let latest_ms = silent_ms + limits::SWEEP_MS + 1;
                assert!(self.now_ms <= latest_ms, "{id} should be gone: {node:?}");
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        let name = |id: &u8| format!("n{id}");
        match op {
            Op::Open(conn) => self.open(*conn),
            Op::Hello(conn, beats) if self.can_ask(*conn) => {
                self.model.greeted.insert(*conn, *beats);
                let caps = if *beats {
                    json!(["hb", "probe"])
                } else {
                    json!([])
                };
                self.ask(*conn, "hello", json!({ "caps": caps }), Asked::Other);
            }
            Op::Register(conn, id, alias, port, token) => {
                let id = name(id);
                let token = self.tokens.get(&id).filter(|_| *token).cloned();
                let alias = (*alias > 0).then(|| alias_or_id(*alias));
                let payload = json!({
                    "nodeId": id, "alias": alias, "host": "h", "port": port, "session": token,
                });
                let (conn, port) = (*conn, *port);
                let want = Wanted {
                    conn,
                    id,
                    alias,
                    port,
                    token,
                };
                self.ask(conn, "register", payload, Asked::Register(want));
            }
            Op::Unregister(conn, id) => {
                let asked = Asked::Unregister(name(id));
                self.ask(*conn, "unregister", json!({ "nodeId": name(id) }), asked);
            }
            Op::Heartbeat(conn, id) => {
                let asked = Asked::Heartbeat(name(id));
                self.ask(*conn, "heartbeat", json!({ "nodeId": name(id) }), asked);
            }
            Op::Prove(conn) => {
                let owned = |(_, node): &(&String, &Node)| node.conn == Some(*conn);
                let id = self
                    .model
                    .nodes
                    .iter()
                    .find(owned)
                    .map(|(id, _)| id.clone());
                if let (Some(id), Some(number)) = (id, self.probes.get(conn).copied()) {
                    let payload = json!({ "nodeId": id, "probe": number });
                    self.ask(*conn, "heartbeat", payload, Asked::Heartbeat(id));
                }
            }
            Op::Resolve(conn, alias) => {
                let alias = alias_or_id(*alias);
                let payload = json!({ "alias": alias });
                self.ask(*conn, "resolve", payload, Asked::Resolve(alias));
            }
            Op::Watch(conn) => self.ask(*conn, "watch", json!({}), Asked::Other),
            Op::Garbage(conn) if self.can_ask(*conn) => {
                let id = self.id(*conn);
                self.step(Input::Frame(id, b"{\"type\":7"));
            }
            Op::Close(conn) => self.close(*conn),
            Op::Wait(ms) => self.wait(*ms),
            _ => {}
        }
    }

    fn can_ask(&self, conn: u32) -> bool {
        self.open.contains(&conn) && !self.paused.contains(&conn)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1_000), ..ProptestConfig::default() })]

    #[test]
    fn pmd_vs_model(ops in proptest::collection::vec(op(), 1..120)) {
        let mut run = Run::new();
        for op in &ops {
            run.apply(op);
        }
        // Nobody waits for a name for longer than the probe takes.
        run.wait(limits::PROBE_MS + 1);
        prop_assert!(run.paused.is_empty());
        prop_assert!(run.asked.is_empty());
    }
}
