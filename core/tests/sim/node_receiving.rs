//! How a node's process receives: reading inbound connections, the mailbox, the application.

use distflow_core::mailbox::Pushed;
use distflow_core::names::NodeId;
use distflow_core::node_state::Verdict;
use distflow_core::wire::frame::FrameReader;
use distflow_core::wire::peer::{Payload, PeerFrame, PeerParser};

use crate::checks;
use crate::env::{Env, Ready};
use crate::network::{ConnIx, ReadEnd};
use crate::node_process::{NodeProcess, Role};
use crate::queue::{Event, MS};

const FRAME_BYTES_MAX: usize = 1 << 20;

/// The reading side of an inbound connection.
pub struct Reading {
    reader: FrameReader,
    parser: PeerParser,
    /// A message that finds no room; nothing more is read until it does.
    pub held: Option<(NodeId, NodeId, Payload)>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            reader: FrameReader::new(FRAME_BYTES_MAX),
            parser: PeerParser::new(),
            held: None,
        }
    }
}

impl NodeProcess {
    /// The application takes a message.
    pub fn consume(&mut self, env: &mut Env) {
        self.consume_queued = false;
        let count = if self.setup.consume_us == 0 { 64 } else { 1 };
        for _ in 0..count {
            let Some((from, payload)) = self.mailbox.pop() else {
                break;
            };
            self.mirror.pop_front();
            let names = [&*self.alias, &*self.id];
            let result = env
                .ledger
                .deliver(self.pid, self.opens, names, from.as_str(), &payload);
            if let Err(text) = result {
                env.fail(|| text);
            }
        }
        for (&conn, role) in &self.roles {
            if matches!(role, Role::Inbound(reading) if reading.held.is_some()) {
                env.wake(self.pid, Ready::Readable(conn));
            }
        }
        self.want_consume(env);
    }

    fn want_consume(&mut self, env: &mut Env) {
        if !self.mailbox.is_empty() && !std::mem::replace(&mut self.consume_queued, true) {
            let in_us = self.setup.consume_us + env.rng.below(MS);
            env.at(in_us, Event::Consume(self.pid));
        }
    }

    /// From now on messages are taken at once.
    pub fn hurry(&mut self, env: &mut Env) {
        self.setup.consume_us = 0;
        if !self.mailbox.is_empty() {
            self.consume_queued = true;
            env.at(0, Event::Consume(self.pid));
        }
    }

    pub fn read_inbound(&mut self, env: &mut Env, conn: ConnIx) {
        let Some(Role::Inbound(mut reading)) = self.roles.remove(&conn) else {
            return;
        };
        // What a real read brings at once is limited as well.
        let max = if reading.held.is_some() {
            0
        } else {
            1 + env.rng.below(4_096) as usize
        };
        let (bytes, end) = env.read(conn, 1, max);
        reading.reader.push(&bytes);
        let goes_on = self.frames(env, conn, &mut reading);
        let waits = reading.held.is_some();
        if !goes_on || (end != ReadEnd::Open && !waits) {
            self.inbound.closed(conn as u64);
            env.close(conn, 1);
            return;
        }
        if bytes.len() == max && !waits {
            env.wake(self.pid, Ready::Readable(conn));
        }
        self.roles.insert(conn, Role::Inbound(reading));
    }

    /// Takes the complete frames; false when the connection has to be closed.
    fn frames(&mut self, env: &mut Env, conn: ConnIx, reading: &mut Reading) -> bool {
        loop {
            if let Some((from, to, payload)) = reading.held.take() {
                if !self.has_room(&payload) {
                    reading.held = Some((from, to, payload));
                    return true;
                }
                if !self.message(env, conn, from, &to, payload) {
                    return false;
                }
            }
            let frame = match reading.reader.next_frame() {
                Ok(Some(body)) => reading.parser.parse(&body),
                Ok(None) => return true,
                Err(error) => Err(error),
            };
            match frame {
                Ok(PeerFrame::Open {
                    from,
                    to,
                    incarnation,
                    connection,
                    next,
                    ..
                }) => {
                    let stream = (incarnation, connection, next);
                    if !self.opened(env, conn, &from, &to, stream) {
                        return false;
                    }
                }
                Ok(PeerFrame::Message {
                    from, to, payload, ..
                }) => reading.held = Some((from, to, payload)),
                Err(error) => {
                    env.fail(|| format!("process {}: a peer is not understood: {error}", self.pid));
                    return false;
                }
            }
        }
    }

    /// Under `block`, a message is only taken when there is room, so that one that a newer
    /// connection overtakes is counted by that one.
    fn has_room(&self, payload: &Payload) -> bool {
        !self.mailbox.blocks(payload.len())
    }

    fn opened(
        &mut self,
        env: &mut Env,
        conn: ConnIx,
        from: &NodeId,
        to: &NodeId,
        stream: (u64, u64, u64),
    ) -> bool {
        let before = self.inbound.lost();
        let verdict = self.inbound.open(conn as u64, from, to, stream);
        let lost = self.inbound.lost() - before;
        if verdict == Verdict::Accept {
            checks::opened(env, self, from.as_str(), stream.2, lost);
        }
        verdict == Verdict::Accept
    }

    fn message(
        &mut self,
        env: &mut Env,
        conn: ConnIx,
        from: NodeId,
        to: &NodeId,
        payload: Payload,
    ) -> bool {
        if self.inbound.message(conn as u64, &from, to) == Verdict::Close {
            return false;
        }
        self.mirror.push_back(payload.clone());
        let weight = payload.len();
        let dropped = match self.mailbox.push((from, payload), weight) {
            Pushed::Queued => 0,
            Pushed::Dropped => {
                let payload = self.mirror.pop_back();
                payload
                    .iter()
                    .for_each(|payload| env.ledger.dropped(payload));
                1
            }
            Pushed::Displaced(count) => {
                for _ in 0..count {
                    let payload = self.mirror.pop_front();
                    payload
                        .iter()
                        .for_each(|payload| env.ledger.dropped(payload));
                }
                count
            }
            Pushed::Full(_) => {
                env.fail(|| "a mailbox is full although it accepts".into());
                0
            }
        };
        self.dropped += dropped;
        if dropped > 0 {
            self.state.mailbox_dropped(env.now(), dropped);
        }
        checks::mailbox(env, self);
        self.want_consume(env);
        true
    }
}
