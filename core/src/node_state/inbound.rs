//! Which messages of which connection may be delivered.
//!
//! A sender that announced `link` opens every connection with its run, the connection's number
//! and the number of its next message. That shows what was lost between two connections, and
//! keeps what is still in an old connection's buffers from being delivered after newer
//! messages. Originals open nothing; their connections are taken as they come.

use std::collections::HashMap;

use crate::limits;
use crate::names::NodeId;

/// An inbound connection, numbered by its owner.
pub type InboundId = u64;

/// What to do with frames of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Accept,
    /// Throw them away and close the connection: a newer one has taken its place, or the
    /// frame is not for this node or not from who opened the connection.
    Close,
}

#[derive(Debug)]
struct Sender {
    incarnation: u64,
    connection: u64,
    next: u64,
    inbound: InboundId,
    /// It left the registry, which it may survive: only its connection to the PMD may be gone.
    left: bool,
}

/// The state of every sender's stream towards this node.
#[derive(Debug)]
pub struct Inbound {
    own: NodeId,
    senders: HashMap<NodeId, Sender>,
    /// Connections that were opened, and by whom.
    opened: HashMap<InboundId, NodeId>,
    lost: u64,
    misdirected: u64,
}

impl Inbound {
    /// Nothing received yet.
    pub fn new(own: NodeId) -> Self {
        Self {
            own,
            senders: HashMap::new(),
            opened: HashMap::new(),
            lost: 0,
            misdirected: 0,
        }
    }

    /// A connection says which stream it carries on.
    pub fn open(
        &mut self,
        inbound: InboundId,
        from: &NodeId,
        to: &NodeId,
        stream: (u64, u64, u64),
    ) -> Verdict {
        let (incarnation, connection, next) = stream;
        if *to != self.own || self.opened.contains_key(&inbound) {
            return Verdict::Close;
        }
        if let Some(known) = self.senders.get(from) {
            // A node that left and whose clock went back has a smaller incarnation.
            let anew = known.left && incarnation < known.incarnation;
            if (incarnation, connection) <= (known.incarnation, known.connection)
                && !anew
                && !crate::plant::active("no_fence")
            {
                return Verdict::Close;
            }
            if incarnation == known.incarnation {
                if next < known.next {
                    return Verdict::Close;
                }
                if !crate::plant::active("uncounted_loss") {
                    self.lost = self.lost.saturating_add(next - known.next);
                }
            }
        } else if self.senders.len() >= limits::SENDERS_MAX {
            self.make_room();
        }
        self.opened.insert(inbound, from.clone());
        self.senders.insert(
            from.clone(),
            Sender {
                incarnation,
                connection,
                next,
                inbound,
                left: false,
            },
        );
        Verdict::Accept
    }

    /// Forgets those who left and have no connection, or everyone if that frees nothing.
    fn make_room(&mut self) {
        let opened = &self.opened;
        self.senders
            .retain(|_, sender| !sender.left || opened.contains_key(&sender.inbound));
        if self.senders.len() >= limits::SENDERS_MAX {
            self.senders.clear();
            self.opened.clear();
        }
    }

    /// A message arrived.
    pub fn message(&mut self, inbound: InboundId, from: &NodeId, to: &NodeId) -> Verdict {
        self.messages(inbound, from, to, 1)
    }

    /// Messages of one sender arrived in a row.
    pub fn messages(
        &mut self,
        inbound: InboundId,
        from: &NodeId,
        to: &NodeId,
        count: u64,
    ) -> Verdict {
        if *to != self.own && !crate::plant::active("to_unchecked") {
            self.misdirected += count;
            return Verdict::Close;
        }
        let Some(opener) = self.opened.get(&inbound) else {
            return Verdict::Accept;
        };
        if opener != from {
            return Verdict::Close;
        }
        match self.senders.get_mut(from) {
            Some(sender) if sender.inbound == inbound => {
                sender.next = sender.next.saturating_add(count);
                Verdict::Accept
            }
            _ if crate::plant::active("no_fence") => Verdict::Accept,
            // The newer connection counted these as lost when it opened.
            _ => Verdict::Close,
        }
    }

