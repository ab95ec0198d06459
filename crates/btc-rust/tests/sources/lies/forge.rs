//! What a lying server tells instead of the truth, and how it makes it up.

use std::collections::{BTreeMap, HashMap, HashSet};

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Txid,
    Witness, absolute, transaction,
};

/// Paid by transactions that were made up, in satoshi.
pub(crate) const FORGED_SAT: u64 = 777_000;

/// What is told instead of the truth. Nothing: the truth.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lies {
    /// The height and the header of the tip.
    pub(crate) tip: Option<(u32, Header)>,
    /// Headers by height; above the tip they make the chain longer.
    pub(crate) headers: BTreeMap<u32, Header>,
    /// Whole histories: transactions with their heights, 0 for unconfirmed ones.
    pub(crate) histories: HashMap<ScriptBuf, Vec<(Txid, u32)>>,
    pub(crate) transactions: HashMap<Txid, Transaction>,
    /// Merkle branches with positions.
    pub(crate) proofs: HashMap<Txid, (Vec<TxMerkleNode>, u64)>,
    /// Unconfirmed transactions that no history has.
    pub(crate) hidden: HashSet<Txid>,
    /// Whether what is handed over is kept, and answered as if it had been relayed, now or before.
    pub(crate) swallows: Option<Swallow>,
    /// The true headers from the genesis block on, for a server that has to tell them in between.
    pub(crate) honest: Vec<Header>,
}

/// What a server says of a payment that it keeps to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swallow {
    /// Its txid.
    AsSent,
    /// That it is known.
    AsKnown,
}

/// A payment to this script by a stranger; nobody has signed it.
pub(crate) fn invented(seed: u8, script_pubkey: ScriptBuf) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(Txid::from_byte_array([seed; 32]), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(FORGED_SAT),
            script_pubkey,
        }],
    }
}

/// A header above this one, of a block with one transaction.
pub(crate) fn above(previous: BlockHash, time: u32, transaction: &Transaction) -> Header {
    let root = transaction.compute_txid().to_raw_hash();
    worked(Header {
        version: Version::TWO,
        prev_blockhash: previous,
        merkle_root: TxMerkleNode::from_raw_hash(root),
        time,
        bits: bitcoin::CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    })
}

/// The header with its work done.
pub(crate) fn worked(mut header: Header) -> Header {
    while !header.target().is_met_by(header.block_hash()) {
        header.nonce += 1;
    }
    header
}

/// The header without the work that it claims.
pub(crate) fn idle(mut header: Header) -> Header {
    while header.target().is_met_by(header.block_hash()) {
        header.nonce += 1;
    }
    header
}
