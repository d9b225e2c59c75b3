//! distflow: Erlang-style nodes for any process.
//!
//! A process starts one [`Node`]; the node finds or launches the PMD (port mapper daemon, TCP
//! 4369), registers an alias, and then sends fire-and-forget messages to aliases, and sees
//! peers join and leave. A host process can embed the PMD itself: [`Pmd`].
//!
//! ```no_run
//! # async fn example() -> distflow_core::Result<()> {
//! use distflow_core::Node;
//!
//! let node = Node::builder().alias("greeter").start().await?;
//! node.on_message(|message| println!("{}: {}", message.from, message.payload.as_str()))?;
//! node.send("greeter", &serde_json::json!({"hello": "world"})).await?;
//! node.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What is promised, and what is not, is in `docs/guarantees.md`; the layers are in
//! `ARCHITECTURE.md`. The state machines ([`registry`], [`node_state`], [`mailbox`]) and the
//! wire format ([`wire`]) are public for simulators and tools; their API may change with any
//! version.

#[doc(hidden)]
pub mod canary;
#[cfg(feature = "cli")]
pub mod cli;
pub mod crdt;
pub mod dispatch;
pub mod error;
pub mod fork;
pub mod ids;
pub mod interchange;
pub mod json_crdt;
pub mod limits;
mod lockfile;
pub mod log;
mod loopback;
pub mod mailbox;
#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod names;
pub mod net;
pub mod node;
pub mod node_state;
mod park;
#[doc(hidden)]
pub mod plant;
pub mod pmd;
pub mod registry;
mod runtime;
pub mod session;
#[cfg(feature = "mqtt")]
pub mod sessions;
pub mod storage;
#[doc(hidden)]
pub mod threads;
pub mod time;
pub mod wire;

pub use error::{Error, ErrorKind, Result};
pub use json_crdt::JsonCrdt;
pub use mailbox::{MailboxConfig, Overflow};
pub use node::{EventStream, Message, Node, NodeBuilder, NodeOptions, Sending, Stats};
pub use node_state::NodeEvent;
pub use pmd::{Interrupter, Launcher, Pmd, PmdClient, PmdEvent, PmdNotice, PmdOptions};
#[cfg(unix)]
pub use runtime::Readable;
pub use runtime::{Handle as RuntimeHandle, User as RuntimeUser, spawn, wait};
pub use wire::peer::Payload;
pub use wire::pmd::{LeaveCause, NodeInfo};

/// Version of this package, the same for every language.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
