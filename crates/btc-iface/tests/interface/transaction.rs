//! `BitcoinTransaction` as JSON: what is written reads back equal, and what may be left out.

use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::rust_bitcoin::{BlockHash, OutPoint, ScriptBuf, Txid, Witness, Wtxid};
use btc_iface::{BitcoinTransaction, TransactionInput, TransactionOutput};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

fn bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=longest)
}

fn input() -> impl Strategy<Value = TransactionInput> {
    let outpoint = any::<([u8; 32], u32)>();
    let witness = vec(bytes(80), 0..4);
    (outpoint, bytes(80), any::<u32>(), witness).prop_map(
        |((txid, vout), script, sequence, witness)| TransactionInput {
            previous_output: OutPoint::new(Txid::from_byte_array(txid), vout),
            script_sig: ScriptBuf::from_bytes(script),
            sequence,
            witness: Witness::from_slice(&witness),
        },
    )
}

fn output() -> impl Strategy<Value = TransactionOutput> {
    (any::<u64>(), bytes(80)).prop_map(|(value_sat, script)| TransactionOutput {
        value_sat,
        script_pubkey: ScriptBuf::from_bytes(script),
    })
}

fn transaction() -> impl Strategy<Value = BitcoinTransaction> {
    let ids = any::<([u8; 32], [u8; 32])>();
    let numbers = any::<(i32, u32, u32, u32)>();
    let parts = (vec(input(), 0..4), vec(output(), 0..4));
    let facts = (
        option::of(any::<u64>()),
        option::of(any::<[u8; 32]>()),
        option::of(any::<u32>()),
    );
    (ids, numbers, parts, facts).prop_map(
        |(ids, (version, lock_time, size, weight), (inputs, outputs), facts)| BitcoinTransaction {
            txid: Txid::from_byte_array(ids.0),
            wtxid: Wtxid::from_byte_array(ids.1),
            version,
            lock_time,
            inputs,
            outputs,
            size,
            weight,
            fee_sat: facts.0,
            block_hash: facts.1.map(BlockHash::from_byte_array),
            block_height: facts.2,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back_equal(transaction in transaction()) {
        let text = serde_json::to_string(&transaction).expect("plain data");
        let from_text: BitcoinTransaction = serde_json::from_str(&text).expect("its own output");
        prop_assert_eq!(&from_text, &transaction);
        let value = serde_json::to_value(&transaction).expect("plain data");
        let from_value: BitcoinTransaction = serde_json::from_value(value).expect("its own output");
        prop_assert_eq!(&from_value, &transaction);
    }

    #[test]
    fn the_virtual_size_is_the_smallest_that_holds_the_weight(weight in any::<u32>()) {
        let transaction = BitcoinTransaction { weight, ..sample() };
        let vsize = u64::from(transaction.vsize());
        prop_assert!(vsize * 4 >= u64::from(weight));
        prop_assert!(vsize == 0 || (vsize - 1) * 4 < u64::from(weight));
    }
}

fn sample() -> BitcoinTransaction {
    BitcoinTransaction {
        txid: Txid::from_byte_array([1; 32]),
        wtxid: Wtxid::from_byte_array([2; 32]),
        version: -1,
        lock_time: u32::MAX,
        inputs: vec![TransactionInput {
            previous_output: OutPoint::new(Txid::from_byte_array([3; 32]), 4),
            script_sig: ScriptBuf::from_bytes(vec![0x51]),
            sequence: 5,
            witness: Witness::from_slice(&[vec![6], Vec::new()]),
        }],
        outputs: vec![TransactionOutput {
            value_sat: u64::MAX,
            script_pubkey: ScriptBuf::from_bytes(vec![0x6a]),
        }],
        size: 7,
        weight: 8,
        fee_sat: None,
        block_hash: None,
        block_height: None,
    }
}

#[test]
fn the_form_is_this_one() {
    let json = json!({
        "txid": "01".repeat(32),
        "wtxid": "02".repeat(32),
        "version": -1,
        "lock_time": 4_294_967_295_u32,
        "inputs": [{
            "previous_output": format!("{}:4", "03".repeat(32)),
            "script_sig": "51",
            "sequence": 5,
            "witness": ["06", ""],
        }],
        "outputs": [{ "value_sat": u64::MAX, "script_pubkey": "6a" }],
        "size": 7,
        "weight": 8,
        "fee_sat": null,
        "block_hash": null,
        "block_height": null,
    });
    assert_eq!(serde_json::to_value(sample()).expect("plain data"), json);
}

#[test]
fn only_what_is_learned_beyond_the_bytes_may_be_left_out() {
    let whole = serde_json::to_value(sample()).expect("plain data");
    let fields: Vec<_> = whole
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    assert_eq!(fields.len(), 11);
    for field in fields {
        let mut json = whole.clone();
        json.as_object_mut().expect("an object").remove(&field);
        let read: Result<BitcoinTransaction, _> = serde_json::from_value(json);
        if ["fee_sat", "block_hash", "block_height"].contains(&field.as_str()) {
            assert_eq!(read.expect(&field), sample());
        } else {
            let error = read.expect_err(&field).to_string();
            assert!(error.contains(&field), "{error}");
        }
    }
}

#[test]
fn values_out_of_range_or_form_are_refused() {
    let too_big = json!(4_294_967_296_u64);
    for (pointer, value) in [
        ("/txid", json!("00")),
        ("/wtxid", json!("zz".repeat(32))),
        ("/version", json!(2_147_483_648_u32)),
        ("/lock_time", json!(-1)),
        ("/size", too_big.clone()),
        ("/inputs/0/previous_output", json!("03".repeat(32))),
        ("/inputs/0/script_sig", json!("5")),
        ("/inputs/0/sequence", too_big),
        ("/inputs/0/witness/0", json!("0g")),
        ("/inputs/0/witness/0", json!("é")),
        ("/outputs/0/value_sat", json!(1.5)),
        ("/outputs/0/script_pubkey", Value::Null),
    ] {
        let mut json = serde_json::to_value(sample()).expect("plain data");
        *json.pointer_mut(pointer).expect(pointer) = value.clone();
        let read: Result<BitcoinTransaction, _> = serde_json::from_value(json);
        assert!(read.is_err(), "{pointer} {value}");
    }
}
