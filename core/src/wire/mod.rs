//! Frames and messages: bytes to values and back, nothing else.
//!
//! Owns the byte format of `docs/wire.md`. Never does I/O, never keeps state between frames
//! except in the value the caller holds.

pub mod frame;
pub mod json;
pub mod peer;
pub mod pmd;
