//! The deterministic mode: the rules of money, for any coins and any request.

use bitcoin::Transaction;
use btc_iface::{AddressType, ErrorKind, SnapshotCoin};
use btc_rust::wallet::build::{
    Draft, MAX_MONEY_SAT, deterministic_order, dust_limit_sat, parse_address, sign,
    to_bitcoin_transaction,
};
use proptest::prelude::*;

use crate::samples::{
    TIP_HEIGHT, address, any_type, coin, coins, keyring, missing_sat, outputs, plan, prevouts,
    signer, snapshot, sum_in, sum_out,
};
use crate::verify::verify;

/// How much lighter the signatures are than the largest, in WU: a byte in one of 128.
pub(crate) fn spared_wu(signed: &Transaction, coins: &[SnapshotCoin]) -> u64 {
    let inputs = signed.input.iter().zip(coins);
    let spared = inputs.map(|(input, coin)| match coin.address_type {
        AddressType::P2tr => 0,
        AddressType::P2pkh => 4 * (106 - input.script_sig.len()),
        _ => 71 - input.witness[0].len(),
    });
    spared.sum::<usize>() as u64
}

/// What holds for every draft of the deterministic mode.
fn check(draft: &Draft, coins: &[SnapshotCoin], outputs: &[(String, u64)], rate: u64) {
    assert_eq!(sum_in(draft), sum_out(draft) + draft.fee_sat);
    let paid = draft.transaction.output.iter().take(outputs.len());
    for (output, (address, value)) in paid.zip(outputs) {
        let script = parse_address(keyring().network(), address).expect("a good address");
        assert_eq!(
            (&output.script_pubkey, output.value.to_sat()),
            (&script, *value)
        );
    }
    let mut sorted = coins.to_vec();
    sorted.sort_by(deterministic_order);
    assert_eq!(draft.inputs[..], sorted[..draft.inputs.len()], "a prefix");
    assert_eq!(draft.transaction.version.0, 2);
    assert_eq!(draft.transaction.lock_time.to_consensus_u32(), TIP_HEIGHT);
    for input in &draft.transaction.input {
        assert_eq!(input.sequence.0, 0xffff_fffd);
    }
    let extra = draft.transaction.output.len() - outputs.len();
    assert_eq!(extra, usize::from(draft.change.is_some()));
    let least = u128::from(draft.weight.div_ceil(4)) * u128::from(rate);
    if let Some(change) = draft.change {
        let output = &draft.transaction.output[change.vout as usize];
        assert_eq!(change.vout as usize, outputs.len());
        assert_eq!(output.value.to_sat(), change.value_sat);
        assert!(change.value_sat >= dust_limit_sat(&output.script_pubkey));
        assert_eq!(
            u128::from(draft.fee_sat),
            least,
            "change takes all but the fee"
        );
    } else {
        // Less than a change output and the most that is dust.
        assert!(u128::from(draft.fee_sat) >= least);
        assert!(u128::from(draft.fee_sat) < least + u128::from(43 * rate + 546 + 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out_and_the_fee_is_right(
        coins in coins(40),
        outputs in outputs(),
        rate in prop_oneof![1..20_u64, 20..500_u64],
        change_type in any_type(),
    ) {
        let snapshot = snapshot(coins.clone(), change_type);
        match plan(keyring(), &snapshot, &outputs, rate) {
            Ok(draft) => {
                check(&draft, &coins, &outputs, rate);
                if let Some((last, others)) = draft.inputs.split_last() {
                    let mut fewer = snapshot.clone();
                    fewer.coins = others.to_vec();
                    let error = plan(keyring(), &fewer, &outputs, rate)
                        .expect_err("one coin less is not enough");
                    prop_assert_eq!(error.kind(), ErrorKind::Rejected);
                    prop_assert!(last.value_sat > 0);
                }
                let mut backwards = snapshot.clone();
                backwards.coins.reverse();
                prop_assert_eq!(&plan(keyring(), &backwards, &outputs, rate).expect("as before"), &draft);
                let mut sorted = snapshot;
                sorted.coins.sort_by(deterministic_order);
                prop_assert_eq!(&plan(keyring(), &sorted, &outputs, rate).expect("as before"), &draft);
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Rejected);
                let missing = u64::try_from(missing_sat(&error)).expect("small amounts");
                prop_assert!(missing > 0);
                let paid: u64 = outputs.iter().map(|(_, value)| value).sum();
                let have: u64 = coins.iter().map(|coin| coin.value_sat).sum();
                prop_assert!(missing + have > paid);
                let mut richer = snapshot;
                richer.coins[0].value_sat += missing;
                let draft = plan(keyring(), &richer, &outputs, rate).expect("exactly enough");
                check(&draft, &richer.coins, &outputs, rate);
            }
        }
    }

    #[test]
    fn what_is_missing_is_exact_where_every_coin_is_worth_its_input(
        values in prop::collection::vec(100_000..1_000_000_u64, 1..20),
        rate in 1..100_u64,
        address_type in any_type(),
    ) {
        let coins: Vec<_> = (0..).zip(&values)
            .map(|(number, value)| coin(number, *value, address_type))
            .collect();
        let outputs = [(address(4), values.iter().sum::<u64>())];
        let mut snapshot = snapshot(coins, address_type);
        let error = plan(keyring(), &snapshot, &outputs, rate).expect_err("nothing for the fee");
        let missing = u64::try_from(missing_sat(&error)).expect("small amounts");
        snapshot.coins[0].value_sat += missing - 1;
        let error = plan(keyring(), &snapshot, &outputs, rate).expect_err("one satoshi short");
        prop_assert_eq!(missing_sat(&error), 1);
        snapshot.coins[0].value_sat += 1;
        let draft = plan(keyring(), &snapshot, &outputs, rate).expect("exactly enough");
        prop_assert_eq!(draft.change, None);
    }

    #[test]
    fn no_amount_and_no_rate_overflows(
        values in prop::collection::vec(prop_oneof![Just(u64::MAX), any::<u64>(), 0..MAX_MONEY_SAT], 0..5),
        paid in prop::collection::vec(prop_oneof![Just(u64::MAX), any::<u64>(), 0..MAX_MONEY_SAT], 0..4),
        rate in prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0..1_000_u64],
        height in any::<u32>(),
    ) {
        let coins: Vec<_> = (0..).zip(values)
            .map(|(number, value)| coin(number, value, AddressType::ALL[number as usize % 4]))
            .collect();
        let outputs: Vec<_> = (0..).zip(paid).map(|(n, value)| (address(n), value)).collect();
        let mut snapshot = snapshot(coins.clone(), AddressType::P2tr);
        snapshot.tip.height = height;
        match plan(keyring(), &snapshot, &outputs, rate) {
            Ok(draft) => {
                prop_assert_eq!(sum_in(&draft), sum_out(&draft) + draft.fee_sat);
                prop_assert!(sum_in(&draft) <= MAX_MONEY_SAT);
            }
            Err(error) => prop_assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Rejected)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn signed_it_weighs_what_was_planned(
        coins in coins(8),
        outputs in outputs(),
        rate in 1..50_u64,
        change_type in any_type(),
    ) {
        let total: u64 = outputs.iter().map(|(_, value)| value).sum();
        let mut coins = coins;
        coins.push(coin(1_000, total + 1_000_000, change_type));
        let draft = plan(keyring(), &snapshot(coins, change_type), &outputs, rate)
            .expect("enough coins");
        let signed = sign(&draft, keyring(), signer()).expect("own coins");
        verify(&signed, &prevouts(&draft.inputs));
        let weight = signed.weight().to_wu();
        prop_assert_eq!(weight + spared_wu(&signed, &draft.inputs), draft.weight);
        prop_assert!(u128::from(draft.fee_sat) * 4 >= u128::from(weight) * u128::from(rate));
        prop_assert_eq!(&sign(&draft, keyring(), signer()).expect("again"), &signed);

        let plain = to_bitcoin_transaction(&signed, draft.fee_sat).expect("a transaction");
        prop_assert_eq!(plain.txid, signed.compute_txid());
        prop_assert_eq!(plain.fee_sat, Some(draft.fee_sat));
        prop_assert_eq!(u64::from(plain.weight), weight);
    }
}

#[test]
fn checks_come_in_the_order_of_the_contract() {
    let good = address(2);
    let foreign = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    let coins = vec![coin(0, 10_000, AddressType::P2wpkh)];
    let snapshot = snapshot(coins, AddressType::P2wpkh);
    let say = |outputs: &[(String, u64)], rate: u64| {
        let error = plan(keyring(), &snapshot, outputs, rate).expect_err("something is wrong");
        (error.kind(), error.message().to_owned())
    };
    let pay = |address: &str, value: u64| (address.to_owned(), value);
    let cases = [
        (vec![], 0, "no outputs"),
        (vec![pay("nonsense", 0)], 0, "fee rate of 0"),
        (
            vec![pay("nonsense", 0), pay(foreign, 0)],
            1,
            "not a bitcoin address",
        ),
        (vec![pay(foreign, 0)], 1, "another network"),
        (
            vec![pay(&good, 293), pay("nonsense", 1)],
            1,
            "send 294 sat at least",
        ),
        (
            vec![pay(&good, MAX_MONEY_SAT), pay(&good, 294)],
            1,
            "21,000,000 BTC",
        ),
    ];
    for (outputs, rate, said) in cases {
        let (kind, message) = say(&outputs, rate);
        assert_eq!(kind, ErrorKind::InvalidInput, "{message}");
        assert!(message.contains(said), "{message}");
    }
    let (kind, message) = say(&[(good, MAX_MONEY_SAT)], 1);
    assert_eq!(kind, ErrorKind::Rejected, "{message}");
}

#[test]
fn change_begins_at_the_dust_limit() {
    let outputs = [(address(2), 50_000)];
    // One P2WPKH input: 141 vB with two P2WPKH outputs, 110 with one.
    let with = |value| {
        let coins = vec![coin(0, value, AddressType::P2wpkh)];
        plan(
            keyring(),
            &snapshot(coins, AddressType::P2wpkh),
            &outputs,
            4,
        )
        .expect("enough")
    };
    let change = with(50_000 + 564 + 294)
        .change
        .expect("just worth an output");
    assert_eq!((change.vout, change.index, change.value_sat), (1, 7, 294));
    let none = with(50_000 + 564 + 293);
    assert_eq!(
        (none.change, none.fee_sat, none.weight),
        (None, 564 + 293, 437)
    );
    assert_eq!(with(50_000 + 440).fee_sat, 440);
}

#[test]
fn coins_of_one_value_are_taken_in_the_order_of_their_bytes() {
    use bitcoin::hashes::Hash;
    use bitcoin::{OutPoint, Txid};

    let place = |first: u8, last: u8, vout| {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (first, last);
        let outpoint = OutPoint {
            txid: Txid::from_byte_array(bytes),
            vout,
        };
        SnapshotCoin {
            outpoint,
            ..coin(0, 5_000, AddressType::P2tr)
        }
    };
    // A txid is shown with its bytes reversed; here the last byte shown counts most.
    let ordered = [
        place(1, 9, 0),
        place(1, 9, 3),
        place(2, 0, 1),
        place(2, 1, 0),
    ];
    let mut coins = ordered.to_vec();
    coins.reverse();
    let outputs = [(address(2), 19_000)];
    let draft = plan(keyring(), &snapshot(coins, AddressType::P2tr), &outputs, 1).expect("enough");
    assert_eq!(draft.inputs, ordered);
}

#[test]
fn a_coin_given_twice_is_spent_once_or_not_at_all() {
    let twin = coin(0, 10_000, AddressType::P2tr);
    let twins = snapshot(vec![twin, twin], AddressType::P2tr);
    let error = plan(keyring(), &twins, &[(address(2), 15_000)], 1).expect_err("the same coin");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    plan(keyring(), &twins, &[(address(2), 5_000)], 1).expect("one of them is enough");
}

#[test]
fn nothing_is_built_that_nodes_do_not_relay() {
    let coins: Vec<_> = (0..2_000)
        .map(|n| coin(n, 10_000, AddressType::P2wpkh))
        .collect();
    let snapshot = snapshot(coins, AddressType::P2wpkh);
    let pay = |count: u64| {
        let value = count * (10_000 - 68);
        plan(keyring(), &snapshot, &[(address(2), value)], 1)
    };
    let draft = pay(1_450).expect("just light enough");
    assert!(draft.weight > 380_000 && draft.weight <= 400_000);
    assert!(draft.transaction.input.len() > 253);
    let signed = sign(&draft, keyring(), signer()).expect("own coins");
    assert_eq!(
        signed.weight().to_wu() + spared_wu(&signed, &draft.inputs),
        draft.weight
    );
    let error = pay(1_600).expect_err("too heavy");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.message().contains("400000 at most"), "{error}");
}
