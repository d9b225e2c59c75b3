//! The list of sessions, as it changes.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::local::moment;
use super::{CLOSE_WITHIN, carry_out, connect_by_ms, instance_id};
use crate::canary;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::random_u64;
use crate::limits;
use crate::mqtt::{BrokerOptions, Link, LinkEvent};
use crate::runtime::{Handle, User};
use crate::session::completeness::Completeness;
use crate::session::lobby::{Listing, Lobby};
use crate::session::seat::Timing;

/// The sessions on a broker. Dropped, it disconnects.
#[derive(Debug)]
pub struct SessionList {
    shared: Arc<Shared>,
    runtime: Handle,
    // Dropped, it ends the task. Held to take it out.
    end: Mutex<Option<oneshot::Sender<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<Told>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Told {
    sessions: Vec<Listing>,
    version: u64,
    completeness: Completeness,
    is_connected: bool,
    begun: Option<Result<()>>,
    is_over: bool,
}

impl User for Shared {
    fn lost(&self) {
        {
            let mut told = self.state.lock();
            told.is_over = true;
            told.is_connected = false;
            told.begun.get_or_insert_with(|| Err(canary::gone()));
        }
        self.changed.notify_waiters();
    }
}

impl SessionList {
    pub(super) fn start(broker: BrokerOptions, timing: Timing) -> Result<Self> {
        let runtime = Handle::current()?;
        let shared = Arc::new(Shared::default());
        let connect_by_ms = connect_by_ms(&broker);
        let client_id = format!("sge-{}", instance_id());
        let lobby = Lobby::new(timing, true, random_u64());
        let link = Link::new(broker, client_id, Some(lobby.will_topic()), random_u64())?;
        let (end, ended) = oneshot::channel();
        let task = Task {
            lobby,
            link,
            shared: shared.clone(),
            connect_by_ms,
            failure: None,
        };
        let user: std::sync::Weak<dyn User> = Arc::downgrade(&shared) as _;
        runtime.add_user(user);
        drop(runtime.spawn(task.run(ended))?);
        Ok(Self {
            shared,
            runtime,
            end: Mutex::new(Some(end)),
        })
    }

    async fn until<T>(&self, look: impl Fn(&Told) -> Option<T>) -> T {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = look(&self.shared.state.lock()) {
                return found;
            }
            changed.await;
        }
    }

    pub(super) async fn connected(&self) -> Result<()> {
        self.until(|told| told.begun.clone()).await
    }

    /// The sessions that are alive, the newest first, and the number of this state of the list.
    pub fn sessions(&self) -> (u64, Vec<Listing>) {
        let told = self.shared.state.lock();
        (told.version, told.sessions.clone())
    }

    /// Completeness of the list: how much of what is on the broker it has.
    pub fn completeness(&self) -> Completeness {
        self.shared.state.lock().completeness
    }

    /// Waits until the list has all that is on the broker, as far as that can be known: at once with most
    /// brokers, and after one period of announcements with those that bring nothing that they have kept.
    pub async fn complete(&self) -> Completeness {
        self.until(|told| {
            let is_final = told.completeness.is_final() || told.is_over;
            is_final.then_some(told.completeness)
        })
        .await
    }

    /// Waits for another state of the list than that of a number; `None` once it is closed.
    pub async fn changed(&self, version: u64) -> Option<(u64, Vec<Listing>)> {
        self.until(|told| {
            if told.version != version {
                return Some(Some((told.version, told.sessions.clone())));
            }
            told.is_over.then_some(None)
        })
        .await
    }

    /// Waits for another state than that of a number, or until the time is over; whether it came.
    pub async fn await_changed(&self, version: u64, limit: Duration) -> bool {
        let changed = async {
            if self.changed(version).await.is_none() {
                std::future::pending::<()>().await;
            }
        };
        self.runtime.timeout(limit, changed).await.is_ok()
    }

    /// Disconnects; whoever waits for a change is told that there will be none.
    pub fn close(&self) {
        let end = self.end.lock().take();
        if self.runtime.is_over() {
            return std::mem::forget(end);
        }
        drop(end);
        self.runtime.attend();
    }

