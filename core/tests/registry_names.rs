//! Names that go from a killed process to its successor, in virtual time and in the numbers that
//! `docs/guarantees.md` gives.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use distflow_core::ids::Rng;
use distflow_core::limits;
use distflow_core::registry::{Config, ConnId, Input, Notice, Output, Outputs, Registry};
use distflow_core::time::Now;
use distflow_core::wire::frame::HEADER_BYTES;

struct Pmd {
    registry: Registry,
    now_ms: u64,
    conns: u32,
    /// Answers, joins and leaves since they were last looked at.
    said: Vec<String>,
}

impl Pmd {
    fn new() -> Self {
        let config = Config::new("epoch".into(), [1; 32]);
        Self {
            registry: Registry::new(config, Now::default()),
            now_ms: 0,
            conns: 0,
            said: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            mono_ms: self.now_ms,
            wall_ms: self.now_ms,
        }
    }

    fn step(&mut self, input: Input<'_>) {
        let mut out = Outputs::default();
        self.registry.step(self.now(), input, &mut out);
        for item in &out.items {
            match item {
                Output::Answer(_, range) => {
                    let text = &out.bytes[range.start + HEADER_BYTES..range.end];
                    let text = String::from_utf8(text.to_vec()).unwrap();
                    if !text.contains("\"probe\"") {
                        let good = text.contains("\"success\":true");
                        self.said.push(if good { "yes".into() } else { text });
                    }
                }
                Output::Notice(Notice::Joined(node)) => {
                    self.said.push(format!("+{}", node.node_id))
                }
                Output::Notice(Notice::Left(node, _)) => {
                    self.said.push(format!("-{}", node.node_id))
                }
                _ => {}
            }
        }
    }

    /// A connection that says what it is, as `ours` does or as an original.
    fn open(&mut self, ours: bool) -> ConnId {
        self.conns += 1;
        let id = ConnId {
            slot: self.conns % 3,
            generation: self.conns,
        };
        self.step(Input::Opened(id, true));
        if ours {
            let hello =
                br#"{"type":"hello","payload":{"caps":["rev","meta","probe"]},"requestId":1}"#;
            self.step(Input::Frame(id, hello));
            self.said.clear();
        }
        id
    }

    fn register(&mut self, conn: ConnId, id: &str) {
        let text = format!(
            r#"{{"type":"register","payload":{{"nodeId":"{id}","alias":"phoenix","host":"h","port":{}}},"requestId":2}}"#,
            1 + conn.generation % 60_000
        );
        self.step(Input::Frame(conn, text.as_bytes()));
    }

    /// Lets time pass, with a tick whenever the registry wants one.
    fn wait(&mut self, for_ms: u64) {
        let until_ms = self.now_ms + for_ms;
        while let Some(at_ms) = self
            .registry
            .next_deadline_ms()
            .filter(|at| *at <= until_ms)
        {
            self.now_ms = self.now_ms.max(at_ms);
            self.step(Input::Tick);
        }
        self.now_ms = until_ms;
    }
}

#[test]
fn in_ten_thousand_cycles_no_killed_process_is_refused_its_alias() {
    const CYCLES: u32 = 10_000;
    let mut pmd = Pmd::new();
    let mut rng = Rng::new(1);
    let mut holder = pmd.open(true);
    pmd.register(holder, "n0");
    assert_eq!(std::mem::take(&mut pmd.said), ["yes", "+n0"]);
    for cycle in 1..=CYCLES {
        // The victim is killed now. Its sockets are closed up to half a second later, before its
        // successor asks for the alias, at that moment, or afterwards.
        let closes_ms = rng.below(limits::PROBE_MS);
        let asks_ms = rng.below(20);
        let (old, new) = (format!("n{}", cycle - 1), format!("n{cycle}"));
        let successor = pmd.open(rng.below(4) > 0);
        let mut closed = false;
        if closes_ms <= asks_ms {
            pmd.wait(closes_ms);
            pmd.step(Input::Closed(holder));
            closed = true;
        }
        pmd.wait(asks_ms.saturating_sub(if closed { closes_ms } else { 0 }));
        pmd.register(successor, &new);
        if !closed {
            assert!(pmd.said.is_empty(), "cycle {cycle}: {:?}", pmd.said);
            pmd.wait(closes_ms - asks_ms);
            pmd.step(Input::Closed(holder));
        }
        assert_eq!(
            std::mem::take(&mut pmd.said),
            [format!("-{old}"), "yes".into(), format!("+{new}")],
            "cycle {cycle}"
        );
        holder = successor;
    }
}

#[test]
fn who_lives_keeps_the_alias_and_a_rival_knows_after_half_a_second() {
    let mut pmd = Pmd::new();
    let holder = pmd.open(true);
    pmd.register(holder, "a");
    pmd.said.clear();
    let rival = pmd.open(true);
    pmd.register(rival, "b");
    pmd.wait(limits::PROBE_MS - 1);
    assert!(pmd.said.is_empty(), "{:?}", pmd.said);
    pmd.wait(1 + limits::SWEEP_MS);
    assert_eq!(pmd.said.len(), 1);
    assert!(
        pmd.said[0].contains("Alias 'phoenix' already in use"),
        "{:?}",
        pmd.said
    );
}
