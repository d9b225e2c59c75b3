//! What a document forgets, by itself or when it is told to; and what it counts.

use super::{Document, Event, Options};
use crate::crdt::horizon::Seen;
use crate::crdt::log::Counts;
use crate::crdt::metrics::Metrics;
use crate::crdt::pending::Pending;
use crate::crdt::stamp::Stamp;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// The whole document is looked at after so many operations at least, or some more than there are
/// places to look at, so that it costs every operation the same, and little.
const SETTLE_OPS: usize = 4_096;
const SETTLE_FACTOR: usize = 4;
/// When the grace period has passed since, it is looked at after this part of the places.
const PERIOD_PART: usize = 64;
/// At most so often.
const PERIOD_MS_MIN: u64 = 1_000;
/// Where more writes could be remembered than the option says, it is looked at sooner: after this part
/// of the places.
const LIMIT_PART: usize = 8;

impl Document {
    /// What was counted. Sizes are counted now, over the whole document.
    pub fn metrics(&mut self, now_ms: u64) -> Metrics {
        self.look(&|_| false, &|_| false);
        Metrics {
            ops_per_second: self.rates.ops_per_second(now_ms),
            avg_latency_ms: self.rates.latency_ms(),
            total_conflicts: self.metrics.tombstone_conflicts + self.metrics.path_conflicts,
            log_size: self.log.len(),
            pending_size: self.pending.len(),
            lww_size: self.settled.registers,
            tombstones_size: self.settled.tombstones,
            vc_size: self.clock.iter().count(),
            ..self.metrics
        }
    }

    pub(super) fn make_room(&mut self, now_ms: u64) -> Result<()> {
        let is_full = |pending: &Pending, options: &Options| {
            pending.len() >= options.pending_ops_max
                || pending.bytes() >= limits::CRDT_PENDING_BYTES_MAX
        };
        if is_full(&self.pending, &self.options) {
            self.expire_pending(now_ms);
        }
        if !is_full(&self.pending, &self.options) {
            return Ok(());
        }
        let left = self.pending.len();
        self.metrics.gc_pending_ops += 1;
        self.tell(Event::PendingDropped { removed: 1, left });
        Err(Error::new(
            ErrorKind::Busy,
            format!("{left} operations wait for others already"),
        ))
    }

    pub(super) fn collect(&mut self, now_ms: u64) {
        let has_folded = self.has_folded;
        while std::mem::take(&mut self.has_folded) && self.pending.len() > 0 {
            self.drain_pending(now_ms);
        }
        if has_folded {
            self.compact_names();
        }
        if !self.options.auto_gc {
            return;
        }
        if self.log.len() > 2 * self.options.log_ops_max {
            self.trim_log(self.options.log_ops_max);
        }
        if self.pending.len() > self.options.pending_ops_max / 2 {
            self.expire_pending(now_ms);
        }
        let room = self
            .options
            .registers_max
            .saturating_sub(self.settled.registers);
        let may_be_over = !self.is_over_limit
            && self.unsettled > room.max(SETTLE_OPS.min(self.options.registers_max) / LIMIT_PART)
            && self.unsettled > self.settled.nodes / LIMIT_PART;
        if self.settled_ms == 0 {
            self.settled_ms = now_ms;
        }
        let period_ms = self.options.tombstone_grace_ms.max(PERIOD_MS_MIN);
        let is_time = self.members.is_some()
            && now_ms.saturating_sub(self.settled_ms) > period_ms
            && self.unsettled > self.settled.nodes / PERIOD_PART;
        let are_many = self.unsettled > SETTLE_OPS.max(SETTLE_FACTOR * self.settled.nodes);
        if may_be_over || is_time || are_many {
            self.drop_tombstones(now_ms);
        }
    }

    /// Keeps the latest operations of the log. A peer that lacks older ones needs a snapshot.
    pub fn trim_log(&mut self, keep: usize) {
        let removed = self.log.trim(keep);
        if removed > 0 {
            self.metrics.gc_runs += 1;
            self.metrics.gc_log_ops += removed as u64;
            let left = self.log.len();
            self.tell(Event::LogTrimmed { removed, left });
        }
    }

