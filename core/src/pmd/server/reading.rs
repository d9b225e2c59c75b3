//! From bytes to requests: reading, frames, and what becomes of bad ones.

use std::cmp::Reverse;
use std::io::{self, Read};

use super::{Server, ServerNotice, stranger};
use crate::limits;
use crate::pmd::conn::{Conn, ConnState};
use crate::registry::{ConnId, Input};
use crate::wire::frame;
use crate::wire::pmd as message;

impl Server {
    /// Reads what is there, up to a turn's share.
    pub(super) fn readable(&mut self, id: ConnId, notice: &mut impl FnMut(ServerNotice<'_>)) {
        let mut total = 0;
        let mut scratch = std::mem::take(&mut self.scratch);
        let end = loop {
            let Some(conn) = self.conn(id) else {
                break None;
            };
            let lingering = conn.state != ConnState::Open;
            if matches!(conn.state, ConnState::Ended(_)) {
                break None;
            }
            if !lingering && conn.is_held() {
                // Resuming or flushing looks again.
                break None;
            }
            if total >= limits::READ_TURN_BYTES {
                self.again.push_back(id);
                break None;
            }
            match conn.stream.read(&mut scratch) {
                Ok(0) => break Some(None),
                Ok(read) => {
                    total += read;
                    if !lingering {
                        self.received(id, &scratch[..read], notice);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(Some(error)),
            }
        };
        self.scratch = scratch;
        match end {
            None => {}
            Some(None) => self.ended(id, notice),
            Some(Some(error)) => {
                notice(ServerNotice::Connection(&format!("Socket error: {error}")));
                self.close(id, notice);
            }
        }
    }

    /// The peer ended its side. Its nodes leave at once, but it may still read its answers.
    pub(super) fn ended(&mut self, id: ConnId, notice: &mut impl FnMut(ServerNotice<'_>)) {
        // Requests that were held back come first; if they are again, flushing looks again.
        self.received(id, &[], notice);
        self.settle(notice);
        let held = |conn: &Conn| conn.state == ConnState::Open && !conn.paused && conn.is_held();
        if self.conn(id).is_some_and(|conn| held(conn)) {
            return;
        }
        self.flush(id, notice);
        let until = self.now().mono_ms + limits::LINGER_MS;
        let unsent = self.unsent(id);
        self.seal(id);
        match self.conn(id) {
            Some(conn) if conn.state == ConnState::Open && unsent > 0 => {
                conn.state = ConnState::Ended(unsent);
                conn.pending = Vec::new();
                self.lingering.push_back((until, id));
                self.registry
                    .step(self.now(), Input::Closed(id), &mut self.outputs);
                self.carry_out(notice);
            }
            Some(_) => self.close(id, notice),
            None => {}
        }
    }

    /// Takes bytes of a connection and hands every complete frame to the registry.
    pub(super) fn received(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        notice: &mut impl FnMut(ServerNotice<'_>),
    ) {
        let Some(conn) = self.conn(id) else { return };
        if conn.pending.is_empty() {
            let used = self.frames(id, bytes, notice);
            if let Some(conn) = self.conn(id) {
                conn.pending.extend_from_slice(&bytes[used..]);
            }
        } else {
            let mut pending = std::mem::take(&mut conn.pending);
            pending.extend_from_slice(bytes);
            let used = self.frames(id, &pending, notice);
            pending.drain(..used);
            if pending.is_empty() {
                // An idle connection holds no buffer.
                pending = Vec::new();
            }
            if let Some(conn) = self.conn(id) {
                conn.pending = pending;
                if used > 0 {
                    // What is left belongs to another frame, which has its own time.
                    conn.partial_since_ms = 0;
                }
            }
        }
        self.watch_partial(id);
    }

    /// Handles the complete frames in `bytes`; returns how many bytes they took.
    pub(super) fn frames(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        notice: &mut impl FnMut(ServerNotice<'_>),
    ) -> usize {
        let mut used = 0;
        loop {
            match self.conn(id) {
                Some(conn) if conn.state == ConnState::Open && !conn.is_held() => {}
                Some(conn) if conn.state == ConnState::Open => return used,
                _ => return bytes.len(),
            }
            match frame::split(&bytes[used..], self.options.frame_bytes_max) {
                Ok(Some(body)) => {
                    used += frame::HEADER_BYTES + body.len();
                    if let Some(conn) = self.conn(id) {
                        conn.has_spoken = true;
                    }
                    let now = self.now();
                    self.registry
                        .step(now, Input::Frame(id, body), &mut self.outputs);
                    self.carry_out(notice);
                }
                Ok(None) => match self.unlike_request(id, &bytes[used..]) {
                    Some(why) => {
                        self.refuse_stranger(id, &bytes[used..], why, notice);
                        return bytes.len();
                    }
                    None => return used,
                },
                Err(error) => {
                    self.refuse_stranger(id, &bytes[used..], error.message(), notice);
                    return bytes.len();
                }
            }
        }
    }

    /// A frame that has begun has a deadline.
    pub(super) fn watch_partial(&mut self, id: ConnId) {
        let now_ms = self.now().mono_ms;
        let frame_deadline_ms = self.options.frame_deadline_ms;
        let Some(conn) = self.conn(id) else { return };
        if conn.pending.is_empty() || conn.is_held() {
            conn.partial_since_ms = 0;
        } else if conn.partial_since_ms == 0 {
            conn.partial_since_ms = now_ms.max(1);
            if !std::mem::replace(&mut conn.partial_watched, true) {
                let deadline_ms = conn.partial_deadline_ms(frame_deadline_ms);
                self.partials.push(Reverse((deadline_ms, id)));
            }
        }
    }

    /// Why an incomplete frame is not waited for.
    fn unlike_request(&mut self, id: ConnId, bytes: &[u8]) -> Option<&'static str> {
        let is_first = self.conn(id).is_some_and(|conn| !conn.has_spoken);
        stranger::unlike_json(bytes)
            .or_else(|| stranger::unlike_request(bytes).filter(|_| is_first))
    }

    /// Refuses bytes that begin no frame of the protocol. If nothing else came before them, they
    /// may show who speaks here.
    fn refuse_stranger(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        why: &str,
        notice: &mut impl FnMut(ServerNotice<'_>),
    ) {
        let is_first = self.conn(id).is_some_and(|conn| !conn.has_spoken);
        match stranger::recognised(bytes).filter(|_| is_first) {
            Some(who) => self.refuse(id, &format!("{why}; {who}"), notice),
            None => self.refuse(id, why, notice),
        }
    }

    /// Says why, and closes once that is sent.
    pub(super) fn refuse(
        &mut self,
        id: ConnId,
        why: &str,
        notice: &mut impl FnMut(ServerNotice<'_>),
    ) {
        notice(ServerNotice::Connection(&format!("refused: {why}")));
        let mut answer = Vec::new();
        let append = |out: &mut Vec<u8>| {
            message::append_response(out, None, |out| message::append_error(out, why));
        };
        let _ = frame::append(&mut answer, usize::MAX, append);
        self.enqueue(id, &answer);
        self.linger(id);
        self.carry_out(notice);
    }

    /// Nothing more is read as requests; what is queued is still sent. To the registry the
    /// connection is closed, so that its nodes' names are not held by it.
    pub(super) fn linger(&mut self, id: ConnId) {
        let until = self.now().mono_ms + limits::LINGER_MS;
        self.seal(id);
        if let Some(conn) = self.conn(id) {
            conn.state = ConnState::Lingering(until);
            conn.pending = Vec::new();
            self.lingering.push_back((until, id));
            self.again.push_back(id);
            self.registry
                .step(self.now(), Input::Closed(id), &mut self.outputs);
        }
    }

    /// The time of an incomplete frame may be over.
    pub(super) fn partial_due(&mut self, id: ConnId, notice: &mut impl FnMut(ServerNotice<'_>)) {
        let now_ms = self.now().mono_ms;
        let frame_deadline_ms = self.options.frame_deadline_ms;
        let Some(conn) = self.conn(id) else { return };
        conn.partial_watched = false;
        let since_ms = conn.partial_since_ms;
        if conn.state != ConnState::Open || since_ms == 0 {
            return;
        }
        let deadline_ms = conn.partial_deadline_ms(frame_deadline_ms);
        if deadline_ms <= now_ms {
            let bytes = std::mem::take(&mut conn.pending);
            let why = format!("frame not completed within {} ms", deadline_ms - since_ms);
            self.refuse_stranger(id, &bytes, &why, notice);
        } else {
            conn.partial_watched = true;
            self.partials.push(Reverse((deadline_ms, id)));
        }
    }
}
