//! `FeeEstimate`: a fee rate, where the number comes from, and the least that the node relays.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A fee rate that should confirm in time, and where the number comes from.
///
/// Every implementation follows the same rule, so that all give the same number on the same node
/// at the same moment:
///
/// 1. Bitcoin Core's own estimate for the target, asked for in its economical mode.
/// 2. Without one, the mempool's rate: its transactions by fee rate (base fee over virtual size),
///    the highest first; the first with which the sum of sizes exceeds `target_blocks` blocks of
///    1,000,000 vB gives the rate. A mempool that fits into these blocks gives none.
/// 3. The floor, which is the answer when there is no other, or when the other is lower.
///
/// Rates are rounded up to whole sat/vB, by integer arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FeeEstimate {
    /// The fee rate in sat/vB; never below the floor.
    pub sat_per_vb: u64,
    /// Which step of the rule gave the number.
    pub source: FeeSource,
    /// The least fee rate in sat/vB that the node takes now: the higher one of its relay minimum
    /// and its mempool's minimum, which rises when the mempool is full. At least 1.
    pub floor_sat_per_vb: u64,
    /// The target that was asked for, in blocks.
    pub target_blocks: u8,
}

/// Where a fee rate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FeeSource {
    /// Bitcoin Core's own estimate.
    Core,
    /// What waits in the node's mempool.
    Mempool,
    /// The node's minimum: nothing asks for more, or what does is below it.
    MinimumRelay,
}

impl FeeSource {
    /// Every source, in the order of the rule.
    pub const ALL: [Self; 3] = [Self::Core, Self::Mempool, Self::MinimumRelay];

    /// The stable name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Mempool => "mempool",
            Self::MinimumRelay => "minimum_relay",
        }
    }
}

impl fmt::Display for FeeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
