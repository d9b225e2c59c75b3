//! What happens to a document, as events, log records, and JSON.

use std::sync::Arc;

use crate::crdt::op::{Kind, Op};
use crate::crdt::path::{self, Path};
use crate::crdt::stamp::Time;
use crate::crdt::value::into_text;
use crate::wire::json::{append_number, append_string};

/// What happened to a document; see [`Document::next_event`](super::Document::next_event).
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A local write.
    Change(Op),
    /// An operation of another replica was taken in.
    Sync(Op),
    /// A write that may change what is watched; see [`Document::watch`](super::Document::watch).
    Watch {
        /// Which pattern.
        id: u64,
        /// The operation.
        op: Op,
        /// Whether it was made here.
        is_local: bool,
    },
    /// What is watched may have changed, and it is not known how: a snapshot was taken in, or events are
    /// gone. One for each watch.
    LookAgain {
        /// Which pattern.
        id: u64,
    },
    /// A local set below something that was deleted, or on it.
    ParentTombstone {
        /// The path of the set.
        path: Path,
        /// How many of its segments lead to what was deleted.
        deleted: usize,
    },
    /// A set of another replica that a later delete of the same path hides.
    TombstoneWins {
        /// The set.
        op: Op,
        /// When the delete was made.
        deleted: Time,
        /// By whom.
        by: Arc<str>,
    },
    /// An operation stamped further ahead of this host's clock than the option allows.
    ClockDrift {
        /// The operation.
        op: Op,
        /// By so many milliseconds.
        ahead_ms: u64,
    },
    /// Two histories are written as one source: an operation that has another's number, or one as the
    /// replica's own source that it has not made. Whose source it is goes on as another one.
    SourceReused {
        /// The source.
        source: Arc<str>,
        /// The number.
        seq: u64,
        /// The operation; none, if it was found in a snapshot.
        op: Option<Op>,
    },
    /// A source goes on that was counted as ended: others do not take in what it writes. A source that
    /// was not seen when that was said goes on as another one, if it is this replica's.
    SourceRetired {
        /// The source.
        source: Arc<str>,
        /// So many of its operations are not known to whoever said it.
        unseen: u64,
    },
    /// Sources whose lives have ended are counted no longer.
    LivesFolded {
        /// So many.
        removed: usize,
        /// So many are left.
        left: usize,
    },
    /// An operation that counts and does nothing: see [`Kind::Nothing`].
    Ignored(Op),
    /// The log was trimmed.
    LogTrimmed {
        /// So many operations went.
        removed: usize,
        /// So many are left.
        left: usize,
    },
    /// Operations were given up that waited too long for others, or found no room.
    PendingDropped {
        /// So many.
        removed: usize,
        /// So many are left.
        left: usize,
    },
    /// Deletes were forgotten that every member has seen.
    TombstonesDropped {
        /// So many.
        removed: usize,
        /// So many are left.
        left: usize,
    },
    /// More writes are remembered than the option says. Nothing is dropped: it would come back.
    TooManyRegisters {
        /// So many.
        registers: usize,
        /// The option.
        limit: usize,
    },
    /// So many events were not asked for in time and are gone.
    Lost(u64),
    /// The document was replaced by a snapshot's, or a snapshot was merged into it.
    Restore {
        /// Whether what it had stayed.
        is_merge: bool,
    },
}

