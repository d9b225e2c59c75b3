//! One instance's part in one session, as a state machine. The rules are in the module `session`.

mod creator;
mod dispatch;
mod document;
mod election;
mod end;
mod event;
mod member;
mod names;
mod original;
mod roles;
mod spelling;
mod timing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use self::creator::CreateOptions;
use self::creator::Creator;
use self::election::Election;
pub use self::event::{Action, Ending, Event, Refusal};
use self::member::Member;
use self::names::Names;
use self::original::Beside;
use self::roles::Repeats;
use self::spelling::Spelling;
pub use self::timing::Timing;
use crate::error::{Error, ErrorKind, Result};
use crate::session::date::{LocalTime, Moment};
use crate::session::document::{Document, State, instance};
use crate::session::message::{Presence, Seed};
use crate::session::players::Players;
use crate::session::topic::Topics;
use crate::time::earliest;

/// What an instance is in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It writes the document.
    Creator,
    /// It takes part, or is about to.
    Member,
    /// It only looks.
    Observer,
}

impl Role {
    /// The name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creator => "creator",
            Self::Member => "member",
            Self::Observer => "observer",
        }
    }
}

/// A document's heartbeat as it is told from the one before.
type Beat = (Option<LocalTime>, u64);

/// See the module.
#[derive(Debug)]
pub struct Seat {
    me: String,
    topics: Topics,
    timing: Timing,
    creator: Option<Creator>,
    member: Option<Member>,
    is_online: bool,
    is_over: bool,
    ending: Option<Ending>,
    document: Option<Document>,
    /// Whether the creator is one of ours: then only it writes the document.
    is_single_writer: bool,
    beat: Beat,
    /// When the creator's heartbeat last changed, or could have been seen to.
    alive_at_ms: u64,
    /// Presence that was said and has not come back yet: when, and what.
    unheard: VecDeque<(u64, Vec<u8>)>,
    /// When the last presence was said that has come back: until then the link worked.
    proven_ms: u64,
    seed: Option<Seed>,
    players: Players,
    /// What this instance has asked for, and asks for again after a break.
    wishes: Wishes,
    /// By term, who claimed it first.
    claims: BTreeMap<u64, String>,
    beside: Beside,
    election: Election,
    names: Names,
    spelling: Spelling,
    repeats: Repeats,
    /// All instances that were ever seen in it: their topics are emptied at the end.
    known: BTreeSet<String>,
    known_players: BTreeSet<String>,
    /// Whether the broker has no document any more.
    is_emptied: bool,
    /// Of the last document.
    last_payload: Vec<u8>,
    random: u64,
    ignored: u64,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    has_said_last: bool,
}

#[derive(Debug, Clone, Default)]
struct Wishes {
    reserved: BTreeSet<String>,
    registered: Option<String>,
    /// Given back without a connection: it is said when there is one.
    released: BTreeSet<String>,
}

/// Presence that may be under way.
const UNHEARD_MAX: usize = 16;
/// Instances that are remembered for tidying up.
const KNOWN_MAX: usize = 4_096;

