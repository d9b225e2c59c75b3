//! Finding and launching a PMD.
//!
//! Exactly one wins: the port's `bind` decides, and whoever loses connects to the winner. What
//! is launched is a launcher, `<argv> pmd start --daemon`, which starts the detached daemon,
//! waits until the port answers and ends. So the caller has nothing to reap later and needs no
//! sleep.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::pmd::client::PmdClient;
use crate::pmd::places::{Places, is_executable};

/// Environment variable with the path of the executable to launch.
pub const EXECUTABLE_VARIABLE: &str = "DISTFLOW_PMD";

/// The command that runs the distflow command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    argv: Vec<OsString>,
}

impl Launcher {
    /// A given command, to which `pmd start …` is appended.
    pub fn new(argv: Vec<OsString>) -> Result<Self> {
        if argv.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the launcher command is empty",
            ));
        }
        Ok(Self { argv })
    }

    /// A program at a path, to which `pmd start …` is appended.
    ///
    /// Errors: `pmd_launch_failed` when there is no executable file.
    pub fn executable(path: &Path) -> Result<Self> {
        if is_executable(path) {
            return Ok(Self::of(path));
        }
        Err(Error::new(
            ErrorKind::PmdLaunchFailed,
            format!("'{}' is no executable file", path.display()),
        ))
    }

    /// A program that is known to be there.
    pub(super) fn of(path: &Path) -> Self {
        Self {
            argv: vec![path.into()],
        }
    }

    /// The first that exists: `DISTFLOW_PMD`; the host's own command; this program if it is
    /// `distflow`; `distflow` beside the library or in `../bin` of it; `distflow` beside this
    /// program; `distflow` on the search path.
    ///
    /// Errors: `pmd_launch_failed` when there is none.
    pub fn find(host: Option<&Launcher>) -> Result<Self> {
        Self::search(host)?.ok_or_else(Self::none_found)
    }

    /// Like [`Launcher::find`]; `None` when there is none.
    ///
    /// Errors: `pmd_launch_failed` when `DISTFLOW_PMD` names no executable file. Who set it
    /// would not expect another program to be taken.
    pub fn search(host: Option<&Launcher>) -> Result<Option<Self>> {
        Places::of_this_process().search(host)
    }

    /// The error that says that [`Launcher::search`] found nothing, and what can be done.
    pub fn none_found() -> Error {
        Error::new(
            ErrorKind::PmdLaunchFailed,
            format!(
                "no PMD answers, and no `distflow` program was found to launch one; start one \
                 with `distflow pmd start`, set {EXECUTABLE_VARIABLE} to the program's path, or \
                 let this process serve as the PMD with the option `embed_pmd`"
            ),
        )
    }

    /// The command, without arguments of its own yet.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]);
        command
    }

    /// Launches a detached PMD on loopback and returns when the port answers. Blocks up to 4 s.
    ///
    /// Errors: `pmd_launch_failed`, which names the command, also when there is no such
    /// program.
    pub fn launch(&self, port: u16, auto_shutdown_ms: u64) -> Result<()> {
        let failed = |what: String| Error::new(ErrorKind::PmdLaunchFailed, what);
        let name = self.argv[0].to_string_lossy().into_owned();
        let mut child = self
            .command()
            .args(["pmd", "start", "--daemon", "--port", &port.to_string()])
            .args(["--auto-shutdown-ms", &auto_shutdown_ms.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("cannot run '{name}': {error}")))?;
        let mut stderr = String::new();
        if let Some(pipe) = child.stderr.take() {
            // The launcher ends within its own time limit, so this does as well.
            let _ = pipe.take(4_096).read_to_string(&mut stderr);
        }
        match child.wait() {
            Ok(status) if status.success() => match PmdClient::connect("localhost", port) {
                Ok(_) => Ok(()),
                Err(error) => Err(failed(format!(
                    "'{name} pmd start --daemon' ended, but no PMD answers on port {port}"
                ))
                .because(error)),
            },
            Ok(status) => Err(failed(format!(
                "'{name} pmd start --daemon' failed ({status}): {}",
                stderr.trim()
            ))),
            Err(error) => Err(failed(format!("cannot wait for '{name}': {error}"))),
        }
    }
}

/// The line by which a daemon tells its launcher that it serves.
pub const READY_LINE: &str = "PMD started on port ";

/// Starts `command` as a detached daemon and waits until it says that it serves, or until
/// another PMD answers on the port. Used by `distflow pmd start --daemon`.
///
/// The daemon has its own session, no terminal and `/` as its folder, so it outlives its
/// parent and pins nothing. Its standard output is a pipe until the ready line.
pub fn spawn_daemon(mut command: Command, port: u16) -> Result<u16> {
    let failed = |what: String| Error::new(ErrorKind::PmdLaunchFailed, what);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir("/");
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // SAFETY: setsid and umask are async-signal-safe and touch no memory of ours.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::umask(0o077);
                Ok(())
            });
        }
    }
    let mut child = command
        .spawn()
        .map_err(|error| failed(format!("cannot start the daemon: {error}")))?;
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let lines = stdout.map(|pipe| BufReader::new(pipe).lines());
    for line in lines.into_iter().flatten().map_while(|line| line.ok()) {
        if let Some(port) = line.strip_prefix(READY_LINE) {
            return port
                .trim()
                .parse()
                .map_err(|_| failed(format!("the daemon said '{line}'")));
        }
    }
    let mut text = String::new();
    if let Some(pipe) = stderr {
        let _ = pipe.take(4_096).read_to_string(&mut text);
    }
    let _ = child.wait();
    match await_winner(port) {
        Ok(()) => Ok(port),
        Err(error) if error.kind() == ErrorKind::NotPmd => Err(error),
        Err(_) => Err(failed(text.trim().to_owned())),
    }
}

/// Waits for who won the race for the port, or a stranger that holds it: whoever answers
/// decides. The winner of a moment ago may not listen yet.
pub(crate) fn await_winner(port: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_millis(limits::HANDSHAKE_TIMEOUT_MS);
    loop {
        match PmdClient::connect("localhost", port) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotPmd || Instant::now() >= deadline => {
                return Err(error);
            }
            Err(_) => std::thread::sleep(Duration::from_millis(limits::RECONNECT_MS_MIN / 5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_missing_is_named_by_launch() {
        let launcher = Launcher::new(vec!["/nonexistent/distflow".into()]).unwrap();
        let error = launcher.launch(1, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PmdLaunchFailed);
        assert!(error.to_string().contains("'/nonexistent/distflow'"));
    }

    #[test]
    fn the_error_names_every_way_out() {
        let text = Launcher::none_found().to_string();
        for way in ["distflow pmd start", EXECUTABLE_VARIABLE, "embed_pmd"] {
            assert!(text.contains(way), "{text}");
        }
    }
}
