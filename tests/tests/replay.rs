//! The recorded traffic of the originals against our PMD, our client and our node frames.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use distflow_core::names::{Alias, Host, NodeId};
use distflow_core::pmd::{Pmd, PmdClient, PmdEvent, PmdOptions};
use distflow_core::wire::frame as our_frame;
use distflow_core::wire::peer::{PeerFrame, PeerParser, append_head, append_message};
use distflow_core::wire::pmd::{NodeInfo, Register};
use distflow_tests::{
    Direction, Generation, LIMIT, OriginalClient, Step, Transcript, What, frame, read_frame,
    wait_until,
};
use serde_json::Value;

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Gives every id and port of the recording another value, and learns the times.
#[derive(Default)]
struct Mapping {
    ids: BTreeMap<String, String>,
    ports: BTreeMap<u64, u64>,
    /// Recorded time → ours. The same moment must stay the same moment.
    times: BTreeMap<u64, u64>,
}

impl Mapping {
    /// Notes what a recorded registration uses.
    fn learn(&mut self, request: &Value) {
        let payload = &request["payload"];
        if let (Some(id), Some(port)) = (payload["nodeId"].as_str(), payload["port"].as_u64()) {
            let number = self.ids.len() as u64 + 1;
            let ours = format!("{:016x}", number * 0x0123_4567_89ab);
            self.ids.entry(id.into()).or_insert(ours);
            self.ports.entry(port).or_insert(40_000 + number);
        }
    }

    /// A recorded text with our ids and ports.
    fn text(&self, recorded: &str) -> String {
        let mut text = recorded.to_owned();
        for (theirs, ours) in &self.ids {
            text = text.replace(theirs, ours);
        }
        for (theirs, ours) in &self.ports {
            text = text.replace(&format!(":{theirs}"), &format!(":{ours}"));
        }
        text
    }

    /// Whether what we got equals the mapped recording, except for times, which are learnt.
    fn same(&mut self, recorded: &Value, ours: &Value) -> bool {
        match (recorded, ours) {
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(name, recorded)| match b.get(name) {
                        Some(ours) if name == "lastHeartbeat" => self.same_time(recorded, ours),
                        Some(ours) => self.same(recorded, ours),
                        None => false,
                    })
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(a, b))
            }
            (a, b) => a == b,
        }
    }

    fn same_time(&mut self, recorded: &Value, ours: &Value) -> bool {
        let (Some(recorded), Some(ours)) = (recorded.as_u64(), ours.as_u64()) else {
            return false;
        };
        let known = *self.times.entry(recorded).or_insert(ours);
        let mut in_order = self.times.values().zip(self.times.values().skip(1));
        known == ours && in_order.all(|(a, b)| a <= b)
    }
}

/// Plays the clients' side of a recording against a PMD.
struct Replay {
    port: u16,
    mapping: Mapping,
    conns: BTreeMap<u64, Conn>,
    reordered: usize,
}

struct Conn {
    client: OriginalClient,
    /// Requests without their response.
    unanswered: usize,
    /// Frames read ahead of the recording.
    received: VecDeque<String>,
    /// The recording's frames since the last comparison.
    recorded: Vec<String>,
    requests: Vec<String>,
}

impl Conn {
    /// Reads until every request of this connection has its response.
    fn settle(&mut self) {
        while self.unanswered > 0 {
            let text = self.client.frame().expect("closed instead of a response");
            if parse(&text)["type"] == "response" {
                self.unanswered -= 1;
            }
            self.received.push_back(text);
        }
    }

    fn next(&mut self) -> Value {
        let text = self.received.pop_front();
        let text = text.or_else(|| {
            let text = self.client.frame()?;
            if parse(&text)["type"] == "response" {
                self.unanswered -= 1;
            }
            Some(text)
        });
        parse(&text.expect("closed instead of a frame"))
    }
}

impl Replay {
    fn run(port: u16, steps: &[Step]) -> Self {
        let mut replay = Self {
            port,
            mapping: Mapping::default(),
            conns: BTreeMap::new(),
            reordered: 0,
        };
        for step in steps {
            replay.step(step);
        }
        replay
    }

