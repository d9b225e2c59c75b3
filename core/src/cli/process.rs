//! Other processes of this command line.

use std::process::Command;

use crate::error::Result;
use crate::pmd::{Launcher, own_command as known_command};

/// This command line, to be run as another process.
pub(super) fn own_command() -> Result<Command> {
    match known_command() {
        Some(own) => Ok(own.command()),
        // Within a host process, whatever would be launched as the PMD.
        None => Ok(Launcher::find(None)?.command()),
    }
}
