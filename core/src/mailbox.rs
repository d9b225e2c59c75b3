//! A bounded first-in-first-out queue that counts what it drops.
//!
//! Pure: it neither waits nor wakes. `dispatch::Inbox` adds that.

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// What happens to a message that finds the mailbox full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The arriving message is dropped and counted (the originals' policy), unless somebody
    /// attends to the mailbox: who is merely busy loses nothing, as with the originals, which
    /// hand each message over at once.
    #[default]
    DropNewest,
    /// The oldest waiting message is dropped and counted.
    DropOldest,
    /// Nothing is dropped: the node stops reading from its sockets until there is room, so
    /// that senders feel the pressure.
    Block,
}

impl Overflow {
    /// Reads `drop-newest`, `drop-oldest` or `block`.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "drop-newest" => Ok(Self::DropNewest),
            "drop-oldest" => Ok(Self::DropOldest),
            "block" => Ok(Self::Block),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("overflow is '{name}', but must be drop-newest, drop-oldest or block"),
            )),
        }
    }
}

/// Bounds of a mailbox and what happens at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxConfig {
    /// Messages at most; at least 1.
    pub messages_max: usize,
    /// Payload bytes at most. One message larger than this is taken when nothing else waits.
    pub bytes_max: usize,
    /// What happens when full.
    pub overflow: Overflow,
}

impl Default for MailboxConfig {
    fn default() -> Self {
        Self {
            messages_max: limits::MAILBOX_MESSAGES_DEFAULT,
            bytes_max: limits::MAILBOX_BYTES_DEFAULT,
            overflow: Overflow::default(),
        }
    }
}

/// What became of a pushed message.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed<T> {
    /// It waits.
    Queued,
    /// It waits, and that many older ones were dropped for it.
    Displaced(u64),
    /// It was dropped.
    Dropped,
    /// There is no room and nothing may be dropped: try again later.
    Full(T),
}

/// The queue. Every item has a weight in bytes.
#[derive(Debug)]
pub struct Mailbox<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    config: MailboxConfig,
    /// Somebody takes what comes.
    attended: bool,
    dropped: u64,
}

