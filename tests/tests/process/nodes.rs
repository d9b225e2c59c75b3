//! A `distflow node run` process, and a PMD process of the same program.

use std::process::Command;

use distflow_tests::{Child, distflow_program};
use serde_json::Value;

/// A node in a process of its own.
pub struct NodeProcess {
    pub child: Child,
    pub id: String,
}

pub fn distflow(arguments: &[&str]) -> Command {
    let mut command = Command::new(distflow_program());
    command.args(arguments);
    command.env("DISTFLOW_PMD", distflow_program());
    command
}

impl NodeProcess {
    /// Starts the process; does not wait until it is registered.
    pub fn spawn(port: u16, alias: &str, more: &[&str]) -> Child {
        let mut command = distflow(&["node", "run", "--alias", alias]);
        command.args(["--port", &port.to_string()]).args(more);
        Child::spawn(command)
    }

    /// Waits until a spawned process is registered.
    pub fn started(child: Child) -> Self {
        let first: Value = serde_json::from_str(&child.line()).unwrap();
        assert_eq!(first["event"], "started", "{first}");
        let id = first["nodeId"].as_str().unwrap().to_owned();
        Self { child, id }
    }

    pub fn start(port: u16, alias: &str, more: &[&str]) -> Self {
        Self::started(Self::spawn(port, alias, more))
    }

    /// The next line it prints.
    pub fn next(&self) -> Value {
        serde_json::from_str(&self.child.line()).unwrap()
    }

    /// The next line with that event.
    pub fn event(&self, name: &str) -> Value {
        loop {
            let line = self.next();
            if line["event"] == name {
                return line;
            }
        }
    }

    pub fn send(&mut self, to: &str, payload: &str) {
        let line = format!("{{\"to\":\"{to}\",\"payload\":{payload}}}");
        self.child.write_line(&line);
    }
}

/// A PMD in the foreground on a free port.
pub fn pmd(more: &[&str]) -> (Child, u16) {
    let mut command = distflow(&["pmd", "start", "--port", "0"]);
    command.args(more);
    let child = Child::spawn(command);
    let port = child.line_after("PMD started on port ").parse().unwrap();
    (child, port)
}

/// The daemons that were started for a port.
pub fn daemons(port: u16) -> Vec<i32> {
    let wanted = format!("--port\0{port}\0");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("--daemon-child") && line.contains(&wanted) {
            found.push(pid);
        }
    }
    found
}

/// Ends the auto-started daemon of a port when a test is over, however it is over.
pub struct DaemonGuard(pub u16);

impl Drop for DaemonGuard {
    fn drop(&mut self) {
        for pid in daemons(self.0) {
            // SAFETY: a signal to a process that this test caused to start.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}
