//! `distflow node …`.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::UnboundedSender;

use crate::cli::args::{NodeCommand, Place};
use crate::cli::input::{Ending, Lines};
use crate::cli::output::{
    exit_code, is_whole, node_json, out_json, out_line, print_error as print_failure, shown,
};
use crate::cli::{output, signals};
use crate::error::{Error, ErrorKind, Result};
use crate::mailbox::{MailboxConfig, Overflow};
use crate::net;
use crate::node::{Message, Node, NodeOptions};
use crate::node_state::NodeEvent;
use crate::park::block_on;
use crate::pmd::PmdClient;
use crate::wire::peer::Payload;

pub(super) fn run(command: NodeCommand, place: &Place) -> u8 {
    let result = match command {
        NodeCommand::Run {
            alias,
            node_id,
            meta,
            heartbeat,
            no_auto_start,
            until_eof,
            mailbox,
            overflow,
            listen,
            advertise,
            insecure,
        } => Overflow::from_name(&overflow).and_then(|overflow| {
            let options = NodeOptions {
                alias,
                node_id,
                meta,
                use_heartbeat: heartbeat,
                auto_start: !no_auto_start,
                mailbox: MailboxConfig {
                    messages_max: mailbox,
                    overflow,
                    ..MailboxConfig::default()
                },
                listen_host: listen.unwrap_or_else(|| "localhost".into()),
                advertised_host: advertise,
                insecure,
                ..options(place)
            };
            serve(options, until_eof)
        }),
        NodeCommand::Send {
            target,
            payload,
            text,
        } => payload_of(&payload, text).and_then(|payload| send(options(place), &target, &payload)),
        NodeCommand::Info { target } => info(place, target.as_deref()),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            // Some texts have their cause already.
            let text = match error.cause().map(ToString::to_string) {
                Some(cause) if !error.message().contains(&cause) => format!("{error} ({cause})"),
                _ => error.to_string(),
            };
            print_failure(&text, &error, place.json);
            exit_code(&error)
        }
    }
}

fn options(place: &Place) -> NodeOptions {
    NodeOptions {
        pmd_host: place.host.clone(),
        pmd_port: place.port,
        ..NodeOptions::default()
    }
}

/// A line of standard input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    to: String,
    #[serde(default)]
    payload: Option<Box<RawValue>>,
}

fn serve(options: NodeOptions, until_eof: bool) -> Result<()> {
    // Before any thread is started, so that all of them hold the signals back.
    let (stop, mut stopped) = tokio::sync::mpsc::unbounded_channel();
    let on_signal = stop.clone();
    let stop_on_signal = move || {
        // The receiver is gone only when the node is ending anyway.
        let _ = on_signal.send(());
    };
    signals::on_terminate(stop_on_signal)
        .map_err(|error| Error::io("cannot wait for signals", &error))?;
    output::serve_logs();
    let node = Node::start_blocking(options)?;
    // Subscribed first, so that whoever reads the first line misses nothing after it; printed
    // first, because it is the first line.
    let first_line = Arc::new(Mutex::new(()));
    let not_yet = first_line.lock();
    let gate = first_line.clone();
    let unread = stop.clone();
    node.on_event(move |event| {
        drop(gate.lock());
        print_event(event);
        stop_if_unread(&unread);
    })?;
    print_started(&node);
    drop(not_yet);
    let unread = stop.clone();
    node.on_message(move |message| {
        print_message(message);
        stop_if_unread(&unread);
    })?;
    let reading = read_lines(&node, stop, until_eof)?;
    block_on(stopped.recv());
    reading.end();
    end(&node)
}

/// A node whose output nobody reads would go on swallowing messages.
fn stop_if_unread(stop: &UnboundedSender<()>) {
    if !is_whole() {
        let _ = stop.send(());
    }
}

/// Reads and sends lines on a thread of its own.
fn read_lines(node: &Node, stop: UnboundedSender<()>, until_eof: bool) -> Result<Reading> {
    let sender = node.clone();
    let failed = |error| Error::io("cannot read standard input", &error);
    let (mut lines, ending) = Lines::of_stdin().map_err(failed)?;
    let (left, rest) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("distflow-stdin".into())
        .spawn(move || {
            while let Some(line) = lines.next() {
                if let Err(error) = line.and_then(|line| send_line(&sender, &line)) {
                    print_error(&error);
                }
            }
            let was_told_to_end = lines.is_ending();
            // The node may have ended without waiting for this.
            let _ = left.send(lines.bytes_unread());
            if until_eof {
                let _ = stop.send(());
            } else if !was_told_to_end {
                // Keeps the channel open: the end of the input is not the end of the node.
                std::mem::forget(stop);
            }
        })
        .map_err(failed)?;
    Ok(Reading { ending, rest })
}

/// The thread that reads, to its owner.
struct Reading {
    ending: Ending,
    rest: std::sync::mpsc::Receiver<usize>,
}

impl Reading {
    /// Lets everything be sent that has arrived, for a limited time, and says what was not.
    fn end(self) {
        const ITS_TIME: Duration = Duration::from_secs(2);
        self.ending.begin();
        let text = match self.rest.recv_timeout(ITS_TIME) {
            Ok(0) => return,
            Ok(bytes) => format!("the last line of the input had no end: {bytes} bytes not sent"),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            Err(_) => "ended before all of the input was sent".to_owned(),
        };
        print_error(&Error::new(ErrorKind::Timeout, text));
    }
}

