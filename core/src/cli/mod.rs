//! The command line: [`run`] maps arguments to an exit code.
//!
//! The npm and pip packages call the same function, so nothing here ends the process or
//! assumes to own it, except that `pmd start` and `node run` watch for signals while they run.
//! What an original program printed is printed to the letter (pmd.md 11-12).

mod args;
mod broker;
mod demo;
mod node;
mod output;
mod pmd;
mod process;
mod session;
mod session_demo;
mod signals;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use args::{Cli, Command};
use output::{err_line, out_line};

/// Runs the command line and returns the exit code: 0 on success, 1 on failure. The first
/// argument is the program's name.
pub fn run<I, T>(arguments: I) -> u8
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    output::begin();
    let code = run_command(arguments.into_iter().map(Into::into).collect());
    if code == 0 && !output::is_whole() {
        return 1;
    }
    code
}

fn run_command(arguments: Vec<OsString>) -> u8 {
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return args::report(&error, &arguments),
    };
    if let Err(why) = start_logging(cli.log.as_deref()) {
        err_line(&why);
        return 1;
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

/// Logs go to standard error: `--log`, then `RUST_LOG`, then `LOG_LEVEL`; off without any.
fn start_logging(level: Option<&str>) -> Result<(), String> {
    if let Some(level) = level {
        return log_to_stderr(level);
    }
    let variable = |name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((name, value.to_lowercase()))
    };
    if let Some((name, value)) = variable("RUST_LOG").or_else(|| variable("LOG_LEVEL"))
        && let Err(problem) = log_to_stderr(&value)
    {
        // Meant for another program, perhaps: other libraries have other levels.
        err_line(&format!("{name} is ignored: {problem}"));
    }
    Ok(())
}

fn log_to_stderr(filter: &str) -> Result<(), String> {
    // The originals' name for "nothing".
    let filter = if filter == "silent" { "off" } else { filter };
    let is_level = filter.parse::<LevelFilter>().is_ok();
    match filter.parse::<Targets>() {
        // A word that is no level would silently be taken for the name of a target.
        Ok(targets) if is_level || filter.contains('=') => {
            let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            // A host program may have a subscriber of its own, which then stays.
            let _ = tracing_subscriber::registry()
                .with(layer.with_filter(targets))
                .try_init();
            Ok(())
        }
        _ => Err(format!(
            "log level '{filter}' is not understood; use error, warn, info, debug, trace or off, \
             or pairs of target=level"
        )),
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
