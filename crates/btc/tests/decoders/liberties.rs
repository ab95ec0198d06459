//! The known differences between the decoders, one test each, with what both sides do.

use btc::BitcoinTransaction;
use btc::bitcoin::Block;
use btc::bitcoin::consensus::encode::deserialize;
use btc::bitcoin::hex::FromHex;
use btc::rust::{DecodeError, decode_block, decode_transaction, encode_transaction};

use crate::legacy;

/// The version, in front of everything.
const VERSION: &str = "02000000";
/// An input without a script.
const INPUT: &str = concat!(
    "0101010101010101010101010101010101010101010101010101010101010101",
    "0000000000ffffffff"
);
/// An output of one satoshi without a script.
const OUTPUT: &str = "010000000000000000";
const LOCK_TIME: &str = "00000000";

fn raw(parts: &[&str]) -> Vec<u8> {
    Vec::from_hex(&parts.concat()).expect("hexadecimal")
}

fn python(raw: &[u8]) -> BitcoinTransaction {
    let mut answers = legacy::transactions(&[raw.to_vec()]);
    answers.remove(0).expect("Python takes the liberty")
}

fn rust_calls_it_malformed(raw: &[u8]) {
    let error = decode_transaction(raw).expect_err("Rust takes no liberty");
    assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
}

/// One input, one output, no witness.
fn plain() -> Vec<u8> {
    raw(&[VERSION, "01", INPUT, "01", OUTPUT, LOCK_TIME])
}

/// One input with a witness of one byte, one output.
fn with_witness() -> Vec<u8> {
    let witness = "010151";
    raw(&[
        VERSION, "0001", "01", INPUT, "01", OUTPUT, witness, LOCK_TIME,
    ])
}

#[test]
fn the_canonical_forms_are_read_alike() {
    for raw in [plain(), with_witness()] {
        let ours = decode_transaction(&raw).expect("canonical");
        assert_eq!(ours, python(&raw));
    }
}

#[test]
fn python_reads_counts_that_are_not_written_in_their_shortest_form() {
    let canonical = decode_transaction(&plain()).expect("canonical");
    for one in ["fd0100", "fe01000000", "ff0100000000000000"] {
        for padded in [
            raw(&[VERSION, one, INPUT, "01", OUTPUT, LOCK_TIME]),
            raw(&[VERSION, "01", INPUT, one, OUTPUT, LOCK_TIME]),
        ] {
            rust_calls_it_malformed(&padded);
            // Its identifiers and sizes are those of the shortest form.
            assert_eq!(python(&padded), canonical);
        }
    }
}

#[test]
fn python_reads_script_lengths_that_are_not_written_in_their_shortest_form() {
    let long_zero = OUTPUT
        .strip_suffix("00")
        .expect("an empty script")
        .to_owned()
        + "fd0000";
    let padded = raw(&[VERSION, "01", INPUT, "01", &long_zero, LOCK_TIME]);
    rust_calls_it_malformed(&padded);
    let canonical = decode_transaction(&plain()).expect("canonical");
    assert_eq!(python(&padded), canonical);
}

#[test]
fn python_reads_witnesses_that_are_not_written_in_their_shortest_form() {
    let canonical = decode_transaction(&with_witness()).expect("canonical");
    for witness in ["fd01000151", "01fd010051"] {
        let padded = raw(&[
            VERSION, "0001", "01", INPUT, "01", OUTPUT, witness, LOCK_TIME,
        ]);
        rust_calls_it_malformed(&padded);
        assert_eq!(python(&padded), canonical);
    }
}

#[test]
fn python_drops_the_flag_of_a_transaction_without_witnesses() {
    let flagged = raw(&[VERSION, "0001", "01", INPUT, "01", OUTPUT, "00", LOCK_TIME]);
    rust_calls_it_malformed(&flagged);
    let canonical = decode_transaction(&plain()).expect("canonical");
    assert_eq!(python(&flagged), canonical);
}

