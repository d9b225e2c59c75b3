//! The callback thread: one a node, started with the first handler.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::{JoinHandle, ThreadId};

use parking_lot::Mutex;

use super::inbox::Inbox;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::park::block_on;

/// User code that takes items. It runs on the callback thread, one call at a time and in
/// order, under no lock; it may call anything except what waits for itself.
pub enum Handler<T> {
    /// Called with one item at a time.
    Each(Call<T>),
    /// Called with all that waits, up to 256 items, never none.
    Batch(Call<[T]>),
}

type Call<T> = Box<dyn Fn(&T) + Send + Sync>;

/// Handlers for two queues, served by one thread until both are closed and empty, or until
/// [`Callbacks::stop`].
///
/// Every handler sees every item, in order. A handler that panics is reported to `tracing`; the
/// others and later items are served all the same. When the thread ends, handlers are dropped.
pub struct Callbacks<A, B> {
    first: Side<A>,
    second: Side<B>,
    common: Arc<Common>,
}

/// What the thread and the handle share.
struct Common {
    /// No handler is called any more.
    stopped: AtomicBool,
    // Protects the thread's state and who waits for its end.
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    thread: Option<JoinHandle<()>>,
    id: Option<ThreadId>,
    /// Handlers are not accepted any more.
    closed: bool,
    ended: bool,
    waiting: Vec<Waker>,
}

type Handlers<T> = Arc<[(HandlerKey, Arc<Handler<T>>)]>;

/// Names a handler among those of its queue.
pub type HandlerKey = u64;

struct Side<T> {
    inbox: Inbox<T>,
    // Protects the list of handlers; copied out before they run.
    handlers: Arc<Mutex<Handlers<T>>>,
    /// The key of the handler that was added last.
    last_key: Arc<AtomicU64>,
    /// Counts what is handed to handlers.
    handed: Arc<AtomicU64>,
}

impl<T> Clone for Side<T> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            handlers: self.handlers.clone(),
            last_key: self.last_key.clone(),
            handed: self.handed.clone(),
        }
    }
}

impl<T> Side<T> {
    fn new(inbox: Inbox<T>, handed: Arc<AtomicU64>) -> Self {
        Self {
            inbox,
            handlers: Arc::new(Mutex::new(Arc::new([]))),
            last_key: Arc::default(),
            handed,
        }
    }

    fn add(&self, handler: Handler<T>) -> HandlerKey {
        let key = self.last_key.fetch_add(1, Ordering::Relaxed) + 1;
        let mut handlers = self.handlers.lock();
        *handlers = handlers
            .iter()
            .cloned()
            .chain([(key, Arc::new(handler))])
            .collect();
        key
    }

    fn remove(&self, key: HandlerKey) -> bool {
        let removed = {
            let mut handlers = self.handlers.lock();
            let (removed, left): (Vec<_>, Vec<_>) = handlers
                .iter()
                .cloned()
                .partition(|(other, _)| *other == key);
            *handlers = left.into();
            removed
        };
        let was_there = !removed.is_empty();
        // A handler's drop is user code, too.
        guarded(|| drop(removed));
        was_there
    }

    /// Takes what the handlers can take at once.
    fn poll(&self, cx: &mut Context<'_>, items: &mut Vec<T>) -> Poll<usize> {
        let handlers = self.handlers.lock().clone();
        if handlers.is_empty() {
            // A queue without handler keeps its items.
            return if self.inbox.poll_closed(cx) {
                Poll::Ready(0)
            } else {
                Poll::Pending
            };
        }
        // No more than one call takes: what waits in the queue can be bounded and counted.
        let is_batch = |(_, handler): &(_, Arc<Handler<T>>)| matches!(**handler, Handler::Batch(_));
        let max = if handlers.iter().any(is_batch) {
            limits::CALLBACK_BATCH_MAX
        } else {
            1
        };
        self.inbox.poll_recv_many(cx, items, max)
    }

