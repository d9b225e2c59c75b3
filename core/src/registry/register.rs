//! Registration: who may have a name, and what happens when two want the same.
//!
//! A killed process keeps its sockets until the kernel has torn it down, so its successor can
//! ask for the alias before the registry saw the end. A conflicting registration therefore
//! first has the holder's socket looked at, then waits briefly for the holder to answer a
//! probe or to go, and is refused only then.

use sha2::{Digest, Sha256};

use super::output::{ConnId, Output, Outputs};
use super::table::{Binding, Key, Liveness};
use super::{Registry, answer, answer_error, forget};
use crate::limits;
use crate::time::Now;
use crate::wire::json;
use crate::wire::pmd::{LeaveCause, Register};

/// A registration that waits for a name.
#[derive(Debug)]
pub(super) struct Waiting {
    pub conn: ConnId,
    pub request_id: Option<Box<str>>,
    pub node: Box<Register>,
    /// When it is refused, in the registry's own time.
    pub deadline_ms: u64,
    /// The connection that holds the name, and the number of the probe it was sent.
    pub holder: Option<(ConnId, u64)>,
}

enum Verdict {
    /// No one has the id: a new node.
    New,
    /// The node is known and this connection may have it; the flag says that nothing changed
    /// that watchers were told.
    Known(Key, bool),
    /// Someone else has a name; the text is the refusal.
    Conflict(Key, String),
    Refuse(String),
}

impl Registry {
    pub(super) fn register(&mut self, now: Now, waiting: Waiting, out: &mut Outputs) {
        match self.judge(&waiting) {
            Verdict::New => self.register_new(now, waiting, out),
            Verdict::Known(key, unchanged) => {
                self.register_again(now, key, unchanged, waiting, out);
            }
            Verdict::Refuse(text) => self.refuse(&waiting, &text, out),
            Verdict::Conflict(key, _)
                if self
                    .table
                    .get(key)
                    .is_some_and(|entry| entry.liveness == Liveness::Expected) =>
            {
                self.wait_for_expected(now, key, waiting, out);
            }
            Verdict::Conflict(key, text) => {
                let holder = self.table.get(key).and_then(|entry| entry.conn);
                match holder {
                    Some(holder)
                        if self.own_ms(now) < waiting.deadline_ms && holder != waiting.conn =>
                    {
                        self.wait_for(holder, waiting, out);
                    }
                    _ => self.refuse(&waiting, &text, out),
                }
            }
        }
    }

    fn judge(&self, waiting: &Waiting) -> Verdict {
        let node = &*waiting.node;
        let by_alias = node
            .alias
            .as_ref()
            .and_then(|alias| self.table.by_alias(alias.as_str()));
        let by_id = self.table.by_id(node.node_id.as_str());
        if let (Some(key), Some(alias)) = (by_alias.filter(|_| by_alias != by_id), &node.alias) {
            return Verdict::Conflict(key, format!("Alias '{alias}' already in use"));
        }
        if let Some(conflict) = self.judge_crossed(waiting) {
            return conflict;
        }
        let Some((key, entry)) = by_id.and_then(|key| Some((key, self.table.get(key)?))) else {
            return self.judge_room(waiting.conn);
        };
        let old = &*entry.node;
        let reconnects = old.host == node.host && old.port == node.port && old.alias == node.alias;
        let unchanged = reconnects && old.caps == node.caps && old.meta == node.meta;
        let may = entry.conn == Some(waiting.conn)
            || reconnects
            || node
                .session
                .as_deref()
                .is_some_and(|token| same(token, &self.token(old, entry.generation)))
            || crate::plant::active("takeover");
        if may {
            Verdict::Known(key, unchanged)
        } else {
            Verdict::Conflict(key, format!("Node '{}' already registered", node.node_id))
        }
    }

