//! Collecting a daemon that has ended, where this process has become its parent.
//!
//! A daemon outlives the launcher that started it, and then belongs to process 1 or to the
//! nearest subreaper. In a container that can be the very program that opened a node, which
//! knows nothing of the daemon and would keep it as a zombie.

use parking_lot::Mutex;

/// Process ids of daemons that could not be watched, to be looked at before the next launch.
///
/// The lock protects only the list.
static LEFT: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Has a daemon's exit status taken when it ends, without blocking anyone. Does nothing when
/// this process is not its parent.
pub(super) fn when_ended(pid: i32) {
    if unix::take_status(pid) == Status::Running && !unix::watch(pid) {
        LEFT.lock().push(pid);
    }
}

/// Takes the exit statuses of ended daemons that could not be watched.
pub(super) fn collect_left() {
    LEFT.lock()
        .retain(|&pid| unix::take_status(pid) == Status::Running);
}

#[derive(PartialEq, Eq)]
enum Status {
    /// It is a child of this process and runs.
    Running,
    /// It has ended, or is no child of this process.
    Gone,
}

#[cfg(target_os = "linux")]
mod unix {
    use std::os::fd::{FromRawFd, OwnedFd};

    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::Status;
    use crate::runtime::Handle;

    pub(super) fn take_status(pid: i32) -> Status {
        if pid <= 0 {
            return Status::Gone;
        }
        // SAFETY: a null status is allowed, and WNOHANG never waits.
        match unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) } {
            0 => Status::Running,
            _ => Status::Gone,
        }
    }

    /// Waits for the end on the library's runtime. False when the system can't do that.
    pub(super) fn watch(pid: i32) -> bool {
        // SAFETY: the call takes two numbers and gives a new descriptor, or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let Ok(fd @ 0..) = i32::try_from(fd) else {
            return false;
        };
        // SAFETY: the descriptor is new, and nobody else has it. It is closed on exec.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let Ok(runtime) = Handle::current() else {
            return false;
        };
        let _entered = runtime.enter();
        // SAFETY: an owned descriptor is the same one until it is dropped, and is not closed before.
        let Ok(fd) = (unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }) else {
            return false;
        };
        // It ends with the daemon, or with this process.
        drop(runtime.spawn(async move {
            // Readable when the process has ended.
            let _ = fd.readable().await;
            take_status(pid);
        }));
        true
    }
}

#[cfg(not(target_os = "linux"))]
mod unix {
    use super::Status;

    #[cfg(unix)]
    pub(super) fn take_status(pid: i32) -> Status {
        if pid <= 0 {
            return Status::Gone;
        }
        // SAFETY: a null status is allowed, and WNOHANG never waits.
        match unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) } {
            0 => Status::Running,
            _ => Status::Gone,
        }
    }

    #[cfg(not(unix))]
    pub(super) fn take_status(_pid: i32) -> Status {
        Status::Gone
    }

    pub(super) fn watch(_pid: i32) -> bool {
        false
    }
}
