//! Finding and launching a PMD.
//!
//! Exactly one wins: the port's `bind` decides, and whoever loses connects to the winner. What
//! is launched is a launcher, `<argv> pmd start --daemon`, which starts the detached daemon,
//! waits until the port answers and ends. So the caller needs no sleep, and the daemon is not
//! its child, unless it is process 1 or a subreaper; see [`super::reap`].
//!
//! Only what is known to be distflow's command line is launched, and as a second bar against a
//! program that launches itself for ever, whatever was launched never launches: it finds a mark
//! in its environment.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::pmd::client::PmdClient;
use crate::pmd::output::Output;
use crate::pmd::places::{Places, is_executable};
use crate::pmd::reap;

/// Environment variable with the path of the executable to launch.
pub const EXECUTABLE_VARIABLE: &str = "DISTFLOW_PMD";

/// Environment variable that marks a launched process, which therefore never launches.
pub const LAUNCHED_VARIABLE: &str = "DISTFLOW_LAUNCHED";

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

    /// The first that exists: `DISTFLOW_PMD`; the host's own command; this program, if it runs
    /// distflow's command line; `distflow` beside the library or in `../bin` of it; `distflow`
    /// beside this program; `distflow` on the search path. A host program is never taken, even
    /// if its name is `distflow`.
    ///
    /// Errors: `pmd_launch_failed` when there is none, or when this process was launched itself.
    pub fn find(host: Option<&Launcher>) -> Result<Self> {
        Self::search(host)?.ok_or_else(Self::none_found)
    }

    /// Like [`Launcher::find`]; `None` when there is none.
    ///
    /// Errors: `pmd_launch_failed` when `DISTFLOW_PMD` names no executable file, since who set it
    /// would not expect another program to be taken, and when this process was launched itself.
    pub fn search(host: Option<&Launcher>) -> Result<Option<Self>> {
        if is_launched() {
            return Err(launched_itself());
        }
        Places::of_this_process().search(host)
    }

    /// The error that says that [`Launcher::search`] found nothing, and what can be done.
    pub fn none_found() -> Error {
        Error::new(
            ErrorKind::PmdLaunchFailed,
            format!(
                "no PMD answers, and no `distflow` program was found to launch one; {}",
                ways_out()
            ),
        )
    }

    /// The command, without arguments of its own yet.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]);
        command
    }

    /// Launches a detached PMD on loopback and returns when the port answers on `host`, one of the
    /// names and addresses of loopback. Blocks up to 10 s.
    ///
    /// Whether a PMD answers there decides about success, and nothing else: the launched
    /// process may have lost against another one, and its exit status may be unknown, because the
    /// host ignores SIGCHLD or waits for every child itself.
    ///
    /// Errors: `pmd_launch_failed`, which names the command, also when there is no such
    /// program.
    pub fn launch(&self, host: &str, port: u16, auto_shutdown_ms: u64) -> Result<()> {
        if is_launched() {
            return Err(launched_itself());
        }
        let failed = |what: String| Error::new(ErrorKind::PmdLaunchFailed, what);
        let name = self.argv[0].to_string_lossy().into_owned();
        reap::collect_left();
        let mut child = self
            .command()
            .args(["--json", "pmd", "start", "--daemon"])
            .args(["--port", &port.to_string()])
            .args(["--auto-shutdown-ms", &auto_shutdown_ms.to_string()])
            .env(LAUNCHED_VARIABLE, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("cannot run '{name}': {error}")))?;
        let deadline = Instant::now() + Duration::from_millis(limits::LAUNCHER_MS);
        let mut output = Output::of(&mut child);
        output.read_until(deadline);
        let end = end(&mut child, deadline);
        if let Some(pid) = output.daemon_pid() {
            reap::when_ended(pid);
        }
        // Where it will be looked for: one that serves elsewhere on loopback is of no use.
        let Err(error) = PmdClient::connect(host, port) else {
            return Ok(());
        };
        let text = output.errors();
        Err(failed(match end {
            End::Known(status) if status.success() => {
                format!("'{name} pmd start --daemon' ended, but no PMD answers on {host}:{port}")
            }
            End::Known(status) => format!("'{name} pmd start --daemon' failed ({status}): {text}"),
            End::Unknown => format!(
                "'{name} pmd start --daemon' was run, but no PMD answers on {host}:{port}: {text}"
            ),
            End::NotYet => format!(
                "'{name} pmd start --daemon' has neither brought a PMD to port {port} within {} s \
                 nor ended; is it the distflow command line? {}",
                limits::LAUNCHER_MS / 1_000,
                ways_out()
            ),
        })
        .because(error))
    }
}

/// Whether this process was started by a launch, by [`Launcher::launch`] or [`spawn_daemon`].
///
/// [`spawn_daemon`]: super::spawn_daemon
pub fn is_launched() -> bool {
    std::env::var_os(LAUNCHED_VARIABLE).is_some_and(|value| !value.is_empty())
}

fn launched_itself() -> Error {
    Error::new(
        ErrorKind::PmdLaunchFailed,
        format!(
            "this process was launched to become the PMD ({LAUNCHED_VARIABLE} is set), so it \
             launches none itself; the program that was launched is not the distflow command \
             line. {}",
            ways_out()
        ),
    )
}

fn ways_out() -> String {
    format!(
        "start one with `distflow pmd start`, set {EXECUTABLE_VARIABLE} to the path of the \
         `distflow` program, or let this process serve as the PMD with the option `embed_pmd` \
         (`embedPmd` in Node.js)"
    )
}

/// What became of a launched command.
enum End {
    Known(ExitStatus),
    /// Somebody else has taken its exit status, or nobody keeps it.
    Unknown,
    NotYet,
}

/// Waits for the end of a command, and ends it when the deadline passes.
fn end(child: &mut Child, deadline: Instant) -> End {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return End::Known(status),
            // The host ignores SIGCHLD, or was quicker.
            Err(_) => return End::Unknown,
            Ok(None) if Instant::now() >= deadline => {
                // It is our child still, so the number is its own.
                let _ = child.kill();
                let _ = child.wait();
                return End::NotYet;
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(limits::LAUNCHER_LOOK_MS)),
        }
    }
}

/// Waits for who won the race for the port, or a stranger that holds it: whoever answers
/// decides. The winner of a moment ago may not listen yet.
pub(crate) fn await_winner(host: &str, port: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_millis(limits::HANDSHAKE_TIMEOUT_MS);
    loop {
        match PmdClient::connect(host, port) {
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
        let error = launcher.launch("localhost", 1, 1).unwrap_err();
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
