//! A mailbox that can be waited on, from any thread and any async runtime.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

#[cfg(target_os = "linux")]
use crate::dispatch::readiness::Readiness;
use crate::mailbox::{Mailbox, MailboxConfig, Pushed};
use crate::park::block_on_timeout;

/// Nothing more will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvError {
    /// The inbox is closed and empty.
    Closed,
    /// Nothing came in time.
    Timeout,
}

#[derive(Debug)]
struct State<T> {
    mailbox: Mailbox<T>,
    closed: bool,
    receivers: Vec<Waker>,
    senders: Vec<Waker>,
    #[cfg(target_os = "linux")]
    readiness: Option<(Readiness, bool)>,
}

impl<T> State<T> {
    /// Brings the descriptor in line with the queue. Called before the lock is released by
    /// whatever may have changed one of the two.
    fn signal(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some((readiness, raised)) = &mut self.readiness {
            let wanted = self.closed || !self.mailbox.is_empty();
            if wanted != *raised {
                *raised = wanted;
                if wanted {
                    readiness.raise();
                } else {
                    readiness.lower();
                }
            }
        }
    }
}

/// A shared, bounded queue; clones share it. Several receivers compete for its items.
#[derive(Debug)]
pub struct Inbox<T> {
    // Protects the queue and the list of who waits for it. Held for the length of a push or
    // pop; wakers run after it is released.
    state: Arc<Mutex<State<T>>>,
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
        }
    }
}

fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

/// Receivers to be woken: dropping this wakes them, so a caller can leave its locks first.
#[must_use]
#[derive(Debug)]
pub struct Wakeups(Vec<Waker>);

impl Drop for Wakeups {
    fn drop(&mut self) {
        wake_all(std::mem::take(&mut self.0));
    }
}

fn remember(wakers: &mut Vec<Waker>, cx: &Context<'_>) {
    if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
        wakers.push(cx.waker().clone());
    }
}

