//! `distflow demo`: the main job on real processes. Ends with 0 only if all of it happened.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::args::DemoOptions;
use crate::cli::output::{err_line, out_line};
use crate::cli::process::own_command;
use crate::error::{Error, ErrorKind, Result};
use crate::pmd::{PmdClient, READY_LINE};

/// Far more than any step takes; only a failure gets there.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(options: &DemoOptions) -> u8 {
    match demo(options) {
        Ok(()) => 0,
        Err(error) => {
            err_line(&format!("demo failed: {error}"));
            1
        }
    }
}

fn failed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, what.into())
}

/// A line of a node process, and when it arrived.
struct Line {
    node: usize,
    at: Instant,
    json: Value,
}

/// A child process that does not outlive the demo.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct DemoNode {
    alias: String,
    process: Process,
    stdin: ChildStdin,
}

fn spawn(mut command: Command) -> Result<(Process, ChildStdin, std::process::ChildStdout)> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            let program = command.get_program().to_string_lossy();
            Error::io(&format!("cannot start {program}"), &error)
        })?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => Ok((Process(child), stdin, stdout)),
        _ => Err(failed("a process has no pipes")),
    }
}

fn start_pmd() -> Result<(Process, ChildStdin, u16)> {
    let mut command = own_command()?;
    command.args(["pmd", "start", "--port", "0"]);
    // Its notes on killed connections are no failure of the demo.
    command.stderr(Stdio::null());
    let (process, stdin, stdout) = spawn(command)?;
    let mut lines = BufReader::new(stdout).lines().map_while(|line| line.ok());
    let port = lines
        .find_map(|line| line.strip_prefix(READY_LINE)?.trim().parse().ok())
        .ok_or_else(|| failed("the PMD did not start"))?;
    // Whatever it prints from here on is read and dropped, so that it never blocks.
    std::thread::spawn(move || lines.for_each(drop));
    Ok((process, stdin, port))
}

