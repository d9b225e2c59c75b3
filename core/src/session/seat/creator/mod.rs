//! The creator's part: it alone writes the document.

mod admission;
mod rivals;
mod start;

use std::collections::{BTreeMap, BTreeSet};

use super::{Ending, Seat, Timing};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{SESSION_COUNTDOWN_S_MAX, SESSION_MEMBERS_MAX, SESSION_MODEL_BYTES_MAX};
use crate::session::date::Moment;
use crate::session::document::{Document, State, Vocabulary, Writer};
use crate::session::message::{Announcement, SEED_MAX, Seed, StartKind};
use crate::time::earliest;

/// What a session is created with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// The name of the model, for the list. Default `Unknown`.
    pub model_name: String,
    /// Members without which the game can't start, the creator included. Default 1.
    pub players_min: u32,
    /// Members for whom there is room. Default 4.
    pub players_max: u32,
    /// The seed of the session's random numbers, 1 to 1,000,000; `None` draws one.
    pub seed: Option<u32>,
    /// Whether another member continues the session when the creator is lost or leaves. Off by
    /// default: originals take the loss for the end.
    pub hand_over: bool,
    /// Seconds from the moment the session is full to its start by itself; `None`, the default, does
    /// not start it.
    pub auto_start_s: Option<u32>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            model_name: "Unknown".to_owned(),
            players_min: 1,
            players_max: 4,
            seed: None,
            hand_over: false,
            auto_start_s: None,
        }
    }
}

impl CreateOptions {
    /// Whether a session can be created so.
    ///
    /// Error: `invalid_argument`, which names the option.
    pub fn check(&self) -> Result<()> {
        let most = SESSION_MEMBERS_MAX as u32;
        let problem = if !(1..=most).contains(&self.players_max) {
            format!("players_max must be 1 to {most}, not {}", self.players_max)
        } else if !(1..=self.players_max).contains(&self.players_min) {
            format!(
                "players_min must be 1 to players_max, which is {}, not {}",
                self.players_max, self.players_min
            )
        } else if self.model_name.len() > SESSION_MODEL_BYTES_MAX {
            format!("model_name must be at most {SESSION_MODEL_BYTES_MAX} bytes long")
        } else if let Some(seconds) = self
            .auto_start_s
            .filter(|seconds| *seconds > SESSION_COUNTDOWN_S_MAX)
        {
            format!("auto_start_s must be 0 to {SESSION_COUNTDOWN_S_MAX}, not {seconds}")
        } else if let Some(seed) = self.seed.filter(|seed| !(1..=SEED_MAX).contains(seed)) {
            format!("seed must be 1 to {SEED_MAX}, not {seed}")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::InvalidArgument, problem))
    }
}

/// How many of those who were refused a document names.
const REFUSED_MAX: usize = 64;
const REFUSED_MS: u64 = 5_000;
/// How long a creator that leaves waits for its successor.
const LEAVE_MS: u64 = 2_000;

#[derive(Debug)]
pub(in crate::session::seat) struct Creator {
    phase: Phase,
    /// When members count as gone unless they say that they are there; originals do not say it.
    leases: BTreeMap<String, Option<u64>>,
    /// Whose presence the broker keeps.
    present: BTreeSet<String>,
    /// Who has left, with the version of the first document without them.
    departed: BTreeMap<String, u64>,
    /// Who is gone without having said that it leaves: it may come back, also while the game runs.
    lost: BTreeSet<String>,
    refused: BTreeMap<String, u64>,
    is_changed: bool,
    publish_at_ms: Option<u64>,
    published_at_ms: u64,
    heartbeat_at_ms: u64,
    announce_at_ms: u64,
    presence_at_ms: u64,
    seed_at_ms: u64,
    countdown: Option<Countdown>,
    /// Whether nothing of this session was published before this connection.
    is_new: bool,
    is_created: bool,
    /// Whether its closed document was read back.
    has_closed: bool,
    /// Whether it leaves, and tidies up before it ends.
    leaves: bool,
    /// It leaves as soon as somebody else continues the session; and closes it if nobody has by then.
    leaves_by_ms: Option<u64>,
}

#[derive(Debug)]
enum Phase {
    /// Looks what the broker has kept: until its own presence comes back.
    Checking {
        until_ms: u64,
        found: Option<Box<Document>>,
    },
    Running,
    /// It is closed; the topics are emptied then.
    Closing {
        until_ms: u64,
    },
}

#[derive(Debug)]
struct Countdown {
    kind: StartKind,
    seconds: u32,
    next_at_ms: u64,
}

