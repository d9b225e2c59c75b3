//! A child process that never outlives its test.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::wait::{LIMIT, wait_until};

/// A running process. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    lines: Receiver<String>,
}

impl Child {
    /// Starts it with standard input and output as pipes; standard error goes to the test's.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        // Ends with the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output; panics when none comes.
    pub fn line(&self) -> String {
        self.lines
            .recv_timeout(LIMIT)
            .expect("the child printed no further line")
    }

    /// The next line that starts so, without that start.
    pub fn line_after(&self, start: &str) -> String {
        loop {
            if let Some(rest) = self.line().strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    /// Its standard input.
    pub fn stdin(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().expect("standard input is closed")
    }

    /// Writes a line to its standard input.
    pub fn write_line(&mut self, line: &str) {
        writeln!(self.stdin(), "{line}").expect("the child does not read");
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is our child and was not waited for, so the id is still its own.
        let result = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        assert_eq!(result, 0, "cannot send signal {signal}");
    }

    /// Kills it, as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end; `None` when the limit passed first.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let mut status = None;
        let _ = wait_until(limit, || {
            status = self.child.try_wait().expect("cannot wait for the child");
            status.is_some()
        });
        status
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let text = self.proc("status");
        let line = text.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.expect("no VmRSS") << 10
    }

    /// Processor time used so far.
    pub fn cpu_time(&self) -> Duration {
        let text = self.proc("stat");
        // The name in brackets may hold spaces; user and system time are fields 14 and 15.
        let (_, rest) = text.rsplit_once(") ").expect("no name in stat");
        let field = |n: usize| -> u64 {
            let value = rest.split(' ').nth(n - 3).unwrap();
            value.parse().unwrap()
        };
        // SAFETY: sysconf only reads a constant.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
        Duration::from_millis((field(14) + field(15)) * 1_000 / per_second)
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
            .expect("the child is gone")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
