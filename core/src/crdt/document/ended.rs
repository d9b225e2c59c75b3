//! Lives that have ended: their entries in the clock become one, the horizon.
//!
//! A clock names every source that was ever taken in, and a name's every life is one. What all members
//! have seen of lives that have ended can't be news to anybody. So a member says so with one of
//! its operations ([`Ended`]): whoever takes that in has, by causality, taken in all of them, and
//! counts them no longer. What is left is the horizon: *every operation stamped until then by a source
//! that is not counted has been taken in.*
//!
//! A member may say so that has heard of each other member's life (or lives) an operation that has
//! seen all of the ended ones, stamped later than the horizon by the grace period. So no member holds an
//! operation of theirs that is not known here, and none will, unless one travels for longer than the
//! grace period without being kept by a member. A life that nobody here has heard of was born after the
//! one before it of that name was last heard of: beyond the horizon. Of a member that has left, what it
//! wrote last may come for the grace period after that was heard of. Whoever is no member must not write,
//! or pass on what it has.

use std::collections::HashSet;
use std::sync::Arc;

use super::members::Known;
use super::{Document, Event, VectorClock};
use crate::crdt::horizon::{Horizon, Seen};
use crate::crdt::log::Counts;
use crate::crdt::op::{Ended, HORIZON, Op};
use crate::crdt::source;
use crate::crdt::stamp::ReplicaIndex;
use crate::limits;

/// Knowledge of the sources that are counted, and of those that are not any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Lives {
    pub horizon: Horizon,
    /// By source, the latest time of its operations.
    pub stamped: Counts,
    /// How many sources there were when it was last tried to fold, and at which operation it is tried
    /// again.
    tried: (usize, u64),
    /// For how long the members are known.
    pub known: Option<Known>,
    /// Names in the table when it was last made smaller.
    names: usize,
}

impl Document {
    /// Whether the operations of a source are no longer counted one by one.
    pub(super) fn is_folded(&self, source: &str) -> bool {
        self.lives.horizon.has(source) && self.count(source) == 0
    }

    /// Whether an operation is behind the horizon.
    pub(super) fn is_behind(&self, op: &Op) -> bool {
        op.time.t <= self.lives.horizon.until_ms
            && self.is_folded(&op.src)
            && !crate::plant::active("horizon_unseen")
    }

    /// The sources that a member stands for: that one; or of a replica's name the life that was born
    /// last, and those that wrote within the grace period. The others have ended.
    pub(super) fn lives_of(&self, member: &str, now_ms: u64) -> Vec<ReplicaIndex> {
        let recent_ms = now_ms.saturating_sub(self.options.tombstone_grace_ms);
        let (mut found, mut latest) = (Vec::new(), None);
        for (replica, _) in self.clock.iter() {
            let source = self.replicas.name(replica);
            let birth = match source::life(source) {
                _ if source == member => None,
                Some((name, birth)) if name == member => Some(birth),
                _ => continue,
            };
            latest = latest.max(birth);
            found.push((replica, birth));
        }
        let stands = |(replica, birth): &(ReplicaIndex, Option<u64>)| {
            *birth == latest || (birth.is_some() && self.lives.stamped.get(*replica) > recent_ms)
        };
        found.retain(stands);
        found.into_iter().map(|(replica, _)| replica).collect()
    }

    /// The lives that can be folded now, for the next operation to say so.
    pub(super) fn ended_lives(&mut self, now_ms: u64) -> Option<Arc<Ended>> {
        let since_ms = self.members_since(now_ms)?;
        let least = self.options.ended_lives_min.max(1);
        let (sources, at) = self.lives.tried;
        let count = self.clock.len();
        if !self.options.auto_gc
            || count <= least
            || (count < sources + least && self.metrics.total_ops < at)
        {
            return None;
        }
        self.lives.tried = (count, self.metrics.total_ops + count as u64);
        let ended = self.find_ended(now_ms, since_ms, least)?;
        self.lives.tried.0 = count - ended.sources.len();
        Some(Arc::new(ended))
    }

