//! A host program with an embedded PMD: prints `port N`, serves until its standard input or
//! the PMD ends, prints `stopped` and goes on living until its input ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "part of the tests: what cannot go on has failed"
)]

use std::io::Read;
use std::time::Duration;

use distflow_core::pmd::{Pmd, PmdOptions};

fn main() {
    let mut options = PmdOptions {
        port: 0,
        ..PmdOptions::default()
    };
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').expect("options are name=value");
        let number: u64 = value.parse().expect("the value is no number");
        match name {
            "auto_shutdown_ms" => options.auto_shutdown_ms = Some(number),
            "connections_max" => options.connections_max = number as usize,
            "frame_bytes_max" => options.frame_bytes_max = number as usize,
            "heartbeat_expel_ms" => options.heartbeat_expel_ms = number,
            "watcher_queue_bytes_max" => options.watcher_queue_bytes_max = number as usize,
            _ => panic!("unknown option {name}"),
        }
    }
    let pmd = Pmd::start(options).expect("cannot start the PMD");
    println!("port {}", pmd.port());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The host's own life: it depends on its parent, never on the PMD.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            pmd.events().close();
        });
        while pmd.is_running() && !pmd.events().is_closed() {
            let _ = pmd.events().recv_timeout(Some(Duration::from_millis(100)));
        }
        println!("stopped");
    });
}
