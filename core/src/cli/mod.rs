//! The command line: [`run`] maps arguments to an exit code.
//!
//! The npm and pip packages call the same function, so nothing here ends the process or
//! assumes to own it, except that `pmd start` and `node run` watch for signals while they run.
//! What an original program printed is printed to the letter (pmd.md 11-12).

mod args;
mod broker;
mod demo;
mod input;
mod logging;
mod node;
mod notify;
mod output;
mod pmd;
mod pmd_start;
mod process;
mod queued;
mod session;
mod session_demo;
mod session_input;
mod signals;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use args::{Cli, Command};
use output::out_line;

/// Runs the command line as the `distflow` program: this executable is what a PMD or a demo's
/// processes are started with.
pub fn run_as_program(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    if let Ok(program) = std::env::current_exe() {
        crate::pmd::set_own_command(vec![program.into()]);
    }
    run(arguments)
}

/// Runs the command line within an interpreter that was told to do nothing else. `own` is the
/// command that does the same again; empty if there is none.
pub fn run_hosted<T: Into<OsString>>(
    arguments: impl IntoIterator<Item = T>,
    own: impl IntoIterator<Item = T>,
) -> u8 {
    crate::pmd::set_own_command(own.into_iter().map(Into::into).collect());
    run(arguments.into_iter().map(Into::into))
}

/// Runs the command line and returns the exit code: 0 on success, 1 on failure. The first
/// argument is the program's name.
pub fn run<I, T>(arguments: I) -> u8
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    output::begin();
    let code = run_command(arguments.into_iter().map(Into::into).collect());
    output::end();
    if code == 0 && !output::is_whole() {
        return 1;
    }
    code
}

fn run_command(arguments: Vec<OsString>) -> u8 {
    let matches = match Cli::command().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => return args::report(&error, &arguments),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return args::report(&error, &arguments),
    };
    if let Some(why) = args::without_effect(&matches) {
        args::print_wrong(why, &arguments);
        return output::WRONG_USE;
    }
    if let Err(why) = logging::start(cli.place.log.as_deref(), &cli.place.log_format) {
        args::print_wrong(why, &arguments);
        return output::WRONG_USE;
    }
    let Some(command) = cli.command else {
        out_line(&Cli::command().render_help().to_string());
        return 0;
    };
    let place = cli.place;
    match command {
        Command::Pmd(command) => pmd::run(command, &place),
        Command::Node(command) => node::run(command, &place),
        Command::Demo(options) => demo::run(&options),
        Command::Session(command) => session::run(command, place.json),
        Command::Broker(command) => broker::run(&command, place.json),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "distflow", &mut script);
            out_line(String::from_utf8_lossy(&script).trim_end());
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
