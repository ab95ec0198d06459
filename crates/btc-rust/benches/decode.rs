//! The decoder alone, on a block of 2,000 transactions, against rust-bitcoin's parts.

use std::hint::black_box;

use bitcoin::consensus::{Decodable, encode};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness, absolute, block, transaction,
};
use criterion::{Criterion, Throughput};

/// Two inputs with a signature and a key each, two outputs: the most common shape on mainnet.
fn payment(seed: u32) -> Transaction {
    let txid = Txid::hash(&seed.to_le_bytes());
    let input = |vout| TxIn {
        previous_output: OutPoint { txid, vout },
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::from_slice(&[vec![0x30; 71], vec![0x02; 33]]),
    };
    let output = |value| TxOut {
        value: Amount::from_sat(value),
        script_pubkey: ScriptBuf::from_bytes(vec![0; 22]),
    };
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![input(0), input(1)],
        output: vec![output(50_000), output(70_000)],
    }
}

fn full_block() -> (Vec<u8>, BlockHash) {
    let mut block = Block {
        header: block::Header {
            version: block::Version::TWO,
            prev_blockhash: BlockHash::all_zeros(),
            merkle_root: TxMerkleNode::all_zeros(),
            time: 0,
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: 0,
        },
        txdata: (0..2000).map(payment).collect(),
    };
    block.header.merkle_root = block
        .compute_merkle_root()
        .expect("the block has transactions");
    (encode::serialize(&block), block.block_hash())
}

fn main() {
    let (bytes, hash) = full_block();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("block of 2,000 transactions");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("decode_block", |bencher| {
        bencher.iter(|| btc_rust::decode_block(black_box(&bytes), hash));
    });
    group.bench_function("rust-bitcoin decode, txids, wtxids", |bencher| {
        bencher.iter(|| {
            let block = Block::consensus_decode_from_finite_reader(&mut black_box(&bytes[..]))
                .expect("its own bytes");
            for transaction in &block.txdata {
                black_box((transaction.compute_txid(), transaction.compute_wtxid()));
            }
            block
        });
    });
    group.finish();
    criterion.final_summary();
}
