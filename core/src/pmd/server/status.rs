//! What the PMD says of itself.

use super::Server;
use crate::net;
use crate::registry::ConnId;
use crate::wire::frame;
use crate::wire::pmd::{self as message, PmdStatus};

impl Server {
    pub(super) fn answer_status(&mut self, id: ConnId, request_id: Option<&str>) {
        let status = serde_json::to_vec(&self.status());
        let mut answer = Vec::new();
        let append = |out: &mut Vec<u8>| {
            message::append_response(out, request_id, |out| match status {
                Ok(status) => {
                    out.extend_from_slice(b"{\"status\":");
                    out.extend_from_slice(&status);
                    out.push(b'}');
                }
                Err(error) => message::append_error(out, &error.to_string()),
            });
        };
        let _ = frame::append(&mut answer, usize::MAX, append);
        self.enqueue(id, &answer);
    }

    fn status(&self) -> PmdStatus {
        let descriptors = self.room.descriptors;
        PmdStatus {
            version: crate::VERSION.to_owned(),
            pid: std::process::id(),
            uptime_ms: self.now().mono_ms.saturating_sub(self.started_ms),
            memory_bytes: resident_bytes().unwrap_or(0),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            nodes: self.registry.len() as u64,
            connections: self.open as u64,
            connections_max: self.room.connections_max as u64,
            nodes_max: self.options.nodes_max as u64,
            descriptors_soft: descriptors.map_or(0, |limit| limit.soft),
            descriptors_hard: descriptors.map_or(0, |limit| limit.hard),
            auto_shutdown_ms: self.options.auto_shutdown_ms,
            gives_way: self.options.gives_way,
            insecure: !net::is_loopback(&self.options.host),
        }
    }
}

/// Resident memory of this process.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    #[cfg(unix)]
    // SAFETY: the call takes a number and gives one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    #[cfg(not(unix))]
    let page = 4_096;
    Some(pages * u64::try_from(page).ok()?)
}
