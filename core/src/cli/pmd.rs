//! `distflow pmd …`: output and exit codes as the originals' (pmd.md 11-12).

use std::io::IsTerminal;
use std::time::Duration;

use crate::cli::args::{Place, PmdCommand};
use crate::cli::output::{is_whole, node_json, out_json, out_line, print_error, shown};
use crate::cli::pmd_start;
use crate::error::{ErrorKind, Result};
use crate::pmd::{PmdClient, PmdEvent};
use crate::time::iso8601;
use crate::wire::pmd::{NodeInfo, PmdStatus};

/// How long `kill` waits for a PMD that has said that it ends.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn run(command: PmdCommand, place: &Place) -> u8 {
    match command {
        PmdCommand::Start(options) => pmd_start::run(&options, place),
        PmdCommand::Status => status(place),
        PmdCommand::List {
            prefix,
            watch,
            table,
        } => {
            let table = table || std::io::stdout().is_terminal();
            let listed = list(place, prefix.as_deref(), watch, table);
            report("list nodes", place, listed)
        }
        PmdCommand::Resolve { alias } => resolve(place, &alias),
        PmdCommand::Kill => report(
            "shutdown PMD",
            place,
            connect(place)
                .and_then(|mut client| {
                    client.shutdown()?;
                    // Its port is free when it closes the connection.
                    let _ = client.next_event(ENDS_WITHIN);
                    Ok(())
                })
                .map(|()| {
                    if place.json {
                        out_line("{\"success\":true}");
                    } else {
                        out_line("PMD shutdown command sent successfully");
                    }
                }),
        ),
    }
}

fn connect(place: &Place) -> Result<PmdClient> {
    PmdClient::connect(&place.host, place.port)
}

fn report(doing: &str, place: &Place, result: Result<()>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            print_error(&format!("Failed to {doing}: {error}"), &error, place.json);
            1
        }
    }
}

fn status(place: &Place) -> u8 {
    let asked = connect(place).and_then(|mut client| {
        // An original and an earlier version don't know the question.
        let status = match client.status() {
            Err(error) if error.kind() == ErrorKind::Refused => None,
            status => Some(status?),
        };
        let nodes = match &status {
            Some(status) => status.nodes,
            None => client.list(None)?.len() as u64,
        };
        Ok((nodes, status))
    });
    match asked {
        Ok((nodes, status)) if place.json => {
            let known = status.map(serde_json::to_value);
            let mut json = known.and_then(|known| known.ok()).unwrap_or_default();
            json["running"] = true.into();
            json["host"] = place.host.as_str().into();
            json["port"] = place.port.into();
            json["nodes"] = nodes.into();
            out_line(&json.to_string());
            0
        }
        Ok((nodes, status)) => {
            // The first three lines are the originals'.
            out_line("PMD Status:");
            out_line(&format!("  Port: {}", place.port));
            out_line(&format!("  Registered nodes: {nodes}"));
            if let Some(status) = status {
                print_status(&status);
            }
            0
        }
        Err(error) => {
            let not_running = "PMD not running or unreachable";
            if place.json {
                out_line("{\"running\":false}");
            }
            let text = match error.kind() {
                ErrorKind::NotPmd | ErrorKind::Busy => error.to_string(),
                _ => not_running.to_owned(),
            };
            print_error(&text, &error, place.json);
            1
        }
    }
}

fn print_status(status: &PmdStatus) {
    let seconds = status.uptime_ms / 1_000;
    out_line(&format!("  Version: {}", shown(&status.version)));
    out_line(&format!("  Process: {}", status.pid));
    out_line(&format!(
        "  Uptime: {} d {:02}:{:02}:{:02}",
        seconds / 86_400,
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60
    ));
    out_line(&format!("  Memory: {} KiB", status.memory_bytes >> 10));
    out_line(&format!(
        "  Listens on: {}",
        shown(&status.addresses.join(", "))
    ));
    out_line(&format!(
        "  Connections: {} of at most {} (descriptors: soft limit {}, hard limit {})",
        status.connections,
        status.connections_max,
        status.descriptors_soft,
        status.descriptors_hard
    ));
    out_line(&format!("  Nodes at most: {}", status.nodes_max));
    match status.auto_shutdown_ms {
        Some(ms) => out_line(&format!("  Ends after {ms} ms without a node")),
        None => out_line("  Ends only when it is told to"),
    }
    if status.gives_way {
        out_line("  A node launched it; `pmd start --takeover` takes its place");
    }
    if status.insecure {
        out_line("  WARNING: reached from beyond loopback, without authentication");
    }
}

