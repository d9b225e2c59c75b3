//! Generated ids and the deterministic random numbers that machines are seeded with.

use sha2::{Digest, Sha256};

/// The node id of a process: the first 16 hex digits of SHA-256 over
/// `<hostname>-<pid>-<nonce>`, where the nonce is 16 random hex digits (pmd.md 9).
pub fn node_id(hostname: &str, pid: u32, nonce: &str) -> String {
    let digest = Sha256::digest(format!("{hostname}-{pid}-{nonce}"));
    hex(&digest[..8])
}

/// A node id for this process with a fresh random nonce.
pub fn random_node_id(hostname: &str) -> String {
    node_id(
        hostname,
        std::process::id(),
        &format!("{:016x}", random_u64()),
    )
}

/// 64 bits from the operating system's random source.
pub fn random_u64() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1 ^ uuid::Uuid::new_v4().as_u64_pair().0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014): spreads retries in a way a seed reproduces.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Starts the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `0` to `end - 1`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next_u64() % end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_id_matches_the_check_value() {
        assert_eq!(
            node_id("myhost", 4242, "0011223344556677"),
            "557f551136a72e48"
        );
    }

    #[test]
    fn random_ids_differ() {
        let a = random_node_id("h");
        assert_eq!(a.len(), 16);
        assert_ne!(a, random_node_id("h"));
    }
}
