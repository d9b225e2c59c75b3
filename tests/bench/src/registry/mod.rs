//! The registry: the PMD against a bare loop that does nothing but look up.

mod floor;
mod raw_client;
mod requests;

use std::time::{Duration, Instant};

pub use floor::serve as serve_floor;
pub use raw_client::{RawClient, prefill};
pub use requests::{Batch, register, request};

use crate::child::{Child, role};
use crate::failure::Result;
use crate::process;
use crate::samples::{Samples, p50_p99};
use crate::setting::{PmdProcess, Setting};

/// Registered nodes during the measurements.
pub const SIZES: [usize; 2] = [1_000, 10_000];
/// Requests in flight, written at once.
pub const IN_FLIGHT: usize = 64;

/// Measures both contestants once at both sizes.
pub fn measure(setting: &Setting, samples: &mut Samples) -> Result<()> {
    {
        let pmd = PmdProcess::start(setting, setting.server_cpu())?;
        let target = Target {
            setting,
            name: "distflow",
            port: pmd.port,
            pid: pmd.child.pid(),
        };
        setting.as_client(|| target.measure(samples))?;
    }
    let floor = Child::spawn(role(&["floor"])?, setting.server_cpu())?;
    let target = Target {
        setting,
        name: "floor",
        port: floor.line_after("ready ")?.parse()?,
        pid: floor.pid(),
    };
    setting.as_client(|| target.measure(samples))
}

struct Target<'a> {
    setting: &'a Setting,
    name: &'a str,
    port: u16,
    pid: u32,
}

impl Target<'_> {
    fn measure(&self, samples: &mut Samples) -> Result<()> {
        let mut registered = 0;
        let mut connections = Vec::new();
        for nodes in SIZES {
            let key = format!("pmd{nodes}.{}", self.name);
            let start = Instant::now();
            connections.extend(prefill(self.port, registered..nodes)?);
            let seconds = start.elapsed().as_secs_f64();
            let rate = (nodes - registered) as f64 / seconds;
            samples.add(format!("{key}.prefill_rate"), rate);
            registered = nodes;
            let mut client = RawClient::connect(self.port)?;
            self.resolve_one_by_one(samples, &key, &mut client, nodes)?;
            self.resolve_pipelined(samples, &key, &mut client, nodes)?;
            self.register_pipelined(samples, &key, &mut client)?;
            self.list(samples, &key, &mut client, nodes)?;
        }
        Ok(())
    }

    fn resolve_one_by_one(
        &self,
        samples: &mut Samples,
        key: &str,
        client: &mut RawClient,
        nodes: usize,
    ) -> Result<()> {
        let count = self.setting.amount(5_000, 500);
        let mut times = Vec::with_capacity(count);
        for i in 0..count {
            let batch = Batch::resolve((0..1).map(|_| (i * 7_919) % nodes));
            let start = Instant::now();
            client.exchange(&batch)?;
            times.push(start.elapsed().as_nanos() as u64);
        }
        let (p50, p99) = p50_p99(times);
        samples.add(format!("{key}.resolve_p50"), p50 as f64 / 1e3);
        samples.add(format!("{key}.resolve_p99"), p99 as f64 / 1e3);
        Ok(())
    }

    fn resolve_pipelined(
        &self,
        samples: &mut Samples,
        key: &str,
        client: &mut RawClient,
        nodes: usize,
    ) -> Result<()> {
        // A step that is prime to both sizes visits every node.
        let batches: Vec<Batch> = (0..200)
            .map(|batch| {
                let first = batch * IN_FLIGHT;
                Batch::resolve((first..first + IN_FLIGHT).map(|i| (i * 7_919) % nodes))
            })
            .collect();
        let (rate, cpu) = self.run(client, &batches, IN_FLIGHT)?;
        samples.add(format!("{key}.resolve_rate"), rate);
        samples.add(format!("{key}.resolve_cpu"), cpu);
        Ok(())
    }

    fn register_pipelined(
        &self,
        samples: &mut Samples,
        key: &str,
        client: &mut RawClient,
    ) -> Result<()> {
        let pairs = IN_FLIGHT / 2;
        let batches: Vec<Batch> = (0..200)
            .map(|batch| Batch::register_and_unregister(batch * pairs..(batch + 1) * pairs))
            .collect();
        let (rate, cpu) = self.run(client, &batches, pairs)?;
        samples.add(format!("{key}.register_rate"), rate);
        samples.add(format!("{key}.register_cpu"), cpu);
        Ok(())
    }

    /// Repeats the batches for a while; returns operations per second and the server's
    /// processor time per operation in microseconds.
    fn run(
        &self,
        client: &mut RawClient,
        batches: &[Batch],
        operations: usize,
    ) -> Result<(f64, f64)> {
        for batch in batches.iter().take(20) {
            client.exchange(batch)?;
        }
        let limit = Duration::from_secs_f64(self.setting.seconds);
        let (start, cpu) = (Instant::now(), process::cpu_ns(self.pid)?);
        let mut done = 0;
        for batch in batches.iter().cycle() {
            client.exchange(batch)?;
            done += operations;
            if start.elapsed() >= limit {
                break;
            }
        }
        let rate = done as f64 / start.elapsed().as_secs_f64();
        let cpu = process::cpu_ns(self.pid)? - cpu;
        Ok((rate, cpu as f64 / 1e3 / done as f64))
    }

    fn list(
        &self,
        samples: &mut Samples,
        key: &str,
        client: &mut RawClient,
        nodes: usize,
    ) -> Result<()> {
        let count = self.setting.amount(50, 5);
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            client.list(nodes)?;
            times.push(start.elapsed().as_nanos() as u64);
        }
        let (p50, _) = p50_p99(times);
        samples.add(format!("{key}.list_p50"), p50 as f64 / 1e3);
        Ok(())
    }
}
