//! A client that speaks the PMD's protocol by hand: it renames itself, looks others up and
//! tries to take what is not its own.

use std::collections::BTreeMap;

use distflow_core::names::{Alias, Host, NodeId};
use distflow_core::wire::frame::{self, FrameReader};
use distflow_core::wire::pmd::{
    Answer, Capabilities, FromPmd, Register, ToPmd, append_request, parse_from_pmd,
};

use crate::env::{Env, Ready};
use crate::network::{ConnIx, ReadEnd};
use crate::node_process::PMD_PORT;
use crate::queue::{Dial, Event, MS, Pid, SECOND};

#[derive(Debug)]
enum Ask {
    Hello,
    Register(Option<String>),
    Unregister,
    Beat,
    Resolve(String),
    /// Somebody else's id, asked for at that time.
    Steal(Pid, u64),
    /// Somebody else's id as an alias.
    Cross(Pid, u64),
    /// Who has the id of that process.
    ResolveId(Pid, u64),
}

pub struct RawClient {
    pub pid: Pid,
    slot: usize,
    id: String,
    port: u16,
    conn: Option<ConnIx>,
    up: bool,
    extended: bool,
    pmd_is_original: bool,
    reader: FrameReader,
    out: Vec<u8>,
    next_request: u64,
    asked: BTreeMap<u64, Ask>,
    /// Its alias, as long as it is registered over this connection.
    alias: Option<String>,
    pub over: bool,
}

impl RawClient {
    pub fn new(pid: Pid, slot: usize, extended: bool, env: &mut Env) -> Self {
        env.meta[pid].slot = Some(slot);
        Self {
            pid,
            slot,
            id: format!("r{slot}"),
            port: 30_000 + slot as u16,
            conn: Some(env.dial(pid, PMD_PORT)),
            up: false,
            extended,
            pmd_is_original: false,
            reader: FrameReader::new(64 << 20),
            out: Vec::new(),
            next_request: 1,
            asked: BTreeMap::new(),
            alias: None,
            over: false,
        }
    }

    pub fn turn(&mut self, env: &mut Env) {
        while let Some(ready) = env.take_ready(self.pid) {
            match ready {
                Ready::Dialled(conn, dial) if Some(conn) == self.conn => {
                    self.up = dial == Dial::Ok;
                    if self.up && self.extended {
                        self.ask(env, ToPmd::Hello(Capabilities::all()), Ask::Hello);
                    } else if !self.up {
                        self.drop_conn(env);
                    }
                }
                Ready::Readable(conn) if Some(conn) == self.conn => self.read(env, conn),
                Ready::Writable(conn) if Some(conn) == self.conn => self.flush(env),
                _ => {}
            }
        }
    }

    fn drop_conn(&mut self, env: &mut Env) {
        if let Some(conn) = self.conn.take() {
            env.close(conn, 0);
        }
        self.up = false;
        self.reader = FrameReader::new(64 << 20);
        self.out.clear();
        self.asked.clear();
        self.alias = None;
    }

    fn ask(&mut self, env: &mut Env, request: ToPmd<'_>, ask: Ask) {
        let number = self.next_request;
        self.next_request += 1;
        frame::append(&mut self.out, usize::MAX, |out| {
            append_request(out, number, request);
        })
        .unwrap();
        self.asked.insert(number, ask);
        self.flush(env);
    }

    fn flush(&mut self, env: &mut Env) {
        if let (Some(conn), true) = (self.conn, self.up)
            && let Ok(written) = env.write(conn, 0, &self.out)
        {
            self.out.drain(..written);
        }
    }

    fn node(&self, id: &str, alias: Option<&str>) -> Register {
        Register {
            node_id: NodeId::new(id).unwrap(),
            alias: alias.map(|alias| Alias::new(alias).unwrap()),
            host: Host::new("raw").unwrap(),
            port: self.port,
            caps: None,
            meta: None,
            session: None,
        }
    }

    /// Does something, once the last thing is answered.
    pub fn work(&mut self, env: &mut Env) {
        let in_us = env.between(20, 600) * MS;
        if self.over {
            return;
        }
        env.at(in_us, Event::Work(self.slot));
        if self.conn.is_none() {
            self.conn = Some(env.dial(self.pid, PMD_PORT));
        }
        if !self.up || !self.asked.is_empty() {
            return;
        }
        let alias = format!("a{}", env.rng.below(4));
        match env.rng.below(20) {
            0..7 => {
                let alias = Some(alias).filter(|_| env.chance(90));
                let node = self.node(&self.id, alias.as_deref());
                self.ask(env, ToPmd::Register(&node), Ask::Register(alias));
            }
            7..9 => {
                let id = self.id.clone();
                self.ask(env, ToPmd::Unregister(&id), Ask::Unregister);
            }
            9..16 => self.ask(env, ToPmd::Resolve(&alias), Ask::Resolve(alias.clone())),
            16..18 => self.steal(env),
            18 => self.cross(env),
            _ => self.drop_conn(env),
        }
    }

