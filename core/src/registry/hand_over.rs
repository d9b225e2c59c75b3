//! One PMD after another on the same port: handing over the table, and beginning with it.

use super::output::{ConnId, Output, Outputs, StopReason};
use super::register::Waiting;
use super::table::{Binding, Key, Liveness};
use super::{Registry, answer, answer_error, answer_success};
use crate::time::Now;
use crate::wire::pmd::{LeaveCause, Register};

impl Registry {
    /// Begins with nodes that a predecessor knew. They are found by everybody from now on, and
    /// leave if they don't come back while this PMD is warming up. To be called before any step.
    pub fn expect(&mut self, now: Now, nodes: impl IntoIterator<Item = Register>) {
        for node in nodes {
            let taken = self.table.by_id(node.node_id.as_str()).is_some()
                || node
                    .alias
                    .as_ref()
                    .is_some_and(|alias| self.table.by_alias(alias.as_str()).is_some());
            if taken || self.table.len() >= self.config.nodes_max {
                continue;
            }
            let binding = Binding {
                conn: None,
                liveness: Liveness::Expected,
                wall_ms: now.wall_ms,
                seen_ms: self.own_ms(now),
            };
            self.table.insert(node, binding);
            self.sweeping = true;
            self.empty_since_ms = None;
        }
    }

    /// Gives a successor the table, and then the place.
    pub(super) fn hand_over(
        &mut self,
        id: ConnId,
        request_id: Option<&str>,
        done: bool,
        out: &mut Outputs,
    ) {
        if !self.conn(id).is_some_and(|conn| conn.loopback) {
            let text = "a takeover is only allowed from loopback";
            return answer_error(out, id, request_id, text);
        }
        if !self.config.gives_way {
            let text =
                "this PMD was not brought into being by a node; stop it where it was started";
            return answer_error(out, id, request_id, text);
        }
        if done {
            answer_success(out, id, request_id);
            return self.stop(StopReason::TakenOver, out);
        }
        out.items.push(Output::SharePort);
        answer(out, id, request_id, |out| {
            out.extend_from_slice(b"{\"success\":true,");
            self.append_nodes(out, true, None);
            out.push(b'}');
        });
    }

