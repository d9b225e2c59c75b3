//! The PMD's process: the real registry behind a server that does what `pmd::server` does.

use std::collections::{BTreeMap, VecDeque};

use distflow_core::limits;
use distflow_core::registry::{Config, ConnId, Input, Output, Outputs, Registry};
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
    out: Vec<u8>,
    event_bytes: usize,
    /// Flushing a last answer until then; what still arrives is thrown away.
    lingers_until_ms: Option<u64>,
    paused: bool,
}

impl Conn {
    fn is_held(&self) -> bool {
        self.paused || self.out.len() > limits::ANSWERS_BYTES_MAX
    }
}

pub struct PmdProcess {
    pub pid: Pid,
    pub registry: Registry,
    pub stopped: bool,
    watcher_bytes_max: usize,
    outputs: Outputs,
    conns: Vec<Option<Conn>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    ids: BTreeMap<ConnIx, ConnId>,
    again: VecDeque<ConnId>,
    dirty: Vec<ConnId>,
}

impl PmdProcess {
    pub fn new(pid: Pid, config: Config, watcher_bytes_max: usize, env: &mut Env) -> Self {
        env.listen(pid, PMD_PORT);
        let process = Self {
            pid,
            registry: Registry::new(config, env.now()),
            stopped: false,
            watcher_bytes_max,
            outputs: Outputs::default(),
            conns: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            ids: BTreeMap::new(),
            again: VecDeque::new(),
            dirty: Vec::new(),
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
        while !self.again.is_empty() || !self.dirty.is_empty() {
            self.look_again(env);
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
        [self.registry.next_deadline_ms(), lingering]
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
            out: Vec::new(),
            event_bytes: 0,
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
        if let Some(conn) = self.conn(id) {
            conn.out.extend_from_slice(bytes);
            self.dirty.push(id);
        }
    }

    fn linger(&mut self, env: &mut Env, id: ConnId, for_ms: u64) {
        let until = env.now().mono_ms + for_ms;
        if let Some(conn) = self.conn(id) {
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
                    Output::Event(id, range) => self.event(env, id, &outputs.bytes[range]),
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
                }
            }
            outputs.clear();
            if self.outputs.items.is_empty() {
                self.outputs = outputs;
            }
        }
    }

    fn event(&mut self, env: &mut Env, id: ConnId, bytes: &[u8]) {
        let bound = self.watcher_bytes_max;
        let full = |conn: &Conn| conn.event_bytes + bytes.len() > bound;
        if self.conn(id).is_some_and(|conn| full(conn)) {
            self.flush(env, id);
        }
        let Some(conn) = self.conn(id) else { return };
        if conn.lingers_until_ms.is_some() {
            return;
        }
        if full(conn) {
            // Cut off, and told so by the close: it resyncs.
            conn.out = Vec::new();
            let conn = conn.conn;
            checks::cut_off(env, conn);
            env.shutdown_write(conn, 1);
            self.linger(env, id, 0);
            return;
        }
        conn.event_bytes += bytes.len();
        self.enqueue(id, bytes);
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
        let Some(conn) = self.conn(id) else { return };
        let (ix, before) = (conn.conn, conn.out.len());
        let result = if before == 0 {
            Ok(0)
        } else {
            env.write(ix, 1, &conn.out)
        };
        let Ok(written) = result else {
            return self.close(env, id);
        };
        conn.out.drain(..written);
        conn.event_bytes = conn.event_bytes.min(conn.out.len());
        let lingers = conn.lingers_until_ms.is_some();
        let unchoked =
            before > limits::ANSWERS_BYTES_MAX && conn.out.len() <= limits::ANSWERS_BYTES_MAX;
        let done = conn.out.is_empty();
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
        let Some(conn) = slot.take_if(|conn| conn.generation == id.generation) else {
            return;
        };
        env.close(conn.conn, 1);
        self.ids.remove(&conn.conn);
        self.free.push(id.slot);
        self.registry
            .step(env.now(), Input::Closed(id), &mut self.outputs);
        self.carry_out(env);
    }
}
