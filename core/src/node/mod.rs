//! A node: sockets and tasks around `node_state`.
//!
//! Each task owns one socket. Whatever happens is told to the state machine under its lock,
//! and what it asks for is carried out; see `shared`.

mod addresses;
mod events;
mod handle;
mod inbound;
mod known;
mod link;
mod options;
mod registry;
mod shared;

pub use events::{EventStream, Sending};
pub use handle::{Node, Stats};
pub use inbound::Message;
pub use options::{NodeBuilder, NodeOptions};
