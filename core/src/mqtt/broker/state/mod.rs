//! The broker as a machine: clients that come and go, what they publish and hear. It has no sockets and no
//! clock: it is told what time it is, and its outputs are carried out by [`super::server`].

mod routing;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::access::Access;
use super::client::{Client, Turn};
use super::packet::{Connect, FromClient, Message, Reason, ToClient, Version, Will};
use super::retained::Retained;
use super::subscriptions::Subscriptions;
use crate::ids::Rng;
use crate::limits::{BROKER_CLIENT_ID_BYTES_MAX, BROKER_SESSION_MS_MAX, BROKER_SWEEP_MS};

/// What the machine wants done.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    /// Packets for a connection, in this order.
    Send(u64, Vec<ToClient>),
    /// A connection ends when what it was sent is written.
    Close(u64, Reason),
    /// A client has more to hear: [`State::again`] when the others had their turn.
    Again(u64),
    /// What is retained on a topic has changed; for a disk.
    Retained(Arc<str>),
    /// Something for a log.
    Said(Said),
}

/// What a log is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Connected {
        connection: u64,
        id: Arc<str>,
        user: Option<Arc<str>>,
        version: Version,
    },
    Refused {
        connection: u64,
        id: String,
        user: Option<String>,
        reason: Reason,
    },
    Left {
        connection: u64,
        id: Arc<str>,
        reason: Option<Reason>,
    },
    /// A client may not publish or hear something.
    NotAllowed {
        id: Arc<str>,
        topic: String,
        reason: Reason,
    },
    /// Messages are dropped for a client, the first since it was connected.
    Drops { id: Arc<str> },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Silence {
        connection: u64,
    },
    Will {
        client: u64,
    },
    Forget {
        client: u64,
    },
    /// Retained messages whose time is over are looked for.
    Sweep,
}

/// A connection that has said who it is.
#[derive(Debug)]
struct Connection {
    client: u64,
    patience_ms: Option<u64>,
    heard_at_ms: u64,
    /// When its timer is due; it is set anew only then.
    silent_at_ms: u64,
}

/// A broker.
#[derive(Debug)]
pub(super) struct State {
    access: Access,
    clients_max: usize,
    random: Rng,
    clients: HashMap<u64, Client>,
    next_client: u64,
    /// Clients by the names they have given themselves.
    by_id: HashMap<Arc<str>, u64>,
    connections: HashMap<u64, Connection>,
    subscriptions: Subscriptions,
    retained: Retained,
    waiting_bytes: usize,
    /// When the will of a client is said, and when its state is forgotten.
    wills_at_ms: HashMap<u64, u64>,
    forget_at_ms: HashMap<u64, u64>,
    /// At most one of each kind for each client and connection.
    timers: BTreeSet<(u64, Timer)>,
    sweeps: bool,
    outputs: VecDeque<Output>,
}

