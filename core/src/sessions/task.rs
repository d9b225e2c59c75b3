//! The task behind a session: it alone has the seat and the connection.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::game::{GameMessage, Waiting};
use super::local::moment;
use super::play::Taken;
use super::{CLOSE_WITHIN, carry_out, over};
use crate::canary;
use crate::dispatch::Inbox;
use crate::error::{Error, ErrorKind, Result};
use crate::mailbox::{MailboxConfig, Overflow};
use crate::mqtt::{Link, LinkEvent, Topical};
use crate::runtime::User;
use crate::session::date::Moment;
use crate::session::document::{Document, State};
use crate::session::seat::{Ending, Event, Role, Seat};

/// Events that are kept until somebody asks, and the bytes of the game's messages among them; then
/// the oldest go, and are counted.
const EVENTS_MAX: usize = 10_000;
const EVENTS_BYTES_MAX: usize = 64 << 20;

/// How long after the time to connect a session may take to begin: longer than any answer of its.
const BEGIN_WITHIN_MS: u64 = 20_000;
/// How long a session that is over tries to reach the broker to tidy up.
const TIDY_WITHIN_MS: u64 = 30_000;

/// A session as it is known here.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// What this instance is in it.
    pub role: Option<Role>,
    /// The document that holds.
    pub document: Option<Document>,
    /// Whether this instance is in it.
    pub is_in: bool,
    /// Why it is over for this instance, if it is.
    pub ending: Option<Ending>,
    /// The seed of its random numbers, 1 to 1,000,000.
    pub seed: Option<u32>,
    /// Players and the instances that have them.
    pub reserved: BTreeMap<String, String>,
    /// Players that are played, and by whom.
    pub registered: BTreeMap<String, String>,
    /// Whether as many are registered as are needed.
    pub are_all_players_selected: bool,
    /// Whether there is a connection to the broker; without, all this may be old.
    pub is_connected: bool,
    /// Messages that could not be understood.
    pub ignored: u64,
}

/// What callers and the task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub state: Mutex<Told>,
    /// Something of it has changed.
    pub changed: Notify,
    /// What has happened. Filled under the lock of the state, closed once this instance is gone.
    pub events: Inbox<Event>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::default(),
            events: Inbox::new(MailboxConfig {
                messages_max: EVENTS_MAX,
                bytes_max: EVENTS_BYTES_MAX,
                overflow: Overflow::DropOldest,
            }),
        }
    }
}

impl User for Shared {
    fn lost(&self) {
        {
            let mut told = self.state.lock();
            told.is_over = true;
            told.view.is_connected = false;
            told.begun.get_or_insert_with(|| Err(canary::gone()));
        }
        self.changed.notify_waiters();
        self.events.close();
    }
}

#[derive(Debug, Default)]
pub(super) struct Told {
    pub view: View,
    /// How it began: it is in, or why not.
    pub begun: Option<Result<()>>,
    pub failure: Option<Error>,
    /// Whether the task has ended.
    pub is_over: bool,
}

/// What a caller wants of the seat.
pub(super) type Ask = Box<dyn FnOnce(&mut Seat, Moment) -> Result<()> + Send>;

pub(super) enum Command {
    Ask(Ask, oneshot::Sender<Result<()>>, Taken),
    Game(GameMessage, oneshot::Sender<Result<()>>, Taken),
    /// Leave, and end.
    Leave,
}

pub(super) struct Task {
    seat: Seat,
    link: Link,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    waiting: Waiting,
    connect_by_ms: u64,
    was_connected: bool,
    /// Whether somebody has the session still.
    is_held: bool,
    /// When it is not worth while any more to tidy up.
    gives_up_at_ms: Option<u64>,
}

enum Step {
    Link(LinkEvent),
    Command(Option<Command>),
    Time,
}

impl Task {
    pub fn new(
        seat: Seat,
        link: Link,
        shared: Arc<Shared>,
        commands: mpsc::UnboundedReceiver<Command>,
        connect_by_ms: u64,
    ) -> Self {
        Self {
            seat,
            link,
            shared,
            commands,
            waiting: Waiting::default(),
            connect_by_ms,
            was_connected: false,
            is_held: true,
            gives_up_at_ms: None,
        }
    }

