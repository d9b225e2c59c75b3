//! A session that this process takes part in.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::game::GameMessage;
use super::task::{Ask, Command, Shared, Task, Told, View};
use super::{connect_by_ms, over};
use crate::canary;
use crate::dispatch::{Callbacks, Handler, Inbox};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::random_u64;
use crate::limits::{SESSION_CALLS_BYTES_MAX, SESSION_CALLS_MAX, SESSION_PAYLOAD_BYTES_MAX};
use crate::mailbox::MailboxConfig;
use crate::mqtt::{BrokerOptions, Link};
use crate::runtime::{Handle, User};
use crate::session::seat::{Event, Seat};

/// How long leaving may take: until a successor is found, or everything of the session is tidied up.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// A session that this process has created, joined or looks at. Dropped, it is left, in the
/// background.
///
/// 16,384 calls may be under way at once, with 16 MiB of the game's messages; further ones are `busy`.
pub struct Session {
    id: String,
    instance: String,
    shared: Arc<Shared>,
    /// Bounded by `room`, except for leaving, which is always possible.
    commands: mpsc::UnboundedSender<Command>,
    room: Room,
    callbacks: Callbacks<Event, Infallible>,
    runtime: Handle,
}

/// What may still wait for the task.
struct Room {
    calls: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// What a call has taken of it, until the task has taken up the call.
pub(super) struct Taken {
    _call: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            calls: Arc::new(Semaphore::new(SESSION_CALLS_MAX)),
            bytes: Arc::new(Semaphore::new(SESSION_CALLS_BYTES_MAX)),
        }
    }
}

impl Room {
    fn take(&self, bytes: usize) -> Result<Taken> {
        let full = |_| {
            let text = format!(
                "too many calls of this session wait: the broker takes nothing, or they are made \
                 without waiting for their ends; at most {SESSION_CALLS_MAX} may, with {} MiB",
                SESSION_CALLS_BYTES_MAX >> 20
            );
            Error::new(ErrorKind::Busy, text)
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Ok(Taken {
            _call: self.calls.clone().try_acquire_owned().map_err(full)?,
            _bytes: self
                .bytes
                .clone()
                .try_acquire_many_owned(bytes)
                .map_err(full)?,
        })
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn open(seat: Seat, broker: BrokerOptions) -> Result<Self> {
        let runtime = Handle::current()?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        let connect_by_ms = connect_by_ms(&broker);
        let client_id = format!("sge-{}", seat.instance());
        let link = Link::new(broker, client_id, seat.will_topic(), random_u64())?;
        // Handlers are for events only.
        let none = Inbox::new(MailboxConfig::default());
        none.close();
        let session = Self {
            id: seat.session_id().to_owned(),
            instance: seat.instance().to_owned(),
            shared: shared.clone(),
            commands,
            room: Room::default(),
            callbacks: Callbacks::new(shared.events.clone(), none, Arc::default()),
            runtime: runtime.clone(),
        };
        let user: std::sync::Weak<dyn User> = Arc::downgrade(&shared) as _;
        runtime.add_user(user);
        let task = Task::new(seat, link, shared, receiver, connect_by_ms);
        drop(runtime.spawn(task.run())?);
        Ok(session)
    }

    /// Waits until what is told fulfils a condition.
    async fn until<T>(&self, look: impl Fn(&mut Told) -> Option<T>) -> T {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.shared.state.lock()) {
                return found;
            }
            changed.await;
        }
    }

    pub(super) async fn begun(&self) -> Result<()> {
        self.until(|told| told.begun.clone()).await
    }

    pub(super) async fn connected(&self) -> Result<()> {
        self.until(|told| match told.view.is_connected {
            true => Some(Ok(())),
            false => told.begun.clone(),
        })
        .await
    }

    /// The session's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// This instance's id in it.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The session as it is known here.
    pub fn view(&self) -> View {
        self.shared.state.lock().view.clone()
    }

    /// The next event; `None` after the last. Up to 10,000 wait, with 64 MiB of the game's messages;
    /// then the oldest go.
    pub async fn next_event(&self) -> Option<Event> {
        self.shared.events.recv().await
    }

