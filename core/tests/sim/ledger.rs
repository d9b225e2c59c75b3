//! What was sent and what became of it: at most once, unaltered, in order, and counted.

use std::collections::{BTreeMap, BTreeSet};

use distflow_core::node_state::CallId;
use distflow_core::wire::peer::Payload;

use crate::queue::Pid;

/// A sender and the slot it sends to.
pub type Pair = (Pid, usize);

#[derive(Debug)]
struct Sent {
    from: Pid,
    from_id: String,
    target: String,
    slot: usize,
    payload: Payload,
    /// Stamp of the call.
    called: u64,
    /// Stamp of the moment the sender knew it to be queued; `None` while it does not.
    accepted: Option<u64>,
    /// Whether it counts as accepted by the sender's machine, known or not.
    counted: bool,
    delivered: bool,
}

/// What became of the messages of a pair.
#[derive(Debug, Default, Clone, Copy)]
pub struct Fate {
    pub accepted: u64,
    /// Calls that failed without telling whether their message was ever queued.
    pub unclear: u64,
    pub delivered: u64,
    pub dropped: u64,
    pub lost_by_sender: u64,
    pub lost_by_receiver: u64,
    /// Messages before the first opening that the receiver ever read. It can't tell them from
    /// what an earlier process of its name got, so nobody counts them.
    pub unheard: u64,
}

impl Fate {
    fn accounted(&self) -> u64 {
        let lost = self.lost_by_sender + self.lost_by_receiver + self.unheard;
        self.delivered + self.dropped + lost
    }

    /// What is wrong with the sum, when everything is at rest and nobody crashed.
    pub fn problem(&self) -> Option<String> {
        let accounted = self.accounted();
        if accounted < self.accepted {
            Some(format!(
                "{} vanished uncounted: {self:?}",
                self.accepted - accounted
            ))
        } else if accounted > self.accepted + self.unclear {
            Some(format!(
                "{} counted twice: {self:?}",
                accounted - self.accepted - self.unclear
            ))
        } else {
            None
        }
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    sent: Vec<Sent>,
    calls: BTreeMap<(Pid, CallId), usize>,
    stamp: u64,
    /// Latest message delivered, by sender, name used, and receiver.
    last_by_name: BTreeMap<(Pid, String, Pid), usize>,
    /// Latest call among the messages delivered, by sender and receiver.
    last_called: BTreeMap<(Pid, Pid), u64>,
    pub fates: BTreeMap<Pair, Fate>,
    /// Whom each process has heard of.
    heard: BTreeSet<(Pid, Pid)>,
}

impl Ledger {
    fn stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// Number of messages ever handed to `send`.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// The payload of the next message.
    pub fn payload(&self, padding: usize) -> Payload {
        let text = format!("{{\"m\":{},\"x\":\"{}\"}}", self.len(), "x".repeat(padding));
        Payload::from_json(text).unwrap()
    }

    /// A message is about to be handed to `send`; the returned number is its own.
    pub fn call(
        &mut self,
        from: (Pid, &str),
        target: &str,
        slot: usize,
        payload: Payload,
    ) -> usize {
        let called = self.stamp();
        self.sent.push(Sent {
            from: from.0,
            from_id: from.1.to_owned(),
            target: target.to_owned(),
            slot,
            payload,
            called,
            accepted: None,
            counted: false,
            delivered: false,
        });
        self.sent.len() - 1
    }

    /// The sender's machine has queued it; the call may still wait.
    pub fn queued(&mut self, message: usize) {
        let sent = &mut self.sent[message];
        if !std::mem::replace(&mut sent.counted, true) {
            self.fates
                .entry((sent.from, sent.slot))
                .or_default()
                .accepted += 1;
        }
    }

    /// The call is over and the message queued.
    pub fn accepted(&mut self, message: usize) {
        self.queued(message);
        let stamp = self.stamp();
        self.sent[message].accepted = Some(stamp);
    }

    pub fn waits(&mut self, from: Pid, call: CallId, message: usize) {
        self.calls.insert((from, call), message);
    }

