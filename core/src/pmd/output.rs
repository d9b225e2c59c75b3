//! Reading what a launched command prints, for a limited time.

use std::io::Read;
use std::process::{Child, ChildStderr, ChildStdout};
use std::time::Instant;

/// Bytes kept of either stream; the rest is read and thrown away.
const KEPT_BYTES: usize = 4_096;

/// The output of a launched command.
pub(super) struct Output {
    stdout: Stream<ChildStdout>,
    stderr: Stream<ChildStderr>,
}

struct Stream<R> {
    pipe: Option<R>,
    bytes: Vec<u8>,
}

impl Output {
    /// Takes the pipes of a command that was just started.
    pub fn of(child: &mut Child) -> Self {
        Self {
            stdout: Stream::new(child.stdout.take()),
            stderr: Stream::new(child.stderr.take()),
        }
    }

    /// The process id that the command line says its daemon has.
    pub fn daemon_pid(&self) -> Option<i32> {
        let text = String::from_utf8_lossy(&self.stdout.bytes);
        text.lines().find_map(|line| {
            let started: serde_json::Value = serde_json::from_str(line).ok()?;
            started.get("pid")?.as_i64()?.try_into().ok()
        })
    }

    /// What the command said was wrong.
    pub fn errors(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr.bytes);
        text.trim().to_owned()
    }
}

impl<R: Read> Stream<R> {
    fn new(pipe: Option<R>) -> Self {
        Self {
            pipe,
            bytes: Vec::new(),
        }
    }

    /// Reads what is there; the pipe is dropped at its end.
    fn read(&mut self) {
        let mut chunk = [0u8; 4_096];
        match self.pipe.as_mut().map(|pipe| pipe.read(&mut chunk)) {
            Some(Ok(read)) if read > 0 => {
                let room = KEPT_BYTES.saturating_sub(self.bytes.len());
                self.bytes.extend_from_slice(&chunk[..read.min(room)]);
            }
            Some(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            _ => self.pipe = None,
        }
    }
}

#[cfg(unix)]
impl Output {
    /// Reads until the command has closed both streams, or until the deadline.
    pub fn read_until(&mut self, deadline: Instant) {
        use std::os::fd::AsRawFd;
        loop {
            let entry = |fd: Option<i32>| libc::pollfd {
                // A negative one is passed over.
                fd: fd.unwrap_or(-1),
                events: libc::POLLIN,
                revents: 0,
            };
            let mut fds = [
                entry(self.stdout.pipe.as_ref().map(AsRawFd::as_raw_fd)),
                entry(self.stderr.pipe.as_ref().map(AsRawFd::as_raw_fd)),
            ];
            let left = deadline.saturating_duration_since(Instant::now());
            if fds.iter().all(|entry| entry.fd < 0) || left.is_zero() {
                return;
            }
            let ms = i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX);
            // SAFETY: the array is valid for the call, and its length is two.
            unsafe { libc::poll(fds.as_mut_ptr(), 2, ms) };
            // A stream that is ready, or at its end, does not block.
            if fds[0].revents != 0 {
                self.stdout.read();
            }
            if fds[1].revents != 0 {
                self.stderr.read();
            }
        }
    }
}

#[cfg(not(unix))]
impl Output {
    /// Reads until the command has closed its streams.
    pub fn read_until(&mut self, _deadline: Instant) {
        while self.stderr.pipe.is_some() {
            self.stderr.read();
        }
        while self.stdout.pipe.is_some() {
            self.stdout.read();
        }
    }
}
