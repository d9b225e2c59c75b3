//! Who is in: asking, leaving, and leases.

use super::Phase;
use super::{REFUSED_MAX, REFUSED_MS};
use crate::session::date::Moment;
use crate::session::document::State;
use crate::session::message::{Player, Presence, StartKind};
use crate::session::seat::{Event, KNOWN_MAX, Seat};
use crate::session::topic::name_of;

impl Seat {
    pub(in crate::session::seat) fn on_presence(
        &mut self,
        presence: &Presence,
        retained: bool,
        now: Moment,
    ) {
        let instance = &presence.instance;
        self.remember(instance);
        let (Some(creator), Some(document)) = (&mut self.creator, &self.document) else {
            return;
        };
        if *instance == self.me {
            let is_free = matches!(creator.phase, Phase::Checking { found: None, .. });
            if is_free {
                self.begin_running(now);
            }
            return;
        }
        if presence.creates {
            return;
        }
        let is_left_behind = creator.is_new || creator.departed.contains_key(instance);
        if retained && is_left_behind {
            let topic = self.topics.ready(instance);
            self.empty(topic);
            return;
        }
        if creator.present.len() < KNOWN_MAX {
            creator.present.insert(instance.clone());
        }
        // What was said before the session began, an earlier one of its id has left behind; so may
        // have an original that was killed, of which nothing tells. Ours say it again, and originals
        // write the document.
        let may_be_old = match (presence.said_at, document.created_at, presence.lease_ms) {
            (Some(said_at), Some(created_at), Some(_)) => said_at < created_at,
            (_, _, lease_ms) => lease_ms.is_none(),
        };
        if retained
            && may_be_old
            && !document.has(instance)
            && !crate::plant::active("old_presence")
        {
            return;
        }
        let lease_ms = presence
            .lease_ms
            .map(|_| now.mono_ms + self.timing.lease_ms);
        self.ask_to_join(instance, lease_ms, now);
    }

    /// Adds somebody who wants to join, if that is possible; says so if it is not.
    pub(super) fn ask_to_join(&mut self, instance: &str, lease_ms: Option<u64>, now: Moment) {
        let (Some(creator), Some(document)) = (&mut self.creator, &mut self.document) else {
            return;
        };
        if document.has(instance) {
            // Of originals as well, which have none: what was assumed when this instance took over ends.
            creator.leases.insert(instance.to_owned(), lease_ms);
            return;
        }
        let comes_back =
            creator.lost.contains(instance) && document.has_room() && !document.is_closed();
        if !document.is_joinable() && !comes_back && !crate::plant::active("room_for_all") {
            let is_known = creator.refused.contains_key(instance);
            if creator.refused.len() < REFUSED_MAX && !is_known && !document.is_closed() {
                let until_ms = now.mono_ms + REFUSED_MS;
                creator.refused.insert(instance.to_owned(), until_ms);
                self.change(now);
            }
            return;
        }
        document.members.push(instance.to_owned());
        creator.leases.insert(instance.to_owned(), lease_ms);
        creator.departed.remove(instance);
        creator.lost.remove(instance);
        creator.refused.remove(instance);
        let is_full = !document.has_room();
        let auto_start_s = document
            .writer
            .as_ref()
            .and_then(|writer| writer.auto_start_s);
        self.are_some_missing();
        self.tell(Event::MemberJoined(instance.to_owned()));
        self.change(now);
        if let Some(seconds) = auto_start_s.filter(|_| is_full) {
            self.begin_countdown(StartKind::Auto, seconds, now);
        }
    }

    /// The broker keeps nobody's presence there any more: it was taken away, or lost.
    pub(in crate::session::seat) fn on_absence(&mut self, instance: &str, now: Moment) {
        if let Some(creator) = &mut self.creator {
            creator.present.remove(instance);
            creator.refused.remove(instance);
        }
        self.lose(instance, now);
    }

    /// Somebody is gone without a word: its word may still come, or it itself.
    fn lose(&mut self, instance: &str, now: Moment) {
        let is_member = self
            .document
            .as_ref()
            .is_some_and(|document| document.has(instance));
        self.remove(instance, now);
        if let Some(creator) = &mut self.creator
            && is_member
            && creator.lost.len() < KNOWN_MAX
        {
            creator.lost.insert(instance.to_owned());
        }
    }

    pub(in crate::session::seat) fn on_disconnect(
        &mut self,
        who: &str,
        payload: &[u8],
        now: Moment,
    ) -> bool {
        let notice = match Player::parse(payload) {
            Ok(notice) => notice,
            Err(_) => return payload.is_empty(),
        };
        // Whoever it says has left: it can only speak for itself, under its id or its player's name.
        let is_theirs = |who: &str| {
            let registered = self.players.registered.get(who);
            *who == *notice.instance
                || notice.player.as_deref() == Some(who)
                || registered.is_some_and(|holder| *holder == notice.instance)
        };
        let is_own = is_theirs(who) || is_theirs(&name_of(who));
        if is_own && notice.instance != self.me {
            if let Some(creator) = &mut self.creator {
                creator.lost.remove(&*notice.instance);
            }
            self.remove(&notice.instance, now);
        }
        is_own
    }

    pub(super) fn remove(&mut self, instance: &str, now: Moment) {
        let (Some(creator), Some(document)) = (&mut self.creator, &mut self.document) else {
            return;
        };
        if !document.has(instance) || *instance == self.me {
            return;
        }
        document.members.retain(|member| member != instance);
        creator.leases.remove(instance);
        creator
            .departed
            .insert(instance.to_owned(), document.version + 1);
        if creator.departed.len() > KNOWN_MAX {
            // Whoever left first has the least left to be brought back by.
            let version = creator.departed.values().min().copied();
            creator.departed.retain(|_, left| Some(*left) != version);
        }
        let is_kept = creator.present.remove(instance);
        let count = document.members.len() as u32;
        let counts_down_in_vain =
            creator
                .countdown
                .as_ref()
                .is_some_and(|countdown| match countdown.kind {
                    StartKind::Auto => document.has_room(),
                    StartKind::Manual => count < document.players_min,
                });
        if counts_down_in_vain {
            creator.countdown = None;
            document.state = Some(State::Open);
            self.tell(Event::CountdownStopped);
            self.tell(Event::StateChanged(State::Open));
        }
        if is_kept {
            let topic = self.topics.ready(instance);
            self.empty(topic);
        }
        for player in self.players.remove_instance(instance) {
            self.empty_reservation(&player);
            self.tell(Event::Released { player });
        }
        self.are_some_missing();
        self.tell(Event::MemberLeft(instance.to_owned()));
        self.change(now);
    }

    pub(super) fn expire_leases(&mut self, now: Moment) {
        let Some(creator) = &self.creator else {
            return;
        };
        let is_over = |(instance, lease): (&String, &Option<u64>)| {
            let lease_ms = lease.filter(|lease_ms| now.mono_ms >= *lease_ms)?;
            Some((lease_ms, instance.clone()))
        };
        let mut gone: Vec<(u64, String)> = creator.leases.iter().filter_map(is_over).collect();
        gone.sort_unstable();
        for (lease_ms, instance) in gone {
            if self.is_link_proven(lease_ms, now) && !crate::plant::active("lease_for_ever") {
                self.lose(&instance, now);
            }
        }
    }
}
