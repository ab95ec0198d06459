//! Fuzzes the Rust decoder with the bytes of a block.
//!
//! A hash cannot be guessed, so the target puts the right merkle root into the header whenever the
//! transactions can be read, unless the last bit says to leave it. A block decodes exactly when
//! rust-bitcoin reads it and its root belongs to it; each transaction is then what it is alone.

#![no_main]

use bitcoin::block::Header;
use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash};
use btc::rust::{DecodeError, decode_block, decode_transaction};
use libfuzzer_sys::fuzz_target;

const HEADER_BYTES: usize = 80;
const MERKLE_ROOT: std::ops::Range<usize> = 36..68;

fuzz_target!(|input: &[u8]| {
    let Some((leave_root, bytes)) = input.split_last() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if leave_root & 1 == 0 {
        put_merkle_root(&mut bytes);
    }
    let header = bytes.get(..HEADER_BYTES).map(encode::deserialize::<Header>);
    let Some(Ok(header)) = header else {
        let refused = decode_block(&bytes, BlockHash::all_zeros());
        assert!(refused.is_err(), "a block without a whole header");
        return;
    };
    let hash = header.block_hash();

    let another = BlockHash::from_byte_array(hash.to_byte_array().map(|byte| !byte));
    assert!(matches!(
        decode_block(&bytes, another),
        Err(DecodeError::WrongBlock { .. })
    ));

    let reference = encode::deserialize::<Block>(&bytes)
        .ok()
        .filter(Block::check_merkle_root);
    let decoded = match decode_block(&bytes, hash) {
        Ok(decoded) => decoded,
        Err(error) => {
            assert!(
                reference.is_none(),
                "refused what rust-bitcoin reads: {error}"
            );
            return;
        }
    };
    let reference = reference.expect("what decodes here also decodes there");
    assert_eq!(decoded.len(), reference.txdata.len());
    for (ours, theirs) in decoded.into_iter().zip(&reference.txdata) {
        let mut alone = decode_transaction(&encode::serialize(theirs)).expect("it is in the block");
        alone.block_hash = Some(hash);
        assert_eq!(ours, alone);
    }
});

fn put_merkle_root(bytes: &mut [u8]) {
    let Ok(block) = encode::deserialize::<Block>(bytes) else {
        return;
    };
    if let Some(root) = block.compute_merkle_root() {
        bytes[MERKLE_ROOT].copy_from_slice(&root.to_byte_array());
    }
}
