//! One client of the broker: what it has subscribed to, and what is on its way to it. It outlives its
//! connection if it was asked to.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::packet::{Connect, Delivery, Message, ToClient, Version, Will};
use super::retained::{Cursor, Retained, Step};
use crate::limits::{
    BROKER_IN_FLIGHT_MAX, BROKER_RETAINED_TURN, BROKER_UNWRITTEN_BYTES_MAX,
    BROKER_WAITING_BYTES_IN_ALL_MAX, BROKER_WAITING_BYTES_MAX, BROKER_WAITING_MESSAGES_MAX,
};

/// A message that waits for a client, or for its acknowledgement.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub message: Arc<Message>,
    pub qos: u8,
    pub retain: bool,
    pub subscription_ids: Vec<usize>,
    pub expires_at_ms: Option<u64>,
}

#[derive(Debug)]
struct InFlight {
    id: u16,
    waiting: Waiting,
    /// Reception of a message of quality of service 2 was acknowledged: it is not sent again.
    is_received: bool,
}

/// A client, whose connection may be gone.
#[derive(Debug)]
pub(super) struct Client {
    pub id: Arc<str>,
    pub user: Option<Arc<str>>,
    pub version: Version,
    /// Its connection, by the number that the broker gave it.
    pub connection: Option<u64>,
    pub filters: HashSet<Arc<str>>,
    pub will: Option<Will>,
    pub session_expiry_s: u32,
    /// Messages of quality of service 2 that it has published and not yet released.
    pub received: HashSet<u16>,
    /// Bytes handed to the connection and not written.
    pub unwritten: usize,
    /// Messages dropped because it was too slow, or away for too long.
    pub dropped: u64,
    cursors: VecDeque<Cursor>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    in_flight: VecDeque<InFlight>,
    in_flight_max: usize,
    packet_bytes_max: usize,
    last_id: u16,
}

/// How a client's turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It waits for the client, or for messages.
    Over,
    /// There is more to look at, after the others.
    Again,
}

impl Client {
    pub fn new(id: Arc<str>) -> Self {
        Self {
            id,
            user: None,
            version: Version::V311,
            connection: None,
            filters: HashSet::new(),
            will: None,
            session_expiry_s: 0,
            received: HashSet::new(),
            unwritten: 0,
            dropped: 0,
            cursors: VecDeque::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            in_flight: VecDeque::new(),
            in_flight_max: BROKER_IN_FLIGHT_MAX,
            packet_bytes_max: usize::MAX,
            last_id: 0,
        }
    }

    /// Takes a new connection. What was not acknowledged on the last one is told again.
    pub fn connect(
        &mut self,
        connection: u64,
        connect: Connect,
        told: &mut Vec<ToClient>,
        now_ms: u64,
    ) {
        self.connection = Some(connection);
        self.version = connect.version;
        self.user = connect.user.map(Arc::from);
        self.will = connect.will;
        self.session_expiry_s = connect.session_expiry_s;
        self.unwritten = 0;
        self.in_flight_max = usize::from(connect.receive_max).min(BROKER_IN_FLIGHT_MAX);
        self.packet_bytes_max = connect.packet_bytes_max as usize;
        for at in 0..self.in_flight.len() {
            let flight = &self.in_flight[at];
            let packet = if flight.is_received {
                ToClient::PubRel(flight.id)
            } else {
                delivery(&flight.waiting, flight.id, true, now_ms)
            };
            told.push(packet);
        }
    }

    /// The connection is gone.
    pub fn disconnect(&mut self) {
        self.connection = None;
        self.unwritten = 0;
        // What is retained is not owed to who was away.
        self.cursors.clear();
    }

    /// Bytes that wait for this client.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Puts a message at the end of what waits. `in_all` counts the bytes of all clients. Returns
    /// whether there was room.
    pub fn push(&mut self, waiting: Waiting, in_all: &mut usize) -> bool {
        let cost = waiting.message.cost();
        if self.connection.is_none() && waiting.qos == 0 {
            return true;
        }
        if self.waiting.len() >= BROKER_WAITING_MESSAGES_MAX
            || self.waiting_bytes + cost > BROKER_WAITING_BYTES_MAX
            || *in_all + cost > BROKER_WAITING_BYTES_IN_ALL_MAX
        {
            self.dropped += 1;
            return false;
        }
        self.waiting_bytes += cost;
        *in_all += cost;
        self.waiting.push_back(waiting);
        true
    }

