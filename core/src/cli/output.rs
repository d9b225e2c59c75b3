//! Printing that survives a closed pipe, which `println!` does not.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Prints text to standard output as it is. A failure (a closed pipe, a full disk) is noted and
/// becomes the exit code; whoever runs on looks at [`is_whole`].
pub(super) fn out_text(text: &str) {
    let mut out = std::io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        FAILED.store(true, Ordering::Relaxed);
    }
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

/// A node as JSON, with its metadata as it was registered.
pub(super) fn node_json(node: &NodeInfo) -> String {
    let mut json = serde_json::json!({ "nodeId": node.node_id });
    if let Some(alias) = &node.alias {
        json["alias"] = alias.as_str().into();
    }
    json["host"] = node.host.as_str().into();
    json["port"] = node.port.into();
    json["lastHeartbeat"] = node.last_heartbeat.into();
    let mut text = json.to_string();
    if let Some(meta) = &node.meta {
        text.truncate(text.len() - 1);
        text.push_str(&format!(",\"meta\":{}}}", meta.get()));
    }
    text
}
