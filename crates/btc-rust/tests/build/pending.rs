//! The deficit of pending transactions, against a miner who is asked by trying everything.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use bitcoin::hashes::Hash;
use btc_iface::{FeeRate, PendingTransaction};
use btc_rust::wallet::build::deficit_sat;
use proptest::prelude::*;

use crate::samples::per_vb;

pub(crate) fn txid(number: u32) -> Txid {
    Txid::hash(&(1_000_000 + number).to_le_bytes())
}

/// A pending transaction of version 2 that spends these.
pub(crate) fn pending(
    number: u32,
    size_vb: u64,
    fee_sat: u64,
    spends: &[u32],
) -> PendingTransaction {
    PendingTransaction {
        txid: txid(number),
        version: 2,
        size_vb,
        fee_sat,
        spends: spends.iter().map(|it| txid(*it)).collect(),
    }
}

/// Random transactions, each of which spends some of those before it.
pub(crate) fn graph(most: usize) -> impl Strategy<Value = Vec<PendingTransaction>> {
    let size = prop_oneof![110..200_u64, 200..2_000_u64];
    let fee = prop_oneof![0..400_u64, 400..40_000_u64];
    let one = (
        size,
        fee,
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    );
    prop::collection::vec(one, 1..=most).prop_map(|all| {
        (0..)
            .zip(all)
            .map(|(number, (size_vb, fee_sat, parents))| {
                let parents: BTreeSet<u32> = parents
                    .iter()
                    .filter(|_| number > 0)
                    .map(|it| u32::try_from(it.index(number as usize)).expect("small"))
                    .collect();
                let parents: Vec<u32> = parents.into_iter().collect();
                pending(number, size_vb, fee_sat, &parents)
            })
            .collect()
    })
}

/// A miner who fills blocks by ancestor sets, by the book: of all sets of transactions, those that
/// are one transaction with exactly its ancestors; of these the best, until it is below the rate.
/// Returns what is left of `all`.
fn left_by_miner(all: &[PendingTransaction], rate: u64) -> BTreeSet<Txid> {
    let known: BTreeMap<Txid, &PendingTransaction> = all.iter().map(|it| (it.txid, it)).collect();
    let mut left: BTreeSet<Txid> = known.keys().copied().collect();
    loop {
        let mut sets: Vec<(BTreeSet<Txid>, u64, u64, Txid)> = Vec::new();
        for last in &left {
            let mut set = BTreeSet::from([*last]);
            loop {
                let parents = set.iter().flat_map(|it| known[it].spends.clone());
                let more: BTreeSet<Txid> = parents.filter(|it| left.contains(it)).collect();
                if more.is_subset(&set) {
                    break;
                }
                set.extend(more);
            }
            let fee = set.iter().map(|it| known[it].fee_sat).sum();
            let size = set.iter().map(|it| known[it].size_vb).sum();
            sets.push((set, fee, size, *last));
        }
        sets.sort_by(|a, b| {
            let by_rate = (b.1 * a.2).cmp(&(a.1 * b.2));
            by_rate.then_with(|| a.3.to_byte_array().cmp(&b.3.to_byte_array()))
        });
        match sets.first() {
            Some((set, fee, size, _)) if *fee >= size * rate => {
                left.retain(|it| !set.contains(it));
            }
            _ => return left,
        }
    }
}