    fn find_ended(&self, now_ms: u64, since_ms: u64, least: usize) -> Option<Ended> {
        if self.is_lacking() {
            return None;
        }
        let (mut living, mut seen) = (HashSet::new(), Vec::new());
        living.extend(self.me);
        let members = self.members.as_ref()?;
        for member in members {
            let lives = self.lives_of(member, now_ms);
            living.extend(&lives);
            if self.is_me(member) {
                continue;
            }
            // Of somebody of whom nothing was heard, anything can still come.
            if lives.is_empty() {
                return None;
            }
            for life in lives {
                seen.push(self.log.seen_by(life)?);
            }
        }
        let births = self.births();
        let until_ms = match crate::plant::active("folded_early") {
            true => now_ms,
            false => {
                let heard_ms = self.heard_ms(members, now_ms);
                let unheard_ms = self.unheard_ms(&births, heard_ms, since_ms, now_ms);
                heard_ms.min(unheard_ms.unwrap_or(u64::MAX))
            }
        };
        // Whoever began a later life wrote nothing more in this one.
        let has_ended = |source: &str| {
            let Some((name, birth)) = source::life(source) else {
                return false;
            };
            let next = births.partition_point(|(known, at, _)| (*known, *at) <= (name, birth));
            let next = births.get(next).filter(|(known, ..)| *known == name);
            match next {
                Some((_, next, _)) => *next <= until_ms,
                None => birth <= until_ms && !members.iter().any(|member| **member == *name),
            }
        };
        let is_over = |(replica, count): &(ReplicaIndex, u64)| {
            has_ended(self.replicas.name(*replica))
                && self.lives.stamped.get(*replica) <= until_ms
                && !living.contains(replica)
                && seen.iter().all(|clock| clock.get(*replica) >= *count)
        };
        let ended: Vec<(Arc<str>, u64)> = (self.clock.iter().filter(is_over))
            .take(limits::CRDT_ENDED_MAX)
            .map(|(replica, count)| (self.replicas.shared(replica), count))
            .collect();
        (ended.len() >= least).then_some(Ended {
            until_ms: until_ms.max(self.lives.horizon.until_ms),
            sources: ended,
        })
    }

    /// Longest time from an operation's making until a member takes it in: as long as it travels, and as long as
    /// it waits there for others.
    fn arrival_ms(&self) -> u64 {
        (self.options.tombstone_grace_ms).saturating_add(self.waiting_ms())
    }

    /// Longest time that an operation waits for others where lives are folded.
    pub(super) fn waiting_ms(&self) -> u64 {
        (self.options.pending_ms).min(self.options.tombstone_grace_ms)
    }

    /// Latest time up to which every member, when it was last heard of, had taken in all that there was.
    fn heard_ms(&self, members: &[Arc<str>], now_ms: u64) -> u64 {
        let others = members.iter().filter(|member| !self.is_me(member));
        let lives = others.flat_map(|member| self.lives_of(member, now_ms));
        let heard = lives.map(|life| self.lives.stamped.get(life).saturating_sub(1));
        let last_ms = heard.chain([now_ms]).min().unwrap_or(now_ms);
        last_ms.saturating_sub(self.arrival_ms())
    }

    /// The lives that are counted, by name and birth.
    fn births(&self) -> Vec<(&str, u64, ReplicaIndex)> {
        let mut births: Vec<_> = (self.clock.iter())
            .filter_map(|(replica, _)| {
                let (name, birth) = source::life(self.replicas.name(replica))?;
                Some((name, birth, replica))
            })
            .collect();
        births.sort_unstable();
        births
    }

