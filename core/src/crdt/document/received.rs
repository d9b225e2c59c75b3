//! What comes from other replicas: known, waiting, refused, or taken in.

use std::sync::Arc;

use super::{Document, Event, Listening, Received};
use crate::crdt::op::{HORIZON, Kind, Op};
use crate::crdt::pending::Dot;
use crate::crdt::tree::Outcome;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

impl Document {
    /// Whether an operation was taken in already, or waits.
    pub fn has(&self, op: &Op) -> bool {
        let seq = op.seq();
        let waits = || self.pending.len() > 0 && self.pending.contains(&(op.src.clone(), seq));
        self.count(&op.src) >= seq || waits() || self.is_behind(op)
    }

    /// Of an operation that is known by its number: whether it is that one.
    pub(super) fn has_same(&mut self, op: &Op) -> Result<Received> {
        let known = self.replicas.find(&op.src);
        let is_same = known.and_then(|src| self.log.is_same(src, op)).or_else(|| {
            let waiting = self.pending.get(&(op.src.clone(), op.seq()))?;
            let is_same = waiting.time == op.time && waiting.path == op.path;
            Some(is_same && waiting.kind.is_same(&op.kind))
        });
        if is_same != Some(false) {
            return Ok(Received::Duplicate);
        }
        if known.is_some() && known == self.me {
            self.me = None;
        }
        self.tell_reused(op);
        Err(Error::new(
            ErrorKind::SourceConflict,
            format!(
                "another operation of {:?} has the number {}: two histories are written as one source",
                op.src,
                op.seq()
            ),
        ))
    }

    pub(super) fn tell_reused(&mut self, op: &Op) {
        self.tell(Event::SourceReused {
            source: op.src.clone(),
            seq: op.seq(),
            op: Some(op.clone()),
        });
    }

    /// Somebody else writes as its source, or it has forgotten what it wrote: it goes on as another.
    pub(super) fn notice_own(&mut self, op: &Op) {
        let is_own = self.me.is_some() && self.replicas.find(&op.src) == self.me;
        if is_own {
            self.me = None;
            self.tell_reused(op);
        }
    }

    /// Takes in an operation of another replica, or keeps it until those before it have come.
    ///
    /// Errors: `busy` when too many wait: it is given again with the next exchange; `too_large` for
    /// one of yet another replica when there are [`CRDT_DEPS_MAX`](limits::CRDT_DEPS_MAX) already.
    ///
    /// `source_conflict` for another operation than the one of this source and number that was taken
    /// in, or waits: somebody else writes as the same source. [`Event::SourceReused`] tells of it, too.
    pub fn receive(&mut self, op: Op, now_ms: u64) -> Result<Received> {
        self.receive_kept(op, now_ms, |_, _| Ok(()))
    }

    /// Like [`Document::receive`]. `keep` is given the operation and what will become of it, unless it is
    /// there already, before anything has changed, and can refuse it: so that it can be kept first.
    ///
    /// Errors: as [`Document::receive`]; that of `keep`.
    pub fn receive_kept(
        &mut self,
        mut op: Op,
        now_ms: u64,
        keep: impl FnOnce(&Op, Received) -> Result<()>,
    ) -> Result<Received> {
        self.give_up_late(now_ms);
        // Nobody knows of what is stamped later than now that nothing more of it comes.
        op.ended = op.ended.filter(|ended| ended.until_ms <= now_ms);
        if self.has(&op) {
            return self.has_same(&op);
        }
        self.check_counted(&op)?;
        self.notice_own(&op);
        if let Some(needs) = self.missing(&op) {
            self.make_room(now_ms)?;
            keep(&op, Received::Pending)?;
            self.pending.insert(op, needs, now_ms);
            return Ok(Received::Pending);
        }
        keep(&op, Received::Applied)?;
        self.members_since(now_ms);
        self.metrics.remote_ops += 1;
        let dot = (self.pending.len() > 0).then(|| (op.src.clone(), op.seq()));
        self.take_in_foreign(op, now_ms);
        if let Some(dot) = dot {
            self.wake(vec![dot], now_ms);
        }
        self.collect(now_ms);
        Ok(Received::Applied)
    }