/// Starts this program's own node, or a given program as one.
fn start_node(
    index: usize,
    program: Option<&Path>,
    port: u16,
    lines: Sender<Line>,
) -> Result<DemoNode> {
    let alias = format!("demo-{}", index + 1);
    let mut command = match program {
        Some(program) => Command::new(program),
        None => {
            let mut command = own_command()?;
            command.args(["node", "run", "--no-auto-start"]);
            command
        }
    };
    command.args(["--alias", &alias, "--port", &port.to_string()]);
    let (process, stdin, stdout) = spawn(command)?;
    std::thread::spawn(move || {
        let output = BufReader::new(stdout).lines().map_while(|line| line.ok());
        let json = output.filter_map(|line| serde_json::from_str(&line).ok());
        // The end of its output is the end of the process.
        for json in json.chain([serde_json::json!({"event": "ended"})]) {
            let at = Instant::now();
            let line = Line {
                node: index,
                at,
                json,
            };
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    Ok(DemoNode {
        alias,
        process,
        stdin,
    })
}

/// Hands lines to `take` until it says that it has seen enough.
fn collect(
    lines: &Receiver<Line>,
    what: &str,
    mut take: impl FnMut(&Line) -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                if take(&line)? {
                    return Ok(());
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(failed(format!("{what}: not within {} s", LIMIT.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(failed(format!("{what}: the processes ended")));
            }
        }
    }
}

fn demo(options: &DemoOptions) -> Result<()> {
    let own = usize::from(options.nodes);
    let count = own + options.node_program.len();
    let begun = Instant::now();
    let (_pmd, _pmd_stdin, port) = start_pmd()?;
    out_line(&format!(
        "PMD on port {port}: ready after {}",
        ms(begun.elapsed())
    ));

    let (sender, lines) = channel();
    let begun = Instant::now();
    let mut nodes = (0..count)
        .map(|index| {
            let given = index.checked_sub(own);
            let program = given.and_then(|given| options.node_program.get(given));
            start_node(index, program.map(AsRef::as_ref), port, sender.clone())
        })
        .collect::<Result<Vec<_>>>()?;
    drop(sender);
    let languages = await_start(count, &lines)?;
    out_line(&format!(
        "{count} node processes ({languages}): all registered after {}",
        ms(begun.elapsed())
    ));

    exchange(options, &mut nodes, &lines)?;
    let latencies = kill_one(&mut nodes, &lines)?;
    let names = PmdClient::connect("localhost", port)?.list(None)?;
    if names.len() != count - 1 {
        return Err(failed(format!("the registry has {} nodes", names.len())));
    }
    out_line(&format!(
        "Summary: {count} processes ({languages}) found each other, {} messages arrived in order, \
         and a kill was seen by all {} others within {}",
        count * (count - 1) * options.messages as usize,
        latencies.len(),
        ms(latencies.last().copied().unwrap_or_default())
    ));
    Ok(())
}

/// Waits until all have started. Returns how many are written in which language.
fn await_start(count: usize, lines: &Receiver<Line>) -> Result<String> {
    let mut languages = BTreeMap::<String, usize>::new();
    let mut started = 0;
    collect(lines, "start", |line| match line.json["event"].as_str() {
        Some("started") => {
            // This program's own nodes do not say it.
            let language = line.json["language"].as_str().unwrap_or("Rust");
            *languages.entry(language.to_owned()).or_default() += 1;
            started += 1;
            Ok(started == count)
        }
        Some("error" | "ended") => Err(failed(format!(
            "demo-{} did not start: {}",
            line.node + 1,
            line.json
        ))),
        _ => Ok(false),
    })?;
    let mut languages: Vec<_> = languages.into_iter().collect();
    // The most common first.
    languages.sort_by_key(|(_, nodes)| std::cmp::Reverse(*nodes));
    let languages = languages
        .iter()
        .map(|(language, nodes)| format!("{nodes} {language}"));
    Ok(languages.collect::<Vec<_>>().join(", "))
}

/// Every node sends to every other; each receiver checks the order of each sender.
fn exchange(options: &DemoOptions, nodes: &mut [DemoNode], lines: &Receiver<Line>) -> Result<()> {
    let begun = Instant::now();
    let aliases: Vec<String> = nodes.iter().map(|node| node.alias.clone()).collect();
    for (from, node) in nodes.iter_mut().enumerate() {
        let mut text = String::new();
        for number in 0..options.messages {
            for (to, alias) in aliases.iter().enumerate().filter(|(to, _)| *to != from) {
                text.push_str(&format!(
                    "{{\"to\":\"{alias}\",\"payload\":{{\"from\":{from},\"to\":{to},\"n\":{number}}}}}\n"
                ));
            }
        }
        node.stdin
            .write_all(text.as_bytes())
            .map_err(|error| Error::io("cannot write to a node", &error))?;
    }
    let count = nodes.len();
    let mut next = vec![vec![0u64; count]; count];
    let mut missing = count * (count - 1) * options.messages as usize;
    collect(lines, "messages", |line| {
        if line.json["event"] == "error" || line.json["event"] == "ended" {
            return Err(failed(line.json.to_string()));
        }
        if line.json["event"] != "message" {
            return Ok(false);
        }
        let payload = &line.json["payload"];
        let field = |name: &str| payload[name].as_u64().unwrap_or(u64::MAX);
        let from = field("from") as usize;
        let wanted = next.get_mut(from).and_then(|row| row.get_mut(line.node));
        match wanted {
            Some(wanted) if field("to") == line.node as u64 && field("n") == *wanted => {
                *wanted += 1
            }
            _ => return Err(failed(format!("unexpected message {}", line.json))),
        }
        missing -= 1;
        Ok(missing == 0)
    })?;
    let total = count * (count - 1) * options.messages as usize;
    out_line(&format!(
        "{total} messages, each node to each other: all arrived, in order, after {}",
        ms(begun.elapsed())
    ));
    Ok(())
}

/// Kills the first node; every other has to report its leave. Returns the latencies, sorted.
fn kill_one(nodes: &mut [DemoNode], lines: &Receiver<Line>) -> Result<Vec<Duration>> {
    let killed = nodes[0].alias.clone();
    let at = Instant::now();
    nodes[0]
        .process
        .0
        .kill()
        .map_err(|error| Error::io("cannot kill a node", &error))?;
    let mut latencies = Vec::new();
    collect(lines, "peer:leave", |line| {
        if line.json["event"] == "peer:leave" && line.json["peer"]["alias"] == killed.as_str() {
            latencies.push(line.at.saturating_duration_since(at));
            out_line(&format!(
                "  {} saw peer:leave of {killed} ({}) {} after kill -9",
                nodes[line.node].alias,
                line.json["cause"].as_str().unwrap_or("?"),
                ms(line.at.saturating_duration_since(at))
            ));
        }
        Ok(latencies.len() == nodes.len() - 1)
    })?;
    latencies.sort_unstable();
    Ok(latencies)
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1_000.0)
}
