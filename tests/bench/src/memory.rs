//! Resident memory of a PMD: empty, and per node that has a connection of its own.

use std::io::Write;

use crate::child::{Child, end_with_parent, role};
use crate::failure::{Result, failure};
use crate::frames;
use crate::process::{raise_open_files, resident_bytes};
use crate::registry::{register, request};
use crate::samples::Samples;
use crate::setting::{PmdProcess, Setting};

/// Nodes, each on a connection of its own.
const NODES: usize = 10_000;
/// Processes that share them, each below its limit of open files.
const PROCESSES: usize = 2;

/// Measures with the originals' requests, and with those of a distflow node.
pub fn measure(setting: &Setting, samples: &mut Samples) -> Result<()> {
    for kind in ["original", "distflow"] {
        let pmd = PmdProcess::start(setting, None)?;
        let empty = resident_bytes(pmd.child.pid())?;
        let mut crowds = Vec::new();
        for crowd in 0..PROCESSES {
            let (crowd, port) = (crowd.to_string(), pmd.port.to_string());
            let child = Child::spawn(role(&["crowd", kind, &crowd, &port])?, None)?;
            child.line_after("ready")?;
            crowds.push(child);
        }
        let full = resident_bytes(pmd.child.pid())?;
        let per_node = (full.saturating_sub(empty)) as f64 / NODES as f64;
        samples.add(format!("memory.per_node.{kind}"), per_node);
        if kind == "original" {
            samples.add("memory.empty", empty as f64);
        }
    }
    Ok(())
}

/// Runs a child's role: registers many nodes and stays.
pub fn crowd(kind: &str, crowd: usize, port: u16) -> Result<()> {
    raise_open_files();
    end_with_parent();
    let mut connections = Vec::new();
    for i in 0..NODES / PROCESSES {
        let node = crowd * NODES / PROCESSES + i;
        let mut stream = frames::connect(port)?;
        let mut bytes = Vec::new();
        let answers = if kind == "distflow" {
            append_distflow(&mut bytes, node);
            2
        } else {
            let (id, alias) = (format!("{node:016x}"), format!("service-{node}"));
            register(&mut bytes, &id, &alias, node);
            1
        };
        stream.write_all(&bytes)?;
        let mut reader = frames::Reader::default();
        for _ in 0..answers {
            let good = reader.wait(&stream, |body| !body.windows(7).any(|w| w == b"\"error\""))?;
            if !good {
                return Err(failure("a node was not registered"));
            }
        }
        connections.push(stream);
    }
    println!("ready");
    loop {
        std::thread::park();
    }
}

/// What a distflow node says first.
fn append_distflow(bytes: &mut Vec<u8>, node: usize) {
    let hello = r#"{"v":1,"caps":["rev","meta","probe"]}"#;
    request(bytes, "hello", hello, 1);
    let port = 20_000 + node % 40_000;
    let payload = format!(
        "{{\"nodeId\":\"{node:016x}\",\"alias\":\"service-{node}\",\"host\":\"localhost\",\
         \"port\":{port},\"caps\":[\"link\"]}}"
    );
    request(bytes, "register", &payload, 2);
}
