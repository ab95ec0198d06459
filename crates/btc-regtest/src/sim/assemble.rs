//! Blocks put together: coinbase, height, witness commitment, merkle root and the work of regtest.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Txid,
    WitnessMerkleNode, absolute, transaction,
};

use super::chain::{Blocks, Stored};

/// How many blocks of regtest have the same reward (Core's `nSubsidyHalvingInterval`).
const HALVING_BLOCKS: u32 = 150;
const FIRST_REWARD: Amount = Amount::from_int_btc(50);
/// What the output with the witness commitment begins with (BIP141).
const COMMITMENT_HEAD: [u8; 4] = [0xaa, 0x21, 0xa9, 0xed];

/// What a block is made of.
pub(super) struct Ingredients<'a> {
    /// On what it stands.
    pub(super) parent: &'a Stored,
    /// Everything but the coinbase, parents before children.
    pub(super) transactions: Vec<Transaction>,
    /// What they pay.
    pub(super) fees: Amount,
    /// Who is paid the reward.
    pub(super) script: ScriptBuf,
    /// The clock's time, in seconds of Unix time.
    pub(super) now_secs: u64,
    /// A number that makes this block different from one with the same content.
    pub(super) extra: u64,
}

/// The block, with its work done: two hashes on average.
pub(super) fn assemble(blocks: &Blocks, ingredients: Ingredients<'_>) -> Block {
    let parent = ingredients.parent;
    let height = parent.height + 1;
    let halvings = height / HALVING_BLOCKS;
    let reward = Amount::from_sat(FIRST_REWARD.to_sat().checked_shr(halvings).unwrap_or(0));
    let mut coinbase = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: script_sig(height, ingredients.extra),
            sequence: Sequence::MAX,
            ..TxIn::default()
        }],
        output: vec![TxOut {
            value: reward + ingredients.fees,
            script_pubkey: ingredients.script,
        }],
    };
    // The reserved value of the commitment.
    coinbase.input[0].witness.push([0; 32]);
    let wtxids = std::iter::once(WitnessMerkleNode::all_zeros()).chain(
        ingredients
            .transactions
            .iter()
            .map(|it| WitnessMerkleNode::from_raw_hash(it.compute_wtxid().to_raw_hash())),
    );
    let root = bitcoin::merkle_tree::calculate_root(wtxids).expect("there is always a coinbase");
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    let mut head = COMMITMENT_HEAD.to_vec();
    head.extend_from_slice(commitment.as_byte_array());
    coinbase.output.push(TxOut {
        value: Amount::ZERO,
        script_pubkey: Builder::new()
            .push_opcode(OP_RETURN)
            .push_slice(PushBytesBuf::try_from(head).expect("36 bytes can be pushed"))
            .into_script(),
    });
    let mut txdata = vec![coinbase];
    txdata.extend(ingredients.transactions);
    let earliest = blocks.median_time(parent) + 1;
    let now = u32::try_from(ingredients.now_secs).unwrap_or(u32::MAX);
    let mut block = Block {
        header: Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: parent.hash,
            merkle_root: TxMerkleNode::all_zeros(),
            time: now.max(earliest),
            bits: parent.header().bits,
            nonce: 0,
        },
        txdata,
    };
    block.header.merkle_root = block
        .compute_merkle_root()
        .expect("there is always a coinbase");
    let target = block.header.target();
    while block.header.validate_pow(target).is_err() {
        block.header.nonce += 1;
    }
    block
}

/// The height (BIP34) and a number.
fn script_sig(height: u32, extra: u64) -> ScriptBuf {
    Builder::new()
        .push_int(i64::from(height))
        .push_slice(extra.to_le_bytes())
        .into_script()
}

/// Puts transactions into an order in which each comes after those that it spends.
pub(super) fn in_order(mut waiting: Vec<Transaction>) -> Vec<Transaction> {
    let mut ordered: Vec<Transaction> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let left: Vec<Txid> = waiting.iter().map(Transaction::compute_txid).collect();
        let (ready, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|transaction| {
            let mut inputs = transaction.input.iter();
            !inputs.any(|input| left.contains(&input.previous_output.txid))
        });
        if ready.is_empty() {
            // Transactions cannot spend each other in a circle.
            ordered.extend(later);
            break;
        }
        ordered.extend(ready);
        waiting = later;
    }
    ordered
}
