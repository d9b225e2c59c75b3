//! The PMD: the daemon around the registry, the client of its protocol, and how one is found
//! or launched.

mod client;
mod conn;
mod control;
mod daemon;
mod descriptors;
mod embedded;
mod launch;
mod options;
mod output;
mod places;
mod reap;
mod server;
mod takeover;

pub(crate) use launch::await_winner;

pub use client::{Interrupter, PmdClient, PmdEvent};
pub use control::Control;
pub use daemon::{Daemon, READY_LINE, spawn_daemon};
pub use embedded::{Pmd, PmdNotice};
pub use launch::{EXECUTABLE_VARIABLE, LAUNCHED_VARIABLE, Launcher, is_launched};
pub use options::PmdOptions;
#[cfg(feature = "cli")]
pub use places::{own_command, set_own_command};
pub use server::{Server, ServerNotice};
