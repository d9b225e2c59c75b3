//! `distflow pmd start`: serving, in the foreground or as a daemon.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::args::{Place, StartOptions};
use crate::cli::output::{RUNS_ALREADY, begin, err_line, out_line, shown};
use crate::cli::{logging, notify, output, signals};
use crate::error::{Error, Result};
use crate::limits;
use crate::pmd::{Daemon, PmdOptions, READY_LINE, Server, ServerNotice, is_launched, spawn_daemon};
use crate::registry::{Notice, StopReason};
use crate::wire::pmd::{LeaveCause, Register};

pub(super) fn run(options: &StartOptions, place: &Place) -> u8 {
    if options.daemon {
        start_daemon(options, place)
    } else {
        start(options, place)
    }
}

/// Serves until a signal, a `shutdown` request or the auto-shutdown.
fn start(options: &StartOptions, place: &Place) -> u8 {
    let fail = |error: &Error| {
        err_line(&format!("Failed to start PMD: {error}"));
        1
    };
    let pmd = PmdOptions {
        host: place.host.clone(),
        port: place.port,
        insecure: options.insecure,
        raise_descriptor_limit: true,
        auto_shutdown_ms: (options.auto_shutdown_ms > 0).then_some(options.auto_shutdown_ms),
        gives_way: options.gives_way,
        ..PmdOptions::default()
    };
    let server = if options.takeover {
        Server::take_over(&pmd, |nodes| {
            out_line(&format!("Taking over from another PMD, with {nodes} nodes"));
        })
    } else {
        Server::bind(pmd)
    };
    let server = match server {
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
    output::serve(false);
    out_line(&format!("PMD listening on port {port}"));
    if !crate::net::is_loopback(&place.host) {
        err_line(&format!(
            "WARNING: listening on {} without authentication (--insecure)",
            place.host
        ));
    }
    out_line(&format!("{READY_LINE}{port}"));
    notify::send("READY=1\nSTATUS=Serving");
    if options.daemon_child {
        leave_pipes(options.log_file.as_deref());
    }
    tracing::info!(port, version = crate::VERSION, "the PMD serves");
    match server.run(|notice| print_notice(&notice, &signalled)) {
        Ok(()) => {
            say("PMD stopped");
            output::end();
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
            let (id, alias) = names(node);
            tracing::info!(node = id, alias, cause = cause.name(), "node left");
            if logging::is_json() {
                return;
            }
            let id = shown(id);
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
            let (id, alias) = names(node);
            tracing::info!(node = id, alias, "node joined");
        }
        ServerNotice::Registry(Notice::AutoShutdownArmed(ms)) => say(&format!(
            "No nodes registered. PMD will auto-shutdown in {} seconds...",
            *ms as f64 / 1_000.0
        )),
        ServerNotice::Registry(Notice::AutoShutdownCancelled) => {
            say("Auto-shutdown cancelled (node registered)");
        }
        ServerNotice::Registry(Notice::BadFrame(text)) => {
            tracing::warn!(reason = text, "a frame is no request");
            complain(&format!("Failed to parse message: {}", cut(text)));
        }
        ServerNotice::Connection(text) => {
            tracing::warn!(reason = text, "connection");
            complain(&cut(text));
        }
        ServerNotice::Stopping(Some(StopReason::Requested)) => {
            say("Shutdown requested, stopping PMD...");
        }
        ServerNotice::Stopping(Some(StopReason::NoNodes)) => {
            // The originals' text, which says 30 whatever the delay is.
            say("Auto-shutdown triggered (no nodes for 30 seconds)");
        }
        ServerNotice::Stopping(Some(StopReason::TakenOver)) => {
            say("Another PMD takes over, stopping PMD...");
        }
        ServerNotice::Stopping(None) => {
            notify::send("STOPPING=1");
            if signalled.load(Ordering::Acquire) {
                say("\nShutting down PMD...");
            }
        }
    }
}

/// Prints a line of those that the originals print; where the log is JSON, as an object of it.
fn say(text: &str) {
    if logging::is_json() {
        tracing::info!("{}", text.trim());
    } else {
        out_line(text);
    }
}

/// Prints a line on standard error, unless the log says it there.
fn complain(text: &str) {
    if !logging::is_json() && !tracing::enabled!(tracing::Level::WARN) {
        err_line(text);
    }
}

/// A node's id and alias for a log.
fn names(node: &Register) -> (&str, Option<&str>) {
    let alias = node.alias.as_ref().map(|alias| alias.as_str());
    (node.node_id.as_str(), alias)
}

/// Untrusted text for a terminal or log: it moves no cursor and is not endless.
fn cut(text: &str) -> String {
    let text: String = text.chars().take(limits::LOG_TEXT_BYTES_MAX * 2).collect();
    shown(&text).into_owned()
}

/// Starts this command line again as a daemon and returns when its port answers.
fn start_daemon(options: &StartOptions, place: &Place) -> u8 {
    let started = daemon_command(options, place)
        .and_then(|command| spawn_daemon(command, &place.host, place.port));
    match started {
        Ok(Daemon::Started { port, pid }) => {
            if place.json {
                out_line(&format!(
                    "{{\"started\":true,\"port\":{port},\"pid\":{pid}}}"
                ));
            } else {
                out_line(&format!("{READY_LINE}{port}"));
            }
            if place.log.is_some() && options.log_file.is_none() {
                err_line("--log has no effect here: a daemon logs to the file of --log-file");
            }
            0
        }
        Ok(Daemon::ServedAlready) => {
            let port = place.port;
            if place.json {
                out_line(&format!("{{\"started\":false,\"port\":{port}}}"));
            }
            err_line(&format!(
                "A PMD runs on port {port} already; none was started, and the options given here \
                 have no effect on it"
            ));
            RUNS_ALREADY
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
    if let Some(level) = &place.log {
        command.args(["--log", level, "--log-format", &place.log_format]);
    }
    if is_launched() {
        command.arg("--gives-way");
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
