//! Reserving and registering players.

use super::{Event, Seat, Wishes};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::SESSION_PLAYERS_MAX;
use crate::session::date::Moment;
use crate::session::message::{Player, Reservation, write_all_selected};
use crate::session::topic::{check_player, name_of};

const KNOWN_PLAYERS_MAX: usize = 4_096;
/// How long after an original's registration it is told what it may have missed.
const REPEATS_MS: u64 = 60_000;

/// When originals are told again who plays whom.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// The next time.
    pub at_ms: Option<u64>,
    until_ms: u64,
}

impl Repeats {
    /// An original has registered a player: it is told at once, and then for a while.
    fn begin(&mut self, now: Moment, every_ms: u64) {
        self.until_ms = now.mono_ms + REPEATS_MS;
        // Originals that ask in one moment are answered together.
        let soon_ms = now.mono_ms + every_ms / 10;
        self.at_ms = Some(self.at_ms.map_or(soon_ms, |at_ms| at_ms.min(soon_ms)));
    }

    fn is_due(&self, now: Moment) -> bool {
        self.at_ms.is_some_and(|at_ms| now.mono_ms >= at_ms)
    }

    fn go_on(&mut self, now: Moment, every_ms: u64) {
        let at_ms = now.mono_ms + every_ms;
        self.at_ms = (at_ms <= self.until_ms).then_some(at_ms);
    }
}

impl Seat {
    /// Asks for a player. Whose it is, [`Event::Reserved`] tells.
    ///
    /// Errors: `invalid_argument` for the name; `refused` when this instance is not in the session,
    /// or the player is somebody else's; `busy` when it has asked for too many.
    pub fn reserve(&mut self, player: &str, now: Moment) -> Result<()> {
        self.check_player_of_mine(player)?;
        let Wishes {
            reserved, released, ..
        } = &self.wishes;
        // Without a connection nothing else bounds them.
        if !reserved.contains(player) && reserved.len() + released.len() >= SESSION_PLAYERS_MAX {
            let text = format!(
                "this instance has asked for {SESSION_PLAYERS_MAX} players already, or given them back"
            );
            return Err(Error::new(ErrorKind::Busy, text));
        }
        self.wishes.released.remove(player);
        self.wishes.reserved.insert(player.to_owned());
        self.ask_for(player, now);
        self.tick(now);
        Ok(())
    }

    fn ask_for(&mut self, player: &str, now: Moment) {
        if self.creator.is_some() {
            let me = self.me.clone();
            self.decide(player, &me, now);
            return;
        }
        let wish = Reservation {
            instance: self.me.clone(),
            player: player.to_owned(),
            is_release: false,
            confirmed_by: None,
        };
        self.publish_reservation(player, &wish.write(now.local));
    }

    /// Gives a player back, or a wish for one. Nothing happens to a player of somebody else.
    ///
    /// Error: `invalid_argument` for the name.
    pub fn release(&mut self, player: &str, now: Moment) -> Result<()> {
        check_player(player)?;
        let was_wished = self.wishes.reserved.remove(player);
        let is_mine = match self.players.reserved.get(player) {
            Some(owner) => *owner == self.me,
            // The creator has not answered yet.
            None => was_wished,
        };
        if self.ending.is_some() {
            return Ok(());
        }
        let is_played = self.wishes.registered.as_deref() == Some(player);
        if !self.is_online && (is_mine || is_played) {
            self.wishes.released.insert(player.to_owned());
        }
        if is_played {
            self.wishes.registered = None;
            self.unregistered(player);
            self.empty_registration(player);
        }
        if is_mine {
            self.give_back(player, now);
        }
        Ok(())
    }

    fn give_back(&mut self, player: &str, now: Moment) {
        if self.creator.is_some() {
            self.released(player);
            self.empty_reservation(player);
            return;
        }
        let release = Reservation {
            instance: self.me.clone(),
            player: player.to_owned(),
            is_release: true,
            confirmed_by: None,
        };
        let payload = release.write(now.local);
        self.publish_reservation(player, &payload);
    }

    /// Says that this instance plays a player. Others hear it by [`Event::Registered`].
    ///
    /// Errors: as [`Seat::reserve`].
    pub fn register(&mut self, player: &str, now: Moment) -> Result<()> {
        self.check_player_of_mine(player)?;
        self.wishes.registered = Some(player.to_owned());
        self.say_registration(now);
        self.tick(now);
        Ok(())
    }

