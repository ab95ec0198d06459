//! Both decoders on transactions: whole ones, cut ones, and ones with a byte changed.

use btc::BitcoinTransaction;
use btc::bitcoin::Transaction;
use btc::bitcoin::consensus::encode::serialize;
use btc::bitcoin::hex::DisplayHex as _;
use btc::rust::{decode_transaction, encode_transaction};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::arbitrary::{config, small_transaction, transaction};
use crate::legacy;

/// How the Python side refuses what a node sent.
const REFUSED: &str = "invalid_response";

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn both_read_a_transaction_alike(batch in vec(transaction(), 64)) {
        let raws: Vec<_> = batch.iter().map(serialize).collect();
        for ((raw, source), theirs) in raws.iter().zip(&batch).zip(legacy::transactions(&raws)) {
            let ours = decode_transaction(raw).expect("a serialised transaction");
            prop_assert_eq!(&ours, &theirs.expect("a serialised transaction"));
            let again = serde_json::to_value(&ours).expect("plain data");
            let again: BitcoinTransaction = serde_json::from_value(again).expect("its own output");
            prop_assert_eq!(&again, &ours);
            check_against_rust_bitcoin(&ours, source, raw)?;
        }
    }

    #[test]
    fn both_refuse_a_transaction_that_ends_too_early(source in small_transaction()) {
        let raw = serialize(&source);
        let cut: Vec<_> = (0..raw.len()).map(|length| raw[..length].to_vec()).collect();
        for (cut, theirs) in cut.iter().zip(legacy::transactions(&cut)) {
            prop_assert!(decode_transaction(cut).is_err(), "{} bytes", cut.len());
            prop_assert_eq!(theirs.expect_err("it is cut"), REFUSED, "{} bytes", cut.len());
        }
    }

    #[test]
    fn both_refuse_bytes_behind_a_transaction(
        batch in vec((small_transaction(), vec(any::<u8>(), 1..40)), 32)
    ) {
        let raws: Vec<_> = batch
            .iter()
            .map(|(source, more)| [serialize(source), more.clone()].concat())
            .collect();
        for (raw, theirs) in raws.iter().zip(legacy::transactions(&raws)) {
            prop_assert!(decode_transaction(raw).is_err());
            prop_assert_eq!(theirs.expect_err("bytes are left over"), REFUSED);
        }
    }

    #[test]
    fn both_judge_a_changed_byte_alike(
        batch in vec((small_transaction(), any::<(Index, u8)>()), 128)
    ) {
        let raws: Vec<_> = batch
            .iter()
            .map(|(source, (position, byte))| {
                let mut raw = serialize(source);
                let position = position.index(raw.len());
                raw[position] = *byte;
                raw
            })
            .collect();
        compare(&raws)?;
    }

    #[test]
    fn both_judge_arbitrary_bytes_alike(raws in vec(vec(any::<u8>(), 0..120), 128)) {
        compare(&raws)?;
    }

    #[test]
    fn both_judge_every_changed_bit_of_the_structure_alike(source in small_transaction()) {
        let raw = serialize(&source);
        let changed: Vec<_> = (0..raw.len().min(64) * 8)
            .map(|bit| {
                let mut raw = raw.clone();
                raw[bit / 8] ^= 1 << (bit % 8);
                raw
            })
            .collect();
        compare(&changed)?;
    }
}

/// Both accept and read alike, or both refuse, or Python takes one of its known liberties.
fn compare(raws: &[Vec<u8>]) -> Result<(), TestCaseError> {
    for (raw, theirs) in raws.iter().zip(legacy::transactions(raws)) {
        let shown = raw.to_lower_hex_string();
        match (decode_transaction(raw), theirs) {
            (Ok(ours), Ok(theirs)) if theirs.inputs.is_empty() => {
                prop_assert!(ours.inputs.is_empty(), "{}", shown);
            }
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs, "{}", shown),
            (Err(_), Err(kind)) => prop_assert_eq!(kind, REFUSED, "{}", shown),
            (Err(_), Ok(theirs)) => prop_assert!(is_liberty(raw, &theirs), "{}", shown),
            (Ok(_), Err(kind)) => prop_assert!(false, "Python alone refuses, {kind}: {shown}"),
        }
    }
    Ok(())
}

/// Whether Python read bytes that are not the ones its fields are written as.
fn is_liberty(raw: &[u8], read: &BitcoinTransaction) -> bool {
    read.inputs.is_empty() || encode_transaction(read).is_ok_and(|written| written != raw)
}

fn check_against_rust_bitcoin(
    ours: &BitcoinTransaction,
    source: &Transaction,
    raw: &[u8],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.txid, source.compute_txid());
    prop_assert_eq!(ours.wtxid, source.compute_wtxid());
    prop_assert_eq!(ours.size as usize, raw.len());
    prop_assert_eq!(u64::from(ours.weight), source.weight().to_wu());
    prop_assert_eq!(ours.vsize() as usize, source.vsize());
    let written = encode_transaction(ours).expect("its own identifiers");
    prop_assert_eq!(written, raw);
    Ok(())
}
