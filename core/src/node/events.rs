//! What an application waits for besides messages: events, and messages on their way out.

use std::time::Duration;

use tokio::sync::oneshot;

#[cfg(target_os = "linux")]
use crate::dispatch::Readiness;
use crate::dispatch::{Inbox, RecvError};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::mailbox::{MailboxConfig, Overflow};
use crate::node::shared::outcome;
use crate::node_state::{NodeEvent, Outcome};
use crate::park::block_on_timeout;

/// A subscription to a node's events; see [`Node::events`](crate::Node::events).
#[derive(Debug)]
pub struct EventStream {
    inbox: Inbox<NodeEvent>,
}

impl EventStream {
    pub(super) fn new(inbox: Inbox<NodeEvent>) -> Self {
        Self { inbox }
    }

    /// Waits for the next event; `None` when the node has ended.
    pub async fn next(&self) -> Option<NodeEvent> {
        self.inbox.recv().await
    }

    /// Waits until an event waits, without taking it; false when the node has ended and none
    /// does.
    pub async fn ready(&self) -> bool {
        self.inbox.ready().await
    }

    /// Blocks this thread until the next event.
    ///
    /// Errors: `timeout`, and `closed` when the node has ended.
    pub fn next_timeout(&self, timeout: Duration) -> Result<NodeEvent> {
        self.inbox.recv_timeout(Some(timeout)).map_err(recv_error)
    }

    /// The next event, if one waits.
    pub fn try_next(&self) -> Option<NodeEvent> {
        self.inbox.try_recv()
    }

    /// Puts an event back that was taken but not handed over: it is the next one again.
    pub fn put_back(&self, event: NodeEvent) {
        self.inbox.put_back(std::iter::once(event));
    }

    /// Keeps a descriptor readable while an event waits, or the node has ended.
    #[cfg(target_os = "linux")]
    pub fn set_readiness(&self, readiness: Readiness) {
        self.inbox.set_readiness(readiness);
    }

    /// Events that were dropped because more than 16,384 waited.
    pub fn lost(&self) -> u64 {
        self.inbox.dropped()
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// A message on its way into a queue; see [`Node::begin_send`](crate::Node::begin_send).
#[derive(Debug)]
pub struct Sending(pub(super) oneshot::Receiver<Outcome>);

impl Sending {
    /// Blocks this thread until it is there, but no longer than the limit: `None` then, and the
    /// wait can go on.
    pub fn finish_within(&mut self, limit: Duration) -> Option<Result<()>> {
        let ended = block_on_timeout(&mut self.0, Some(limit))?;
        Some(match ended {
            Ok(Outcome::Done(result)) => result,
            Ok(Outcome::Peers(_)) => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::Closed,
                "the node ended while the call waited",
            )),
        })
    }

    /// Waits until it is there. Dropping this does not take the message back.
    pub async fn finish(self) -> Result<()> {
        match outcome(self.0).await? {
            Outcome::Done(result) => result,
            Outcome::Peers(_) => Ok(()),
        }
    }
}

pub(super) fn recv_error(error: RecvError) -> Error {
    match error {
        RecvError::Closed => Error::new(ErrorKind::Closed, "the node has ended"),
        RecvError::Timeout => Error::new(ErrorKind::Timeout, "nothing came in time"),
    }
}

pub(super) fn event_inbox() -> Inbox<NodeEvent> {
    Inbox::new(MailboxConfig {
        messages_max: limits::EVENTS_MAX,
        overflow: Overflow::DropOldest,
        ..MailboxConfig::default()
    })
}