#[test]
fn python_reads_a_transaction_without_inputs_and_outputs() {
    let empty = raw(&[VERSION, "00", "00", LOCK_TIME]);
    rust_calls_it_malformed(&empty);
    let read = python(&empty);
    assert_eq!((read.inputs.len(), read.outputs.len()), (0, 0));
    assert_eq!((read.size, read.weight), (10, 40));
}

#[test]
fn python_reads_a_transaction_without_inputs_that_has_two_outputs() {
    let no_inputs = raw(&[VERSION, "00", "02", OUTPUT, OUTPUT, LOCK_TIME]);
    rust_calls_it_malformed(&no_inputs);
    assert_eq!(python(&no_inputs).outputs.len(), 2);
}

#[test]
fn neither_reads_one_without_inputs_that_has_one_output() {
    // Its first bytes are those of a transaction with witnesses.
    let no_inputs = raw(&[VERSION, "00", "01", OUTPUT, LOCK_TIME]);
    rust_calls_it_malformed(&no_inputs);
    assert!(legacy::transactions(&[no_inputs])[0].is_err());
}

#[test]
fn a_flagged_transaction_without_inputs_has_other_bytes_in_python() {
    let flagged = raw(&[VERSION, "0001", "00", "01", OUTPUT, LOCK_TIME]);
    let ours = decode_transaction(&flagged).expect("the way rust-bitcoin writes it");
    let theirs = python(&flagged);
    assert_eq!(ours.txid, theirs.txid);
    assert_eq!(ours.outputs, theirs.outputs);
    // Rust counts marker and flag, Python has dropped them.
    assert_eq!((ours.size, theirs.size), (21, 19));
    assert_eq!((ours.weight, theirs.weight), (78, 76));
    assert_ne!(ours.wtxid, theirs.wtxid);
}

#[test]
fn python_writes_no_transaction_without_inputs() {
    let flagged = raw(&[VERSION, "0001", "00", "01", OUTPUT, LOCK_TIME]);
    let ours = decode_transaction(&flagged).expect("the way rust-bitcoin writes it");
    // The backend refuses to send it all the same.
    assert_eq!(encode_transaction(&ours).expect("its own"), flagged);
    let theirs = legacy::encode(&[ours]).remove(0);
    assert_eq!(theirs.expect_err("no inputs"), "invalid_input");
}

#[test]
fn python_reads_more_bytes_than_a_block_may_have() {
    let with_script = |bytes: usize| {
        let length = u32::try_from(bytes).expect("small").to_le_bytes();
        let mut raw = raw(&[VERSION, "01", INPUT, "01", "0100000000000000", "fe"]);
        raw.extend(length);
        raw.resize(raw.len() + bytes, 0x6a);
        raw.extend([0; 4]);
        raw
    };
    let around = with_script(0).len();
    let largest = with_script(4_000_000 - around);
    let ours = decode_transaction(&largest).expect("as large as allowed");
    assert_eq!(ours, python(&largest));
    let larger = with_script(4_000_001 - around);
    let error = decode_transaction(&larger).expect_err("too large");
    assert!(
        matches!(error, DecodeError::TooLarge { size: 4_000_001 }),
        "{error}"
    );
    assert_eq!(python(&larger).size, 4_000_001);
}

#[test]
fn python_reads_a_block_whose_count_is_not_written_in_its_shortest_form() {
    let transaction = plain();
    let mut header = [0; 80];
    let txid = decode_transaction(&transaction).expect("canonical").txid;
    let root: &[u8] = txid.as_ref();
    header[36..68].copy_from_slice(root);
    let canonical = [&header[..], &[1], &transaction].concat();
    let padded = [&header[..], &[0xfd, 1, 0], &transaction].concat();
    let hash = deserialize::<Block>(&canonical)
        .expect("a block")
        .block_hash();
    let ours = decode_block(&canonical, hash).expect("canonical");
    assert!(matches!(
        decode_block(&padded, hash),
        Err(DecodeError::Malformed { .. })
    ));
    let theirs = legacy::blocks(&[(padded, hash.to_string())]).remove(0);
    assert_eq!(theirs.expect("Python takes the liberty"), ours);
}
