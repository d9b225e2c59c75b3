//! distflow, node to node: every payload is new text, checked on both sides.

use bytes::Bytes;
use distflow_core::{Node, Overflow, Payload};

use super::Stopwatch;
use crate::failure::Result;
use crate::payload::{END, FIRST, Order, object, set_number};

/// Room in the receiver's mailbox; past it the sender feels the pressure.
const MAILBOX_MESSAGES: usize = 16_384;
/// Messages taken at once.
const TAKE: usize = 1_024;
/// Messages between two looks at the clock.
const LOOK: u64 = 256;

const RECEIVER: &str = "receiver";

pub(super) fn receive(size: usize, pmd: u16) -> Result<()> {
    let node = Node::builder()
        .alias(RECEIVER)
        .pmd_port(pmd)
        .auto_start(false)
        .mailbox(MAILBOX_MESSAGES, Overflow::Block)
        .start_blocking()?;
    println!("ready {RECEIVER}");
    let mut messages = Vec::with_capacity(TAKE);
    let mut order = Order::default();
    node.recv_many_timeout(&mut messages, TAKE, None)?;
    let watch = Stopwatch::start();
    loop {
        for message in messages.drain(..) {
            if order.take(message.payload.as_bytes(), size)? {
                watch.report(order.count);
                return Ok(node.shutdown_blocking()?);
            }
        }
        node.recv_many_timeout(&mut messages, TAKE, None)?;
    }
}

pub(super) fn send(size: usize, ms: u64, pmd: u16, target: &str) -> Result<()> {
    let node = Node::builder()
        .alias("sender")
        .pmd_port(pmd)
        .auto_start(false)
        .start_blocking()?;
    let mut text = object(size);
    let mut payload = |number| {
        set_number(&mut text, number);
        Payload::from_json(Bytes::copy_from_slice(&text))
    };
    let watch = Stopwatch::start();
    let mut sent = 0;
    // A runtime of the user's own: one thread, this one.
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        while sent % LOOK != 0 || !watch.has_run_ms(ms) {
            node.send_payload(target, &payload(FIRST + sent)?).await?;
            sent += 1;
        }
        node.send_payload(target, &payload(END)?).await
    })?;
    watch.report(sent);
    // Flushes what is queued.
    Ok(node.shutdown_blocking()?)
}
