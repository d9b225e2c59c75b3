//! How long everything takes (mqtt-session.md 5).

/// Durations in milliseconds. The defaults are what the originals expect of their peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two publications of the document.
    pub heartbeat_ms: u64,
    /// A creator whose heartbeat has not changed for longer than this is lost.
    pub lost_ms: u64,
    /// Between two announcements.
    pub announce_ms: u64,
    /// Between two publications of the seed.
    pub seed_ms: u64,
    /// Between two publications of a member's presence, and how long each is good for.
    pub presence_ms: u64,
    /// How long a member's presence is good for.
    pub lease_ms: u64,
    /// Changes of the document that come closer together are published as one.
    pub gather_ms: u64,
    /// How long a closed session can be seen before its topics are emptied.
    pub hygiene_ms: u64,
    /// How long at most when its creator leaves.
    pub leave_hygiene_ms: u64,
    /// How long a member waits for others to do that.
    pub hygiene_wait_ms: u64,
    /// How long a document is waited for, and an answer of its creator.
    pub unknown_ms: u64,
    /// How long an answer of the creator is waited for.
    pub join_ms: u64,
    /// How long a session has to refuse everybody before it refuses this instance.
    pub refuse_ms: u64,
    /// When a member of a session of the originals begins to write the document itself; and how
    /// long it waits at least, and at most longer, before it looks what has become of that.
    pub write_after_ms: u64,
    /// How long it waits at least before it looks what became of its document.
    pub verify_ms: u64,
    /// How long it waits at most longer.
    pub verify_spread_ms: u64,
    /// What each candidate waits longer than the one before it when the creator is lost.
    pub candidate_ms: u64,
    /// How long a creator waits for what the broker has kept.
    pub check_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_ms: 5_000,
            lost_ms: 15_000,
            announce_ms: 5_000,
            seed_ms: 3_000,
            presence_ms: 5_000,
            lease_ms: 15_000,
            gather_ms: 20,
            hygiene_ms: 5_000,
            leave_hygiene_ms: 1_500,
            hygiene_wait_ms: 8_000,
            unknown_ms: 3_000,
            join_ms: 10_000,
            refuse_ms: 3_000,
            write_after_ms: 1_000,
            verify_ms: 300,
            verify_spread_ms: 500,
            candidate_ms: 750,
            check_ms: 2_000,
        }
    }
}
