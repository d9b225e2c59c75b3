//! Nodes and connections of which nothing was heard for too long.

use super::table::Liveness;
use super::{ConnId, Output, Outputs, Registry, StopReason};
use crate::limits;
use crate::time::Now;
use crate::wire::pmd::{self, LeaveCause};

impl Registry {
    /// Looks at every deadline.
    pub(super) fn sweep(&mut self, now: Now, out: &mut Outputs) {
        if let (Some(delay), Some(since)) = (self.config.auto_shutdown_ms, self.empty_since_ms)
            && now.mono_ms >= since + delay
        {
            self.stop(StopReason::NoNodes, out);
        }
        if self.sweeping && now.mono_ms >= self.last_sweep_ms + limits::SWEEP_MS {
            self.last_sweep_ms = now.mono_ms;
            self.sweep_heartbeats(now, out);
        }
        self.expire_waiting(now, out);
    }

    pub(super) fn sweep_heartbeats(&mut self, now: Now, out: &mut Outputs) {
        let own_ms = self.own_ms(now);
        let expel_ms = if crate::plant::active("slow_expel") {
            2 * self.config.heartbeat_expel_ms
        } else {
            self.config.heartbeat_expel_ms
        };
        let (mut expired, mut suspects, mut any) = (Vec::new(), Vec::new(), false);
        for (key, entry) in self.table.iter() {
            let silent_ms = own_ms.saturating_sub(entry.seen_ms);
            match entry.liveness {
                Liveness::Socket => {}
                Liveness::HeartbeatOnly => {
                    any = true;
                    // A node whose own connection is open as well is alive by that alone.
                    if entry.conn.is_none() && silent_ms > self.config.heartbeat_ttl_ms {
                        expired.push(key);
                    }
                }
                Liveness::Expected => {
                    any = true;
                    if silent_ms > limits::WARMING_MS {
                        expired.push(key);
                    }
                }
                Liveness::SocketAndHeartbeat => {
                    any = true;
                    if silent_ms > expel_ms {
                        expired.push(key);
                    } else if silent_ms > limits::HEARTBEAT_SUSPECT_MS && !entry.suspect_probed {
                        suspects.push(key);
                    }
                }
            }
        }
        self.sweeping = any;
        for key in suspects {
            if let Some(entry) = self.table.get_mut(key) {
                entry.suspect_probed = true;
                if let Some(conn) = entry.conn {
                    self.probe(conn, out);
                }
            }
        }
        for key in expired {
            let entry = self.table.get(key);
            let conn = entry.and_then(|entry| entry.conn);
            let cause = match entry.map(|entry| entry.liveness) {
                Some(Liveness::Expected) => LeaveCause::Unknown,
                _ => LeaveCause::TimedOut,
            };
            self.remove(now, key, cause, out);
            if let Some(conn) = conn {
                // The frozen client has to notice, or it would believe to be registered.
                out.items.push(Output::Close(conn, "no heartbeat"));
            }
        }
        self.retry_waiting(now, out);
    }

    /// Asks a connection to prove that it is alive: by its socket, and by an answer if it can.
    pub(super) fn probe(&mut self, id: ConnId, out: &mut Outputs) -> u64 {
        let number = self.next_probe;
        self.next_probe += 1;
        out.items.push(Output::Inspect(id));
        if self.conn(id).is_some_and(|conn| conn.caps.probe) {
            let frame = out.frame(|out| pmd::append_probe(out, number));
            out.items.push(Output::Answer(id, frame));
        }
        number
    }
}
