//! From the start of a process to a registered node.

use std::net::TcpListener;
use std::process::Command;

use distflow_core::Node;

use crate::child::{Child, end_with_parent, role};
use crate::failure::Result;
use crate::frames;
use crate::process::{self, monotonic_ns};
use crate::samples::{Samples, p50_p99};
use crate::setting::{LaunchedPmd, Setting};

/// Ends a launched PMD soon if something goes wrong here.
const AUTO_SHUTDOWN_MS: u64 = 5_000;

/// Starts processes one after the other.
pub fn measure(setting: &Setting, samples: &mut Samples) -> Result<()> {
    let (mut bare, mut first, mut second, mut memory) = (vec![], vec![], vec![], vec![]);
    for _ in 0..setting.amount(15, 5) {
        bare.push(start(role(&["bare"])?)?.0);
        let pmd = LaunchedPmd {
            port: frames::free_port()?,
        };
        let node = |alias: &str| {
            let mut command = role(&["node", alias, &pmd.port.to_string()])?;
            command.env("DISTFLOW_PMD", &setting.program);
            start(command)
        };
        let (ns, _first) = node("first")?;
        first.push(ns);
        let (ns, other) = node("second")?;
        second.push(ns);
        memory.push(process::resident_bytes(other.pid())?);
    }
    for (key, times) in [("bare", bare), ("first", first), ("second", second)] {
        let (p50, _) = p50_p99(times);
        samples.add(format!("start.{key}.p50"), p50 as f64 / 1e3);
    }
    samples.add("memory.node", p50_p99(memory).0 as f64);
    Ok(())
}

/// Starts a process; the time until the moment it reports.
fn start(command: Command) -> Result<(u64, Child)> {
    let start = monotonic_ns();
    let child = Child::spawn(command, None)?;
    let at: u64 = child.line_after("ready ")?.parse()?;
    Ok((at.saturating_sub(start), child))
}

/// Runs a child's role: a node that is idle until it is killed.
pub fn node(alias: &str, pmd: u16) -> Result<()> {
    let node = Node::builder().alias(alias).pmd_port(pmd);
    let node = node
        .with(|options| options.pmd_auto_shutdown_ms = AUTO_SHUTDOWN_MS)
        .start_blocking()?;
    println!("ready {}", monotonic_ns());
    end_with_parent();
    loop {
        node.recv_timeout(None)?;
    }
}

/// Runs a child's role: binds a port and does nothing else.
pub fn bare() -> Result<()> {
    let _listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("ready {}", monotonic_ns());
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    Ok(())
}
