//! Byte streams between processes: delay, splitting, back-pressure, cuts, resets, half-open ends.
//!
//! Within one direction of one connection nothing overtakes; between connections anything can.
//! A kernel works for its process: bytes go on arriving while the process is frozen, and a
//! killed process' sockets are closed only a little later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::env::{Env, Ready};
use crate::queue::{Dial, Event, MS, Pid, SECOND};

/// A connection, never reused.
pub type ConnIx = usize;
/// 0 is the side that dialled.
pub type Side = usize;
/// Where a process runs; cuts are between sites.
pub type Site = usize;

/// A part of a stream.
#[derive(Debug)]
pub enum Segment {
    Data(Vec<u8>),
    /// End of the stream.
    Fin,
    /// The other side knows nothing of this connection (any more).
    Reset,
}

#[derive(Debug)]
struct End {
    pid: Pid,
    site: Site,
    /// The process holds the socket.
    open: bool,
    established: bool,
    wrote_fin: bool,
    unread: Vec<u8>,
    fin: bool,
    broken: bool,
    /// Bytes this side sent that the other has not read.
    in_flight: usize,
    wants_room: bool,
    /// When the latest segment towards this side arrives.
    last_arrival_us: u64,
    /// Segments towards this side that a cut holds back.
    held: VecDeque<Segment>,
}

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadEnd {
    /// There may be more later.
    Open,
    /// The peer closed.
    Fin,
    /// The connection broke.
    Broken,
}

/// How this run's network behaves.
#[derive(Debug, Clone)]
pub struct NetParams {
    /// Usual longest delay of a segment.
    pub delay_us: u64,
    /// Longest delay of one in fifty.
    pub spike_us: u64,
    /// Longest piece a write is split into.
    pub piece_bytes: usize,
    /// Bytes a direction holds before a write blocks.
    pub window_bytes: usize,
}

#[derive(Debug, Default)]
pub struct Network {
    conns: Vec<[End; 2]>,
    /// Cut pairs of sites, with a number that tells one cut from the next.
    cuts: BTreeMap<(Site, Site), u64>,
    next_cut: u64,
    pub listeners: BTreeMap<u16, Pid>,
    ports: BTreeMap<ConnIx, u16>,
    pub params: Option<NetParams>,
    /// Connections with an open end, so that faults need not look at all there ever were.
    live: BTreeSet<ConnIx>,
}

fn pair(a: Site, b: Site) -> (Site, Site) {
    (a.min(b), a.max(b))
}

impl Network {
    pub fn is_cut(&self, a: Site, b: Site) -> bool {
        self.cuts.contains_key(&pair(a, b))
    }

    fn conn_cut(&self, conn: ConnIx) -> Option<u64> {
        let [a, b] = &self.conns[conn];
        self.cuts.get(&pair(a.site, b.site)).copied()
    }

    /// The process at a side.
    pub fn pid(&self, conn: ConnIx, side: Side) -> Pid {
        self.conns[conn][side].pid
    }

    /// Whether both sides hold the connection and neither knows of an end.
    pub fn is_whole(&self, conn: ConnIx) -> bool {
        self.conns[conn]
            .iter()
            .all(|end| end.open && end.established && !end.broken && !end.fin && !end.wrote_fin)
    }

    /// Whether the peer's end of stream, or a break, is known at this side.
    pub fn is_at_end(&self, conn: ConnIx, side: Side) -> bool {
        let end = &self.conns[conn][side];
        end.unread.is_empty() && (end.fin || end.broken)
    }

    /// Connections that are established, in order.
    pub fn whole(&self) -> Vec<ConnIx> {
        let all = self.live.iter().copied();
        all.filter(|&conn| self.is_whole(conn)).collect()
    }

    /// Whether a write waits for the other side to read.
    pub fn is_blocked(&self, conn: ConnIx) -> bool {
        self.conns[conn].iter().any(|end| end.wants_room)
    }
}

