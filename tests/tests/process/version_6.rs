//! A host whose loopback is ::1 alone.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use distflow_tests::{Child, TempFolder, distflow_program};
use serde_json::Value;

use crate::namespaces::{are_missing, ip};
use crate::nodes::NodeProcess;

/// Every host has ports of its own, so these need not be free here.
const PORT: &str = "4369";

/// A host without 127.0.0.1; gone with the test, and all that runs there.
struct Host {
    name: String,
    folder: TempFolder,
}

impl Host {
    fn new(test: &str) -> Self {
        let host = Self::with_both(test);
        ip(&format!("-n {} addr del 127.0.0.1/8 dev lo", host.name));
        host
    }

    /// A usual one, for comparison.
    fn with_both(test: &str) -> Self {
        let host = Self {
            name: format!("df6{}{test}", std::process::id()),
            folder: TempFolder::new(),
        };
        ip(&format!("netns add {}", host.name));
        ip(&format!("-n {} link set lo up", host.name));
        host
    }

    /// A program of the tests, on this host.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command.args(arguments);
        command.env("TMPDIR", self.folder.path());
        command.env("DISTFLOW_PMD", distflow_program());
        command
    }

    fn distflow(&self, arguments: &[&str]) -> Command {
        self.command(distflow_program().to_str().unwrap(), arguments)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.distflow(arguments).output().unwrap()
    }

    /// What a command prints that has to succeed.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command complains of that has to fail.
    fn complains(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Child {
        Child::spawn(self.distflow(arguments))
    }

    fn node(&self, alias: &str, more: &[&str]) -> NodeProcess {
        let mut arguments = vec!["node", "run", "--alias", alias, "--port", PORT];
        arguments.extend(more);
        NodeProcess::started(self.start(&arguments))
    }

    fn status(&self, pmd: &str) -> Value {
        let status = self.says(&["pmd", "status", "--json", "--host", pmd, "--port", PORT]);
        serde_json::from_str(&status).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A daemon that a node launched is nobody's child here.
        let pids = Command::new("ip")
            .args(["netns", "pids", &self.name])
            .output();
        let pids = pids.map(|output| output.stdout).unwrap_or_default();
        for pid in String::from_utf8_lossy(&pids).lines() {
            if let Ok(pid) = pid.trim().parse() {
                // SAFETY: a signal to a process that this test caused to start.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .output();
    }
}

#[test]
fn the_first_node_launches_a_pmd_and_others_find_it() {
    if are_missing("version_6", &["ip"]) {
        return;
    }
    for (place, pmd) in ["localhost", "::1"].into_iter().enumerate() {
        let host = Host::new(&format!("l{place}"));
        let node = host.node("first", &["--host", pmd]);
        assert_eq!(host.status(pmd)["addresses"][0], "[::1]:4369");
        let list = host.says(&["pmd", "list", "--host", pmd, "--port", PORT]);
        assert!(list.contains("first"), "{list}");
        let send = ["node", "send", "first", "7", "--host", pmd, "--port", PORT];
        host.says(&send);
        assert_eq!(node.event("message")["payload"], 7);
    }
}

/// A PMD that serves at the other address can't be joined at this one, and holds its port against
/// any that is launched, as often as that is tried.
#[test]
fn a_launch_that_is_of_no_use_is_not_repeated() {
    if are_missing("version_6", &["ip"]) {
        return;
    }
    let host = Host::with_both("r");
    let pmd = host.start(&["pmd", "start", "--host", "127.0.0.1", "--port", PORT]);
    pmd.line_after("PMD started on port ");
    let script = host.folder.path().join("counting");
    let text = format!(
        "#!/bin/sh\necho launched >> \"$TMPDIR/launches\"\nexec '{}' \"$@\"\n",
        distflow_program().display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    // The system runs it through a shell, so a process of another test that has it open is no matter.
    let mut node = host.distflow(&["node", "run", "--host", "::1", "--port", PORT]);
    node.env("DISTFLOW_PMD", &script);
    let output = node.output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("no PMD answers on ::1:4369"), "{error}");
    let launches = std::fs::read_to_string(host.folder.path().join("launches")).unwrap();
    assert_eq!(launches, "launched\n");
}

#[test]
fn without_a_program_a_node_serves_as_the_pmd() {
    if are_missing("version_6", &["ip"]) {
        return;
    }
    let host = Host::new("e");
    // Alone in its folder, so that it finds no program to launch.
    let program = host.folder.path().join("host");
    std::fs::copy(env!("CARGO_BIN_EXE_embedding_node"), &program).unwrap();
    let mut command = host.command("/usr/bin/env", &["-u", "DISTFLOW_PMD", "PATH="]);
    command.arg(&program).args([PORT, "embedding"]);
    let child = Child::spawn(command);
    assert_eq!(child.line(), "started");
    assert_eq!(host.status("localhost")["addresses"][0], "[::1]:4369");
    let node = host.node("other", &[]);
    assert_eq!(child.line(), "join other");
    drop(node);
}

#[test]
fn the_command_line_starts_a_pmd_and_says_what_is_missing() {
    if are_missing("version_6", &["ip"]) {
        return;
    }
    let host = Host::new("c");
    let start = ["pmd", "start", "--daemon", "--port", PORT, "--host"];
    let on = |name| [&start[..], &[name]].concat();
    let wrong = host.complains(&on("127.0.0.1"));
    assert!(wrong.contains("cannot listen on 127.0.0.1:4369"), "{wrong}");
    host.says(&on("localhost"));
    for name in ["localhost", "::1"] {
        assert_eq!(host.status(name)["running"], true);
        let again = host.run(&on(name));
        assert_eq!(again.status.code(), Some(3), "{again:?}");
    }
    // One that serves elsewhere is not the one that was asked for.
    let wrong = host.complains(&on("127.0.0.1"));
    assert!(wrong.contains("cannot listen on 127.0.0.1:4369"), "{wrong}");
    host.says(&["pmd", "kill", "--port", PORT]);
    host.says(&on("::1"));
    assert_eq!(host.status("localhost")["addresses"][0], "[::1]:4369");
}

#[test]
fn sessions_find_a_broker_by_every_name() {
    if are_missing("version_6", &["ip"]) {
        return;
    }
    let host = Host::new("b");
    let broker = host.start(&["broker", "start", "--mqtt-port", "1883"]);
    assert_eq!(broker.line_after("Broker started on "), "[::1]:1883");
    let create = host.start(&["session", "create", "--json", "--seed", "7"]);
    let created: Value = serde_json::from_str(&create.line()).unwrap();
    let id = created["sessionId"].as_str().unwrap();
    for broker in ["mqtt://localhost", "localhost", "mqtt://[::1]", "::1"] {
        let list = host.says(&["session", "list", "--json", "--broker", broker]);
        assert!(list.contains(id), "{broker}: {list}");
    }
    host.says(&["session", "demo"]);
}
