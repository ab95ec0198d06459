//! `Distinct`: how many different questions were asked, exact up to a bound.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Different digests.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Distinct {
    seen: HashSet<u64, Seeded>,
    is_over: bool,
}

impl Distinct {
    /// How many are told apart; more are "at least" so many.
    pub(in crate::analysis) const MAX: usize = 131_072;

    /// Notes a digest; false if it was there before. Beyond the bound, all are new.
    pub(in crate::analysis) fn insert(&mut self, digest: u64) -> bool {
        if self.is_over {
            return true;
        }
        if self.seen.len() < Self::MAX {
            return self.seen.insert(digest);
        }
        self.is_over = !self.seen.contains(&digest);
        self.is_over
    }

    /// The number of different digests, at least.
    pub(in crate::analysis) fn count(&self) -> usize {
        self.seen.len()
    }

    /// Whether there are no more than [`count`](Self::count).
    pub(in crate::analysis) fn is_exact(&self) -> bool {
        !self.is_over
    }
}

/// Spreads digests, which are spread already, so that nobody who chooses them can pile them up
/// without knowing the seed.
#[derive(Debug, Clone)]
struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }
}

impl BuildHasher for Seeded {
    type Hasher = Spread;

    fn build_hasher(&self) -> Spread {
        Spread(self.0)
    }
}

struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write_u64(&mut self, number: u64) {
        // The fraction of the golden ratio: odd, and its bits look random.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_exact_up_to_the_bound_and_says_when_it_is_not() {
        let mut distinct = Distinct::default();
        let max = Distinct::MAX as u64;
        for digest in (0..max).chain(0..max) {
            distinct.insert(digest << 40);
        }
        assert_eq!(
            (distinct.count(), distinct.is_exact()),
            (Distinct::MAX, true)
        );
        distinct.insert(1);
        distinct.insert(2);
        assert_eq!(
            (distinct.count(), distinct.is_exact()),
            (Distinct::MAX, false)
        );
    }
}
