//! What a document counts.

use std::fmt::Write as _;

/// Seconds over which operations per second are averaged.
const WINDOW_S: usize = 60;
/// Operations over which latencies are averaged.
const LATENCIES: usize = 1_000;

/// What a document has counted (node-api.md 6).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics {
    /// Operations taken in.
    pub total_ops: u64,
    /// Operations made here.
    pub local_ops: u64,
    /// Operations of others that were taken in as they came, and did not have to wait.
    pub remote_ops: u64,
    /// Operations per second: of the last 60 seconds, or since the first one.
    pub ops_per_second: f64,
    /// Of the last 1,000 operations of others: milliseconds from their stamps to being taken in.
    pub avg_latency_ms: f64,
    /// The two that follow together.
    pub total_conflicts: u64,
    /// Sets of others that a later delete of the same path hid.
    pub tombstone_conflicts: u64,
    /// Segments of paths of local sets that had been deleted.
    pub path_conflicts: u64,
    /// Times that something was forgotten.
    pub gc_runs: u64,
    /// Operations trimmed from the log.
    pub gc_log_ops: u64,
    /// Deletes forgotten.
    pub gc_tombstones: u64,
    /// Waiting operations given up.
    pub gc_pending_ops: u64,
    /// Operations in the log.
    pub log_size: usize,
    /// Operations that wait for others.
    pub pending_size: usize,
    /// Writes remembered.
    pub lww_size: usize,
    /// Deletes among them.
    pub tombstones_size: usize,
    /// Replicas in the clock.
    pub vc_size: usize,
}

impl Metrics {
    /// Names of the originals, names of Prometheus, and values.
    fn fields(&self) -> [(&'static str, &'static str, f64); 17] {
        let count = |count: u64| count as f64;
        let size = |size: usize| size as f64;
        [
            ("totalOps", "ops_total", count(self.total_ops)),
            ("localOps", "local_ops_total", count(self.local_ops)),
            ("remoteOps", "remote_ops_total", count(self.remote_ops)),
            ("opsPerSecond", "ops_per_second", self.ops_per_second),
            ("avgLatencyMs", "latency_milliseconds", self.avg_latency_ms),
            (
                "totalConflicts",
                "conflicts_total",
                count(self.total_conflicts),
            ),
            (
                "tombstoneConflicts",
                "tombstone_conflicts_total",
                count(self.tombstone_conflicts),
            ),
            (
                "pathConflicts",
                "path_conflicts_total",
                count(self.path_conflicts),
            ),
            ("gcRuns", "gc_runs_total", count(self.gc_runs)),
            ("gcLogOps", "gc_log_ops_total", count(self.gc_log_ops)),
            (
                "gcTombstones",
                "gc_tombstones_total",
                count(self.gc_tombstones),
            ),
            (
                "gcPendingOps",
                "gc_pending_ops_total",
                count(self.gc_pending_ops),
            ),
            ("logSize", "log_ops", size(self.log_size)),
            ("pendingSize", "pending_ops", size(self.pending_size)),
            ("lwwSize", "registers", size(self.lww_size)),
            ("tombstonesSize", "tombstones", size(self.tombstones_size)),
            ("vcSize", "replicas", size(self.vc_size)),
        ]
    }

    /// As a JSON object, by the names of the originals.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (name, _, value) in self.fields() {
            let comma = if out.len() > 1 { "," } else { "" };
            // Writing to a String does not fail.
            let _ = write!(out, "{comma}\"{name}\":{value}");
        }
        out.push('}');
        out
    }

    /// In the text format of Prometheus, with the replica as label.
    pub fn to_prometheus(&self, replica: &str) -> String {
        let label = replica
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let mut out = String::new();
        for (_, name, value) in self.fields() {
            let kind = if name.ends_with("_total") {
                "counter"
            } else {
                "gauge"
            };
            let _ = writeln!(out, "# TYPE distflow_document_{name} {kind}");
            let _ = writeln!(
                out,
                "distflow_document_{name}{{replica=\"{label}\"}} {value}"
            );
        }
        out
    }
}

/// Operations by the second they came in, and how long they took.
#[derive(Debug, Clone, Default)]
pub(super) struct Rates {
    seconds: Vec<(u64, u64)>,
    /// When the first one came.
    began_ms: u64,
    latencies: Vec<u32>,
    next: usize,
    sum: u64,
}

impl Rates {
    pub fn op(&mut self, now_ms: u64) {
        if self.seconds.is_empty() {
            self.seconds.resize(WINDOW_S, (0, 0));
            self.began_ms = now_ms;
        }
        let second = now_ms / 1_000;
        let slot = &mut self.seconds[(second % WINDOW_S as u64) as usize];
        if slot.0 != second {
            *slot = (second, 0);
        }
        slot.1 += 1;
    }

    pub fn latency(&mut self, ms: u64) {
        let ms = u32::try_from(ms).unwrap_or(u32::MAX);
        self.sum += u64::from(ms);
        if self.latencies.len() < LATENCIES {
            self.latencies.push(ms);
            return;
        }
        let oldest = std::mem::replace(&mut self.latencies[self.next], ms);
        self.sum -= u64::from(oldest);
        self.next = (self.next + 1) % LATENCIES;
    }

    pub fn ops_per_second(&self, now_ms: u64) -> f64 {
        let now = now_ms / 1_000;
        let is_recent = |second: u64| second <= now && now - second < WINDOW_S as u64;
        let recent = self.seconds.iter().filter(|(second, _)| is_recent(*second));
        let since_ms = now_ms.saturating_sub(self.began_ms).max(1_000);
        let window_s = (since_ms as f64 / 1_000.0).min(WINDOW_S as f64);
        recent.map(|(_, ops)| *ops).sum::<u64>() as f64 / window_s
    }

    pub fn latency_ms(&self) -> f64 {
        match self.latencies.len() {
            0 => 0.0,
            count => self.sum as f64 / count as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_minute_and_the_last_thousand() {
        let mut rates = Rates::default();
        assert_eq!((rates.ops_per_second(0), rates.latency_ms()), (0.0, 0.0));
        (0..120).for_each(|_| rates.op(5_000));
        // Not as if there had been a minute already.
        assert_eq!(rates.ops_per_second(5_000), 120.0);
        assert_eq!(rates.ops_per_second(7_000), 60.0);
        (0..60).for_each(|_| rates.op(64_000));
        assert_eq!(rates.ops_per_second(64_000), 180.0 / 59.0);
        assert_eq!(rates.ops_per_second(65_000), 1.0);
        assert_eq!(rates.ops_per_second(200_000), 0.0);
        (0..1_000).for_each(|_| rates.latency(10));
        (0..500).for_each(|_| rates.latency(20));
        assert_eq!(rates.latency_ms(), 15.0);
    }

    #[test]
    fn metrics_are_written_for_javascript_and_for_prometheus() {
        let metrics = Metrics {
            total_ops: 3,
            avg_latency_ms: 0.5,
            ..Metrics::default()
        };
        let json = metrics.to_json();
        assert!(
            json.starts_with("{\"totalOps\":3,\"localOps\":0,"),
            "{json}"
        );
        assert!(json.contains(",\"avgLatencyMs\":0.5,"), "{json}");
        let text = metrics.to_prometheus("a\"b");
        assert!(
            text.starts_with("# TYPE distflow_document_ops_total counter\ndistflow_document_ops_total{replica=\"a\\\"b\"} 3\n"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE distflow_document_latency_milliseconds gauge\n"),
            "{text}"
        );
    }
}
