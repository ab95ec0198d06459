//! Replacements of any transaction: what they pay, what they keep, and the least that nodes take.

use btc_iface::{AddressType, ErrorKind, FeeRate};
use btc_rust::wallet::build::{MempoolEntry, Original, Purpose, RelayRules, Terms, sign};
use proptest::prelude::*;

use crate::bump::{at, at_rate, check, entry, min_rate, original, replace, sent};
use crate::node_rules::are_met;
use crate::request::candidate;
use crate::samples::{
    address, any_type, coin, coins, keyring, missing_sat, outputs, plan, prevouts, signer, snapshot,
};
use crate::verify::verify;

/// Up to five descendants, each of the original or of others before it.
fn descendants() -> impl Strategy<Value = Vec<(u64, u64, Vec<usize>)>> {
    let weight = 400..4_000_u64;
    let fee = prop_oneof![0..500_u64, 500..20_000_u64];
    let parents = prop::collection::vec(0..6_usize, 1..3);
    prop::collection::vec((weight, fee, parents), 0..=5)
}

fn placed(of: bitcoin::Txid, descendants: &[(u64, u64, Vec<usize>)]) -> Vec<MempoolEntry> {
    let mut entries: Vec<MempoolEntry> = Vec::new();
    for (number, (weight_wu, fee_sat, parents)) in (0..).zip(descendants) {
        let mut it = entry(number, *weight_wu, *fee_sat);
        it.spends = parents
            .iter()
            .map(|parent| match parent.checked_sub(1) {
                Some(parent) if parent < entries.len() => entries[parent].txid,
                _ => of,
            })
            .collect();
        entries.push(it);
    }
    entries
}

fn any_relay() -> impl Strategy<Value = RelayRules> {
    let rate = prop_oneof![Just(100_u64), Just(1_000_u64), 0..5_000_u64];
    (rate.clone(), rate).prop_map(|(incremental, min_rate)| RelayRules {
        incremental: FeeRate::from_sat_per_kvb(incremental),
        min_rate: FeeRate::from_sat_per_kvb(min_rate),
        full_rbf: true,
    })
}

fn any_purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![4 => Just(Purpose::RaiseFee), 1 => Just(Purpose::Cancel)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn replacements_are_taken_at_the_least_rate_and_not_below(
        coins in coins(8),
        outputs in outputs(),
        further in prop::collection::vec((500..100_000_u64, any_type()), 0..6),
        old_rate in 1..50_u64,
        rate in 100..100_000_u64,
        relay in any_relay(),
        purpose in any_purpose(),
        descendants in descendants(),
    ) {
        let mut coins = coins;
        let total: u64 = outputs.iter().map(|(_, value)| value).sum();
        coins.push(coin(500, total + 20_000, AddressType::P2wpkh));
        let Ok(old) = plan(keyring(), &snapshot(coins, AddressType::P2wpkh), &outputs, old_rate) else {
            return Ok(());
        };
        let signed = sign(&old, keyring(), signer()).expect("own coins");
        let further: Vec<_> = (600..).zip(further)
            .map(|(number, (value, address_type))| candidate(coin(number, value, address_type)))
            .collect();
        let descendants = placed(signed.compute_txid(), &descendants);
        let it = Original { descendants: &descendants, ..original(&old, &signed) };
        let terms = |rate: Option<FeeRate>| Terms { purpose, relay, fee_rate: rate, ..at(1) };
        let known = (signed.compute_txid(), (old.fee_sat, signed.weight().to_wu()));
        let is_met = |new: &btc_rust::wallet::build::Draft| {
            are_met((new.fee_sat, new.weight), known, &descendants, relay)
        };
        let rate = FeeRate::from_sat_per_kvb(rate);
        match replace(&it, &further, terms(Some(rate))) {
            Ok(new) => {
                prop_assert!(is_met(&new));
                if purpose == Purpose::RaiseFee {
                    check(&new, &old, &signed, terms(Some(rate)));
                } else {
                    prop_assert_eq!(new.transaction.output.len(), 1);
                    prop_assert!(new.change.is_some());
                }
                let resigned = sign(&new, keyring(), signer()).expect("own coins");
                verify(&resigned, &prevouts(&new.inputs));
            }
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                let least = min_rate(&error);
                prop_assert!(least > rate);
                let mut terms = terms(Some(least));
                terms.allow_high_fee = true;
                let new = replace(&it, &further, terms).expect("the rate that would do");
                prop_assert!(is_met(&new));
                let less = FeeRate::from_sat_per_kvb(least.sat_per_kvb() - 1);
                let error = replace(&it, &further, Terms { fee_rate: Some(less), ..terms });
                prop_assert_eq!(min_rate(&error.expect_err("less does not do")), least);
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Rejected);
                prop_assert!(missing_sat(&error) > 0);
            }
        }
        let cheapest = Terms { allow_high_fee: true, ..terms(None) };
        if let Ok(new) = replace(&it, &further, cheapest) {
            prop_assert!(is_met(&new));
        }
    }

    #[test]
    fn no_fee_overflows(
        rate in prop_oneof![Just(u64::MAX), any::<u64>(), 0..2_000_000_u64],
        incremental in prop_oneof![Just(u64::MAX), any::<u64>(), 0..1_000_u64],
        fees in prop_oneof![Just(u64::MAX), any::<u64>()],
        weight in prop_oneof![Just(u64::MAX), any::<u64>(), Just(0)],
        is_free in any::<bool>(),
        purpose in any_purpose(),
    ) {
        let (old, signed) = sent(vec![coin(0, 90_000, AddressType::P2tr)], &[(address(2), 20_000)], 2);
        let mut child = entry(0, weight, fees);
        child.spends = vec![signed.compute_txid()];
        let descendants = [child, entry(1, weight, fees), entry(2, 400, fees)];
        let it = Original { descendants: &descendants, ..original(&old, &signed) };
        let mut terms = at_rate(FeeRate::from_sat_per_kvb(rate));
        terms.relay.incremental = FeeRate::from_sat_per_kvb(incremental);
        terms.relay.min_rate = terms.relay.incremental;
        terms.allow_high_fee = is_free;
        terms.purpose = purpose;
        prop_assert!(replace(&it, &[], terms).is_err() || fees < 90_000);
        let _ = replace(&it, &[], Terms { fee_rate: None, ..terms });
    }
}