impl<T> Mailbox<T> {
    /// An empty mailbox.
    pub fn new(config: MailboxConfig) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            config: MailboxConfig {
                messages_max: config.messages_max.max(1),
                ..config
            },
            attended: false,
            dropped: 0,
        }
    }

    fn has_room(&self, weight: usize) -> bool {
        self.items.is_empty()
            || crate::plant::active("mailbox_unbounded")
            || (self.items.len() < self.config.messages_max
                && self.bytes + weight <= self.config.bytes_max)
    }

    /// Whether a message of that weight has to wait.
    pub fn blocks(&self, weight: usize) -> bool {
        let waits = match self.config.overflow {
            Overflow::Block => true,
            Overflow::DropNewest => self.attended,
            Overflow::DropOldest => false,
        };
        waits && !self.has_room(weight)
    }

    /// Says whether somebody takes what comes.
    pub fn set_attended(&mut self, attended: bool) {
        self.attended = attended;
    }

    /// Adds a message at the end, if its policy allows.
    pub fn push(&mut self, item: T, weight: usize) -> Pushed<T> {
        let mut displaced = 0;
        while !self.has_room(weight) {
            match self.config.overflow {
                Overflow::Block => return Pushed::Full(item),
                Overflow::DropNewest if self.attended => return Pushed::Full(item),
                Overflow::DropNewest => {
                    if !crate::plant::active("silent_drop") {
                        self.dropped += 1;
                    }
                    return Pushed::Dropped;
                }
                Overflow::DropOldest => {
                    self.pop();
                    self.dropped += 1;
                    displaced += 1;
                }
            }
        }
        self.items.push_back((item, weight));
        self.bytes += weight;
        if displaced > 0 {
            Pushed::Displaced(displaced)
        } else {
            Pushed::Queued
        }
    }

    /// Puts a message back that was taken but not handed over. It counts for no bytes from here
    /// on, and no bound keeps it out: it was in already.
    pub fn put_back(&mut self, item: T) {
        self.items.push_front((item, 0));
    }

    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<T> {
        let (item, weight) = self.items.pop_front()?;
        self.bytes -= weight;
        if self.items.is_empty() && self.items.capacity() > limits::MAILBOX_MESSAGES_DEFAULT {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Number of waiting messages.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Weight of the waiting messages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages dropped since the mailbox was made.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mailbox(messages_max: usize, bytes_max: usize, overflow: Overflow) -> Mailbox<u32> {
        Mailbox::new(MailboxConfig {
            messages_max,
            bytes_max,
            overflow,
        })
    }

    #[test]
    fn policies_at_the_bound() {
        let mut newest = mailbox(2, 100, Overflow::DropNewest);
        let mut oldest = mailbox(2, 100, Overflow::DropOldest);
        let mut block = mailbox(2, 100, Overflow::Block);
        for i in 0..2 {
            assert_eq!(newest.push(i, 1), Pushed::Queued);
            assert_eq!(oldest.push(i, 1), Pushed::Queued);
            assert_eq!(block.push(i, 1), Pushed::Queued);
        }
        assert_eq!(newest.push(2, 1), Pushed::Dropped);
        assert_eq!(oldest.push(2, 1), Pushed::Displaced(1));
        assert_eq!(block.push(2, 1), Pushed::Full(2));
        assert_eq!(
            (newest.pop(), oldest.pop(), block.pop()),
            (Some(0), Some(1), Some(0))
        );
        assert_eq!(
            (newest.dropped(), oldest.dropped(), block.dropped()),
            (1, 1, 0)
        );
    }

    #[test]
    fn what_is_attended_to_drops_no_newest() {
        let mut newest = mailbox(1, 100, Overflow::DropNewest);
        newest.set_attended(true);
        assert_eq!(newest.push(0, 1), Pushed::Queued);
        assert_eq!(newest.push(1, 1), Pushed::Full(1));
        assert!(newest.blocks(1));
        newest.set_attended(false);
        assert!(!newest.blocks(1));
        assert_eq!(newest.push(1, 1), Pushed::Dropped);
        assert_eq!((newest.pop(), newest.dropped()), (Some(0), 1));
    }

    #[test]
    fn a_message_over_the_byte_bound_is_taken_alone() {
        let mut mailbox = mailbox(10, 8, Overflow::DropNewest);
        assert_eq!(mailbox.push(1, 1_000), Pushed::Queued);
        assert_eq!(mailbox.push(2, 1), Pushed::Dropped);
        assert_eq!(mailbox.pop(), Some(1));
        assert_eq!(mailbox.push(3, 1), Pushed::Queued);
    }

    #[cfg(feature = "plants")]
    #[test]
    fn the_planted_bug_is_found() {
        crate::plant::turns_red("mailbox_unbounded", policies_at_the_bound);
    }

    proptest! {
        #[test]
        fn mailbox_fifo_bound(
            ops in proptest::collection::vec((any::<bool>(), 0usize..40), 0..200),
            policy in 0usize..3,
        ) {
            let overflow = [Overflow::DropNewest, Overflow::DropOldest, Overflow::Block][policy];
            let mut mailbox = mailbox(5, 60, overflow);
            let (mut next, mut pushed, mut popped, mut last) = (0u32, 0u64, 0u64, None);
            for (push, weight) in ops {
                if push {
                    if !matches!(mailbox.push(next, weight), Pushed::Full(_)) {
                        pushed += 1;
                    }
                    next += 1;
                } else if let Some(item) = mailbox.pop() {
                    prop_assert!(last.is_none_or(|last| item > last));
                    last = Some(item);
                    popped += 1;
                }
                prop_assert!(mailbox.len() <= 5);
                prop_assert!(mailbox.bytes() <= 60);
                prop_assert_eq!(pushed, popped + mailbox.dropped() + mailbox.len() as u64);
            }
        }
    }
}
