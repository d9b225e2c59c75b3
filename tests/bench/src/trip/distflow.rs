//! distflow: the receiver answers every message.

use bytes::Bytes;
use distflow_core::{Node, Payload};

use super::SIZE;
use crate::failure::{Result, failure};
use crate::payload;

fn node(alias: &str, pmd: u16) -> Result<Node> {
    let node = Node::builder().alias(alias).pmd_port(pmd).auto_start(false);
    Ok(node.start_blocking()?)
}

pub(super) fn echo(pmd: u16) -> Result<()> {
    let node = node("echo", pmd)?;
    println!("ready echo");
    loop {
        let message = node.recv_timeout(None)?;
        node.send_blocking(message.from.as_str(), &message.payload, None)?;
    }
}

pub(super) fn ping(count: u64, pmd: u16, target: &str) -> Result<()> {
    let node = node("ping", pmd)?;
    let mut text = payload::object(SIZE);
    super::report(count, |number| {
        payload::set_number(&mut text, number);
        let payload = Payload::from_json(Bytes::copy_from_slice(&text))?;
        node.send_blocking(target, &payload, None)?;
        let answer = node.recv_timeout(None)?;
        if payload::number(answer.payload.as_bytes()) == number {
            Ok(())
        } else {
            Err(failure("an answer to another question"))
        }
    })?;
    Ok(node.shutdown_blocking()?)
}
