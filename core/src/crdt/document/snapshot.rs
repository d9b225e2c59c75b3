//! Snapshots: a whole document, in bytes or in the JSON of the originals (json-crdt.md 7).
//!
//! The bytes are described in `docs/document-format.md`. In the JSON they are one more member, which
//! the originals pass over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::events::{Object, hlc};
use super::members::Known;
use super::original::{self, Members};
use super::{Document, Event};
use crate::crdt::base64;
use crate::crdt::codec::{Reader, Writer, damaged};
use crate::crdt::horizon::{Horizon, Seen};
use crate::crdt::json::Json;
use crate::crdt::log::Counts;
use crate::crdt::op::{self, COUNT_MAX};
use crate::crdt::path;
use crate::crdt::scan::string;
use crate::crdt::stamp::{ReplicaIndex, Replicas, Stamp, Time};
use crate::crdt::tree::Tree;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{
    CRDT_DEPS_MAX, CRDT_DRIFT_MS_DEFAULT, CRDT_NAMES_MAX, CRDT_REPLICA_BYTES_MAX, CRDT_TIME_MS_MAX,
};
use crate::wire::json::validate;

const MAGIC: &[u8] = b"DFD\x02";
/// Without what came with lives: it is read, and no longer written.
const MAGIC_1: &[u8] = b"DFD\x01";

/// It writes as a source; otherwise it makes one at the next write.
const SOURCE: u8 = 1;
/// Numbers in stamps are not all those of the operations.
const INEXACT: u8 = 1 << 1;
/// Lives were folded.
const HORIZON: u8 = 1 << 2;
/// The members are known.
const MEMBERS: u8 = 1 << 3;
/// The member of the JSON that holds the bytes.
const EXACT: &str = "distflow";

/// A snapshot that was read, and is to be taken in; see [`Document::plan_restore`].
#[derive(Debug)]
pub struct Plan {
    state: State,
    /// The document's table, with those that are new in the snapshot.
    replicas: Replicas,
    is_merge: bool,
    /// As whom it writes from then on; none: as a new source.
    pub(super) src: Option<Arc<str>>,
    /// Its own time from then on.
    pub(super) local: Time,
}

impl Plan {
    /// As whom the replica writes from then on; empty: as a new source.
    pub fn source(&self) -> &str {
        self.src.as_deref().unwrap_or_default()
    }

    /// The replica's own time from then on.
    pub fn local(&self) -> Time {
        self.local
    }
}

/// What a snapshot says, in the numbers of one table of replicas.
#[derive(Debug)]
pub(super) struct State {
    pub src: Option<Arc<str>>,
    /// Whether it says enough to be merged; an original's does not.
    pub is_own: bool,
    pub local: Time,
    pub clock: Counts,
    pub last: Vec<Counts>,
    pub tree: Tree,
    /// By source, the latest time of its operations.
    pub stamped: Counts,
    pub horizon: Horizon,
    /// For how long it knows the members.
    pub members: Option<Known>,
    /// Whether the numbers in all stamps are those of the operations.
    pub is_exact: bool,
}

impl Document {
    /// The whole document in bytes, for [`Document::restore`] and [`Document::merge`].
    pub fn snapshot(&mut self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.out.extend_from_slice(MAGIC);
        let horizon = &self.lives.horizon;
        let mut flags = 0;
        for (is_so, flag) in [
            (self.me.is_some(), SOURCE),
            (!self.is_exact, INEXACT),
            (horizon.until_ms > 0, HORIZON),
            (self.lives.known.is_some(), MEMBERS),
        ] {
            flags |= if is_so { flag } else { 0 };
        }
        writer.byte(flags);
        writer.count(self.replicas.len() as u64);
        self.replicas.names().for_each(|name| writer.text(name));
        if let Some(me) = self.me {
            writer.count(u64::from(me));
        }
        writer.time(self.local, Time::default());
        if horizon.until_ms > 0 {
            writer.count(horizon.until_ms);
            counts(&mut writer, &horizon.by);
        }
        if let Some(known) = &self.lives.known {
            known.encode(&mut writer);
        }
        counts(&mut writer, &self.clock);
        for (replica, _) in self.clock.iter() {
            writer.delta(self.lives.stamped.get(replica), self.local.t);
        }
        for at in 0..self.replicas.len() {
            let none = Counts::default();
            counts(&mut writer, self.log.last().get(at).unwrap_or(&none));
        }
        self.tree.encode(&self.replicas, &mut writer);
        writer.out
    }

