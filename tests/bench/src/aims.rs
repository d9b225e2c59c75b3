//! What distflow aims at, and whether a run met it. Nothing here fails a build.

use crate::samples::{Samples, Spread};
use crate::unit::Unit;

/// Where the aim lies.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One line of the table of aims.
#[derive(Debug)]
pub struct Aim {
    pub what: &'static str,
    /// Key of the measured value.
    pub key: &'static str,
    pub unit: Unit,
    /// Key and name of the yardstick, when the aim is a ratio.
    pub yardstick: Option<(&'static str, &'static str)>,
    pub bound: Bound,
    /// Beyond what is asked for.
    pub stretch: bool,
}

/// An aim and what came of it.
#[derive(Debug)]
pub struct Outcome {
    pub measured: Spread,
    pub yardstick: Option<Spread>,
    pub ratio: Option<Spread>,
    pub met: bool,
}

impl Aim {
    const fn value(what: &'static str, key: &'static str, unit: Unit, bound: Bound) -> Self {
        Self {
            what,
            key,
            unit,
            yardstick: None,
            bound,
            stretch: false,
        }
    }

    const fn against(self, key: &'static str, name: &'static str) -> Self {
        Self {
            yardstick: Some((key, name)),
            ..self
        }
    }

    const fn stretch(self) -> Self {
        Self {
            stretch: true,
            ..self
        }
    }

    /// What a run says; `None` when it was not measured.
    pub fn outcome(&self, samples: &Samples) -> Option<Outcome> {
        let measured = samples.spread(self.key)?;
        let (yardstick, ratio) = match self.yardstick {
            Some((key, _)) => (samples.spread(key), samples.ratio(self.key, key)),
            None => (None, None),
        };
        let judged = match self.yardstick {
            Some(_) => ratio?.median,
            None => measured.median,
        };
        let met = match self.bound {
            Bound::AtLeast(bound) => judged >= bound,
            Bound::AtMost(bound) => judged <= bound,
        };
        Some(Outcome {
            measured,
            yardstick,
            ratio,
            met,
        })
    }

    /// The aim in words.
    pub fn text(&self) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtLeast(bound) => (">=", bound),
            Bound::AtMost(bound) => ("<=", bound),
        };
        match self.yardstick {
            Some((_, name)) => format!("{sign} {bound} x {name}"),
            None => format!("{sign} {}", self.unit.text(bound)),
        }
    }
}

use Bound::{AtLeast, AtMost};
use Unit::{Rate, Size, Time};

const S100: &str = "stream100.distflow.rate";
const S1K: &str = "stream1024.distflow.rate";
const TRIP: &str = "trip.distflow.p50";

/// The aims. Where an aim is a multiple of the original registry, which does not run here, it
/// is given twice: as the rate that was on two cores, and as the share of the bare loop that
/// was, which is a ratio within this run.
pub const AIMS: &[Aim] = &[
    Aim::value("messages, 100 B", S100, Rate, AtLeast(2e6)),
    Aim::value("messages, 100 B", S100, Rate, AtLeast(6.0))
        .against("stream100.erl-bin.rate", "Erlang"),
    Aim::value("messages, 100 B", S100, Rate, AtLeast(1.0))
        .against("stream100.zmq.rate", "libzmq")
        .stretch(),
    Aim::value("messages, 1 KiB", S1K, Rate, AtLeast(4.5))
        .against("stream1024.erl-bin.rate", "Erlang"),
    Aim::value("messages, 1 KiB", S1K, Rate, AtLeast(1.0))
        .against("stream1024.zmq.rate", "libzmq")
        .stretch(),
    Aim::value(
        "one message of 32 MiB",
        "large.distflow.mb32",
        Time,
        AtMost(1.5),
    )
    .against("large.chunks.mb32", "chunk list"),
    Aim::value(
        "one message of 8 MiB",
        "large.distflow.mb8",
        Time,
        AtMost(1.5),
    )
    .against("large.chunks.mb8", "chunk list"),
    Aim::value("round trip p50", TRIP, Time, AtMost(1.35))
        .against("trip.blocking.p50", "blocking TCP"),
    Aim::value("round trip p50", TRIP, Time, AtMost(1.15))
        .against("trip.blocking.p50", "blocking TCP")
        .stretch(),
    Aim::value("C to C, 100 B", "stream100.c.rate", Rate, AtLeast(0.9)).against(S100, "the core"),
    Aim::value("C to C, 1 KiB", "stream1024.c.rate", Rate, AtLeast(0.9)).against(S1K, "the core"),
    Aim::value("C to C, round trip p50", "trip.c.p50", Time, AtMost(1.1)).against(TRIP, "the core"),
    Aim::value(
        "resolve pipelined, 1,000",
        "pmd1000.distflow.resolve_rate",
        Rate,
        AtLeast(5e5),
    ),
    Aim::value(
        "resolve pipelined, 1,000",
        "pmd1000.distflow.resolve_rate",
        Rate,
        AtLeast(0.73),
    )
    .against("pmd1000.floor.resolve_rate", "bare loop"),
    Aim::value(
        "resolve pipelined, 10,000",
        "pmd10000.distflow.resolve_rate",
        Rate,
        AtLeast(4e5),
    ),
    Aim::value(
        "resolve pipelined, 10,000",
        "pmd10000.distflow.resolve_rate",
        Rate,
        AtLeast(0.81),
    )
    .against("pmd10000.floor.resolve_rate", "bare loop"),
    Aim::value(
        "register+unregister, 1,000",
        "pmd1000.distflow.register_rate",
        Rate,
        AtLeast(1.5e5),
    ),
    Aim::value(
        "register+unregister, 1,000",
        "pmd1000.distflow.register_rate",
        Rate,
        AtLeast(0.73),
    )
    .against("pmd1000.floor.register_rate", "bare loop"),
    Aim::value(
        "register+unregister, 10,000",
        "pmd10000.distflow.register_rate",
        Rate,
        AtLeast(1.5e5),
    ),
    Aim::value(
        "register+unregister, 10,000",
        "pmd10000.distflow.register_rate",
        Rate,
        AtLeast(0.73),
    )
    .against("pmd10000.floor.register_rate", "bare loop"),
    Aim::value(
        "registry bytes per known send",
        "known_peer.bytes",
        Size,
        AtMost(0.0),
    ),
    Aim::value(
        "leave at 100 watchers p50",
        "fan_out.p50",
        Time,
        AtMost(1_200.0),
    ),
    Aim::value(
        "leave at 100 watchers p99",
        "fan_out.p99",
        Time,
        AtMost(3_000.0),
    ),
    Aim::value(
        "PMD memory per node",
        "memory.per_node.original",
        Size,
        AtMost(1_500.0),
    ),
    Aim::value(
        "PMD memory, empty",
        "memory.empty",
        Size,
        AtMost((4 << 20) as f64),
    ),
    Aim::value(
        "first node with its PMD",
        "start.first.p50",
        Time,
        AtMost(20_000.0),
    ),
    Aim::value("second node", "start.second.p50", Time, AtMost(5_000.0)),
    Aim::value(
        "session: a join seen by all, p99",
        "session.mosquitto.join.p99",
        Time,
        AtMost(300e3),
    ),
    Aim::value(
        "session: a leave seen by all, p99",
        "session.mosquitto.leave.p99",
        Time,
        AtMost(300e3),
    ),
];
