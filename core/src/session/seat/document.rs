//! Which documents are taken, and what they change.

use super::{Beat, Ending, Event, Seat};
use crate::session::date::Moment;
use crate::session::document::Document;

/// A heartbeat that is earlier than the one before by this much: the writer's clock was set, or its
/// summer time has ended.
const CLOCK_STEP_US: i64 = 30 * 60 * 1_000_000;

impl Seat {
    pub(super) fn on_document(&mut self, document: Document, is_planned: bool, now: Moment) {
        for member in &document.members {
            self.remember(member);
        }
        if self.creator.is_some() {
            self.creator_on_document(document, now);
            return;
        }
        self.note_writer(&document);
        self.note_beat(&document, now);
        if self.takes(&document) {
            self.adopt(document, now);
        } else if is_planned {
            self.prefer_planned_word(&document);
        }
        self.watch_original();
        if self.member.is_some() {
            self.member_on_document(now);
        }
    }

    /// Notices a creator of ours.
    fn note_writer(&mut self, document: &Document) {
        let is_of_creator = document
            .writer
            .as_ref()
            .is_some_and(|writer| writer.instance == document.creator);
        let is_known = |known: &Document| known.creator == document.creator;
        if is_of_creator && self.document.as_ref().is_none_or(is_known) {
            self.is_single_writer = true;
        }
    }

    /// A heartbeat is whatever differs from the one before: nobody's clock is compared with ours.
    fn note_beat(&mut self, document: &Document, now: Moment) {
        let is_of_creator = match &document.writer {
            Some(writer) => writer.instance == document.creator,
            None => !self.is_single_writer,
        };
        let is_known = |known: &Document| known.creator == document.creator;
        if !is_of_creator || !self.document.as_ref().is_none_or(is_known) {
            return;
        }
        let beat: Beat = (
            document.last_heartbeat,
            document
                .writer
                .as_ref()
                .map_or(0, |writer| writer.heartbeat),
        );
        let is_back = crate::plant::active("clocks_compared") && beat.0 < self.beat.0;
        if beat != self.beat && !is_back {
            self.beat = beat;
            self.alive_at_ms = now.mono_ms;
            self.creator_is_there();
        }
    }

    /// Whether a document comes after the one that is known.
    fn takes(&self, new: &Document) -> bool {
        let Some(old) = &self.document else {
            return true;
        };
        if old.is_closed() {
            return false;
        }
        if new.creator != old.creator {
            return takes_over(old, new);
        }
        if new.is_closed() {
            return true;
        }
        if !self.is_single_writer {
            return is_later_original(old, new);
        }
        let key = |document: &Document| {
            let writer = document.writer.as_ref();
            let heartbeat = writer.map_or(0, |writer| writer.heartbeat);
            (document.term(), document.version, heartbeat)
        };
        let is_of_creator = new
            .writer
            .as_ref()
            .is_some_and(|writer| writer.instance == new.creator);
        // One that was taken before the creator was known to be ours says nothing.
        is_of_creator && (old.is_original() || key(new) > key(old))
    }

    /// The same document has other words on its other topic; the planned ones say more.
    fn prefer_planned_word(&mut self, document: &Document) {
        let Some(known) = &mut self.document else {
            return;
        };
        let is_same = known.version == document.version && known.writer == document.writer;
        if is_same
            && known.creator == document.creator
            && known.state != document.state
            && !known.is_closed()
        {
            known.state = document.state;
            if let Some(state) = document.state {
                self.tell(Event::StateChanged(state));
            }
        }
    }

    /// Takes a document for the one that holds.
    pub(super) fn adopt(&mut self, mut new: Document, now: Moment) {
        let old = self.document.take();
        if new.state.is_none() {
            // A word that nobody knows: whatever it was before, it can't be joined.
            new.state = old.as_ref().and_then(|old| old.state);
        }
        self.tell_members(old.as_ref(), &new);
        let creator_before = old.as_ref().map(|old| old.creator.clone());
        let connection = |document: &Document| document.writer.as_ref().map(|one| one.connection);
        let connection_before = old.as_ref().and_then(connection);
        let is_deaf = old.is_some() && connection_before != connection(&new);
        let state_before = old.as_ref().and_then(|old| old.state);
        let writer = new.writer.as_ref().map(|writer| writer.instance.clone());
        let is_closed = new.is_closed();
        let (state, creator, term) = (new.state, new.creator.clone(), new.term());
        self.document = Some(new);
        let is_another = creator_before.is_some_and(|before| before != creator);
        if is_another || is_deaf {
            self.repeat_wishes(now);
        }
        if is_another {
            self.alive_at_ms = now.mono_ms;
            self.is_single_writer = true;
            self.claims.retain(|claimed, _| *claimed > term);
            self.end_election(term);
            self.tell(Event::CreatorChanged {
                creator: creator.clone(),
                term,
            });
        }
        if state != state_before
            && let Some(state) = state
        {
            self.tell(Event::StateChanged(state));
        }
        if is_closed && self.ending.is_none() && self.has_joined() {
            let is_by_another = writer.is_some_and(|writer| writer != creator);
            self.closed(
                if is_by_another {
                    Ending::CreatorLost
                } else {
                    Ending::Closed
                },
                now,
            );
        }
    }

    fn tell_members(&mut self, old: Option<&Document>, new: &Document) {
        let before = old.map(|old| old.members.as_slice()).unwrap_or_default();
        for left in before.iter().filter(|member| !new.has(member)) {
            if *left != self.me {
                for player in self.players.remove_instance(left) {
                    self.events.push_back(Event::Released { player });
                }
                self.events.push_back(Event::MemberLeft(left.clone()));
            }
        }
        let was_in = |member: &String| old.is_some_and(|old| old.has(member));
        for joined in new.members.iter().filter(|member| !was_in(member)) {
            if *joined != self.me {
                self.events.push_back(Event::MemberJoined(joined.clone()));
            }
        }
    }
}

/// Whether another creator's document comes after: that of a later term, or of the lower id.
pub(super) fn takes_over(old: &Document, new: &Document) -> bool {
    let is_of_creator = new
        .writer
        .as_ref()
        .is_some_and(|writer| writer.instance == new.creator);
    if !is_of_creator || old.is_original() {
        return false;
    }
    let (old_term, new_term) = (old.term(), new.term());
    new_term > old_term || (new_term == old_term && new.creator < old.creator)
}

fn is_later_original(old: &Document, new: &Document) -> bool {
    let is_later = |new: &Document, step: bool| match (old.last_heartbeat, new.last_heartbeat) {
        (Some(old), Some(new)) => new > old || (step && old.0 - new.0 > CLOCK_STEP_US),
        (None, Some(_)) => true,
        (_, None) => false,
    };
    match new.version.cmp(&old.version) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => is_later(new, true),
        std::cmp::Ordering::Less => is_later(new, false),
    }
}