impl Creator {
    fn new(phase: Phase, is_new: bool) -> Self {
        Self {
            phase,
            leases: BTreeMap::new(),
            present: BTreeSet::new(),
            departed: BTreeMap::new(),
            lost: BTreeSet::new(),
            refused: BTreeMap::new(),
            is_changed: false,
            publish_at_ms: None,
            published_at_ms: 0,
            heartbeat_at_ms: 0,
            announce_at_ms: 0,
            presence_at_ms: 0,
            seed_at_ms: 0,
            countdown: None,
            is_new,
            is_created: !is_new,
            has_closed: false,
            leaves: false,
            leaves_by_ms: None,
        }
    }

    pub(in crate::session::seat) fn is_created(&self) -> bool {
        self.is_created
    }

    pub(in crate::session::seat) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// `counts` tells of a lease whether its end is something to be done.
    pub(in crate::session::seat) fn deadline_ms(
        &self,
        counts: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        match &self.phase {
            Phase::Checking { until_ms, .. } | Phase::Closing { until_ms } => Some(*until_ms),
            Phase::Running => earliest([
                Some(self.heartbeat_at_ms),
                Some(self.announce_at_ms),
                Some(self.presence_at_ms),
                Some(self.seed_at_ms),
                self.publish_at_ms,
                self.leaves_by_ms,
                self.countdown
                    .as_ref()
                    .map(|countdown| countdown.next_at_ms),
                self.leases
                    .values()
                    .copied()
                    .flatten()
                    .filter(|lease_ms| counts(*lease_ms))
                    .min(),
            ]),
        }
    }
}

impl Seat {
    /// A seat that creates a session. `random` is any number that differs from instance to instance.
    ///
    /// Error: `invalid_argument`, which names what is wrong.
    pub fn create(
        session: &str,
        me: &str,
        options: &CreateOptions,
        timing: Timing,
        random: u64,
        now: Moment,
    ) -> Result<Self> {
        options.check()?;
        let mut seat = Self::new(session, me, timing, random)?;
        let drawn = seat.random(SEED_MAX.into()) as u32 + 1;
        seat.seed = Some(Seed {
            instance: seat.me.clone(),
            seed: options.seed.unwrap_or(drawn),
            is_leader: true,
        });
        seat.is_single_writer = true;
        seat.document = Some(Document {
            session_id: seat.topics.session().to_owned(),
            creator: seat.me.clone(),
            model_name: options.model_name.clone(),
            state: Some(State::Open),
            members: vec![seat.me.clone()],
            version: 1,
            last_heartbeat: Some(now.local),
            created_at: Some(now.local),
            last_updated: Some(now.local),
            players_min: options.players_min,
            players_max: options.players_max,
            writer: Some(Writer {
                instance: seat.me.clone(),
                hands_over: options.hand_over,
                auto_start_s: options.auto_start_s,
                ..Writer::default()
            }),
        });
        let checking = Phase::Checking {
            until_ms: u64::MAX,
            found: None,
        };
        seat.creator = Some(Creator::new(checking, true));
        Ok(seat)
    }

    pub(in crate::session::seat) fn creator_connected(&mut self, now: Moment) {
        let (lease_ms, check_ms, hygiene_ms) = (
            self.timing.lease_ms,
            self.timing.check_ms,
            self.timing.hygiene_ms,
        );
        let is_closed = self.ending.is_some();
        let Some(creator) = &mut self.creator else {
            return;
        };
        for lease in creator.leases.values_mut().flatten() {
            *lease = now.mono_ms + lease_ms;
        }
        if !creator.is_new
            && let Some(writer) = self
                .document
                .as_mut()
                .and_then(|document| document.writer.as_mut())
        {
            writer.connection += 1;
            creator.is_changed = true;
        }
        if is_closed {
            creator.phase = Phase::Closing {
                until_ms: now.mono_ms + hygiene_ms,
            };
            self.publish_document(now);
            return;
        }
        creator.phase = Phase::Checking {
            until_ms: now.mono_ms + check_ms,
            found: None,
        };
        // What the broker has kept comes before this comes back.
        self.publish_presence(now);
    }

    /// All that was kept has come, and nobody else has the session.
    fn begin_running(&mut self, now: Moment) {
        let Some(creator) = &mut self.creator else {
            return;
        };
        creator.phase = Phase::Running;
        creator.is_new = false;
        creator.heartbeat_at_ms = now.mono_ms;
        creator.announce_at_ms = now.mono_ms;
        creator.presence_at_ms = now.mono_ms + self.timing.presence_ms;
        creator.seed_at_ms = now.mono_ms;
        for player in std::mem::take(&mut self.wishes.released) {
            if self.players.reserved.get(&player) == Some(&self.me) {
                self.released(&player);
            }
            if !self.players.reserved.contains_key(&player) {
                self.empty_reservation(&player);
            }
            if !self.players.registered.contains_key(&player) {
                self.empty_registration(&player);
            }
        }
        self.confirm_reservations(now);
        self.say_registration(now);
    }