    /// Time from which on there can be news of members that have ended or left; `None` when all that those have
    /// written was taken in, or never will be. `births` as [`Document::births`], `heard_ms` as
    /// [`Document::heard_ms`]; the members have been these since `since_ms`.
    ///
    /// Between two lives of a member there may have been others that nobody here has heard of, and of the
    /// earlier one there may be more. What they wrote is under way for a while after the birth of the
    /// later one; until then, it may be of any time after the earlier one was last heard of. What somebody
    /// wrote who is no member any more may be of any time.
    fn unheard_ms(
        &self,
        births: &[(&str, u64, ReplicaIndex)],
        heard_ms: u64,
        since_ms: u64,
        now_ms: u64,
    ) -> Option<u64> {
        if since_ms >= heard_ms {
            return Some(self.lives.horizon.until_ms);
        }
        if crate::plant::active("unheard_ignored") {
            return None;
        }
        // By so much may a stamp be ahead of the clock by which the next life is born.
        let ahead_ms = (self.options.drift_ms).min(self.options.tombstone_grace_ms);
        let last_ms = |(_, _, replica): &(&str, u64, ReplicaIndex)| {
            let last_ms = self.lives.stamped.get(*replica);
            last_ms.saturating_sub(ahead_ms + 1)
        };
        let mut unheard_ms = None;
        for member in self.members.as_ref()? {
            let start = births.partition_point(|(name, ..)| **name < **member);
            let lives = births[start..].iter();
            let lives = lives.take_while(|(name, ..)| **name == **member);
            let born_now = (self.is_me(member) && self.own() == 0).then_some((now_ms, 0));
            let mut before_ms = self.lives.horizon.until_ms;
            for (birth_ms, last_ms) in lives.map(|life| (life.1, last_ms(life))).chain(born_now) {
                if birth_ms > heard_ms {
                    unheard_ms = Some(unheard_ms.unwrap_or(u64::MAX).min(before_ms));
                }
                before_ms = last_ms;
            }
        }
        unheard_ms
    }

    /// Time from which on there can be news of members that have ended or left, as of now. A grace period of 0
    /// says that nothing is ever under way.
    pub(super) fn unheard_now_ms(&mut self, now_ms: u64) -> Option<u64> {
        if self.options.tombstone_grace_ms == 0 {
            return None;
        }
        let since_ms = self.members_since(now_ms)?;
        let heard_ms = self.heard_ms(self.members.as_ref()?, now_ms);
        self.unheard_ms(&self.births(), heard_ms, since_ms, now_ms)
    }

    /// Counts lives no longer that an operation, which was taken in, says have ended.
    pub(super) fn fold(&mut self, by: ReplicaIndex, seq: u64, ended: &Ended) {
        let until_ms = ended.until_ms;
        let seen = self.log.seen_by(by).cloned().unwrap_or_default();
        let mut gone = HashSet::new();
        for (name, count) in &ended.sources {
            let known = self.replicas.find(name).filter(|known| *known != by);
            gone.extend(known.filter(|known| {
                let own = self.clock.get(*known);
                own > 0 && own <= *count && self.lives.stamped.get(*known) <= until_ms
            }));
        }
        self.forget_sources(&gone);
        // Whoever says it has seen what was said before.
        let mut before = std::mem::take(&mut self.lives.horizon.by);
        before.retain(|replica, count| seen.get(replica) < count);
        before.set(by, seq);
        self.lives.horizon.raise(until_ms, &before);
        self.look_for_retired(&seen, ended);
        if !gone.is_empty() {
            let (removed, left) = (gone.len(), self.clock.len());
            self.tell(Event::LivesFolded { removed, left });
        }
        // What has waited for them need not wait any more, and their names may be needed no longer.
        self.has_folded = true;
    }