    /// Hands items to every handler, until one of them stops the callbacks. What no handler
    /// has seen by then goes back into the queue.
    fn call(&self, items: &mut Vec<T>, stopped: &AtomicBool) {
        let goes_on = || !stopped.load(Ordering::SeqCst);
        let mut seen = 0;
        let mut see = |count: usize| {
            let new = count.saturating_sub(seen);
            // Counted before the call, in which somebody may look.
            self.handed.fetch_add(new as u64, Ordering::Relaxed);
            seen += new;
        };
        let handlers = self.handlers.lock().clone();
        for (_, handler) in handlers.iter() {
            match &**handler {
                Handler::Each(each) => {
                    for (at, item) in items.iter().enumerate().take_while(|_| goes_on()) {
                        see(at + 1);
                        guarded(|| each(item));
                    }
                }
                Handler::Batch(batch) if goes_on() => {
                    see(items.len());
                    guarded(|| batch(items));
                }
                Handler::Batch(_) => {}
            }
        }
        if seen < items.len() {
            self.inbox.put_back(items.drain(seen..));
        }
        items.clear();
    }

    fn clear(&self) {
        let handlers = std::mem::replace(&mut *self.handlers.lock(), Arc::new([]));
        // A handler's drop is user code, too.
        guarded(|| drop(handlers));
    }
}

fn guarded(run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        tracing::error!("a handler panicked; the next message is served all the same");
    }
}

impl<A: Send + 'static, B: Send + 'static> Callbacks<A, B> {
    /// No handlers yet, no thread yet. `handed` counts the items of the first queue that
    /// handlers got.
    pub fn new(first: Inbox<A>, second: Inbox<B>, handed: Arc<AtomicU64>) -> Self {
        Self {
            first: Side::new(first, handed),
            second: Side::new(second, Arc::default()),
            common: Arc::new(Common {
                stopped: AtomicBool::new(false),
                life: Mutex::default(),
            }),
        }
    }

    /// Adds a handler for the first queue; what waits in it is served at once.
    ///
    /// Errors: `closed` after the end, `io`. The handler is dropped then.
    pub fn on_first(&self, handler: Handler<A>) -> Result<HandlerKey> {
        self.start(|| self.first.add(handler))
    }

    /// Adds a handler for the second queue.
    ///
    /// Errors: `closed` after the end, `io`. The handler is dropped then.
    pub fn on_second(&self, handler: Handler<B>) -> Result<HandlerKey> {
        self.start(|| self.second.add(handler))
    }

    /// Ends a handler of the first queue, beyond a call that runs right now. Without any left, the
    /// queue keeps its items. Returns whether it was there.
    pub fn end_first(&self, key: HandlerKey) -> bool {
        self.first.remove(key)
    }

    /// Whether this is the callback thread, which must not wait for itself.
    pub fn is_current_thread(&self) -> bool {
        self.common.life.lock().id == Some(std::thread::current().id())
    }

    /// Calls no handler any more, beyond one that runs right now. The thread then ends, without
    /// regard to what waits in the queues.
    pub fn stop(&self) {
        self.common.stopped.store(true, Ordering::SeqCst);
        let mut life = self.common.life.lock();
        life.closed = true;
        match &life.thread {
            Some(thread) => thread.thread().unpark(),
            None => life.ended |= life.id.is_none(),
        }
    }

