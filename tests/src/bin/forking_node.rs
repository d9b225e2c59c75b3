//! A program that starts a node on the PMD port given and forks. The child reports what its
//! inherited node says and then lives on until its standard input ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "part of the tests: what cannot go on has failed"
)]

use std::io::Read;

use distflow_core::{Node, Payload};

fn main() {
    let port = std::env::args().nth(1).unwrap().parse().unwrap();
    let node = Node::builder()
        .alias("forks")
        .pmd_port(port)
        .auto_start(false)
        .start_blocking()
        .unwrap();
    println!("started {}", node.id());
    // SAFETY: the child only uses what this test is about: a node that it inherited.
    let _own = match unsafe { libc::fork() } {
        0 => child(node, port),
        pid => {
            println!("child {pid}");
            node
        }
    };
    let mut rest = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut rest);
}

fn child(node: Node, port: u16) -> Node {
    let payload = Payload::absent();
    let kind = |result: distflow_core::Result<()>| result.unwrap_err().kind().name();
    println!("send {}", kind(node.send_blocking("forks", &payload, None)));
    println!("try_send {}", kind(node.try_send("forks", &payload)));
    println!("discover {}", kind(node.discover_blocking(None).map(drop)));
    println!("recv {}", kind(node.recv_timeout(None).map(drop)));
    println!("shutdown {}", kind(node.shutdown_blocking()));
    println!("peers {}", node.peers().len());
    drop(node);
    // What it needs, it makes for itself.
    let own = Node::builder()
        .alias("of-the-child")
        .pmd_port(port)
        .auto_start(false)
        .start_blocking()
        .unwrap();
    println!("own {}", own.alias().unwrap());
    own
}