impl Env {
    fn delay_us(&mut self) -> u64 {
        let params = self.net.params.clone().unwrap_or(NetParams {
            delay_us: MS,
            spike_us: MS,
            piece_bytes: 1 << 20,
            window_bytes: 1 << 20,
        });
        let longest = if self.rng.below(50) == 0 {
            params.spike_us
        } else {
            params.delay_us
        };
        20 + self.rng.below(longest)
    }

    fn schedule(&mut self, conn: ConnIx, to: Side, segment: Segment) {
        let mut at_us = self.now_us + self.delay_us();
        // A reset is noticed as soon as it is there; everything else keeps its order.
        if !matches!(segment, Segment::Reset) {
            at_us = at_us.max(self.net.conns[conn][to].last_arrival_us);
            self.net.conns[conn][to].last_arrival_us = at_us;
        }
        self.queue.push(at_us, Event::Arrive(conn, to, segment));
    }

    /// Begins to connect; a `Ready::Dialled` follows.
    pub fn dial(&mut self, pid: Pid, port: u16) -> ConnIx {
        let site = self.meta[pid].site;
        let conn = self.net.conns.len();
        let end = |pid, site, open| End {
            pid,
            site,
            open,
            established: false,
            wrote_fin: false,
            unread: Vec::new(),
            fin: false,
            broken: false,
            in_flight: 0,
            wants_room: false,
            last_arrival_us: 0,
            held: VecDeque::new(),
        };
        // Who listens there is looked up when the request arrives.
        self.net
            .conns
            .push([end(pid, site, true), end(usize::MAX, site, false)]);
        self.net.ports.insert(conn, port);
        self.net.live.insert(conn);
        let at_us = self.now_us + self.delay_us();
        self.queue.push(at_us, Event::Syn(conn, 0));
        conn
    }

    pub fn syn(&mut self, conn: ConnIx, attempt: u32) {
        if !self.net.conns[conn][0].open {
            return;
        }
        let port = self.net.ports[&conn];
        let site = self.net.conns[conn][0].site;
        // Sites outlive their processes, so a cut is known even where nobody listens.
        let target_site = self.port_sites.get(&port).copied().unwrap_or(site);
        if self.net.is_cut(site, target_site) {
            let (at_us, event) = if attempt >= 5 {
                (self.now_us, Event::Dialled(conn, Dial::Timeout))
            } else {
                (self.now_us + SECOND, Event::Syn(conn, attempt + 1))
            };
            return self.queue.push(at_us, event);
        }
        let at_us = self.now_us + self.delay_us();
        // A process that dials a dead one's port, which is its own by now, is turned away here.
        let dialler = self.net.conns[conn][0].pid;
        let listener = self.net.listeners.get(&port).copied();
        match listener.filter(|&pid| pid != dialler) {
            None => self.queue.push(at_us, Event::Dialled(conn, Dial::Refused)),
            Some(pid) => {
                let site = self.meta[pid].site;
                let end = &mut self.net.conns[conn][1];
                (end.pid, end.site, end.open, end.established) = (pid, site, true, true);
                self.net.conns[conn][1].last_arrival_us = self.now_us;
                self.wake(pid, Ready::Accepted(conn));
                self.queue.push(at_us, Event::Dialled(conn, Dial::Ok));
            }
        }
    }

    pub fn dialled(&mut self, conn: ConnIx, dial: Dial) {
        let end = &mut self.net.conns[conn][0];
        let pid = end.pid;
        if !end.open {
            if dial == Dial::Ok {
                self.schedule(conn, 1, Segment::Reset);
            }
            return;
        }
        end.established = dial == Dial::Ok;
        self.wake(pid, Ready::Dialled(conn, dial));
        if self.net.is_at_end(conn, 0) {
            self.wake(pid, Ready::Readable(conn));
        }
    }

