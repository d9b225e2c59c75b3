//! A document as it is kept for its next life: as it was, and what has happened to it since.
//!
//! What is told here has happened. Nothing is judged anew by options, limits, or the time: a document
//! opens as it was closed.

use std::sync::Arc;

use super::snapshot::{State, intern};
use super::{Document, Plan};
use crate::crdt::batch::{self, Batch};
use crate::crdt::codec::{Reader, Writer, damaged};
use crate::crdt::log::Counts;
use crate::crdt::op::Op;
use crate::crdt::pending::Dot;
use crate::crdt::stamp::Time;
use crate::error::Result;

const MAGIC: &[u8] = b"DFK\x01";

/// An operation that waits, or waited: its source, and its number among the source's.
pub type Waited = (Arc<str>, u64);

impl Document {
    /// All of it in bytes, for [`Document::load`]: a snapshot, and what others need not know of.
    pub fn keep(&mut self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.out.extend_from_slice(MAGIC);
        let snapshot = self.snapshot();
        writer.count(snapshot.len() as u64);
        writer.out.extend_from_slice(&snapshot);
        writer.count(self.lost.iter().count() as u64);
        for (replica, count) in self.lost.iter() {
            writer.text(self.replicas.name(replica));
            writer.count(count);
        }
        writer.count(self.lost_horizon_ms);
        writer.count(self.lost_until_ms);
        let waiting = batch::encode(self.pending.oldest(usize::MAX));
        writer.count(waiting.len() as u64);
        writer.out.extend_from_slice(&waiting);
        writer.out
    }

    /// Becomes what [`Document::keep`] gave. What waits has as much time again.
    ///
    /// Error: `invalid_message`; then the document may be anything.
    pub fn load(&mut self, kept: &[u8], now_ms: u64) -> Result<()> {
        let bytes = kept.strip_prefix(MAGIC);
        let mut reader = Reader::new(bytes.ok_or_else(|| damaged("not a document that was kept"))?);
        let length = reader.count()?;
        let (state, replicas) = self.read(reader.bytes(length)?)?;
        self.replicas = replicas;
        self.adopt(state);
        for _ in 0..reader.entries()? {
            let replica = intern(&mut self.replicas, reader.text()?)?;
            self.lost.set(replica, reader.count()?);
        }
        self.lost_horizon_ms = reader.count()?;
        self.lost_until_ms = reader.count()?;
        let length = reader.count()?;
        let waiting = reader.bytes(length)?;
        if !reader.is_at_end() {
            return Err(damaged("something comes after the document"));
        }
        for op in Batch::new(waiting)? {
            let op = op?;
            let came_ms = op.time.t.min(now_ms);
            self.replay_waiting(op, came_ms, now_ms);
        }
        Ok(())
    }

    fn adopt(&mut self, state: State) {
        self.write_as(state.src.as_deref().unwrap_or_default());
        self.local = state.local;
        self.tree = state.tree;
        self.clock = state.clock;
        self.lives.stamped = state.stamped;
        self.lives.horizon = state.horizon;
        self.lives.known = state.members;
        self.is_exact = state.is_exact;
        self.log.begin_after(state.last, &self.lives.horizon);
        self.pending.clear();
        self.lost = Counts::default();
        self.look(&|_| false, &|_| false);
    }

    /// Writes as this source from now on; as a new one, if it is empty.
    pub fn write_as(&mut self, src: &str) {
        self.me = match src {
            "" => None,
            src => Some(self.replicas.intern(src)),
        };
    }

    /// The time of its last local operation that followed this host's clock.
    pub fn local(&self) -> Time {
        self.local
    }

    /// What waits for others before it, the oldest first.
    pub fn waiting(&self) -> Vec<Waited> {
        let ops = self.pending.oldest(usize::MAX);
        ops.iter().map(|op| (op.src.clone(), op.seq())).collect()
    }

    /// What was given up since this was last asked, of a document that is kept.
    pub fn take_given_up(&mut self) -> Vec<Waited> {
        std::mem::take(&mut self.given_up)
    }

    /// An operation of this replica was made; its clock then stood so.
    ///
    /// Error: `invalid_message` for one that can't have been.
    pub fn replay_local(&mut self, op: &Op, local: Time) -> Result<()> {
        self.check_next(op)?;
        self.write_as(&op.src);
        self.local = local;
        self.take_in(op);
        self.fresh.clear();
        Ok(())
    }

    /// An operation of another replica was taken in, and whatever waited for it.
    ///
    /// Error: `invalid_message` for one that can't have been.
    pub fn replay_applied(&mut self, op: Op, now_ms: u64) -> Result<()> {
        self.check_next(&op)?;
        self.notice_own(&op);
        let dot = (op.src.clone(), op.seq());
        self.take_in_foreign(op, now_ms);
        self.wake(vec![dot], now_ms);
        Ok(())
    }

    fn check_next(&self, op: &Op) -> Result<()> {
        if self.count(&op.src) >= op.seq() {
            return Err(damaged("an operation is there twice"));
        }
        match self.missing(op) {
            Some(_) => Err(damaged("an operation before another is missing")),
            None => Ok(()),
        }
    }

    /// An operation of another replica came too early, and waits. Since when is not kept: `came_ms` is not before
    /// it was made.
    pub fn replay_waiting(&mut self, op: Op, came_ms: u64, now_ms: u64) {
        if self.has(&op) {
            return;
        }
        match self.missing(&op) {
            Some(_) if self.is_judged_anew() => {}
            Some(needs) => self.pending.insert(op, needs, came_ms),
            None => {
                let dot = (op.src.clone(), op.seq());
                self.take_in_foreign(op, now_ms);
                self.wake(vec![dot], now_ms);
            }
        }
    }

    /// A bug to be found: what has happened is judged by the options of now.
    fn is_judged_anew(&self) -> bool {
        crate::plant::active("replay_judges_anew")
            && self.pending.len() >= self.options.pending_ops_max
    }

    /// Operations that waited were given up.
    pub fn replay_given_up(&mut self, dots: &[Dot]) {
        for dot in dots {
            self.pending.take(dot);
        }
    }

    /// A snapshot was merged, and it wrote as this source from then on; empty: as a new one.
    ///
    /// Errors: as [`Document::restore`].
    pub fn replay_merge(&mut self, snapshot: &[u8], src: &str, now_ms: u64) -> Result<()> {
        // It was looked at before: the log may hold more to compare with now than it did then.
        let (state, replicas) = self.read(snapshot)?;
        let plan = self.merge_of(state, replicas).with_outcome(src, None);
        self.carry_out(plan, now_ms);
        Ok(())
    }

    /// The document went back to a snapshot, and wrote as this source from then on (empty: as a new one),
    /// with its clock so.
    ///
    /// Errors: as [`Document::plan_restore`].
    pub fn replay_restore(
        &mut self,
        snapshot: &[u8],
        src: &str,
        local: Time,
        now_ms: u64,
    ) -> Result<()> {
        let plan = self.plan_restore(snapshot, now_ms)?;
        self.carry_out(plan.with_outcome(src, Some(local)), now_ms);
        Ok(())
    }
}

impl Plan {
    fn with_outcome(mut self, src: &str, local: Option<Time>) -> Self {
        self.src = (!src.is_empty()).then(|| Arc::from(src));
        self.local = local.unwrap_or(self.local);
        self
    }
}
