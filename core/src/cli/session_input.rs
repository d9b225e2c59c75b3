//! Lines typed into `session create` and `session join`.

use std::io::{BufRead, IsTerminal, Read};

use tokio::sync::mpsc::{Receiver, channel};

use crate::error::{Error, ErrorKind, Result};
use crate::sessions::Session;

/// Commands, for people.
pub(super) const HELP: &str = "start [SECONDS] | reserve PLAYER | release PLAYER | register PLAYER | \
    send NAME [TEXT] | hand-over [INSTANCE] | close | leave | help";

/// Bytes of a line; what is longer is no command.
const LINE_BYTES_MAX: u64 = 256 << 10;

/// Lines that wait to be obeyed; no more are read until then.
const LINES_MAX: usize = 16;

/// Lines of standard input. There are none where reading would stop the process: a job in the
/// background of a terminal.
pub(super) fn lines() -> Receiver<String> {
    let (sender, receiver) = channel(LINES_MAX);
    if may_read() {
        std::thread::spawn(move || {
            let mut input = std::io::stdin().lock();
            loop {
                let mut line = Vec::new();
                let read = input
                    .by_ref()
                    .take(LINE_BYTES_MAX)
                    .read_until(b'\n', &mut line);
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if !matches!(read, Ok(1..)) || sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

fn may_read() -> bool {
    // SAFETY: Both have no preconditions; 0 is standard input.
    let is_foreground = || unsafe { libc::tcgetpgrp(0) == libc::getpgrp() };
    !std::io::stdin().is_terminal() || is_foreground()
}

/// Carries out a typed line; true if it says that the session is to be left.
///
/// Errors: `invalid_argument` for what is no command; those of what it says.
pub(super) async fn obey(session: &Session, line: &str) -> Result<bool> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let given = |what: &str| match rest.is_empty() {
        true => Err(invalid(format!("{word} needs {what}: {HELP}"))),
        false => Ok(rest),
    };
    match word {
        "" => {}
        "start" => {
            let seconds = match rest {
                "" => 0,
                rest => rest.parse().map_err(|_| {
                    invalid(format!(
                        "start takes a whole number of seconds, not {rest:?}"
                    ))
                })?,
            };
            session.start(seconds).await?;
        }
        "reserve" => session.reserve(given("a player's name")?).await?,
        "release" => session.release(given("a player's name")?).await?,
        "register" => session.register(given("a player's name")?).await?,
        "send" => {
            let message = given("the name of a message")?;
            let (name, text) = message
                .split_once(char::is_whitespace)
                .unwrap_or((message, ""));
            session.publish(name, text.trim().into()).await?;
        }
        "hand-over" => {
            session
                .hand_over(Some(rest).filter(|to| !to.is_empty()))
                .await?
        }
        "close" => session.close().await?,
        "leave" => return Ok(true),
        other => {
            return Err(invalid(format!("there is no command {other:?}: {HELP}")));
        }
    }
    Ok(false)
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}
