//! Erlang nodes with a private epmd.

use std::path::Path;
use std::process::Command;

use crate::child::Child;
use crate::failure::Result;
use crate::frames;

/// An epmd of our own, so that the machine's is neither started nor asked.
#[derive(Debug)]
pub struct Erlang<'a> {
    folder: &'a Path,
    port: u16,
    _epmd: Child,
}

impl<'a> Erlang<'a> {
    /// Starts the epmd; `folder` has the compiled module.
    pub fn start(folder: &'a Path) -> Result<Self> {
        let port = frames::free_port()?;
        let mut command = Command::new("epmd");
        command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
        let epmd = Child::spawn_silent(command, None)?;
        // A node that comes too early does not start.
        frames::wait_for(port)?;
        Ok(Self {
            folder,
            port,
            _epmd: epmd,
        })
    }

    /// A node that runs one call of the yardstick's module and ends.
    pub fn node(&self, name: &str, call: &str) -> Command {
        let mut command = Command::new("erl");
        command
            .args(["-noinput", "-start_epmd", "false", "-setcookie", "bench"])
            .args(["-name", &format!("{name}@127.0.0.1"), "-pa"])
            .arg(self.folder)
            .args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"])
            .args(["-eval", &format!("yardstick_erlang:{call}, halt().")])
            .env("ERL_EPMD_PORT", self.port.to_string())
            .env("HOME", self.folder);
        command
    }
}
