//! The start of the game, and the end of the session.

use super::{Countdown, LEAVE_MS, Phase};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::SESSION_COUNTDOWN_S_MAX;
use crate::session::date::Moment;
use crate::session::document::State;
use crate::session::message::{Claim, GameStart, StartKind};
use crate::session::seat::{Ending, Event, Seat};

impl Seat {
    /// Starts the game: at once, or after a countdown of so many seconds.
    ///
    /// Errors: `invalid_argument` for more than a day; `refused` for another than the creator, when
    /// it is not open, or members are missing; `connection_failed` without a connection; `closed`.
    pub fn start(&mut self, countdown_s: u32, now: Moment) -> Result<()> {
        if countdown_s > SESSION_COUNTDOWN_S_MAX {
            let text =
                format!("countdown_s must be 0 to {SESSION_COUNTDOWN_S_MAX}, not {countdown_s}");
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        self.check_creator("start the game")?;
        self.check_online()?;
        let Some(document) = &self.document else {
            return Ok(());
        };
        let count = document.members.len() as u32;
        let problem = match document.state {
            Some(State::Open) if count < document.players_min => Some(format!(
                "{} of at least {} members are there",
                count, document.players_min
            )),
            Some(State::Open) => None,
            Some(State::Starting) => Some("the countdown runs already".to_owned()),
            _ => Some("the session has started already".to_owned()),
        };
        if let Some(problem) = problem {
            return Err(Error::new(ErrorKind::Refused, problem));
        }
        match countdown_s {
            0 => self.start_game(StartKind::Manual, false, now),
            seconds => self.begin_countdown(StartKind::Manual, seconds, now),
        }
        self.tick(now);
        Ok(())
    }

    /// What others have to hear at once is not kept for later.
    fn check_online(&self) -> Result<()> {
        if self.is_online {
            return Ok(());
        }
        let text = "there is no connection to the broker; try again when it is there";
        Err(Error::new(ErrorKind::ConnectionFailed, text))
    }

    fn check_creator(&self, what: &str) -> Result<()> {
        if self.ending.is_some() {
            return Err(Error::new(ErrorKind::Closed, "the session is over"));
        }
        let problem = match &self.creator {
            Some(creator) if creator.is_created => return Ok(()),
            Some(_) => "the session is not created yet".to_owned(),
            None => format!("only the session's creator can {what}"),
        };
        Err(Error::new(ErrorKind::Refused, problem))
    }

    pub(super) fn begin_countdown(&mut self, kind: StartKind, seconds: u32, now: Moment) {
        let (Some(creator), Some(document)) = (&mut self.creator, &mut self.document) else {
            return;
        };
        if document.state != Some(State::Open) {
            return;
        }
        document.state = Some(State::Starting);
        creator.countdown = Some(Countdown {
            kind,
            seconds,
            next_at_ms: now.mono_ms + 1_000,
        });
        self.tell(Event::StateChanged(State::Starting));
        self.tell(Event::Countdown(seconds));
        self.change(now);
    }

    /// A session that starts by itself when it is full may be so from the beginning.
    pub(super) fn start_if_full(&mut self, now: Moment) {
        let full = self.document.as_ref().filter(|one| !one.has_room());
        let auto_start_s = full
            .and_then(|document| document.writer.as_ref())
            .and_then(|writer| writer.auto_start_s);
        if let Some(seconds) = auto_start_s {
            self.begin_countdown(StartKind::Auto, seconds, now);
        }
    }

    pub(super) fn count_down(&mut self, now: Moment) {
        loop {
            let Some(creator) = &mut self.creator else {
                return;
            };
            let Some(countdown) = creator.countdown.as_mut() else {
                return;
            };
            if now.mono_ms < countdown.next_at_ms {
                return;
            }
            countdown.next_at_ms += 1_000;
            countdown.seconds = countdown.seconds.saturating_sub(1);
            let (seconds, kind) = (countdown.seconds, countdown.kind);
            if seconds > 0 {
                self.tell(Event::Countdown(seconds));
            } else {
                creator.countdown = None;
                self.start_game(kind, true, now);
            }
        }
    }

    fn start_game(&mut self, kind: StartKind, is_after_countdown: bool, now: Moment) {
        let Some(document) = &mut self.document else {
            return;
        };
        document.state = Some(State::InProgress);
        let start = GameStart {
            instance: self.me.clone(),
            kind,
            is_after_countdown,
        };
        self.publish(self.topics.game_start(), start.write(now.local), false);
        // In the order in which they reach the others.
        self.tell(Event::GameStarted {
            by: self.me.clone(),
            kind,
        });
        self.tell(Event::StateChanged(State::InProgress));
        self.change(now);
    }

    /// Ends the session for everybody.
    ///
    /// Error: `refused` for another than the creator.
    pub fn close(&mut self, now: Moment) -> Result<()> {
        match &self.creator {
            Some(creator) if creator.is_created && self.ending.is_none() => {
                self.close_as_creator(Ending::Closed, 0, now);
                Ok(())
            }
            _ => self.check_creator("close the session"),
        }
    }

    pub(in crate::session::seat) fn close_as_creator(
        &mut self,
        ending: Ending,
        version: u64,
        now: Moment,
    ) {
        self.raise_version(version);
        let (Some(creator), Some(document)) = (&mut self.creator, &mut self.document) else {
            return;
        };
        if document.is_closed() {
            return;
        }
        document.state = Some(State::Closed);
        creator.is_changed = true;
        creator.countdown = None;
        creator.phase = Phase::Closing {
            until_ms: now.mono_ms + self.timing.hygiene_ms,
        };
        self.publish_document(now);
        self.empty(self.topics.discovery());
        self.tell(Event::StateChanged(State::Closed));
        self.end(ending);
    }

    pub(in crate::session::seat) fn leave_as_creator(&mut self, now: Moment) {
        let is_created = self
            .creator
            .as_ref()
            .is_some_and(|creator| creator.is_created);
        if self.ending.is_some() {
            self.is_over |= !self.is_online;
            self.end_soon(now);
            return;
        }
        if !is_created || !self.is_online {
            // Nobody has seen it; or nobody can hear that it leaves.
            self.empty(self.topics.ready(&self.me));
            self.end(Ending::Left);
            self.is_over = true;
        } else if self.hand_over(None, now).is_ok() {
            if let Some(creator) = &mut self.creator {
                creator.leaves_by_ms.get_or_insert(now.mono_ms + LEAVE_MS);
            }
        } else {
            self.close_as_creator(Ending::Left, 0, now);
            self.end_soon(now);
        }
    }

    /// Whoever leaves tidies up before it ends: when all of ours have seen the end, or a while later.
    pub(super) fn end_soon(&mut self, now: Moment) {
        if let Some(creator) = &mut self.creator
            && let Phase::Closing { until_ms } = &mut creator.phase
        {
            creator.leaves = true;
            *until_ms = (*until_ms).min(now.mono_ms + self.timing.leave_hygiene_ms);
        }
    }

    /// Whether nobody is left who has not seen that the session has ended. Originals do not say so.
    pub(super) fn is_alone_after_end(&self) -> bool {
        let (Some(creator), Some(document)) = (&self.creator, &self.document) else {
            return false;
        };
        let is_gone = |member: &String| {
            let is_ours = matches!(creator.leases.get(member), Some(Some(_)));
            *member == self.me || (is_ours && !creator.present.contains(member))
        };
        let is_closing = matches!(creator.phase, Phase::Closing { .. });
        is_closing && creator.leaves && creator.has_closed && document.members.iter().all(is_gone)
    }

    /// Asks a member to continue the session as its creator: the one named, or the one that joined
    /// first. It is the creator when [`Event::CreatorChanged`] says so.
    ///
    /// Errors: `refused` for another than the creator, without that member, or for a session that is
    /// not handed over; `connection_failed` without a connection; `closed`.
    pub fn hand_over(&mut self, to: Option<&str>, now: Moment) -> Result<()> {
        self.check_creator("hand it over")?;
        self.check_online()?;
        let Some(document) = &self.document else {
            return Ok(());
        };
        let refused = |text: String| Err(Error::new(ErrorKind::Refused, text));
        if !document.hands_over() {
            return refused("the session was created without hand_over".to_owned());
        }
        // Originals, which say nothing of leases, can't continue a session.
        let is_able = |member: &&String| {
            let leases = self.creator.as_ref().map(|creator| &creator.leases);
            leases.is_some_and(|leases| matches!(leases.get(*member), Some(Some(_))))
        };
        let mut others = document.members.iter().filter(is_able);
        let next = match to {
            None => others.next(),
            Some(to) => others.find(|member| *member == to),
        };
        let Some(next) = next else {
            return refused("there is no such member to hand it over to".to_owned());
        };
        let claim = Claim {
            instance: next.clone(),
            term: document
                .term()
                .max(self.claims.keys().max().copied().unwrap_or(0))
                + 1,
            handed_by: Some(self.me.clone()),
        };
        self.publish(self.topics.claim(), claim.write(now.local), true);
        Ok(())
    }
}
