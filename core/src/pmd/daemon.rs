//! Starting a detached daemon, which takes over nothing from its starter.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::error::{Error, ErrorKind, Result};
use crate::net;
use crate::pmd::launch::{LAUNCHED_VARIABLE, await_winner};

/// The line by which a daemon tells its launcher that it serves.
pub const READY_LINE: &str = "PMD started on port ";

/// The value of [`LAUNCHED_VARIABLE`] in a daemon, which never starts another one.
const DAEMON_MARK: &str = "daemon";

/// What became of the start of a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// It serves.
    Started {
        /// The port it listens on.
        port: u16,
        /// Its process id.
        pid: u32,
    },
    /// Another PMD serves on that port; none was started.
    ServedAlready,
}

/// Starts `command` as a detached daemon and waits until it says that it serves, or until
/// another PMD answers on the port of the host that it was to listen on. Used by `distflow pmd start --daemon`.
///
/// The daemon has its own session, no terminal and `/` as its folder, so it outlives its
/// parent and pins nothing. Its standard output is a pipe until the ready line. Other than that
/// nothing is inherited that a daemon shared by many should not have from one of them: no
/// descriptor, no ignored or blocked signal, no priority, no processors, no soft limit, and of
/// the environment only what it needs.
pub fn spawn_daemon(mut command: Command, host: &str, port: u16) -> Result<Daemon> {
    let failed = |what: String| Error::new(ErrorKind::PmdLaunchFailed, what);
    if std::env::var_os(LAUNCHED_VARIABLE).is_some_and(|mark| mark == DAEMON_MARK) {
        return Err(failed(format!(
            "this process was started as the daemon ({LAUNCHED_VARIABLE} is set), so it starts none"
        )));
    }
    command
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_kept(name)))
        .env(LAUNCHED_VARIABLE, DAEMON_MARK)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir("/");
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // SAFETY: only calls that are async-signal-safe, and no memory of ours is changed.
        unsafe {
            command.pre_exec(|| {
                inherit_nothing();
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
            let port = port
                .trim()
                .parse()
                .map_err(|_| failed(format!("the daemon said '{line}'")))?;
            return Ok(Daemon::Started {
                port,
                pid: child.id(),
            });
        }
    }
    let mut text = String::new();
    if let Some(pipe) = stderr {
        let _ = pipe.take(4_096).read_to_string(&mut text);
    }
    // Its status is of no interest, and nobody may have kept it.
    let _ = child.wait();
    match await_winner(net::reached_at(host), port) {
        Ok(()) => Ok(Daemon::ServedAlready),
        Err(error) if error.kind() == ErrorKind::NotPmd => Err(error),
        Err(_) => Err(failed(text.trim().to_owned())),
    }
}

/// Whether a daemon needs a variable of its starter's environment. Others may be secrets, or
/// marks by which a build server or supervisor finds what it has started.
fn is_kept(name: &OsStr) -> bool {
    const NAMES: &[&str] = &[
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "TMP",
        "TEMP",
        "LOG_LEVEL",
        "NO_COLOR",
        "SYSTEMROOT",
        "LLVM_PROFILE_FILE",
    ];
    // How the program itself is found and run, in whichever language.
    const PREFIXES: &[&str] = &[
        "LC_",
        "DISTFLOW_",
        "RUST_",
        "LD_",
        "DYLD_",
        "PYTHON",
        "NODE_",
        "ASAN_",
        "LSAN_",
        "TSAN_",
    ];
    let name = name.to_string_lossy();
    NAMES.contains(&&*name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Makes a child between `fork` and `exec` a process like any other; whatever of it fails is
/// left as it was inherited.
#[cfg(unix)]
fn inherit_nothing() {
    // SAFETY: all of these calls are async-signal-safe; the pointers are to values of this
    // function.
    unsafe {
        libc::setsid();
        libc::umask(0o077);
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        // Only ignored ones are inherited over `exec`; for the real-time ones that is harmless.
        for signal in 1..32 {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        close_on_exec();
        for limit in [libc::RLIMIT_NOFILE, libc::RLIMIT_FSIZE, libc::RLIMIT_CPU] {
            let mut both = std::mem::zeroed::<libc::rlimit>();
            if libc::getrlimit(limit, &raw mut both) == 0 && both.rlim_cur < both.rlim_max {
                both.rlim_cur = both.rlim_max;
                libc::setrlimit(limit, &raw const both);
            }
        }
    }
    #[cfg(target_os = "linux")]
    // SAFETY: as above.
    unsafe {
        let usual = std::mem::zeroed::<libc::sched_param>();
        libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const usual);
        let mut all = std::mem::zeroed::<libc::cpu_set_t>();
        for processor in 0..libc::CPU_SETSIZE as usize {
            libc::CPU_SET(processor, &mut all);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const all);
    }
}

/// Marks every descriptor but the three standard ones to be closed by `exec`.
///
/// # Safety
/// Async-signal-safe; descriptors are marked only.
#[cfg(unix)]
unsafe fn close_on_exec() {
    const FIRST: libc::c_uint = 3;
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the call takes three numbers. It needs Linux 5.11.
        let closed = unsafe {
            libc::syscall(
                libc::SYS_close_range,
                FIRST,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        if closed == 0 {
            return;
        }
    }
    const LOOKED_AT_MAX: libc::c_long = 1 << 20;
    // SAFETY: the calls take numbers; one that is no descriptor fails.
    unsafe {
        let end = libc::sysconf(libc::_SC_OPEN_MAX).clamp(256, LOOKED_AT_MAX);
        for fd in FIRST as libc::c_int..end as libc::c_int {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_marks_of_supervisors_stay_behind() {
        for name in [
            "HOME",
            "LC_ALL",
            "DISTFLOW_LAUNCHED",
            "LD_LIBRARY_PATH",
            "RUST_LOG",
        ] {
            assert!(is_kept(OsStr::new(name)), "{name}");
        }
        for name in [
            "AWS_SECRET_ACCESS_KEY",
            "NOTIFY_SOCKET",
            "BUILD_ID",
            "PWD",
            "homes",
        ] {
            assert!(!is_kept(OsStr::new(name)), "{name}");
        }
    }
}
