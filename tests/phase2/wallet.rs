//! The wallet operations as everybody may rely on them, over every backend.

use std::collections::BTreeSet;

use bitcoin::{Amount, ScriptBuf};
use btc::{AddressType, BitcoinTransaction, ErrorKind, Operation};
use btc_tests::{Outcome, failure};
use serde_json::{Value, json};

use crate::lab::{Bench, Case};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("addresses_are_given_out_once", addresses_are_given_out_once),
    ("an_empty_wallet_says_what_is_missing", an_empty_wallet),
    ("money_counts_once_confirmed", money_counts_once_confirmed),
    ("a_payment_is_exact_and_accepted", a_payment_is_exact),
    ("coins_are_not_promised_twice", coins_are_not_promised_twice),
    ("wrong_payments_are_refused", wrong_payments_are_refused),
    ("a_coinbase_matures", a_coinbase_matures),
    ("a_reorg_takes_back_and_gives_again", a_reorg_takes_back),
    ("a_replaced_payment_never_counts", a_replaced_payment),
    ("own_change_counts_at_once", own_change_counts),
    (
        "addresses_used_elsewhere_are_skipped",
        addresses_used_elsewhere,
    ),
    (
        "a_payment_beyond_the_gap_is_found_after_reveal",
        beyond_the_gap,
    ),
];

