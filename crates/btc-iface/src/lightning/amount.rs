//! `Msat`: an amount in thousandths of a satoshi, with checked arithmetic only.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount in millisatoshi, the unit of Lightning. 1,000 msat are 1 sat.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Msat(u64);

impl Msat {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// 21 million bitcoin: more cannot be owed.
    pub const MAX_MONEY: Self = Self(2_100_000_000_000_000_000);
    const PER_SAT: u64 = 1_000;

    /// That number of millisatoshi.
    pub const fn new(msat: u64) -> Self {
        Self(msat)
    }

    /// Whole satoshi; none where the product does not fit.
    pub const fn from_sat(value_sat: u64) -> Option<Self> {
        match value_sat.checked_mul(Self::PER_SAT) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }

    /// The number of millisatoshi.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The whole satoshi in it; the rest is cut off.
    pub const fn whole_sat(self) -> u64 {
        self.0 / Self::PER_SAT
    }

    /// The sum, or none where it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or none where it would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// The sum of all, or none where it does not fit.
    pub fn checked_sum(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl fmt::Display for Msat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(Self::PER_SAT) {
            write!(f, "{} sat", self.0 / Self::PER_SAT)
        } else {
            write!(f, "{} msat", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Msat;

    #[test]
    fn amounts_are_shown_in_the_unit_that_loses_nothing() {
        assert_eq!(Msat::new(1_000).to_string(), "1 sat");
        assert_eq!(Msat::new(1_001).to_string(), "1001 msat");
        assert_eq!(Msat::ZERO.to_string(), "0 sat");
    }

    #[test]
    fn arithmetic_that_does_not_fit_is_none() {
        assert_eq!(Msat::from_sat(u64::MAX), None);
        assert_eq!(Msat::new(u64::MAX).checked_add(Msat::new(1)), None);
        assert_eq!(Msat::ZERO.checked_sub(Msat::new(1)), None);
        assert_eq!(
            Msat::checked_sum([Msat::new(2), Msat::new(3)]),
            Some(Msat::new(5))
        );
        assert_eq!(Msat::checked_sum([Msat::new(u64::MAX), Msat::new(1)]), None);
    }
}
