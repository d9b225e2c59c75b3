//! Output of a command that serves: it goes on when nobody reads.
//!
//! A pipe that nobody reads is full after 64 KiB, and whoever writes to it then stands still. So a
//! thread writes, and what it can't write in time is lost, and counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Bytes that wait for a reader; what does not fit any more is lost.
const BYTES_MAX: usize = 1 << 20;

/// How long a line is waited for whose predecessors were all written: so lines of both streams
/// keep their order, and a closed pipe is noticed at once.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long is waited at the end for what is left.
const END_WITHIN: Duration = Duration::from_secs(1);

/// A stream whose lines wait in a queue.
pub(super) struct Queued {
    /// Writes, and may stand still; whether that succeeded.
    write: fn(&[u8]) -> bool,
    // Protects what waits; held only to add and to take.
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    is_writing: bool,
    has_writer: bool,
    has_failed: bool,
    /// Lines that were added and lines that were written since the beginning.
    added: u64,
    written: u64,
    lost: u64,
    /// Says how many were lost, once there is somebody who reads; nothing is queued without.
    lost_text: Option<fn(u64) -> String>,
}

impl Queued {
    pub const fn new(write: fn(&[u8]) -> bool) -> Self {
        Self {
            write,
            state: Mutex::new(State {
                lines: VecDeque::new(),
                bytes: 0,
                is_writing: false,
                has_writer: false,
                has_failed: false,
                added: 0,
                written: 0,
                lost: 0,
                lost_text: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// From here on, lines are queued. `lost_text` says how many were lost.
    pub fn begin(&self, lost_text: fn(u64) -> String) {
        self.state.lock().lost_text = Some(lost_text);
    }

    /// Writes a line, or queues it; false if it is known that nothing can be written.
    pub fn put(&'static self, line: &[u8]) -> bool {
        let mut state = self.state.lock();
        let is_idle = state.lines.is_empty() && !state.is_writing;
        if is_idle && state.lost_text.is_none() {
            drop(state);
            return (self.write)(line);
        }
        if !state.has_writer {
            let writer = std::thread::Builder::new()
                .name("distflow-output".into())
                .spawn(|| self.write_on());
            if writer.is_err() {
                drop(state);
                return (self.write)(line);
            }
            state.has_writer = true;
        }
        if state.bytes + line.len() > BYTES_MAX && !is_idle {
            state.lost += 1;
            return !state.has_failed;
        }
        state.add(line.to_vec());
        self.changed.notify_all();
        if is_idle {
            let own = state.added;
            self.until(&mut state, PATIENCE, |state| state.written >= own);
        }
        !state.has_failed
    }

    /// Ends the queueing, when what waits is written or a second is over; whether all was written.
    pub fn end(&self) -> bool {
        let mut state = self.state.lock();
        if state.lost_text.is_none() {
            return true;
        }
        let is_done = |state: &State| state.lines.is_empty() && !state.is_writing;
        self.until(&mut state, END_WITHIN, is_done);
        state.lost_text = None;
        let (lost, has_failed) = (
            std::mem::take(&mut state.lost),
            std::mem::take(&mut state.has_failed),
        );
        is_done(&state) && lost == 0 && !has_failed
    }

    fn until(
        &self,
        state: &mut parking_lot::MutexGuard<'_, State>,
        limit: Duration,
        is_so: impl Fn(&State) -> bool,
    ) {
        let deadline = Instant::now() + limit;
        while !is_so(state) && !self.changed.wait_until(state, deadline).timed_out() {}
    }

    /// The life of the thread that writes.
    fn write_on(&self) {
        let mut state = self.state.lock();
        loop {
            let Some(line) = state.next() else {
                self.changed.wait(&mut state);
                continue;
            };
            state.is_writing = true;
            drop(state);
            let is_written = (self.write)(&line);
            state = self.state.lock();
            state.is_writing = false;
            state.has_failed |= !is_written;
            state.written += 1;
            self.changed.notify_all();
        }
    }
}

impl State {
    fn add(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back(line);
        self.added += 1;
    }

    /// The next line; after those that waited, how many were lost.
    fn next(&mut self) -> Option<Vec<u8>> {
        if self.lines.is_empty()
            && self.lost > 0
            && let Some(text) = self.lost_text
        {
            let text = text(std::mem::take(&mut self.lost));
            self.add(text.into_bytes());
        }
        let line = self.lines.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    /// Held by a test while nobody reads.
    static READER: Mutex<()> = Mutex::new(());

    static TESTED: Queued = Queued::new(|line| {
        let _reads = READER.lock();
        WRITTEN.lock().write_all(line).is_ok()
    });

    #[test]
    fn what_nobody_reads_is_bounded_and_counted() {
        let text = || String::from_utf8(std::mem::take(&mut *WRITTEN.lock())).unwrap_or_default();
        assert!(TESTED.put(b"before\n"));
        assert_eq!(text(), "before\n");
        TESTED.begin(|lost| format!("{lost} lost\n"));
        assert!(TESTED.put(b"a\n"));
        // The longest wait for a line is over long before the limit of a test.
        TESTED.until(&mut TESTED.state.lock(), Duration::from_secs(60), |state| {
            state.written == 1
        });
        assert_eq!(text(), "a\n");

        let nobody_reads = READER.lock();
        let line = [b'x'; 1 << 10];
        for _ in 0..2_000 {
            assert!(TESTED.put(&line));
        }
        let waiting = TESTED.state.lock().bytes;
        assert!(waiting <= BYTES_MAX && waiting > BYTES_MAX - 2 * line.len());
        drop(nobody_reads);
        assert!(TESTED.put(b"last\n"));
        TESTED.until(&mut TESTED.state.lock(), Duration::from_secs(60), |state| {
            state.lines.is_empty() && state.lost == 0 && !state.is_writing
        });
        let text = text();
        let (rest, lost) = text.rsplit_once('x').unwrap_or_default();
        let written = (rest.len() + 1) / line.len();
        let lost: usize = lost
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .unwrap_or_default();
        // The last line may have been one too many, too.
        let last = usize::from(text.contains("last"));
        assert_eq!(written + lost, 2_000 + 1 - last);
        assert!(TESTED.end());
    }
}
