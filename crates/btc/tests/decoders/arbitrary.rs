//! Arbitrary transactions and blocks, from the plain to the absurd, in rust-bitcoin's types.

use std::collections::HashSet;

use btc::bitcoin::absolute::LockTime;
use btc::bitcoin::block::{Header, Version as BlockVersion};
use btc::bitcoin::hashes::Hash;
use btc::bitcoin::transaction::Version;
use btc::bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// How a property runs: so many cases, and failures shown rather than kept in files.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Numbers at the edges of their sizes as often as in between.
fn number() -> impl Strategy<Value = u64> {
    let edges = [0, 1, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];
    prop_oneof![proptest::sample::select(edges.to_vec()), any::<u64>()]
}

#[expect(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
fn short_number() -> impl Strategy<Value = u32> {
    number().prop_map(|number| number as u32)
}

/// Mostly short; now and then of a length that is written in three bytes, or in five.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        32 => vec(any::<u8>(), 0..40),
        6 => vec(any::<u8>(), 250..260),
        1 => (any::<u8>(), 65_530_usize..65_545).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn outpoint() -> impl Strategy<Value = OutPoint> {
    let spending = (any::<[u8; 32]>(), short_number())
        .prop_map(|(txid, vout)| OutPoint::new(Txid::from_byte_array(txid), vout));
    prop_oneof![4 => spending, 1 => Just(OutPoint::null())]
}

fn witness() -> impl Strategy<Value = Witness> {
    prop_oneof![
        4 => Just(Witness::new()),
        4 => vec(bytes(), 1..4).prop_map(|items| Witness::from_slice(&items)),
        1 => Just(Witness::from_slice(&[[0_u8; 0]; 300])),
    ]
}

fn input(witness: impl Strategy<Value = Witness>) -> impl Strategy<Value = TxIn> {
    (outpoint(), bytes(), short_number(), witness).prop_map(
        |(previous_output, script, sequence, witness)| TxIn {
            previous_output,
            script_sig: ScriptBuf::from_bytes(script),
            sequence: Sequence(sequence),
            witness,
        },
    )
}

fn inputs() -> impl Strategy<Value = Vec<TxIn>> {
    prop_oneof![
        3 => vec(input(Just(Witness::new())), 1..4),
        3 => vec(input(witness()), 1..4),
        // So many that their count is written in three bytes.
        1 => (input(witness()), 253_usize..260).prop_map(|(input, count)| vec![input; count])
            .prop_filter("small enough to be quick", |inputs| {
                inputs[0].script_sig.len() + inputs[0].witness.size() < 1_000
            }),
    ]
}

fn output() -> impl Strategy<Value = TxOut> {
    (number(), bytes()).prop_map(|(value, script)| TxOut {
        value: Amount::from_sat(value),
        script_pubkey: ScriptBuf::from_bytes(script),
    })
}

/// A transaction that has at least one input, and anything else.
pub(crate) fn transaction() -> impl Strategy<Value = Transaction> {
    (
        short_number(),
        short_number(),
        inputs(),
        vec(output(), 0..4),
    )
        .prop_map(|(version, lock_time, input, output)| Transaction {
            version: Version(version.cast_signed()),
            lock_time: LockTime::from_consensus(lock_time),
            input,
            output,
        })
}

/// A transaction small enough to be tried in many broken forms.
pub(crate) fn small_transaction() -> impl Strategy<Value = Transaction> {
    transaction().prop_filter("at most 600 bytes", |tx| tx.total_size() <= 600)
}

/// A block of a few transactions under their merkle root.
pub(crate) fn block() -> impl Strategy<Value = Block> {
    let header = any::<(i32, [u8; 32], u32, u32, u32)>();
    (header, vec(small_transaction(), 1..8)).prop_map(
        |((version, parent, time, bits, nonce), mut txdata)| {
            // A block never holds a transaction twice: the second would spend what is spent.
            let mut seen = HashSet::new();
            txdata.retain(|transaction| seen.insert(transaction.compute_txid()));
            let header = Header {
                version: BlockVersion::from_consensus(version),
                prev_blockhash: BlockHash::from_byte_array(parent),
                merkle_root: TxMerkleNode::all_zeros(),
                time,
                bits: CompactTarget::from_consensus(bits),
                nonce,
            };
            let mut block = Block { header, txdata };
            block.header.merkle_root = block.compute_merkle_root().expect("it has a transaction");
            block
        },
    )
}
