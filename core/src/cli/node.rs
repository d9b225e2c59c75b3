//! `distflow node …`.

use std::io::{BufRead, Read};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::UnboundedSender;

use crate::cli::args::{NodeCommand, Place};
use crate::cli::output::{err_line, is_whole, node_json, out_line};
use crate::cli::signals;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
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
        NodeCommand::Send { target, payload } => send(options(place), &target, &payload),
        NodeCommand::Info { target } => info(place, target.as_deref()),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            match error.cause() {
                Some(cause) => err_line(&format!("{error} ({cause})")),
                None => err_line(&error.to_string()),
            }
            1
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
    read_lines(&node, stop, until_eof)?;
    block_on(stopped.recv());
    end(&node)
}

/// A node whose output nobody reads would go on swallowing messages.
fn stop_if_unread(stop: &UnboundedSender<()>) {
    if !is_whole() {
        let _ = stop.send(());
    }
}

/// Reads and sends lines on a thread of its own. Reading can't be interrupted, so the thread is
/// left to itself at the end.
fn read_lines(node: &Node, stop: UnboundedSender<()>, until_eof: bool) -> Result<()> {
    let sender = node.clone();
    std::thread::Builder::new()
        .name("distflow-stdin".into())
        .spawn(move || {
            let mut input = std::io::stdin().lock();
            while let Some(line) = next_line(&mut input) {
                if let Err(error) = line.and_then(|line| send_line(&sender, &line)) {
                    print_error(&error);
                }
            }
            if until_eof {
                let _ = stop.send(());
            } else {
                // Keeps the channel open: the end of the input is not the end of the node.
                std::mem::forget(stop);
            }
        })
        .map(drop)
        .map_err(|error| Error::io("cannot read standard input", &error))
}

/// The next line, of bounded length; `None` at the end of the input.
fn next_line(input: &mut impl BufRead) -> Option<Result<String>> {
    let bytes_max = limits::NODE_FRAME_BYTES_MAX as u64;
    let mut line = Vec::new();
    let read = input.take(bytes_max).read_until(b'\n', &mut line);
    if read.ok()? == 0 {
        return None;
    }
    if line.len() as u64 == bytes_max && !line.ends_with(b"\n") {
        // The rest of it is skipped, piece by piece.
        loop {
            line.clear();
            let read = input.take(1 << 16).read_until(b'\n', &mut line);
            if read.ok()? == 0 || line.ends_with(b"\n") {
                break;
            }
        }
        let text = format!("a line is longer than {bytes_max} bytes");
        return Some(Err(Error::new(ErrorKind::TooLarge, text)));
    }
    Some(String::from_utf8(line).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = format!("a line is not UTF-8 from byte {at} on");
        Error::new(ErrorKind::InvalidMessage, text)
    }))
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
    out_line(&started.to_string());
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
    out_line(&failed.to_string());
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

fn send(options: NodeOptions, target: &str, json: &str) -> Result<()> {
    let payload = Payload::from_json(json.to_owned())?;
    // A node that only sends has no reason to bring a PMD into being.
    let node = Node::start_blocking(NodeOptions {
        auto_start: false,
        start_timeout_ms: SEND_START_MS,
        ..options
    })?;
    let sent = node.send_blocking(target, &payload, Some(SEND_TIMEOUT));
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
            out_line(&node_json(&node));
            return Ok(());
        }
        out_line(&format!("Node ID: {}", node.node_id));
        out_line(&format!(
            "Alias: {}",
            node.alias.as_deref().unwrap_or("(none)")
        ));
        out_line(&format!("Address: {}:{}", node.host, node.port));
        out_line(&format!("Capabilities: {}", node.caps.join(" ")));
        if let Some(meta) = &node.meta {
            out_line(&format!("Metadata: {}", meta.get()));
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
        out_line(&info.to_string());
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