impl State {
    /// A broker without clients, for as many connections at once.
    pub fn new(access: Access, clients_max: usize, seed: u64) -> Self {
        Self {
            access,
            clients_max,
            random: Rng::new(seed),
            clients: HashMap::new(),
            next_client: 1,
            by_id: HashMap::new(),
            connections: HashMap::new(),
            subscriptions: Subscriptions::default(),
            retained: Retained::default(),
            waiting_bytes: 0,
            wills_at_ms: HashMap::new(),
            forget_at_ms: HashMap::new(),
            timers: BTreeSet::new(),
            sweeps: false,
            outputs: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub fn pop_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() && self.outputs.capacity() > 1_024 {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When [`State::tick`] is due.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.timers.first().map(|(at_ms, _)| *at_ms)
    }

    /// What is retained on all topics, with when it ends.
    pub fn retained(&self) -> &Retained {
        &self.retained
    }

    /// Takes in what a disk has kept, before anybody connects.
    pub fn restore(&mut self, message: Message, expires_at_ms: Option<u64>, now_ms: u64) {
        if message.payload.is_empty() {
            self.retained.remove(&message.topic);
            return;
        }
        self.retain(Arc::new(message), expires_at_ms, now_ms);
    }

    /// A connection under a new number says who it is.
    pub fn connect(&mut self, connection: u64, connect: Connect, now_ms: u64) {
        let name = connect.client_id.clone();
        #[cfg(test)]
        assert_ne!(name, "a fault for tests", "a fault for tests");
        if let Err(reason) = self.admit(&connect) {
            let user = connect.user.clone();
            self.say(Said::Refused {
                connection,
                id: name,
                user,
                reason,
            });
            let refusal = ToClient::ConnAck {
                reason,
                has_session: false,
                given_id: None,
            };
            self.send(connection, vec![refusal]);
            self.outputs.push_back(Output::Close(connection, reason));
            return;
        }
        let is_named = !name.is_empty();
        let name = if is_named { name } else { self.given_name() };
        let name: Arc<str> = Arc::from(name);
        let has_session = self.earlier_session(&name, connect.clean, now_ms);
        self.make_room(now_ms);
        let client = self.by_id.get(&name).copied().unwrap_or_else(|| {
            let client = self.next_client;
            self.next_client += 1;
            self.clients.insert(client, Client::new(name.clone()));
            self.by_id.insert(name.clone(), client);
            client
        });
        self.stay(client);
        let patience_ms = connect
            .patience()
            .map(|patience| patience.as_millis() as u64);
        self.connections.insert(
            connection,
            Connection {
                client,
                patience_ms,
                heard_at_ms: now_ms,
                silent_at_ms: now_ms + patience_ms.unwrap_or(0),
            },
        );
        if let Some(patience_ms) = patience_ms {
            self.at(now_ms + patience_ms, Timer::Silence { connection });
        }
        let mut told = vec![ToClient::ConnAck {
            reason: Reason::Success,
            has_session,
            given_id: (!is_named).then(|| name.to_string()),
        }];
        self.say(Said::Connected {
            connection,
            id: name,
            user: connect.user.as_deref().map(Arc::from),
            version: connect.version,
        });
        if let Some(client) = self.clients.get_mut(&client) {
            client.connect(connection, connect, &mut told, now_ms);
        }
        self.send(connection, told);
        self.turn(client, now_ms);
    }

    fn admit(&self, connect: &Connect) -> Result<(), Reason> {
        let id = &connect.client_id;
        let needs_name = connect.version == Version::V311 && !connect.clean;
        if id.len() > BROKER_CLIENT_ID_BYTES_MAX || id.is_empty() && needs_name {
            return Err(Reason::ClientId);
        }
        let (user, password) = (connect.user.as_deref(), connect.password.as_deref());
        if !self.access.lets_in(user, password) {
            return Err(Reason::BadCredentials);
        }
        if let Some(will) = &connect.will
            && !self.access.may_write(user, &will.message.topic)
        {
            return Err(Reason::NotAuthorized);
        }
        // Whoever takes over from itself needs no further room.
        let is_known = self.by_id.contains_key(id.as_str());
        if !is_known && self.connections.len() >= self.clients_max {
            return Err(Reason::ServerBusy);
        }
        Ok(())
    }

    /// Forgets who is away and would be forgotten next, when as many are away as may be connected.
    fn make_room(&mut self, now_ms: u64) {
        if self.forget_at_ms.len() < self.clients_max {
            return;
        }
        let next = self.timers.iter().find_map(|(_, timer)| match timer {
            Timer::Forget { client } => Some(*client),
            _ => None,
        });
        if let Some(client) = next {
            self.say_will(client, now_ms);
            self.forget(client);
        }
    }

    fn given_name(&mut self) -> String {
        loop {
            let name = format!("given-{:016x}", self.random.next_u64());
            if !self.by_id.contains_key(name.as_str()) {
                return name;
            }
        }
    }

    /// Ends another connection of that name, and forgets its session if asked to. Returns whether there
    /// is one to go on with.
    fn earlier_session(&mut self, name: &Arc<str>, is_clean: bool, now_ms: u64) -> bool {
        let Some(client) = self.by_id.get(name).copied() else {
            return false;
        };
        if let Some(connection) = self
            .clients
            .get(&client)
            .and_then(|client| client.connection)
        {
            self.end(connection, Reason::TakenOver, now_ms);
        }
        if is_clean {
            self.say_will(client, now_ms);
            self.forget(client);
        }
        self.clients.contains_key(&client)
    }

    /// A packet has come on a connection.
    pub fn packet(&mut self, connection: u64, packet: FromClient, now_ms: u64) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        known.heard_at_ms = now_ms;
        let client = known.client;
        match packet {
            FromClient::Connect(_) => self.end(connection, Reason::Protocol, now_ms),
            FromClient::Publish(message, id) => {
                self.published(connection, client, message, id, now_ms);
            }
            FromClient::PubAck(id) | FromClient::PubComp(id) => {
                self.with(client, |client| client.acknowledged(id));
                self.turn(client, now_ms);
            }
            FromClient::PubRec { id, is_refused } => {
                if is_refused {
                    self.with(client, |client| client.acknowledged(id));
                    self.turn(client, now_ms);
                } else {
                    self.with(client, |client| client.received(id));
                    self.send(connection, vec![ToClient::PubRel(id)]);
                }
            }
            FromClient::PubRel(id) => {
                self.with(client, |client| {
                    client.received.remove(&id);
                });
                self.send(connection, vec![ToClient::PubComp(id)]);
            }
            FromClient::Subscribe {
                id,
                wanted,
                subscription_id,
            } => {
                let granted = wanted
                    .into_iter()
                    .map(|wanted| self.subscribe(client, wanted, subscription_id));
                let granted = granted.collect();
                self.send(connection, vec![ToClient::SubAck(id, granted)]);
                self.turn(client, now_ms);
            }
            FromClient::Unsubscribe { id, filters } => {
                let reasons = filters
                    .iter()
                    .map(|filter| self.unsubscribe(client, filter));
                let reasons = reasons.collect();
                self.send(connection, vec![ToClient::UnsubAck(id, reasons)]);
            }
            FromClient::Ping => self.send(connection, vec![ToClient::Pong]),
            FromClient::Disconnect {
                with_will,
                session_expiry_s,
            } => {
                self.with(client, |client| {
                    if !with_will {
                        client.will = None;
                    }
                    // A session that was to end with its connection can't be kept after all.
                    if let Some(expiry_s) = session_expiry_s
                        && client.session_expiry_s > 0
                    {
                        client.session_expiry_s = expiry_s;
                    }
                });
                self.outputs
                    .push_back(Output::Close(connection, Reason::Success));
                self.left(connection, Some(Reason::Success), now_ms);
            }
        }
    }

    fn with(&mut self, client: u64, change: impl FnOnce(&mut Client)) {
        if let Some(client) = self.clients.get_mut(&client) {
            change(client);
        }
    }

    /// Tells a client what there is for it, as long as its connection takes it.
    fn turn(&mut self, number: u64, now_ms: u64) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        let Some(connection) = client.connection else {
            return;
        };
        let mut told = Vec::new();
        let turn = client.turn(&self.retained, &mut self.waiting_bytes, &mut told, now_ms);
        self.send(connection, told);
        if turn == Turn::Again {
            self.outputs.push_back(Output::Again(connection));
        }
    }