    /// Waits until the thread has ended, or never will start: both queues closed and empty, or
    /// stopped. Every handler is dropped then. Safe to cancel, and for any number of waiters.
    ///
    /// On the callback thread itself this would never end.
    pub async fn ended(&self) {
        std::future::poll_fn(|cx| {
            let mut life = self.common.life.lock();
            if life.id.is_none() {
                // Nobody will serve; a handler that comes now would be called for nothing.
                life.closed = true;
                life.ended = true;
            }
            if life.ended {
                return Poll::Ready(());
            }
            if !life.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                life.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
        let thread = self.common.life.lock().thread.take();
        if let Some(thread) = thread {
            // It has nothing left to do. A panic would be a defect that the hook has reported.
            let _ = thread.join();
        }
    }

    fn start(&self, add: impl FnOnce() -> HandlerKey) -> Result<HandlerKey> {
        let mut life = self.common.life.lock();
        if life.closed {
            return Err(Error::new(ErrorKind::Closed, "the node has ended"));
        }
        let key = add();
        if let Some(thread) = &life.thread {
            // A queue that had no handler so far may hold items already.
            thread.thread().unpark();
            return Ok(key);
        }
        let (first, second) = (self.first.clone(), self.second.clone());
        let common = self.common.clone();
        let spawned =
            crate::threads::spawn("distflow-callback", move || serve(&first, &second, &common));
        match spawned {
            Ok(thread) => {
                life.id = Some(thread.thread().id());
                life.thread = Some(thread);
                Ok(key)
            }
            Err(error) => {
                drop(life);
                self.first.clear();
                self.second.clear();
                Err(Error::io("cannot start the callback thread", &error))
            }
        }
    }
}

/// The life of the callback thread.
fn serve<A, B>(first: &Side<A>, second: &Side<B>, common: &Common) {
    let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
    while !common.stopped.load(Ordering::SeqCst) {
        let goes_on = block_on(std::future::poll_fn(|cx| {
            if common.stopped.load(Ordering::SeqCst) {
                return Poll::Ready(false);
            }
            // Events first: they are rare, and a join should precede the peer's messages.
            match (second.poll(cx, &mut seconds), first.poll(cx, &mut firsts)) {
                (Poll::Ready(0), Poll::Ready(0)) => Poll::Ready(false),
                (Poll::Ready(1..), _) | (_, Poll::Ready(1..)) => Poll::Ready(true),
                _ => Poll::Pending,
            }
        }));
        if !seconds.is_empty() {
            second.call(&mut seconds, &common.stopped);
        }
        if !firsts.is_empty() {
            first.call(&mut firsts, &common.stopped);
        }
        if !goes_on {
            break;
        }
    }
    common.life.lock().closed = true;
    first.clear();
    second.clear();
    let waiting = {
        let mut life = common.life.lock();
        life.ended = true;
        std::mem::take(&mut life.waiting)
    };
    waiting.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::{MailboxConfig, Overflow};
    use std::sync::mpsc::channel;

    fn inbox<T>() -> Inbox<T> {
        Inbox::new(MailboxConfig {
            messages_max: 1_000,
            overflow: Overflow::DropNewest,
            ..MailboxConfig::default()
        })
    }

    fn callbacks() -> (Callbacks<u32, u32>, Inbox<u32>, Inbox<u32>) {
        let (first, second) = (inbox(), inbox());
        let callbacks = Callbacks::new(first.clone(), second.clone(), Arc::default());
        (callbacks, first, second)
    }

    #[test]
    fn batches_and_single_items_come_in_order_until_the_queues_are_closed() {
        let (callbacks, first, second) = callbacks();
        let (sender, got) = channel();
        for item in 0..600 {
            first.push(item, 1);
        }
        let batches = sender.clone();
        callbacks
            .on_first(Handler::Batch(Box::new(move |items: &[u32]| {
                assert!(items.len() <= limits::CALLBACK_BATCH_MAX);
                for item in items {
                    batches.send(*item).unwrap();
                }
            })))
            .unwrap();
        callbacks
            .on_second(Handler::Each(Box::new(move |item| {
                sender.send(*item).unwrap();
            })))
            .unwrap();
        first.close();
        second.close();
        block_on(callbacks.ended());
        assert_eq!(got.iter().collect::<Vec<_>>(), (0..600).collect::<Vec<_>>());
        let late = callbacks.on_first(Handler::Each(Box::new(|_| {})));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn stopping_ends_the_calls_and_drops_the_handlers() {
        let (callbacks, first, _second) = callbacks();
        let callbacks = Arc::new(callbacks);
        for item in 0..100 {
            first.push(item, 1);
        }
        let (sender, got) = channel();
        let inner = Arc::downgrade(&callbacks);
        callbacks
            .on_first(Handler::Each(Box::new(move |item| {
                sender.send(*item).unwrap();
                if *item == 7 {
                    inner.upgrade().unwrap().stop();
                }
            })))
            .unwrap();
        block_on(callbacks.ended());
        // The sender was dropped with its handler, so this ends.
        assert_eq!(got.iter().collect::<Vec<_>>(), (0..=7).collect::<Vec<_>>());
        assert_eq!(first.len(), 92);
    }

    #[test]
    fn a_batch_that_is_cut_short_goes_back() {
        let (callbacks, first, _second) = callbacks();
        let callbacks = Arc::new(callbacks);
        let inner = Arc::downgrade(&callbacks);
        callbacks
            .on_first(Handler::Each(Box::new(move |item| {
                if *item == 7 {
                    inner.upgrade().unwrap().stop();
                }
            })))
            .unwrap();
        callbacks
            .on_first(Handler::Batch(Box::new(|items: &[u32]| {
                panic!("called after the end with {items:?}");
            })))
            .unwrap();
        // At once, so that they are one batch.
        drop(first.push_all(&mut (0..100).map(|item| (item, 1)).collect()));
        block_on(callbacks.ended());
        let left: Vec<u32> = std::iter::from_fn(|| first.try_recv()).collect();
        assert_eq!(left, (8..100).collect::<Vec<_>>());
    }

    #[test]
    fn waiting_for_one_queue_leaves_nothing_at_the_other() {
        let (callbacks, first, second) = callbacks();
        callbacks
            .on_second(Handler::Each(Box::new(|_| {})))
            .unwrap();
        let (sender, got) = channel();
        callbacks
            .on_first(Handler::Each(Box::new(move |item| {
                sender.send(*item).unwrap();
            })))
            .unwrap();
        for item in 0..1_000 {
            first.push(item, 1);
            assert_eq!(got.recv().unwrap(), item);
        }
        assert!(second.receivers() <= 1);
        first.close();
        second.close();
        block_on(callbacks.ended());
    }

    #[test]
    fn a_queue_whose_last_handler_was_ended_keeps_its_items() {
        let (callbacks, first, _second) = callbacks();
        let (sender, got) = channel();
        let other = sender.clone();
        let key = callbacks
            .on_first(Handler::Each(Box::new(move |item| {
                sender.send(*item).unwrap();
            })))
            .unwrap();
        first.push(1, 1);
        assert_eq!(got.recv().unwrap(), 1);
        assert!(callbacks.end_first(key));
        assert!(!callbacks.end_first(key));
        first.push(2, 1);
        let limit = Some(std::time::Duration::from_secs(20));
        assert_eq!(first.recv_timeout(limit), Ok(2));
        first.push(3, 1);
        callbacks
            .on_first(Handler::Each(Box::new(move |item| {
                other.send(*item).unwrap();
            })))
            .unwrap();
        assert_eq!(got.recv().unwrap(), 3);
    }

    #[test]
    fn a_panic_does_not_stop_the_others() {
        let (callbacks, first, second) = callbacks();
        let (sender, got) = channel();
        callbacks
            .on_first(Handler::Each(Box::new(|_| panic!("on purpose"))))
            .unwrap();
        callbacks
            .on_first(Handler::Each(Box::new(move |item| {
                sender.send(*item).unwrap();
            })))
            .unwrap();
        first.push(1, 1);
        first.push(2, 1);
        first.close();
        second.close();
        block_on(callbacks.ended());
        assert_eq!(got.iter().collect::<Vec<_>>(), [1, 2]);
    }
}