    /// Whether messages of a connection that were accepted, and had to wait for room, may still
    /// be delivered.
    pub fn still(&self, inbound: InboundId, from: &NodeId) -> Verdict {
        match (self.opened.get(&inbound), self.senders.get(from)) {
            (Some(_), Some(sender)) if sender.inbound != inbound => Verdict::Close,
            _ => Verdict::Accept,
        }
    }

    /// Messages that were accepted can't be delivered any more.
    pub fn give_up(&mut self, messages: u64) {
        self.lost += messages;
    }

    /// A connection ended. Where its stream stands is remembered.
    pub fn closed(&mut self, inbound: InboundId) {
        self.opened.remove(&inbound);
    }

    /// A node left. Its stream goes on if it comes back, or if only the registry lost it; a
    /// later node of that id may start anew, whatever its incarnation.
    pub fn forget(&mut self, id: &str) {
        if let Some(sender) = self.senders.get_mut(id) {
            sender.left = true;
        }
    }

    /// Messages that were sent to this node and lost with a connection.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Messages that were for another node.
    pub fn misdirected(&self) -> u64 {
        self.misdirected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> NodeId {
        NodeId::new(text).unwrap()
    }

    #[test]
    fn a_gap_is_counted_and_an_old_connection_fenced() {
        let (a, me) = (id("a"), id("me"));
        let mut inbound = Inbound::new(me.clone());
        assert_eq!(inbound.open(1, &a, &me, (7, 1, 0)), Verdict::Accept);
        for _ in 0..3 {
            assert_eq!(inbound.message(1, &a, &me), Verdict::Accept);
        }
        // Five were written on the first connection, two of them are still on their way.
        assert_eq!(inbound.open(2, &a, &me, (7, 2, 5)), Verdict::Accept);
        assert_eq!(inbound.lost(), 2);
        assert_eq!(inbound.message(1, &a, &me), Verdict::Close);
        assert_eq!(inbound.message(2, &a, &me), Verdict::Accept);
        // The opening of an even older connection arrives late.
        assert_eq!(inbound.open(3, &a, &me, (7, 1, 0)), Verdict::Close);
        assert_eq!(inbound.open(4, &a, &me, (6, 9, 0)), Verdict::Close);
        // A restarted sender starts anew.
        assert_eq!(inbound.open(5, &a, &me, (8, 1, 0)), Verdict::Accept);
        assert_eq!(inbound.lost(), 2);
    }

    #[test]
    fn strangers_and_forgers_are_turned_away() {
        let (a, b, me) = (id("a"), id("b"), id("me"));
        let mut inbound = Inbound::new(me.clone());
        assert_eq!(inbound.message(1, &a, &b), Verdict::Close);
        assert_eq!(inbound.misdirected(), 1);
        assert_eq!(inbound.open(2, &a, &b, (1, 1, 0)), Verdict::Close);
        assert_eq!(inbound.open(3, &a, &me, (1, 1, 0)), Verdict::Accept);
        assert_eq!(inbound.message(3, &b, &me), Verdict::Close);
        // An original opens nothing and is taken as it comes.
        assert_eq!(inbound.message(4, &b, &me), Verdict::Accept);
    }

    #[test]
    fn a_stream_survives_that_its_sender_leaves_the_registry() {
        let (a, me) = (id("a"), id("me"));
        let mut inbound = Inbound::new(me.clone());
        assert_eq!(inbound.open(1, &a, &me, (5, 1, 0)), Verdict::Accept);
        inbound.forget("a");
        // Only its connection to the PMD was cut.
        assert_eq!(inbound.message(1, &a, &me), Verdict::Accept);
        inbound.closed(1);
        assert_eq!(inbound.open(2, &a, &me, (5, 2, 4)), Verdict::Accept);
        assert_eq!(inbound.lost(), 3);
        // A restart with a clock that went back, and one that is fenced.
        assert_eq!(inbound.open(3, &a, &me, (4, 1, 0)), Verdict::Close);
        inbound.forget("a");
        assert_eq!(inbound.open(4, &a, &me, (4, 1, 0)), Verdict::Accept);
        assert_eq!(inbound.lost(), 3);
    }
}
