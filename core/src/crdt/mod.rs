//! A JSON document that replicas change at will and that is the same wherever the same operations
//! have come together, in whatever order (Shapiro et al., "Conflict-free Replicated Data Types",
//! 2011; operations and rules: json-crdt.md).
//!
//! Nothing here does I/O or has a clock: time comes in as a value.

pub(crate) mod base64;
pub mod batch;
mod codec;
pub mod document;
mod horizon;
pub mod json;
mod log;
pub mod metrics;
pub mod op;
pub mod path;
mod pending;
pub mod piece;
mod scan;
pub mod shape;
pub mod source;
pub mod stamp;
mod table;
pub mod text;
pub mod tree;
pub mod value;
pub mod watch;