fn list(place: &Place, prefix: Option<&str>, watch: bool, table: bool) -> Result<()> {
    let mut client = connect(place)?;
    let nodes = if watch {
        let all = client.watch()?;
        let wanted = |node: &NodeInfo| matches(node, prefix);
        all.into_iter().filter(wanted).collect()
    } else {
        client.list(prefix)?
    };
    if place.json {
        let nodes: Vec<String> = nodes.iter().map(node_json).collect();
        out_json(&format!("[{}]", nodes.join(",")));
    } else if table {
        print_table(&nodes);
    } else {
        out_line("Registered nodes:");
        if nodes.is_empty() {
            out_line("  (none)");
        }
        for node in &nodes {
            let name = node.alias.as_deref().unwrap_or(&node.node_id);
            out_line(&format!("  - {}", shown(name)));
            out_line(&format!("    Node ID: {}", shown(&node.node_id)));
            out_line(&format!("    Address: {}:{}", shown(&node.host), node.port));
            let seen = iso8601(node.last_heartbeat);
            out_line(&format!("    Last heartbeat: {seen}"));
        }
    }
    if !watch {
        return Ok(());
    }
    loop {
        const LOOK: Duration = Duration::from_secs(3_600);
        if let Some(event) = client.next_event(LOOK)? {
            print_event(place, prefix, &event);
        }
        if !is_whole() {
            return Ok(());
        }
    }
}

/// One line a node. The time is that of its registration, or of its last heartbeat if it sends
/// any.
fn print_table(nodes: &[NodeInfo]) {
    let mut rows = vec![["ALIAS", "NODE ID", "ADDRESS", "REGISTERED"].map(str::to_owned)];
    rows.extend(nodes.iter().map(|node| {
        [
            shown(node.alias.as_deref().unwrap_or("-")).into_owned(),
            shown(&node.node_id).into_owned(),
            format!("{}:{}", shown(&node.host), node.port),
            iso8601(node.last_heartbeat),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 3] = [0, 1, 2].map(|column| width(column).unwrap_or(0));
    for [alias, id, address, since] in &rows {
        let [a, b, c] = widths;
        out_line(&format!("{alias:a$}  {id:b$}  {address:c$}  {since}"));
    }
}

fn matches(node: &NodeInfo, prefix: Option<&str>) -> bool {
    node.alias
        .as_deref()
        .unwrap_or("")
        .starts_with(prefix.unwrap_or(""))
}

fn print_event(place: &Place, prefix: Option<&str>, event: &PmdEvent) {
    let (sign, name, node, cause) = match event {
        PmdEvent::Join(node) => ('+', "peer:join", node, None),
        PmdEvent::Leave(node, cause) => ('-', "peer:leave", node, Some(cause.name())),
    };
    if !matches(node, prefix) {
        return;
    }
    if place.json {
        let cause = cause.map_or(String::new(), |cause| format!(",\"cause\":\"{cause}\""));
        out_json(&format!(
            "{{\"event\":\"{name}\",\"peer\":{}{cause}}}",
            node_json(node)
        ));
    } else {
        let alias = node.alias.as_deref().unwrap_or(&node.node_id);
        let cause = cause.map_or(String::new(), |cause| format!(" ({cause})"));
        out_line(&format!(
            "  {sign} {} {} {}:{}{cause}",
            shown(alias),
            shown(&node.node_id),
            shown(&node.host),
            node.port
        ));
    }
}

fn resolve(place: &Place, alias: &str) -> u8 {
    match connect(place).and_then(|mut client| client.resolve(alias)) {
        Ok(node) if place.json => {
            out_json(&node_json(&node));
            0
        }
        Ok(node) => {
            out_line(&format!("Resolved '{}':", shown(alias)));
            out_line(&format!("  Node ID: {}", shown(&node.node_id)));
            out_line(&format!("  Address: {}:{}", shown(&node.host), node.port));
            0
        }
        Err(error) if error.kind() == ErrorKind::NodeNotFound => {
            print_error(&format!("Alias '{alias}' not found"), &error, place.json);
            1
        }
        Err(error) => {
            print_error(
                &format!("Failed to resolve alias: {error}"),
                &error,
                place.json,
            );
            1
        }
    }
}
