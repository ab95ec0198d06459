//! What an answer must be, computed from raw bytes by rust-bitcoin alone.

use bitcoin::consensus::encode;
use bitcoin::{BlockHash, Transaction};
use btc::{BitcoinTransaction, TransactionInput, TransactionOutput};

/// A transaction as the interface's plain data. Every field is rust-bitcoin's own computation, and
/// none is shared with an implementation.
pub fn to_plain(transaction: &Transaction, block_hash: Option<BlockHash>) -> BitcoinTransaction {
    let number = |size: usize| u32::try_from(size).expect("a transaction's size fits 32 bits");
    BitcoinTransaction {
        txid: transaction.compute_txid(),
        wtxid: transaction.compute_wtxid(),
        version: transaction.version.0,
        lock_time: transaction.lock_time.to_consensus_u32(),
        inputs: transaction
            .input
            .iter()
            .map(|input| TransactionInput {
                previous_output: input.previous_output,
                script_sig: input.script_sig.clone(),
                sequence: input.sequence.0,
                witness: input.witness.clone(),
            })
            .collect(),
        outputs: transaction
            .output
            .iter()
            .map(|output| TransactionOutput {
                value_sat: output.value.to_sat(),
                script_pubkey: output.script_pubkey.clone(),
            })
            .collect(),
        size: number(encode::serialize(transaction).len()),
        weight: u32::try_from(transaction.weight().to_wu()).expect("a weight fits 32 bits"),
        fee_sat: None,
        block_hash,
        block_height: None,
    }
}

/// That an answer is what was computed, in all that every implementation must know; a fee or a
/// height beyond that may be there.
#[track_caller]
pub fn assert_same(mut answer: BitcoinTransaction, expected: &BitcoinTransaction, what: &str) {
    answer.fee_sat = None;
    answer.block_height = None;
    assert_eq!(answer, *expected, "{what}");
}