    pub async fn run(mut self) {
        loop {
            self.carry_out().await;
            let has_given_up = self
                .gives_up_at_ms
                .is_some_and(|at_ms| moment().mono_ms >= at_ms);
            if self.seat.is_over() || has_given_up {
                break;
            }
            match self.next().await {
                Step::Time => self.pass_time(),
                Step::Link(event) => self.hear(event).await,
                Step::Command(command) => self.obey(command).await,
            }
        }
        self.publish_view();
        let Self { link, shared, .. } = self;
        link.close(CLOSE_WITHIN).await;
        let mut told = shared.state.lock();
        told.is_over = true;
        told.view.is_connected = false;
        told.begun.get_or_insert_with(|| {
            Err(Error::new(
                ErrorKind::Closed,
                "the session was left before it began",
            ))
        });
        drop(told);
        shared.changed.notify_waiters();
        shared.events.close();
    }

    async fn next(&mut self) -> Step {
        let deadlines = [
            self.seat.deadline_ms(),
            self.begin_by_ms(),
            self.gives_up_at_ms,
        ];
        let deadline_ms = deadlines.into_iter().flatten().min();
        let time = async {
            match deadline_ms {
                None => std::future::pending().await,
                Some(at_ms) => {
                    let wait_ms = at_ms.saturating_sub(moment().mono_ms);
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                }
            }
        };
        tokio::select! {
            biased;
            command = self.commands.recv(), if self.is_held => Step::Command(command),
            event = self.link.next() => Step::Link(event),
            () = time => Step::Time,
        }
    }

    fn pass_time(&mut self) {
        let now = moment();
        self.seat.tick(now);
        if self.begin_by_ms().is_some_and(|at_ms| now.mono_ms >= at_ms) {
            self.begin(Err(self.too_late()));
            self.seat.leave(now);
        }
    }

    async fn hear(&mut self, event: LinkEvent) {
        let now = moment();
        match event {
            LinkEvent::Connected => {
                self.was_connected = true;
                self.gives_up_at_ms = None;
                self.seat.connected(now);
                self.carry_out().await;
                while let Some(message) = self.waiting.pop() {
                    self.say(message).await;
                }
            }
            LinkEvent::Disconnected(error) => {
                tracing::debug!(%error, session = self.seat.session_id(), "disconnected");
                self.seat.disconnected(now);
                self.shared.state.lock().failure = Some(error);
                if self.seat.ending().is_some() {
                    let at_ms = now.mono_ms + TIDY_WITHIN_MS;
                    self.gives_up_at_ms.get_or_insert(at_ms);
                }
            }
            LinkEvent::Refused(error) => {
                tracing::warn!(%error, session = self.seat.session_id(), "left");
                self.shared.state.lock().failure = Some(error.clone());
                self.begin(Err(error));
                // Without a connection this ends it at once, and says so.
                self.seat.leave(now);
            }
            LinkEvent::NotAllowed { what, why } => self.is_not_allowed(&what, &why, now),
            LinkEvent::Message {
                topic,
                payload,
                retained,
            } => self.seat.message(&topic, &payload, retained, now),
        }
    }

    /// What is not let through before the session has begun is what it needs to begin.
    fn is_not_allowed(&mut self, what: &Topical, why: &str, now: Moment) {
        let Topical {
            is_publication,
            topic,
        } = what;
        tracing::warn!(topic, why, is_publication, "the broker does not allow it");
        self.seat.not_allowed(*is_publication, topic, why);
        if self.shared.state.lock().begun.is_none() && self.seat.role() != Role::Observer {
            let done = match is_publication {
                true => "publish on",
                false => "subscribe to",
            };
            let text = format!("the broker does not let this client {done} {topic:?}: {why}");
            self.begin(Err(Error::new(ErrorKind::Refused, text)));
            self.seat.leave(now);
        }
    }

    async fn obey(&mut self, command: Option<Command>) {
        let now = moment();
        match command {
            Some(Command::Ask(ask, reply, room)) => {
                drop(room);
                let result = ask(&mut self.seat, now);
                self.carry_out().await;
                let _ = reply.send(result);
            }
            Some(Command::Game(message, reply, room)) => {
                drop(room);
                let result = if self.seat.ending().is_some() {
                    Err(over())
                } else if self.link.is_connected() {
                    self.say(message).await;
                    Ok(())
                } else if self.waiting.push(message) {
                    Ok(())
                } else {
                    let text = "too many messages of the game wait for a connection";
                    Err(Error::new(ErrorKind::Busy, text))
                };
                let _ = reply.send(result);
            }
            Some(Command::Leave) => self.seat.leave(now),
            None => {
                self.is_held = false;
                self.seat.leave(now);
            }
        }
    }

