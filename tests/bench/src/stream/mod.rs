//! Messages per second between two processes, each contestant in turn.

mod distflow;
mod tcp;

use std::path::Path;
use std::process::Command;

use crate::child::{Child, role};
use crate::erlang::Erlang;
use crate::failure::{Result, failure};
use crate::payload;
use crate::process::{monotonic_ns, own_cpu_ns};
use crate::samples::Samples;
use crate::setting::{PmdProcess, Setting};

/// Payload sizes in bytes.
pub const SIZES: [usize; 2] = [100, 1_024];

/// Measures every contestant once at every size.
pub fn measure(setting: &Setting, samples: &mut Samples) -> Result<()> {
    for size in SIZES {
        let pair = Pair { setting, size };
        pair.rust(samples, "writev")?;
        pair.distflow(samples)?;
        if let Some(program) = &setting.tools.c {
            pair.c(samples, program, "c", "receive")?;
            pair.c(samples, program, "c-callback", "receive-callback")?;
        }
        if let Some(program) = &setting.tools.zmq {
            pair.zmq(samples, program)?;
        }
        pair.rust(samples, "check")?;
        if let Some(folder) = &setting.tools.erlang {
            let erlang = Erlang::start(folder)?;
            pair.erlang(samples, &erlang, "bin")?;
            pair.erlang(samples, &erlang, "map")?;
        }
    }
    Ok(())
}

/// Runs a child's role; the words are contestant, then what the parent said.
pub fn send(words: &[&str]) -> Result<()> {
    match words {
        ["distflow", size, ms, pmd, target] => {
            distflow::send(size.parse()?, ms.parse()?, pmd.parse()?, target)
        }
        [kind, size, ms, port] => tcp::send(kind, size.parse()?, ms.parse()?, port.parse()?),
        _ => Err(failure("unknown sender")),
    }
}

/// Runs a child's role.
pub fn receive(words: &[&str]) -> Result<()> {
    match words {
        ["distflow", size, pmd] => distflow::receive(size.parse()?, pmd.parse()?),
        [kind, size] => tcp::receive(kind, size.parse()?),
        _ => Err(failure("unknown receiver")),
    }
}

struct Pair<'a> {
    setting: &'a Setting,
    size: usize,
}

impl Pair<'_> {
    fn milliseconds(&self) -> String {
        ((self.setting.seconds * 1e3) as u64).to_string()
    }

    /// Starts the receiver, then the sender with what the receiver said, and takes the numbers
    /// of both: messages, nanoseconds, nanoseconds of processor time.
    fn run(
        &self,
        samples: &mut Samples,
        name: &str,
        receiver: Command,
        sender: impl FnOnce(&str) -> Result<Command>,
    ) -> Result<()> {
        let receiver = Child::spawn(receiver, self.setting.server_cpu())?;
        let address = receiver.line_after("ready ")?;
        let sender = Child::spawn(sender(&address)?, self.setting.client_cpu())?;
        let (received, sent) = (receiver.result()?, sender.result()?);
        let ([count, ns, cpu_in], [count_out, _, cpu_out]) = (&received[..], &sent[..]) else {
            return Err(failure(format!("{name}: strange results")));
        };
        if count != count_out {
            return Err(failure(format!("{name}: {count_out} sent, {count} came")));
        }
        let per_message = |ns: u64| ns as f64 / 1e3 / (*count).max(1) as f64;
        let key = format!("stream{}.{name}", self.size);
        samples.add(format!("{key}.rate"), *count as f64 / (*ns as f64 / 1e9));
        samples.add(format!("{key}.cpu_send"), per_message(*cpu_out));
        samples.add(format!("{key}.cpu_receive"), per_message(*cpu_in));
        Ok(())
    }

    fn distflow(&self, samples: &mut Samples) -> Result<()> {
        let pmd = PmdProcess::start(self.setting, None)?;
        let (size, port) = (self.size.to_string(), pmd.port.to_string());
        let receiver = role(&["receive", "distflow", &size, &port])?;
        self.run(samples, "distflow", receiver, |target| {
            let ms = self.milliseconds();
            role(&["send", "distflow", &size, &ms, &port, target])
        })
    }

    fn c(&self, samples: &mut Samples, program: &Path, name: &str, role: &str) -> Result<()> {
        let pmd = PmdProcess::start(self.setting, None)?;
        let payload = String::from_utf8(payload::object(self.size))?;
        let port = pmd.port.to_string();
        let mut receiver = Command::new(program);
        receiver.args([role, &self.size.to_string(), &port]);
        self.run(samples, name, receiver, |alias| {
            let mut sender = Command::new(program);
            sender.args(["send", &self.milliseconds(), &port, alias, &payload]);
            Ok(sender)
        })
    }

    fn rust(&self, samples: &mut Samples, kind: &str) -> Result<()> {
        let size = self.size.to_string();
        let receiver = role(&["receive", kind, &size])?;
        self.run(samples, kind, receiver, |port| {
            role(&["send", kind, &size, &self.milliseconds(), port])
        })
    }

    fn zmq(&self, samples: &mut Samples, program: &Path) -> Result<()> {
        let payload = String::from_utf8(payload::object(self.size))?;
        let mut receiver = Command::new(program);
        receiver.args(["receive", &self.size.to_string()]);
        self.run(samples, "zmq", receiver, |endpoint| {
            let mut sender = Command::new(program);
            sender.args(["send", &self.milliseconds(), endpoint, &payload]);
            Ok(sender)
        })
    }

    fn erlang(&self, samples: &mut Samples, erlang: &Erlang<'_>, kind: &str) -> Result<()> {
        let payload = payload::object(self.size);
        let receiver = erlang.node("receiver", &format!("receive_all({kind})"));
        self.run(samples, &format!("erl-{kind}"), receiver, |node| {
            let text = format!("{:?}", String::from_utf8(payload)?);
            let call = format!(
                "send_all({kind}, '{node}', {}, {text})",
                self.milliseconds()
            );
            Ok(erlang.node("sender", &call))
        })
    }
}

/// What a side has done since its first message.
#[derive(Debug)]
struct Stopwatch {
    start_ns: u64,
    cpu_ns: u64,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            start_ns: monotonic_ns(),
            cpu_ns: own_cpu_ns(),
        }
    }

    fn has_run_ms(&self, ms: u64) -> bool {
        monotonic_ns() - self.start_ns >= ms * 1_000_000
    }

    /// Prints the numbers that [`Pair::run`] takes.
    fn report(&self, count: u64) {
        let (ns, cpu_ns) = (monotonic_ns() - self.start_ns, own_cpu_ns() - self.cpu_ns);
        println!("result {count} {ns} {cpu_ns}");
    }
}
