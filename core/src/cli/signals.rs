//! SIGINT and SIGTERM as an ordinary event, without signal handlers.

/// Calls `stop` on a thread of its own at the first SIGINT or SIGTERM; a second one ends the
/// process. To be called before
/// other threads are started, because they inherit which signals are held back.
#[cfg(unix)]
pub(super) fn on_terminate(stop: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initializes the set that the other calls read.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        set.assume_init()
    };
    std::thread::Builder::new()
        .name("distflow-signals".into())
        .spawn(move || {
            let mut signal = 0;
            // SAFETY: both pointers are valid for the call.
            if unsafe { libc::sigwait(&set, &mut signal) } == 0 {
                // From here on a signal does what it does by default: end the process.
                // SAFETY: the set is valid for the call.
                unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) };
                stop();
                loop {
                    std::thread::park();
                }
            }
        })
        .map(drop)
}

/// Elsewhere the platform's own handling ends the process.
#[cfg(not(unix))]
pub(super) fn on_terminate(_stop: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    Ok(())
}
