//! One large message: distflow, against frames read into a list of chunks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use bytes::Bytes;
use distflow_core::{Node, NodeBuilder, Payload};
use serde_json::value::RawValue;

use crate::child::{Child, role};
use crate::failure::{Result, failure};
use crate::frames;
use crate::payload;
use crate::samples::{Samples, p50_p99};
use crate::setting::{PmdProcess, Setting};

/// Payload sizes in bytes: two, so that growth faster than the chunk list's shows.
const SIZES: [usize; 2] = [8 << 20, 32 << 20];
/// Room for the largest and its envelope.
const LIMIT: usize = 64 << 20;
const CHUNK: usize = 256 << 10;
/// Messages per size, and some before that are not counted.
const COUNT: usize = 5;

/// Measures every contestant once.
pub fn measure(setting: &Setting, samples: &mut Samples) -> Result<()> {
    for kind in ["chunks", "chunks-check"] {
        run(setting, samples, kind, role(&["take", kind])?, |port| {
            role(&["give", kind, port])
        })?;
    }
    let pmd = PmdProcess::start(setting, None)?;
    let port = pmd.port.to_string();
    let taker = role(&["take", "distflow", &port])?;
    run(setting, samples, "distflow", taker, |target| {
        role(&["give", "distflow", &port, target])
    })
}

fn run(
    setting: &Setting,
    samples: &mut Samples,
    name: &str,
    taker: Command,
    giver: impl FnOnce(&str) -> Result<Command>,
) -> Result<()> {
    let taker = Child::spawn(taker, setting.server_cpu())?;
    let address = taker.line_after("ready ")?;
    let giver = Child::spawn(giver(&address)?, setting.client_cpu())?;
    let result = giver.result()?;
    for (size, ns) in SIZES.iter().zip(result) {
        let key = format!("large.{name}.mb{}", size >> 20);
        samples.add(key, ns as f64 / 1e3);
    }
    Ok(())
}

/// Runs a child's role: answers every message with a small one.
pub fn take(words: &[&str]) -> Result<()> {
    match words {
        ["distflow", pmd] => take_distflow(pmd.parse()?),
        [kind] => take_chunks(*kind == "chunks-check"),
        _ => Err(failure("unknown taker")),
    }
}

/// Runs a child's role: times a message and the small answer.
pub fn give(words: &[&str]) -> Result<()> {
    match words {
        ["distflow", pmd, target] => give_distflow(pmd.parse()?, target),
        [_, port] => give_chunks(port.parse()?),
        _ => Err(failure("unknown giver")),
    }
}

fn report(mut once: impl FnMut(&[u8]) -> Result<u64>) -> Result<()> {
    let mut line = "result".to_owned();
    for size in SIZES {
        let payload = payload::object(size);
        once(&payload)?;
        let times = (0..COUNT).map(|_| once(&payload));
        let (p50, _) = p50_p99(times.collect::<Result<Vec<u64>>>()?);
        line.push_str(&format!(" {p50}"));
    }
    println!("{line}");
    Ok(())
}

fn builder(alias: &str, pmd: u16) -> NodeBuilder {
    let node = Node::builder().alias(alias).pmd_port(pmd).auto_start(false);
    node.with(|options| {
        options.frame_bytes_max = LIMIT;
        options.queue_bytes_max = LIMIT;
        options.mailbox.bytes_max = LIMIT;
    })
}

fn take_distflow(pmd: u16) -> Result<()> {
    let node = builder("taker", pmd).start_blocking()?;
    println!("ready taker");
    loop {
        let message = node.recv_timeout(None)?;
        let answer = Payload::from_value(&message.payload.len())?;
        node.send_blocking(message.from.as_str(), &answer, None)?;
    }
}

fn give_distflow(pmd: u16, target: &str) -> Result<()> {
    let node = builder("giver", pmd).start_blocking()?;
    report(|payload| {
        let message = Payload::from_json(Bytes::copy_from_slice(payload))?;
        let start = Instant::now();
        node.send_blocking(target, &message, None)?;
        let len: usize = node.recv_timeout(None)?.payload.parse()?;
        let ns = start.elapsed().as_nanos() as u64;
        if len == payload.len() {
            Ok(ns)
        } else {
            Err(failure("the message did not come as it was"))
        }
    })?;
    Ok(node.shutdown_blocking()?)
}

fn take_chunks(check: bool) -> Result<()> {
    let (listener, port) = frames::listen()?;
    println!("ready {port}");
    let mut stream = frames::accept(&listener)?;
    while let Ok(len) = read_len(&mut stream) {
        let mut chunks = Vec::new();
        let mut left = len;
        while left > 0 {
            let mut chunk = vec![0; CHUNK.min(left)];
            let read = stream.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            chunk.truncate(read);
            left -= read;
            chunks.push(chunk);
        }
        let message = chunks.concat();
        if check {
            serde_json::from_slice::<&RawValue>(&message)?;
        }
        stream.write_all(&(message.len() as u32).to_be_bytes())?;
    }
    Ok(())
}

fn read_len(stream: &mut TcpStream) -> Result<usize> {
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    Ok(u32::from_be_bytes(header) as usize)
}

fn give_chunks(port: u16) -> Result<()> {
    let mut stream = frames::connect(port)?;
    report(|payload| {
        let start = Instant::now();
        stream.write_all(&(payload.len() as u32).to_be_bytes())?;
        stream.write_all(payload)?;
        let len = read_len(&mut stream)?;
        let ns = start.elapsed().as_nanos() as u64;
        if len == payload.len() {
            Ok(ns)
        } else {
            Err(failure("the message did not come as it was"))
        }
    })
}
