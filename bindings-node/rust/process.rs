//! The command line inside Node, and what the package says of itself.

use napi_derive::napi;

/// Runs the command line and returns its exit code. Blocks; only for a process that does nothing
/// else.
#[napi(catch_unwind)]
pub fn run_cli(arguments: Vec<String>) -> u8 {
    distflow_core::cli::run(arguments)
}

/// The version of the addon.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    distflow_core::VERSION
}
