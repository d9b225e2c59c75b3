//! Snapshots: a whole document, in bytes or in the JSON of the originals (json-crdt.md 7).
//!
//! The bytes are described in `docs/document-format.md`. In the JSON they are one more member, which
//! the originals pass over.

use std::sync::Arc;

use super::Document;
use super::events::{Event, Object, hlc};
use super::original::{self, Members};
use crate::crdt::base64;
use crate::crdt::codec::{Reader, Writer, damaged};
use crate::crdt::json::Json;
use crate::crdt::log::Counts;
use crate::crdt::op::{COUNT_MAX, base36};
use crate::crdt::path;
use crate::crdt::scan::string;
use crate::crdt::stamp::{Replicas, Stamp, Time};
use crate::crdt::tree::Tree;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CRDT_DEPS_MAX, CRDT_REPLICA_BYTES_MAX};
use crate::wire::json::validate;

const MAGIC: &[u8] = b"DFD\x01";
/// The member of the JSON that holds the bytes.
const EXACT: &str = "distflow";

/// A snapshot that was read, and is to be taken in; see [`Document::plan_restore`].
#[derive(Debug)]
pub struct Plan {
    state: State,
    /// The document's table, with those that are new in the snapshot.
    replicas: Replicas,
    is_merge: bool,
}

/// What a snapshot says, in the numbers of one table of replicas.
#[derive(Debug)]
pub(super) struct State {
    pub src: Option<Arc<str>>,
    pub local: Time,
    pub clock: Counts,
    pub last: Vec<Counts>,
    pub tree: Tree,
}

impl Document {
    /// The whole document in bytes, for [`Document::restore`] and [`Document::merge`].
    pub fn snapshot(&mut self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.out.extend_from_slice(MAGIC);
        writer.count(self.replicas.len() as u64);
        for at in 0..self.replicas.len() {
            writer.text(self.replicas.name(at as u32));
        }
        writer.count(u64::from(self.me));
        writer.time(self.local, Time::default());
        counts(&mut writer, &self.clock);
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
    /// If this replica had written what the snapshot lacks, it goes on under a name made from its
    /// own: nobody is to see one of its numbers twice (R8).
    ///
    /// Errors: `invalid_json`, `invalid_message`, `too_large`; then nothing has changed.
    pub fn restore(&mut self, snapshot: &[u8], now_ms: u64) -> Result<()> {
        let plan = self.plan_restore(snapshot)?;
        self.carry_out(plan, now_ms);
        Ok(())
    }

    /// Reads a snapshot that is to replace the document: so that it can be kept first. Nothing
    /// changes by this.
    ///
    /// Errors: as [`Document::restore`].
    pub fn plan_restore(&self, snapshot: &[u8]) -> Result<Plan> {
        let (state, replicas) = self.read(snapshot)?;
        let is_merge = false;
        Ok(Plan {
            state,
            replicas,
            is_merge,
        })
    }

    /// Carries out a plan of this document. Nothing may come between.
    pub fn carry_out(&mut self, plan: Plan, now_ms: u64) {
        match plan.is_merge {
            true => self.take_in_state(plan, now_ms),
            false => self.go_back(plan, now_ms),
        }
    }

    fn go_back(&mut self, plan: Plan, now_ms: u64) {
        let Plan {
            state,
            mut replicas,
            ..
        } = plan;
        let own = self.clock.get(self.me);
        if own > state.clock.get(self.me) && !crate::plant::active("numbers_again") {
            let mut number = now_ms;
            let src = loop {
                let mut digits = [0; 14];
                let digits = String::from_utf8_lossy(base36(&mut digits, number));
                let src = format!("{}~{digits}", self.name);
                if replicas.find(&src).is_none() {
                    break src;
                }
                number += 1;
            };
            self.me = replicas.intern(&src);
            self.src = replicas.shared(self.me);
        } else if self.clock.is_empty()
            && self.lost.is_empty()
            && let Some(src) = state.src.filter(|src| is_made_from(src, &self.name))
        {
            // The same one in its next life.
            self.me = replicas.intern(&src);
            self.src = src;
        }
        self.replicas = replicas;
        // What it had seen and no longer knows, the others take for seen: its writes stay later.
        self.local = self
            .local
            .max(state.local)
            .max(self.tree.latest(&self.replicas));
        self.tree = state.tree;
        self.lost.raise(&self.clock);
        self.clock = state.clock;
        self.log.begin_after(state.last);
        self.pending.clear();
        self.look(&|_| false, &|_| false);
        self.tell(Event::Restore { is_merge: false });
    }

    /// Takes in what a snapshot has and this document has not, as if the operations had come. This is
    /// for a peer whose log no longer has them.
    ///
    /// A snapshot of an original does not say enough for that: it is taken in only if it has seen
    /// all that this document has.
    ///
    /// Errors: as [`Document::restore`]; `invalid_argument` for such a snapshot.
    pub fn merge(&mut self, snapshot: &[u8], now_ms: u64) -> Result<()> {
        let plan = self.plan_merge(snapshot)?;
        self.carry_out(plan, now_ms);
        Ok(())
    }

    /// Like [`Document::plan_restore`] for a merge.
    ///
    /// Errors: as [`Document::merge`].
    pub fn plan_merge(&self, snapshot: &[u8]) -> Result<Plan> {
        let (state, replicas) = self.read(snapshot)?;
        if state.src.is_none() && !state.clock.covers(&self.clock) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the snapshot lacks operations of this document, and does not say enough to be merged",
            ));
        }
        let is_merge = true;
        Ok(Plan {
            state,
            replicas,
            is_merge,
        })
    }

    fn take_in_state(&mut self, plan: Plan, now_ms: u64) {
        let Plan {
            state, replicas, ..
        } = plan;
        self.replicas = replicas;
        if state.clock.covers(&self.clock) {
            // Nothing here is new to it.
            self.tree = state.tree;
        } else {
            let (here, there) = (&self.clock, &state.clock);
            let seen_here = |stamp: &Stamp| here.get(stamp.replica) >= stamp.seq;
            let seen_there = |stamp: &Stamp| there.get(stamp.replica) >= stamp.seq;
            (self.tree).join(&self.replicas, state.tree, &seen_here, &seen_there);
        }
        self.clock.raise(&state.clock);
        self.log.skip_to(state.last);
        self.look(&|_| false, &|_| false);
        self.tell(Event::Restore { is_merge: true });
        self.drain_pending(now_ms);
    }

    /// The state, and the table of replicas with those that are new in it.
    fn read(&self, snapshot: &[u8]) -> Result<(State, Replicas)> {
        let mut replicas = self.replicas.clone();
        let state = match snapshot.strip_prefix(MAGIC) {
            Some(bytes) => State::decode(bytes, &mut replicas)?,
            None => State::from_json(validate(snapshot)?, &mut replicas)?,
        };
        Ok((state, replicas))
    }
}

