//! Something that happens again and again, and that any number of waits hear of.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Tells waits that something has happened.
pub struct News {
    // Protects the number of times, and who waits for the next one; held to look or to change.
    state: Mutex<State>,
}

struct State {
    times: u64,
    last_wait: u64,
    waiting: Vec<(u64, Waker)>,
}

impl News {
    pub const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                times: 0,
                last_wait: 0,
                waiting: Vec::new(),
            }),
        }
    }

    /// Tells that it has happened: whoever waits goes on.
    pub fn tell(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.times += 1;
            std::mem::take(&mut state.waiting)
        };
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    /// Ends when it happens after this call.
    pub fn next(&self) -> Next<'_> {
        let mut state = self.state.lock();
        state.last_wait += 1;
        Next {
            news: self,
            after: state.times,
            wait: state.last_wait,
        }
    }

    /// Forgets everybody who waits: they are threads that a forked child does not have.
    pub fn reset(&self) {
        self.state.lock().waiting.clear();
    }
}

/// A wait for news.
pub struct Next<'a> {
    news: &'a News,
    after: u64,
    wait: u64,
}

impl Future for Next<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.news.state.lock();
        if state.times != self.after {
            return Poll::Ready(());
        }
        match state
            .waiting
            .iter_mut()
            .find(|(wait, _)| *wait == self.wait)
        {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => state.waiting.push((self.wait, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        let mut state = self.news.state.lock();
        state.waiting.retain(|(wait, _)| *wait != self.wait);
    }
}
