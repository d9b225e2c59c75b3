//! A host's subscription to log records.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::dispatch::{Callbacks, Handler, Inbox, RecvError};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::log::collector::{Captures, ignore_this_thread};
use crate::log::record::{Level, Record};
use crate::mailbox::{MailboxConfig, Overflow};
use crate::park::block_on;

/// Collects log records until it is closed or dropped. 4,096 wait at most; then new ones are
/// dropped and counted. Several captures get every record each.
///
/// A child that inherited one over `fork` gets nothing from it, and can make its own.
#[derive(Debug)]
pub struct Capture {
    captures: &'static Captures,
    inbox: Inbox<Record>,
    number: u64,
}

/// Starts to collect the library's records of a level, and those that are more severe.
///
/// Errors: `already_running` when the host program has set a `tracing` subscriber of its own.
/// After the first success the program cannot set one any more.
pub fn capture(level: Level) -> Result<Capture> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let inbox = Inbox::new(MailboxConfig {
        messages_max: limits::LOG_RECORDS_MAX,
        overflow: Overflow::DropNewest,
        ..MailboxConfig::default()
    });
    let captures = Captures::current();
    captures.add(inbox.clone(), level, number)?;
    Ok(Capture {
        captures,
        inbox,
        number,
    })
}

impl Capture {
    fn check_fork(&self) -> Result<()> {
        if self.captures.is_of_this_process() {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::Forked,
                "this capture belongs to the parent process; make a new one after fork",
            ))
        }
    }

    /// Waits until a record waits, without taking it; false when the capture is closed and empty.
    pub async fn ready(&self) -> bool {
        self.check_fork().is_ok() && self.inbox.ready().await
    }

    /// Waits for the next record; `None` when the capture is closed and empty. Safe to cancel.
    pub async fn recv(&self) -> Option<Record> {
        self.check_fork().ok()?;
        self.inbox.recv().await
    }

    /// Blocks this thread until a record comes; `None` = without limit.
    ///
    /// Errors: `timeout`, `closed` when the capture is closed and empty, `forked`.
    pub fn recv_timeout(&self, timeout: Option<Duration>) -> Result<Record> {
        self.check_fork()?;
        self.inbox
            .recv_timeout(timeout)
            .map_err(|error| match error {
                RecvError::Closed => Error::new(ErrorKind::Closed, "the capture is closed"),
                RecvError::Timeout => Error::new(ErrorKind::Timeout, "nothing came in time"),
            })
    }

    /// The next record, if one waits.
    pub fn try_recv(&self) -> Option<Record> {
        self.check_fork().ok()?;
        self.inbox.try_recv()
    }

    /// Records that were dropped because too many waited.
    pub fn lost(&self) -> u64 {
        self.check_fork().map_or(0, |()| self.inbox.dropped())
    }

    /// Ends the collecting. What waits can still be received. Safe to call twice.
    pub fn close(&self) {
        if self.check_fork().is_ok() {
            self.captures.remove(self.number);
            self.inbox.close();
        }
    }
}

/// A handler that gets log records, on a callback thread of its own; ended by
/// [`LogHandler::end`], or dropped.
pub struct LogHandler {
    capture: Capture,
    callbacks: Callbacks<Record, Infallible>,
}

/// Has a handler called with the library's records of a level, and those that are more severe,
/// one at a time. What the library logs on the handler's thread is left out.
///
/// Errors: those of [`capture`], and `io` when there can be no thread for it. The handler is
/// dropped then.
pub fn on_record(
    level: Level,
    handler: impl Fn(&Record) + Send + Sync + 'static,
) -> Result<LogHandler> {
    let capture = capture(level)?;
    // There is only one queue; the other one has ended already.
    let none = Inbox::new(MailboxConfig::default());
    none.close();
    let callbacks = Callbacks::new(capture.inbox.clone(), none, Arc::default());
    callbacks.on_first(Handler::Each(Box::new(move |record| {
        ignore_this_thread();
        handler(record);
    })))?;
    Ok(LogHandler { capture, callbacks })
}

