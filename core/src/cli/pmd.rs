//! `distflow pmd …`: output and exit codes as the originals' (pmd.md 11-12).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cli::args::{Place, PmdCommand, StartOptions};
use crate::cli::output::{begin, err_line, is_whole, node_json, out_line};
use crate::cli::signals;
use crate::error::{Error, ErrorKind, Result};
use crate::pmd::{PmdClient, PmdEvent, PmdOptions, READY_LINE, Server, ServerNotice, spawn_daemon};
use crate::registry::{Notice, StopReason};
use crate::time::iso8601;
use crate::wire::pmd::{LeaveCause, NodeInfo};

/// How long `kill` waits for a PMD that has said that it ends.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn run(command: PmdCommand, place: &Place) -> u8 {
    match command {
        PmdCommand::Start(options) if options.daemon => start_daemon(&options, place),
        PmdCommand::Start(options) => start(&options, place),
        PmdCommand::Status => status(place),
        PmdCommand::List { prefix, watch } => {
            report("list nodes", list(place, prefix.as_deref(), watch))
        }
        PmdCommand::Resolve { alias } => resolve(place, &alias),
        PmdCommand::Kill => report(
            "shutdown PMD",
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

fn report(doing: &str, result: Result<()>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            err_line(&format!("Failed to {doing}: {error}"));
            1
        }
    }
}

fn status(place: &Place) -> u8 {
    match connect(place).and_then(|mut client| client.list(None)) {
        Ok(nodes) if place.json => {
            out_line(&format!(
                "{{\"running\":true,\"host\":{},\"port\":{},\"nodes\":{}}}",
                serde_json::Value::from(place.host.as_str()),
                place.port,
                nodes.len()
            ));
            0
        }
        Ok(nodes) => {
            out_line("PMD Status:");
            out_line(&format!("  Port: {}", place.port));
            out_line(&format!("  Registered nodes: {}", nodes.len()));
            0
        }
        Err(error) => {
            if place.json {
                out_line("{\"running\":false}");
            }
            if error.kind() == ErrorKind::NotPmd {
                err_line(&error.to_string());
            } else {
                err_line("PMD not running or unreachable");
            }
            1
        }
    }
}

fn list(place: &Place, prefix: Option<&str>, watch: bool) -> Result<()> {
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
        out_line(&format!("[{}]", nodes.join(",")));
    } else {
        out_line("Registered nodes:");
        if nodes.is_empty() {
            out_line("  (none)");
        }
        for node in &nodes {
            let name = node.alias.as_deref().unwrap_or(&node.node_id);
            out_line(&format!("  - {name}"));
            out_line(&format!("    Node ID: {}", node.node_id));
            out_line(&format!("    Address: {}:{}", node.host, node.port));
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
        out_line(&format!(
            "{{\"event\":\"{name}\",\"peer\":{}{cause}}}",
            node_json(node)
        ));
    } else {
        let alias = node.alias.as_deref().unwrap_or(&node.node_id);
        let cause = cause.map_or(String::new(), |cause| format!(" ({cause})"));
        out_line(&format!(
            "  {sign} {alias} {} {}:{}{cause}",
            node.node_id, node.host, node.port
        ));
    }
}

fn resolve(place: &Place, alias: &str) -> u8 {
    match connect(place).and_then(|mut client| client.resolve(alias)) {
        Ok(node) if place.json => {
            out_line(&node_json(&node));
            0
        }
        Ok(node) => {
            out_line(&format!("Resolved '{alias}':"));
            out_line(&format!("  Node ID: {}", node.node_id));
            out_line(&format!("  Address: {}:{}", node.host, node.port));
            0
        }
        Err(error) if error.kind() == ErrorKind::NodeNotFound => {
            err_line(&format!("Alias '{alias}' not found"));
            1
        }
        Err(error) => {
            err_line(&format!("Failed to resolve alias: {error}"));
            1
        }
    }
}

// ------------------------------------------------------------------------------ the daemon

/// Serves until a signal, a `shutdown` request or the auto-shutdown.
fn start(options: &StartOptions, place: &Place) -> u8 {
    let fail = |error: &Error| {
        err_line(&format!("Failed to start PMD: {error}"));
        1
    };
    let server = match Server::bind(PmdOptions {
        host: place.host.clone(),
        port: place.port,
        insecure: options.insecure,
        auto_shutdown_ms: (options.auto_shutdown_ms > 0).then_some(options.auto_shutdown_ms),
        ..PmdOptions::default()
    }) {
        Ok(server) => server,
        Err(error) => return fail(&error),
    };
    let control = server.control();
    let signalled = Arc::new(AtomicBool::new(false));
    let flag = signalled.clone();
    if let Err(error) = signals::on_terminate(move || {
        flag.store(true, Ordering::Release);
        control.stop();
    }) {
        return fail(&Error::io("cannot wait for signals", &error));
    }
    let port = server.port();
    out_line(&format!("PMD listening on port {port}"));
    if !crate::net::is_loopback(&place.host) {
        err_line(&format!(
            "WARNING: listening on {} without authentication (--insecure)",
            place.host
        ));
    }
    out_line(&format!("{READY_LINE}{port}"));
    if options.daemon_child {
        leave_pipes(options.log_file.as_deref());
    }
    match server.run(|notice| print_notice(&notice, &signalled)) {
        Ok(()) => {
            out_line("PMD stopped");
            // Whether anyone reads what a daemon prints is no matter of its success.
            begin();
            0
        }
        Err(error) => fail(&error),
    }
}