    /// A waiting call ended; false when it was none of a message's.
    pub fn ended(&mut self, from: Pid, call: CallId, ok: bool) -> bool {
        let Some(message) = self.calls.remove(&(from, call)) else {
            return false;
        };
        if ok {
            self.accepted(message);
        } else if !self.sent[message].counted {
            let pair = (from, self.sent[message].slot);
            self.fates.entry(pair).or_default().unclear += 1;
        }
        true
    }

    /// The messages of a process' calls that have not ended, and whether they are queued.
    pub fn waiting_calls(&self, from: Pid) -> Vec<(usize, &str, bool)> {
        let calls = self.calls.range((from, 0)..(from + 1, 0));
        calls
            .map(|(_, &message)| {
                let sent = &self.sent[message];
                (message, &*sent.target, sent.counted)
            })
            .collect()
    }

    /// The process is gone, and its calls with it.
    pub fn bury(&mut self, from: Pid) {
        self.calls.retain(|(pid, _), _| *pid != from);
    }

    /// The number in a payload.
    fn number(payload: &Payload) -> Option<usize> {
        let rest = payload.as_str().strip_prefix("{\"m\":")?;
        rest[..rest.find(',')?].parse().ok()
    }

    /// Which pair a received message belongs to.
    pub fn pair(&self, payload: &Payload) -> Option<Pair> {
        let sent = self.sent.get(Self::number(payload)?)?;
        Some((sent.from, sent.slot))
    }

    pub fn dropped(&mut self, payload: &Payload) {
        if let Some(pair) = self.pair(payload) {
            self.fates.entry(pair).or_default().dropped += 1;
        }
    }

    pub fn lost_by_sender(&mut self, pair: Pair, messages: u64) {
        self.fates.entry(pair).or_default().lost_by_sender += messages;
    }

    pub fn lost_by_receiver(&mut self, pair: Pair, messages: u64) {
        self.fates.entry(pair).or_default().lost_by_receiver += messages;
    }

    /// A receiver read the opening of a pair's link, which says what came before.
    pub fn opened(&mut self, pair: Pair, by: Pid, next: u64) {
        if self.heard.insert((by, pair.0)) {
            self.fates.entry(pair).or_default().unheard += next;
        }
    }

    /// An application got a message: everything that M1 and M3 say about it. Towards a node
    /// that does not understand the opening of a link, order ends with a connection.
    pub fn deliver(
        &mut self,
        to: Pid,
        ordered: bool,
        names: [&str; 2],
        from_id: &str,
        payload: &Payload,
    ) -> Result<(), String> {
        let number = Self::number(payload).filter(|&number| number < self.sent.len());
        let Some(number) = number else {
            return Err(format!("M1: process {to} got a message nobody sent"));
        };
        let sent = &mut self.sent[number];
        let pair = (sent.from, sent.slot);
        if sent.payload != *payload || sent.from_id != from_id {
            return Err(format!("M1: message {number} arrived altered"));
        }
        if !names.contains(&&*sent.target) {
            return Err(format!(
                "M1: message {number} for '{}' was delivered to {names:?}",
                sent.target
            ));
        }
        if std::mem::replace(&mut sent.delivered, true) {
            return Err(format!("M1: message {number} was delivered twice"));
        }
        let (called, accepted, from) = (sent.called, sent.accepted, sent.from);
        let last = self
            .last_by_name
            .insert((from, sent.target.clone(), to), number);
        if ordered && last.is_some_and(|last| last > number) {
            return Err(format!(
                "M3: process {to} got message {number} of process {from} after {last:?}"
            ));
        }
        // By whatever name: what was queued before another call began comes before it.
        let last_called = self.last_called.entry((from, to)).or_default();
        if ordered && accepted.is_some_and(|accepted| accepted < *last_called) {
            return Err(format!(
                "M3: process {to} got message {number} of process {from} after a later one"
            ));
        }
        *last_called = (*last_called).max(called);
        self.fates.entry(pair).or_default().delivered += 1;
        Ok(())
    }
}
