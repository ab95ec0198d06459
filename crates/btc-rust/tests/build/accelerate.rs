//! Children that pay for their parents, and what no child is made for.

use bitcoin::Transaction;
use btc_iface::{AddressType, BitcoinResult, ErrorKind, FeeRate, PendingTransaction, SnapshotCoin};
use btc_rust::wallet::build::{self, Draft, Funds, Parent, deficit_sat, sign};
use proptest::prelude::*;

use crate::bump::CHANGE;
use crate::pending::{graph, pending};
use crate::psbt::paid;
use crate::request::funds;
use crate::samples::{
    any_type, coin, keyring, missing_sat, per_vb, prevouts, signer, sum_in, sum_out,
};
use crate::verify::verify;

fn parent<'a>(transaction: &'a Transaction, coins: &'a [SnapshotCoin]) -> Parent<'a> {
    Parent {
        transaction,
        coins,
        has_child: false,
    }
}

/// The transaction as a miner sees it.
fn listed(transaction: &Transaction, fee_sat: u64) -> PendingTransaction {
    PendingTransaction {
        txid: transaction.compute_txid(),
        version: transaction.version.0,
        size_vb: transaction.weight().to_wu().div_ceil(4),
        fee_sat,
        spends: Vec::new(),
    }
}

fn accelerate(
    it: &Parent<'_>,
    pending: &[PendingTransaction],
    rate: FeeRate,
) -> BitcoinResult<Draft> {
    let funds = Funds {
        change: CHANGE,
        ..funds(&[], pending)
    };
    build::accelerate(keyring(), it, &funds, rate, false)
}

#[test]
fn what_cannot_be_accelerated_is_refused() {
    let (coins, transaction) = paid(vec![
        coin(0, 2_000, AddressType::P2tr),
        coin(1, 900, AddressType::P2tr),
    ]);
    let it = parent(&transaction, &coins);
    let list = [listed(&transaction, 200)];
    let paying = [listed(&transaction, 5_000)];
    for (bad, list, rate, kind) in [
        (
            Parent { coins: &[], ..it },
            &list[..],
            5,
            ErrorKind::InvalidInput,
        ),
        (it, &paying[..], 5, ErrorKind::InvalidInput),
        (it, &list[..], 0, ErrorKind::InvalidInput),
        (it, &list[..], 1_001, ErrorKind::InvalidInput),
        (it, &list[..], 50, ErrorKind::Rejected),
        (it, &[][..], 5, ErrorKind::Internal),
    ] {
        let error = accelerate(&bad, list, per_vb(rate)).expect_err("no child");
        assert_eq!(error.kind(), kind, "{error}");
    }
    let mut foreign = coins.clone();
    foreign[0].outpoint.txid = bitcoin::Txid::from_raw_hash(bitcoin::hashes::Hash::all_zeros());
    let error = accelerate(&parent(&transaction, &foreign), &list, per_vb(5));
    assert_eq!(
        error.expect_err("not its outputs").kind(),
        ErrorKind::Internal
    );
    let spent = |rate| {
        accelerate(&it, &list, per_vb(rate))
            .expect("enough")
            .inputs
            .len()
    };
    assert_eq!((spent(5), spent(8)), (1, 2), "as many outputs as needed");
}

#[test]
fn rates_below_1_sat_per_vb_are_exact() {
    let (coins, transaction) = paid(vec![coin(0, 2_000, AddressType::P2wpkh)]);
    let list = [listed(&transaction, 10)];
    let rate: FeeRate = "0.25".parse().expect("a rate");
    let child = accelerate(&parent(&transaction, &coins), &list, rate).expect("enough");
    // The child has 122 vB.
    let size = list[0].size_vb;
    let deficit = (size * 250).div_ceil(1_000) - 10;
    assert_eq!(child.weight.div_ceil(4), 122);
    assert_eq!(child.fee_sat, (122_u64 * 250).div_ceil(1_000) + deficit);
}

#[test]
fn a_parent_of_version_3_has_one_child_of_version_3() {
    let (mut coins, mut transaction) = paid(vec![
        coin(0, 2_000, AddressType::P2tr),
        coin(1, 900, AddressType::P2tr),
    ]);
    transaction.version.0 = 3;
    for coin in &mut coins {
        coin.outpoint.txid = transaction.compute_txid();
    }
    let it = parent(&transaction, &coins);
    let list = [listed(&transaction, 200)];
    let child = accelerate(&it, &list, per_vb(8)).expect("both outputs");
    assert_eq!((child.transaction.version.0, child.inputs.len()), (3, 2));
    let error = accelerate(
        &Parent {
            has_child: true,
            ..it
        },
        &list,
        per_vb(8),
    );
    let error = error.expect_err("it has one");
    assert!(error.message().contains("has a child already"), "{error}");
    let mut list = vec![listed(&transaction, 200), pending(0, 141, 0, &[])];
    let above = list[1].txid;
    list[0].spends.push(above);
    let error = accelerate(&it, &list, per_vb(8)).expect_err("it is a child");
    assert!(error.message().contains("take no child"), "{error}");
}

