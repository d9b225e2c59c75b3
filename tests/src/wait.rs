//! The only way in which a test waits for something that it can't read from a socket; and ports.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
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

/// A port that nobody listens on, and that nobody is given by chance: it is below those that the
/// system hands out.
pub fn free_port() -> u16 {
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = 20_000 + (random % 12_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
