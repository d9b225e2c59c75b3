//! From the library's threads to user code: queues that wake, and the callback thread.
//!
//! The only code that calls user code. Never does so under a lock or on a network thread.

mod callbacks;
mod inbox;
#[cfg(target_os = "linux")]
mod readiness;

pub use callbacks::{Callbacks, Handler, HandlerKey};
pub use inbox::{Inbox, RecvError, Wakeups};
#[cfg(target_os = "linux")]
pub use readiness::Readiness;
