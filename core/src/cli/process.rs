//! Other processes of this command line.

use std::process::Command;

use crate::error::Result;
use crate::pmd::Launcher;

/// This command line, to be run as another process.
pub(super) fn own_command() -> Result<Command> {
    match std::env::current_exe() {
        Ok(program) if program.file_stem().is_some_and(|stem| stem == "distflow") => {
            Ok(Command::new(program))
        }
        // Within a host process, whatever would be launched as the PMD.
        _ => Ok(Launcher::find(None)?.command()),
    }
}
