//! Noticing `fork`: threads and runtimes do not survive it, sockets do.
//!
//! A child that has no use for its parent's sockets would keep them open after the parent's
//! death, and nobody would notice that death. So the child closes them right away.

use std::sync::atomic::{AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Changes in a child process. Compare with the value taken when something was made.
pub fn generation() -> u64 {
    install();
    GENERATION.load(Ordering::Relaxed)
}

#[cfg(unix)]
mod unix {
    use std::os::fd::RawFd;
    use std::sync::Once;
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::GENERATION;

    /// Sockets to close in a child. A lock-free table, because a child may find any lock held
    /// by a thread that it does not have. More sockets than this are inherited, as they would
    /// be without it.
    const SLOTS: usize = 4_096;
    const FREE: RawFd = -1;
    static SOCKETS: [AtomicI32; SLOTS] = [const { AtomicI32::new(FREE) }; SLOTS];

    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        for slot in &SOCKETS {
            let fd = slot.swap(FREE, Ordering::Relaxed);
            if fd != FREE {
                // SAFETY: close is async-signal-safe; the objects that own these descriptors
                // are never touched or dropped in the child (every entry checks first).
                unsafe { libc::close(fd) };
            }
        }
    }

    pub fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: the handler only uses atomics and async-signal-safe calls. A failure
            // leaves fork unnoticed, which is what it would be without us.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
    }

    /// Keeps a socket in the table while it lives.
    #[derive(Debug)]
    pub struct CloseInChild(Option<usize>, RawFd);

    impl CloseInChild {
        /// Enters the socket; does nothing when the table is full.
        pub fn new(fd: RawFd) -> Self {
            let free = |slot: &AtomicI32| {
                slot.compare_exchange(FREE, fd, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            };
            // Starting at the descriptor's own number makes the search one step as a rule.
            let start = fd.unsigned_abs() as usize;
            let slot = (0..SLOTS)
                .map(|step| (start + step) % SLOTS)
                .find(|&slot| free(&SOCKETS[slot]));
            Self(slot, fd)
        }
    }

    impl Drop for CloseInChild {
        fn drop(&mut self) {
            if let Some(slot) = self.0 {
                let _ = SOCKETS[slot].compare_exchange(
                    self.1,
                    FREE,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
        }
    }
}

#[cfg(unix)]
pub use unix::CloseInChild;
#[cfg(unix)]
use unix::install;

#[cfg(not(unix))]
fn install() {}
