//! Round trips of 100 bytes between two processes.

mod distflow;
mod tcp;

use std::process::Command;

use crate::child::{Child, role};
use crate::erlang::Erlang;
use crate::failure::{Result, failure};
use crate::payload;
use crate::samples::Samples;
use crate::setting::{PmdProcess, Setting};

/// Payload size in bytes.
const SIZE: usize = 100;

/// Measures every contestant once.
pub fn measure(setting: &Setting, samples: &mut Samples) -> Result<()> {
    let count = setting.amount(20_000, 3_000).to_string();
    let payload = String::from_utf8(payload::object(SIZE))?;
    for kind in ["blocking", "handoff"] {
        run(setting, samples, kind, role(&["echo", kind])?, |port| {
            role(&["ping", kind, &count, port])
        })?;
    }
    {
        let pmd = PmdProcess::start(setting, None)?;
        let port = pmd.port.to_string();
        let echo = role(&["echo", "distflow", &port])?;
        run(setting, samples, "distflow", echo, |target| {
            role(&["ping", "distflow", &count, &port, target])
        })?;
    }
    if let Some(program) = &setting.tools.c {
        let pmd = PmdProcess::start(setting, None)?;
        let port = pmd.port.to_string();
        let mut echo = Command::new(program);
        echo.args(["echo", &port]);
        run(setting, samples, "c", echo, |alias| {
            let mut ping = Command::new(program);
            ping.args(["ping", &count, &port, alias, &payload]);
            Ok(ping)
        })?;
    }
    if let Some(program) = &setting.tools.zmq {
        let mut echo = Command::new(program);
        echo.arg("echo");
        run(setting, samples, "zmq", echo, |endpoint| {
            let mut ping = Command::new(program);
            ping.args(["ping", &count, endpoint, &payload]);
            Ok(ping)
        })?;
    }
    if let Some(folder) = &setting.tools.erlang {
        let erlang = Erlang::start(folder)?;
        let echo = erlang.node("echo", "echo()");
        run(setting, samples, "erl-bin", echo, |node| {
            let call = format!("ping('{node}', {count}, {payload:?})");
            Ok(erlang.node("ping", &call))
        })?;
    }
    Ok(())
}

/// Runs a child's role.
pub fn echo(words: &[&str]) -> Result<()> {
    match words {
        ["distflow", pmd] => distflow::echo(pmd.parse()?),
        [kind] => tcp::echo(kind),
        _ => Err(failure("unknown echo")),
    }
}

/// Runs a child's role.
pub fn ping(words: &[&str]) -> Result<()> {
    match words {
        ["distflow", count, pmd, target] => distflow::ping(count.parse()?, pmd.parse()?, target),
        [kind, count, port] => tcp::ping(kind, count.parse()?, port.parse()?),
        _ => Err(failure("unknown ping")),
    }
}

fn run(
    setting: &Setting,
    samples: &mut Samples,
    name: &str,
    echo: Command,
    ping: impl FnOnce(&str) -> Result<Command>,
) -> Result<()> {
    let echo = Child::spawn(echo, setting.server_cpu())?;
    let address = echo.line_after("ready ")?;
    let ping = Child::spawn(ping(&address)?, setting.client_cpu())?;
    let result = ping.result()?;
    let [p50, p99] = result[..] else {
        return Err(failure(format!("{name}: strange result")));
    };
    samples.add(format!("trip.{name}.p50"), p50 as f64 / 1e3);
    samples.add(format!("trip.{name}.p99"), p99 as f64 / 1e3);
    Ok(())
}

/// Times `count` trips after some to warm up, and prints what [`run`] takes.
fn report(count: u64, mut trip: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let warm = count / 10;
    let mut times = Vec::with_capacity(count as usize);
    for number in 0..count + warm {
        let start = std::time::Instant::now();
        trip(payload::FIRST + number)?;
        if number >= warm {
            times.push(start.elapsed().as_nanos() as u64);
        }
    }
    let (p50, p99) = crate::samples::p50_p99(times);
    println!("result {p50} {p99}");
    Ok(())
}
