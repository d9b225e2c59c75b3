//! Printing that survives a closed pipe, which `println!` does not.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use super::queued::Queued;
use crate::error::{Error, ErrorKind};
use crate::names::is_deceptive;
use crate::wire::pmd::NodeInfo;

/// Something could not be printed since the command began.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Forgets earlier failures; a host process may run several commands.
pub(super) fn begin() {
    FAILED.store(false, Ordering::Relaxed);
}

/// Whether everything could be printed so far.
pub(super) fn is_whole() -> bool {
    !FAILED.load(Ordering::Relaxed)
}

static OUT: Queued = Queued::new(|text| {
    let mut out = std::io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).is_ok()
});

static ERR: Queued = Queued::new(|text| std::io::stderr().lock().write_all(text).is_ok());

/// From here on, output that nobody reads is lost after a while, and holds nobody up; what is said of
/// that is an object where the rest of the output is objects.
pub(super) fn serve(json: bool) {
    OUT.begin(match json {
        true => |lost| format!("{{\"event\":\"lost\",\"lines\":{lost}}}\n"),
        false => |lost| format!("{lost} lines were lost: nobody read them in time\n"),
    });
    serve_logs();
}

/// The same for standard error alone, where the output itself must not be lost.
pub(super) fn serve_logs() {
    ERR.begin(match super::logging::is_json() {
        true => |lost| {
            format!("{{\"level\":\"warn\",\"message\":\"{lost} lines were lost: nobody read them in time\"}}\n")
        },
        false => |lost| format!("{lost} lines were lost: nobody read them in time\n"),
    });
}

/// Lets what still waits be written, for a second at most.
pub(super) fn end() {
    if !OUT.end() {
        FAILED.store(true, Ordering::Relaxed);
    }
    ERR.end();
}

/// Prints text to standard output as it is. A failure (a closed pipe, a full disk) is noted and
/// becomes the exit code; whoever runs on looks at [`is_whole`].
pub(super) fn out_text(text: &str) {
    if !OUT.put(text.as_bytes()) {
        FAILED.store(true, Ordering::Relaxed);
    }
}

/// Prints a line to standard output.
pub(super) fn out_line(line: &str) {
    out_text(&format!("{line}\n"));
}

/// Prints a line to standard error.
pub(super) fn err_line(line: &str) {
    err_text(&format!("{line}\n"));
}

/// Prints text to standard error as it is. What can't be printed is lost: who would say so has
/// nobody who listens either.
pub(super) fn err_text(text: &str) {
    ERR.put(text.as_bytes());
}

/// Text from others for a terminal: control characters, which could move the cursor or rewrite
/// what stands there, and characters that change the direction of text or can't be seen, are shown
/// by their numbers.
pub(super) fn shown(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(is_deceptive) {
        return text.into();
    }
    let escaped = |c: char| match is_deceptive(c) {
        true => format!("\\u{{{:x}}}", u32::from(c)),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect::<String>().into()
}

/// Prints a line of JSON, in which characters that [`shown`] would not show as they are have their numbers.
pub(super) fn out_json(text: &str) {
    out_line(&escaped_json(text));
}

fn escaped_json(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(is_deceptive) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_deceptive(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(c);
        }
    }
    line.into()
}

/// The exit code of a failure, the same for every command that the originals did not have. Theirs
/// end with 1, whatever was wrong.
pub(super) fn exit_code(error: &Error) -> u8 {
    use ErrorKind as Kind;
    match error.kind() {
        Kind::InvalidArgument
        | Kind::Insecure
        | Kind::InvalidJson
        | Kind::InvalidMessage
        | Kind::TooLarge => WRONG_USE,
        Kind::AddressInUse | Kind::AliasInUse | Kind::NodeIdInUse | Kind::AlreadyRunning => {
            RUNS_ALREADY
        }
        Kind::NodeNotFound | Kind::ResolveFailed => 4,
        Kind::PmdUnavailable | Kind::NotPmd | Kind::PmdLaunchFailed | Kind::ConnectionFailed => 5,
        Kind::Timeout | Kind::Busy => 6,
        _ => 1,
    }
}

/// The exit code for arguments that are wrong.
pub(super) const WRONG_USE: u8 = 2;

/// The exit code for what is there already.
pub(super) const RUNS_ALREADY: u8 = 3;

/// Prints an error to standard error: as text, or as an object with its code.
pub(super) fn print_error(text: &str, error: &Error, json: bool) {
    if json {
        let object = serde_json::json!({"code": error.kind().name(), "message": text});
        err_line(&object.to_string());
    } else {
        err_line(&shown(text));
    }
}

/// A node as JSON, with its capabilities and its metadata as it registered them.
pub(super) fn node_json(node: &NodeInfo) -> String {
    let mut json = serde_json::json!({ "nodeId": node.node_id });
    if let Some(alias) = &node.alias {
        json["alias"] = alias.as_str().into();
    }
    json["host"] = node.host.as_str().into();
    json["port"] = node.port.into();
    json["lastHeartbeat"] = node.last_heartbeat.into();
    if !node.caps.is_empty() {
        json["caps"] = node.caps.clone().into();
    }
    let mut text = json.to_string();
    if let Some(meta) = &node.meta {
        text.truncate(text.len() - 1);
        text.push_str(&format!(",\"meta\":{}}}", meta.get()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_what_it_says() {
        let text = "{\"id\":\"abc\u{202e}fdp\u{e0001}\"}";
        let escaped = escaped_json(text);
        assert!(escaped.is_ascii(), "{escaped}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&escaped), value(text));
    }

    #[test]
    fn what_others_say_moves_no_cursor() {
        assert_eq!(shown("Zoë 🎲 \u{4f60}"), "Zoë 🎲 \u{4f60}");
        assert_eq!(
            shown("a\x1b]0;x\x07\x1b[2J\nFAKE"),
            "a\\u{1b}]0;x\\u{7}\\u{1b}[2J\\u{a}FAKE"
        );
        assert_eq!(
            shown("abc\u{202e}fdp\u{200b}\u{9b}1A"),
            "abc\\u{202e}fdp\\u{200b}\\u{9b}1A"
        );
    }
}
