//! Plain TCP: one blocking thread on either side, or a reader thread that hands every frame
//! to another one.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};

use super::SIZE;
use crate::failure::{Result, failure};
use crate::frames::{self, Reader};
use crate::payload;

/// One side's way to get a frame.
enum Frames {
    Blocking(TcpStream, Reader),
    Handoff(Receiver<Vec<u8>>),
}

impl Frames {
    fn of(kind: &str, stream: &TcpStream) -> Result<Self> {
        let stream = stream.try_clone()?;
        let mut reader = Reader::default();
        if kind == "blocking" {
            return Ok(Self::Blocking(stream, reader));
        }
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            while let Ok(frame) = reader.wait(&stream, <[u8]>::to_vec) {
                if sender.send(frame).is_err() {
                    break;
                }
            }
        });
        Ok(Self::Handoff(receiver))
    }

    fn wait<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
        match self {
            Self::Blocking(stream, reader) => reader.wait(stream, look),
            Self::Handoff(receiver) => match receiver.recv() {
                Ok(frame) => Ok(look(&frame)),
                Err(_) => Err(failure("the connection ended")),
            },
        }
    }
}

pub(super) fn echo(kind: &str) -> Result<()> {
    let (listener, port) = frames::listen()?;
    println!("ready {port}");
    let mut stream = frames::accept(&listener)?;
    let mut frames_in = Frames::of(kind, &stream)?;
    let mut out = Vec::new();
    loop {
        out.clear();
        let end = frames_in.wait(|frame| frames::append(&mut out, frame));
        if end.is_err() {
            // The other side has measured enough.
            return Ok(());
        }
        stream.write_all(&out)?;
    }
}

pub(super) fn ping(kind: &str, count: u64, port: u16) -> Result<()> {
    let mut stream = frames::connect(port)?;
    let mut frames_in = Frames::of(kind, &stream)?;
    let mut frame = Vec::new();
    frames::append(&mut frame, &payload::object(SIZE));
    super::report(count, |number| {
        payload::set_number(&mut frame[4..], number);
        stream.write_all(&frame)?;
        if frames_in.wait(payload::number)? == number {
            Ok(())
        } else {
            Err(failure("an answer to another question"))
        }
    })
}
