//! The tables on standard output, and the same as JSON.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::aims::AIMS;
use crate::failure::Result;
use crate::samples::{Samples, Spread};
use crate::setting::Setting;
use crate::unit::Unit::{self, Rate, Size, Time};

/// A table: rows are contestants (name, key), columns figures (heading, key, unit).
struct Table {
    title: &'static str,
    rows: &'static [(&'static str, &'static str)],
    columns: &'static [(&'static str, &'static str, Unit)],
}

const STREAM: &[(&str, &str, Unit)] = &[
    ("messages", "rate", Rate),
    ("CPU send", "cpu_send", Time),
    ("CPU receive", "cpu_receive", Time),
];

const REGISTRY: &[(&str, &str, Unit)] = &[
    ("resolve p50", "resolve_p50", Time),
    ("resolve x64", "resolve_rate", Rate),
    ("CPU", "resolve_cpu", Time),
    ("reg+unreg x64", "register_rate", Rate),
    ("CPU", "register_cpu", Time),
    ("list p50", "list_p50", Time),
    ("prefill", "prefill_rate", Rate),
];

const TABLES: &[Table] = &[
    Table {
        title: "Messages of 100 B, one direction; processor time per message",
        rows: &[
            ("distflow", "stream100.distflow"),
            ("distflow, C", "stream100.c"),
            ("distflow, C, callback", "stream100.c-callback"),
            ("plain TCP, writev", "stream100.writev"),
            ("libzmq push/pull", "stream100.zmq"),
            ("TCP, envelope, check", "stream100.check"),
            ("Erlang, binary", "stream100.erl-bin"),
            ("Erlang, map", "stream100.erl-map"),
        ],
        columns: STREAM,
    },
    Table {
        title: "Messages of 1 KiB",
        rows: &[
            ("distflow", "stream1024.distflow"),
            ("distflow, C", "stream1024.c"),
            ("distflow, C, callback", "stream1024.c-callback"),
            ("plain TCP, writev", "stream1024.writev"),
            ("libzmq push/pull", "stream1024.zmq"),
            ("TCP, envelope, check", "stream1024.check"),
            ("Erlang, binary", "stream1024.erl-bin"),
            ("Erlang, map", "stream1024.erl-map"),
        ],
        columns: STREAM,
    },
    Table {
        title: "One large message and a small answer",
        rows: &[
            ("distflow", "large.distflow"),
            ("TCP, chunk list", "large.chunks"),
            ("TCP, chunk list, check", "large.chunks-check"),
        ],
        columns: &[("8 MiB", "mb8", Time), ("32 MiB", "mb32", Time)],
    },
    Table {
        title: "Round trip, 100 B",
        rows: &[
            ("distflow", "trip.distflow"),
            ("distflow, C", "trip.c"),
            ("TCP, blocking", "trip.blocking"),
            ("TCP, reader thread", "trip.handoff"),
            ("libzmq pair", "trip.zmq"),
            ("Erlang, binary", "trip.erl-bin"),
        ],
        columns: &[("p50", "p50", Time), ("p99", "p99", Time)],
    },
    Table {
        title: "Registry with 1,000 nodes; processor time of the PMD per operation",
        rows: &[
            ("distflow", "pmd1000.distflow"),
            ("bare loop", "pmd1000.floor"),
        ],
        columns: REGISTRY,
    },
    Table {
        title: "Registry with 10,000 nodes",
        rows: &[
            ("distflow", "pmd10000.distflow"),
            ("bare loop", "pmd10000.floor"),
        ],
        columns: REGISTRY,
    },
    Table {
        title: "From kill -9 to peer:leave at each of 100 watchers",
        rows: &[("distflow", "fan_out")],
        columns: &[("p50", "p50", Time), ("p99", "p99", Time)],
    },
    Table {
        title: "From the start of a process to a registered node, p50",
        rows: &[("", "start")],
        columns: &[
            ("bare process", "bare.p50", Time),
            ("first, starts PMD", "first.p50", Time),
            ("second", "second.p50", Time),
        ],
    },
    Table {
        title: "Resident memory; per node at 10,000 nodes with a connection each",
        rows: &[("", "memory")],
        columns: &[
            ("PMD, empty", "empty", Size),
            ("per original node", "per_node.original", Size),
            ("per distflow node", "per_node.distflow", Size),
            ("idle node process", "node", Size),
        ],
    },
    Table {
        title: "Game sessions: until 11 see that one joined or left; until 100 that join at once are in",
        rows: &[
            ("broker in the box", "session.box"),
            ("Mosquitto", "session.mosquitto"),
        ],
        columns: &[
            ("to the broker and back p50", "trip.p50", Time),
            ("join p50", "join.p50", Time),
            ("join p99", "join.p99", Time),
            ("leave p50", "leave.p50", Time),
            ("leave p99", "leave.p99", Time),
            ("100 joins", "storm.p50", Time),
        ],
    },
];