    fn step(&mut self, step: &Step) {
        if !matches!(&step.what, What::Frame(Direction::FromPmd, _)) {
            self.compare(step.conn);
        }
        match &step.what {
            What::Open => {
                let conn = Conn {
                    client: OriginalClient::connect(self.port),
                    unanswered: 0,
                    received: VecDeque::new(),
                    recorded: Vec::new(),
                    requests: Vec::new(),
                };
                assert!(self.conns.insert(step.conn, conn).is_none());
            }
            What::Frame(Direction::ToPmd, text) => {
                // The recording does not say in which order requests of several connections
                // were handled that were under way together; this one is handled after those.
                for (&number, conn) in &mut self.conns {
                    if number != step.conn {
                        conn.settle();
                    }
                }
                self.mapping.learn(&parse(text));
                let text = self.mapping.text(text);
                let conn = self.conns.get_mut(&step.conn).unwrap();
                conn.client.send_text(&text);
                conn.requests.push(text);
                conn.unanswered += 1;
            }
            What::Frame(Direction::FromPmd, text) => {
                let text = self.mapping.text(text);
                let conn = self.conns.get_mut(&step.conn).unwrap();
                conn.recorded.push(text);
            }
            What::End(Direction::ToPmd) => self.conns[&step.conn].client.half_close(),
            What::End(Direction::FromPmd) => {
                let mut conn = self.conns.remove(&step.conn).unwrap();
                conn.client.expect_end();
            }
        }
    }

    /// Compares what a connection got with what the recording has since the last comparison.
    fn compare(&mut self, number: u64) {
        let Some(conn) = self.conns.get_mut(&number) else {
            return;
        };
        let recorded: Vec<Value> = conn.recorded.drain(..).map(|text| parse(&text)).collect();
        let ours: Vec<Value> = recorded.iter().map(|_| conn.next()).collect();
        let mut expected = recorded.clone();
        // The one exception: H announces a leave before it answers the `unregister` that
        // caused it. Ours answers first, like S; clients accept both.
        if let [.., event, response] = &mut expected[..]
            && event["payload"]["event"] == "peer:leave"
            && response["type"] == "response"
            && conn
                .requests
                .last()
                .is_some_and(|text| text.contains("\"unregister\""))
        {
            std::mem::swap(event, response);
            self.reordered += 1;
        }
        for (expected, ours) in expected.iter().zip(&ours) {
            assert!(
                self.mapping.same(expected, ours),
                "connection {number}:\nrecorded {expected}\nours     {ours}\nall of ours {ours:?}"
            );
        }
    }
}

fn replay_against_our_pmd(generation: Generation) -> Replay {
    let pmd = Pmd::start(PmdOptions {
        port: 0,
        ..PmdOptions::default()
    })
    .unwrap();
    let replay = Replay::run(pmd.port(), &Transcript::load().steps(generation));
    // Every recording ends with `shutdown`.
    assert!(wait_until(LIMIT, || !pmd.is_running()));
    assert!(replay.conns.is_empty(), "connections are left");
    replay
}

#[test]
fn our_pmd_answers_clients_of_generation_h_as_their_own_did() {
    let replay = replay_against_our_pmd(Generation::H);
    // Both nodes' own unregister.
    assert_eq!(replay.reordered, 2);
    assert_eq!(replay.mapping.times.len(), 2);
}

#[test]
fn our_pmd_answers_clients_of_generation_s_as_their_own_did() {
    let replay = replay_against_our_pmd(Generation::S);
    assert_eq!(replay.reordered, 0);
    assert!(replay.mapping.times.len() > 4, "heartbeats move the times");
}

/// One recorded connection, as seen by the PMD.
fn recorded_connections(generation: Generation) -> BTreeMap<u64, Vec<(Direction, String)>> {
    let mut connections = BTreeMap::<_, Vec<_>>::new();
    for step in Transcript::load().steps(generation) {
        if let What::Frame(direction, text) = step.what {
            connections
                .entry(step.conn)
                .or_default()
                .push((direction, text));
        }
    }
    connections
}