/// Says good-bye, but not for ever: a callback may be stuck in printing to a pipe that nobody
/// reads.
fn end(node: &Node) -> Result<()> {
    const GOOD_BYE: Duration = Duration::from_secs(4);
    let (ended, end) = std::sync::mpsc::channel();
    let ending = node.clone();
    std::thread::spawn(move || {
        let _ = ended.send(ending.shutdown_blocking());
    });
    match end.recv_timeout(GOOD_BYE) {
        Ok(result) => {
            out_line("{\"event\":\"stopped\"}");
            result
        }
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            "ended without having printed everything: nobody reads the output",
        )),
    }
}

fn print_started(node: &Node) {
    let started = serde_json::json!({
        "event": "started",
        "nodeId": node.id(),
        "alias": node.alias(),
        "port": node.port(),
        "peers": node.peers().len(),
    });
    out_json(&started.to_string());
}

fn send_line(node: &Node, line: &str) -> Result<()> {
    if line.trim().is_empty() {
        return Ok(());
    }
    let line: Line = serde_json::from_str(line).map_err(|error| {
        Error::new(
            ErrorKind::InvalidMessage,
            format!("a line must be {{\"to\":…,\"payload\":…}}: {error}"),
        )
    })?;
    let payload = match &line.payload {
        Some(payload) => Payload::from_json(payload.get().to_owned())?,
        None => Payload::absent(),
    };
    node.send_blocking(&line.to, &payload, None)
}

fn print_error(error: &Error) {
    let failed = serde_json::json!({
        "event": "error",
        "code": error.kind().name(),
        "error": error.to_string(),
    });
    out_json(&failed.to_string());
}

fn print_message(message: &Message) {
    let payload = if message.payload.is_absent() {
        String::new()
    } else {
        format!(",\"payload\":{}", message.payload.as_str())
    };
    out_line(&format!(
        "{{\"event\":\"message\",\"from\":{}{payload},\"timestamp\":{}}}",
        serde_json::Value::from(message.from.as_str()),
        message.timestamp
    ));
}

fn print_event(event: &NodeEvent) {
    let line = match event {
        NodeEvent::PeerJoin(peer) => {
            format!("{{\"event\":\"peer:join\",\"peer\":{}}}", node_json(peer))
        }
        NodeEvent::PeerLeave(peer, cause) => format!(
            "{{\"event\":\"peer:leave\",\"peer\":{},\"cause\":\"{}\"}}",
            node_json(peer),
            cause.name()
        ),
        NodeEvent::RegistryLost(error) => {
            serde_json::json!({"event": "pmd:lost", "error": error.to_string()}).to_string()
        }
        NodeEvent::RegistryRestored => "{\"event\":\"pmd:restored\"}".to_owned(),
        NodeEvent::RegistrationRefused(error) => {
            serde_json::json!({"event": "pmd:refused", "error": error.to_string()}).to_string()
        }
        NodeEvent::MailboxOverflow(dropped) => {
            serde_json::json!({"event": "mailbox:overflow", "dropped": dropped}).to_string()
        }
        NodeEvent::SendFailed {
            to,
            messages,
            error,
        } => serde_json::json!({
            "event": "send:failed",
            "to": to.as_str(),
            "messages": messages,
            "error": error.to_string(),
        })
        .to_string(),
    };
    out_line(&line);
}

/// The payload that the arguments mean.
fn payload_of(given: &str, is_text: bool) -> Result<Payload> {
    if is_text {
        return Payload::from_value(given);
    }
    Payload::from_json(given.to_owned()).map_err(|error| {
        // Most who meet this wanted to send a word, whose quotes the shell has taken away.
        let quoted = serde_json::Value::from(given);
        let hint = "a string needs quotes, also towards the shell";
        Error::new(
            error.kind(),
            format!("the payload is no JSON: {error}; {hint}: '{quoted}', or use --text"),
        )
    })
}

fn send(options: NodeOptions, target: &str, payload: &Payload) -> Result<()> {
    // A node that only sends has no reason to bring a PMD into being.
    let node = Node::start_blocking(NodeOptions {
        auto_start: false,
        start_timeout_ms: SEND_START_MS,
        ..options
    })?;
    let sent = node.send_blocking(target, payload, Some(SEND_TIMEOUT));
    let ended = node.shutdown_blocking();
    sent.and(ended)
}

/// A PMD that is there answers at once; one that is not should not be waited for.
const SEND_START_MS: u64 = 1_000;
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

fn info(place: &Place, target: Option<&str>) -> Result<()> {
    if let Some(target) = target {
        let node = PmdClient::connect(&place.host, place.port)?.resolve(target)?;
        if place.json {
            out_json(&node_json(&node));
            return Ok(());
        }
        out_line(&format!("Node ID: {}", shown(&node.node_id)));
        let alias = node.alias.as_deref().unwrap_or("(none)");
        out_line(&format!("Alias: {}", shown(alias)));
        out_line(&format!("Address: {}:{}", shown(&node.host), node.port));
        out_line(&format!("Capabilities: {}", shown(&node.caps.join(" "))));
        if let Some(meta) = &node.meta {
            out_line(&format!("Metadata: {}", shown(meta.get())));
        }
        return Ok(());
    }
    let pmd = PmdClient::connect(&place.host, place.port).and_then(|mut pmd| pmd.list(None));
    if place.json {
        let info = serde_json::json!({
            "version": crate::VERSION,
            "host": net::hostname(),
            "port": place.port,
            "running": pmd.is_ok(),
            "nodes": pmd.as_ref().map(Vec::len).ok(),
        });
        out_json(&info.to_string());
    } else {
        let nodes = match &pmd {
            Ok(nodes) => format!("{} nodes", nodes.len()),
            Err(error) => error.to_string(),
        };
        out_line(&format!("distflow {}", crate::VERSION));
        out_line(&format!("Host: {}", net::hostname()));
        out_line(&format!("PMD on {}:{}: {nodes}", place.host, place.port));
    }
    Ok(())
}
