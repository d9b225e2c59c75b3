//! The records of a journal: what has happened to a document, one by one; `docs/document-format.md`.
//!
//! They hold outcomes. To carry one out again needs neither options nor limits nor the time, so that it
//! comes out as it was.

use std::sync::Arc;

use crate::crdt::document::{Document, Waited};
use crate::crdt::json::Json;
use crate::crdt::op::Op;
use crate::crdt::stamp::Time;
use crate::error::{Error, ErrorKind, Result};

const INITIAL: u8 = b'I';
const LOCAL: u8 = b'L';
const APPLIED: u8 = b'A';
const WAITS: u8 = b'W';
const GIVEN_UP: u8 = b'G';
const MERGED: u8 = b'M';
const WENT_BACK: u8 = b'R';
const SOURCE: u8 = b'S';

/// What has happened.
#[derive(Debug)]
pub(super) enum Record<'a> {
    /// The document began with this.
    Initial(&'a str),
    /// It made an operation, and its own time then was this.
    Local(&'a Op, Time),
    /// An operation of another replica was taken in.
    Applied(&'a Op),
    /// An operation of another replica waits for others.
    Waits(&'a Op),
    /// Operations that waited were given up.
    GivenUp(&'a [Waited]),
    /// A snapshot was merged; it writes as this source from then on.
    Merged(&'a str, &'a [u8]),
    /// It went back to a snapshot; it writes as this source from then on, and its time is this.
    WentBack(&'a str, Time, &'a [u8]),
    /// It writes as this source from then on.
    Source(&'a str),
}

impl Record<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Initial(json) => {
                out.push(INITIAL);
                out.extend_from_slice(json.as_bytes());
            }
            Self::Local(op, time) => {
                out.push(LOCAL);
                put_time(&mut out, *time);
                op.encode_into(&mut out);
            }
            Self::Applied(op) => {
                out.push(APPLIED);
                op.encode_into(&mut out);
            }
            Self::Waits(op) => {
                out.push(WAITS);
                op.encode_into(&mut out);
            }
            Self::GivenUp(dots) => {
                out.push(GIVEN_UP);
                for (src, number) in *dots {
                    put_name(&mut out, src);
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            Self::Merged(src, snapshot) => {
                out.push(MERGED);
                put_name(&mut out, src);
                out.extend_from_slice(snapshot);
            }
            Self::WentBack(src, time, snapshot) => {
                out.push(WENT_BACK);
                put_name(&mut out, src);
                put_time(&mut out, *time);
                out.extend_from_slice(snapshot);
            }
            Self::Source(src) => {
                out.push(SOURCE);
                out.extend_from_slice(src.as_bytes());
            }
        }
        out
    }
}

/// What the document began with, if a record says so.
pub(super) fn initial(record: &[u8]) -> Option<Result<Json>> {
    let json = record.strip_prefix(&[INITIAL])?;
    Some(Json::parse(json))
}

/// Carries out again what a record tells of.
///
/// Error: `invalid_message`.
pub(super) fn replay(document: &mut Document, record: &[u8], now_ms: u64) -> Result<()> {
    let (&kind, mut rest) = record.split_first().ok_or_else(unknown)?;
    match kind {
        // It was looked at before.
        INITIAL => Ok(()),
        LOCAL => {
            let local = take_time(&mut rest)?;
            document.replay_local(&Op::decode(rest)?, local)
        }
        APPLIED => document.replay_applied(Op::decode(rest)?, now_ms),
        WAITS => {
            let op = Op::decode(rest)?;
            let came_ms = op.time.t.min(now_ms);
            document.replay_waiting(op, came_ms, now_ms);
            Ok(())
        }
        GIVEN_UP => {
            let mut dots: Vec<Waited> = Vec::new();
            while !rest.is_empty() {
                dots.push((Arc::from(take_name(&mut rest)?), take_number(&mut rest)?));
            }
            document.replay_given_up(&dots);
            Ok(())
        }
        MERGED => {
            let src = take_name(&mut rest)?;
            document.replay_merge(rest, src, now_ms)
        }
        WENT_BACK => {
            let src = take_name(&mut rest)?;
            let local = take_time(&mut rest)?;
            document.replay_restore(rest, src, local, now_ms)
        }
        SOURCE => {
            document.write_as(text(rest)?);
            Ok(())
        }
        _ => Err(unknown()),
    }
}

/// Carries out what can be of a record that may follow a gap.
pub(super) fn salvage(document: &mut Document, record: &[u8], now_ms: u64) -> Result<()> {
    let (&kind, mut rest) = record.split_first().ok_or_else(unknown)?;
    match kind {
        LOCAL | APPLIED | WAITS => {
            if kind == LOCAL {
                take_time(&mut rest)?;
            }
            // What it needs may be lost, and then it waits: from now on, so that there is time to get it.
            document.replay_waiting(Op::decode(rest)?, now_ms, now_ms);
            Ok(())
        }
        // A name of this life is made afterwards.
        SOURCE | GIVEN_UP => Ok(()),
        _ => replay(document, record, now_ms),
    }
}

fn unknown() -> Error {
    Error::new(
        ErrorKind::InvalidMessage,
        "the journal has a record of another version",
    )
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    // Names of replicas are no longer.
    out.push(name.len().min(255) as u8);
    out.extend_from_slice(name.as_bytes());
}

fn put_time(out: &mut Vec<u8>, time: Time) {
    out.extend_from_slice(&time.t.to_le_bytes());
    out.extend_from_slice(&time.c.to_le_bytes());
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| unknown())
}

fn take_name<'a>(rest: &mut &'a [u8]) -> Result<&'a str> {
    let (&length, after) = rest.split_first().ok_or_else(unknown)?;
    let (name, after) = after
        .split_at_checked(usize::from(length))
        .ok_or_else(unknown)?;
    *rest = after;
    text(name)
}

fn take_number(rest: &mut &[u8]) -> Result<u64> {
    let (number, after) = rest.split_first_chunk().ok_or_else(unknown)?;
    *rest = after;
    Ok(u64::from_le_bytes(*number))
}

fn take_time(rest: &mut &[u8]) -> Result<Time> {
    let time = Time {
        t: take_number(rest)?,
        c: take_number(rest)?,
    };
    time.checked().ok_or_else(unknown)
}
