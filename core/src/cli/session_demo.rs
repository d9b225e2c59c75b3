//! `distflow session demo`: instances in processes; each step's latency. Ends with 0 only if all of it
//! happened.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::broker::READY_LINE;
use crate::cli::output::{err_line, out_line};
use crate::cli::process::own_command;
use crate::error::{Error, ErrorKind, Result};

/// Far more than any step takes; only a failure gets there.
const LIMIT: Duration = Duration::from_secs(40);

pub(super) fn run(members: usize, broker: Option<&str>) -> u8 {
    match demo(members, broker) {
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

/// A child process that does not outlive the demo.
struct Process(Child);

/// Time for an instance to leave its session, and to tidy up.
const END_WITHIN: Duration = Duration::from_secs(8);

impl Process {
    /// Lets it leave its session, and waits for that.
    fn end(mut self) {
        let Ok(id) = i32::try_from(self.0.id()) else {
            return;
        };
        // SAFETY: A child that was not waited for yet, so the number is its.
        unsafe { libc::kill(id, libc::SIGTERM) };
        let deadline = Instant::now() + END_WITHIN;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Line {
    who: usize,
    at: Instant,
    json: Value,
}

fn spawn(
    arguments: &[&str],
    who: usize,
    lines: Option<Sender<Line>>,
) -> Result<(Process, Option<String>)> {
    let mut command = own_command()?;
    let mut child = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| Error::io("cannot start an instance", &error))?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| failed("a process has no pipe"))?;
    let process = Process(child);
    let mut output = BufReader::new(stdout).lines().map_while(|line| line.ok());
    let Some(lines) = lines else {
        let ready = output.find_map(|line| line.strip_prefix(READY_LINE).map(str::to_owned));
        std::thread::spawn(move || output.for_each(drop));
        return Ok((process, ready));
    };
    std::thread::spawn(move || {
        for line in output {
            let at = Instant::now();
            if let Ok(json) = serde_json::from_str(&line)
                && lines.send(Line { who, at, json }).is_err()
            {
                return;
            }
        }
    });
    Ok((process, None))
}

/// Waits until each of these has said something, and gives the moments.
fn each(
    lines: &Receiver<Line>,
    who: &[usize],
    what: &str,
    is_it: impl Fn(&Value) -> bool,
) -> Result<Vec<Instant>> {
    let mut missing = who.to_vec();
    let mut found = Vec::new();
    let deadline = Instant::now() + LIMIT;
    while !missing.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = lines.recv_timeout(left).map_err(|_| {
            failed(format!(
                "{} of {} have not seen {what}",
                missing.len(),
                who.len()
            ))
        })?;
        if line.json["event"] == "error" {
            return Err(failed(format!(
                "instance {}: {}",
                line.who, line.json["text"]
            )));
        }
        if let Some(at) = missing.iter().position(|who| *who == line.who)
            && is_it(&line.json)
        {
            missing.remove(at);
            found.push(line.at);
        }
    }
    Ok(found)
}

fn say(what: &str, since: Instant, seen: &[Instant]) {
    let last = seen.iter().max().copied().unwrap_or(since);
    let ms = last.saturating_duration_since(since).as_secs_f64() * 1e3;
    out_line(&format!("{what:<58} {ms:>8.1} ms"));
}

fn demo(members: usize, broker: Option<&str>) -> Result<()> {
    let (_broker, url) = match broker {
        Some(url) => (None, url.to_owned()),
        None => {
            let (process, ready) = spawn(&["broker", "start", "--mqtt-port", "0"], 0, None)?;
            let address = ready.ok_or_else(|| failed("the broker did not start"))?;
            out_line(&format!("a broker on {address}"));
            (Some(process), format!("mqtt://{address}"))
        }
    };
    let (sender, lines) = channel();
    let id = crate::sessions::session_id();
    let max = (members + 1).to_string();
    let begun = Instant::now();
    let create = [
        "session",
        "create",
        "--json",
        "--broker",
        &url,
        "--id",
        &id,
        "--max",
        &max,
        "--hand-over",
        "--model",
        "Demo",
    ];
    let (creator, _) = spawn(&create, 0, Some(sender.clone()))?;
    let is_in = |json: &Value| json["event"] == "in";
    say(
        "one creates a session",
        begun,
        &each(&lines, &[0], "the session", is_in)?,
    );

    let begun = Instant::now();
    let join = ["session", "join", "--json", "--broker", &url, &id];
    let mut processes = Vec::new();
    for who in 1..=members {
        processes.push(spawn(&join, who, Some(sender.clone()))?.0);
    }
    let everybody: Vec<usize> = (0..=members).collect();
    let total = members as u64 + 1;
    let has_all = |json: &Value| {
        json["members"] == total
            || json["view"]["members"]
                .as_array()
                .is_some_and(|all| all.len() as u64 == total)
    };
    let seen = each(&lines, &everybody, "all of them", has_all)?;
    say(
        &format!("{members} join at once, and everybody sees all"),
        begun,
        &seen,
    );

    let last = processes.pop();
    let begun = Instant::now();
    drop(last);
    let left: Vec<usize> = (0..members).collect();
    let is_gone = |json: &Value| json["event"]["type"] == "member_left";
    let seen = each(&lines, &left, "that a killed member is gone", is_gone)?;
    say(
        "a member is killed, and everybody sees that it is gone",
        begun,
        &seen,
    );

    let begun = Instant::now();
    drop(creator);
    let left: Vec<usize> = (1..members).collect();
    let is_continued = |json: &Value| json["event"]["type"] == "creator_changed";
    let seen = each(&lines, &left, "a new creator", is_continued)?;
    say(
        "the creator is killed, and another continues the session",
        begun,
        &seen,
    );
    // The last one leaves nothing on the broker, which may be the user's.
    processes.into_iter().for_each(Process::end);
    out_line("all of it happened");
    Ok(())
}
