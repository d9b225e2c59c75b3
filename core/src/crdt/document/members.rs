//! Who takes part in a document, and since when that is known.
//!
//! What somebody wrote last who is no member any more may still be under way, also the first of a life that
//! nobody has heard of. So lives are folded only by whoever knows that the members have been the same
//! for the grace period. Processes that live for less than that pass on what they know, in snapshots:
//! otherwise a document that only such processes work on would count all their lives for ever.

use std::sync::Arc;

use super::Document;
use crate::crdt::codec::{Reader, Writer, damaged};
use crate::error::Result;
use crate::limits::{CRDT_DEPS_MAX, CRDT_REPLICA_BYTES_MAX, CRDT_TIME_MS_MAX};

/// These were the members all the time from one moment to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// In order.
    names: Vec<Arc<str>>,
    pub since_ms: u64,
    until_ms: u64,
    /// Whether this process knows it by itself, and not from a snapshot alone.
    is_own: bool,
}

impl Known {
    pub fn encode(&self, writer: &mut Writer) {
        writer.count(self.until_ms);
        writer.count(self.until_ms - self.since_ms);
        writer.count(self.names.len() as u64);
        self.names.iter().for_each(|name| writer.text(name));
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let until_ms = reader.count()?;
        let since_ms = until_ms.checked_sub(reader.count()?);
        let since_ms = since_ms.filter(|_| until_ms <= CRDT_TIME_MS_MAX);
        let since_ms = since_ms.ok_or_else(|| damaged("a time of its members is out of range"))?;
        let count = reader.entries()?;
        if count > CRDT_DEPS_MAX {
            return Err(damaged("it has too many members"));
        }
        let mut names = Vec::new();
        for _ in 0..count {
            let name = reader.text()?;
            if name.len() > CRDT_REPLICA_BYTES_MAX {
                return Err(damaged("a member's name is too long"));
            }
            names.push(Arc::from(name));
        }
        Ok(Self {
            names,
            since_ms,
            until_ms,
            is_own: false,
        })
    }
}

impl Document {
    /// Who takes part. Only then deletes can be forgotten, arrays made shorter to remember, and lives
    /// that have ended counted no longer: when all of these have seen what was written. `None` means that
    /// it is not known, and all is kept.
    ///
    /// Every process that works on the document is told of a change at once. Whoever joins stays a
    /// member for the grace period at least.
    pub fn set_members(&mut self, members: Option<&[&str]>) {
        self.members = members.map(|names| {
            let mut names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
            names.sort_unstable();
            names.dedup();
            names
        });
        if self.lives.known.as_ref().map(|known| &known.names) != self.members.as_ref() {
            self.lives.known = None;
        }
    }

    /// Notes that the members are these now; since when they have been, at least.
    pub(super) fn members_since(&mut self, now_ms: u64) -> Option<u64> {
        let names = self.members.as_ref()?;
        let recent_ms = now_ms.saturating_sub(self.options.tombstone_grace_ms);
        let known = match &mut self.lives.known {
            Some(known) if known.is_own => known,
            // Whoever came and left in between would have stayed longer.
            Some(known) if known.names == *names && known.until_ms > recent_ms => known,
            none => none.insert(Known {
                names: names.clone(),
                since_ms: now_ms,
                until_ms: now_ms,
                is_own: true,
            }),
        };
        known.until_ms = known.until_ms.max(now_ms);
        known.since_ms = known.since_ms.min(now_ms);
        known.is_own = true;
        Some(known.since_ms)
    }

    /// Takes over from a snapshot for how long the members are known, if it is of the same ones and has
    /// been said until now.
    pub(super) fn hear_of_members(&mut self, said: Option<Known>, now_ms: u64) {
        let Some(mut said) = said else { return };
        // Its host's clock may be ahead.
        said.until_ms = said.until_ms.min(now_ms);
        said.since_ms = said.since_ms.min(now_ms);
        let recent_ms = now_ms.saturating_sub(self.options.tombstone_grace_ms);
        if said.until_ms <= recent_ms {
            return;
        }
        match &mut self.lives.known {
            Some(known) if known.names == said.names => {
                known.since_ms = known.since_ms.min(said.since_ms);
            }
            Some(known) if known.is_own => {}
            known
                if self
                    .members
                    .as_ref()
                    .is_none_or(|names| *names == said.names) =>
            {
                *known = Some(said);
            }
            _ => {}
        }
    }
}