    /// A registration wants the name of an expected node: that one has a moment to come back.
    pub(super) fn wait_for_expected(
        &mut self,
        now: Now,
        key: Key,
        waiting: Waiting,
        out: &mut Outputs,
    ) {
        if self.own_ms(now) < waiting.deadline_ms {
            if let Some(conn) = self.conn_mut(waiting.conn)
                && !conn.waits
            {
                conn.waits = true;
                out.items.push(Output::Pause(waiting.conn));
            }
            self.waiting.push_back(waiting);
        } else {
            self.remove(now, key, LeaveCause::Unknown, out);
            self.register(now, waiting, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use crate::names::{Alias, Host, NodeId};
    use crate::registry::{Config, Input};

    const A: ConnId = conn(0);
    const B: ConnId = conn(1);

    const fn conn(slot: u32) -> ConnId {
        ConnId {
            slot,
            generation: 1,
        }
    }

    fn at(mono_ms: u64) -> Now {
        Now {
            mono_ms,
            wall_ms: 1_000_000 + mono_ms,
        }
    }

    fn node(id: &str, alias: &str) -> Register {
        Register {
            node_id: NodeId::new(id).unwrap(),
            alias: Some(Alias::new(alias).unwrap()),
            host: Host::new("localhost").unwrap(),
            port: 7,
            caps: None,
            meta: Some("{\"zone\":1}".into()),
            session: None,
        }
    }

    /// A registry and what it has said since it was last asked.
    struct World(Registry, Outputs);

    impl World {
        fn new(gives_way: bool) -> Self {
            let mut config = Config::new("epoch".into(), [7; 32]);
            config.gives_way = gives_way;
            let mut world = Self(Registry::new(config, at(0)), Outputs::default());
            for id in [A, B] {
                world
                    .0
                    .step(at(0), Input::Opened(id, id == A), &mut world.1);
            }
            world
        }

        fn says(&mut self, now_ms: u64, id: ConnId, frame: &str) -> String {
            self.0
                .step(at(now_ms), Input::Frame(id, frame.as_bytes()), &mut self.1);
            self.0.settle(at(now_ms), &mut self.1);
            self.said()
        }

        fn ticks(&mut self, now_ms: u64) -> String {
            self.0.step(at(now_ms), Input::Tick, &mut self.1);
            self.said()
        }

        fn said(&mut self) -> String {
            let mut text = String::from_utf8_lossy(&self.1.bytes).into_owned();
            for item in &self.1.items {
                if let Output::Shared(_, bytes) = item {
                    text += &String::from_utf8_lossy(bytes);
                }
            }
            self.1.clear();
            text
        }
    }

    const WATCH: &str = r#"{"type":"watch","payload":{},"requestId":1}"#;
    const HELLO: &str = r#"{"type":"hello","payload":{"caps":["rev","meta"]},"requestId":0}"#;

    fn register(id: &str, alias: &str) -> String {
        format!(
            r#"{{"type":"register","payload":{{"nodeId":"{id}","alias":"{alias}","host":"localhost","port":7,"meta":{{"zone":1}}}},"requestId":2}}"#
        )
    }

    #[test]
    fn expected_nodes_are_found_and_come_back_unnoticed() {
        let mut world = World::new(false);
        world.0.expect(at(0), [node("1", "a"), node("2", "b")]);
        world.says(1, B, HELLO);
        let snapshot = world.says(1, B, WATCH);
        assert!(
            snapshot.contains("\"1\"") && snapshot.contains("\"2\""),
            "{snapshot}"
        );
        let found = world.says(
            2,
            B,
            r#"{"type":"resolve","payload":{"alias":"b"},"requestId":3}"#,
        );
        assert!(found.contains("\"nodeId\":\"2\""), "{found}");
        world.says(3, A, HELLO);
        let back = world.says(3, A, &register("1", "a"));
        assert!(
            back.contains("\"success\":true") && !back.contains("event"),
            "{back}"
        );
        // The other one does not come.
        let mut said = String::new();
        for ms in (0..=limits::WARMING_MS + limits::SWEEP_MS * 2).step_by(100) {
            said += &world.ticks(ms);
        }
        assert!(
            said.contains("peer:leave") && said.contains("\"cause\":\"unknown\""),
            "{said}"
        );
        assert_eq!(said.matches("peer:leave").count(), 1, "{said}");
        assert_eq!(world.0.len(), 1);
    }

    #[test]
    fn a_newcomer_waits_a_moment_for_the_name_of_an_expected_node() {
        let mut world = World::new(false);
        world.0.expect(at(0), [node("1", "a"), node("2", "b")]);
        for id in [A, B] {
            world.says(1, id, HELLO);
        }
        // Its owner comes back meanwhile: refused.
        assert_eq!(world.says(10, B, &register("3", "a")), "");
        let back = world.says(20, A, &register("1", "a"));
        assert!(back.contains("success"), "{back}");
        let refused = world.ticks(10 + limits::PROBE_MS);
        assert!(refused.contains("Alias 'a' already in use"), "{refused}");
        // Its owner does not: accepted.
        let mut said = world.says(1_000, B, &register("3", "b"));
        assert_eq!(said, "");
        said += &world.ticks(1_000 + limits::PROBE_MS);
        assert!(said.contains("success"), "{said}");
        assert_eq!(world.0.len(), 2);
    }

    #[test]
    fn only_who_gives_way_hands_over_and_only_to_this_machine() {
        let first = r#"{"type":"takeover","payload":{},"requestId":4}"#;
        let second = r#"{"type":"takeover","payload":{"done":true},"requestId":5}"#;
        for request in [first, second] {
            let mut world = World::new(false);
            let said = world.says(1, A, request);
            assert!(said.contains("not brought into being by a node"), "{said}");
            let mut world = World::new(true);
            let said = world.says(1, B, request);
            assert!(said.contains("only allowed from loopback"), "{said}");
        }
        let mut world = World::new(true);
        world.says(1, A, HELLO);
        world.says(1, A, &register("1", "a"));
        world
            .0
            .step(at(2), Input::Frame(A, first.as_bytes()), &mut world.1);
        assert_eq!(world.1.items[0], Output::SharePort);
        let table = world.said();
        assert!(
            table.contains("\"1\"") && table.contains("\"zone\":1"),
            "{table}"
        );
        world
            .0
            .step(at(3), Input::Frame(A, second.as_bytes()), &mut world.1);
        assert_eq!(
            world.1.items.last(),
            Some(&Output::Stop(StopReason::TakenOver))
        );
    }
}