    /// A name that is an alias of one node and the id of another says two things. Originals may
    /// register so, as they are used to; there the id counts.
    fn judge_crossed(&self, waiting: &Waiting) -> Option<Verdict> {
        if !self.conn(waiting.conn).is_some_and(|conn| conn.greeted) {
            return None;
        }
        let node = &*waiting.node;
        let is_other = |key: &Key| {
            let entry = self.table.get(*key);
            entry.is_some_and(|entry| entry.node.node_id != node.node_id)
        };
        if let Some(alias) = &node.alias
            && let Some(key) = self.table.by_id(alias.as_str()).filter(is_other)
        {
            let text = format!("Alias '{alias}' is the id of another node: it is already in use");
            return Some(Verdict::Conflict(key, text));
        }
        let id = &node.node_id;
        let key = self.table.by_alias(id.as_str()).filter(is_other)?;
        let holder = self.table.get(key).and_then(|entry| entry.conn);
        // What an original may have taken keeps nobody from coming back under its own id.
        holder.filter(|&conn| self.conn(conn).is_some_and(|conn| conn.greeted))?;
        let text =
            format!("Node '{id}' has another node's alias for an id: it is already registered");
        Some(Verdict::Conflict(key, text))
    }

    fn judge_room(&self, id: ConnId) -> Verdict {
        let of_conn = self.conn(id).map_or(0, |conn| conn.nodes.len());
        if self.table.len() >= self.config.nodes_max {
            Verdict::Refuse(format!(
                "the PMD is full: {} nodes are registered",
                self.table.len()
            ))
        } else if of_conn >= self.config.nodes_per_connection_max {
            Verdict::Refuse(format!(
                "one connection may register at most {} nodes",
                self.config.nodes_per_connection_max
            ))
        } else {
            Verdict::New
        }
    }

    fn binding(&mut self, now: Now, id: ConnId) -> Binding {
        let heartbeat = self.conn(id).is_some_and(|conn| conn.caps.heartbeat);
        if heartbeat && !self.sweeping {
            self.sweeping = true;
            self.last_sweep_ms = now.mono_ms;
        }
        Binding {
            conn: Some(id),
            liveness: if heartbeat {
                Liveness::SocketAndHeartbeat
            } else {
                Liveness::Socket
            },
            wall_ms: now.wall_ms,
            seen_ms: self.own_ms(now),
        }
    }

    fn register_new(&mut self, now: Now, waiting: Waiting, out: &mut Outputs) {
        let binding = self.binding(now, waiting.conn);
        let key = self.table.insert(*waiting.node, binding);
        if let Some(conn) = self.conn_mut(waiting.conn) {
            conn.nodes.push(key);
        }
        self.accept(waiting.conn, waiting.request_id.as_deref(), key, out);
        self.joined(key, out);
    }

    /// The same node again: over a new connection, with other properties, or both.
    fn register_again(
        &mut self,
        now: Now,
        key: Key,
        unchanged: bool,
        waiting: Waiting,
        out: &mut Outputs,
    ) {
        let binding = self.binding(now, waiting.conn);
        let Some(old) = self.table.replace(key, *waiting.node, binding) else {
            return;
        };
        if old.conn != Some(waiting.conn) {
            // From here on the old connection's end means nothing to this node.
            if let Some(conn) = old.conn.and_then(|id| self.conn_mut(id))
                && !crate::plant::active("stale_close")
            {
                forget(&mut conn.nodes, key);
            }
            if let Some(conn) = self.conn_mut(waiting.conn) {
                conn.nodes.push(key);
            }
        }
        self.accept(waiting.conn, waiting.request_id.as_deref(), key, out);
        if !unchanged {
            self.left(&old, LeaveCause::Replaced, out);
            self.joined(key, out);
            self.retry_waiting(now, out);
        }
    }