/// What is wrong, the outputs, the fee rate.
type Wrong<'a> = (&'a str, Vec<(&'a str, u64)>, u64);

/// Each payment of `receive` in most cases.
const VALUE_SAT: u64 = 250_000;

fn addresses_are_given_out_once(bench: &mut Bench<'_, '_>) -> Outcome {
    let mut seen = BTreeSet::new();
    for round in 0..3 {
        for address_type in AddressType::ALL {
            let address = bench.address(address_type)?;
            assert_eq!(address.index, Some(round), "{address_type}");
            assert_eq!(address.address_type, address_type);
            assert!(seen.insert(address.address.clone()), "{address:?} again");
            let parsed: bitcoin::Address<_> = address.address.parse()?;
            let parsed = parsed.require_network(bitcoin::Network::Regtest)?;
            assert_eq!(parsed.script_pubkey(), address.script_pubkey);
        }
        bench.reopen()?;
    }
    Ok(())
}

fn an_empty_wallet(bench: &mut Bench<'_, '_>) -> Outcome {
    let bitcoin = bench.bitcoin();
    assert_eq!(bitcoin.get_balance()?, 0);
    let outputs = vec![(bench.address(AddressType::P2tr)?.address, 10_000)];
    let error = failure(
        bitcoin.create_transaction(outputs, 2),
        ErrorKind::Rejected,
        "nothing to spend",
    );
    // 32 for the frame, 8 for the two counts, 172 for the output: 212 WU at 2 sat/vB.
    let missing = error
        .context()
        .iter()
        .find(|(name, _)| name == "missing_sat");
    assert_eq!(
        missing.map(|(_, sat)| sat.as_str()),
        Some("10106"),
        "{error}"
    );
    Ok(())
}

fn money_counts_once_confirmed(bench: &mut Bench<'_, '_>) -> Outcome {
    bench.receive(&AddressType::ALL, VALUE_SAT)?;
    assert_eq!(bench.bitcoin().get_balance()?, 0, "others' money, pending");
    bench.chain.mine(1)?;
    assert_eq!(bench.bitcoin().get_balance()?, 4 * VALUE_SAT);
    bench.reopen()?;
    assert_eq!(bench.bitcoin().get_balance()?, 4 * VALUE_SAT);
    Ok(())
}

fn a_payment_is_exact(bench: &mut Bench<'_, '_>) -> Outcome {
    bench.receive(&AddressType::ALL, VALUE_SAT)?;
    bench.chain.mine(1)?;
    // More than three coins, so that all four types are spent together.
    let recipients = [
        (ScriptBuf::new_op_return([0; 0]), 0),
        (foreign(1), 700_000),
        (foreign(2), 150_000),
    ];
    let outputs: Vec<_> = recipients[1..]
        .iter()
        .map(|(script, value_sat)| (text(script), *value_sat))
        .collect();
    let fee_rate = 7;
    let transaction = bench.bitcoin().create_transaction(outputs, fee_rate)?;
    assert_eq!(transaction.inputs.len(), 4);
    assert_eq!(transaction.version, 2);
    assert!(
        transaction
            .inputs
            .iter()
            .all(|input| input.sequence == 0xffff_fffd)
    );
    let paid: Vec<_> = transaction
        .outputs
        .iter()
        .map(|output| (output.script_pubkey.clone(), output.value_sat))
        .collect();
    assert_eq!(paid[..2], recipients[1..]);
    let fee_sat = fee(&transaction, 4 * VALUE_SAT);
    assert_eq!(transaction.fee_sat, Some(fee_sat));
    let least_sat = u64::from(transaction.vsize()) * fee_rate;
    // Each of the three ECDSA signatures may be a byte or two shorter than was paid for.
    assert!(
        (least_sat..least_sat + 30).contains(&fee_sat),
        "{fee_sat} for {least_sat}"
    );
    let hex = btc::bitcoin::hex::DisplayHex::to_lower_hex_string(
        btc::rust::encode_transaction(&transaction)?.as_slice(),
    );
    let answer: Value = bench
        .chain
        .node()
        .call("testmempoolaccept", &[json!([hex])])?;
    assert_eq!(answer[0]["allowed"], true, "{answer}");
    let bitcoin = bench.bitcoin();
    let txid = bitcoin.broadcast_transaction(&transaction)?;
    assert_eq!(
        bitcoin.broadcast_transaction(&transaction)?,
        txid,
        "twice is once"
    );
    let left_sat = 4 * VALUE_SAT - 850_000 - fee_sat;
    assert_eq!(bitcoin.get_balance()?, left_sat);
    bench.chain.mine(1)?;
    assert_eq!(bench.bitcoin().get_balance()?, left_sat);
    let again = bench.bitcoin().get_transaction(&txid)?;
    assert_eq!(again.wtxid, transaction.wtxid);
    Ok(())
}

fn coins_are_not_promised_twice(bench: &mut Bench<'_, '_>) -> Outcome {
    bench.receive(&[AddressType::P2wpkh, AddressType::P2tr], VALUE_SAT)?;
    bench.chain.mine(1)?;
    let outputs = || vec![(text(&foreign(3)), 20_000)];
    let first = bench.bitcoin().create_transaction(outputs(), 2)?;
    bench.reopen()?;
    let second = bench.bitcoin().create_transaction(outputs(), 2)?;
    let spent = |transaction: &BitcoinTransaction| transaction.inputs[0].previous_output;
    assert_ne!(spent(&first), spent(&second));
    let change = |transaction: &BitcoinTransaction| transaction.outputs[1].script_pubkey.clone();
    assert_ne!(change(&first), change(&second), "a change address twice");
    failure(
        bench.bitcoin().create_transaction(outputs(), 2),
        ErrorKind::Rejected,
        "both coins are reserved",
    );
    // Reserved is still owned.
    assert_eq!(bench.bitcoin().get_balance()?, 2 * VALUE_SAT);
    bench.bitcoin().broadcast_transaction(&second)?;
    bench.bitcoin().broadcast_transaction(&first)?;
    bench.chain.mine(1)?;
    let left_sat =
        2 * (VALUE_SAT - 20_000) - first.fee_sat.expect("known") - second.fee_sat.expect("known");
    assert_eq!(bench.bitcoin().get_balance()?, left_sat);
    Ok(())
}

fn wrong_payments_are_refused(bench: &mut Bench<'_, '_>) -> Outcome {
    bench.receive(&[AddressType::P2wpkh], VALUE_SAT)?;
    bench.chain.mine(1)?;
    let bitcoin = bench.bitcoin();
    let good = text(&foreign(4));
    let mainnet = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu";
    let cases: [Wrong<'_>; 14] = [
        ("no output", vec![], 2),
        ("fee rate 0", vec![(&good, 1000)], 0),
        ("an address of mainnet", vec![(mainnet, 1000)], 2),
        ("no address", vec![("nonsense", 1000)], 2),
        ("an empty address", vec![("", 1000)], 2),
        ("a wrong checksum", vec![(&good[..good.len() - 1], 1000)], 2),
        ("dust", vec![(&good, 293)], 2),
        ("nothing", vec![(&good, 0)], 2),
        ("dust among others", vec![(&good, 1000), (&good, 1)], 2),
        (
            "more than there can be",
            vec![(&good, 2_100_000_000_000_001)],
            2,
        ),
        (
            "a sum that overflows",
            vec![(&good, u64::MAX), (&good, u64::MAX)],
            2,
        ),
        ("white space", vec![(" bcrt1 ", 1000)], 2),
        ("a rate in sat/kvB", vec![(&good, 1000)], 2000),
        ("an absurd fee rate", vec![(&good, 1000)], u64::MAX),
    ];
    for (what, outputs, fee_rate) in cases {
        let outputs = outputs
            .into_iter()
            .map(|(address, value_sat)| (address.to_owned(), value_sat))
            .collect();
        failure(
            bitcoin.create_transaction(outputs, fee_rate),
            ErrorKind::InvalidInput,
            what,
        );
    }
    for (what, value_sat, fee_rate) in [
        ("all of it, and no fee left", VALUE_SAT, 1),
        ("a high fee rate", VALUE_SAT - 1000, 1_000),
    ] {
        failure(
            bitcoin.create_transaction(vec![(good.clone(), value_sat)], fee_rate),
            ErrorKind::Rejected,
            what,
        );
    }
    // Nothing was reserved on the way.
    bitcoin.create_transaction(vec![(good, 1000)], 2)?;
    Ok(())
}

fn a_coinbase_matures(bench: &mut Bench<'_, '_>) -> Outcome {
    let address = bench.address(AddressType::P2pkh)?.address;
    let node = bench.chain.node();
    let hashes: Vec<String> = node.call("generatetoaddress", &[json!(1), json!(address)])?;
    let block = bench.bitcoin().get_block(&hashes[0])?;
    let value_sat = block[0].outputs[0].value_sat;
    assert_eq!(bench.bitcoin().get_balance()?, 0);
    bench.chain.mine(98)?;
    assert_eq!(bench.bitcoin().get_balance()?, 0, "99 confirmations");
    bench.chain.mine(1)?;
    assert_eq!(
        bench.bitcoin().get_balance()?,
        value_sat,
        "100 confirmations"
    );
    let outputs = vec![(text(&foreign(5)), value_sat / 2)];
    let transaction = bench.bitcoin().create_transaction(outputs, 3)?;
    bench.bitcoin().broadcast_transaction(&transaction)?;
    Ok(())
}

fn a_reorg_takes_back(bench: &mut Bench<'_, '_>) -> Outcome {
    bench.receive(&[AddressType::P2wpkh], VALUE_SAT)?;
    bench.chain.mine(1)?;
    bench.receive(&[AddressType::P2tr], 2 * VALUE_SAT)?;
    bench.chain.mine(2)?;
    assert_eq!(bench.bitcoin().get_balance()?, 3 * VALUE_SAT);
    // The second payment is unconfirmed again.
    bench.chain.reorg_empty(2)?;
    assert_eq!(bench.bitcoin().get_balance()?, VALUE_SAT);
    bench.chain.mine(1)?;
    assert_eq!(bench.bitcoin().get_balance()?, 3 * VALUE_SAT);
    bench.chain.reorg(5)?;
    assert_eq!(bench.bitcoin().get_balance()?, 3 * VALUE_SAT);
    Ok(())
}

fn a_replaced_payment(bench: &mut Bench<'_, '_>) -> Outcome {
    let script = bench.address(AddressType::P2wpkh)?.script_pubkey;
    let payment = bench.chain.spend_to(&script, Amount::from_sat(VALUE_SAT))?;
    send(bench, &payment)?;
    assert_eq!(bench.bitcoin().get_balance()?, 0);
    let replacement = bench.chain.double_spend(&payment)?;
    send(bench, &replacement)?;
    bench.chain.mine(1)?;
    assert_eq!(bench.bitcoin().get_balance()?, 0);
    // Confirmed, taken back by a reorganisation, and replaced there.
    let payment = bench.chain.spend_to(&script, Amount::from_sat(VALUE_SAT))?;
    send(bench, &payment)?;
    bench.chain.mine(1)?;
    assert_eq!(bench.bitcoin().get_balance()?, VALUE_SAT);
    let replacement = bench.chain.double_spend(&payment)?;
    bench.chain.disconnect(1)?;
    bench.chain.mine_transactions(&[replacement])?;
    bench.chain.mine(1)?;
    assert_eq!(bench.bitcoin().get_balance()?, 0);
    Ok(())
}

fn own_change_counts(bench: &mut Bench<'_, '_>) -> Outcome {
    bench.receive(&[AddressType::P2shP2wpkh], VALUE_SAT)?;
    bench.chain.mine(1)?;
    let mut left_sat = VALUE_SAT;
    // A chain of payments, each from the change of the one before.
    for round in 0..5 {
        let outputs = vec![(text(&foreign(round)), 10_000)];
        let transaction = bench.bitcoin().create_transaction(outputs, 2)?;
        bench.bitcoin().broadcast_transaction(&transaction)?;
        left_sat -= 10_000 + transaction.fee_sat.expect("known");
        assert_eq!(bench.bitcoin().get_balance()?, left_sat);
    }
    bench.chain.mine(1)?;
    assert_eq!(bench.bitcoin().get_balance()?, left_sat);
    let all = bench.connected();
    if bench.backend.name().starts_with("shadow") {
        assert_eq!(all.matches(Operation::CreateTransaction), 5);
        assert_eq!(all.matches(Operation::BroadcastTransaction), 5);
    }
    Ok(())
}

fn addresses_used_elsewhere(bench: &mut Bench<'_, '_>) -> Outcome {
    // The same words in another folder, as after a restore from a backup.
    let twin = bench.wallet.again(bench.chain.height())?;
    let other = twin.connect(bench.backend, &bench.node)?;
    let mut script = ScriptBuf::new();
    for _ in 0..4 {
        script = other
            .bitcoin
            .generate_address(AddressType::P2wpkh)?
            .script_pubkey;
    }
    other.assert_agreement();
    bench
        .chain
        .pay(&[(script, Amount::from_sat(VALUE_SAT))], 2)?;
    // Seen in the mempool is used.
    bench.bitcoin().get_balance()?;
    assert_eq!(bench.address(AddressType::P2wpkh)?.index, Some(4));
    Ok(())
}

fn beyond_the_gap(bench: &mut Bench<'_, '_>) -> Outcome {
    let mut last = None;
    for _ in 0..2 * btc_tests::GAP_LIMIT {
        last = Some(bench.address(AddressType::P2tr)?);
    }
    let script = last.expect("some rounds").script_pubkey;
    bench
        .chain
        .pay(&[(script, Amount::from_sat(VALUE_SAT))], 2)?;
    bench.chain.mine(1)?;
    bench.reopen()?;
    assert_eq!(bench.bitcoin().get_balance()?, VALUE_SAT);
    Ok(())
}

/// The script of somebody else, another for each number.
fn foreign(number: u8) -> ScriptBuf {
    use bitcoin::hashes::Hash;
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([number; 20]))
}

fn text(script: &ScriptBuf) -> String {
    bitcoin::Address::from_script(script, bitcoin::Network::Regtest)
        .expect("a script with an address")
        .to_string()
}

fn fee(transaction: &BitcoinTransaction, inputs_sat: u64) -> u64 {
    let outputs = transaction.outputs.iter();
    inputs_sat - outputs.map(|output| output.value_sat).sum::<u64>()
}

fn send(bench: &Bench<'_, '_>, transaction: &bitcoin::Transaction) -> Outcome {
    let hex = bitcoin::consensus::encode::serialize_hex(transaction);
    let _: String = bench
        .chain
        .node()
        .call("sendrawtransaction", &[json!(hex)])?;
    Ok(())
}
