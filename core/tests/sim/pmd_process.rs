//! The PMD's process: the real registry behind a server that does what `pmd::server` does.

use std::collections::{BTreeMap, VecDeque};

use distflow_core::limits;
use distflow_core::registry::{Config, ConnId, Feeds, Input, Outgoing, Output, Outputs, Registry};
use distflow_core::wire::frame;

use crate::checks;
use crate::env::{Env, Ready};
use crate::network::{ConnIx, ReadEnd};
use crate::node_process::PMD_PORT;
use crate::queue::Pid;

struct Conn {
    conn: ConnIx,
    generation: u32,
    pending: Vec<u8>,
    out: Outgoing,
    /// Flushing a last answer until then; what still arrives is thrown away.
    lingers_until_ms: Option<u64>,
    paused: bool,
}

impl Conn {
    fn is_held(&self) -> bool {
        self.paused || self.out.answer_bytes() > limits::ANSWERS_BYTES_MAX
    }
}

pub struct PmdProcess {
    pub pid: Pid,
    pub registry: Registry,
    pub stopped: bool,
    /// It knows nothing beyond what the originals do: no greeting, and so no revisions, no
    /// metadata, no probes.
    pub original: bool,
    watcher_bytes_max: usize,
    outputs: Outputs,
    conns: Vec<Option<Conn>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    ids: BTreeMap<ConnIx, ConnId>,
    again: VecDeque<ConnId>,
    dirty: Vec<ConnId>,
    feeds: Feeds,
    stalls_at_ms: Option<u64>,
}

impl PmdProcess {
    pub fn new(
        pid: Pid,
        config: Config,
        watcher_bytes_max: usize,
        original: bool,
        env: &mut Env,
    ) -> Self {
        env.listen(pid, PMD_PORT);
        let process = Self {
            pid,
            registry: Registry::new(config, env.now()),
            stopped: false,
            original,
            watcher_bytes_max,
            outputs: Outputs::default(),
            conns: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            ids: BTreeMap::new(),
            again: VecDeque::new(),
            dirty: Vec::new(),
            feeds: Feeds::default(),
            stalls_at_ms: None,
        };
        env.arm(pid, process.registry.next_deadline_ms());
        process
    }

    /// One turn of the poll loop: everything that is ready, then what that caused.
    pub fn turn(&mut self, env: &mut Env) {
        while let Some(ready) = env.take_ready(self.pid) {
            match ready {
                Ready::Accepted(conn) => self.accept(env, conn),
                Ready::Readable(conn) => {
                    if let Some(&id) = self.ids.get(&conn) {
                        self.readable(env, id);
                    }
                }
                Ready::Writable(conn) => {
                    if let Some(&id) = self.ids.get(&conn) {
                        self.flush(env, id);
                    }
                }
                _ => {}
            }
        }
        self.finish_turn(env);
    }

    fn finish_turn(&mut self, env: &mut Env) {
        self.registry.settle(env.now(), &mut self.outputs);
        self.carry_out(env);
        while !self.again.is_empty() || !self.dirty.is_empty() {
            self.look_again(env);
            self.registry.settle(env.now(), &mut self.outputs);
            self.carry_out(env);
            for id in std::mem::take(&mut self.dirty) {
                self.flush(env, id);
            }
        }
        env.note(&[self.registry.revision(), self.registry.len() as u64]);
        env.arm(self.pid, self.deadline_ms());
    }

