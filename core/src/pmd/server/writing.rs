//! From answers and events to bytes: what is written when, and who is cut off.
//!
//! Answers go first, each turn. Events are written afterwards, to as many watchers as a turn has
//! room for; the others have their turn after the requests that came meanwhile, and are then told
//! of everything at once.

use super::{Server, ServerNotice};
use crate::limits;
use crate::pmd::conn::{Conn, ConnState};
use crate::registry::{ConnId, Kind};
use crate::time::Now;

/// The connection of an id, beside the other parts of the server.
fn of(conns: &mut [Option<Conn>], id: ConnId) -> Option<&mut Conn> {
    let conn = conns.get_mut(id.slot as usize)?.as_mut();
    conn.filter(|conn| conn.generation == id.generation)
}

impl Server {
    /// Queues an answer.
    pub(super) fn enqueue(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = of(&mut self.conns, id) else {
            return;
        };
        conn.out.answer(&self.feeds, bytes);
        if !conn.dirty {
            conn.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Has whoever asked to watch answered.
    pub(super) fn settle(&mut self, notice: &mut impl FnMut(ServerNotice<'_>)) {
        let now = self.now();
        self.registry.settle(now, &mut self.outputs);
        self.carry_out(notice);
    }

    pub(super) fn watch(&mut self, id: ConnId, kind: Kind) {
        if let Some(conn) = of(&mut self.conns, id).filter(|conn| conn.state == ConnState::Open) {
            conn.out.watch(&mut self.feeds, kind);
        }
    }

    /// No event of later is for this connection any more.
    pub(super) fn seal(&mut self, id: ConnId) {
        if let Some(conn) = of(&mut self.conns, id) {
            conn.out.seal(&self.feeds);
        }
    }

    /// Bytes that wait for a connection.
    pub(super) fn unsent(&self, id: ConnId) -> usize {
        let conn = self.conns.get(id.slot as usize).and_then(Option::as_ref);
        conn.filter(|conn| conn.generation == id.generation)
            .map_or(0, |conn| conn.out.bytes(&self.feeds))
    }

    /// A socket takes bytes again.
    pub(super) fn writable(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id) {
            conn.blocked = false;
            let (answers, dirty) = (conn.out.answer_bytes() > 0, conn.dirty);
            // The end of a connection waits for all of its bytes.
            if (answers || conn.state != ConnState::Open) && !dirty {
                conn.dirty = true;
                self.dirty.push(id);
            } else if !conn.behind {
                conn.behind = true;
                self.behind.push_back(id);
            }
        }
    }

    pub(super) fn write_answers(&mut self, notice: &mut impl FnMut(ServerNotice<'_>)) {
        // Flushing can close a connection.
        while !self.dirty.is_empty() {
            for id in std::mem::take(&mut self.dirty) {
                self.flush(id, notice);
            }
        }
    }

    /// Writes events to as many watchers as there is room for in a turn.
    pub(super) fn write_events(&mut self, notice: &mut impl FnMut(ServerNotice<'_>)) {
        if std::mem::take(&mut self.announced) {
            self.announce(notice);
        }
        let mut room = limits::FEED_TURN_BYTES;
        while room > 0
            && let Some(id) = self.behind.pop_front()
        {
            let before = self.unsent(id);
            let Some(conn) = self.conn(id) else { continue };
            conn.behind = false;
            if before == 0 || conn.blocked {
                continue;
            }
            self.flush(id, notice);
            let written = before.saturating_sub(self.unsent(id));
            room = room.saturating_sub(written.max(limits::FEED_WRITE_BYTES_MIN));
        }
    }

    /// Something happened: whoever watches has something to read, unless it is too far behind.
    fn announce(&mut self, notice: &mut impl FnMut(ServerNotice<'_>)) {
        let bytes_max = limits::FEED_BYTES_MAX.max(self.options.watcher_queue_bytes_max);
        let crowded = self.feeds.longest() > bytes_max;
        if self.feeds.longest() > self.options.watcher_queue_bytes_max
            && self.stalls_at_ms.is_none()
        {
            self.stalls_at_ms = Some(self.now().mono_ms + limits::SWEEP_MS);
        }
        let mut lost = Vec::new();
        for slot in 0..self.conns.len() {
            let Some(conn) = self.conns[slot].as_mut().filter(|c| c.out.watches()) else {
                continue;
            };
            let id = ConnId {
                slot: slot as u32,
                generation: conn.generation,
            };
            if crowded && conn.out.event_bytes(&self.feeds) > bytes_max {
                lost.push(id);
            } else if !conn.blocked && !conn.behind {
                conn.behind = true;
                self.behind.push_back(id);
            }
        }
        for id in lost {
            self.cut(id, "watcher cut off: it is too far behind", notice);
        }
    }

    /// Cuts watchers off that take nothing.
    pub(super) fn look_for_stalls(&mut self, notice: &mut impl FnMut(ServerNotice<'_>)) {
        let now_ms = self.now().mono_ms;
        if self.stalls_at_ms.is_none_or(|at| at > now_ms) {
            return;
        }
        let bytes_max = self.options.watcher_queue_bytes_max;
        let mut stuck = Vec::new();
        for conn in self.conns.iter_mut().enumerate() {
            let (slot, Some(conn)) = conn else { continue };
            if conn.out.is_stuck(&self.feeds, bytes_max) {
                stuck.push(ConnId {
                    slot: slot as u32,
                    generation: conn.generation,
                });
            }
        }
        for id in stuck {
            self.cut(id, "watcher cut off: it does not read its events", notice);
        }
        let again = self.feeds.longest() > bytes_max;
        self.stalls_at_ms = again.then_some(now_ms + limits::SWEEP_MS);
    }

    fn cut(&mut self, id: ConnId, why: &str, notice: &mut impl FnMut(ServerNotice<'_>)) {
        if self.conn(id).is_some_and(|c| c.state == ConnState::Open) {
            notice(ServerNotice::Connection(why));
            self.abort(id);
            self.carry_out(notice);
        }
    }

    pub(super) fn flush(&mut self, id: ConnId, notice: &mut impl FnMut(ServerNotice<'_>)) {
        let Some(conn) = of(&mut self.conns, id) else {
            return;
        };
        conn.dirty = false;
        let before = conn.out.answer_bytes();
        let failed = conn.write_queued(&mut self.feeds).is_err();
        let done = conn.out.next(&self.feeds).is_empty();
        let unchoked = before > limits::ANSWERS_BYTES_MAX
            && conn.out.answer_bytes() <= limits::ANSWERS_BYTES_MAX;
        let state = conn.state;
        if matches!(state, ConnState::Lingering(_)) && done {
            let _ = conn.stream.shutdown(std::net::Shutdown::Write);
        }
        if failed || (matches!(state, ConnState::Ended(_)) && done) {
            self.close(id, notice);
        } else if unchoked {
            self.again.push_back(id);
        }
    }

    /// Ends a connection without flushing.
    fn abort(&mut self, id: ConnId) {
        if let Some(conn) = of(&mut self.conns, id) {
            conn.out.clear(&mut self.feeds);
            let _ = conn.stream.shutdown(std::net::Shutdown::Both);
        }
        self.linger(id);
        if let Some(conn) = self.conn(id) {
            conn.state = ConnState::Lingering(0);
        }
    }

    /// Gives memory back once nothing has changed for a while.
    pub(super) fn trim(&mut self, now: Now) {
        if self.trim_at_ms.is_none_or(|at| at > now.mono_ms) {
            return;
        }
        self.trim_at_ms = None;
        while self.conns.last().is_some_and(Option::is_none) {
            self.conns.pop();
        }
        let slots = self.conns.len() as u32;
        self.free.retain(|slot| *slot < slots);
        self.conns.shrink_to_fit();
        self.free.shrink_to_fit();
        self.again.shrink_to_fit();
        self.dirty.shrink_to_fit();
        self.behind.shrink_to_fit();
        self.partials.shrink_to_fit();
        self.lingering.shrink_to_fit();
        self.outputs = crate::registry::Outputs::default();
        self.registry.shrink();
        give_back();
    }
}

/// Asks the allocator to return to the system what is free; it keeps much of it otherwise.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes no pointers; locks the allocator's arenas one after the other.
    unsafe {
        libc::malloc_trim(0);
    }
}