/// Prints everything.
pub fn print(setting: &Setting, samples: &Samples) {
    for table in TABLES {
        table.print(samples);
    }
    println!("\nAims");
    let mut lines = vec![words(&[
        "what",
        "measured",
        "yardstick",
        "ratio",
        "aim",
        "",
    ])];
    for aim in AIMS {
        let name = format!(
            "{}{}",
            aim.what,
            if aim.stretch { " (stretch)" } else { "" }
        );
        let mut line = vec![name];
        match aim.outcome(samples) {
            None => line.extend(words(&["-", "-", "-", &aim.text(), "not measured"])),
            Some(outcome) => line.extend([
                aim.unit.text(outcome.measured.median),
                dash(outcome.yardstick.map(|it| aim.unit.text(it.median))),
                dash(outcome.ratio.map(|it| Unit::Ratio.text(it.median))),
                aim.text(),
                (if outcome.met { "met" } else { "NOT met" }).to_owned(),
            ]),
        }
        lines.push(line);
    }
    print_lines(&lines);
    for missing in &setting.tools.missing {
        println!("missing yardstick: {missing}");
    }
}

impl Table {
    fn print(&self, samples: &Samples) {
        let cell = |row: &str, column: &(&str, &str, Unit)| {
            let spread = samples.spread(&format!("{row}.{}", column.1));
            spread.map(|spread| figure(column.2, spread))
        };
        let mut lines = vec![words(&[""])];
        lines[0].extend(self.columns.iter().map(|column| column.0.to_owned()));
        for (name, key) in self.rows {
            let cells: Vec<_> = self
                .columns
                .iter()
                .map(|column| cell(key, column))
                .collect();
            if cells.iter().any(Option::is_some) {
                let mut line = words(&[name]);
                line.extend(cells.into_iter().map(dash));
                lines.push(line);
            }
        }
        if lines.len() > 1 {
            println!("\n{}", self.title);
            print_lines(&lines);
        }
    }
}

fn figure(unit: Unit, spread: Spread) -> String {
    let median = unit.text(spread.median);
    if spread.min == spread.max {
        return median;
    }
    format!(
        "{median} [{}..{}]",
        unit.text(spread.min),
        unit.text(spread.max)
    )
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn print_lines(lines: &[Vec<String>]) {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for line in lines {
        let cells = line.iter().zip(&widths);
        let text: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("  {}", text.join("  ").trim_end());
    }
}

/// Writes every value of every round, and the aims.
pub fn write(path: &Path, setting: &Setting, samples: &Samples) -> Result<()> {
    let mut figures = Map::new();
    for (key, values) in samples.iter() {
        let median = samples.spread(key).map(|spread| spread.median);
        figures.insert(key.clone(), json!({"median": median, "rounds": values}));
    }
    let aims: Vec<Value> = AIMS
        .iter()
        .map(|aim| {
            let outcome = aim.outcome(samples);
            json!({
                "what": aim.what,
                "key": aim.key,
                "aim": aim.text(),
                "stretch": aim.stretch,
                "measured": outcome.as_ref().map(|it| it.measured.median),
                "yardstick": outcome.as_ref().and_then(|it| it.yardstick).map(|it| it.median),
                "ratio": outcome.as_ref().and_then(|it| it.ratio).map(|it| it.median),
                "met": outcome.as_ref().map(|it| it.met),
            })
        })
        .collect();
    let all = json!({
        "version": distflow_core::VERSION,
        "units": "rates per second, times in microseconds, sizes in bytes",
        "quick": setting.quick,
        "processors": setting.cpus.map(|(a, b)| [a, b]),
        "missing": setting.tools.missing,
        "figures": figures,
        "aims": aims,
    });
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, format!("{all:#}\n"))?)
}
