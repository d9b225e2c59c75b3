//! From the library's threads to user code: queues that wake, and the callback thread.
//!
//! The only code that calls user code. Never does so under a lock or on a network thread.

mod callbacks;
mod inbox;

pub use callbacks::{Callbacks, Handler};
pub use inbox::{Inbox, RecvError, Wakeups};
