//! The list of sessions, as it changes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::local::moment;
use super::{CLOSE_WITHIN, carry_out, instance_id};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::random_u64;
use crate::mqtt::{BrokerOptions, Link, LinkEvent};
use crate::runtime::Handle;
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
    is_connected: bool,
    begun: Option<Result<()>>,
    is_over: bool,
}

impl SessionList {
    pub(super) fn start(broker: BrokerOptions, timing: Timing) -> Result<Self> {
        let runtime = Handle::current()?;
        let shared = Arc::new(Shared::default());
        let connect_by_ms = moment().mono_ms.saturating_add(broker.connect_timeout_ms);
        let client_id = format!("sge-{}", instance_id());
        let url = broker.url();
        let link = Link::new(broker, client_id, None, random_u64())?;
        let (end, ended) = oneshot::channel();
        let task = Task {
            lobby: Lobby::new(timing, true),
            link,
            shared: shared.clone(),
            connect_by_ms,
            url,
            failure: None,
        };
        drop(runtime.spawn(task.run(ended)));
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
        tokio::time::timeout(limit, changed).await.is_ok()
    }

    /// Disconnects; whoever waits for a change is told that there will be none.
    pub fn close(&self) {
        drop(self.end.lock().take());
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

struct Task {
    lobby: Lobby,
    link: Link,
    shared: Arc<Shared>,
    connect_by_ms: u64,
    url: String,
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
            match event {
                None => {
                    self.lobby.tick(now);
                    if !was_connected && now.mono_ms >= self.connect_by_ms {
                        let mut text = format!("the broker {} was not reached in time", self.url);
                        if let Some(cause) = &self.failure {
                            text.push_str(&format!(": {cause}"));
                        }
                        self.begin(Err(Error::new(ErrorKind::Timeout, text)));
                        return;
                    }
                }
                Some(LinkEvent::Connected) => {
                    was_connected = true;
                    self.lobby.connected(now);
                    self.begin(Ok(()));
                }
                Some(LinkEvent::Disconnected(error)) => {
                    tracing::debug!(%error, "the list is disconnected");
                    self.lobby.disconnected(now);
                    self.failure = Some(error);
                }
                Some(LinkEvent::Refused(error)) => {
                    self.begin(Err(error));
                    return;
                }
                Some(LinkEvent::Message { topic, payload, .. }) => {
                    self.lobby.message(&topic, &payload, now);
                    self.lobby.tick(now);
                }
            }
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
        }
        drop(told);
        self.shared.changed.notify_waiters();
    }
}
