//! Planted bugs: with the feature `plants`, a test switches one on and shows that it is found.
//!
//! Without the feature, [`active`] is a constant `false` and the planted lines vanish.

#[cfg(feature = "plants")]
mod switch {
    use std::cell::Cell;

    thread_local! {
        static PLANT: Cell<&'static str> = const { Cell::new("") };
    }

    /// Switches one planted bug on for this thread; an empty name switches it off.
    pub fn set(name: &'static str) {
        PLANT.with(|plant| plant.set(name));
    }

    /// Whether the planted bug of that name is on.
    pub fn active(name: &str) -> bool {
        PLANT.with(|plant| plant.get() == name)
    }
}

#[cfg(feature = "plants")]
pub use switch::{active, set};

/// Fails unless a test fails while a planted bug is on.
#[cfg(all(test, feature = "plants"))]
pub(crate) fn turns_red(name: &'static str, test: impl FnOnce()) {
    set(name);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
    set("");
    assert!(outcome.is_err(), "{name} leaves its test green");
}

/// Whether the planted bug of that name is on.
#[cfg(not(feature = "plants"))]
#[inline(always)]
pub const fn active(_name: &str) -> bool {
    false
}
