//! The PMD: the daemon around the registry, the client of its protocol, and how one is found
//! or launched.

mod client;
mod conn;
mod control;
mod embedded;
mod launch;
mod options;
mod places;
mod server;

pub(crate) use launch::await_winner;

pub use client::{Interrupter, PmdClient, PmdEvent};
pub use control::Control;
pub use embedded::{Pmd, PmdNotice};
pub use launch::{EXECUTABLE_VARIABLE, Launcher, READY_LINE, spawn_daemon};
pub use options::PmdOptions;
pub use server::{Server, ServerNotice};
