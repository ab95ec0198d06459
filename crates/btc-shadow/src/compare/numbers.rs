//! Answers that are one number, and change with the chain.

use super::{Compare, Differences};

/// A height: the two sides read it at different times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Height(pub u32);

impl From<u32> for Height {
    fn from(value: u32) -> Self {
        Self(value)
    }
}

impl Compare for Height {
    fn compare(&self, other: &Self, differences: &mut Differences) {
        if self != other {
            differences.at(".height", |here| here.add(self.0, other.0, true));
        }
    }
}

/// A fee rate in sat/vB: the node's estimate changes with each block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeRate(pub u64);

impl From<u64> for FeeRate {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl Compare for FeeRate {
    fn compare(&self, other: &Self, differences: &mut Differences) {
        if self != other {
            differences.at(".sat_per_vb", |here| here.add(self.0, other.0, true));
        }
    }
}

/// A balance in satoshi: it changes with each block and transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance(pub u64);

impl From<u64> for Balance {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl Compare for Balance {
    fn compare(&self, other: &Self, differences: &mut Differences) {
        if self != other {
            differences.at(".balance_sat", |here| here.add(self.0, other.0, true));
        }
    }
}
