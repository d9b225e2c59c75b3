//! Printing that survives a closed pipe, which `println!` does not.

use std::io::Write;

/// Prints text to standard output as it is.
pub(super) fn out_text(text: &str) {
    let mut out = std::io::stdout().lock();
    // Who closed the pipe does not want the rest.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a line to standard output.
pub(super) fn out_line(line: &str) {
    out_text(&format!("{line}\n"));
}

/// Prints a line to standard error.
pub(super) fn err_line(line: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(format!("{line}\n").as_bytes());
}