    /// Whether there is a connection; without, the list may be old.
    pub fn is_connected(&self) -> bool {
        self.shared.state.lock().is_connected
    }

    /// Waits on this thread for something of this list; `None` when the time is over.
    pub fn wait<F: Future>(&self, future: F, timeout: Option<Duration>) -> Option<F::Output> {
        self.runtime.wait(future, timeout)
    }
}

impl Drop for SessionList {
    fn drop(&mut self) {
        self.close();
    }
}

struct Task {
    lobby: Lobby,
    link: Link,
    shared: Arc<Shared>,
    connect_by_ms: u64,
    /// Why there is no connection, as far as that is known.
    failure: Option<Error>,
}

impl Task {
    async fn run(mut self, ended: oneshot::Receiver<()>) {
        self.keep(ended).await;
        {
            let mut told = self.shared.state.lock();
            told.is_over = true;
            told.is_connected = false;
        }
        self.shared.changed.notify_waiters();
        self.link.close(CLOSE_WITHIN).await;
    }

    /// Keeps the list up to date, until it is closed or the broker refuses it.
    async fn keep(&mut self, mut ended: oneshot::Receiver<()>) {
        let mut was_connected = false;
        loop {
            self.carry_out().await;
            let now = moment();
            let connect_by_ms = (!was_connected).then_some(self.connect_by_ms);
            let deadline_ms = [self.lobby.deadline_ms(), connect_by_ms];
            let wait_ms = match deadline_ms.into_iter().flatten().min() {
                Some(at_ms) => at_ms.saturating_sub(now.mono_ms),
                None => 60_000,
            };
            let event = tokio::select! {
                biased;
                _ = &mut ended => return,
                event = self.link.next() => Some(event),
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => None,
            };
            let now = moment();
            let mut event = Some(event);
            // What has come already is taken in first: the list is made once for all of it.
            for _ in 0..limits::SESSION_LIST_EVENTS_AT_ONCE {
                match event.take() {
                    None => break,
                    Some(None) => {
                        if !was_connected && now.mono_ms >= self.connect_by_ms {
                            let what = match self.link.is_reached() {
                                false => "was not reached in time",
                                true => "was reached, but did not let this client in in time",
                            };
                            let mut text = format!("the broker {} {what}", self.link.url());
                            if let Some(cause) = &self.failure {
                                text.push_str(&format!(": {cause}"));
                            }
                            self.begin(Err(Error::new(ErrorKind::Timeout, text)));
                            return;
                        }
                    }
                    Some(Some(LinkEvent::Connected)) => {
                        was_connected = true;
                        self.lobby.connected(now);
                        self.begin(Ok(()));
                    }
                    Some(Some(LinkEvent::Disconnected(error))) => {
                        tracing::debug!(%error, "the list is disconnected");
                        self.lobby.disconnected(now);
                        self.failure = Some(error);
                    }
                    Some(Some(LinkEvent::Refused(error))) => {
                        self.begin(Err(error));
                        return;
                    }
                    Some(Some(LinkEvent::NotAllowed { what, why })) => {
                        let topic = &what.topic;
                        tracing::warn!(topic, why, "the broker does not allow it");
                    }
                    Some(Some(LinkEvent::Message {
                        topic,
                        payload,
                        retained,
                    })) => {
                        self.lobby.message(&topic, &payload, retained, now);
                    }
                }
                event = now_or_never(self.link.next()).map(Some);
            }
            self.lobby.tick(now);
        }
    }

    fn begin(&mut self, result: Result<()>) {
        self.shared.state.lock().begun.get_or_insert(result);
        self.shared.changed.notify_waiters();
    }

    async fn carry_out(&mut self) {
        while let Some(action) = self.lobby.pop_action() {
            carry_out(&mut self.link, action).await;
        }
        let mut told = self.shared.state.lock();
        told.is_connected = self.link.is_connected();
        if self.lobby.take_changed() {
            told.sessions = self.lobby.sessions(moment());
            told.version += 1;
            told.completeness = self.lobby.completeness();
        }
        drop(told);
        self.shared.changed.notify_waiters();
    }
}

/// What a future gives at once.
fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
