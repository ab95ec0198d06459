//! What the effect-free twins take and answer.

use ::bitcoin::{OutPoint, Txid, Wtxid};
use serde::{Deserialize, Serialize};

use super::{BlockRef, Chain, WalletBalance};
use crate::types::{AddressType, BitcoinTransaction};

/// What a transaction was built on: enough to build the same one again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WalletSnapshot {
    /// The tip of the chain.
    pub tip: BlockRef,
    /// The coins that could be spent.
    pub coins: Vec<SnapshotCoin>,
    /// The wallet's own unconfirmed transactions whose coins could be spent, ascending by txid
    /// (its bytes as serialised). A coin of any other transaction is confirmed.
    #[serde(default)]
    pub pending: Vec<PendingTransaction>,
    /// The type of a change output.
    pub change_type: AddressType,
    /// The index of a change output on its change chain.
    pub change_index: u32,
}

/// An unconfirmed transaction all of whose inputs were the wallet's: what it weighs on a child.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PendingTransaction {
    /// The transaction.
    pub txid: Txid,
    /// Its version; coins of version 3 are not mixed with others (BIP431).
    pub version: i32,
    /// Its size in vB, rounded up.
    pub size_vb: u64,
    /// Its fee in satoshi.
    pub fee_sat: u64,
    /// The transactions of the same list whose outputs it spends, ascending.
    pub spends: Vec<Txid>,
}

/// A coin of a snapshot: its place in the chain and its place in the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotCoin {
    /// The output.
    pub outpoint: OutPoint,
    /// Its amount in satoshi.
    pub value_sat: u64,
    /// Its script type.
    pub address_type: AddressType,
    /// Which chain of keys it is on.
    pub chain: Chain,
    /// The derivation index on that chain.
    pub index: u32,
}

/// A transaction that was built and signed without reserving anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlannedTransaction {
    /// The signed transaction.
    pub transaction: BitcoinTransaction,
    /// This side's own tip at the time.
    pub tip: BlockRef,
    /// Coins of the snapshot that this side does not know as spendable with that value.
    pub unknown_coins: Vec<OutPoint>,
}

/// What became, or would become, of a transaction at the node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BroadcastCheck {
    /// Computed from the bytes.
    pub txid: Txid,
    /// Computed from the bytes.
    pub wtxid: Wtxid,
    /// The node's word.
    pub verdict: BroadcastVerdict,
    /// The node's reason, when it refuses.
    pub reason: Option<String>,
}

/// The node's word on a transaction (`testmempoolaccept`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BroadcastVerdict {
    /// It would be accepted.
    Acceptable,
    /// The node has it already, in mempool or chain.
    Known,
    /// It is refused.
    Refused,
}

/// A wallet's view of the chain at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WalletState {
    /// The tip it has followed the chain to.
    pub tip: BlockRef,
    /// What it owns.
    pub balance: WalletBalance,
    /// Its unspent outputs, ascending, whatever their bucket, with their amounts in satoshi.
    pub coins: Vec<(OutPoint, u64)>,
}