    /// A connection has written what it was sent up to so many bytes: there may be room for more.
    pub fn unwritten(&mut self, connection: u64, bytes: usize, now_ms: u64) {
        if let Some(client) = self.connections.get(&connection).map(|known| known.client) {
            self.with(client, |client| client.unwritten = bytes);
            self.turn(client, now_ms);
        }
    }

    /// Goes on with what [`Output::Again`] was for.
    pub fn again(&mut self, connection: u64, now_ms: u64) {
        if let Some(client) = self.connections.get(&connection).map(|known| known.client) {
            self.turn(client, now_ms);
        }
    }

    /// Ends a connection for a reason, which a client of MQTT 5 is told.
    pub fn end(&mut self, connection: u64, reason: Reason, now_ms: u64) {
        self.send(connection, vec![ToClient::Disconnect(reason)]);
        self.outputs.push_back(Output::Close(connection, reason));
        self.left(connection, Some(reason), now_ms);
    }

    /// A connection is gone without a word.
    pub fn closed(&mut self, connection: u64, now_ms: u64) {
        self.left(connection, None, now_ms);
    }

    fn left(&mut self, connection: u64, reason: Option<Reason>, now_ms: u64) {
        let Some(known) = self.connections.remove(&connection) else {
            return;
        };
        if known.patience_ms.is_some() {
            let timer = Timer::Silence { connection };
            self.timers.remove(&(known.silent_at_ms, timer));
        }
        let number = known.client;
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        client.disconnect();
        client.dropped = 0;
        let id = client.id.clone();
        let kept_ms = (u64::from(client.session_expiry_s) * 1_000).min(BROKER_SESSION_MS_MAX);
        let delay_ms = client
            .will
            .as_ref()
            .map(|will| u64::from(will.delay_s) * 1_000);
        self.say(Said::Left {
            connection,
            id,
            reason,
        });
        match delay_ms {
            // A will is said when the session ends, at the latest.
            Some(delay_ms) if delay_ms.min(kept_ms) > 0 => {
                let at_ms = now_ms + delay_ms.min(kept_ms);
                self.wills_at_ms.insert(number, at_ms);
                self.at(at_ms, Timer::Will { client: number });
            }
            _ => self.say_will(number, now_ms),
        }
        if kept_ms == 0 {
            self.forget(number);
        } else {
            self.forget_at_ms.insert(number, now_ms + kept_ms);
            self.at(now_ms + kept_ms, Timer::Forget { client: number });
        }
    }

