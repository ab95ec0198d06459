//! Both encoders: what was decoded is written as it was, and wrong identifiers are refused.

use btc::bitcoin::consensus::encode::serialize;
use btc::bitcoin::hashes::Hash;
use btc::bitcoin::hex::DisplayHex as _;
use btc::bitcoin::{Txid, Wtxid};
use btc::rust::{decode_transaction, encode_transaction};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::arbitrary::{config, small_transaction, transaction};
use crate::legacy;

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn each_writes_what_the_other_read(batch in vec(transaction(), 64)) {
        let raws: Vec<_> = batch.iter().map(serialize).collect();
        let read: Vec<_> = raws
            .iter()
            .map(|raw| decode_transaction(raw).expect("a serialised transaction"))
            .collect();
        for (raw, written) in raws.iter().zip(legacy::encode(&read)) {
            prop_assert_eq!(written.expect("its own identifiers"), raw.to_lower_hex_string());
        }
        for (raw, read) in raws.iter().zip(legacy::transactions(&raws)) {
            let read = read.expect("a serialised transaction");
            let written = encode_transaction(&read).expect("its own identifiers");
            prop_assert_eq!(&written, raw);
        }
    }

    #[test]
    fn both_refuse_identifiers_of_other_fields(batch in vec(small_transaction(), 64)) {
        let mut wrong = Vec::new();
        for source in &batch {
            let right = decode_transaction(&serialize(source)).expect("a serialised transaction");
            let mut with_txid = right.clone();
            with_txid.txid = Txid::from_byte_array(right.txid.to_byte_array().map(|byte| !byte));
            let mut with_wtxid = right.clone();
            with_wtxid.wtxid = Wtxid::from_byte_array(right.wtxid.to_byte_array().map(|byte| !byte));
            let mut with_field = right;
            with_field.lock_time ^= 1;
            wrong.extend([with_txid, with_wtxid, with_field]);
        }
        for (wrong, theirs) in wrong.iter().zip(legacy::encode(&wrong)) {
            prop_assert!(encode_transaction(wrong).is_err());
            prop_assert_eq!(theirs.expect_err("not its identifier"), "invalid_input");
        }
    }
}
