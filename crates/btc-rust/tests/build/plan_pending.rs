//! The deterministic mode over pending coins: confirmed first, limits of nodes, deficits.

use bitcoin::OutPoint;
use btc_iface::{AddressType, ErrorKind, PendingTransaction, SnapshotCoin, WalletSnapshot};
use btc_rust::wallet::build::{Draft, deficit_sat, deterministic_order};
use proptest::prelude::*;

use crate::pending::{graph, pending, txid};
use crate::samples::{
    ANY_RATE, address, any_type, coin, coins, keyring, missing_sat, outputs, per_vb, plan,
    snapshot, sum_in, sum_out,
};

/// An output of the pending transaction with this number.
fn output_of(number: u32, vout: u32, value_sat: u64) -> SnapshotCoin {
    SnapshotCoin {
        outpoint: OutPoint::new(txid(number), vout),
        ..coin(0, value_sat, AddressType::P2wpkh)
    }
}

fn with(coins: Vec<SnapshotCoin>, pending: Vec<PendingTransaction>) -> WalletSnapshot {
    WalletSnapshot {
        pending,
        ..snapshot(coins, AddressType::P2wpkh)
    }
}

fn pay(snapshot: &WalletSnapshot, value_sat: u64, rate: u64) -> btc_iface::BitcoinResult<Draft> {
    plan(keyring(), snapshot, &[(address(2), value_sat)], rate)
}

fn spent(draft: &Draft) -> Vec<OutPoint> {
    draft.inputs.iter().map(|it| it.outpoint).collect()
}

#[test]
fn confirmed_coins_go_first_whatever_they_are_worth() {
    let large = output_of(0, 0, 9_900_000);
    let small = [
        coin(0, 50_000, AddressType::P2wpkh),
        coin(1, 60_000, AddressType::P2wpkh),
    ];
    let coins = vec![large, small[0], small[1]];
    let snapshot = with(coins, vec![pending(0, 141, 1_410, &[])]);
    let places = |draft: Draft| spent(&draft);
    let (first, second) = (small[1].outpoint, small[0].outpoint);
    assert_eq!(places(pay(&snapshot, 40_000, 2).expect("enough")), [first]);
    let both = pay(&snapshot, 100_000, 2).expect("enough");
    assert_eq!(places(both), [first, second]);
    let all = pay(&snapshot, 200_000, 2).expect("enough");
    assert_eq!(places(all), [first, second, large.outpoint]);
}

#[test]
fn coins_of_version_3_stay_where_they_are() {
    let mut truc = pending(0, 141, 1_410, &[]);
    truc.version = 3;
    let coins = vec![
        output_of(0, 0, 9_900_000),
        coin(0, 50_000, AddressType::P2wpkh),
    ];
    let snapshot = with(coins, vec![truc]);
    let draft = pay(&snapshot, 40_000, 2).expect("the confirmed one");
    assert_eq!(draft.inputs.len(), 1);
    assert_eq!(draft.transaction.version.0, 2);
    let error = pay(&snapshot, 100_000, 2).expect_err("the other is not mixed in");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(missing_sat(&error), 100_000 + 220 - 50_000);
}

#[test]
fn the_deficit_of_a_pending_transaction_is_paid() {
    // 141 vB for 141 sat: at 10 sat/vB it lacks 1,269.
    let coins = vec![output_of(0, 0, 500_000)];
    let snapshot = with(coins, vec![pending(0, 141, 141, &[])]);
    let draft = pay(&snapshot, 100_000, 10).expect("enough");
    assert_eq!(draft.fee_sat, 1_410 + 1_269);
    assert_eq!(sum_in(&draft), sum_out(&draft) + draft.fee_sat);
    assert_eq!(pay(&snapshot, 100_000, 1).expect("enough").fee_sat, 141);
    let error = pay(&snapshot, 499_000, 10).expect_err("the deficit is missing");
    assert_eq!(missing_sat(&error), 499_000 + 1_100 + 1_269 - 500_000);
}

#[test]
fn a_pending_coin_that_is_not_worth_its_deficit_is_left_out() {
    let rate = 10;
    // The second brings 1,000 sat and lacks 9,000.
    let list = vec![pending(0, 141, 1_410, &[]), pending(1, 1_000, 1_000, &[])];
    let rich = output_of(0, 0, 100_000);
    for (value_sat, is_taken) in [(9_680, false), (9_681, true)] {
        let poor = output_of(1, 0, value_sat);
        let snapshot = with(vec![rich, poor], list.clone());
        let error = pay(&snapshot, 200_000, rate).expect_err("not enough by far");
        let (worth, fee) = if is_taken {
            (100_000 + value_sat, 1_770 + 9_000)
        } else {
            (100_000, 1_100)
        };
        assert_eq!(missing_sat(&error), u128::from(200_000 + fee - worth));
    }
    // Once the transaction is paid for, further outputs of it cost their input alone.
    let first = output_of(1, 0, 90_000);
    for (value_sat, count) in [(680, 1), (681, 2)] {
        let second = output_of(1, 1, value_sat);
        let snapshot = with(vec![first, second], list.clone());
        let error = pay(&snapshot, 200_000, rate).expect_err("not enough by far");
        let worth = 90_000 + u64::from(count == 2) * value_sat;
        let fee = if count == 2 { 1_770 } else { 1_100 };
        assert_eq!(
            missing_sat(&error),
            u128::from(200_000 + fee + 9_000 - worth)
        );
    }
}