    /// Will be told what is retained.
    pub fn push_retained(&mut self, cursor: Cursor) {
        self.cursors.push_back(cursor);
    }

    /// Is not told any more what is retained for a filter.
    pub fn drop_retained(&mut self, filter: &str) {
        self.cursors.retain(|cursor| !cursor.is_of(filter));
    }

    /// Tells what there is, as long as the connection and the client take it.
    pub fn turn(
        &mut self,
        retained: &Retained,
        in_all: &mut usize,
        told: &mut Vec<ToClient>,
        now_ms: u64,
    ) -> Turn {
        let mut turn = BROKER_RETAINED_TURN;
        while self.connection.is_some() && self.unwritten < BROKER_UNWRITTEN_BYTES_MAX {
            let is_full = self.in_flight.len() >= self.in_flight_max;
            // What is retained comes before what is published after the subscription.
            if let Some(cursor) = self.cursors.front_mut() {
                if cursor.qos > 0 && is_full {
                    break;
                }
                match retained.next(cursor, &mut turn, now_ms) {
                    Step::Message(kept) => {
                        let waiting = Waiting {
                            qos: kept.message.qos.min(cursor.qos),
                            retain: true,
                            subscription_ids: cursor.subscription_id.into_iter().collect(),
                            expires_at_ms: kept.expires_at_ms,
                            message: kept.message,
                        };
                        self.tell(waiting, told, now_ms);
                    }
                    Step::Later => return Turn::Again,
                    Step::End => drop(self.cursors.pop_front()),
                }
                continue;
            }
            let Some(next) = self.waiting.front() else {
                break;
            };
            if next.qos > 0 && is_full {
                break;
            }
            let Some(next) = self.waiting.pop_front() else {
                break;
            };
            let cost = next.message.cost();
            self.waiting_bytes -= cost;
            *in_all -= cost;
            self.tell(next, told, now_ms);
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 64 {
            self.waiting = VecDeque::new();
        }
        Turn::Over
    }

    fn tell(&mut self, waiting: Waiting, told: &mut Vec<ToClient>, now_ms: u64) {
        let is_over = waiting.expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let cost = waiting.message.cost();
        if is_over || cost > self.packet_bytes_max {
            return;
        }
        self.unwritten += cost;
        let id = if waiting.qos > 0 { self.free_id() } else { 0 };
        told.push(delivery(&waiting, id, false, now_ms));
        if waiting.qos > 0 {
            self.in_flight.push_back(InFlight {
                id,
                waiting,
                is_received: false,
            });
        }
    }

    /// Far fewer messages are in flight than there are numbers.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self
                .in_flight
                .iter()
                .all(|flight| flight.id != self.last_id)
            {
                return self.last_id;
            }
        }
    }

    /// A message of quality of service 1 or 2 has come, or was refused.
    pub fn acknowledged(&mut self, id: u16) {
        if let Some(at) = self.in_flight.iter().position(|flight| flight.id == id) {
            self.in_flight.remove(at);
        }
    }

    /// A message of quality of service 2 has come; its release is to be told.
    pub fn received(&mut self, id: u16) {
        if let Some(flight) = self.in_flight.iter_mut().find(|flight| flight.id == id) {
            flight.is_received = true;
        }
    }
}

fn delivery(waiting: &Waiting, id: u16, is_repeated: bool, now_ms: u64) -> ToClient {
    let left_s = |at_ms: u64| (at_ms.saturating_sub(now_ms).div_ceil(1_000)) as u32;
    ToClient::Publish(Delivery {
        message: waiting.message.clone(),
        id,
        qos: waiting.qos,
        retain: waiting.retain,
        is_repeated,
        subscription_ids: waiting.subscription_ids.clone(),
        expires_s: waiting.expires_at_ms.map(left_s),
    })
}
