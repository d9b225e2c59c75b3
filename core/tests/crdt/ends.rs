//! A process that is killed while it writes: what it was told that was written is there.
#![cfg(unix)]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use distflow_core::{JsonCrdt, crdt::document::Options};

use crate::kept::Folder;

/// The directory for the child, which is this program once more.
const DIRECTORY: &str = "DISTFLOW_TEST_DIRECTORY";
const LIVES: usize = 5;
const WRITES: usize = 200;

/// A planted bug that the child has, too.
#[cfg(feature = "plants")]
pub const PLANT: &str = "record_not_written";

/// Writes for ever, and says what was written.
fn write_on(directory: &str) -> ! {
    #[cfg(feature = "plants")]
    if std::env::var_os("DISTFLOW_TEST_PLANT").is_some() {
        distflow_core::plant::set(PLANT);
    }
    let document = JsonCrdt::open(directory, "me", "{}", Options::default()).unwrap();
    let text = "z".repeat(20_000);
    let mut out = std::io::stderr().lock();
    loop {
        let op = document.set("/z", text.as_str()).unwrap();
        writeln!(out, "wrote {} {}", op.src, op.seq()).unwrap();
    }
}

/// For the child, if there is one here.
fn plant() -> Option<(&'static str, &'static str)> {
    #[cfg(feature = "plants")]
    if distflow_core::plant::active(PLANT) {
        return Some(("DISTFLOW_TEST_PLANT", "1"));
    }
    None
}

#[test]
pub fn what_a_killed_process_wrote_is_there() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        write_on(&directory);
    }
    let folder = Folder::new();
    let mut numbers = HashSet::new();
    for life in 0..LIVES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "ends::what_a_killed_process_wrote_is_there",
                "--nocapture",
            ])
            .env(DIRECTORY, &folder.0)
            .envs(plant())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = Vec::new();
        for line in lines.map_while(Result::ok) {
            let Some(dot) = line.strip_prefix("wrote ") else {
                continue;
            };
            let (src, number) = dot.split_once(' ').unwrap();
            told.push((src.to_owned(), number.parse::<u64>().unwrap()));
            // While it writes on, its journal is replaced by snapshots.
            if told.len() == WRITES + 37 * life {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(told.len() >= WRITES, "{told:?}");
        let document = folder.open("me");
        let clock = document.clock();
        for (src, number) in &told {
            assert!(clock.get(src.as_str()) >= Some(number), "{src} {number}");
        }
        // And no number twice.
        for dot in told {
            assert!(numbers.insert(dot.clone()), "{dot:?} again");
        }
    }
}
