//! What the game itself says: it passes through.

/// A message of the game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameMessage {
    /// Behind `game_` in the topic.
    pub name: String,
    /// What it says.
    pub payload: Vec<u8>,
}

/// Messages of the game that wait for a connection, and their bytes.
pub(super) const WAITING_MAX: usize = 1_000;
pub(super) const WAITING_BYTES_MAX: usize = 16 << 20;

/// What waits; see the limits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    messages: std::collections::VecDeque<GameMessage>,
    bytes: usize,
}

impl Waiting {
    /// Whether there was room for it.
    pub fn push(&mut self, message: GameMessage) -> bool {
        let bytes = message.payload.len();
        if self.messages.len() >= WAITING_MAX || self.bytes + bytes > WAITING_BYTES_MAX {
            return false;
        }
        self.bytes += bytes;
        self.messages.push_back(message);
        true
    }

    pub fn pop(&mut self) -> Option<GameMessage> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.payload.len();
        Some(message)
    }
}
