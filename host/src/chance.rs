//! The only source of randomness, for jitter; tests hand in a seed.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Spreads durations so that many accounts, or many retries, do not fall on the same moment.
pub struct Chance(AtomicU64);

impl Chance {
    /// Seeded by the operating system.
    pub fn system() -> Self {
        Self::seeded(RandomState::new().hash_one(0_u8))
    }

    /// Seeded by the caller.
    pub fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A duration within a fifth of `middle` either way.
    pub fn around(&self, middle: Duration) -> Duration {
        middle.mul_f64(0.8 + 0.4 * self.unit())
    }

    /// A duration between nothing and `most`.
    pub fn within(&self, most: Duration) -> Duration {
        most.mul_f64(self.unit())
    }

    /// splitmix64 (Steele, Lea and Flood 2014), mapped to [0, 1).
    fn unit(&self) -> f64 {
        let state =
            self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_fifth_and_spreads() {
        let chance = Chance::seeded(7);
        let drawn: Vec<_> = (0..1000).map(|_| chance.around(Duration::from_secs(100))).collect();
        assert!(drawn.iter().all(|d| (80.0..=120.0).contains(&d.as_secs_f64())));
        let below = drawn.iter().filter(|d| **d < Duration::from_secs(100)).count();
        assert!((400..600).contains(&below), "{below}");
    }
}