    /// The same as JSON, with the members of the originals.
    pub fn snapshot_json(&mut self) -> String {
        let mut out = Object::default();
        out.raw("doc", self.json().as_str());
        out.raw("vc", &self.clock_json());
        out.hlc("hlc", self.local, &self.name);
        let registers = self.tree.registers(&self.replicas);
        // One register for sets and deletes (R1): those of deletes are in both.
        for (name, only_deletes) in [("lww", false), ("tombstones", true)] {
            let mut entries: Vec<(String, Stamp)> = Vec::new();
            for register in registers
                .iter()
                .filter(|register| register.is_delete || !only_deletes)
            {
                entries.push((path::key(&register.path), register.stamp));
            }
            // Writes below an array can have the same path more than once: the latest counts.
            entries.sort_by(|a, b| {
                let times = self.replicas.compare(&b.1, &a.1);
                a.0.cmp(&b.0).then(times)
            });
            entries.dedup_by(|a, b| a.0 == b.0);
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, stamp)| {
                    let hlc = hlc(stamp.time, self.replicas.name(stamp.replica));
                    format!("[{},{hlc}]", Json::from(key.as_str()))
                })
                .collect();
            out.raw(name, &format!("[{}]", entries.join(",")));
        }
        out.text("replicaId", &self.name);
        out.text(EXACT, &base64::encode(&self.snapshot()));
        out.end()
    }

    /// Replaces the document by a snapshot's, what it had is gone; the log and what waits are empty
    /// then. A snapshot is bytes or JSON, that of an original as well.
    ///
    /// From then on it writes as another source: nobody is to see one of its numbers twice (R8).
    ///
    /// Errors: `invalid_json`, `invalid_message`, `too_large`; then nothing has changed.
    pub fn restore(&mut self, snapshot: &[u8], now_ms: u64) -> Result<()> {
        let plan = self.plan_restore(snapshot, now_ms)?;
        self.carry_out(plan, now_ms);
        Ok(())
    }

    /// Reads a snapshot that is to replace the document: so that it can be kept first. Nothing
    /// changes by this.
    ///
    /// Errors: as [`Document::restore`].
    pub fn plan_restore(&self, snapshot: &[u8], now_ms: u64) -> Result<Plan> {
        let (state, replicas) = self.read(snapshot)?;
        // A bug to be found: it counts on from an earlier number.
        let me = self.me.filter(|_| crate::plant::active("numbers_again"));
        let src = me.map(|me| replicas.shared(me));
        // What it had seen and no longer knows, the others take for seen: its writes stay later. They have
        // forgotten nothing that is stamped ahead of their clocks, so that it drags no write along.
        let ahead_ms = self.options.drift_ms.max(CRDT_DRIFT_MS_DEFAULT);
        let bound = Time {
            t: now_ms.saturating_add(ahead_ms),
            c: 0,
        };
        let seen = state.local.max(self.tree.latest(&self.replicas));
        Ok(Plan {
            state,
            replicas,
            is_merge: false,
            src,
            local: self.local.max(seen.min(bound)),
        })
    }

    /// Carries out a plan of this document. Nothing may come between.
    pub fn carry_out(&mut self, plan: Plan, now_ms: u64) {
        let was = self.me;
        self.replicas = plan.replicas;
        self.write_as(plan.src.as_deref().unwrap_or_default());
        self.local = plan.local;
        match plan.is_merge {
            true => self.take_in_state(plan.state, was, now_ms),
            false => self.go_back(plan.state),
        }
    }

    fn go_back(&mut self, state: State) {
        self.tree = state.tree;
        self.lost.raise(&self.clock);
        let stamped = self.lives.stamped.iter().map(|(_, t)| t).max();
        self.lost_until_ms = self.lost_until_ms.max(stamped.unwrap_or(0));
        self.lost_horizon_ms = self.lost_horizon_ms.max(self.lives.horizon.until_ms);
        self.clock = state.clock;
        self.lives.stamped = state.stamped;
        self.lives.horizon = state.horizon;
        self.is_exact = state.is_exact;
        self.log.begin_after(state.last, &self.lives.horizon);
        self.pending.clear();
        self.compact_names();
        self.look(&|_| false, &|_| false);
        self.tell_restore(false);
    }

    /// Takes in what a snapshot has and this document has not, as if the operations had come. This is
    /// for a peer whose log no longer has them.
    ///
    /// A snapshot of an original does not say enough for that: it is taken in only if it has seen
    /// all that this document has.
    ///
    /// Errors: as [`Document::restore`]; `invalid_argument` for such a snapshot.
    pub fn merge(&mut self, snapshot: &[u8], now_ms: u64) -> Result<()> {
        self.give_up_late(now_ms);
        let plan = self.plan_merge(snapshot)?;
        self.carry_out(plan, now_ms);
        Ok(())
    }

    /// Like [`Document::plan_restore`] for a merge.
    ///
    /// Errors: as [`Document::merge`].
    pub fn plan_merge(&mut self, snapshot: &[u8]) -> Result<Plan> {
        let (mut state, replicas) = self.read(snapshot)?;
        self.compare_stamps(&mut state)?;
        let own = state
            .clock
            .iter()
            .filter(|(replica, _)| self.clock.get(*replica) == 0);
        if self.clock.len() + own.count() > CRDT_DEPS_MAX {
            return Err(too_many());
        }
        if !state.is_own && !state.clock.covers(&self.clock) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the snapshot lacks operations of this document, and does not say enough to be merged",
            ));
        }
        Ok(self.merge_of(state, replicas))
    }

    /// A merge of what was read and looked at.
    pub(super) fn merge_of(&self, state: State, replicas: Replicas) -> Plan {
        // Who says more of its source than it knows writes as the same, or it has forgotten what it wrote.
        let me = (self.me).filter(|me| state.clock.get(*me) <= self.clock.get(*me));
        let src = me.map(|me| replicas.shared(me));
        Plan {
            state,
            replicas,
            is_merge: true,
            src,
            local: self.local,
        }
    }

    fn take_in_state(&mut self, mut state: State, was: Option<ReplicaIndex>, now_ms: u64) {
        self.hear_of_members(state.members.take(), now_ms);
        let horizon = self.lives.horizon.clone();
        let here = Seen::new(&self.replicas, &self.clock, horizon.until_ms);
        let there = Seen::new(&self.replicas, &state.clock, state.horizon.until_ms);
        let stamped = &self.lives.stamped;
        // Lives that one side has folded, of which the other knows no more.
        let mut gone: HashSet<u32> = HashSet::new();
        for (seen, clock, stamped) in [
            (&there, &self.clock, stamped),
            (&here, &state.clock, &state.stamped),
        ] {
            let folded = clock.iter().map(|(replica, _)| replica);
            gone.extend(
                folded.filter(|replica| seen.has(*replica, u64::MAX, stamped.get(*replica))),
            );
        }
        let is_all_there = horizon.is_seen(&state.clock, state.horizon.until_ms)
            && self
                .clock
                .iter()
                .all(|(replica, count)| there.has(replica, count, stamped.get(replica)));
        if is_all_there {
            // Nothing here is new to it.
            self.tree = state.tree;
        } else {
            let seen_here = |stamp: &Stamp| here.has_write(stamp);
            let seen_there = |stamp: &Stamp| there.has_write(stamp);
            (self.tree).join(&self.replicas, state.tree, &seen_here, &seen_there);
        }
        let retired: Vec<(u32, u64)> = (self.clock.iter())
            .filter(|(replica, _)| there.is_folded(*replica) && !gone.contains(replica))
            .collect();
        let own = was.map_or(0, |was| self.clock.get(was));
        self.clock.raise(&state.clock);
        self.lives.stamped.raise(&state.stamped);
        self.lives
            .horizon
            .raise(state.horizon.until_ms, &state.horizon.by);
        self.is_exact &= state.is_exact;
        for last in &mut state.last {
            last.retain(|replica, _| !gone.contains(&replica));
        }
        for &replica in &gone {
            if let Some(last) = state.last.get_mut(replica as usize) {
                *last = Counts::default();
            }
        }
        self.log.skip_to(state.last, &state.horizon);
        self.forget_sources(&gone);
        for (replica, unseen) in retired {
            let source = self.replicas.shared(replica);
            self.tell(Event::SourceRetired { source, unseen });
            if self.me == Some(replica) {
                self.me = None;
            }
        }
        if let Some(was) = was.filter(|was| self.clock.get(*was) > own) {
            let (source, seq) = (self.replicas.shared(was), self.clock.get(was));
            let op = None;
            self.tell(Event::SourceReused { source, seq, op });
        }
        self.compare_clocks();
        self.compact_names();
        self.look(&|_| false, &|_| false);
        self.tell_restore(true);
        self.drain_pending(now_ms);
    }

    /// Whether both have the same operations by the same numbers.
    ///
    /// Error: `source_conflict`.
    fn compare_stamps(&mut self, state: &mut State) -> Result<()> {
        if !self.is_exact || !state.is_exact {
            return Ok(());
        }
        let (clock, replicas) = (&self.clock, &self.replicas);
        let is_common = |stamp: &Stamp| {
            stamp.seq > 0
                && clock.get(stamp.replica) >= stamp.seq
                && state.clock.get(stamp.replica) >= stamp.seq
        };
        let mut known: HashMap<(u32, u64), Time> = HashMap::new();
        self.tree.each_stamp(&mut |stamp| {
            if is_common(stamp) {
                known.insert((stamp.replica, stamp.seq), stamp.time);
            }
        });
        self.log.each_time(&mut |replica, seq, time| {
            known.insert((replica, seq), time);
        });
        let mut found = None;
        state.tree.each_stamp(&mut |stamp| {
            let time = known.get(&(stamp.replica, stamp.seq));
            if is_common(stamp) && time.is_some_and(|time| *time != stamp.time) {
                found = Some((stamp.replica, stamp.seq));
            }
        });
        let Some((replica, seq)) = found else {
            return Ok(());
        };
        let source = replicas.shared(replica);
        let text = format!(
            "the snapshot has another operation of {source:?} with the number {seq}: two histories are written as one source"
        );
        if self.me == Some(replica) {
            self.me = None;
        }
        let op = None;
        self.tell(Event::SourceReused { source, seq, op });
        Err(Error::new(ErrorKind::SourceConflict, text))
    }

    /// The state, and the table of replicas with those that are new in it.
    pub(super) fn read(&self, snapshot: &[u8]) -> Result<(State, Replicas)> {
        let mut replicas = self.replicas.clone();
        let state = match State::decode(snapshot, &mut replicas) {
            Some(state) => state?,
            None => State::from_json(validate(snapshot)?, &mut replicas)?,
        };
        if state.clock.len() > CRDT_DEPS_MAX {
            return Err(too_many());
        }
        Ok((state, replicas))
    }
}