    fn deadline_ms(&self) -> Option<u64> {
        let lingering = self.conns.iter().flatten();
        let lingering = lingering.filter_map(|conn| conn.lingers_until_ms).min();
        [
            self.registry.next_deadline_ms(),
            lingering,
            self.stalls_at_ms,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub fn tick(&mut self, env: &mut Env) {
        // A turn looks at sockets before it looks at the time.
        self.turn(env);
        let now = env.now();
        let over: Vec<ConnId> = self
            .ids
            .values()
            .copied()
            .filter(|&id| {
                let conn = self.conns[id.slot as usize].as_ref();
                let until = conn.and_then(|conn| conn.lingers_until_ms);
                until.is_some_and(|at| at <= now.mono_ms)
            })
            .collect();
        for id in over {
            self.close(env, id);
        }
        self.look_for_stalls(env);
        if self
            .registry
            .next_deadline_ms()
            .is_some_and(|at| at <= now.mono_ms)
        {
            env.note_tick(self.pid);
            self.registry.step(now, Input::Tick, &mut self.outputs);
            self.carry_out(env);
            if self
                .registry
                .next_deadline_ms()
                .is_some_and(|at| at <= now.mono_ms)
                && !self.stopped
            {
                env.fail(|| "the registry's deadline stays in the past after a tick".into());
            }
        }
        self.finish_turn(env);
    }

    fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns
            .get_mut(id.slot as usize)?
            .as_mut()
            .filter(|conn| conn.generation == id.generation)
    }

    fn accept(&mut self, env: &mut Env, conn: ConnIx) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            self.generations.push(0);
            (self.conns.len() - 1) as u32
        });
        self.generations[slot as usize] += 1;
        let generation = self.generations[slot as usize];
        let id = ConnId { slot, generation };
        self.conns[slot as usize] = Some(Conn {
            conn,
            generation,
            pending: Vec::new(),
            out: Outgoing::default(),
            lingers_until_ms: None,
            paused: false,
        });
        self.ids.insert(conn, id);
        self.registry
            .step(env.now(), Input::Opened(id, true), &mut self.outputs);
        self.again.push_back(id);
    }

    fn readable(&mut self, env: &mut Env, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        let lingering = conn.lingers_until_ms.is_some();
        if !lingering && conn.is_held() {
            return;
        }
        let (bytes, end) = env.read(conn.conn, 1, usize::MAX);
        if !lingering && !bytes.is_empty() {
            self.received(env, id, &bytes);
        }
        if end != ReadEnd::Open {
            self.registry.settle(env.now(), &mut self.outputs);
            self.carry_out(env);
            // A paused connection's end waits for its turn, as it would in the socket.
            self.close(env, id);
        }
    }

    fn received(&mut self, env: &mut Env, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.conn(id) else { return };
        let mut pending = std::mem::take(&mut conn.pending);
        pending.extend_from_slice(bytes);
        let used = self.frames(env, id, &pending);
        pending.drain(..used);
        if let Some(conn) = self.conn(id) {
            conn.pending = pending;
        }
    }

    fn frames(&mut self, env: &mut Env, id: ConnId, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            match self.conn(id) {
                Some(conn) if conn.lingers_until_ms.is_none() && !conn.is_held() => {}
                Some(conn) if conn.lingers_until_ms.is_none() => return used,
                _ => return bytes.len(),
            }
            match frame::split(&bytes[used..], limits::PMD_FRAME_BYTES_MAX) {
                Ok(Some(body)) => {
                    used += frame::HEADER_BYTES + body.len();
                    let unheard = self.original.then(|| without_greeting(body)).flatten();
                    let body = unheard.as_deref().unwrap_or(body);
                    self.registry
                        .step(env.now(), Input::Frame(id, body), &mut self.outputs);
                    self.carry_out(env);
                }
                Ok(None) => return used,
                Err(error) => {
                    env.fail(|| format!("the PMD refuses a frame: {error}"));
                    return bytes.len();
                }
            }
        }
    }

    fn enqueue(&mut self, id: ConnId, bytes: &[u8]) {
        let conn = self
            .conns
            .get_mut(id.slot as usize)
            .and_then(Option::as_mut);
        if let Some(conn) = conn.filter(|conn| conn.generation == id.generation) {
            conn.out.answer(&self.feeds, bytes);
            self.dirty.push(id);
        }
    }

    fn linger(&mut self, env: &mut Env, id: ConnId, for_ms: u64) {
        let until = env.now().mono_ms + for_ms;
        let conn = self
            .conns
            .get_mut(id.slot as usize)
            .and_then(Option::as_mut);
        if let Some(conn) = conn.filter(|conn| conn.generation == id.generation) {
            conn.out.seal(&self.feeds);
            conn.lingers_until_ms = Some(until);
            conn.pending = Vec::new();
            self.again.push_back(id);
            self.dirty.push(id);
        }
    }

    fn carry_out(&mut self, env: &mut Env) {
        while !self.outputs.items.is_empty() {
            let mut outputs = std::mem::take(&mut self.outputs);
            for item in outputs.items.drain(..) {
                match item {
                    Output::Answer(id, range) => {
                        env.note_bytes(&outputs.bytes[range.clone()]);
                        self.enqueue(id, &outputs.bytes[range]);
                    }
                    Output::Shared(id, bytes) => {
                        if let Some(conn) = self.conn(id) {
                            conn.out.share(&bytes);
                        }
                    }
                    Output::Watch(id, kind) => {
                        let conn = self.conns.get_mut(id.slot as usize);
                        let conn = conn.and_then(Option::as_mut);
                        if let Some(conn) = conn.filter(|conn| conn.generation == id.generation) {
                            conn.out.watch(&mut self.feeds, kind);
                        }
                    }
                    Output::Announce(kind, range) => {
                        env.note_bytes(&outputs.bytes[range.clone()]);
                        self.feeds.push(kind, &outputs.bytes[range]);
                        self.announced();
                        self.expect_stalls(env);
                    }
                    Output::Inspect(id) => self.again.push_front(id),
                    Output::Pause(id) => {
                        if let Some(conn) = self.conn(id) {
                            conn.paused = true;
                        }
                    }
                    Output::Resume(id) => {
                        if let Some(conn) = self.conn(id) {
                            conn.paused = false;
                            self.again.push_back(id);
                        }
                    }
                    Output::Close(id, _) => self.linger(env, id, limits::LINGER_MS),
                    Output::Notice(notice) => checks::noticed(env, self, &notice),
                    Output::Stop(_) => self.stopped = true,
                    // Nobody asks, and nobody takes over.
                    Output::Status(..) | Output::SharePort => {}
                }
            }
            outputs.clear();
            if self.outputs.items.is_empty() {
                self.outputs = outputs;
            }
        }
    }

    /// Whoever watches has something to read.
    fn announced(&mut self) {
        for &id in self.ids.values() {
            let conn = self.conns[id.slot as usize].as_ref();
            if conn.is_some_and(|conn| conn.out.watches()) && !self.dirty.contains(&id) {
                self.dirty.push(id);
            }
        }
    }

    fn expect_stalls(&mut self, env: &Env) {
        if self.feeds.longest() > self.watcher_bytes_max {
            let at_ms = env.now().mono_ms + limits::SWEEP_MS;
            self.stalls_at_ms.get_or_insert(at_ms);
        }
    }

    fn look_for_stalls(&mut self, env: &mut Env) {
        let now_ms = env.now().mono_ms;
        if self.stalls_at_ms.is_none_or(|at| at > now_ms) {
            return;
        }
        self.stalls_at_ms = None;
        for id in self.ids.values().copied().collect::<Vec<_>>() {
            let Some(conn) = self.conns[id.slot as usize].as_mut() else {
                continue;
            };
            if conn.lingers_until_ms.is_none()
                && conn.out.is_stuck(&self.feeds, self.watcher_bytes_max)
            {
                // Cut off, and told so by the close: it resyncs.
                conn.out.clear(&mut self.feeds);
                let conn = conn.conn;
                checks::cut_off(env, conn);
                env.shutdown_write(conn, 1);
                self.linger(env, id, 0);
            }
        }
        self.expect_stalls(env);
    }

    fn look_again(&mut self, env: &mut Env) {
        for _ in 0..self.again.len() {
            let Some(id) = self.again.pop_front() else {
                break;
            };
            let resumed = self
                .conn(id)
                .is_some_and(|conn| !conn.is_held() && !conn.pending.is_empty());
            if resumed {
                self.received(env, id, &[]);
            }
            self.readable(env, id);
            if self
                .conn(id)
                .is_some_and(|conn| conn.paused && env.net.is_at_end(conn.conn, 1))
            {
                self.close(env, id);
            }
        }
    }

    fn flush(&mut self, env: &mut Env, id: ConnId) {
        let conn = self.conns.get_mut(id.slot as usize);
        let conn = conn.and_then(Option::as_mut);
        let Some(conn) = conn.filter(|conn| conn.generation == id.generation) else {
            return;
        };
        let (ix, before) = (conn.conn, conn.out.answer_bytes());
        let done = loop {
            let next = conn.out.next(&self.feeds);
            let len = next.len();
            if len == 0 {
                break true;
            }
            let Ok(written) = env.write(ix, 1, next) else {
                return self.close(env, id);
            };
            conn.out.wrote(&mut self.feeds, written);
            if written < len {
                break false;
            }
        };
        let lingers = conn.lingers_until_ms.is_some();
        let unchoked = before > limits::ANSWERS_BYTES_MAX
            && conn.out.answer_bytes() <= limits::ANSWERS_BYTES_MAX;
        if lingers && done {
            env.shutdown_write(ix, 1);
        } else if unchoked {
            self.again.push_back(id);
        }
    }

    fn close(&mut self, env: &mut Env, id: ConnId) {
        let Some(slot) = self.conns.get_mut(id.slot as usize) else {
            return;
        };
        let Some(mut conn) = slot.take_if(|conn| conn.generation == id.generation) else {
            return;
        };
        conn.out.clear(&mut self.feeds);
        env.close(conn.conn, 1);
        self.ids.remove(&conn.conn);
        self.free.push(id.slot);
        self.registry
            .step(env.now(), Input::Closed(id), &mut self.outputs);
        self.carry_out(env);
    }
}

/// A greeting as an original understands it: as a request that it does not know.
fn without_greeting(body: &[u8]) -> Option<Vec<u8>> {
    let rest = body.strip_prefix(b"{\"type\":\"hello\"")?;
    Some([b"{\"type\":\"unknown\"", rest].concat())
}
