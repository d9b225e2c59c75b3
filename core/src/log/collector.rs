//! The subscriber: which events are wanted, and by whom.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering};

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Metadata};

use crate::dispatch::Inbox;
use crate::error::{Error, ErrorKind, Result};
use crate::fork;
use crate::log::record::{Level, Record};

/// The captures of this process. Never freed: a forked child gets others, and leaves its
/// parent's alone, because any lock in there may be held by a thread that it does not have.
static CURRENT: AtomicPtr<Captures> = AtomicPtr::new(std::ptr::null_mut());

/// Whether the subscriber of the process is ours.
static INSTALLED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IGNORED: Cell<bool> = const { Cell::new(false) };
}

/// Records of this thread are not collected from here on. For the thread that hands records to
/// the host's code: what that code causes would come back as further records, without end.
pub fn ignore_this_thread() {
    IGNORED.set(true);
}

fn is_ignored() -> bool {
    // A thread that is just ending may have none any more.
    IGNORED.try_with(Cell::get).unwrap_or(false)
}

/// Who collects records in one process.
#[derive(Debug)]
pub(super) struct Captures {
    generation: u64,
    /// Number of the least severe level that somebody wants; 0 = nobody wants any.
    level: AtomicU8,
    // Protects the list. Held to change it, and to queue a record for everyone in it.
    sinks: Mutex<Vec<Sink>>,
    // Protects the order of changes of the level, and of their way into tracing's cache. Taken
    // before `sinks`.
    changes: Mutex<()>,
}

#[derive(Debug)]
struct Sink {
    inbox: Inbox<Record>,
    level: Level,
    number: u64,
}

/// The captures there were when this was asked, of this process or its parent.
fn latest() -> (*mut Captures, Option<&'static Captures>) {
    let pointer = CURRENT.load(Ordering::Acquire);
    // SAFETY: it is null, or was leaked by `Captures::current` and never freed.
    (pointer, unsafe { pointer.as_ref() })
}

impl Captures {
    /// Those of this process, if there are any. Takes no lock.
    fn existing() -> Option<&'static Self> {
        latest().1.filter(|captures| captures.is_of_this_process())
    }

    /// Those of this process, made at first use. Takes no lock.
    pub fn current() -> &'static Self {
        loop {
            let (pointer, latest) = latest();
            match latest {
                Some(captures) if captures.is_of_this_process() => return captures,
                _ => {}
            }
            let new = Box::into_raw(Box::new(Self {
                generation: fork::generation(),
                level: AtomicU8::new(0),
                sinks: Mutex::new(Vec::new()),
                changes: Mutex::new(()),
            }));
            let swapped =
                CURRENT.compare_exchange(pointer, new, Ordering::AcqRel, Ordering::Acquire);
            if swapped.is_err() {
                // SAFETY: it came from a box just now, and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }

    /// False in a child that inherited them over `fork`.
    pub fn is_of_this_process(&self) -> bool {
        self.generation == fork::generation()
    }

    /// Becomes the subscriber of the process, once, and adds a capture.
    ///
    /// Errors: `already_running` when the host has another subscriber.
    pub fn add(&self, inbox: Inbox<Record>, level: Level, number: u64) -> Result<()> {
        let _changes = self.changes.lock();
        if !INSTALLED.load(Ordering::Acquire) {
            tracing::subscriber::set_global_default(Collector).map_err(|_| {
                Error::new(
                    ErrorKind::AlreadyRunning,
                    "this program has set a `tracing` subscriber of its own, which gets \
                     distflow's log records already; take them from there",
                )
            })?;
            INSTALLED.store(true, Ordering::Release);
        }
        let sink = Sink {
            inbox,
            level,
            number,
        };
        self.change(|sinks| sinks.push(sink));
        Ok(())
    }

    /// Removes a capture.
    pub fn remove(&self, number: u64) {
        let _changes = self.changes.lock();
        self.change(|sinks| sinks.retain(|sink| sink.number != number));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Sink>)) {
        {
            let mut sinks = self.sinks.lock();
            change(&mut sinks);
            let levels = sinks.iter().map(|sink| sink.level.number());
            self.level
                .store(levels.max().unwrap_or(0), Ordering::Release);
        }
        // Asks for the level of `max_level_hint`, which every event is compared with first.
        tracing::callsite::rebuild_interest_cache();
    }

    fn level(&self) -> Option<Level> {
        Level::from_number(self.level.load(Ordering::Acquire))
    }

    fn push(&self, record: &Record) {
        let weight = record.weight();
        let mut wakeups = Vec::new();
        for sink in self.sinks.lock().iter() {
            if record.level <= sink.level {
                let (_, wakeup) = sink.inbox.push_all(&mut [(record.clone(), weight)].into());
                wakeups.push(wakeup);
            }
        }
        // Wakes the receivers, now that no lock is held.
        drop(wakeups);
    }
}

/// Whether it is an event of the library's, or the question whether one would be wanted. Its
/// spans, if it had any, would be of no use here.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    !metadata.is_span() && metadata.target().starts_with("distflow")
}

/// The subscriber of the process.
struct Collector;

impl Subscriber for Collector {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Never the level's matter: that changes, and an answer given here while it does might
        // stay the old one.
        if is_ours(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let level = Captures::existing().and_then(Captures::level);
        Some(level.map_or(LevelFilter::OFF, Level::filter))
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata)
            && Captures::existing()
                .and_then(Captures::level)
                .is_some_and(|level| Level::of(*metadata.level()) <= level)
            && !is_ignored()
    }

    fn event(&self, event: &Event<'_>) {
        // Not everyone who makes events asks first.
        if self.enabled(event.metadata())
            && let Some(captures) = Captures::existing()
        {
            captures.push(&Record::of(event));
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // Spans are never enabled, so nobody tells them apart.
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