    pub(super) fn say_registration(&mut self, now: Moment) {
        let (Some(player), Some(document)) = (&self.wishes.registered, &self.document) else {
            return;
        };
        let registration = Player {
            instance: self.me.clone(),
            player: Some(player.clone()),
            repeats: true,
        };
        let (min, max) = (document.players_min, document.players_max);
        let (player, payload) = (
            player.clone(),
            registration.write_registration(min, max, now.local),
        );
        self.publish_registration(&player, &payload);
    }

    fn check_player_of_mine(&self, player: &str) -> Result<()> {
        check_player(player)?;
        self.check_name(player)?;
        if self.ending.is_some() {
            return Err(Error::new(ErrorKind::Closed, "the session is over"));
        }
        let refused = |text: String| Err(Error::new(ErrorKind::Refused, text));
        if !self.is_in() {
            return refused("this instance is not in the session".to_owned());
        }
        if !self.players.may_register(player, &self.me) {
            return refused(format!("player '{player}' is taken"));
        }
        if !self.players.has_room(player) {
            return refused("the session has too many players".to_owned());
        }
        Ok(())
    }

    /// What was wished before the connection broke.
    pub(super) fn repeat_wishes(&mut self, now: Moment) {
        let is_creator = self.creator.is_some();
        if !self.is_in() || is_creator || crate::plant::active("wished_once") {
            return;
        }
        if self.is_online {
            // Its registration has ended with its place, which it lost by the break.
            for player in std::mem::take(&mut self.wishes.released) {
                self.give_back(&player, now);
            }
        }
        for player in self.wishes.reserved.clone() {
            self.ask_for(&player, now);
        }
        self.say_registration(now);
    }

    /// The creator says whose the players are: after a break, and after it took over.
    pub(super) fn confirm_reservations(&mut self, now: Moment) {
        for (player, instance) in self.players.reserved.clone() {
            self.confirm(&player, &instance, now);
        }
    }

    pub(super) fn on_reservation(&mut self, level: &str, payload: &[u8], now: Moment) -> bool {
        if payload.is_empty() {
            // The creator's way of saying that nobody has it any more.
            if self.creator.is_none() {
                self.released(&name_of(level));
                self.released(level);
            }
            return true;
        }
        let Ok(reservation) = Reservation::parse(payload) else {
            return false;
        };
        let name = reservation.player.clone();
        let player = name.as_str();
        if check_player(player).is_err() || !self.note_level(level, player) {
            return false;
        }
        if !self.players.has_room(player) {
            return false;
        }
        if self.known_players.len() < KNOWN_PLAYERS_MAX {
            self.known_players.insert(player.to_owned());
        }
        let Reservation {
            instance,
            is_release,
            confirmed_by,
            ..
        } = reservation;
        if self.creator.is_some() {
            if confirmed_by.as_deref() == Some(&*self.me) {
                return true;
            }
            if !is_release {
                self.decide(player, &instance, now);
            } else if self.players.reserved.get(player) == Some(&instance) {
                self.released(player);
                self.empty_reservation(player);
            } else if self.players.reserved.contains_key(player) {
                self.repeat_winner(player, now);
            } else {
                self.empty_reservation(player);
            }
            return true;
        }
        let creator = self.document.as_ref().map(|document| &document.creator);
        let is_confirmed = confirmed_by.is_some() && confirmed_by.as_ref() == creator;
        // Nobody decides in a session of the originals.
        if is_confirmed || !self.is_single_writer {
            match is_release {
                true => self.released(player),
                false => self.reserved_for(player, &instance),
            }
        }
        true
    }

    /// By first arrival (9.9 there). Only members can have a player.
    fn decide(&mut self, player: &str, instance: &str, now: Moment) {
        if self.players.reserved.contains_key(player) {
            self.repeat_winner(player, now);
            return;
        }
        let is_member = self
            .document
            .as_ref()
            .is_some_and(|document| document.has(instance));
        if !is_member || !self.players.may_register(player, instance) {
            self.empty_reservation(player);
            return;
        }
        if self.known_players.len() < KNOWN_PLAYERS_MAX {
            self.known_players.insert(player.to_owned());
        }
        self.reserved_for(player, instance);
        self.confirm(player, instance, now);
    }

    fn repeat_winner(&mut self, player: &str, now: Moment) {
        if let Some(winner) = self.players.reserved.get(player).cloned() {
            self.confirm(player, &winner, now);
        }
    }

