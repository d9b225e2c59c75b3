//! The clocks, as sessions are told of them.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::session::date::{LocalTime, Moment};

/// What time it is: monotonic, and as a wall clock shows it here.
pub fn moment() -> Moment {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = ORIGIN.get_or_init(Instant::now);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let offset_s = offset_s(since.as_secs());
    Moment {
        // From 1 on: 0 is before everything.
        mono_ms: origin.elapsed().as_millis() as u64 + 1,
        local: LocalTime(since.as_micros() as i64 + i64::from(offset_s) * 1_000_000),
        offset_s,
    }
}

/// Seconds by which local time is ahead of UTC at a time.
fn offset_s(unix_s: u64) -> i32 {
    let unix_s = unix_s as libc::time_t;
    let mut broken_down = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: Both point to what they should for the time of the call.
    let filled = unsafe { libc::localtime_r(&raw const unix_s, broken_down.as_mut_ptr()) };
    if filled.is_null() {
        return 0;
    }
    // SAFETY: All zero is a valid `tm`, and `localtime_r` has filled it.
    unsafe { broken_down.assume_init() }.tm_gmtoff as i32
}