    /// Somebody else, who runs undisturbed and is registered.
    fn victim(&self, env: &mut Env) -> Option<Pid> {
        let since = env.now_us.saturating_sub(12 * SECOND);
        let slot = env.rng.below(env.current.len() as u64) as usize;
        let pid = env.current[slot].filter(|&pid| pid != self.pid)?;
        let meta = &env.meta[pid];
        let there = meta.alive && !meta.stopping;
        let conn = meta.registered_over.filter(|_| there)?;
        let quiet = env.is_quiet(meta.site, since) && env.is_quiet(0, since);
        (env.net.is_whole(conn) && quiet).then_some(pid)
    }

    /// Asks for the id of a node that runs undisturbed: it must be refused.
    fn steal(&mut self, env: &mut Env) {
        let Some(pid) = self.victim(env) else { return };
        let id = env.ids[pid].clone();
        let node = self.node(&id, None);
        self.ask(env, ToPmd::Register(&node), Ask::Steal(pid, env.now_us));
    }

    /// Wants the id of another node for an alias, or asks who has it.
    fn cross(&mut self, env: &mut Env) {
        let Some(pid) = self.victim(env) else { return };
        let id = env.ids[pid].clone();
        if env.chance(50) {
            let node = self.node(&self.id, Some(&id));
            self.ask(env, ToPmd::Register(&node), Ask::Cross(pid, env.now_us));
        } else {
            self.ask(env, ToPmd::Resolve(&id), Ask::ResolveId(pid, env.now_us));
        }
    }

    fn read(&mut self, env: &mut Env, conn: ConnIx) {
        let (bytes, end) = env.read(conn, 0, usize::MAX);
        self.reader.push(&bytes);
        while let Some(body) = self.reader.next_frame().unwrap() {
            let message = parse_from_pmd(&body).unwrap();
            if let FromPmd::Response {
                request_id: Some(number),
                payload,
            } = message
                && let Some(ask) = self.asked.remove(&number)
            {
                self.answered(env, ask, Answer::parse(payload).map_err(|e| e.to_string()));
            } else if let FromPmd::Probe(number) = parse_from_pmd(&body).unwrap() {
                let id = self.id.clone();
                self.ask(env, ToPmd::Heartbeat(&id, Some(number)), Ask::Beat);
            }
        }
        if end != ReadEnd::Open {
            self.drop_conn(env);
        }
    }

    fn answered(&mut self, env: &mut Env, ask: Ask, answer: Result<Answer, String>) {
        env.log(|| format!("raw client {}: {ask:?} -> {answer:?}", self.id));
        match (ask, answer) {
            (Ask::Register(alias), Ok(_)) => self.alias = alias,
            (Ask::Unregister, Ok(_)) => self.alias = None,
            (Ask::Resolve(name), Ok(answer)) => {
                let node = answer.node.expect("an answer to resolve has a node");
                if node.alias.as_deref() != Some(&*name) && node.node_id != name {
                    env.fail(|| format!("R5: '{name}' resolves to {node:?}"));
                }
                if self.alias.as_deref() == Some(&*name) && node.node_id != self.id {
                    env.fail(|| format!("R5: {} has a second owner: {node:?}", name));
                }
            }
            (Ask::Resolve(name), Err(error)) if self.alias.as_deref() == Some(&*name) => {
                env.fail(|| format!("R5: {} holds '{name}', but: {error}", self.id));
            }
            (Ask::Steal(pid, since_us), Ok(_)) => {
                if is_undisturbed(env, pid, since_us) {
                    env.fail(|| format!("R5: the id of process {pid} was given away"));
                }
                // Its owner went just then; what is left belongs to its next owner.
                self.drop_conn(env);
            }
            (Ask::Cross(pid, since_us), Ok(_)) => {
                self.alias = None;
                // An original's registration is taken as it comes.
                if self.extended && is_undisturbed(env, pid, since_us) && !self.pmd_is_original {
                    env.fail(|| format!("R5: the id of process {pid} became an alias"));
                }
                if self.extended {
                    // Its owner went just then, and must find its id free.
                    self.drop_conn(env);
                }
            }
            (Ask::ResolveId(pid, since_us), Ok(answer)) => {
                let node = answer.node.expect("an answer to resolve has a node");
                if node.node_id != env.ids[pid] && is_undisturbed(env, pid, since_us) {
                    env.fail(|| format!("R5: the id of process {pid} resolves to {node:?}"));
                }
            }
            (Ask::Hello, Err(_)) => self.pmd_is_original = true,
            (Ask::Hello, Ok(_)) => self.pmd_is_original = false,
            _ => {}
        }
    }
}

/// Whether a process is there and nothing was done to it since.
fn is_undisturbed(env: &Env, pid: Pid, since_us: u64) -> bool {
    let meta = &env.meta[pid];
    meta.alive && !meta.stopping && env.is_quiet(meta.site, since_us) && env.is_quiet(0, since_us)
}
