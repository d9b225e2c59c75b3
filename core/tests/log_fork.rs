//! Log records over `fork`: a child never waits for a lock of its parent, and can start anew.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use distflow_core::ErrorKind;
use distflow_core::log::{Capture, Level, Record, capture};

const CHILDREN: u32 = 100;
/// Only bounds a run that fails.
const LIMIT_S: u32 = 30;

/// What is checked in a child; the number of the first check that fails.
fn in_child(inherited: Capture) -> Result<(), i32> {
    let check = |holds: bool, number: i32| if holds { Ok(()) } else { Err(number) };
    tracing::info!(target: "distflow_test", "for nobody");
    check(inherited.try_recv().is_none(), 1)?;
    let received = inherited.recv_timeout(Some(Duration::ZERO));
    let kind = received.err().map(|error| error.kind());
    check(kind == Some(ErrorKind::Forked), 2)?;
    check(inherited.lost() == 0, 3)?;
    drop(inherited);
    let own = capture(Level::Info).map_err(|_| 4)?;
    tracing::debug!(target: "distflow_test", "too little");
    tracing::info!(target: "distflow_test", "of the child");
    let message = own.try_recv().map(|record: Record| record.message);
    check(message.as_deref() == Some("of the child"), 5)?;
    drop(own);
    tracing::info!(target: "distflow_test", "for nobody again");
    Ok(())
}

fn fork_once(inherited: Capture) {
    // SAFETY: the child only does what this test is about, and ends without returning.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: alarm and _exit are async-signal-safe. A child that hangs is killed.
        unsafe {
            libc::alarm(LIMIT_S);
            libc::_exit(in_child(inherited).err().unwrap_or(0));
        }
    }
    let mut status = 0;
    // SAFETY: the process is our child, and the status a variable of ours.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "a child failed or hung");
}

/// Lets the other threads end, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_child_hangs_on_nothing() {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        // Keep every lock busy that a fork could find held.
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let capture = capture(Level::Info).unwrap();
                    for _ in 0..50 {
                        tracing::info!(target: "distflow_test", "of the parent");
                        let _ = capture.try_recv();
                    }
                }
            });
        }
        for _ in 0..CHILDREN {
            fork_once(capture(Level::Info).unwrap());
        }
    });
}
