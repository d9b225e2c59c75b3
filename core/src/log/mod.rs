//! The library's `tracing` events, for a host that has no Rust subscriber for them.
//!
//! A [`Capture`] collects them into a bounded queue, from which the host takes records at its
//! own pace and on its own thread; nothing is written anywhere. Without a capture, an event
//! costs one comparison. A host with a subscriber of its own has the events already.

mod capture;
mod collector;
mod record;

pub use capture::{Capture, LogHandler, capture, on_record};
pub use collector::ignore_this_thread;
pub use record::{Level, Record};