    fn confirm(&mut self, player: &str, instance: &str, now: Moment) {
        let confirmation = Reservation {
            instance: instance.to_owned(),
            player: player.to_owned(),
            is_release: false,
            confirmed_by: Some(self.me.clone()),
        };
        self.publish_reservation(player, &confirmation.write(now.local));
    }

    fn reserved_for(&mut self, player: &str, instance: &str) {
        let before = self
            .players
            .reserved
            .insert(player.to_owned(), instance.to_owned());
        if before.as_deref() != Some(instance) {
            self.tell(Event::Reserved {
                player: player.to_owned(),
                instance: instance.to_owned(),
            });
        }
    }

    pub(super) fn released(&mut self, player: &str) {
        if self.players.reserved.remove(player).is_some() {
            self.tell(Event::Released {
                player: player.to_owned(),
            });
        }
    }

    /// Nobody plays it any more.
    fn unregistered(&mut self, player: &str) {
        if self.players.registered.remove(player).is_some() {
            self.are_some_missing();
        }
    }

    /// Whoever was selected may have gone.
    pub(super) fn are_some_missing(&mut self) {
        if self.players.are_all_selected
            && self.creator.is_some()
            && self.players.registered.len() < self.required()
        {
            self.players.are_all_selected = false;
            self.empty(self.topics.all_selected());
        }
    }

    pub(super) fn on_registration(&mut self, level: &str, payload: &[u8], now: Moment) -> bool {
        if payload.is_empty() {
            self.unregistered(&name_of(level));
            self.unregistered(level);
            return true;
        }
        let Ok(registration) = Player::parse(payload) else {
            return false;
        };
        let Some(player) = registration.player.as_deref() else {
            return false;
        };
        if !self.note_level(level, player) || !self.players.has_room(player) {
            return false;
        }
        let instance = registration.instance;
        self.sign_of_life(&instance, false, now);
        let is_member = self
            .document
            .as_ref()
            .is_none_or(|document| document.has(&instance));
        if !is_member && self.is_single_writer {
            // It has been a member, and is refused.
            return true;
        }
        if !self.players.may_register(player, &instance) {
            if self.creator.is_some() {
                self.repeat_winner(player, now);
            }
            return true;
        }
        if self.known_players.len() < KNOWN_PLAYERS_MAX {
            self.known_players.insert(player.to_owned());
        }
        let before = self
            .players
            .registered
            .insert(player.to_owned(), instance.clone());
        if before.is_none() {
            self.tell(Event::Registered {
                player: player.to_owned(),
                instance,
            });
        }
        self.check_all_selected(now);
        if !registration.repeats {
            self.repeats.begin(now, self.timing.seed_ms);
        }
        true
    }

    /// All are selected when as many are registered as take part: as many as there is room for, or as
    /// there are members where the number is open.
    fn check_all_selected(&mut self, now: Moment) {
        if self.counts_players()
            && self.players.registered.len() >= self.required()
            && !self.players.are_all_selected
        {
            self.players.are_all_selected = true;
            self.tell(Event::AllPlayersSelected);
            self.say_all_selected(now);
        }
    }

    /// Whether this instance says when all are selected: the creator does; where it is an original,
    /// everybody.
    fn counts_players(&self) -> bool {
        let is_of_original = !self.is_single_writer && self.is_in();
        self.document.is_some() && (self.creator.is_some() || is_of_original)
    }

    fn say_all_selected(&mut self, now: Moment) {
        let payload = write_all_selected(&self.me, now.local);
        self.publish(self.topics.all_selected(), payload, true);
    }

    /// An original hears registrations only while its dialog is open, and that all are selected only
    /// once it waits for that itself: both are said to it again.
    pub(super) fn repeat_to_originals(&mut self, now: Moment) {
        if self.ending.is_some() {
            self.repeats.at_ms = None;
        }
        if !self.repeats.is_due(now) {
            return;
        }
        self.say_registration(now);
        if self.counts_players() && self.players.registered.len() >= self.required() {
            self.say_all_selected(now);
        }
        self.repeats.go_on(now, self.timing.seed_ms);
    }

    fn required(&self) -> usize {
        self.document.as_ref().map_or(0, |document| {
            match document.players_min == document.players_max {
                true => document.players_max as usize,
                false => document.members.len(),
            }
        })
    }
}
