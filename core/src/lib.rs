//! distflow: Erlang-style nodes for any process.
pub mod dispatch;
pub mod error;
mod fork;
pub mod ids;
pub mod limits;
mod lockfile;
pub mod mailbox;
pub mod names;
pub mod net;
pub mod node_state;
pub mod plant;
pub mod pmd;
pub mod registry;
mod runtime;
pub mod time;
pub mod wire;
