//! How fast watchers learn of a death: from `kill -9` of a node's process to the
//! `peer:leave` at each of 100 watchers.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use distflow_core::Node;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::child::{Child, end_with_parent, role};
use crate::failure::{Result, failure};
use crate::frames;
use crate::process::{self, monotonic_ns};
use crate::registry::{RawClient, request};
use crate::samples::{Samples, p50_p99};
use crate::setting::{PmdProcess, Setting};

const WATCHERS: usize = 100;
/// Threads that share the watchers.
const THREADS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(10);

/// What a watcher saw.
enum Seen {
    Join,
    Leave(u64),
}

/// Kills one process after the other.
pub fn measure(setting: &Setting, samples: &mut Samples) -> Result<()> {
    let pmd = PmdProcess::start(setting, None)?;
    let (sender, seen) = channel();
    for _ in 0..THREADS {
        let watchers = Watchers::connect(pmd.port, WATCHERS / THREADS)?;
        let sender = sender.clone();
        // Ends with its connections, and they with the PMD.
        std::thread::spawn(move || watchers.run(&sender));
    }
    let mut times = Vec::new();
    for _ in 0..setting.amount(25, 5) {
        let victim = Child::spawn(role(&["victim", &pmd.port.to_string()])?, None)?;
        victim.line_after("ready")?;
        collect(&seen, |what| matches!(what, Seen::Join).then_some(0))?;
        let killed = monotonic_ns();
        process::kill(victim.pid())?;
        let left = |what| match what {
            Seen::Leave(at) => Some(at.saturating_sub(killed)),
            Seen::Join => None,
        };
        times.extend(collect(&seen, left)?);
    }
    let (p50, p99) = p50_p99(times);
    samples.add("fan_out.p50", p50 as f64 / 1e3);
    samples.add("fan_out.p99", p99 as f64 / 1e3);
    Ok(())
}

/// One event from every watcher.
fn collect(seen: &Receiver<Seen>, wanted: impl Fn(Seen) -> Option<u64>) -> Result<Vec<u64>> {
    (0..WATCHERS)
        .map(|_| {
            let what = seen.recv_timeout(PATIENCE)?;
            wanted(what).ok_or_else(|| failure("a watcher saw something else"))
        })
        .collect()
}

/// Runs a child's role: a node that waits to be killed.
pub fn victim(pmd: u16) -> Result<()> {
    end_with_parent();
    let node = Node::builder().alias("victim").pmd_port(pmd);
    let node = node.auto_start(false).start_blocking()?;
    println!("ready");
    loop {
        node.recv_timeout(None)?;
    }
}

/// Watching connections of one thread.
struct Watchers {
    poll: Poll,
    streams: Vec<TcpStream>,
}

impl Watchers {
    fn connect(port: u16, count: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let mut streams = Vec::new();
        for token in 0..count {
            let mut stream = TcpStream::from_std(watch(port)?);
            poll.registry()
                .register(&mut stream, Token(token), Interest::READABLE)?;
            streams.push(stream);
        }
        Ok(Self { poll, streams })
    }

    fn run(mut self, sender: &Sender<Seen>) -> Result<()> {
        let mut events = Events::with_capacity(WATCHERS);
        // An event's frame is far smaller than this and is written at once.
        let mut buffer = [0; 4_096];
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                loop {
                    let read = match self.streams[event.token().0].read(&mut buffer) {
                        Ok(0) => return Ok(()),
                        Ok(read) => read,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error.into()),
                    };
                    let at = monotonic_ns();
                    for what in seen(&buffer[..read], at) {
                        sender
                            .send(what)
                            .map_err(|_| failure("nobody is interested"))?;
                    }
                }
            }
        }
    }
}

/// A connection that said hello, watches, and has read the answers.
fn watch(port: u16) -> Result<std::net::TcpStream> {
    let stream = RawClient::connect(port)?.into_stream();
    let mut bytes = Vec::new();
    let hello = r#"{"v":1,"caps":["rev","meta"]}"#;
    request(&mut bytes, "hello", hello, 1);
    request(&mut bytes, "watch", "{}", 2);
    (&stream).write_all(&bytes)?;
    let mut reader = frames::Reader::default();
    for _ in 0..2 {
        let good = reader.wait(&stream, |body| !contains(body, b"\"error\""))?;
        if !good {
            return Err(failure("the PMD does not take a watcher"));
        }
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

fn seen(bytes: &[u8], at: u64) -> Vec<Seen> {
    let leave = contains(bytes, b"peer:leave").then_some(Seen::Leave(at));
    let join = contains(bytes, b"peer:join").then_some(Seen::Join);
    join.into_iter().chain(leave).collect()
}
