//! A PMD in a process of its own, to measure it, to limit it and to kill it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::child::Child;

/// A process with nothing but an embedded PMD, from `src/bin/embedded_pmd.rs`.
#[derive(Debug)]
pub struct PmdProcess {
    child: Child,
    port: u16,
}

impl PmdProcess {
    /// Starts it with options as `name=value`. `program` is `env!("CARGO_BIN_EXE_embedded_pmd")`
    /// of the test.
    pub fn start(program: &str, options: &[&str]) -> Self {
        Self::start_with_files(program, options, None)
    }

    /// Starts it with a limit on its file descriptors.
    pub fn start_with_files(program: &str, options: &[&str], files_max: Option<u64>) -> Self {
        let mut command = Command::new(program);
        command.args(options);
        if let Some(files_max) = files_max {
            let limit = libc::rlimit {
                rlim_cur: files_max,
                rlim_max: files_max,
            };
            // SAFETY: setrlimit is async-signal-safe and reads a value the closure owns.
            unsafe {
                command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                });
            }
        }
        let child = Child::spawn(command);
        let port = child.line_after("port ").parse().expect("no port number");
        Self { child, port }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}
