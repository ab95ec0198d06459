//! `BitcoinTransaction`: a transaction as plain data, built by each implementation on its own.

use ::bitcoin::{BlockHash, OutPoint, ScriptBuf, Txid, Witness, Wtxid};
use serde::{Deserialize, Serialize};

/// A transaction with its identifiers, its content and what is known about its place in the
/// chain.
///
/// Nothing here is checked against anything else: the fields say what an implementation decoded,
/// so that shadow mode can compare two of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BitcoinTransaction {
    /// The double SHA-256 of the serialisation without witnesses.
    pub txid: Txid,
    /// The double SHA-256 of the serialisation with witnesses (BIP141).
    pub wtxid: Wtxid,
    /// The version, signed as in the consensus rules.
    pub version: i32,
    /// The lock time as it stands in the bytes: a height below 500,000,000, else Unix seconds.
    pub lock_time: u32,
    /// The inputs, in order.
    pub inputs: Vec<TransactionInput>,
    /// The outputs, in order.
    pub outputs: Vec<TransactionOutput>,
    /// The size in bytes with witnesses.
    pub size: u32,
    /// The weight in weight units (BIP141).
    pub weight: u32,
    /// The fee in satoshi, when the operation learned it.
    #[serde(default)]
    pub fee_sat: Option<u64>,
    /// The block of the active chain it is in, when the operation learned it.
    #[serde(default)]
    pub block_hash: Option<BlockHash>,
    /// The height of that block, when the operation learned it.
    #[serde(default)]
    pub block_height: Option<u32>,
}

impl BitcoinTransaction {
    /// The virtual size in vB: a quarter of the weight, rounded up (BIP141).
    pub fn vsize(&self) -> u32 {
        self.weight.div_ceil(4)
    }
}

/// An input: the coin it spends and what unlocks it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TransactionInput {
    /// The output it spends; all zeros and `u32::MAX` in a coinbase.
    pub previous_output: OutPoint,
    /// The script that unlocks it; empty for native segwit.
    pub script_sig: ScriptBuf,
    /// The sequence number (BIP68, BIP125).
    pub sequence: u32,
    /// The witness stack, bottom first; empty when there is none.
    pub witness: Witness,
}

/// An output: an amount and what locks it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TransactionOutput {
    /// The amount in satoshi.
    pub value_sat: u64,
    /// The script that locks it.
    pub script_pubkey: ScriptBuf,
}
