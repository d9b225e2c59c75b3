//! The callback thread: one a node, started with the first handler.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;

use super::inbox::Inbox;
use crate::park::block_on;

/// User code that takes an item. It runs on the callback thread, one call at a time and in
/// order, under no lock; it may call anything except what waits for itself.
pub type Handler<T> = Arc<dyn Fn(&T) + Send + Sync>;

/// Handlers for two queues, served by one thread until both are closed and empty.
///
/// Every handler sees every item. A handler that panics is reported to `tracing`; the others
/// and later items are served all the same.
pub struct Callbacks<A, B> {
    first: Side<A>,
    second: Side<B>,
    // Protects only the thread's handle.
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Side<T> {
    inbox: Inbox<T>,
    // Protects the list of handlers; copied out before they run.
    handlers: Arc<Mutex<Vec<Handler<T>>>>,
}

impl<T> Clone for Side<T> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            handlers: self.handlers.clone(),
        }
    }
}

impl<T> Side<T> {
    fn has_handlers(&self) -> bool {
        !self.handlers.lock().is_empty()
    }

    fn call(&self, item: &T) {
        let handlers = self.handlers.lock().clone();
        for handler in handlers {
            if catch_unwind(AssertUnwindSafe(|| handler(item))).is_err() {
                tracing::error!("a handler panicked; the next message is served all the same");
            }
        }
    }
}

impl<A: Send + 'static, B: Send + 'static> Callbacks<A, B> {
    /// No handlers yet, no thread yet.
    pub fn new(first: Inbox<A>, second: Inbox<B>) -> Self {
        let side = |inbox| Side {
            inbox,
            handlers: Arc::default(),
        };
        Self {
            first: side(first),
            second: Side {
                inbox: second,
                handlers: Arc::default(),
            },
            thread: Mutex::new(None),
        }
    }

    /// Adds a handler for the first queue; what waits in it is served at once.
    pub fn on_first(&self, handler: Handler<A>) -> std::io::Result<()> {
        self.first.handlers.lock().push(handler);
        self.ensure_thread()
    }

    /// Adds a handler for the second queue.
    pub fn on_second(&self, handler: Handler<B>) -> std::io::Result<()> {
        self.second.handlers.lock().push(handler);
        self.ensure_thread()
    }

    /// Whether the first queue has a handler.
    pub fn has_first(&self) -> bool {
        self.first.has_handlers()
    }

    /// Whether this is the callback thread, which must not wait for itself.
    pub fn is_current_thread(&self) -> bool {
        self.thread
            .lock()
            .as_ref()
            .is_some_and(|thread| thread.thread().id() == std::thread::current().id())
    }

    /// Waits until the thread has served both closed queues. On the callback thread itself this
    /// returns at once: it cannot wait for itself.
    pub fn join(&self) {
        if self.is_current_thread() {
            return;
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A panic outside a handler would be a defect here; it was reported by the hook.
            let _ = thread.join();
        }
    }

    fn ensure_thread(&self) -> std::io::Result<()> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let (first, second) = (self.first.clone(), self.second.clone());
            let handle = std::thread::Builder::new()
                .name("distflow-callback".into())
                .spawn(move || serve(&first, &second))?;
            *thread = Some(handle);
        } else if let Some(thread) = thread.as_ref() {
            // A queue that had no handler so far may hold items already.
            thread.thread().unpark();
        }
        Ok(())
    }
}

/// Serves both queues; a queue without handler keeps its items.
fn serve<A, B>(first: &Side<A>, second: &Side<B>) {
    enum Next<A, B> {
        First(A),
        Second(B),
        End,
    }
    loop {
        let next = block_on(std::future::poll_fn(|cx| {
            let mut open = false;
            // Events first: they are rare, and a join should precede the peer's messages.
            if second.has_handlers() {
                match second.inbox.poll_recv(cx) {
                    Poll::Ready(Some(item)) => return Poll::Ready(Next::Second(item)),
                    Poll::Ready(None) => {}
                    Poll::Pending => open = true,
                }
            } else {
                open |= !second.inbox.poll_closed(cx);
            }
            if first.has_handlers() {
                match first.inbox.poll_recv(cx) {
                    Poll::Ready(Some(item)) => return Poll::Ready(Next::First(item)),
                    Poll::Ready(None) => {}
                    Poll::Pending => open = true,
                }
            } else {
                open |= !first.inbox.poll_closed(cx);
            }
            if open {
                Poll::Pending
            } else {
                Poll::Ready(Next::End)
            }
        }));
        match next {
            Next::First(item) => first.call(&item),
            Next::Second(item) => second.call(&item),
            Next::End => return,
        }
    }
}
