//! Benchmarks of distflow beside their yardsticks, interleaved in one run.
//!
//! `cargo run --release -p distflow-bench` after
//! `cargo build --release -p distflow-core -p distflow-ffi --features distflow-core/cli`. The program starts itself in other
//! roles for its child processes: `distflow-bench child ROLE …`.

mod aims;
mod child;
mod erlang;
mod failure;
mod fan_out;
mod frames;
mod known_peer;
mod large;
mod memory;
mod payload;
mod process;
mod registry;
mod report;
mod samples;
mod sessions;
mod setting;
mod startup;
mod stream;
mod tools;
mod trip;
mod unit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::failure::{Result, failure};
use crate::samples::Samples;
use crate::setting::Setting;
use crate::tools::Tools;

/// Measures distflow and its yardsticks side by side.
#[derive(Debug, Parser)]
struct Options {
    /// One short round
    #[arg(long)]
    quick: bool,
    /// Rounds; every figure is the median of as many
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Length of a stream in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only these measurements: stream, trip, large, registry, known-peer, fan-out, start, memory,
    /// sessions
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the JSON goes [default: bench.json in the target folder]
    #[arg(long)]
    json: Option<PathBuf>,
    /// The distflow program [default: the one beside this program]
    #[arg(long)]
    distflow: Option<PathBuf>,
    /// Do not install missing yardsticks
    #[arg(long)]
    no_install: bool,
    /// Leave it to the system which processor runs what
    #[arg(long)]
    no_pin: bool,
}

type Measure = fn(&Setting, &mut Samples) -> Result<()>;

const MEASUREMENTS: &[(&str, Measure)] = &[
    ("stream", stream::measure),
    ("trip", trip::measure),
    ("large", large::measure),
    ("registry", registry::measure),
    ("known-peer", known_peer::measure),
    ("fan-out", fan_out::measure),
    ("start", startup::measure),
    ("memory", memory::measure),
    ("sessions", sessions::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (result, start) = match &words[..] {
        ["child", role @ ..] => (run_role(role), "failed "),
        _ => (run(&Options::parse()), ""),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A child's parent reads its standard output.
            println!("{start}{error}");
            ExitCode::FAILURE
        }
    }
}

/// What this process does as a child of the benchmark.
fn run_role(words: &[&str]) -> Result<()> {
    match words {
        ["send", rest @ ..] => stream::send(rest),
        ["receive", rest @ ..] => stream::receive(rest),
        ["ping", rest @ ..] => trip::ping(rest),
        ["echo", rest @ ..] => trip::echo(rest),
        ["give", rest @ ..] => large::give(rest),
        ["take", rest @ ..] => large::take(rest),
        ["floor"] => registry::serve_floor(),
        ["victim", pmd] => fan_out::victim(pmd.parse()?),
        ["node", alias, pmd] => startup::node(alias, pmd.parse()?),
        ["bare"] => startup::bare(),
        ["crowd", kind, crowd, port] => memory::crowd(kind, crowd.parse()?, port.parse()?),
        _ => Err(failure("unknown role")),
    }
}

fn run(options: &Options) -> Result<()> {
    process::raise_open_files();
    let program = std::env::current_exe()?;
    let profile = program.parent().unwrap_or(Path::new("."));
    let target = profile.parent().unwrap_or(Path::new("."));
    let setting = setting(options, profile, target)?;
    let rounds = if options.quick { 1 } else { options.rounds };
    let mut samples = Samples::default();
    for round in 1..=rounds {
        for (name, measure) in MEASUREMENTS {
            if options.only.is_empty() || options.only.iter().any(|only| only == name) {
                let start = Instant::now();
                let result = measure(&setting, &mut samples);
                let seconds = start.elapsed().as_secs_f64();
                eprintln!("round {round} of {rounds}: {name}, {seconds:.1} s");
                if let Err(error) = result {
                    eprintln!("  failed: {error}");
                }
            }
        }
    }
    report::print(&setting, &samples);
    let json = options.json.clone();
    let json = json.unwrap_or_else(|| target.join("bench.json"));
    report::write(&json, &setting, &samples)?;
    println!("\nwritten: {}", json.display());
    Ok(())
}

fn setting(options: &Options, profile: &Path, target: &Path) -> Result<Setting> {
    let program = match &options.distflow {
        Some(program) => std::path::absolute(program)?,
        None => profile.join("distflow"),
    };
    if !program.is_file() {
        return Err(failure(format!(
            "there is no {}; build it with \
             `cargo build --release -p distflow-core --features cli`",
            program.display()
        )));
    }
    if cfg!(debug_assertions) {
        eprintln!("this is a build for debugging; its figures mean nothing");
    }
    let install = !options.no_install && process::is_root();
    let cpus = process::processors();
    Ok(Setting {
        program,
        tools: Tools::prepare(&target.join("bench"), profile, install)?,
        seconds: if options.quick { 0.3 } else { options.seconds },
        quick: options.quick,
        cpus: match cpus[..] {
            [first, second, ..] if !options.no_pin => Some((first, second)),
            _ => None,
        },
    })
}