impl Event {
    /// Its name and its JSON, as the originals have them, and as all languages do.
    pub fn to_json(&self) -> (&'static str, String) {
        let mut out = Object::default();
        let name = match self {
            Self::Change(op) => {
                let kind = match op.kind {
                    Kind::Set(_) => "set",
                    _ => "del",
                };
                out.text("type", kind);
                out.path("path", &op.path);
                out.value(op);
                out.op(op);
                "change"
            }
            Self::Sync(op) => {
                out.op(op);
                "sync"
            }
            Self::Watch { id, op, is_local } => {
                out.number("id", *id);
                out.path("path", &op.path);
                out.raw("local", if *is_local { "true" } else { "false" });
                out.op(op);
                "watch"
            }
            Self::LookAgain { id } => {
                out.number("id", *id);
                out.path("path", &[]);
                out.raw("local", "false");
                "watch"
            }
            Self::ParentTombstone { path, deleted } => {
                out.text("type", "parent-tombstone");
                out.path("path", path);
                out.path("parentPath", path.get(..*deleted).unwrap_or_default());
                out.text("operation", "set");
                "conflict"
            }
            Self::TombstoneWins { op, deleted, by } => {
                out.text("type", "tombstone-wins");
                out.path("path", &op.path);
                out.hlc("opHlc", op.time, &op.src);
                out.hlc("tombstoneHlc", *deleted, by);
                "conflict"
            }
            Self::ClockDrift { op, ahead_ms } => {
                out.text("type", "clock-drift");
                out.path("path", &op.path);
                out.hlc("opHlc", op.time, &op.src);
                out.number("aheadMs", *ahead_ms);
                "conflict"
            }
            Self::SourceReused { source, seq, op } => {
                out.text("type", "source-reused");
                out.text("source", source);
                out.number("number", *seq);
                if let Some(op) = op {
                    out.op(op);
                }
                "conflict"
            }
            Self::SourceRetired { source, unseen } => {
                out.text("type", "source-retired");
                out.text("source", source);
                out.number("unseen", *unseen);
                "conflict"
            }
            Self::LivesFolded { removed, left } => out.gc("lives", *removed, *left),
            Self::Ignored(op) => {
                out.text("type", "ignored");
                if let Kind::Nothing { reason, .. } = &op.kind {
                    out.text("reason", reason);
                }
                out.op(op);
                "conflict"
            }
            Self::LogTrimmed { removed, left } => out.gc("log", *removed, *left),
            Self::PendingDropped { removed, left } => out.gc("pending", *removed, *left),
            Self::TombstonesDropped { removed, left } => out.gc("tombstones", *removed, *left),
            Self::TooManyRegisters { registers, limit } => {
                out.text("type", "registers");
                out.number("size", *registers as u64);
                out.number("limit", *limit as u64);
                "limit"
            }
            Self::Lost(count) => {
                out.number("count", *count);
                "lost"
            }
            Self::Restore { is_merge } => {
                out.raw("merge", if *is_merge { "true" } else { "false" });
                "restore"
            }
        };
        (name, out.end())
    }

    /// Whether somebody who runs this would want to know, and not only who uses it.
    pub fn is_notable(&self) -> bool {
        !matches!(
            self,
            Self::Change(_)
                | Self::Sync(_)
                | Self::Watch { .. }
                | Self::LookAgain { .. }
                | Self::ParentTombstone { .. }
        )
    }
}

/// A JSON object that is being written.
#[derive(Debug, Default)]
pub(super) struct Object(Vec<u8>);

impl Object {
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        append_string(&mut self.0, name);
        self.0.push(b':');
        &mut self.0
    }

    pub fn raw(&mut self, name: &str, json: &str) {
        self.name(name).extend_from_slice(json.as_bytes());
    }

    pub fn text(&mut self, name: &str, text: &str) {
        append_string(self.name(name), text);
    }

    pub fn number(&mut self, name: &str, number: u64) {
        append_number(self.name(name), number);
    }

    pub fn path(&mut self, name: &str, path: &[crate::crdt::path::Segment]) {
        path::write(path, self.name(name));
    }

    pub fn hlc(&mut self, name: &str, time: Time, replica: &str) {
        let json = hlc(time, replica);
        self.raw(name, &json);
    }

    fn value(&mut self, op: &Op) {
        if let Kind::Set(value) = &op.kind {
            self.raw("value", value.as_str());
        }
    }

    fn op(&mut self, op: &Op) {
        op.encode_into(self.name("op"));
    }

    fn gc(&mut self, kind: &str, removed: usize, left: usize) -> &'static str {
        self.text("type", kind);
        self.number("removed", removed as u64);
        self.number("currentSize", left as u64);
        "gc"
    }

    pub fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        into_text(self.0)
    }
}

/// A stamp as JSON.
pub(super) fn hlc(time: Time, replica: &str) -> String {
    let mut out = Object::default();
    out.number("t", time.t);
    out.number("c", time.c);
    out.text("r", replica);
    out.end()
}