    /// What was to happen because a client is away does not.
    fn stay(&mut self, client: u64) {
        if let Some(at_ms) = self.wills_at_ms.remove(&client) {
            self.timers.remove(&(at_ms, Timer::Will { client }));
        }
        if let Some(at_ms) = self.forget_at_ms.remove(&client) {
            self.timers.remove(&(at_ms, Timer::Forget { client }));
        }
    }

    fn say_will(&mut self, client: u64, now_ms: u64) {
        let will = self
            .clients
            .get_mut(&client)
            .and_then(|client| client.will.take());
        if let Some(Will { message, .. }) = will {
            self.publish(message, Some(client), now_ms);
        }
    }

    fn forget(&mut self, number: u64) {
        self.stay(number);
        if let Some(client) = self.clients.remove(&number) {
            self.waiting_bytes -= client.waiting_bytes();
            self.by_id.remove(&client.id);
            for filter in &client.filters {
                self.subscriptions.remove(filter, number);
            }
        }
        if self.clients.len() * 4 < self.clients.capacity() {
            self.clients.shrink_to_fit();
            self.by_id.shrink_to_fit();
            self.connections.shrink_to_fit();
        }
    }

    /// Does what was due by now.
    pub fn tick(&mut self, now_ms: u64) {
        while self.next_deadline_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            if let Some((_, timer)) = self.timers.pop_first() {
                self.due(timer, now_ms);
            }
        }
    }

    fn due(&mut self, timer: Timer, now_ms: u64) {
        match timer {
            Timer::Silence { connection } => {
                let Some(known) = self.connections.get_mut(&connection) else {
                    return;
                };
                let ends_at_ms = known.heard_at_ms + known.patience_ms.unwrap_or(0);
                if ends_at_ms <= now_ms {
                    self.end(connection, Reason::KeepAlive, now_ms);
                } else {
                    known.silent_at_ms = ends_at_ms;
                    self.at(ends_at_ms, Timer::Silence { connection });
                }
            }
            Timer::Will { client } => {
                self.wills_at_ms.remove(&client);
                self.say_will(client, now_ms);
            }
            Timer::Forget { client } => {
                self.say_will(client, now_ms);
                self.forget(client);
            }
            Timer::Sweep => {
                let over = self.retained.expire(now_ms);
                self.sweeps = self.retained.expires();
                if self.sweeps {
                    self.at(now_ms + BROKER_SWEEP_MS, Timer::Sweep);
                }
                self.outputs.extend(over.into_iter().map(Output::Retained));
            }
        }
    }

    /// The broker ends: every client is told.
    pub fn shut_down(&mut self, now_ms: u64) {
        let mut connections: Vec<u64> = self.connections.keys().copied().collect();
        connections.sort_unstable();
        for connection in connections {
            // Nobody is lost: the broker is.
            if let Some(client) = self.connections.get(&connection).map(|known| known.client) {
                self.with(client, |client| client.will = None);
            }
            self.end(connection, Reason::ShuttingDown, now_ms);
        }
    }

    fn at(&mut self, at_ms: u64, timer: Timer) {
        self.timers.insert((at_ms, timer));
    }

    fn send(&mut self, connection: u64, packets: Vec<ToClient>) {
        if !packets.is_empty() {
            self.outputs.push_back(Output::Send(connection, packets));
        }
    }

    fn say(&mut self, said: Said) {
        self.outputs.push_back(Output::Said(said));
    }

    /// Numbers of clients, of filters with subscribers, and of timers.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 3] {
        let filters = self.clients.values().map(|client| client.filters.len());
        [self.clients.len(), filters.sum(), self.timers.len()]
    }
}