impl<T> Inbox<T> {
    /// An open, empty inbox.
    pub fn new(config: MailboxConfig) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                mailbox: Mailbox::new(config),
                closed: false,
                receivers: Vec::new(),
                senders: Vec::new(),
                #[cfg(target_os = "linux")]
                readiness: None,
            })),
        }
    }

    /// Keeps a descriptor readable while something waits here, or the inbox is closed. Once.
    #[cfg(target_os = "linux")]
    pub fn set_readiness(&self, readiness: Readiness) {
        let mut state = self.state.lock();
        state.readiness = Some((readiness, false));
        state.signal();
    }

    /// Adds items with their weights until one does not fit under [`Pushed::Full`]; returns
    /// how many were dropped, and who has to be woken. What did not fit stays in `items`. A
    /// closed inbox swallows all.
    pub fn push_all(&self, items: &mut VecDeque<(T, usize)>) -> (u64, Wakeups) {
        let mut dropped = 0;
        let wakers = {
            let mut state = self.state.lock();
            if state.closed {
                items.clear();
                return (0, Wakeups(Vec::new()));
            }
            while let Some((item, weight)) = items.pop_front() {
                match state.mailbox.push(item, weight) {
                    Pushed::Queued => {}
                    Pushed::Dropped => dropped += 1,
                    Pushed::Displaced(count) => dropped += count,
                    Pushed::Full(item) => {
                        items.push_front((item, weight));
                        break;
                    }
                }
            }
            state.signal();
            std::mem::take(&mut state.receivers)
        };
        (dropped, Wakeups(wakers))
    }

    /// Adds one item; returns how many were dropped.
    pub fn push(&self, item: T, weight: usize) -> u64 {
        self.push_all(&mut [(item, weight)].into()).0
    }

    /// Says whether somebody takes what comes; see [`Overflow::DropNewest`].
    ///
    /// [`Overflow::DropNewest`]: crate::mailbox::Overflow::DropNewest
    pub fn set_attended(&self, attended: bool) {
        // Whoever waits for room may not have to any more.
        self.take(|mailbox| mailbox.set_attended(attended));
    }

    /// Waits until an item of that weight need not wait any more, or the inbox is closed.
    pub async fn room(&self, weight: usize) {
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.closed || !state.mailbox.blocks(weight) {
                return Poll::Ready(());
            }
            remember(&mut state.senders, cx);
            Poll::Pending
        })
        .await;
    }

    fn take(&self, take: impl FnOnce(&mut Mailbox<T>)) {
        let wakers = {
            let mut state = self.state.lock();
            take(&mut state.mailbox);
            state.signal();
            std::mem::take(&mut state.senders)
        };
        wake_all(wakers);
    }

    /// Takes the next item if one waits.
    pub fn try_recv(&self) -> Option<T> {
        let mut item = None;
        self.take(|mailbox| item = mailbox.pop());
        item
    }

    /// Moves up to `max` waiting items into `items`; returns how many.
    pub fn try_recv_many(&self, items: &mut Vec<T>, max: usize) -> usize {
        let before = items.len();
        self.take(|mailbox| items.extend(std::iter::from_fn(|| mailbox.pop()).take(max)));
        items.len() - before
    }

    /// Like [`Inbox::recv`], as a poll.
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let (item, wakers) = {
            let mut state = self.state.lock();
            match state.mailbox.pop() {
                None if state.closed => return Poll::Ready(None),
                None => {
                    remember(&mut state.receivers, cx);
                    return Poll::Pending;
                }
                item => {
                    state.signal();
                    (item, std::mem::take(&mut state.senders))
                }
            }
        };
        wake_all(wakers);
        Poll::Ready(item)
    }

    /// Whether it is closed; the waker runs when that, or an arrival, changes the answer.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> bool {
        let mut state = self.state.lock();
        if !state.closed {
            remember(&mut state.receivers, cx);
        }
        state.closed
    }

    /// Like [`Inbox::recv_many`], as a poll; ready with 0 when the inbox is closed and empty.
    pub fn poll_recv_many(
        &self,
        cx: &mut Context<'_>,
        items: &mut Vec<T>,
        max: usize,
    ) -> Poll<usize> {
        if max == 0 {
            return Poll::Ready(0);
        }
        let (count, wakers) = {
            let mut state = self.state.lock();
            let before = items.len();
            items.extend(std::iter::from_fn(|| state.mailbox.pop()).take(max));
            let count = items.len() - before;
            if count == 0 && !state.closed {
                remember(&mut state.receivers, cx);
                return Poll::Pending;
            }
            state.signal();
            (count, std::mem::take(&mut state.senders))
        };
        wake_all(wakers);
        Poll::Ready(count)
    }

    /// Waits until an item waits; false when the inbox is closed and empty. Takes nothing.
    pub async fn ready(&self) -> bool {
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock();
            if !state.mailbox.is_empty() {
                return Poll::Ready(true);
            }
            if state.closed {
                return Poll::Ready(false);
            }
            remember(&mut state.receivers, cx);
            Poll::Pending
        })
        .await
    }

    /// Waits for the next item; `None` when the inbox is closed and empty. Safe to cancel.
    pub async fn recv(&self) -> Option<T> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Waits until something can be received, then moves up to `max` items into `items`.
    /// Returns 0 when the inbox is closed and empty.
    pub async fn recv_many(&self, items: &mut Vec<T>, max: usize) -> usize {
        std::future::poll_fn(|cx| self.poll_recv_many(cx, items, max)).await
    }

    /// Blocks this thread until an item comes; `None` = without limit.
    pub fn recv_timeout(&self, timeout: Option<Duration>) -> Result<T, RecvError> {
        if let Some(item) = self.try_recv() {
            return Ok(item);
        }
        match block_on_timeout(self.recv(), timeout) {
            Some(Some(item)) => Ok(item),
            Some(None) => Err(RecvError::Closed),
            None => Err(RecvError::Timeout),
        }
    }

    /// Blocks like [`Inbox::recv_timeout`] and takes up to `max` items at once.
    pub fn recv_many_timeout(
        &self,
        items: &mut Vec<T>,
        max: usize,
        timeout: Option<Duration>,
    ) -> Result<usize, RecvError> {
        let item = self.recv_timeout(timeout)?;
        items.push(item);
        Ok(1 + self.try_recv_many(items, max.saturating_sub(1)))
    }

    /// Puts items back in front that were taken but not handed over, the oldest first.
    pub fn put_back(&self, items: impl DoubleEndedIterator<Item = T>) {
        let wakers = {
            let mut state = self.state.lock();
            for item in items.rev() {
                state.mailbox.put_back(item);
            }
            state.signal();
            std::mem::take(&mut state.receivers)
        };
        wake_all(wakers);
    }

    /// Lets nothing more in; what waits can still be received.
    pub fn close(&self) {
        let wakers = {
            let mut state = self.state.lock();
            state.closed = true;
            state.signal();
            let mut wakers = std::mem::take(&mut state.receivers);
            wakers.append(&mut state.senders);
            wakers
        };
        wake_all(wakers);
    }

    /// How many wait to receive.
    #[cfg(test)]
    pub(super) fn receivers(&self) -> usize {
        self.state.lock().receivers.len()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Number of waiting items.
    pub fn len(&self) -> usize {
        self.state.lock().mailbox.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items dropped so far.
    pub fn dropped(&self) -> u64 {
        self.state.lock().mailbox.dropped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Overflow;
    use crate::park::block_on;

    fn inbox(messages_max: usize, overflow: Overflow) -> Inbox<u32> {
        Inbox::new(MailboxConfig {
            messages_max,
            overflow,
            ..MailboxConfig::default()
        })
    }

    #[test]
    fn wakes_a_blocked_thread_and_ends_it() {
        let inbox = inbox(10, Overflow::DropNewest);
        let receiver = inbox.clone();
        let thread = std::thread::spawn(move || {
            let mut got = Vec::new();
            while let Ok(item) = receiver.recv_timeout(None) {
                got.push(item);
            }
            got
        });
        for item in 0..5 {
            inbox.push(item, 1);
        }
        inbox.close();
        assert_eq!(thread.join().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(inbox.push(9, 1), 0);
        assert!(inbox.is_empty());
    }

    #[test]
    fn block_policy_waits_for_room() {
        let inbox = inbox(1, Overflow::Block);
        let receiver = inbox.clone();
        let thread = std::thread::spawn(move || {
            (0..100)
                .map(|_| {
                    receiver
                        .recv_timeout(Some(Duration::from_secs(20)))
                        .unwrap()
                })
                .collect::<Vec<_>>()
        });
        for item in 0..100 {
            let mut items = [(item, 1)].into();
            while inbox.push_all(&mut items).0 == 0 && !items.is_empty() {
                block_on(inbox.room(1));
            }
        }
        assert_eq!(thread.join().unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_timeout_is_told_apart_from_the_end() {
        let inbox = inbox(1, Overflow::DropNewest);
        let short = Some(Duration::from_millis(1));
        assert_eq!(inbox.recv_timeout(short), Err(RecvError::Timeout));
        inbox.close();
        assert_eq!(inbox.recv_timeout(short), Err(RecvError::Closed));
    }
}