    pub(in crate::session::seat) fn tick_creator(&mut self, now: Moment) {
        let is_due = |at_ms: u64| now.mono_ms >= at_ms;
        let Some(creator) = &self.creator else {
            return;
        };
        if self.is_alone_after_end() {
            self.tidy_up();
            return;
        }
        match &creator.phase {
            Phase::Running => {}
            Phase::Checking { until_ms, .. } if is_due(*until_ms) => self.begin_running(now),
            Phase::Closing { until_ms } if is_due(*until_ms) => {
                self.tidy_up();
                return;
            }
            Phase::Checking { .. } | Phase::Closing { .. } => return,
        }
        let leaves_by_ms = self
            .creator
            .as_ref()
            .and_then(|creator| creator.leaves_by_ms);
        if leaves_by_ms.is_some_and(is_due) {
            self.close_as_creator(Ending::Left, 0, now);
            self.end_soon(now);
            return;
        }
        self.expire_leases(now);
        self.count_down(now);
        let Some(creator) = &mut self.creator else {
            return;
        };
        let publishes =
            is_due(creator.heartbeat_at_ms) || creator.publish_at_ms.is_some_and(is_due);
        let (announces, seeds) = (is_due(creator.announce_at_ms), is_due(creator.seed_at_ms));
        let is_present = is_due(creator.presence_at_ms);
        if publishes {
            self.publish_document(now);
        }
        if announces {
            self.publish_announcement(now);
        }
        if seeds {
            self.publish_seed(now);
        }
        if is_present {
            self.publish_presence(now);
            if let Some(creator) = &mut self.creator {
                creator.presence_at_ms = now.mono_ms + self.timing.presence_ms;
            }
        }
    }

    /// The document is to be published soon, with a greater version.
    fn change(&mut self, now: Moment) {
        // A document goes to all of them, and grows with them.
        let members = self
            .document
            .as_ref()
            .map_or(0, |document| document.members.len());
        let gather_ms = self.timing.gather_ms.max(members as u64);
        if let Some(creator) = &mut self.creator {
            creator.is_changed = true;
            let earliest_ms = creator.published_at_ms + gather_ms;
            creator
                .publish_at_ms
                .get_or_insert(earliest_ms.max(now.mono_ms));
        }
    }

    fn publish_document(&mut self, now: Moment) {
        let heartbeat_ms = self.timing.heartbeat_ms;
        let (Some(creator), Some(document)) = (&mut self.creator, &mut self.document) else {
            return;
        };
        if std::mem::take(&mut creator.is_changed) {
            document.version += 1;
            document.last_updated = Some(now.local);
        }
        document.last_heartbeat = Some(now.local);
        creator.publish_at_ms = None;
        creator.published_at_ms = now.mono_ms;
        creator.heartbeat_at_ms = now.mono_ms + heartbeat_ms;
        creator
            .refused
            .retain(|_, until_ms| *until_ms > now.mono_ms);
        let writer = document.writer.get_or_insert_default();
        writer.heartbeat += 1;
        writer.refused = creator.refused.keys().cloned().collect();
        let planned = document.write(Vocabulary::Planned);
        let running = document.write(Vocabulary::Running);
        self.publish(self.topics.planned_state(), planned, true);
        self.publish(self.topics.state(), running, true);
    }

    fn publish_announcement(&mut self, now: Moment) {
        if let (Some(creator), Some(document)) = (&mut self.creator, &self.document) {
            creator.announce_at_ms = now.mono_ms + self.timing.announce_ms;
            let announcement = Announcement {
                instance: self.me.clone(),
                players_min: document.players_min,
                players_max: document.players_max,
                model_name: document.model_name.clone(),
            };
            let payload = announcement.write(self.topics.session(), now.local);
            // As long as the originals believe one (9 there).
            let expires_s = (3 * self.timing.announce_ms / 1_000) as u32;
            self.publish_for(self.topics.discovery(), payload, true, Some(expires_s));
        }
    }

    fn publish_seed(&mut self, now: Moment) {
        if let (Some(creator), Some(seed)) = (&mut self.creator, &self.seed) {
            creator.seed_at_ms = now.mono_ms + self.timing.seed_ms;
            let own = Seed {
                instance: self.me.clone(),
                ..seed.clone()
            };
            self.publish(self.topics.seed(), own.write(now.local), true);
        }
    }

    /// Somebody wants to continue the session, as if this instance were lost: it is there.
    pub(in crate::session::seat) fn show_that_creator_is_there(&mut self, now: Moment) {
        if let Some(creator) = &mut self.creator {
            creator.heartbeat_at_ms = creator.heartbeat_at_ms.min(now.mono_ms);
        }
    }

    /// Somebody else's seed is on the broker.
    pub(in crate::session::seat) fn seed_was_overwritten(&mut self, now: Moment) {
        let gather_ms = self.timing.gather_ms;
        if let Some(creator) = &mut self.creator {
            creator.seed_at_ms = creator.seed_at_ms.min(now.mono_ms + 10 * gather_ms);
        }
    }
}