impl Seat {
    fn new(session: &str, me: &str, timing: Timing, random: u64) -> Result<Self> {
        let me = instance(me, "the instance's id")
            .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.message().to_owned()))?;
        Ok(Self {
            me,
            topics: Topics::new(session)?,
            timing,
            creator: None,
            member: None,
            is_online: false,
            is_over: false,
            ending: None,
            document: None,
            is_single_writer: false,
            beat: Beat::default(),
            alive_at_ms: 0,
            unheard: VecDeque::new(),
            proven_ms: 0,
            seed: None,
            players: Players::default(),
            wishes: Wishes::default(),
            claims: BTreeMap::new(),
            beside: Beside::default(),
            election: Election::default(),
            names: Names::default(),
            spelling: Spelling::default(),
            repeats: Repeats::default(),
            known: BTreeSet::new(),
            known_players: BTreeSet::new(),
            is_emptied: false,
            last_payload: Vec::new(),
            random: random | 1,
            ignored: 0,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            has_said_last: false,
        })
    }

    /// A seat that only looks at a session.
    ///
    /// Error: `invalid_argument`, as for all seats, for ids that can't be levels of a topic.
    pub fn observe(session: &str, me: &str, timing: Timing, random: u64) -> Result<Self> {
        let mut seat = Self::new(session, me, timing, random)?;
        seat.spelling = Spelling::of(session, &seat.topics);
        Ok(seat)
    }

    /// The next thing to do.
    pub fn pop_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing that happened. Nothing comes after [`Event::Ended`], [`Event::Refused`] and
    /// [`Event::Failed`]: what tidying up may still bring concerns nobody.
    pub fn pop_event(&mut self) -> Option<Event> {
        if self.has_said_last && !crate::plant::active("goes_on_talking") {
            self.events.clear();
        }
        let event = self.events.pop_front()?;
        self.has_said_last = event.is_last();
        Some(event)
    }

    /// The message that the broker is to publish, retained, when it loses this instance. Empty.
    pub fn will_topic(&self) -> Option<String> {
        let takes_part = self.creator.is_some() || self.member.is_some();
        takes_part.then(|| self.topics.ready(&self.me))
    }

    /// Whether there is nothing left to do: the connection can be closed when everything was sent.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the broker knows that this instance is gone; a creator may still have to tidy up.
    pub fn is_departed(&self) -> bool {
        self.is_over || self.creator.as_ref().is_some_and(Creator::has_closed)
    }

    /// Why the session is over for this instance, if it is.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// This instance's id.
    pub fn instance(&self) -> &str {
        &self.me
    }

    /// The session's id.
    pub fn session_id(&self) -> &str {
        self.topics.name()
    }

    #[cfg(feature = "mqtt")]
    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// What this instance is in the session.
    pub fn role(&self) -> Role {
        match (&self.creator, &self.member) {
            (Some(_), _) => Role::Creator,
            (None, Some(_)) => Role::Member,
            (None, None) => Role::Observer,
        }
    }

    /// The document as it is known here.
    pub fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    /// Whether this instance is in the session, as far as it knows.
    pub fn is_in(&self) -> bool {
        self.ending.is_none()
            && match (&self.creator, &self.member) {
                (Some(creator), _) => creator.is_created(),
                (None, Some(member)) => member.is_in(),
                (None, None) => false,
            }
    }

    /// The seed of the session's random numbers: 1 to 1,000,000.
    pub fn seed(&self) -> Option<u32> {
        self.seed.as_ref().map(|seed| seed.seed)
    }

    /// Players that are reserved, and for whom.
    pub fn reserved(&self) -> &BTreeMap<String, String> {
        &self.players.reserved
    }

    /// Players that are registered, and by whom.
    pub fn registered(&self) -> &BTreeMap<String, String> {
        &self.players.registered
    }

    /// Whether as many players are registered as are needed.
    pub fn are_all_players_selected(&self) -> bool {
        self.players.are_all_selected
    }

    /// Messages that could not be understood.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn publish(&mut self, topic: String, payload: Vec<u8>, retain: bool) {
        self.publish_for(topic, payload, retain, None);
    }

    fn publish_for(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        retain: bool,
        expires_s: Option<u32>,
    ) {
        // What is said without a connection is said by `connected` in its newest form.
        if self.is_online {
            self.actions.push_back(Action::Publish {
                topic,
                payload,
                retain,
                expires_s,
            });
        }
    }

    /// Takes away what is retained.
    fn empty(&mut self, topic: String) {
        self.publish(topic, Vec::new(), true);
    }

    /// A number below another; of no cryptographic use (xorshift64).
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    fn remember(&mut self, instance: &str) {
        if self.known.len() < KNOWN_MAX && !self.known.contains(instance) {
            self.known.insert(instance.to_owned());
        }
    }

    /// The connection is there, for the first time or again; the broker remembers nothing of it.
    pub fn connected(&mut self, now: Moment) {
        if self.is_over {
            return;
        }
        self.is_online = true;
        self.last_payload.clear();
        self.beside.connected();
        self.election.connected();
        self.alive_at_ms = now.mono_ms;
        for filter in Self::filters(&self.topics) {
            self.actions.push_back(Action::Subscribe(filter));
        }
        if self.creator.is_some() {
            self.subscribe_as_creator();
            self.creator_connected(now);
        } else if self.member.is_some() {
            let own = self.topics.ready(&self.me);
            self.actions.push_back(Action::Subscribe(own));
            self.member_connected(now);
        }
        self.watch_original();
        self.spelling_connected(now);
        self.repeat_wishes(now);
    }

    /// What every seat listens to. The presence of others comes only to who needs it; the order matters:
    /// what the broker has kept comes before what is published then.
    fn filters(topics: &Topics) -> [String; 4] {
        [
            topics.planned_state(),
            format!("{}/+", topics.session()),
            topics.every("player_registration"),
            topics.every("player_reservation"),
        ]
    }

    fn subscribe_as_creator(&mut self) {
        for name in ["instance_ready", "player_disconnect"] {
            let filter = self.topics.every(name);
            self.actions.push_back(Action::Subscribe(filter));
        }
    }

    /// The connection is lost. Nothing is held against anybody until it is there again.
    pub fn disconnected(&mut self, _now: Moment) {
        self.is_online = false;
        self.actions.clear();
        self.unheard.clear();
    }

    /// The broker's will for an earlier connection of this instance, or somebody's mistake: it is
    /// there, and says so.
    fn on_own_absence(&mut self, now: Moment) {
        if self.ending.is_none() && (self.creator.is_some() || self.member.is_some()) {
            self.publish_presence(now);
        }
    }

    fn publish_presence(&mut self, now: Moment) {
        let presence = Presence {
            instance: self.me.clone(),
            lease_ms: Some(self.timing.lease_ms),
            creates: self.creator.is_some(),
            said_at: None,
            vote: self.vote_to_tell(),
        };
        let topic = self.topics.ready(&self.me);
        let payload = presence.write(now.local);
        if self.is_online {
            self.unheard.push_back((now.mono_ms, payload.clone()));
            if self.unheard.len() > UNHEARD_MAX {
                self.unheard.pop_front();
            }
        }
        self.publish(topic, payload, true);
    }

    /// The own presence has come back from the broker.
    fn hear_own_presence(&mut self, payload: &[u8]) {
        let heard = self.unheard.iter().position(|(_, said)| said == payload);
        if let Some(at) = heard {
            for (said_ms, _) in self.unheard.drain(..=at) {
                self.proven_ms = self.proven_ms.max(said_ms);
            }
        }
    }

    /// Whether silence since a time says something: the link has worked after that. Otherwise it is
    /// tried out.
    fn is_link_proven(&mut self, since_ms: u64, now: Moment) -> bool {
        if self.proven_ms >= since_ms {
            return true;
        }
        if !self.waits_for_proof(since_ms) {
            self.publish_presence(now);
        }
        false
    }

    fn waits_for_proof(&self, since_ms: u64) -> bool {
        let last = self.unheard.back();
        self.proven_ms < since_ms && last.is_some_and(|(said_ms, _)| *said_ms >= since_ms)
    }

    fn on_seed(&mut self, seed: Seed, retained: bool, now: Moment) {
        self.sign_of_life(&seed.instance, retained, now);
        if self.creator.is_some() {
            let is_other = self.seed.as_ref().is_some_and(|own| own.seed != seed.seed);
            if seed.instance != self.me && is_other {
                self.seed_was_overwritten(now);
            }
            return;
        }
        // The creator's wins; without one, the leader with the lowest id (9.8 there).
        let creator = self
            .document
            .as_ref()
            .map(|document| document.creator.as_str());
        let rank = |seed: &Seed| {
            let is_creator = Some(seed.instance.as_str()) == creator;
            (!is_creator, !seed.is_leader, seed.instance.clone())
        };
        let is_better = match &self.seed {
            None => true,
            Some(old) => rank(&seed) <= rank(old),
        };
        if is_better {
            let is_new = self.seed.as_ref().is_none_or(|old| old.seed != seed.seed);
            let value = seed.seed;
            self.seed = Some(seed);
            if is_new {
                self.tell(Event::SeedChanged(value));
            }
        }
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Moment) {
        if self.is_over || !self.is_online {
            return;
        }
        self.repeat_to_originals(now);
        self.tick_spelling(now);
        if self.creator.is_some() {
            self.tick_creator(now);
        } else if self.member.is_some() {
            self.tick_member(now);
        } else if self.is_creator_lost(now) {
            self.end(Ending::CreatorLost);
            self.is_over = true;
        }
    }

    /// When something is to be done without anything happening.
    pub fn deadline_ms(&self) -> Option<u64> {
        if self.is_over || !self.is_online {
            return None;
        }
        let of_role = match (&self.creator, &self.member) {
            (Some(creator), _) => creator.deadline_ms(|lease_ms| !self.waits_for_proof(lease_ms)),
            (None, Some(_)) => self.member_deadline_ms(),
            (None, None) => self.loss_ms(),
        };
        earliest([of_role, self.repeats.at_ms, self.spelling.at_ms()])
    }

    /// When the creator counts as lost unless it is heard of. Who only looks can't tell whether its
    /// own link works, and leaves it to the members for as long again.
    fn loss_ms(&self) -> Option<u64> {
        let is_watched =
            self.document.is_some() && self.ending.is_none() && !self.is_started_by_original();
        let lost_ms = match self.role() {
            Role::Observer => 2 * self.timing.lost_ms,
            _ => self.timing.lost_ms,
        };
        is_watched.then_some(self.alive_at_ms + lost_ms + 1)
    }

    fn is_creator_lost(&self, now: Moment) -> bool {
        self.loss_ms().is_some_and(|loss_ms| now.mono_ms >= loss_ms)
            && !crate::plant::active("creator_for_ever")
    }

    /// Tells once that the session is over.
    fn end(&mut self, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            self.tell(Event::Ended(ending));
        }
    }

    fn state(&self) -> State {
        let state = self.document.as_ref().and_then(|document| document.state);
        state.unwrap_or_default()
    }
}