fn print_notice(notice: &ServerNotice<'_>, signalled: &AtomicBool) {
    match notice {
        ServerNotice::Registry(Notice::Left(node, cause)) => {
            let id = &node.node_id;
            match cause {
                LeaveCause::Closed => {
                    out_line(&format!("Node {id} disconnected (socket closed)"));
                    out_line(&format!("Removing node {id} (reason: socket_closed)"));
                }
                LeaveCause::Unregistered => {
                    out_line(&format!("Removing node {id} (reason: unregister)"));
                }
                LeaveCause::TimedOut => out_line(&format!("Removing stale node: {id}")),
                LeaveCause::Replaced | LeaveCause::Unknown => {
                    out_line(&format!("Removing node {id} (reason: {})", cause.name()));
                }
            }
        }
        ServerNotice::Registry(Notice::Joined(node)) => {
            let alias = node.alias.as_ref().map(|alias| alias.as_str());
            tracing::info!(node = %node.node_id, alias, "node joined");
        }
        ServerNotice::Registry(Notice::AutoShutdownArmed(ms)) => out_line(&format!(
            "No nodes registered. PMD will auto-shutdown in {} seconds...",
            *ms as f64 / 1_000.0
        )),
        ServerNotice::Registry(Notice::AutoShutdownCancelled) => {
            out_line("Auto-shutdown cancelled (node registered)");
        }
        ServerNotice::Registry(Notice::BadFrame(text)) => {
            err_line(&format!("Failed to parse message: {}", shown(text)));
        }
        ServerNotice::Connection(text) => err_line(&shown(text)),
        ServerNotice::Stopping(Some(StopReason::Requested)) => {
            out_line("Shutdown requested, stopping PMD...");
        }
        ServerNotice::Stopping(Some(StopReason::NoNodes)) => {
            // The originals' text, which says 30 whatever the delay is.
            out_line("Auto-shutdown triggered (no nodes for 30 seconds)");
        }
        ServerNotice::Stopping(None) => {
            if signalled.load(Ordering::Acquire) {
                out_line("\nShutting down PMD...");
            }
        }
    }
}

/// Untrusted text for a terminal or log: no control characters, not endless.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(crate::limits::LOG_TEXT_BYTES_MAX)
        .collect()
}

/// Starts this command line again as a daemon and returns when its port answers.
fn start_daemon(options: &StartOptions, place: &Place) -> u8 {
    let started =
        daemon_command(options, place).and_then(|command| spawn_daemon(command, place.port));
    match started {
        Ok(port) => {
            out_line(&format!("{READY_LINE}{port}"));
            0
        }
        Err(error) => {
            // The daemon's own message says it already.
            let text = error.to_string();
            let text = text.strip_prefix("Failed to start PMD: ").unwrap_or(&text);
            err_line(&format!("Failed to start PMD: {text}"));
            1
        }
    }
}

fn daemon_command(options: &StartOptions, place: &Place) -> Result<std::process::Command> {
    let mut command = crate::cli::process::own_command()?;
    command.args(["pmd", "start", "--daemon-child"]);
    command.args(["--host", &place.host, "--port", &place.port.to_string()]);
    command.args(["--auto-shutdown-ms", &options.auto_shutdown_ms.to_string()]);
    if options.insecure {
        command.arg("--insecure");
    }
    if let Some(file) = &options.log_file {
        let file = std::path::absolute(file)
            .map_err(|error| Error::io("cannot find the log file's folder", &error))?;
        // Opened here once, so that a wrong name is an error and not silence.
        open_log(&file)
            .map_err(|error| Error::io(&format!("cannot write to {}", file.display()), &error))?;
        command.arg("--log-file").arg(file);
    }
    Ok(command)
}

fn open_log(file: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(file)
}

/// The launcher has what it waited for; from here on, output goes to the log or nowhere.
fn leave_pipes(log_file: Option<&Path>) {
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        let target = match log_file {
            Some(file) => open_log(file),
            None => std::fs::OpenOptions::new().write(true).open("/dev/null"),
        };
        if let Ok(target) = target {
            for fd in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
                // SAFETY: dup2 between two descriptors that are open.
                unsafe { libc::dup2(target.as_raw_fd(), fd) };
            }
        }
    }
    #[cfg(not(unix))]
    let _ = log_file;
}