    fn accept(&self, id: ConnId, request_id: Option<&str>, key: Key, out: &mut Outputs) {
        let greeted = self.conn(id).is_some_and(|conn| conn.greeted);
        let token = match self.table.get(key) {
            Some(entry) if greeted => Some(self.token(&entry.node, entry.generation)),
            _ => None,
        };
        answer(out, id, request_id, |out| {
            out.extend_from_slice(b"{\"success\":true");
            if let Some(token) = token {
                out.extend_from_slice(b",\"session\":");
                json::append_string(out, &token);
            }
            out.push(b'}');
        });
    }

    /// Proof of a registration that only its registrant was told.
    fn token(&self, node: &Register, generation: u64) -> String {
        let mut hash = Sha256::new();
        hash.update(self.config.secret);
        hash.update(generation.to_be_bytes());
        hash.update(node.node_id.as_str());
        hash.finalize()[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn wait_for(&mut self, holder: ConnId, mut waiting: Waiting, out: &mut Outputs) {
        if let Some(conn) = self.conn_mut(waiting.conn)
            && !conn.waits
        {
            conn.waits = true;
            out.items.push(Output::Pause(waiting.conn));
        }
        let number = self.probe(holder, out);
        waiting.holder = Some((holder, number));
        self.waiting.push_back(waiting);
    }

    fn refuse(&mut self, waiting: &Waiting, text: &str, out: &mut Outputs) {
        answer_error(out, waiting.conn, waiting.request_id.as_deref(), text);
    }

    fn resume(&mut self, id: ConnId, out: &mut Outputs) {
        if let Some(conn) = self.conn_mut(id)
            && std::mem::take(&mut conn.waits)
        {
            out.items.push(Output::Resume(id));
        }
    }

    /// A name may have become free: those who wait for one try again, first come first served.
    pub(super) fn retry_waiting(&mut self, now: Now, out: &mut Outputs) {
        for _ in 0..self.waiting.len() {
            let Some(waiting) = self.waiting.pop_front() else {
                break;
            };
            let conn = waiting.conn;
            let holder = waiting.holder.map(|(holder, _)| holder);
            if holder.is_some_and(|holder| self.holds(holder, &waiting)) {
                self.waiting.push_back(waiting);
                continue;
            }
            self.register(now, waiting, out);
            if !self.waiting.iter().any(|waiting| waiting.conn == conn) {
                self.resume(conn, out);
            }
        }
    }

    /// Whether that connection still holds a name this registration wants.
    fn holds(&self, holder: ConnId, waiting: &Waiting) -> bool {
        match self.judge(waiting) {
            Verdict::Conflict(key, _) => {
                self.table.get(key).and_then(|entry| entry.conn) == Some(holder)
            }
            _ => false,
        }
    }

    /// The holder answered: whoever waited for it to die is refused at once.
    pub(super) fn probe_answered(&mut self, now: Now, id: ConnId, number: u64, out: &mut Outputs) {
        self.refuse_waiting(now, out, |waiting, _| {
            waiting
                .holder
                .is_some_and(|(holder, probe)| holder == id && number >= probe)
        });
    }

    pub(super) fn expire_waiting(&mut self, now: Now, out: &mut Outputs) {
        self.refuse_waiting(now, out, |waiting, own_ms| waiting.deadline_ms <= own_ms);
    }

    fn refuse_waiting(
        &mut self,
        now: Now,
        out: &mut Outputs,
        over: impl Fn(&Waiting, u64) -> bool,
    ) {
        let own_ms = self.own_ms(now);
        for _ in 0..self.waiting.len() {
            let Some(mut waiting) = self.waiting.pop_front() else {
                break;
            };
            if !over(&waiting, own_ms) {
                self.waiting.push_back(waiting);
                continue;
            }
            // Judged again without more time, so that the text names today's conflict.
            waiting.deadline_ms = 0;
            let conn = waiting.conn;
            self.register(now, waiting, out);
            self.resume(conn, out);
        }
    }
}

/// Compares without telling by its duration where the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .fold(0, |diff, (a, b)| diff | (a ^ b))
            == 0
}

// The bound on a registration's wait keeps the queue of waiting ones short.
const _: () = assert!(limits::PROBE_MS <= 1_000);