    /// Sources that are counted here, though somebody who has seen less of them says that they are over.
    fn look_for_retired(&mut self, seen: &Counts, ended: &Ended) {
        let said: HashSet<&str> = ended.sources.iter().map(|(name, _)| &**name).collect();
        let mut retired = Vec::new();
        for (replica, count) in self.clock.iter() {
            let (name, known) = (self.replicas.name(replica), seen.get(replica));
            if known < count && self.lives.horizon.has(name) && (known == 0 || said.contains(name))
            {
                retired.push((replica, count - known));
            }
        }
        for (replica, unseen) in retired {
            let source = self.replicas.shared(replica);
            self.tell(Event::SourceRetired { source, unseen });
            if Some(replica) == self.me {
                self.me = None;
            }
        }
    }

    /// Counts sources no longer.
    pub(super) fn forget_sources(&mut self, gone: &HashSet<ReplicaIndex>) {
        if gone.is_empty() {
            return;
        }
        let stays = |replica: ReplicaIndex, _: u64| !gone.contains(&replica);
        for counts in [
            &mut self.clock,
            &mut self.lost,
            &mut self.lives.stamped,
            &mut self.lives.horizon.by,
        ] {
            counts.retain(stays);
        }
        self.fresh.retain(|replica| !gone.contains(replica));
        self.log.forget_sources(gone);
        if self.me.is_some_and(|me| gone.contains(&me)) {
            // Nobody counts it any more: what it writes next is of another life.
            self.me = None;
        }
    }

    /// Whether it had seen something before it went back to a snapshot that it has not got again.
    pub(super) fn is_lacking(&self) -> bool {
        let seen = Seen::new(&self.replicas, &self.clock, self.lives.horizon.until_ms);
        let is_back = |(replica, count): (ReplicaIndex, u64)| {
            self.clock.get(replica) >= count
                || (seen.is_folded(replica) && self.lives.horizon.until_ms >= self.lost_until_ms)
        };
        self.lives.horizon.until_ms < self.lost_horizon_ms || !self.lost.iter().all(is_back)
    }

    /// Whether a member's name means this replica.
    pub(super) fn is_me(&self, member: &str) -> bool {
        *member == *self.name || *member == *self.source()
    }

    /// A clock in the numbers of the table, and the horizon in it.
    pub(super) fn counts(&self, clock: &VectorClock) -> (Counts, u64) {
        let mut counts = Counts::default();
        for (name, count) in clock {
            if let Some(replica) = self.replicas.find(name) {
                counts.set(replica, *count);
            }
        }
        (counts, clock.get(HORIZON).copied().unwrap_or(0))
    }

    /// Gives back names that nothing refers to any more, when there are as many as others.
    pub(super) fn compact_names(&mut self) {
        if self.replicas.len() < 2 * self.lives.names + limits::CRDT_NAMES_SPARE {
            return;
        }
        let mut used = vec![false; self.replicas.len()];
        let mut mark = |replica: ReplicaIndex| {
            if let Some(used) = used.get_mut(replica as usize) {
                *used = true;
            }
        };
        self.me.into_iter().for_each(&mut mark);
        self.fresh.iter().copied().for_each(&mut mark);
        for counts in [&self.clock, &self.lost, &self.lives.horizon.by] {
            counts.iter().for_each(|(replica, _)| mark(replica));
        }
        self.tree.each_stamp(&mut |stamp| mark(stamp.replica));
        self.log.each_replica(&mut mark);
        let places = self.replicas.keep(&used);
        let place =
            |replica: ReplicaIndex| places.get(replica as usize).copied().unwrap_or(replica);
        self.me = self.me.map(place);
        self.fresh
            .iter_mut()
            .for_each(|replica| *replica = place(*replica));
        for counts in [
            &mut self.clock,
            &mut self.lost,
            &mut self.lives.stamped,
            &mut self.lives.horizon.by,
        ] {
            counts.renumber(place);
        }
        self.tree
            .each_stamp(&mut |stamp| stamp.replica = place(stamp.replica));
        self.log.renumber(&places);
        self.lives.names = self.replicas.len();
    }
}
