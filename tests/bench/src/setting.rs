//! What every measurement needs to know.

use std::path::PathBuf;
use std::process::Command;

use distflow_core::PmdClient;

use crate::child::Child;
use crate::failure::{Result, failure};
use crate::frames;
use crate::process;
use crate::tools::Tools;

/// The setting of a run.
#[derive(Debug)]
pub struct Setting {
    /// The `distflow` program.
    pub program: PathBuf,
    /// Compiled yardsticks.
    pub tools: Tools,
    /// Length of one stream.
    pub seconds: f64,
    /// One short round.
    pub quick: bool,
    /// One processor for either side, if there are two and pinning is wanted.
    pub cpus: Option<(usize, usize)>,
}

impl Setting {
    /// The processor of the side that receives or serves.
    pub fn server_cpu(&self) -> Option<usize> {
        self.cpus.map(|(server, _)| server)
    }

    /// The processor of the side that sends or asks.
    pub fn client_cpu(&self) -> Option<usize> {
        self.cpus.map(|(_, client)| client)
    }

    /// `many`, or `few` in a quick run.
    pub fn amount(&self, many: usize, few: usize) -> usize {
        if self.quick { few } else { many }
    }

    /// Runs on a thread that is pinned to the client's processor.
    pub fn as_client<R: Send>(&self, run: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    if let Some(cpu) = self.client_cpu() {
                        process::pin(cpu)?;
                    }
                    run()
                })
                .join()
                .unwrap_or_else(|_| Err(failure("a measuring thread panicked")))
        })
    }
}

/// A PMD of its own on a free port.
#[derive(Debug)]
pub struct PmdProcess {
    pub child: Child,
    pub port: u16,
}

impl PmdProcess {
    /// Starts it in the foreground, for ever, with its output discarded as a daemon's is.
    pub fn start(setting: &Setting, cpu: Option<usize>) -> Result<Self> {
        let port = frames::free_port()?;
        let mut command = Command::new(&setting.program);
        command
            .args(["pmd", "start", "--port", &port.to_string()])
            .args(["--auto-shutdown-ms", "0"]);
        let child = Child::spawn_silent(command, cpu)?;
        frames::wait_for(port)?;
        PmdClient::connect("localhost", port)?;
        Ok(Self { child, port })
    }
}

/// A PMD that a node launches: it is nobody's child, so it is asked to end.
#[derive(Debug)]
pub struct LaunchedPmd {
    pub port: u16,
}

impl Drop for LaunchedPmd {
    fn drop(&mut self) {
        // When it never came up, there is nothing to end.
        if let Ok(mut client) = PmdClient::connect("localhost", self.port) {
            let _ = client.shutdown();
        }
    }
}
