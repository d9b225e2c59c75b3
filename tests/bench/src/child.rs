//! A child process that never outlives its measurement.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::failure::{Result, failure};
use crate::process;

/// How long a child may take to say something.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running process that reports in lines. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    lines: Receiver<String>,
    name: String,
}

impl Child {
    /// Starts it, on one processor if one is given. Its standard input is a pipe, so that it
    /// can notice the end of this process.
    pub fn spawn(mut command: Command, cpu: Option<usize>) -> Result<Self> {
        command.stdout(Stdio::piped());
        Self::start(command, cpu)
    }

    fn start(mut command: Command, cpu: Option<usize>) -> Result<Self> {
        let name = format!("{command:?}");
        if let Some(cpu) = cpu {
            // SAFETY: the closure makes one system call and allocates nothing.
            unsafe { command.pre_exec(move || process::pin(cpu)) };
        }
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| failure(format!("cannot run {name}: {error}")))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            // Ends with the pipe.
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, lines, name })
    }

    /// Starts one whose output nobody reads: a line printed per request would otherwise wake
    /// this process, and be measured.
    pub fn spawn_silent(mut command: Command, cpu: Option<usize>) -> Result<Self> {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self::start(command, cpu)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The rest of the next line that starts so.
    pub fn line_after(&self, start: &str) -> Result<String> {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .map_err(|error| failure(format!("no '{start}' from {}: {error}", self.name)))?;
            if let Some(rest) = line.strip_prefix(start) {
                return Ok(rest.trim().to_owned());
            }
            if let Some(what) = line.strip_prefix("failed ") {
                return Err(failure(format!("{}: {what}", self.name)));
            }
        }
    }

    /// The numbers of its result line.
    pub fn result(&self) -> Result<Vec<u64>> {
        let line = self.line_after("result ")?;
        line.split_whitespace()
            .map(|word| Ok(word.parse()?))
            .collect()
    }

    /// Kills it and waits until it is gone.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// This program in one of its roles as a child.
pub fn role(words: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("child").args(words);
    Ok(command)
}

/// Ends this process when the one that started it does.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        // The pipe carries nothing; it ends with the parent.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
}