impl LogHandler {
    /// Collects no more, and waits until the handler has got what waits and was dropped; on its
    /// own thread, without waiting. In a forked child, which does not have that thread, nothing
    /// is done.
    pub fn end(self) {
        if self.capture.check_fork().is_err() {
            std::mem::forget(self);
            return;
        }
        self.capture.close();
        if !self.callbacks.is_current_thread() {
            block_on(self.callbacks.ended());
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use serde_json::{Value, json};

    use super::*;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(30));
    const TARGET: &str = "distflow_test";

    /// The subscriber is one for all tests of this program.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next record of these tests: others run at the same time and log as well.
    fn next(capture: &Capture) -> Record {
        loop {
            let record = capture.recv_timeout(LIMIT).unwrap();
            if record.target == TARGET {
                return record;
            }
        }
    }

    #[test]
    fn fields_become_json() {
        let _alone = alone();
        let capture = capture(Level::Trace).unwrap();
        let before = crate::time::wall_ms();
        tracing::warn!(
            target: TARGET,
            text = "a \"quoted\" \u{e4}\nline",
            shown = %"\x1b[31m",
            debug = ?Some("x"),
            endless = %"\u{e4}".repeat(5_000),
            number = -5,
            large = u64::MAX,
            half = 0.5,
            nan = f64::NAN,
            yes = true,
            absent = None::<&str>,
            r#type = "t",
            "{} happened",
            "something"
        );
        let record = next(&capture);
        assert_eq!(record.level, Level::Warn);
        assert_eq!(record.message, "something happened");
        assert!(record.timestamp_ms >= before);
        let mut fields: Value = serde_json::from_str(&record.fields).unwrap();
        let endless = fields["endless"].take();
        let endless = endless.as_str().unwrap();
        assert!(endless.len() <= limits::LOG_TEXT_BYTES_MAX, "{endless}");
        assert!(endless.ends_with("\u{e4}…"), "{endless}");
        let wanted = json!({
            "text": "a \"quoted\" \u{e4}\\nline",
            "shown": "\\u{1b}[31m",
            "debug": "Some(\"x\")",
            "endless": null,
            "number": -5,
            "large": u64::MAX,
            "half": 0.5,
            "nan": "NaN",
            "yes": true,
            "type": "t",
        });
        assert_eq!(fields, wanted);
        tracing::info!(target: TARGET, "nothing else");
        assert_eq!(next(&capture).fields, "{}");
    }

    #[test]
    fn each_capture_has_its_level() {
        let _alone = alone();
        let errors = capture(Level::Error).unwrap();
        let all = capture(Level::Trace).unwrap();
        for level in [0, 1] {
            tracing::trace!(target: TARGET, level, "trace");
            tracing::debug!(target: TARGET, level, "debug");
            tracing::info!(target: TARGET, level, "info");
            tracing::error!(target: TARGET, level, "error");
        }
        tracing::error!(target: "a_stranger", "not of distflow");
        tracing::error!(target: TARGET, "end");
        for (capture, wanted) in [
            (&errors, vec!["error"; 2]),
            (&all, ["trace", "debug", "info", "error"].repeat(2)),
        ] {
            for message in wanted {
                assert_eq!(next(capture).message, message);
            }
            assert_eq!(next(capture).message, "end");
        }
        drop(all);
        assert!(!tracing::enabled!(target: TARGET, tracing::Level::WARN));
        assert!(tracing::enabled!(target: TARGET, tracing::Level::ERROR));
    }

    #[test]
    fn closing_ends_the_collecting() {
        let _alone = alone();
        let capture = capture(Level::Info).unwrap();
        tracing::info!(target: TARGET, "before");
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                assert_eq!(next(&capture).message, "before");
                // Blocked until the capture is closed, whoever else logs meanwhile.
                while block_on(capture.recv()).is_some() {}
                capture.recv_timeout(LIMIT).unwrap_err().kind()
            });
            // Whether it waits by then or not yet, the outcome is the same.
            capture.close();
            capture.close();
            assert_eq!(reader.join().unwrap(), ErrorKind::Closed);
        });
        assert!(!tracing::enabled!(target: TARGET, tracing::Level::ERROR));
        tracing::info!(target: TARGET, "after");
        assert_eq!(capture.try_recv(), None);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let _alone = alone();
        let capture = capture(Level::Info).unwrap();
        let mut sent = 0;
        while capture.lost() == 0 {
            tracing::info!(target: TARGET, sent, "again");
            sent += 1;
            assert!(sent <= limits::LOG_RECORDS_MAX + 1);
        }
        let first = serde_json::from_str::<Value>(&next(&capture).fields).unwrap();
        assert_eq!(first["sent"], 0);
    }

    #[test]
    fn an_ignored_thread_feeds_nothing_back() {
        let _alone = alone();
        let capture = capture(Level::Info).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                ignore_this_thread();
                assert!(!tracing::enabled!(target: TARGET, tracing::Level::ERROR));
                tracing::error!(target: TARGET, "of the ignored thread");
            });
        });
        tracing::info!(target: TARGET, "of another");
        assert_eq!(next(&capture).message, "of another");
    }
}
