//! The only way in which a test waits for something that it can't read from a socket.

use std::time::{Duration, Instant};

/// How long a test waits for what must happen. Generous: it only bounds a failing run.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Asks again and again until the answer is yes; `false` when the limit passed first.
#[must_use]
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    const PAUSE: Duration = Duration::from_millis(2);
    let deadline = Instant::now() + limit;
    while !done() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(PAUSE);
    }
    true
}
