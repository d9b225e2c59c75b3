//! A host program whose node serves as the PMD where no other is to be had: arguments are the
//! PMD's port and the alias. Prints `started` or `failed KIND`, then its events. When its
//! standard input ends, it shuts the node down, prints whether a PMD is left, and ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "part of the tests: what cannot go on has failed"
)]

use std::io::Read;

use distflow_core::{Node, NodeEvent, PmdClient};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().unwrap().parse().unwrap();
    let alias = arguments.next().unwrap();
    let node = Node::builder()
        .alias(alias)
        .pmd_port(port)
        .with(|options| options.embed_pmd = arguments.next().is_none())
        .start_blocking();
    let node = match node {
        Ok(node) => node,
        Err(error) => return println!("failed {}: {error}", error.kind().name()),
    };
    node.on_event(|event| match event {
        NodeEvent::PeerJoin(peer) => println!("join {}", peer.alias.as_deref().unwrap()),
        NodeEvent::PeerLeave(peer, _) => println!("leave {}", peer.alias.as_deref().unwrap()),
        NodeEvent::RegistryLost(_) => println!("lost"),
        NodeEvent::RegistryRestored => println!("restored"),
        other => println!("{other:?}"),
    })
    .unwrap();
    println!("started");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    node.shutdown_blocking().unwrap();
    match PmdClient::connect("localhost", port) {
        Ok(_) => println!("ended, PMD left"),
        Err(error) => println!("ended, {}", error.kind().name()),
    }
}
