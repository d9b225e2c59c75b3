//! What a seed's run consists of: how many nodes of which kind, which faults, when.
//!
//! Each run enables only some kinds of faults, so that the promises that need peace from the
//! others are looked at as well.

use distflow_core::ids::Rng;
use distflow_core::mailbox::{MailboxConfig, Overflow};

use crate::network::NetParams;
use crate::queue::{MS, SECOND};

/// What a slot's processes have in common.
#[derive(Debug, Clone)]
pub struct SlotPlan {
    pub alias: String,
    /// Every process of the slot has the same node id.
    pub fixed_id: bool,
    pub fixed_port: bool,
    pub heartbeat: bool,
    pub may_launch: bool,
    /// It announces that it understands the opening of a link.
    pub opens: bool,
    pub mailbox: MailboxConfig,
    pub consume_us: u64,
    pub queue_bytes_max: usize,
}

/// A bound for watchers that those who read exceed as well, for a moment.
const LEAST_BEHIND_BYTES: usize = 50;

/// Kinds of faults a run can enable.
pub const KINDS: usize = 11;

#[derive(Debug, Clone)]
pub struct Plan {
    pub slots: Vec<SlotPlan>,
    pub raws: usize,
    pub net: NetParams,
    /// Kinds of faults that happen, and when.
    pub faults: Vec<(u64, usize)>,
    /// Faults begin before this.
    pub chaos_us: u64,
    /// Longest pause between two things an application does.
    pub work_us: u64,
    pub watcher_bytes_max: usize,
    /// Whether somebody starts the PMD, or the first node that may.
    pub pmd_first: bool,
    /// Which of the PMDs that are started one after the other are originals, as bits.
    pub original_pmds: u64,
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize]
}

fn slot(rng: &mut Rng, number: usize, links: bool, policy: Option<Overflow>) -> SlotPlan {
    let policies = [Overflow::DropNewest, Overflow::DropOldest, Overflow::Block];
    SlotPlan {
        alias: format!("n{number}"),
        fixed_id: rng.below(2) == 0,
        fixed_port: rng.below(2) == 0,
        heartbeat: rng.below(2) == 0,
        may_launch: rng.below(3) == 0,
        opens: links || rng.below(4) > 0,
        mailbox: MailboxConfig {
            messages_max: pick(rng, &[3, 20, 1_000]),
            bytes_max: pick(rng, &[600, 1 << 20]),
            overflow: policy.unwrap_or_else(|| pick(rng, &policies)),
        },
        consume_us: pick(rng, &[0, 0, 2 * MS, 30 * MS]),
        queue_bytes_max: pick(rng, &[2_000, 64 << 10]),
    }
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        // Its own sequence: changing how a run goes does not change what it consists of.
        let mut rng = Rng::new(seed ^ 0x5eed);
        let crowd = seed % 64 == 63;
        let count = if crowd {
            100
        } else {
            let spread = pick(&mut rng, &[4, 4, 4, 10]);
            3 + rng.below(spread)
        };
        let links = rng.below(3) > 0;
        let policy = (rng.below(3) == 0).then_some(Overflow::Block);
        let chaos_us = if crowd {
            12 * SECOND
        } else {
            (10 + rng.below(20)) * SECOND
        };
        let enabled: Vec<usize> = match rng.below(4) {
            0 => vec![rng.below(KINDS as u64) as usize],
            _ => (0..KINDS).filter(|_| rng.below(100) < 40).collect(),
        };
        let faults = if crowd { 4 } else { 1 + rng.below(14) };
        let faults = (0..faults)
            .filter(|_| !enabled.is_empty())
            .map(|_| (2 * SECOND + rng.below(chaos_us), pick(&mut rng, &enabled)))
            .collect();
        let mut plan = Self {
            slots: (0..count as usize)
                .map(|number| slot(&mut rng, number, links, policy))
                .collect(),
            raws: rng.below(3) as usize,
            net: NetParams {
                delay_us: pick(&mut rng, &[200, MS, 8 * MS]),
                spike_us: pick(&mut rng, &[MS, 20 * MS, 60 * MS]),
                piece_bytes: if crowd {
                    16 << 10
                } else {
                    pick(&mut rng, &[40, 300, 1_460, 16 << 10])
                },
                window_bytes: if crowd {
                    64 << 10
                } else {
                    pick(&mut rng, &[700, 4_096, 64 << 10])
                },
            },
            faults,
            chaos_us,
            work_us: if crowd {
                6 * SECOND
            } else {
                pick(&mut rng, &[100 * MS, 400 * MS, SECOND])
            },
            watcher_bytes_max: match if crowd { 5 } else { rng.below(6) } {
                0 => 3_000,
                1 => LEAST_BEHIND_BYTES,
                _ => 256 << 10,
            },
            pmd_first: rng.below(4) > 0,
            original_pmds: match rng.below(4) {
                0 => rng.next_u64(),
                _ => 0,
            },
        };
        if plan.watcher_bytes_max == LEAST_BEHIND_BYTES {
            // Whoever reads is behind for as long as two events are on their way.
            plan.net.window_bytes = 200;
        }
        plan
    }
}
