//! Fuzzes the Rust decoder with the bytes of a transaction.
//!
//! What decodes must encode to the same bytes, and its identifiers and sizes must be those that
//! rust-bitcoin computes from its own decoding. What does not decode must not decode there either.

#![no_main]

use bitcoin::consensus::encode;
use btc::BitcoinTransaction;
use btc::rust::{decode_transaction, encode_transaction};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let reference: Result<bitcoin::Transaction, _> = encode::deserialize(bytes);
    let decoded = match decode_transaction(bytes) {
        Ok(decoded) => decoded,
        Err(error) => {
            assert!(
                reference.is_err(),
                "refused what rust-bitcoin reads: {error}"
            );
            return;
        }
    };
    let reference = reference.expect("what decodes here also decodes there");
    assert_eq!(decoded.txid, reference.compute_txid());
    assert_eq!(decoded.wtxid, reference.compute_wtxid());
    assert_eq!(decoded.size as usize, bytes.len());
    assert_eq!(decoded.size as usize, reference.total_size());
    assert_eq!(u64::from(decoded.weight), reference.weight().to_wu());
    let encoded = encode_transaction(&decoded).expect("the identifiers belong to the fields");
    assert_eq!(encoded, bytes);

    let json = serde_json::to_vec(&decoded).expect("a transaction is plain data");
    let back: BitcoinTransaction = serde_json::from_slice(&json).expect("its own output");
    assert_eq!(back, decoded);
});