fn above(all: &[PendingTransaction], of: Txid) -> Vec<PendingTransaction> {
    let mut set = BTreeSet::from([of]);
    // Parents come before their children.
    for it in all.iter().rev() {
        if set.contains(&it.txid) {
            set.extend(it.spends.iter().copied());
        }
    }
    let all = all.iter().filter(|it| set.contains(&it.txid));
    all.cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_deficit_is_what_a_miner_leaves(all in graph(9), rate in 1..60_u64) {
        let last = all.last().expect("one at least").txid;
        let above = above(&all, last);
        let left = left_by_miner(&above, rate);
        let rest = above.iter().filter(|it| left.contains(&it.txid));
        let lack: i128 = rest
            .map(|it| i128::from(it.size_vb * rate) - i128::from(it.fee_sat))
            .sum();
        let deficit = deficit_sat(&all, [last], per_vb(rate));
        prop_assert_eq!(i128::try_from(deficit).expect("small"), lack.max(0));
    }

    #[test]
    fn a_child_that_pays_the_deficit_brings_everything_into_the_block(
        all in graph(8),
        rate in 1..60_u64,
        size_vb in 110..1_000_u64,
    ) {
        let last = all.last().expect("one at least").txid;
        let deficit = u64::try_from(deficit_sat(&all, [last], per_vb(rate))).expect("small");
        let with_child = |fee_sat| {
            let mut all = above(&all, last);
            let number = u32::try_from(all.len()).expect("few") + 100;
            let mut child = pending(number, size_vb, fee_sat, &[]);
            child.spends.push(last);
            let txid = child.txid;
            all.push(child);
            (left_by_miner(&all, rate), deficit_sat(&all, [txid], per_vb(rate)), txid)
        };
        let (left, lacking, _) = with_child(deficit + size_vb * rate);
        prop_assert!(left.is_empty(), "{:?}", left);
        prop_assert_eq!(lacking, 0);
        // One less is too little, unless the child lifts all that it descends from above what would
        // have been mined by itself, so that the excess of that pays for it as well.
        let (left, lacking, child) = with_child(deficit + size_vb * rate - 1);
        if left.contains(&child) {
            prop_assert!(lacking >= 1);
        } else {
            prop_assert!(left.is_empty(), "{:?}", left);
            prop_assert_eq!(lacking, 0);
            prop_assert!(all.iter().any(|it| it.fee_sat > it.size_vb * rate));
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(all in graph(9).prop_shuffle(), rate in 1..60_u64) {
        let of: Vec<Txid> = all.iter().map(|it| it.txid).take(3).collect();
        let mut sorted = all.clone();
        sorted.sort_by_key(|it| it.txid);
        let rate = FeeRate::from_sat_per_kvb(rate * 137);
        prop_assert_eq!(
            deficit_sat(&all, of.clone(), rate),
            deficit_sat(&sorted, of.into_iter().rev(), rate)
        );
    }

    #[test]
    fn no_list_overflows(
        numbers in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 1..5),
        rate in any::<u64>(),
    ) {
        // Sizes and fees of any size, and transactions that spend each other.
        let all: Vec<_> = (0..).zip(numbers).map(|(number, (size_vb, fee_sat, is_huge))| {
            let huge = if is_huge { u64::MAX } else { 0 };
            pending(number, size_vb.max(huge), fee_sat.max(huge), &[number + 1, 0, 77])
        }).collect();
        let of = all.iter().map(|it| it.txid);
        let _ = deficit_sat(&all, of, FeeRate::from_sat_per_kvb(rate));
    }
}

#[test]
fn what_is_paid_beyond_the_rate_counts_for_those_before_it() {
    // The parent pays 20 sat/vB, its own parent 1: at 10 sat/vB they are mined together.
    let all = [pending(0, 200, 200, &[]), pending(1, 200, 4_000, &[0])];
    assert_eq!(deficit_sat(&all, [txid(1)], per_vb(10)), 0);
    assert_eq!(deficit_sat(&all, [txid(0)], per_vb(10)), 1_800);
    assert_eq!(deficit_sat(&all, [txid(1)], per_vb(11)), 200);
}

#[test]
fn what_is_mined_without_help_does_not_pay_for_others() {
    // A rich transaction with two poor children: it goes alone, and each child lacks its own.
    let all = [
        pending(0, 200, 20_000, &[]),
        pending(1, 200, 200, &[0]),
        pending(2, 200, 200, &[0]),
    ];
    assert_eq!(deficit_sat(&all, [txid(1)], per_vb(10)), 1_800);
    assert_eq!(deficit_sat(&all, [txid(1), txid(2)], per_vb(10)), 3_600);
    assert_eq!(deficit_sat(&all, [txid(7)], per_vb(10)), 0);
}
