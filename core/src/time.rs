//! Time as a value: machines never read a clock, they are told what time it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A reading of both clocks, handed to every step of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic milliseconds since an arbitrary start; every deadline is on this scale.
    pub mono_ms: u64,
    /// Unix time in milliseconds; only ever displayed or sent, never compared.
    pub wall_ms: u64,
}

/// The earliest of several deadlines, of which each may be absent.
///
/// Asked for after every step; and unlike a chain of optional values, no optimisation of it makes
/// memory checkers complain of a host.
pub fn earliest<const N: usize>(deadlines_ms: [Option<u64>; N]) -> Option<u64> {
    const NEVER: u64 = u64::MAX;
    let or_never = |deadline_ms: Option<u64>| deadline_ms.unwrap_or(NEVER);
    let first = deadlines_ms.into_iter().map(or_never).fold(NEVER, u64::min);
    (first != NEVER).then_some(first)
}

/// The real clock, from which edges take their [`Now`].
///
/// Reading it costs one clock call: wall time is derived from monotonic time and set right
/// once a second.
#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    wall_at_origin_ms: AtomicU64,
    checked_at_ms: AtomicU64,
}

impl Clock {
    /// Starts the monotonic scale at zero.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            wall_at_origin_ms: AtomicU64::new(wall_ms()),
            checked_at_ms: AtomicU64::new(0),
        }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        const CHECK_MS: u64 = 1_000;
        let mono_ms = self.origin.elapsed().as_millis() as u64;
        if mono_ms >= self.checked_at_ms.load(Ordering::Relaxed) + CHECK_MS {
            self.checked_at_ms.store(mono_ms, Ordering::Relaxed);
            self.wall_at_origin_ms
                .store(wall_ms().saturating_sub(mono_ms), Ordering::Relaxed);
        }
        Now {
            mono_ms,
            wall_ms: self.wall_at_origin_ms.load(Ordering::Relaxed) + mono_ms,
        }
    }

    /// Monotonic microseconds, for what is shorter than a millisecond.
    pub fn now_us(&self) -> u64 {
        self.origin.elapsed().as_micros() as u64
    }

    /// The instant that corresponds to a monotonic reading.
    pub fn instant(&self, mono_ms: u64) -> Instant {
        self.origin + std::time::Duration::from_millis(mono_ms)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Unix time in milliseconds; 0 when the system clock is before 1970.
pub fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// ISO 8601 in UTC with milliseconds and `Z`, as JavaScript's `toISOString` writes it.
pub fn iso8601(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // Civil-from-days (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let z = days as i64 + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z",
        ms % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::iso8601;

    #[test]
    fn iso8601_matches_javascript() {
        assert_eq!(iso8601(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso8601(1_700_000_000_000), "2023-11-14T22:13:20.000Z");
        assert_eq!(iso8601(1_795_170_535_529), "2026-11-20T10:28:55.529Z");
        assert_eq!(iso8601(951_782_400_000), "2000-02-29T00:00:00.000Z");
    }
}
