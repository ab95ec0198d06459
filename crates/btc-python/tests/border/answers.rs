//! Answers of the Python side: values and exceptions are read as they are, all else is refused.

use btc_iface::{
    BitcoinTransaction, BroadcastCheck, BroadcastVerdict, Chain, ErrorKind, FeeEstimate, FeeSource,
    Operation, PlannedTransaction, WalletSnapshot, WalletState,
};
use btc_python::decode_response;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_value_is_read_as_it_is(height in any::<u32>(), fee in any::<u64>()) {
        let operation = Operation::GetBlockHeight;
        let answer = json!({ "ok": height }).to_string();
        prop_assert_eq!(decode_response::<u32>(operation, answer.as_bytes()).ok(), Some(height));
        let answer = json!({ "ok": fee, "error": null }).to_string();
        prop_assert_eq!(decode_response::<u64>(operation, answer.as_bytes()).ok(), Some(fee));
    }

    #[test]
    fn an_exception_keeps_its_kind_type_message_and_traceback(
        kind in proptest::sample::select(ErrorKind::ALL.to_vec()),
        message in ".{0,80}",
        python_type in "[a-z.A-Z]{1,20}",
        traceback in ".{0,80}",
    ) {
        let answer = json!({ "error": {
            "kind": kind, "message": message, "python_type": python_type, "traceback": traceback,
        } })
        .to_string();
        let error = decode_response::<u32>(Operation::GetBalance, answer.as_bytes())
            .expect_err("an exception");
        prop_assert_eq!(error.kind(), kind);
        prop_assert_eq!(error.operation(), Operation::GetBalance);
        let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
        prop_assert_eq!(&causes, &[format!("{python_type}: {message}"), traceback]);
        if message.is_empty() {
            prop_assert!(error.message().contains(&python_type));
        } else {
            prop_assert_eq!(error.message(), message);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_as_an_invalid_response(bytes in vec(any::<u8>(), 0..200)) {
        let error = decode_response::<BitcoinTransaction>(Operation::GetTransaction, &bytes)
            .expect_err("chance makes no transaction");
        prop_assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    }
}

#[test]
fn a_transaction_with_any_value_of_another_type_is_an_invalid_response() {
    let hash = "ab".repeat(32);
    let whole = json!({
        "txid": hash, "wtxid": hash, "version": 2, "lock_time": 0, "size": 10, "weight": 40,
        "inputs": [{
            "previous_output": format!("{hash}:0"), "script_sig": "", "sequence": 0, "witness": [""],
        }],
        "outputs": [{ "value_sat": 1, "script_pubkey": "51" }],
        "fee_sat": 1, "block_hash": hash, "block_height": 1,
    });
    let read = |transaction: &Value| {
        let answer = json!({ "ok": transaction }).to_string();
        decode_response::<BitcoinTransaction>(Operation::GetTransaction, answer.as_bytes())
    };
    assert_eq!(read(&whole).expect("whole").fee_sat, Some(1));
    for pointer in [
        "/txid",
        "/wtxid",
        "/version",
        "/lock_time",
        "/size",
        "/weight",
        "/inputs",
        "/inputs/0",
        "/inputs/0/previous_output",
        "/inputs/0/script_sig",
        "/inputs/0/sequence",
        "/inputs/0/witness",
        "/inputs/0/witness/0",
        "/outputs",
        "/outputs/0",
        "/outputs/0/value_sat",
        "/outputs/0/script_pubkey",
        "/fee_sat",
        "/block_hash",
        "/block_height",
    ] {
        for wrong in [json!(true), json!(1.5), json!("x"), json!({})] {
            let mut transaction = whole.clone();
            *transaction.pointer_mut(pointer).expect(pointer) = wrong.clone();
            let error = read(&transaction).expect_err(pointer);
            assert_eq!(
                error.kind(),
                ErrorKind::InvalidResponse,
                "{pointer} {wrong}"
            );
        }
    }
}

#[test]
fn a_fee_estimate_with_any_value_of_another_type_is_an_invalid_response() {
    let whole = json!({
        "sat_per_vb": 3, "source": "mempool", "floor_sat_per_vb": 1, "target_blocks": 6,
    });
    let read = |estimate: &Value| {
        let answer = json!({ "ok": estimate }).to_string();
        decode_response::<FeeEstimate>(Operation::EstimateFee, answer.as_bytes())
    };
    assert_eq!(read(&whole).expect("whole").source, FeeSource::Mempool);
    for pointer in [
        "/sat_per_vb",
        "/source",
        "/floor_sat_per_vb",
        "/target_blocks",
    ] {
        for wrong in [
            json!(true),
            json!(1.5),
            json!("x"),
            json!({}),
            json!(-1),
            Value::Null,
        ] {
            let mut estimate = whole.clone();
            *estimate.pointer_mut(pointer).expect(pointer) = wrong.clone();
            let error = read(&estimate).expect_err(pointer);
            assert_eq!(
                error.kind(),
                ErrorKind::InvalidResponse,
                "{pointer} {wrong}"
            );
        }
    }
}

fn decode<T: serde::de::DeserializeOwned>(answer: &Value) -> btc_iface::BitcoinResult<T> {
    let answer = json!({ "ok": answer }).to_string();
    decode_response::<T>(Operation::CreateTransaction, answer.as_bytes())
}

/// As the Python tests have it, in `test_wallet_wire.py`.
fn snapshot() -> Value {
    let hash = "ab".repeat(32);
    json!({
        "tip": { "height": 7, "hash": hash },
        "coins": [{
            "outpoint": format!("{hash}:4294967295"), "value_sat": 5,
            "address_type": "p2sh-p2wpkh", "chain": "change", "index": 4_294_967_295_u32,
        }],
        "pending": [{
            "txid": hash, "version": 2, "size_vb": 141, "fee_sat": 282, "spends": [hash],
        }],
        "change_type": "p2tr",
        "change_index": 3,
    })
}

#[test]
fn the_wallets_shapes_are_those_of_the_types() {
    let hash = "ab".repeat(32);
    let transaction = json!({
        "txid": hash, "wtxid": hash, "version": 2, "lock_time": 0, "size": 10, "weight": 40,
        "inputs": [], "outputs": [], "fee_sat": 1, "block_hash": null, "block_height": null,
    });
    let (_, read) =
        decode::<(BitcoinTransaction, WalletSnapshot)>(&json!([transaction, snapshot()]))
            .expect("a transaction with its snapshot");
    assert_eq!(read.coins[0].chain, Chain::Change);
    assert_eq!(serde_json::to_value(&read).expect("plain data"), snapshot());

    let plan = json!({
        "transaction": transaction, "tip": { "height": 7, "hash": hash },
        "unknown_coins": [format!("{hash}:1")],
    });
    let read = decode::<PlannedTransaction>(&plan).expect("a plan");
    assert_eq!(read.unknown_coins[0].vout, 1);

    for (name, verdict) in [
        ("acceptable", BroadcastVerdict::Acceptable),
        ("known", BroadcastVerdict::Known),
        ("refused", BroadcastVerdict::Refused),
    ] {
        let check = json!({ "txid": hash, "wtxid": hash, "verdict": name, "reason": null });
        let read = decode::<BroadcastCheck>(&check).expect("a check");
        assert_eq!(read.verdict, verdict);
    }
}

#[test]
fn a_wallets_coins_come_in_the_order_of_outpoints() {
    // The first is the greater one as people read it: both sides sort by the bytes as serialised.
    let (low, high) = (
        format!("ff{}", "00".repeat(31)),
        format!("{}ff", "00".repeat(31)),
    );
    let state = json!({
        "tip": { "height": 7, "hash": "ab".repeat(32) },
        "balance": {
            "confirmed_sat": 1, "trusted_pending_sat": 2, "untrusted_pending_sat": 3,
            "immature_sat": u64::MAX,
        },
        "coins": [
            [format!("{low}:0"), 5], [format!("{low}:10"), 5], [format!("{high}:2"), 5],
        ],
    });
    let read = decode::<WalletState>(&state).expect("a state");
    assert!(read.coins.is_sorted(), "{:?}", read.coins);
    assert_eq!(read.balance.immature_sat, u64::MAX);
}
