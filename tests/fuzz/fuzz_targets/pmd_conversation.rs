//! A PMD under a sequence of actions on several connections: no panic, no output for a
//! connection that is closed or paused, no deadline that stays in the past.
#![no_main]

use distflow_core::registry::{Config, ConnId, Input, Output, Outputs, Registry};
use distflow_core::time::Now;
use libfuzzer_sys::fuzz_target;

const CONNECTIONS: usize = 4;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Closed,
    Open,
    Paused,
}

struct World {
    registry: Registry,
    now: Now,
    states: [State; CONNECTIONS],
    generations: [u32; CONNECTIONS],
    out: Outputs,
}

impl World {
    fn id(&self, slot: usize) -> ConnId {
        ConnId {
            slot: slot as u32,
            generation: self.generations[slot],
        }
    }

    fn carry_out(&mut self) {
        for item in std::mem::take(&mut self.out.items) {
            match item {
                Output::Answer(id, range) => {
                    assert!(self.states[id.slot as usize] != State::Closed);
                    assert!(range.end <= self.out.bytes.len());
                }
                Output::Shared(id, _) | Output::Watch(id, _) => {
                    assert!(self.states[id.slot as usize] != State::Closed);
                }
                Output::Announce(_, range) => assert!(range.end <= self.out.bytes.len()),
                Output::Pause(id) => self.states[id.slot as usize] = State::Paused,
                Output::Resume(id) => self.states[id.slot as usize] = State::Open,
                Output::Close(id, _) => self.close(id.slot as usize),
                Output::Status(id, _) => {
                    assert!(self.states[id.slot as usize] != State::Closed);
                }
                Output::Inspect(_) | Output::Notice(_) | Output::Stop(_) | Output::SharePort => {}
            }
        }
        self.out.clear();
    }

    fn close(&mut self, slot: usize) {
        if self.states[slot] != State::Closed {
            self.states[slot] = State::Closed;
            let mut more = Outputs::default();
            let id = self.id(slot);
            self.registry.step(self.now, Input::Closed(id), &mut more);
            for item in more.items {
                if let Output::Resume(id) = item {
                    self.states[id.slot as usize] = State::Open;
                }
            }
        }
    }
}

/// Short texts that lead far into the registry, chosen by a byte.
fn request(byte: u8, raw: &[u8]) -> Vec<u8> {
    let id = ["a", "b", "c", "d"][usize::from(byte >> 4 & 3)];
    let alias = ["x", "y", "a", ""][usize::from(byte >> 6)];
    let text = match byte & 15 {
        0 => format!(r#"{{"type":"hello","payload":{{"v":1,"caps":["rev","meta","probe"]}},"requestId":1}}"#),
        1 => r#"{"type":"hello","payload":{"v":1,"caps":["hb"]},"requestId":1}"#.to_owned(),
        2..=5 => format!(
            r#"{{"type":"register","payload":{{"nodeId":"{id}","alias":"{alias}","host":"h","port":{}}},"requestId":1}}"#,
            1 + (byte & 1)
        ),
        6 => format!(r#"{{"type":"unregister","payload":{{"nodeId":"{id}"}},"requestId":1}}"#),
        7 => format!(r#"{{"type":"resolve","payload":{{"alias":"{alias}"}},"requestId":1}}"#),
        8 => r#"{"type":"list","payload":{},"requestId":1}"#.to_owned(),
        9 => format!(r#"{{"type":"heartbeat","payload":{{"nodeId":"{id}"}},"requestId":1}}"#),
        10 => format!(r#"{{"type":"heartbeat","payload":{{"nodeId":"{id}","probe":9}},"requestId":1}}"#),
        11 => r#"{"type":"watch","payload":{},"requestId":1}"#.to_owned(),
        _ => return raw.to_vec(),
    };
    text.into_bytes()
}

fuzz_target!(|data: &[u8]| {
    let mut config = Config::new("epoch".into(), [7; 32]);
    config.auto_shutdown_ms = Some(30_000);
    let now = Now::default();
    let mut world = World {
        registry: Registry::new(config, now),
        now,
        states: [State::Closed; CONNECTIONS],
        generations: [0; CONNECTIONS],
        out: Outputs::default(),
    };
    for action in data.chunks(3) {
        let slot = usize::from(action[0] & 3);
        let argument = action.get(1).copied().unwrap_or(0);
        match (action[0] >> 2, world.states[slot]) {
            (0..=7, State::Closed) => {
                world.generations[slot] += 1;
                world.states[slot] = State::Open;
                let input = Input::Opened(world.id(slot), argument & 1 == 0);
                world.registry.step(world.now, input, &mut world.out);
            }
            (8..=11, _) => world.close(slot),
            (12..=19, _) => {
                world.now.mono_ms += u64::from(argument) * 20;
                world.registry.step(world.now, Input::Tick, &mut world.out);
                world.carry_out();
                let next = world.registry.next_deadline_ms();
                assert!(next.is_none_or(|at| at > world.now.mono_ms), "{next:?}");
            }
            (_, State::Open) => {
                let body = request(argument, action);
                let input = Input::Frame(world.id(slot), &body);
                world.registry.step(world.now, input, &mut world.out);
            }
            _ => {}
        }
        if argument & 2 == 0 {
            world.registry.settle(world.now, &mut world.out);
        }
        world.carry_out();
    }
});
