//! `Coin`: an unspent output of the wallet, and where it stands.

use std::fmt;

use ::bitcoin::{BlockHash, OutPoint, ScriptBuf};
use serde::{Deserialize, Serialize};

use crate::types::AddressType;

/// A block of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlockRef {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// The two chains of keys of each address type (BIP44's `change` level).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chain {
    /// Addresses that are given out.
    Receive,
    /// Addresses for the wallet's own change.
    Change,
}

impl Chain {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Receive, Self::Change];

    /// The stable name, as in JSON and in the wallet's files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Change => "change",
        }
    }

    /// The last but one step of the derivation path: 0 or 1.
    pub const fn branch(self) -> u32 {
        match self {
            Self::Receive => 0,
            Self::Change => 1,
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which bucket of the balance a coin is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoinState {
    /// Confirmed and mature.
    Confirmed,
    /// Unconfirmed, of the wallet's own making.
    TrustedPending,
    /// Unconfirmed, from anybody else.
    UntrustedPending,
    /// A coinbase output with fewer than 100 confirmations.
    Immature,
}

/// An unspent output of the wallet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Coin {
    /// The output.
    pub outpoint: OutPoint,
    /// Its amount in satoshi.
    pub value_sat: u64,
    /// The script that locks it.
    pub script_pubkey: ScriptBuf,
    /// Its address.
    pub address: String,
    /// Its script type.
    pub address_type: AddressType,
    /// Which chain of keys it is on.
    pub chain: Chain,
    /// The derivation index on that chain.
    pub index: u32,
    /// Where it stands.
    pub state: CoinState,
    /// The block it is in, when it is confirmed.
    pub block: Option<BlockRef>,
    /// The label of the output, or else of its address.
    pub label: Option<String>,
    /// Why it is not spent by itself: `locked`, or the txid of the transaction it is reserved for.
    pub reserved_for: Option<String>,
    /// When the reservation ends, in milliseconds of Unix time; `None` for one without end.
    pub reserved_until_ms: Option<u64>,
}
