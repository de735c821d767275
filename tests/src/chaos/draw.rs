//! Owns every choice of a run: the same seed makes the same choices in the same order. Must not read a clock.

use std::time::Duration;

/// SplitMix64: small, and the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    state: u64,
}

impl Draw {
    /// The choices of one part of a run, independent of how many the others draw.
    pub(super) fn of(seed: u64, part: &str) -> Self {
        let named = part.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01B3)
        });
        let mut draw = Self { state: seed ^ named };
        draw.next();
        draw
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` up to but not including `high`, which must be larger.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    /// True once in `many` times.
    pub(super) fn once_in(&mut self, many: u64) -> bool {
        self.between(0, many) == 0
    }

    /// A time between two numbers of milliseconds.
    pub(super) fn pause(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// A number below 2 to this power, small ones as likely as large ones.
    pub(super) fn magnitude(&mut self, power: u64) -> u64 {
        let most = 1 << self.between(0, power + 1);
        self.between(0, most)
    }

    /// One of several, each as likely as its weight says. The weights must not all be 0.
    pub(super) fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> Option<T> {
        let all = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.between(0, all);
        choices.iter().find_map(|&(weight, choice)| {
            if left < weight {
                return Some(choice);
            }
            left -= weight;
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_part_make_the_same_choices() {
        let drawn = |seed, part| {
            let mut draw = Draw::of(seed, part);
            (0..20).map(|_| draw.between(0, 1000)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1, "mail"), drawn(1, "mail"));
        assert_ne!(drawn(1, "mail"), drawn(2, "mail"));
        assert_ne!(drawn(1, "mail"), drawn(1, "kills"));
    }

    #[test]
    fn weights_decide_how_often() {
        let mut draw = Draw::of(3, "weights");
        let picked = (0..1000).filter_map(|_| draw.weighted(&[(9, 'a'), (0, 'b'), (1, 'c')]));
        let picked: String = picked.collect();
        assert_eq!((picked.len(), picked.matches('b').count()), (1000, 0));
        assert!((800..980).contains(&picked.matches('a').count()));
    }
}