    /// Gives up what has waited too long, where others count lives no longer that have ended: they hold that all
    /// of what those wrote has been taken in, or never will be. To be called before anything is taken in.
    ///
    /// A grace period of 0 says that nothing is ever under way.
    pub fn give_up_late(&mut self, now_ms: u64) {
        let may_be_late = self.options.tombstone_grace_ms > 0 && self.members.is_some();
        if may_be_late && self.options.auto_gc && !crate::plant::active("late_taken_in") {
            self.expire_before(now_ms.saturating_sub(self.waiting_ms()));
        }
    }

    /// Gives up what has waited too long for operations before it.
    pub fn expire_pending(&mut self, now_ms: u64) {
        self.expire_before(now_ms.saturating_sub(self.options.pending_ms));
    }

    fn expire_before(&mut self, before_ms: u64) {
        let expired = self.pending.expire(before_ms);
        let removed = expired.len();
        if self.is_kept {
            self.given_up.extend(expired);
        }
        if removed > 0 {
            self.metrics.gc_runs += 1;
            self.metrics.gc_pending_ops += removed as u64;
            let left = self.pending.len();
            self.tell(Event::PendingDropped { removed, left });
        }
    }

    /// What every member has seen; `None` if that is not known.
    fn seen_by_all(&self, now_ms: u64) -> Option<Vec<Counts>> {
        if self.is_lacking() {
            return None;
        }
        let mut seen = Vec::new();
        for member in self.members.as_ref()? {
            if self.is_me(member) {
                continue;
            }
            // One of whom nothing was heard has seen nothing.
            let lives = self.lives_of(member, now_ms);
            if lives.is_empty() {
                return None;
            }
            for life in lives {
                seen.push(self.log.seen_by(life)?.clone());
            }
        }
        Some(seen)
    }

    /// Forgets deletes that every member has seen, and that are older than the grace period (R6); and
    /// how an array came to be, as far as every member has seen it. Does nothing unless the members
    /// are known; see [`Document::set_members`].
    pub fn drop_tombstones(&mut self, now_ms: u64) {
        self.settled_ms = now_ms;
        self.unsettled = 0;
        match self.seen_by_all(now_ms) {
            None => self.look(&|_| false, &|_| false),
            Some(seen) => {
                let unheard_ms = (self.unheard_now_ms(now_ms))
                    .filter(|_| !crate::plant::active("forgotten_unheard"));
                let (horizon, clock) = (self.lives.horizon.clone(), self.clock.clone());
                let folded = Seen::new(&self.replicas, &clock, horizon.until_ms);
                let is_settled = |stamp: &Stamp| {
                    if crate::plant::active("forgotten_too_early") {
                        return true;
                    }
                    // Who goes back to a snapshot writes later than now, not later than everything.
                    let is_past = stamp.time.t <= now_ms;
                    // An older write would be taken for a newer one that all have seen.
                    let is_heard = unheard_ms.is_none_or(|unheard_ms| stamp.time.t <= unheard_ms);
                    let is_folded = folded.is_folded(stamp.replica);
                    let mut seen = seen.iter();
                    let is_settled = seen.all(|clock| match is_folded {
                        true => horizon.is_seen(clock, 0),
                        false => clock.get(stamp.replica) >= stamp.seq,
                    });
                    is_past && is_heard && is_settled
                };
                let before_ms = now_ms.saturating_sub(self.options.tombstone_grace_ms);
                let is_over = |stamp: &Stamp| stamp.time.t < before_ms && is_settled(stamp);
                self.look(&is_over, &is_settled);
            }
        }
        let (removed, left) = (self.settled.removed, self.settled.tombstones);
        if removed > 0 {
            // Its own later writes there must be later than those were, whatever the clock says.
            self.local = self.local.max(self.settled.latest);
            self.metrics.gc_runs += 1;
            self.metrics.gc_tombstones += removed as u64;
            self.tell(Event::TombstonesDropped { removed, left });
        }
        let registers = self.settled.registers;
        let is_over_limit = registers > self.options.registers_max;
        if is_over_limit && !self.is_over_limit {
            let limit = self.options.registers_max;
            self.tell(Event::TooManyRegisters { registers, limit });
        }
        self.is_over_limit = is_over_limit;
    }

    /// Looks at the whole document: counts what is remembered, and forgets what is over.
    pub(super) fn look(
        &mut self,
        is_over: &impl Fn(&Stamp) -> bool,
        is_settled: &impl Fn(&Stamp) -> bool,
    ) {
        self.settled = self.tree.settle(&self.replicas, is_over, is_settled);
    }
}
