//! `TransactionRequest`: what a transaction shall do.

use std::fmt;
use std::str::FromStr;

use ::bitcoin::OutPoint;
use serde::{Deserialize, Serialize};

use super::FeeRate;

/// Somebody who is paid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// The amount in satoshi.
    pub value_sat: u64,
}

/// How coins are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CoinSelection {
    /// A set without change if there is one, else random draw; inputs and outputs shuffled.
    #[default]
    BranchAndBound,
    /// The largest first, in the order both implementations share; nothing shuffled.
    LargestFirst,
    /// The oldest first.
    OldestFirst,
    /// Drawn at random until there is enough.
    SingleRandomDraw,
}

impl CoinSelection {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [
        Self::BranchAndBound,
        Self::LargestFirst,
        Self::OldestFirst,
        Self::SingleRandomDraw,
    ];

    /// The stable name, as in configuration and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BranchAndBound => "branch-and-bound",
            Self::LargestFirst => "largest-first",
            Self::OldestFirst => "oldest-first",
            Self::SingleRandomDraw => "single-random-draw",
        }
    }
}

impl fmt::Display for CoinSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a coin selection is not one of the four.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown coin selection `{0}`: use branch-and-bound, largest-first, oldest-first or \
     single-random-draw"
)]
pub struct UnknownCoinSelection(String);

impl FromStr for CoinSelection {
    type Err = UnknownCoinSelection;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|selection| selection.as_str() == text)
            .ok_or_else(|| UnknownCoinSelection(text.to_owned()))
    }
}

/// What a transaction shall do; the default does nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TransactionRequest {
    /// Who is paid, in this order unless the selection shuffles.
    pub recipients: Vec<Recipient>,
    /// Bytes for an OP_RETURN output, at most 80.
    pub data: Option<Vec<u8>>,
    /// The address that gets everything that is left, instead of change; with no recipients,
    /// this empties the wallet (or `coins`).
    pub drain_to: Option<String>,
    /// The fee rate, in sat/kvB in JSON.
    pub fee_rate: FeeRate,
    /// Coins that must be spent; reserved ones are refused, untrusted and locked ones allowed.
    pub coins: Vec<OutPoint>,
    /// Whether only `coins` may be spent.
    pub only_coins: bool,
    /// Coins that must not be spent.
    pub avoid: Vec<OutPoint>,
    /// How further coins are chosen; `None`: as the wallet is configured.
    pub selection: Option<CoinSelection>,
    /// Accept a fee above 10 % of the amount, or a rate above 1,000 sat/vB.
    pub allow_high_fee: bool,
}

/// A signed message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SignedMessage {
    /// The address that signs.
    pub address: String,
    /// The signature: base64, behind a prefix of BIP322 that names its form.
    pub signature: String,
    /// `bip322-simple`, `bip322-full`, or `legacy` for P2PKH.
    pub format: String,
}