    /// Writes what there is room for; `Err` when the connection is known to be broken.
    pub fn write(&mut self, conn: ConnIx, side: Side, bytes: &[u8]) -> Result<usize, ()> {
        let (window, piece) = match &self.net.params {
            Some(params) => (params.window_bytes, params.piece_bytes),
            None => (1 << 20, 1 << 20),
        };
        let end = &mut self.net.conns[conn][side];
        if !end.open || end.broken || end.wrote_fin || !end.established {
            return Err(());
        }
        let count = bytes.len().min(window.saturating_sub(end.in_flight));
        end.in_flight += count;
        end.wants_room |= count < bytes.len();
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            let len = (1 + self.rng.below(piece as u64) as usize).min(rest.len());
            let (now, later) = rest.split_at(len);
            self.schedule(conn, 1 - side, Segment::Data(now.to_vec()));
            rest = later;
        }
        Ok(count)
    }

    /// Takes up to `max` bytes that have arrived.
    pub fn read(&mut self, conn: ConnIx, side: Side, max: usize) -> (Vec<u8>, ReadEnd) {
        let end = &mut self.net.conns[conn][side];
        let count = max.min(end.unread.len());
        let bytes: Vec<u8> = end.unread.drain(..count).collect();
        let how = match (end.unread.is_empty(), end.broken, end.fin) {
            (true, true, _) => ReadEnd::Broken,
            (true, false, true) => ReadEnd::Fin,
            _ => ReadEnd::Open,
        };
        let writer = &mut self.net.conns[conn][1 - side];
        writer.in_flight -= count.min(writer.in_flight);
        if count > 0 && std::mem::take(&mut writer.wants_room) {
            let at_us = self.now_us + self.delay_us();
            self.queue.push(at_us, Event::Room(conn, 1 - side));
        }
        (bytes, how)
    }

    pub fn room(&mut self, conn: ConnIx, side: Side) {
        let end = &self.net.conns[conn][side];
        if end.open {
            self.wake(end.pid, Ready::Writable(conn));
        }
    }

    /// Sends the end of the stream and goes on reading.
    pub fn shutdown_write(&mut self, conn: ConnIx, side: Side) {
        let end = &mut self.net.conns[conn][side];
        if end.open && end.established && !end.broken && !end.wrote_fin {
            end.wrote_fin = true;
            self.schedule(conn, 1 - side, Segment::Fin);
        }
    }

    /// Gives the socket back. Unread bytes make it a reset, as TCP does.
    pub fn close(&mut self, conn: ConnIx, side: Side) {
        let end = &mut self.net.conns[conn][side];
        if !end.open {
            return;
        }
        let unread = !end.unread.is_empty();
        if unread && end.established && !end.broken {
            end.wrote_fin = true;
            self.schedule(conn, 1 - side, Segment::Reset);
        } else {
            self.shutdown_write(conn, side);
        }
        let end = &mut self.net.conns[conn][side];
        (end.open, end.unread) = (false, Vec::new());
        self.forget_if_closed(conn);
    }

    fn forget_if_closed(&mut self, conn: ConnIx) {
        if self.net.conns[conn].iter().all(|end| !end.open) {
            self.net.live.remove(&conn);
        }
    }

    pub fn arrive(&mut self, conn: ConnIx, side: Side, segment: Segment) {
        let cut = self.net.conn_cut(conn).is_some();
        let end = &mut self.net.conns[conn][side];
        if end.open && !end.established {
            // Nothing overtakes the news that the connection is there.
            return self.at(MS, Event::Arrive(conn, side, segment));
        }
        if cut {
            // Sent again and again by the kernel, until the cut heals or the side gives up.
            end.held.push_back(segment);
            return;
        }
        if !end.open {
            // Whoever still sends learns that nobody is there.
            if matches!(segment, Segment::Data(_)) && self.net.conns[conn][1 - side].open {
                self.schedule(conn, 1 - side, Segment::Reset);
            }
            return;
        }
        if end.broken {
            return;
        }
        match segment {
            Segment::Data(bytes) => end.unread.extend_from_slice(&bytes),
            Segment::Fin => end.fin = true,
            Segment::Reset => return self.break_end(conn, side),
        }
        let pid = end.pid;
        self.wake(pid, Ready::Readable(conn));
    }

    /// One side learns that the connection is dead.
    fn break_end(&mut self, conn: ConnIx, side: Side) {
        let purge = self.rng.below(2) == 0;
        let end = &mut self.net.conns[conn][side];
        if !end.open || end.broken {
            return;
        }
        end.broken = true;
        end.held.clear();
        if purge {
            end.unread.clear();
        }
        let pid = end.pid;
        self.wake(pid, Ready::Readable(conn));
        self.wake(pid, Ready::Writable(conn));
    }

    /// Both sides lose the connection, each a little later; what is on its way is gone.
    pub fn reset(&mut self, conn: ConnIx) {
        for side in 0..2 {
            let at_us = self.now_us + self.rng.below(60 * MS);
            let event = Event::Arrive(conn, side, Segment::Reset);
            self.queue.push(at_us, event);
        }
    }

    /// Cuts two sites off from each other; every connection between them is half-open until
    /// its kernel gives up or the cut heals.
    pub fn cut(&mut self, a: Site, b: Site) -> u64 {
        self.net.next_cut += 1;
        let number = self.net.next_cut;
        self.net.cuts.insert(pair(a, b), number);
        let live: Vec<ConnIx> = self.net.live.iter().copied().collect();
        for conn in live {
            if self.net.conn_cut(conn) != Some(number) {
                continue;
            }
            for side in 0..2 {
                let at_us = self.now_us + 4_000 * MS + self.rng.below(1_500 * MS);
                self.queue.push(at_us, Event::Silence(conn, side, number));
            }
        }
        number
    }

    pub fn silence(&mut self, conn: ConnIx, side: Side, number: u64) {
        if self.net.conn_cut(conn) == Some(number) {
            self.break_end(conn, side);
        }
    }

    pub fn heal(&mut self, a: Site, b: Site, number: u64) -> bool {
        let key = pair(a, b);
        if self.net.cuts.get(&key) != Some(&number) {
            return false;
        }
        let live: Vec<ConnIx> = self.net.live.iter().copied().collect();
        let cut: Vec<ConnIx> = live
            .into_iter()
            .filter(|&conn| self.net.conn_cut(conn) == Some(number))
            .collect();
        self.net.cuts.remove(&key);
        for conn in cut {
            self.heal_conn(conn);
        }
        true
    }

    fn heal_conn(&mut self, conn: ConnIx) {
        for side in 0..2 {
            // A side that closed in order has said so; its last segment is among those held.
            let gone = |end: &End| end.broken || !end.open && !end.wrote_fin;
            let [here, there] = {
                let ends = &self.net.conns[conn];
                [gone(&ends[side]), gone(&ends[1 - side])]
            };
            let held = std::mem::take(&mut self.net.conns[conn][side].held);
            // At once: what is on its way now was sent later.
            for segment in held {
                self.arrive(conn, side, segment);
            }
            if there && !here {
                // The next keep-alive probe finds nobody.
                let at_us = self.now_us + self.rng.below(3 * SECOND);
                let event = Event::Arrive(conn, side, Segment::Reset);
                self.queue.push(at_us, event);
            }
        }
    }

    /// The machine of a process loses power: its peers hear nothing until they give up.
    pub fn vanish(&mut self, pid: Pid) {
        let live: Vec<ConnIx> = self.net.live.iter().copied().collect();
        for conn in live {
            for side in 0..2 {
                let end = &mut self.net.conns[conn][side];
                if end.pid != pid || !end.open {
                    continue;
                }
                (end.open, end.unread) = (false, Vec::new());
                let at_us = self.now_us + 3_000 * MS + self.rng.below(2_500 * MS);
                let event = Event::Arrive(conn, 1 - side, Segment::Reset);
                self.queue.push(at_us, event);
                self.forget_if_closed(conn);
            }
        }
    }

    /// The kernel closes what a killed process held.
    pub fn reap(&mut self, pid: Pid) {
        let live: Vec<ConnIx> = self.net.live.iter().copied().collect();
        for conn in live {
            for side in 0..2 {
                if self.net.conns[conn][side].pid == pid {
                    self.close(conn, side);
                }
            }
        }
    }
}
