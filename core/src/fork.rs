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
    use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

    use super::GENERATION;

    /// Sockets to close in a child. A lock-free table, because a child may find any lock held
    /// by a thread that it does not have. More sockets than this are inherited, as they would
    /// be without it.
    const SLOTS: usize = 4_096;
    const FREE: RawFd = -1;
    /// Somebody is about to enter a socket.
    const TAKEN: RawFd = -2;
    static SOCKETS: [Slot; SLOTS] = [const { Slot::new() }; SLOTS];

    /// A socket, and by what it is known: once it is closed, its number may be the host's before the
    /// entry is gone.
    struct Slot {
        fd: AtomicI32,
        device: AtomicU64,
        inode: AtomicU64,
    }

    impl Slot {
        const fn new() -> Self {
            Self {
                fd: AtomicI32::new(FREE),
                device: AtomicU64::new(0),
                inode: AtomicU64::new(0),
            }
        }

        fn enter(&self, fd: RawFd) -> bool {
            let order = Ordering::Relaxed;
            if self.fd.compare_exchange(FREE, TAKEN, order, order).is_err() {
                return false;
            }
            let (device, inode) = identity(fd).unwrap_or_default();
            self.device.store(device, order);
            self.inode.store(inode, order);
            self.fd.store(fd, Ordering::Release);
            true
        }

        /// Closes the socket in a child. Only what is async-signal-safe.
        fn close(&self) {
            let fd = self.fd.swap(FREE, Ordering::Acquire);
            let order = Ordering::Relaxed;
            let entered = (self.device.load(order), self.inode.load(order));
            if fd >= 0 && identity(fd) == Some(entered) {
                // SAFETY: close is async-signal-safe; the objects that own these descriptors
                // are never touched or dropped in the child (every entry checks first).
                unsafe { libc::close(fd) };
            }
        }
    }

    /// Device and number of what a descriptor stands for; `None` when it is closed. Async-signal-safe.
    pub fn identity(fd: RawFd) -> Option<(u64, u64)> {
        let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: the struct is writable, and read only when the call has filled it in.
        unsafe {
            if libc::fstat(fd, stat.as_mut_ptr()) != 0 {
                return None;
            }
            let stat = stat.assume_init();
            // The types differ from system to system.
            #[allow(clippy::unnecessary_cast)]
            Some((stat.st_dev as u64, stat.st_ino as u64))
        }
    }

    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        SOCKETS.iter().for_each(Slot::close);
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
            // Starting at the descriptor's own number makes the search one step as a rule.
            let start = fd.unsigned_abs() as usize;
            let slot = (0..SLOTS)
                .map(|step| (start + step) % SLOTS)
                .find(|&slot| SOCKETS[slot].enter(fd));
            Self(slot, fd)
        }
    }

    impl Drop for CloseInChild {
        fn drop(&mut self) {
            if let Some(slot) = self.0 {
                let _ = SOCKETS[slot].fd.compare_exchange(
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
use unix::install;
#[cfg(unix)]
pub use unix::{CloseInChild, identity};

#[cfg(not(unix))]
fn install() {}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    /// Whether a forked child has a descriptor.
    fn child_has(fd: i32) -> bool {
        // SAFETY: the child only calls what is async-signal-safe, and ends without returning.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::_exit(i32::from(libc::fcntl(fd, libc::F_GETFD) < 0));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            status == 0
        }
    }

    #[test]
    fn a_child_closes_what_was_entered_and_leaves_alone_what_has_its_number_now() {
        generation();
        let file = File::open("/dev/zero").unwrap();
        let _entry = CloseInChild::new(file.as_raw_fd());
        assert!(!child_has(file.as_raw_fd()));
        // The library closes it, and before its entry is gone the host has the number.
        let (fd, of_host) = (file.into_raw_fd(), File::open("/dev/null").unwrap());
        // SAFETY: the number is that of a file of this test, which is closed by this.
        assert_eq!(unsafe { libc::dup2(of_host.as_raw_fd(), fd) }, fd);
        assert!(child_has(fd));
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}