    /// When it has to have begun; a seat that only looks has begun with the connection.
    fn begin_by_ms(&self) -> Option<u64> {
        let is_begun = self.shared.state.lock().begun.is_some();
        match (is_begun, self.was_connected) {
            (true, _) => None,
            (false, false) => Some(self.connect_by_ms),
            (false, true) if self.seat.role() == Role::Observer => None,
            (false, true) => Some(self.connect_by_ms.saturating_add(BEGIN_WITHIN_MS)),
        }
    }

    fn too_late(&self) -> Error {
        let what = match (self.was_connected, self.link.is_reached()) {
            (false, false) => "was not reached in time",
            (false, true) => "was reached, but did not let this client in in time",
            (true, _) => "was reached, but the session did not begin in time",
        };
        let text = format!("the broker {} {what}", self.link.url());
        match &self.shared.state.lock().failure {
            Some(cause) => Error::new(ErrorKind::Timeout, format!("{text}: {cause}")),
            None => Error::new(ErrorKind::Timeout, text),
        }
    }

    async fn say(&mut self, message: GameMessage) {
        let topic = self.seat.topics().game(&message.name);
        // What breaks meanwhile is lost, as the game's messages may be: quality of service 0.
        let _ = self.link.publish(topic, message.payload, false, 0).await;
    }

    /// Does what the seat wants, and tells what happened.
    async fn carry_out(&mut self) {
        while let Some(action) = self.seat.pop_action() {
            carry_out(&mut self.link, action).await;
        }
        self.publish_view();
    }

    fn begin(&mut self, result: Result<()>) {
        self.shared.state.lock().begun.get_or_insert(result);
        self.shared.changed.notify_waiters();
    }

    fn publish_view(&mut self) {
        let mut told = self.shared.state.lock();
        let mut events = VecDeque::new();
        while let Some(event) = self.seat.pop_event() {
            let begun = match &event {
                Event::Created | Event::Joined => Some(Ok(())),
                Event::Failed(error) => Some(Err(error.clone())),
                Event::Refused(refusal) => {
                    Some(Err(Error::new(ErrorKind::Refused, refusal.text())))
                }
                _ => None,
            };
            if let Some(begun) = begun {
                told.begun.get_or_insert(begun);
            }
            let weight = match &event {
                Event::Game { payload, .. } => payload.len(),
                _ => 0,
            };
            events.push_back((event, weight));
        }
        told.view.update(&self.seat);
        told.view.is_connected = self.link.is_connected();
        // Before anybody can see the new state. What is dropped, the queue counts.
        let (_, wakeups) = self.shared.events.push_all(&mut events);
        drop(told);
        drop(wakeups);
        self.shared.changed.notify_waiters();
    }
}

impl View {
    /// How a seat sees its session; whether there is a connection is for others to say.
    pub fn of(seat: &Seat) -> Self {
        let mut view = Self::default();
        view.update(seat);
        view
    }

    fn update(&mut self, seat: &Seat) {
        self.role = Some(seat.role());
        if self.document.as_ref() != seat.document() {
            self.document = seat.document().cloned();
        }
        self.is_in = seat.is_in();
        self.ending = seat.ending();
        self.seed = seat.seed();
        if self.reserved != *seat.reserved() {
            self.reserved.clone_from(seat.reserved());
        }
        if self.registered != *seat.registered() {
            self.registered.clone_from(seat.registered());
        }
        self.are_all_players_selected = seat.are_all_players_selected();
        self.ignored = seat.ignored();
    }

    /// Where the session is in its life.
    pub fn state(&self) -> Option<State> {
        self.document.as_ref().and_then(|document| document.state)
    }

    /// Who is in it: the creator first, then in the order in which they joined.
    pub fn members(&self) -> &[String] {
        self.document
            .as_ref()
            .map_or(&[], |document| &document.members)
    }
}