fn counts(writer: &mut Writer, counts: &Counts) {
    writer.count(counts.iter().count() as u64);
    for (replica, count) in counts.iter() {
        writer.count(u64::from(replica));
        writer.count(count);
    }
}

pub(super) fn intern(replicas: &mut Replicas, name: &str) -> Result<u32> {
    if name.is_empty() || name.len() > CRDT_REPLICA_BYTES_MAX || name == op::HORIZON {
        return Err(damaged("a replica's name is too long, or none"));
    }
    if replicas.find(name).is_none() && replicas.len() >= CRDT_NAMES_MAX {
        return Err(too_many());
    }
    Ok(replicas.intern(name))
}

fn too_many() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("there would be more than {CRDT_DEPS_MAX} sources to count"),
    )
}

impl State {
    /// Reads bytes, if they are a snapshot.
    fn decode(bytes: &[u8], replicas: &mut Replicas) -> Option<Result<Self>> {
        let first = bytes.strip_prefix(MAGIC_1);
        let bytes = first.or_else(|| bytes.strip_prefix(MAGIC))?;
        Some(Self::read(bytes, first.is_some(), replicas))
    }

    fn read(bytes: &[u8], is_first: bool, replicas: &mut Replicas) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let flags = if is_first { SOURCE } else { reader.byte()? };
        if flags & !(SOURCE | INEXACT | HORIZON | MEMBERS) != 0 {
            return Err(damaged("a snapshot of another version"));
        }
        let (mut table, mut known) = (Vec::new(), HashSet::new());
        for _ in 0..reader.entries()? {
            let replica = intern(replicas, reader.text()?)?;
            if !known.insert(replica) {
                return Err(damaged("a replica comes twice"));
            }
            table.push(replica);
        }
        let me = match flags & SOURCE {
            0 => None,
            _ => Some(numbered(reader.count()?, &table)?),
        };
        let local = reader.time(Time::default())?.checked();
        let local = local.ok_or_else(|| damaged("its time is after the year 9999"))?;
        let mut horizon = Horizon::default();
        if flags & HORIZON != 0 {
            let until_ms = reader.count()?;
            if until_ms > CRDT_TIME_MS_MAX {
                return Err(damaged("its horizon is after the year 9999"));
            }
            horizon.raise(until_ms, &read_counts(&mut reader, &table)?);
        }
        let members = match flags & MEMBERS {
            0 => None,
            _ => Some(Known::decode(&mut reader)?),
        };
        let counted = read_pairs(&mut reader, &table)?;
        let (mut clock, mut stamped) = (Counts::default(), Counts::default());
        for (replica, count) in counted {
            clock.set(replica, count);
            if !is_first {
                stamped.set(replica, reader.delta(local.t)?);
            }
        }
        let mut last = vec![Counts::default(); replicas.len()];
        for &replica in &table {
            last[replica as usize] = read_counts(&mut reader, &table)?;
        }
        let tree = Tree::decode(&mut reader, &table, replicas)?;
        if !reader.is_at_end() {
            return Err(damaged("something comes after the document"));
        }
        Ok(Self {
            src: me.map(|me| replicas.shared(me)),
            is_own: true,
            local,
            clock,
            last,
            tree,
            stamped,
            horizon,
            members,
            is_exact: flags & INEXACT == 0,
        })
    }

    /// From JSON: by the bytes that are in it, or else as an original's.
    fn from_json(text: &str, replicas: &mut Replicas) -> Result<Self> {
        let members = Members::of(text);
        let Some(exact) = members.get(EXACT) else {
            return original::state(&members, replicas);
        };
        let bytes = string(exact).and_then(|text| base64::decode(&text));
        let bytes = bytes.ok_or_else(|| damaged("distflow is not base64"))?;
        Self::decode(&bytes, replicas).ok_or_else(|| damaged("not a document"))?
    }
}

fn numbered(number: u64, table: &[u32]) -> Result<u32> {
    let at = usize::try_from(number).ok();
    let replica = at.and_then(|at| table.get(at));
    replica
        .copied()
        .ok_or_else(|| damaged("a replica that is in no table"))
}

fn read_counts(reader: &mut Reader<'_>, table: &[u32]) -> Result<Counts> {
    let mut counts = Counts::default();
    for (replica, count) in read_pairs(reader, table)? {
        counts.set(replica, count);
    }
    Ok(counts)
}

/// Counts in the order in which they are written.
fn read_pairs(reader: &mut Reader<'_>, table: &[u32]) -> Result<Vec<(u32, u64)>> {
    let mut pairs = Vec::new();
    for _ in 0..reader.entries()? {
        let replica = numbered(reader.count()?, table)?;
        let count = reader.count()?;
        if count > COUNT_MAX {
            return Err(damaged("a number is out of range"));
        }
        pairs.push((replica, count));
    }
    Ok(pairs)
}
