//! Log records of what happens to a document.

use crate::crdt::document::Event;
use crate::crdt::op::Kind;
use crate::crdt::path;

pub(super) fn log(replica: &str, event: &Event) {
    match event {
        Event::TombstoneWins { op, .. } => {
            tracing::debug!(replica, op = %op.id(), path = path::key(&op.path), "a later delete hides a set");
        }
        Event::ClockDrift { op, ahead_ms } => {
            tracing::warn!(replica, op = %op.id(), path = path::key(&op.path), ahead_ms, "an operation is stamped ahead of this host's clock");
        }
        Event::SourceReused { source, seq, .. } => {
            tracing::warn!(replica, %source, seq, "two histories are written as one source");
        }
        Event::SourceRetired { source, unseen } => {
            tracing::warn!(replica, %source, unseen, "a source goes on that was counted as ended");
        }
        Event::LivesFolded { removed, left } => {
            tracing::debug!(
                replica,
                removed,
                left,
                "lives that have ended are counted no longer"
            );
        }
        Event::Ignored(op) => {
            let reason = match &op.kind {
                Kind::Nothing { reason, .. } => reason,
                _ => "",
            };
            tracing::warn!(replica, op = %op.id(), reason, "an operation counts and does nothing");
        }
        Event::PendingDropped { removed, left } => {
            tracing::warn!(
                replica,
                removed,
                left,
                "operations were given up that waited for others"
            );
        }
        Event::TooManyRegisters { registers, limit } => {
            tracing::warn!(
                replica,
                registers,
                limit,
                "the document remembers more writes than it should"
            );
        }
        Event::LogTrimmed { removed, left } => {
            tracing::debug!(replica, removed, left, "the log was trimmed");
        }
        Event::TombstonesDropped { removed, left } => {
            tracing::debug!(replica, removed, left, "deletes were forgotten");
        }
        Event::Restore { is_merge } => {
            tracing::info!(replica, is_merge, "a snapshot was taken in");
        }
        _ => {}
    }
}
