//! Plain TCP in batches: the frames alone (`writev`, the physical limit), and an envelope
//! whose payload the receiver checks with `serde_json` (`check`).

use std::io::{IoSlice, Write};
use std::net::TcpStream;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Stopwatch;
use crate::failure::{Result, failure};
use crate::frames;
use crate::payload::{END, FIRST, Order, object, set_number};

/// Messages of one `writev`: two slices each, and the system takes 1,024.
const BATCH: usize = 512;

const HEAD: &str = r#"{"from":"0123456789abcdef","to":"fedcba9876543210","payload":"#;
const TAIL: &str = r#","timestamp":1700000000000}"#;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    from: &'a str,
    #[serde(borrow)]
    to: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
    timestamp: u64,
}

/// A body, and where in it the payload begins.
fn body(kind: &str, payload: &[u8]) -> Result<(Vec<u8>, usize)> {
    match kind {
        "writev" => Ok((payload.to_vec(), 0)),
        "check" => {
            let parts = [HEAD.as_bytes(), payload, TAIL.as_bytes()];
            Ok((parts.concat(), HEAD.len()))
        }
        _ => Err(failure(format!("no kind '{kind}'"))),
    }
}

pub(super) fn send(kind: &str, size: usize, ms: u64, port: u16) -> Result<()> {
    let (body, at) = body(kind, &object(size))?;
    let mut bodies = vec![body; BATCH];
    let mut stream = frames::connect(port)?;
    let watch = Stopwatch::start();
    let mut sent = 0;
    while !watch.has_run_ms(ms) {
        for body in &mut bodies {
            set_number(&mut body[at..], FIRST + sent);
            sent += 1;
        }
        write_batch(&mut stream, &bodies)?;
    }
    set_number(&mut bodies[0][at..], END);
    write_batch(&mut stream, &bodies[..1])?;
    watch.report(sent);
    Ok(())
}

fn write_batch(stream: &mut TcpStream, bodies: &[Vec<u8>]) -> Result<()> {
    let header = (bodies[0].len() as u32).to_be_bytes();
    let mut slices = Vec::with_capacity(2 * bodies.len());
    for body in bodies {
        slices.push(IoSlice::new(&header));
        slices.push(IoSlice::new(body));
    }
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let written = stream.write_vectored(left)?;
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}

pub(super) fn receive(kind: &str, size: usize) -> Result<()> {
    let check = kind == "check";
    let (listener, port) = frames::listen()?;
    println!("ready {port}");
    let stream = frames::accept(&listener)?;
    let mut reader = frames::Reader::default();
    reader.fill(&stream)?;
    let watch = Stopwatch::start();
    let mut order = Order::default();
    loop {
        while let Some(body) = reader.next_frame() {
            let end = if check {
                let envelope: Envelope<'_> = serde_json::from_slice(body)?;
                if envelope.from.is_empty() || envelope.to.is_empty() || envelope.timestamp == 0 {
                    return Err(failure("an envelope without names or time"));
                }
                order.take(envelope.payload.get().as_bytes(), size)?
            } else {
                order.take(body, size)?
            };
            if end {
                watch.report(order.count);
                return Ok(());
            }
        }
        reader.fill(&stream)?;
    }
}
