//! Lines of standard input, until its end or until one is told to end.

use std::fs::File;
use std::io::{BufRead, BufReader};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// Lines of bounded length. When it is told to end, it gives what has arrived by then.
pub(super) struct Lines {
    input: BufReader<File>,
    /// The line that is being read.
    line: Vec<u8>,
    /// Becomes readable when reading shall end.
    ended: std::io::PipeReader,
    is_ending: bool,
}

/// Tells [`Lines`] to end.
pub(super) struct Ending(std::io::PipeWriter);

impl Ending {
    /// From here on, only what has arrived is read.
    pub fn begin(self) {
        // The other side notices that this one is closed.
        drop(self.0);
    }
}

impl Lines {
    pub fn of_stdin() -> std::io::Result<(Self, Ending)> {
        let (ended, ending) = std::io::pipe()?;
        let lines = Self {
            input: BufReader::new(stdin()?),
            line: Vec::new(),
            ended,
            is_ending: false,
        };
        Ok((lines, Ending(ending)))
    }

    /// Tells whether reading was told to end, and has noticed.
    pub fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Bytes of a last line without an end that were read, but given to nobody.
    pub fn bytes_unread(&self) -> usize {
        self.line.len()
    }

    /// The next line without its end; `None` at the end of the input. A last line needs no end
    /// where the input itself ends.
    pub fn next(&mut self) -> Option<Result<String>> {
        let bytes_max = limits::NODE_FRAME_BYTES_MAX;
        let mut length = self.line.len();
        loop {
            if self.input.buffer().is_empty() && !self.wait() {
                return None;
            }
            let Ok(bytes) = self.input.fill_buf() else {
                return None;
            };
            let is_end = bytes.is_empty();
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            length += part.len();
            if length <= bytes_max {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() || is_end {
                if is_end && length == 0 {
                    return None;
                }
                let line = std::mem::take(&mut self.line);
                if length > bytes_max {
                    let text = format!("a line is longer than {bytes_max} bytes");
                    return Some(Err(Error::new(ErrorKind::TooLarge, text)));
                }
                return Some(text_of(line));
            }
        }
    }

    /// Waits for input. False when there is none, and none is waited for any more.
    #[cfg(unix)]
    fn wait(&mut self) -> bool {
        use std::os::fd::AsRawFd;
        loop {
            let entry = |fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            let mut fds = [
                entry(self.input.get_ref().as_raw_fd()),
                entry(self.ended.as_raw_fd()),
            ];
            let (count, wait_ms) = if self.is_ending { (1, 0) } else { (2, -1) };
            // SAFETY: the array is valid for the call and at least as long as said.
            let ready = unsafe { libc::poll(fds.as_mut_ptr(), count, wait_ms) };
            if fds[0].revents != 0 {
                return true;
            }
            if self.is_ending && ready >= 0 {
                return false;
            }
            self.is_ending |= fds[1].revents != 0;
        }
    }

    /// Elsewhere reading can't be interrupted, and the thread is left to itself at the end.
    #[cfg(not(unix))]
    fn wait(&mut self) -> bool {
        true
    }
}

fn text_of(line: Vec<u8>) -> Result<String> {
    String::from_utf8(line).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = format!("a line is not UTF-8 from byte {at} on");
        Error::new(ErrorKind::InvalidMessage, text)
    })
}

#[cfg(unix)]
fn stdin() -> std::io::Result<File> {
    use std::os::fd::AsFd;
    std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
}

#[cfg(windows)]
fn stdin() -> std::io::Result<File> {
    use std::os::windows::io::AsHandle;
    std::io::stdin()
        .as_handle()
        .try_clone_to_owned()
        .map(File::from)
}