fn is_made_from(src: &str, name: &str) -> bool {
    let rest = src.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('~'))
}

fn counts(writer: &mut Writer, counts: &Counts) {
    writer.count(counts.iter().count() as u64);
    for (replica, count) in counts.iter() {
        writer.count(u64::from(replica));
        writer.count(count);
    }
}

pub(super) fn intern(replicas: &mut Replicas, name: &str) -> Result<u32> {
    if name.is_empty() || name.len() > CRDT_REPLICA_BYTES_MAX {
        return Err(damaged("a replica's name is too long, or empty"));
    }
    if replicas.find(name).is_none() && replicas.len() >= CRDT_DEPS_MAX {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("there would be more than {CRDT_DEPS_MAX} replicas"),
        ));
    }
    Ok(replicas.intern(name))
}

impl State {
    fn decode(bytes: &[u8], replicas: &mut Replicas) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let mut table = Vec::new();
        for _ in 0..reader.entries()? {
            let replica = intern(replicas, reader.text()?)?;
            if table.contains(&replica) {
                return Err(damaged("a replica comes twice"));
            }
            table.push(replica);
        }
        let me = numbered(reader.count()?, &table)?;
        let local = reader.time(Time::default())?;
        let clock = read_counts(&mut reader, &table)?;
        let mut last = vec![Counts::default(); replicas.len()];
        for &replica in &table {
            last[replica as usize] = read_counts(&mut reader, &table)?;
        }
        let tree = Tree::decode(&mut reader, &table, replicas)?;
        if !reader.is_at_end() {
            return Err(damaged("something comes after the document"));
        }
        Ok(Self {
            src: Some(replicas.shared(me)),
            local,
            clock,
            last,
            tree,
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
        let bytes = bytes.strip_prefix(MAGIC);
        Self::decode(bytes.ok_or_else(|| damaged("not a document"))?, replicas)
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
    for _ in 0..reader.entries()? {
        let replica = numbered(reader.count()?, table)?;
        let count = reader.count()?;
        if count > COUNT_MAX {
            return Err(damaged("a number is out of range"));
        }
        counts.set(replica, count);
    }
    Ok(counts)
}
