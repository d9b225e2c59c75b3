//! `distflow node …`.

use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::args::{NodeCommand, Place};
use crate::cli::output::{err_line, node_json, out_line};
use crate::cli::signals;
use crate::error::{Error, ErrorKind, Result};
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
        } => {
            let options = NodeOptions {
                alias,
                node_id,
                meta,
                use_heartbeat: heartbeat,
                auto_start: !no_auto_start,
                ..options(place)
            };
            serve(options, until_eof)
        }
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
    let (stop, stopped) = tokio::sync::mpsc::unbounded_channel();
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
    node.on_event(move |event| {
        drop(gate.lock());
        print_event(event);
    })?;
    print_started(&node);
    drop(not_yet);
    node.on_message(print_message)?;
    let sender = node.clone();
    // Reading standard input can't be interrupted, so its thread is left to itself at the end.
    std::thread::Builder::new()
        .name("distflow-stdin".into())
        .spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(|line| line.ok()) {
                if !line.trim().is_empty() {
                    send_line(&sender, &line);
                }
            }
            if until_eof {
                let _ = stop.send(());
            } else {
                // Keeps the channel open: the end of the input is not the end of the node.
                std::mem::forget(stop);
            }
        })
        .map_err(|error| Error::io("cannot read standard input", &error))?;
    let mut stopped = stopped;
    block_on(stopped.recv());
    node.shutdown_blocking()?;
    out_line("{\"event\":\"stopped\"}");
    Ok(())
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

fn send_line(node: &Node, line: &str) {
    let sent = serde_json::from_str::<Line>(line)
        .map_err(|error| {
            Error::new(
                ErrorKind::InvalidMessage,
                format!("a line must be {{\"to\":…,\"payload\":…}}: {error}"),
            )
        })
        .and_then(|line| {
            let payload = match &line.payload {
                Some(payload) => Payload::from_json(payload.get().to_owned())?,
                None => Payload::absent(),
            };
            node.send_blocking(&line.to, &payload, None)
        });
    if let Err(error) = sent {
        let failed = serde_json::json!({
            "event": "error",
            "code": error.kind().name(),
            "error": error.to_string(),
        });
        out_line(&failed.to_string());
    }
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
    let pmd = match pmd {
        Ok(nodes) => format!("{} nodes", nodes.len()),
        Err(error) => error.to_string(),
    };
    if place.json {
        let info = serde_json::json!({
            "version": crate::VERSION, "host": net::hostname(), "pmd": pmd, "port": place.port,
        });
        out_line(&info.to_string());
    } else {
        out_line(&format!("distflow {}", crate::VERSION));
        out_line(&format!("Host: {}", net::hostname()));
        out_line(&format!("PMD on {}:{}: {pmd}", place.host, place.port));
    }
    Ok(())
}
