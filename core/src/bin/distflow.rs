//! The `distflow` program: arguments to the library's command line, its exit code back.

fn main() -> std::process::ExitCode {
    distflow_core::cli::run_as_program(std::env::args_os()).into()
}