    /// Whether an operation is one of a source that is counted, or can be.
    pub(super) fn check_counted(&mut self, op: &Op) -> Result<()> {
        if self.count(&op.src) > 0 {
            return Ok(());
        }
        if op.seq() > 1 && self.lives.horizon.has(&op.src) {
            let source = op.src.clone();
            let text = format!(
                "the source {source:?} was counted as ended, and can't go on: all members had seen what it wrote"
            );
            self.tell(Event::SourceRetired { source, unseen: 1 });
            return Err(Error::new(ErrorKind::SourceConflict, text));
        }
        let own = usize::from(self.own() == 0);
        if self.clock.len() + own >= limits::CRDT_DEPS_MAX {
            return Err(self.too_many());
        }
        Ok(())
    }

    /// Takes in what has waited for these, and for those in turn.
    pub(super) fn wake(&mut self, mut came: Vec<Dot>, now_ms: u64) {
        while let Some(dot) = came.pop() {
            let mut woken = self.pending.woken_by(&dot);
            if crate::plant::active("pending_lost") {
                woken.truncate(1);
            }
            for woken in woken {
                let needs = self.pending.get(&woken).map(|op| self.missing(op));
                match needs {
                    Some(Some(needs)) => self.pending.wait_again(&woken, needs),
                    Some(None) => {
                        let Some(op) = self.pending.take(&woken) else {
                            continue;
                        };
                        if self.is_behind(&op) {
                            // It has waited for so long that everybody takes it for seen, and nobody passes
                            // it on: to take it in here alone would make this document another one.
                            self.metrics.gc_pending_ops += 1;
                            let left = self.pending.len();
                            self.tell(Event::PendingDropped { removed: 1, left });
                            came.push(woken);
                        } else if self.count(&woken.0) < woken.1 {
                            self.take_in_foreign(op, now_ms);
                            came.push(woken);
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// Tries again whatever waits.
    pub fn drain_pending(&mut self, now_ms: u64) {
        let needed = self.pending.needed();
        let came = |dot: &Dot| self.count(&dot.0) >= dot.1 || self.is_folded(&dot.0);
        let came: Vec<Dot> = needed.into_iter().filter(came).collect();
        self.wake(came, now_ms);
    }

    /// An operation that has to come before this one and has not.
    pub(super) fn missing(&self, op: &Op) -> Option<Dot> {
        let before = op.seq() - 1;
        if self.count(&op.src) < before {
            return Some((op.src.clone(), before));
        }
        // What the horizon stands for was taken in.
        let is_missing = |(replica, count): &&(Arc<str>, u64)| {
            *replica != op.src
                && self.count(replica) < *count
                && !self.is_folded(replica)
                && **replica != *HORIZON
        };
        op.deps.iter().find(is_missing).cloned()
    }

    pub(super) fn take_in_foreign(&mut self, op: Op, now_ms: u64) {
        self.rates.op(now_ms);
        self.rates.latency(now_ms.saturating_sub(op.time.t));
        let ahead_ms = op.time.t.saturating_sub(now_ms);
        if ahead_ms > self.options.drift_ms {
            let op = op.clone();
            self.tell(Event::ClockDrift { op, ahead_ms });
        }
        if let Kind::Nothing { .. } = op.kind {
            self.tell(Event::Ignored(op.clone()));
        }
        let outcome = self.take_in(&op);
        if let (Outcome::HiddenByDelete(deleted), Kind::Set(_)) = (outcome, &op.kind) {
            self.metrics.tombstone_conflicts += 1;
            let op = op.clone();
            let by = self.replicas.shared(deleted.replica);
            self.tell(Event::TombstoneWins {
                op,
                deleted: deleted.time,
                by,
            });
        }
        if self.listening == Listening::All {
            self.tell_watches(&op, outcome, false);
            self.tell(Event::Sync(op));
        }
    }
}