    /// All events that have happened until now.
    pub fn take_events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        self.shared.events.try_recv_many(&mut events, usize::MAX);
        events
    }

    /// Waits until there is an event, there will be none, or the time is over; whether there will be
    /// none.
    pub async fn await_events(&self, limit: Duration) -> bool {
        let waiting = self.shared.events.ready();
        self.runtime
            .timeout(limit, waiting)
            .await
            .is_ok_and(|is_there| !is_there)
    }

    /// Events that nobody asked for in time.
    pub fn lost_events(&self) -> u64 {
        self.shared.events.dropped()
    }

    /// The queue of the events, for hosts that wait for a descriptor, or without a runtime.
    pub fn events(&self) -> &Inbox<Event> {
        &self.shared.events
    }

    /// Adds a handler that is called with every event, on a callback thread of this session. Handlers
    /// and [`Session::next_event`] compete for events.
    ///
    /// Errors: `closed` when the session has been left, `io`.
    pub fn on_event(&self, handler: impl Fn(&Event) + Send + Sync + 'static) -> Result<()> {
        self.callbacks
            .on_first(Handler::Each(Box::new(handler)))
            .map(drop)
    }

    /// Whether this is the session's callback thread.
    pub fn is_callback_thread(&self) -> bool {
        self.callbacks.is_current_thread()
    }

    /// Calls no handler any more, beyond one that runs right now, and drops them all.
    pub fn stop_callbacks(&self) {
        self.callbacks.stop();
    }

    /// Tells the task something.
    fn tell(&self, command: Command) -> Result<()> {
        if self.runtime.is_over() {
            return Err(canary::gone());
        }
        self.commands.send(command).map_err(|_| over())?;
        self.runtime.attend();
        Ok(())
    }

    async fn ask(
        &self,
        ask: impl FnOnce(&mut Seat, crate::session::Moment) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let ask: Ask = Box::new(ask);
        self.tell(Command::Ask(ask, reply, self.room.take(0)?))?;
        answer.await.unwrap_or_else(|_| Err(over()))
    }

    /// Starts the game, at once or after a countdown of so many seconds.
    ///
    /// Errors: `invalid_argument` for a countdown of more than a day; `refused` for another than the
    /// creator, or when members are missing; `connection_failed` without a connection; `closed`.
    pub async fn start(&self, countdown_s: u32) -> Result<()> {
        self.ask(move |seat, now| seat.start(countdown_s, now))
            .await
    }

    /// Ends the session for everybody. Its topics are emptied 5 s later, by this process if it still
    /// runs and has the session.
    ///
    /// Errors: `refused` for another than the creator; `closed`.
    pub async fn close(&self) -> Result<()> {
        self.ask(|seat, now| seat.close(now)).await
    }

    /// Asks a member, the named one or the one that joined first, to continue the session.
    ///
    /// Errors: `refused`; `connection_failed` without a connection; `closed`.
    pub async fn hand_over(&self, to: Option<&str>) -> Result<()> {
        let to = to.map(str::to_owned);
        self.ask(move |seat, now| seat.hand_over(to.as_deref(), now))
            .await
    }

    /// Asks for a player. Whose it is, [`Event::Reserved`] tells.
    ///
    /// Errors: `invalid_argument` for the name; `refused` when it is taken; `closed`.
    pub async fn reserve(&self, player: &str) -> Result<()> {
        let player = player.to_owned();
        self.ask(move |seat, now| seat.reserve(&player, now)).await
    }

    /// Gives a player back, or a wish for one. Nothing happens to a player of somebody else.
    ///
    /// Errors: `invalid_argument` for the name; `closed`.
    pub async fn release(&self, player: &str) -> Result<()> {
        let player = player.to_owned();
        self.ask(move |seat, now| seat.release(&player, now)).await
    }

    /// Says that this instance plays a player.
    ///
    /// Errors: as [`Session::reserve`].
    pub async fn register(&self, player: &str) -> Result<()> {
        let player = player.to_owned();
        self.ask(move |seat, now| seat.register(&player, now)).await
    }

    /// Sends a message of the game, on `{id}/game_{name}`. Without a connection up to 1,000 messages
    /// and 16 MiB wait for one; further ones are `busy`.
    ///
    /// Errors: `invalid_argument` for the name, `too_large`, `busy`, `closed`.
    pub async fn publish(&self, name: &str, payload: Vec<u8>) -> Result<()> {
        crate::session::topic::check_id(name, "the name of the game's message")?;
        if payload.len() > SESSION_PAYLOAD_BYTES_MAX {
            let text = format!(
                "the message is {} bytes long, at most {SESSION_PAYLOAD_BYTES_MAX} are allowed",
                payload.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let room = self.room.take(payload.len())?;
        let message = GameMessage {
            name: name.to_owned(),
            payload,
        };
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Game(message, reply, room))?;
        answer.await.unwrap_or_else(|_| Err(over()))
    }

    /// Leaves the session, and returns when the broker knows. A creator hands it over, if it was
    /// created so and somebody else is there; or closes it and empties its topics as soon as all of
    /// ours have seen that, within 2 s. Without an answer of the broker it returns after 5 s, and the
    /// rest is done in the background, as far as this process still runs.
    pub async fn leave(&self) {
        // One that has ended need not leave.
        if self.tell(Command::Leave).is_ok() {
            let is_gone = self.until(|told: &mut Told| told.is_over.then_some(()));
            let _ = self.runtime.timeout(LEAVE_WITHIN, is_gone).await;
        }
        // What tidying may still bring concerns nobody here.
        self.shared.events.close();
    }

    /// Leaves the session like [`Session::leave`], and waits on this thread until its handlers have
    /// seen the last event; when three quarters of the limit are over, what still waits for them is
    /// left in the queue. Not for a handler of this session.
    ///
    /// Errors: `timeout` when the limit is over; call again to wait on.
    pub fn leave_within(&self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let ended = async || {
            self.leave().await;
            self.callbacks.ended().await;
        };
        if self.wait(ended(), Some(limit / 4 * 3)).is_some() {
            return Ok(());
        }
        self.callbacks.stop();
        let left = limit.saturating_sub(begun.elapsed());
        self.wait(ended(), Some(left)).ok_or_else(|| {
            let text = "the session was not left in time; a callback may still run";
            Error::new(ErrorKind::Timeout, text)
        })
    }

    /// Waits on this thread for something of this session; `None` when the time is over.
    pub fn wait<F: Future>(&self, future: F, timeout: Option<Duration>) -> Option<F::Output> {
        self.runtime.wait(future, timeout)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.tell(Command::Leave).is_err() && self.runtime.is_lost() {
            // Its socket has the number of somebody else.
            std::mem::forget(self.commands.clone());
        }
    }
}
