//! Both decoders on blocks: whole ones, cut ones, changed ones, and the wrong ones.

use btc::BitcoinTransaction;
use btc::bitcoin::consensus::encode::serialize;
use btc::bitcoin::hashes::Hash;
use btc::bitcoin::{Block, BlockHash};
use btc::rust::{decode_block, encode_transaction};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::arbitrary::{block, config};
use crate::legacy;

/// How the Python side refuses what a node sent.
const REFUSED: &str = "invalid_response";
const HEADER_BYTES: usize = 80;

/// Both refuse each of these bytes as the block with this hash.
fn check_refused(raws: Vec<Vec<u8>>, hash: BlockHash) -> Result<(), TestCaseError> {
    let pairs: Vec<_> = raws
        .into_iter()
        .map(|raw| (raw, hash.to_string()))
        .collect();
    for ((raw, _), theirs) in pairs.iter().zip(legacy::blocks(&pairs)) {
        prop_assert!(decode_block(raw, hash).is_err(), "{} bytes", raw.len());
        prop_assert_eq!(
            theirs.expect_err("it is wrong"),
            REFUSED,
            "{} bytes",
            raw.len()
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn both_read_a_block_alike(batch in vec(block(), 16)) {
        let pairs: Vec<_> = batch
            .iter()
            .map(|block| (serialize(block), block.block_hash().to_string()))
            .collect();
        for ((block, (raw, _)), theirs) in batch.iter().zip(&pairs).zip(legacy::blocks(&pairs)) {
            let hash = block.block_hash();
            let ours = decode_block(raw, hash).expect("a serialised block");
            prop_assert_eq!(ours.len(), block.txdata.len());
            prop_assert!(ours.iter().all(|transaction| transaction.block_hash == Some(hash)));
            prop_assert_eq!(ours, theirs.expect("a serialised block"));
        }
    }

    #[test]
    fn both_refuse_a_block_that_ends_too_early_or_too_late(
        block in block(),
        more in vec(any::<u8>(), 1..40),
    ) {
        let raw = serialize(&block);
        let mut wrong: Vec<_> = (0..raw.len()).step_by(7).map(|end| raw[..end].to_vec()).collect();
        wrong.push(raw[..raw.len() - 1].to_vec());
        wrong.push([raw, more].concat());
        check_refused(wrong, block.block_hash())?;
    }

    #[test]
    fn both_refuse_another_block_than_the_one_asked_for(block in block(), other in any::<[u8; 32]>()) {
        check_refused(vec![serialize(&block)], BlockHash::from_byte_array(other))?;
    }

    #[test]
    fn both_refuse_transactions_that_the_header_does_not_commit_to(
        block in block(),
        change in any::<(Index, u8)>(),
    ) {
        let mut wrong = Vec::new();
        let mut fewer = block.clone();
        fewer.txdata.pop();
        wrong.push(serialize(&fewer));
        let mut other = block.clone();
        other.txdata[0].version.0 ^= 1;
        wrong.push(serialize(&other));
        // With an odd number, the root is that of the last one twice (CVE-2012-2459).
        let mut repeated = block.clone();
        repeated.txdata.extend(repeated.txdata.last().cloned());
        wrong.push(serialize(&repeated));
        if block.txdata.len() > 1 && block.txdata[0] != block.txdata[1] {
            let mut swapped = block.clone();
            swapped.txdata.swap(0, 1);
            wrong.push(serialize(&swapped));
        }
        check_refused(wrong, block.block_hash())?;
        check_changed(&block, change)?;
    }
}

/// A byte changed behind the header: refused by both, unless only a witness or the way a number is
/// written has changed, which no merkle root covers. Then what both accept is equal.
fn check_changed(block: &Block, (position, byte): (Index, u8)) -> Result<(), TestCaseError> {
    let mut raw = serialize(block);
    let position = HEADER_BYTES + position.index(raw.len() - HEADER_BYTES);
    raw[position] = byte;
    let hash = block.block_hash();
    let ours = decode_block(&raw, hash);
    let theirs = legacy::blocks(&[(raw.clone(), hash.to_string())]).remove(0);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            prop_assert_eq!(&ours, &theirs);
            let txids = block
                .txdata
                .iter()
                .map(btc::bitcoin::Transaction::compute_txid);
            prop_assert!(ours.iter().map(|tx| tx.txid).eq(txids));
        }
        (Err(_), Err(kind)) => prop_assert_eq!(kind, REFUSED),
        (Err(error), Ok(theirs)) => {
            prop_assert!(
                written(&theirs) != raw[HEADER_BYTES..],
                "Rust alone refuses: {error}"
            );
        }
        (Ok(_), Err(kind)) => prop_assert!(false, "Python alone refuses: {kind}"),
    }
    Ok(())
}

/// A few transactions as they stand behind a header.
fn written(transactions: &[BitcoinTransaction]) -> Vec<u8> {
    let count = u8::try_from(transactions.len()).expect("a few");
    let each = transactions
        .iter()
        .flat_map(|transaction| encode_transaction(transaction).expect("its own identifiers"));
    std::iter::once(count).chain(each).collect()
}
