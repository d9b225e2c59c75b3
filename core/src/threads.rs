//! The one place that starts threads of the library.
//!
//! Signals are for the host's threads. A host that blocks one in its threads, to read it from a
//! descriptor or with `sigwait`, would be ended by it if one thread of the library took it. So
//! the library's threads block every signal but those that a fault of the thread itself raises.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread of the library, for which every signal is blocked from its first instruction
/// on. Threads and processes that it starts inherit that.
///
/// Errors: those of the system, when it has no room for a thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let _blocked = Blocked::new();
    Builder::new().name(name.to_owned()).spawn(run)
}

/// Blocks the signals of the current thread for good, one that a library has made.
pub fn block_signals() {
    std::mem::forget(Blocked::new());
}

/// Signals are blocked in the current thread while this lives, so that threads which are started
/// meanwhile inherit it.
pub(crate) struct Blocked {
    #[cfg(unix)]
    before: libc::sigset_t,
}

impl Blocked {
    #[cfg(unix)]
    pub fn new() -> Self {
        // SAFETY: the sets are plain data that the calls fill in before they are read.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
                libc::sigdelset(&raw mut all, fault);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Self { before }
        }
    }

    #[cfg(not(unix))]
    pub fn new() -> Self {
        Self {}
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        #[cfg(unix)]
        // SAFETY: the set was filled in by the call that blocked the signals.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            );
        }
    }
}

/// Bytes of stack that are left to the current thread. 0 where it runs on a stack of its own
/// making, whose end nobody knows.
pub(crate) fn stack_left() -> usize {
    let here = 0u8;
    let here = (&raw const here) as usize;
    let (low, high) = bounds();
    if (low..high).contains(&here) {
        here - low
    } else {
        0
    }
}

/// Lowest and highest address of the current thread's stack, asked for once a thread: for the
/// main thread the system's library reads a file.
fn bounds() -> (usize, usize) {
    thread_local! {
        static BOUNDS: std::cell::Cell<Option<(usize, usize)>> = const { std::cell::Cell::new(None) };
    }
    BOUNDS
        .try_with(std::cell::Cell::get)
        .ok()
        .flatten()
        .unwrap_or_else(|| {
            let bounds = ask_bounds();
            let _ = BOUNDS.try_with(|known| known.set(Some(bounds)));
            bounds
        })
}

#[cfg(target_os = "linux")]
fn ask_bounds() -> (usize, usize) {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::zeroed();
    let (mut low, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the first call fills in the attributes that the others read, and that the last one
    // gives back.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return (0, 0);
        }
        libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
    }
    (low as usize, low as usize + size)
}

/// Elsewhere every stack counts as large.
#[cfg(not(target_os = "linux"))]
fn ask_bounds() -> (usize, usize) {
    (0, usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_that_is_left_is_known() {
        for bytes in [256 << 10, 4 << 20] {
            let thread = Builder::new().stack_size(bytes).spawn(stack_left);
            let left = thread.unwrap().join().unwrap();
            // The system may round up, and has put a little on it already.
            assert!(
                left > bytes / 2 && left <= bytes + (64 << 10),
                "{left} of {bytes}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn threads_of_the_library_block_signals_and_their_starter_does_not() {
        let blocked = |signal| {
            // SAFETY: the set is filled in by the call, which changes nothing.
            unsafe {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &raw mut set);
                libc::sigismember(&raw const set, signal) == 1
            }
        };
        let look =
            move || [libc::SIGTERM, libc::SIGCHLD, libc::SIGUSR1, libc::SIGSEGV].map(blocked);
        let thread = spawn("test", look).unwrap();
        assert_eq!(thread.join().unwrap(), [true, true, true, false]);
        assert_eq!(look(), [false; 4]);
    }
}
