//! `HistoryEntry` and labels (BIP329).

use ::bitcoin::Txid;
use serde::{Deserialize, Serialize};

use super::BlockRef;

/// Where a transaction stands, as the wallet's source sees it (`docs/wallet.md`, "Own payments").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PaymentState {
    /// In the source's mempool, or handed over where the source sees none.
    InMempool,
    /// Handed over by this wallet, and neither in the mempool nor in the chain.
    Missing,
    /// In a block of the active chain.
    Confirmed,
    /// Another transaction in the chain spends one of its inputs.
    Conflicted,
    /// Given up by a user.
    Abandoned,
}

impl PaymentState {
    /// The stable name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InMempool => "in_mempool",
            Self::Missing => "missing",
            Self::Confirmed => "confirmed",
            Self::Conflicted => "conflicted",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A transaction as the wallet sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The transaction.
    pub txid: Txid,
    /// The wallet's coins it spends, in satoshi.
    pub sent_sat: u64,
    /// The wallet's outputs it creates, in satoshi.
    pub received_sat: u64,
    /// The fee in satoshi, when every input is known.
    pub fee_sat: Option<u64>,
    /// Where it stands.
    pub state: PaymentState,
    /// The block, when it is confirmed.
    pub block: Option<BlockRef>,
    /// The block's time, or when it was first seen, in seconds of Unix time.
    pub time_secs: Option<u64>,
    /// The label of the transaction.
    pub label: Option<String>,
}

impl HistoryEntry {
    /// What the transaction changed, in satoshi: received minus sent.
    pub fn net_sat(&self) -> i128 {
        i128::from(self.received_sat) - i128::from(self.sent_sat)
    }
}

/// What a label stands on (BIP329 `type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelKind {
    /// A transaction, by txid.
    Tx,
    /// An address.
    Addr,
    /// A public key.
    Pubkey,
    /// An input, `txid:vin`.
    Input,
    /// An output, `txid:vout`.
    Output,
    /// An extended public key.
    Xpub,
}

/// A label as BIP329 writes it, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// What it stands on.
    #[serde(rename = "type")]
    pub kind: LabelKind,
    /// The txid, address, key, `txid:n` or xpub.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The derivation this belongs to, for transactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// For outputs: `false` stands for a locked coin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spendable: Option<bool>,
}
