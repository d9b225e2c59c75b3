//! The command line inside Node, and what the package says of itself.

use napi_derive::napi;

/// Runs the command line and returns its exit code; `own` is the command that runs it again.
/// Blocks; only for a process that does nothing else.
#[napi(catch_unwind)]
pub fn run_cli(arguments: Vec<String>, own: Vec<String>) -> u8 {
    distflow_core::cli::run_hosted(arguments, own)
}

/// The version of the addon.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    distflow_core::VERSION
}