/// The request number at the end of a text, and the text before it.
fn split_number(text: &str) -> (&str, u64) {
    let (start, end) = text.rsplit_once("\"req_").expect("no request id");
    let number = end.strip_suffix("\"}").expect("an odd end");
    (start, number.parse().unwrap())
}

/// Plays the daemon's side of one recorded connection. Returns how many requests came that
/// the recording does not have.
///
/// Those are: `hello`, which an original answers with `Unknown message type`; and the `list`
/// by which our client gets the nodes of the moment after a `watch`.
fn scripted_pmd(listener: &TcpListener, script: &[(Direction, String)]) -> usize {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut send = stream.try_clone().unwrap();
    let mut send = |text: &str| std::io::Write::write_all(&mut send, &frame(text)).unwrap();
    let mut extra = 0;
    let mut ours = 0;
    let mut watched = false;
    for (direction, recorded) in script {
        if *direction == Direction::FromPmd {
            let theirs = format!("\"req_{}\"", ours - extra as u64);
            send(&recorded.replace(&theirs, &format!("\"req_{ours}\"")));
            continue;
        }
        let (start, number) = split_number(recorded);
        loop {
            let request = read_frame(&mut stream).unwrap().expect("the client closed");
            let (our_start, our_number) = split_number(&request);
            ours += 1;
            assert_eq!(our_number, ours, "request numbers have gaps: {request}");
            let answer = if our_start.starts_with(r#"{"type":"hello","payload":{"v":1,"#) {
                assert_eq!(ours, 1, "hello comes first");
                r#"{"error":"Unknown message type"}"#
            } else if watched {
                assert_eq!(our_start, r#"{"type":"list","payload":{},"requestId":"#);
                watched = false;
                r#"{"nodes":[]}"#
            } else {
                assert_eq!((our_start, ours), (start, number + extra as u64));
                watched = request.contains("\"watch\"");
                break;
            };
            extra += 1;
            send(&format!(
                r#"{{"type":"response","requestId":"req_{ours}","payload":{answer}}}"#
            ));
        }
    }
    assert!(!watched, "the recording goes on after every watch");
    extra
}

fn node_info(node: &Value) -> NodeInfo {
    serde_json::from_value(node.clone()).unwrap()
}

/// Does with our client what a recorded request did, and compares the outcome.
fn perform(client: &mut PmdClient, request: &Value, answer: &Value) {
    let payload = &request["payload"];
    let text = |name: &str| payload[name].as_str().unwrap_or_default();
    let expected: Result<&Value, &str> = match answer["error"].as_str() {
        Some(error) => Err(error),
        None => Ok(answer),
    };
    let outcome = match request["type"].as_str().unwrap() {
        "register" => client.register(&Register {
            node_id: NodeId::new(text("nodeId")).unwrap(),
            alias: Some(Alias::new(text("alias")).unwrap()),
            host: Host::new(text("host")).unwrap(),
            port: payload["port"].as_u64().unwrap() as u16,
            caps: None,
            meta: None,
            session: None,
        }),
        "unregister" => client.unregister(text("nodeId")),
        "heartbeat" => client.heartbeat(text("nodeId")),
        "watch" => client.watch().map(|nodes| assert!(nodes.is_empty())),
        "shutdown" => client.shutdown(),
        "resolve" => client
            .resolve(text("alias"))
            .map(|node| assert_eq!(node, node_info(&answer["node"]))),
        "list" => client.list(None).map(|nodes| {
            let recorded: Vec<NodeInfo> = answer["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(node_info)
                .collect();
            assert_eq!(nodes, recorded);
        }),
        other => panic!("{other} was never recorded"),
    };
    match (outcome, expected) {
        (Ok(()), Ok(_)) => {}
        (Err(error), Err(text)) => assert_eq!(error.to_string(), text),
        (outcome, expected) => panic!("{request}: {outcome:?}, recorded {expected:?}"),
    }
}

fn replay_against_our_client(generation: Generation, hello: bool) {
    let (mut requests, mut events) = (0, 0);
    for (_, script) in recorded_connections(generation) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let daemon = {
            let script = script.clone();
            std::thread::spawn(move || scripted_pmd(&listener, &script))
        };
        let mut client = if hello {
            PmdClient::connect("127.0.0.1", port).unwrap()
        } else {
            PmdClient::connect_plain("127.0.0.1", port).unwrap()
        };
        assert!(!client.is_extended(), "an original announced nothing");
        let mut watches = 0;
        let messages: Vec<(Direction, Value)> = script
            .iter()
            .map(|(direction, text)| (*direction, parse(text)))
            .collect();
        for (at, (direction, message)) in messages.iter().enumerate() {
            if *direction == Direction::FromPmd {
                continue;
            }
            let rest = &messages[at + 1..];
            let answer = rest.iter().find(|(direction, answer)| {
                *direction == Direction::FromPmd && answer["requestId"] == message["requestId"]
            });
            let answer = &answer.expect("a request without answer").1["payload"];
            perform(&mut client, message, answer);
            watches += usize::from(message["type"] == "watch");
            requests += 1;
        }
        for (_, message) in messages.iter().filter(|(_, m)| m["type"] == "event") {
            let payload = &message["payload"];
            let peer = node_info(&payload["peer"]);
            match client
                .next_event(LIMIT)
                .unwrap()
                .expect("an event is missing")
            {
                PmdEvent::Join(node) => {
                    assert_eq!(("peer:join", node), (event_name(payload), peer))
                }
                PmdEvent::Leave(node, _) => {
                    assert_eq!(("peer:leave", node), (event_name(payload), peer));
                }
            }
            events += 1;
        }
        let extra = daemon.join().unwrap();
        assert_eq!(extra, usize::from(hello) + watches);
        // The daemon has closed, and nothing is left to read.
        assert!(client.next_event(Duration::from_secs(1)).is_err());
    }
    assert!(
        requests > 15 && events > 3,
        "{requests} requests, {events} events"
    );
}

fn event_name(payload: &Value) -> &str {
    payload["event"].as_str().unwrap()
}

#[test]
fn our_client_sends_to_h_what_its_own_clients_sent() {
    replay_against_our_client(Generation::H, false);
}

#[test]
fn our_client_sends_to_s_what_its_own_clients_sent() {
    replay_against_our_client(Generation::S, false);
}

#[test]
fn our_client_falls_back_to_h_when_hello_is_unknown() {
    replay_against_our_client(Generation::H, true);
}

#[test]
fn our_client_falls_back_to_s_when_hello_is_unknown() {
    replay_against_our_client(Generation::S, true);
}

#[test]
fn recorded_frames_between_nodes_are_read_and_written_byte_for_byte() {
    let frames = Transcript::load().node_frames();
    assert_eq!(frames.len(), 14);
    // One parser for all, as on one connection, and a new one for each.
    let mut parser = PeerParser::new();
    for recorded in frames {
        let body = Bytes::from(recorded.text.clone());
        let parsed = parser.parse(&body).unwrap();
        assert_eq!(parsed, PeerParser::new().parse(&body).unwrap());
        let PeerFrame::Message {
            from,
            to,
            payload,
            timestamp,
        } = parsed
        else {
            panic!("not a message: {}", recorded.text);
        };
        assert_eq!(payload.is_absent(), !recorded.text.contains("\"payload\":"));
        let (mut head, mut bytes) = (Vec::new(), Vec::new());
        append_head(&mut head, &from, &to);
        our_frame::append(&mut bytes, 1 << 20, |out| {
            append_message(out, &head, &payload, timestamp);
        })
        .unwrap();
        let header: String = bytes[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(header, recorded.header, "{}", recorded.text);
        assert_eq!(String::from_utf8_lossy(&bytes[4..]), recorded.text);
    }
}