#[test]
fn a_child_of_version_3_has_1000_vb_at_most() {
    let many = (0..40).map(|number| coin(number, 1_500, AddressType::P2pkh));
    let (mut coins, mut transaction) = paid(many.collect());
    transaction.version.0 = 3;
    for coin in &mut coins {
        coin.outpoint.txid = transaction.compute_txid();
    }
    let list = [listed(&transaction, 0)];
    let error = accelerate(&parent(&transaction, &coins), &list, per_vb(7));
    let error = error.expect_err("more outputs than 1,000 vB hold");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.message().contains("version 3"), "{error}");
}

#[test]
fn nodes_take_no_child_of_a_long_chain() {
    let (coins, transaction) = paid(vec![coin(0, 2_000_000, AddressType::P2tr)]);
    for (length, is_taken) in [(23, true), (24, false)] {
        let mut list: Vec<_> = (0..length)
            .map(|number: u32| {
                let parents: Vec<u32> = number.checked_sub(1).into_iter().collect();
                pending(number, 141, 141, &parents)
            })
            .collect();
        let mut it = listed(&transaction, 200);
        it.spends.push(list[list.len() - 1].txid);
        list.push(it);
        let child = accelerate(&parent(&transaction, &coins), &list, per_vb(8));
        assert_eq!(child.is_ok(), is_taken, "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn children_bring_their_ancestors_to_the_rate(
        values in prop::collection::vec((1_000..300_000_u64, any_type()), 1..4),
        parent_fee in 0..2_000_u64,
        above in graph(6),
        rate in 100..100_000_u64,
    ) {
        let coins = (0..).zip(values).map(|(number, (value, kind))| coin(number, value, kind));
        let (coins, transaction) = paid(coins.collect());
        let mut list = above;
        let mut itself = listed(&transaction, parent_fee);
        let txid = itself.txid;
        itself.spends.push(list[list.len() - 1].txid);
        list.push(itself);
        let rate = FeeRate::from_sat_per_kvb(rate);
        let deficit = deficit_sat(&list, [txid], rate);
        match accelerate(&parent(&transaction, &coins), &list, rate) {
            Ok(child) => {
                prop_assert_eq!(sum_in(&child), sum_out(&child) + child.fee_sat);
                let change = child.change.expect("its only output");
                prop_assert_eq!(child.transaction.output.len(), 1);
                prop_assert!(change.value_sat >= 330);
                let wanted = rate.fee_sat(child.weight.div_ceil(4)) + deficit;
                prop_assert_eq!(u128::from(child.fee_sat), wanted);
                let largest = coins.iter().map(|coin| coin.value_sat).max();
                prop_assert_eq!(Some(child.inputs[0].value_sat), largest);
                let signed = sign(&child, keyring(), signer()).expect("own coins");
                verify(&signed, &prevouts(&child.inputs));
            }
            Err(error) if error.kind() == ErrorKind::Rejected => {
                prop_assert!(missing_sat(&error) > 0);
            }
            Err(error) => {
                prop_assert!(error.message().contains("already"), "{}", error);
                prop_assert_eq!(deficit, 0);
            }
        }
    }

    #[test]
    fn no_child_overflows(
        rate in prop_oneof![Just(u64::MAX), any::<u64>(), 0..2_000_000_u64],
        fee in prop_oneof![Just(u64::MAX), any::<u64>()],
        size in prop_oneof![Just(u64::MAX), any::<u64>()],
    ) {
        let (coins, transaction) = paid(vec![coin(0, 90_000, AddressType::P2tr)]);
        let list = [
            PendingTransaction { size_vb: size, ..listed(&transaction, fee) },
            pending(3, size, fee, &[]),
        ];
        let it = parent(&transaction, &coins);
        let funds = Funds { change: CHANGE, ..funds(&[], &list) };
        let _ = build::accelerate(keyring(), &it, &funds, FeeRate::from_sat_per_kvb(rate), true);
    }
}
