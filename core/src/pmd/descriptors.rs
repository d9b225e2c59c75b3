//! How many file descriptors this process may have, and raising that.

/// The soft and the hard limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// As many may be open.
    pub soft: u64,
    /// As far may the soft limit be raised.
    pub hard: u64,
}

impl Descriptors {
    /// The limits now; `None` where there are none.
    #[cfg(unix)]
    pub fn now() -> Option<Self> {
        let mut both = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the struct is valid for the call, which fills it in.
        let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut both) } == 0;
        known.then_some(Self {
            soft: both.rlim_cur,
            hard: both.rlim_max,
        })
    }

    /// Raises the soft limit so that `wanted` can be open, or as far as that is allowed. It is
    /// never lowered.
    #[cfg(unix)]
    pub fn raise(wanted: u64) -> Option<Self> {
        let now = Self::now()?;
        let soft = wanted.min(now.hard).max(now.soft);
        let both = libc::rlimit {
            rlim_cur: soft,
            rlim_max: now.hard,
        };
        // SAFETY: the struct is valid for the call, which only reads it.
        if soft > now.soft && unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const both) } != 0
        {
            let error = std::io::Error::last_os_error();
            tracing::warn!(%error, soft, "the limit of file descriptors can't be raised");
        }
        Self::now()
    }

    #[cfg(not(unix))]
    pub fn now() -> Option<Self> {
        None
    }

    #[cfg(not(unix))]
    pub fn raise(_wanted: u64) -> Option<Self> {
        None
    }
}
