//! Whether a list of sessions has all that are on the broker.
//!
//! It subscribes to wildcards, and not every broker brings what it has kept for those; or it brings no
//! more than so many messages. A message of the list's own, kept and subscribed to in the same way,
//! tells the one; sessions that are older than the list and yet new to it tell the other.

use super::date::Moment;
use super::document::Document;
use super::seat::Timing;

/// How much of what is on the broker a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Completeness {
    /// What the broker has kept is under way, or there is no connection.
    #[default]
    Unknown,
    /// The broker brings nothing that it has kept: sessions come as they announce themselves, within
    /// 5 s.
    Announcements,
    /// All of it is there.
    Complete,
    /// A session was missing from what the broker had kept, or there are more than the list has room
    /// for: there may be more.
    CutOff,
}

impl Completeness {
    /// The name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Announcements => "announcements",
            Self::Complete => "complete",
            Self::CutOff => "cut_off",
        }
    }

    /// Whether there is nothing to wait for.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::CutOff)
    }
}

/// How long the list's own message is waited for.
const PROBE_MS: u64 = 1_500;
/// How much older than the list a session has to be to be missed.
const OLDER_MS: u64 = 5_000;

/// What is found out on one connection.
#[derive(Debug, Default)]
pub(super) struct Probing {
    connected_at_ms: Option<u64>,
    /// Whether the own message came as one that was kept.
    is_back: bool,
    is_cut_off: bool,
    /// Whether it is still on the broker.
    is_kept: bool,
}

impl Probing {
    pub fn connected(&mut self, now: Moment) {
        *self = Self {
            connected_at_ms: Some(now.mono_ms),
            is_kept: true,
            ..Self::default()
        };
    }

    pub fn disconnected(&mut self) {
        self.connected_at_ms = None;
    }

    pub fn is_back(&mut self) {
        self.is_back = true;
    }

    pub fn is_cut_off(&mut self) {
        self.is_cut_off = true;
    }

    /// A session that the list did not know is heard of, live: it should have been among what was kept,
    /// if it is older than the list. Both of its times are of one clock.
    pub fn note_new(&mut self, document: &Document, now: Moment) {
        let Some(connected_at_ms) = self.connected_at_ms.filter(|_| self.is_back) else {
            return;
        };
        let Some((created, beat)) = document.created_at.zip(document.last_heartbeat) else {
            return;
        };
        let age_ms = u64::try_from((beat.0 - created.0) / 1_000).unwrap_or(0);
        self.is_cut_off |= age_ms > now.mono_ms.saturating_sub(connected_at_ms) + OLDER_MS;
    }

    /// Whether the own message is to be taken away: nothing more comes of it. True once.
    pub fn take_over(&mut self, now: Moment) -> bool {
        let is_late = self
            .probe_deadline_ms()
            .is_some_and(|at_ms| now.mono_ms >= at_ms);
        let is_over = self.connected_at_ms.is_some() && self.is_kept && (self.is_back || is_late);
        self.is_kept &= !is_over;
        is_over
    }

    fn probe_deadline_ms(&self) -> Option<u64> {
        let connected_at_ms = self.connected_at_ms?;
        self.is_kept.then_some(connected_at_ms + PROBE_MS)
    }

    /// When all have announced themselves.
    fn announced_ms(&self, timing: &Timing) -> Option<u64> {
        Some(self.connected_at_ms? + timing.announce_ms + PROBE_MS)
    }

    pub fn deadline_ms(&self, timing: &Timing, completeness: Completeness) -> Option<u64> {
        match completeness {
            Completeness::Announcements => self.announced_ms(timing),
            _ => self.probe_deadline_ms(),
        }
    }

    pub fn completeness(&self, timing: &Timing, now: Moment) -> Completeness {
        match self.announced_ms(timing) {
            None => Completeness::Unknown,
            // What there is room for is under way until the own message is back.
            _ if self.is_cut_off && (self.is_back || !self.is_kept) => Completeness::CutOff,
            _ if self.is_back || crate::plant::active("always_complete") => Completeness::Complete,
            Some(announced_ms) if now.mono_ms >= announced_ms => Completeness::Complete,
            Some(_) if self.is_kept => Completeness::Unknown,
            Some(_) => Completeness::Announcements,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are more sessions than there is room for, and of those that there is room for the documents are
    /// still under way.
    #[test]
    fn a_list_that_is_cut_off_waits_for_what_it_has_room_for() {
        let timing = Timing::default();
        let now = Moment {
            mono_ms: 1_000,
            ..Moment::default()
        };
        let mut probing = Probing::default();
        probing.connected(now);
        probing.is_cut_off();
        assert_eq!(probing.completeness(&timing, now), Completeness::Unknown);
        probing.is_back();
        assert!(probing.take_over(now));
        assert_eq!(probing.completeness(&timing, now), Completeness::CutOff);

        // Or until it is given up.
        probing.connected(now);
        probing.is_cut_off();
        let late = Moment {
            mono_ms: now.mono_ms + PROBE_MS,
            ..now
        };
        assert!(probing.take_over(late));
        assert_eq!(probing.completeness(&timing, late), Completeness::CutOff);
    }
}
