//! A pulled cable: two network namespaces, and a firewall that drops everything between them.

use std::process::Command;
use std::time::{Duration, Instant};

use distflow_tests::{Child, distflow_program};

use crate::namespaces::{are_missing, call, ip};
use crate::nodes::NodeProcess;

/// Two hosts on one cable; gone with the test.
struct Hosts {
    names: [String; 2],
}

impl Hosts {
    fn new() -> Self {
        let pid = std::process::id();
        let hosts = Self {
            names: [format!("df{pid}a"), format!("df{pid}b")],
        };
        let [a, b] = &hosts.names;
        ip(&format!("netns add {a}"));
        ip(&format!("netns add {b}"));
        ip(&format!(
            "link add v{a} netns {a} type veth peer name v{b} netns {b}"
        ));
        for (host, address) in [(a, "10.77.0.1/24"), (b, "10.77.0.2/24")] {
            ip(&format!("-n {host} addr add {address} dev v{host}"));
            ip(&format!("-n {host} link set v{host} up"));
            ip(&format!("-n {host} link set lo up"));
        }
        hosts
    }

    fn distflow(&self, host: usize, arguments: &[&str]) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[host]]);
        command.arg(distflow_program()).args(arguments);
        Child::spawn(command)
    }

    fn pull_the_cable(&self) {
        let rules = "add table inet f; \
                     add chain inet f i { type filter hook input priority 0; policy drop; }; \
                     add chain inet f o { type filter hook output priority 0; policy drop; }";
        call("ip", &["netns", "exec", &self.names[1], "nft", rules]);
    }

    fn plug_it_in(&self) {
        call(
            "ip",
            &["netns", "exec", &self.names[1], "nft", "flush ruleset"],
        );
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

#[test]
fn a_pulled_cable_is_noticed_on_both_sides_and_mended() {
    if are_missing("half_open", &["ip", "nft"]) {
        return;
    }
    let hosts = Hosts::new();
    let place = ["--host", "10.77.0.1", "--port", "4470"];
    let start: Vec<&str> = ["pmd", "start", "--insecure"]
        .into_iter()
        .chain(place)
        .collect();
    let pmd = hosts.distflow(0, &start);
    pmd.line_after("PMD started on port ");
    let near: Vec<&str> = ["node", "run", "--alias", "near"]
        .into_iter()
        .chain(place)
        .collect();
    let near = NodeProcess::started(hosts.distflow(0, &near));
    let far: Vec<&str> = ["node", "run", "--alias", "far"]
        .into_iter()
        .chain(place)
        .collect();
    let far = NodeProcess::started(hosts.distflow(1, &far));
    near.event("peer:join");

    hosts.pull_the_cable();
    let pulled = Instant::now();
    let leave = near.event("peer:leave");
    assert_eq!(leave["peer"]["nodeId"], far.id.as_str());
    far.event("pmd:lost");
    // Three times the promise.
    assert!(
        pulled.elapsed() < Duration::from_secs(30),
        "{:?}",
        pulled.elapsed()
    );

    hosts.plug_it_in();
    let join = near.event("peer:join");
    assert_eq!(join["peer"]["nodeId"], far.id.as_str());
    far.event("pmd:restored");
}