#[test]
fn no_more_than_24_ancestors() {
    // A chain of 25, and one of 24.
    let chain = |first: u32, length: u32| {
        let one = move |number: u32| {
            let parents: Vec<u32> = (number > first).then(|| number - 1).into_iter().collect();
            pending(number, 141, 1_410, &parents)
        };
        (first..first + length).map(one)
    };
    let list: Vec<_> = chain(0, 25).chain(chain(100, 24)).collect();
    let coins = vec![output_of(24, 0, 900_000), output_of(123, 0, 800_000)];
    let snapshot = with(coins, list);
    let draft = pay(&snapshot, 100_000, 10).expect("the shorter one");
    assert_eq!(spent(&draft), [OutPoint::new(txid(123), 0)]);
    assert!(
        pay(&snapshot, 850_000, 10).is_err(),
        "the two are not mixed"
    );
}

#[test]
fn no_more_than_63_connected_transactions() {
    for (children, is_taken) in [(62, true), (63, false)] {
        // One with many children, whose other output is to be spent.
        let mut list = vec![pending(0, 2_000, 20_000, &[])];
        list.extend((1..=children).map(|number| pending(number, 141, 1_410, &[0])));
        let coins = vec![output_of(0, 90, 900_000)];
        let snapshot = with(coins, list);
        assert_eq!(pay(&snapshot, 100_000, 10).is_ok(), is_taken, "{children}");
    }
}

#[test]
fn no_cluster_above_101_kvb() {
    for (size_vb, is_taken) in [(100_859, true), (100_860, false)] {
        let coins = vec![output_of(0, 0, 50_000_000)];
        let snapshot = with(coins, vec![pending(0, size_vb, size_vb * 10, &[])]);
        // The payment itself has 141 vB with change.
        assert_eq!(pay(&snapshot, 100_000, 10).is_ok(), is_taken, "{size_vb}");
    }
}

#[test]
fn the_highest_rate_is_named_and_comes_after_the_outputs() {
    let snapshot = with(vec![coin(0, 900_000, AddressType::P2wpkh)], vec![]);
    let outputs = [("nonsense".to_owned(), 1)];
    let say = |outputs: &[(String, u64)], rate, max_rate| {
        let planned = btc_rust::wallet::build::plan(keyring(), &snapshot, outputs, rate, max_rate);
        let error = planned.expect_err("something is wrong");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        error.message().to_owned()
    };
    assert!(say(&outputs, 1_001, per_vb(1_000)).contains("MAX_FEE_RATE (1000 sat/vB)"));
    assert!(say(&outputs, 1_000, per_vb(1_000)).contains("not a bitcoin address"));
    assert!(say(&[], 1_001, per_vb(1_000)).contains("no outputs"));
    // 2,000 sat/kvB is what a caller of another system may mean by 2 sat/vB.
    assert!(say(&outputs, 2_000, per_vb(1_000)).contains("check its unit"));
    assert!(say(&outputs, u64::MAX, ANY_RATE).contains("MAX_FEE_RATE"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_snapshot_gives_a_draft_that_pays_for_what_it_stands_on(
        confirmed in coins(6),
        graph in graph(10),
        values in prop::collection::vec((any::<prop::sample::Index>(), 500..300_000_u64, any_type()), 0..12),
        versions in prop::collection::vec(any::<prop::sample::Index>(), 0..2),
        outputs in outputs(),
        rate in 1..40_u64,
    ) {
        let mut list = graph;
        for it in versions {
            it.get(&list);
            let place = it.index(list.len());
            list[place].version = 3;
        }
        let mut coins = confirmed;
        for (vout, (of, value_sat, address_type)) in (0..).zip(values) {
            let mut it = coin(0, value_sat, address_type);
            it.outpoint = OutPoint::new(of.get(&list).txid, vout);
            coins.push(it);
        }
        let snapshot = with(coins.clone(), list.clone());
        let Ok(draft) = plan(keyring(), &snapshot, &outputs, rate) else {
            return Ok(());
        };
        prop_assert_eq!(sum_in(&draft), sum_out(&draft) + draft.fee_sat);
        let is_pending = |it: &SnapshotCoin| list.iter().any(|tx| tx.txid == it.outpoint.txid);
        let parents = draft.inputs.iter().filter(|it| is_pending(it));
        let of: Vec<_> = parents.map(|it| it.outpoint.txid).collect();
        let deficit = u64::try_from(deficit_sat(&list, of.clone(), per_vb(rate))).expect("small");
        let own = draft.weight.div_ceil(4) * rate;
        prop_assert!(draft.fee_sat >= own + deficit);
        if draft.change.is_some() {
            prop_assert_eq!(draft.fee_sat, own + deficit);
        }
        prop_assert!(list.iter().all(|tx| tx.version == 2 || !of.contains(&tx.txid)));
        // All confirmed ones in order, then pending ones in order.
        let taken = draft.inputs.iter().position(is_pending).unwrap_or(draft.inputs.len());
        let (first, then) = draft.inputs.split_at(taken);
        let mut sorted: Vec<_> = coins.iter().copied().filter(|it| !is_pending(it)).collect();
        sorted.sort_by(deterministic_order);
        prop_assert_eq!(first, &sorted[..first.len()]);
        if !then.is_empty() {
            prop_assert_eq!(first.len(), sorted.len());
            prop_assert!(then.iter().all(is_pending));
            prop_assert!(then.is_sorted_by(|a, b| deterministic_order(a, b).is_lt()));
        }
        let mut backwards = snapshot;
        backwards.coins.reverse();
        backwards.pending.reverse();
        prop_assert_eq!(plan(keyring(), &backwards, &outputs, rate).expect("as before"), draft);
    }
}
