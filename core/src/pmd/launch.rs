//! Finding and launching a PMD.
//!
//! Exactly one wins: the port's `bind` decides, and whoever loses connects to the winner. What
//! is launched is a launcher, `<argv> pmd start --daemon`, which starts the detached daemon,
//! waits until the port answers and ends. So the caller has nothing to reap later and needs no
//! sleep.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::pmd::client::PmdClient;

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

    /// The first that exists: `DISTFLOW_PMD`, the host's own command, this program if it is
    /// `distflow`, `distflow` beside it, `distflow` on the search path.
    pub fn find(host: Option<&Launcher>) -> Result<Self> {
        let one = |path: PathBuf| Self {
            argv: vec![path.into()],
        };
        if let Some(path) = std::env::var_os(EXECUTABLE_VARIABLE).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            return if is_executable(&path) {
                Ok(one(path))
            } else {
                Err(Error::new(
                    ErrorKind::PmdLaunchFailed,
                    format!(
                        "{EXECUTABLE_VARIABLE} names '{}', which is no executable file",
                        path.display()
                    ),
                ))
            };
        }
        if let Some(host) = host {
            return Ok(host.clone());
        }
        let mut candidates = Vec::new();
        if let Ok(program) = std::env::current_exe() {
            if program.file_stem().is_some_and(|stem| stem == "distflow") {
                return Ok(one(program));
            }
            candidates.extend(program.parent().map(|folder| folder.join("distflow")));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        candidates.extend(std::env::split_paths(&path).map(|folder| folder.join("distflow")));
        candidates
            .into_iter()
            .find(is_executable)
            .map(one)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::PmdLaunchFailed,
                    format!(
                        "no PMD answers, and no `distflow` program was found to launch one; \
                         start one with `distflow pmd start`, or set {EXECUTABLE_VARIABLE} to \
                         the program's path"
                    ),
                )
            })
    }

    /// The command, without arguments of its own yet.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]);
        command
    }

    /// Launches a detached PMD on loopback and returns when the port answers. Blocks up to 4 s.
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

fn is_executable(path: &PathBuf) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    {
        path.is_file()
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
    // It lost the race for the port, or a stranger holds it: whoever answers decides.
    let deadline = Instant::now() + Duration::from_millis(limits::HANDSHAKE_TIMEOUT_MS);
    loop {
        match PmdClient::connect("localhost", port) {
            Ok(_) => return Ok(port),
            Err(error) if error.kind() == ErrorKind::NotPmd => return Err(error),
            Err(_) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(limits::RECONNECT_MS_MIN / 5));
            }
            Err(_) => return Err(failed(text.trim().to_owned())),
        }
    }
}
