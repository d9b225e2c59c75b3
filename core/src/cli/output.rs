//! Printing that survives a closed pipe, which `println!` does not.

use std::io::Write;

use crate::wire::pmd::NodeInfo;

/// Prints text to standard output as it is.
pub(super) fn out_text(text: &str) {
    let mut out = std::io::stdout().lock();
    // Who closed the pipe does not want the rest.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
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
