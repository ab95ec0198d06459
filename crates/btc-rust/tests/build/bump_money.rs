//! Replacements and children of any transaction: what they pay, what they keep.

use btc_iface::{AddressType, ErrorKind};
use btc_rust::wallet::build::{Ancestor, NewFee, Parent, accelerate, plan, sign};
use proptest::prelude::*;

use crate::bump::{CHANGE, at, check, min_rate, original, replace, sent};
use crate::psbt::paid;
use crate::request::candidate;
use crate::samples::{
    TIP_HEIGHT, address, any_type, coin, coins, keyring, missing_sat, outputs, prevouts, signer,
    snapshot, sum_in, sum_out,
};
use crate::verify::verify;

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn replacements_pay_more_and_keep_the_rest(
        coins in coins(12),
        outputs in outputs(),
        further in prop::collection::vec((500..100_000_u64, any_type()), 0..10),
        old_rate in 1..50_u64,
        more in 0..100_u64,
        incremental in prop_oneof![Just(100_u64), Just(1_000_u64), 0..5_000_u64],
        descendants in prop_oneof![Just(0_u64), 0..5_000_u64],
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
        let mut it = original(&old, &signed);
        it.descendants_fee_sat = descendants;
        let fee = NewFee { incremental_sat_per_kvb: incremental, ..at(old_rate + more) };
        match replace(&it, &further, fee) {
            Ok(new) => {
                check(&new, &old, &signed, fee, descendants);
                let resigned = sign(&new, keyring(), signer()).expect("own coins");
                verify(&resigned, &prevouts(&new.inputs));
            }
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                prop_assert!(min_rate(&error) > fee.rate_sat_per_vb);
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Rejected);
                let missing = u64::try_from(missing_sat(&error)).expect("small amounts");
                let more = coin(900, missing + 200 * fee.rate_sat_per_vb, AddressType::P2tr);
                let mut further = further;
                further.push(candidate(more));
                match replace(&it, &further, fee) {
                    Ok(new) => check(&new, &old, &signed, fee, descendants),
                    Err(error) => { min_rate(&error); }
                }
            }
        }
    }

    #[test]
    fn children_bring_their_ancestors_to_the_rate(
        values in prop::collection::vec((1_000..300_000_u64, any_type()), 1..4),
        parent_fee in 0..2_000_u64,
        ancestors in prop::collection::vec((400..4_000_u64, 0..3_000_u64), 0..4),
        rate in 1..100_u64,
    ) {
        let coins = (0..).zip(values).map(|(number, (value, kind))| coin(number, value, kind));
        let (coins, parent) = paid(coins.collect());
        let ancestors: Vec<_> = ancestors.into_iter()
            .map(|(weight_wu, fee_sat)| Ancestor { weight_wu, fee_sat })
            .collect();
        let it = Parent { transaction: &parent, fee_sat: parent_fee, ancestors: &ancestors, coins: &coins };
        let own = Ancestor { weight_wu: parent.weight().to_wu(), fee_sat: parent_fee };
        let wanting = |it: &&Ancestor| it.fee_sat < rate * it.weight_wu.div_ceil(4);
        let slow: Vec<_> = ancestors.iter().chain([&own]).filter(wanting).collect();
        match accelerate(keyring(), &it, TIP_HEIGHT, CHANGE, rate, false) {
            Ok(child) => {
                prop_assert_eq!(sum_in(&child), sum_out(&child) + child.fee_sat);
                let change = child.change.expect("its only output");
                prop_assert_eq!(child.transaction.output.len(), 1);
                prop_assert!(change.value_sat >= 330);
                let size: u64 = slow.iter().map(|it| it.weight_wu.div_ceil(4)).sum();
                let fees: u64 = slow.iter().map(|it| it.fee_sat).sum();
                let wanted = rate * (size + child.weight.div_ceil(4));
                prop_assert!(fees + child.fee_sat >= wanted);
                prop_assert!(fees + child.fee_sat <= wanted + rate);
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
                prop_assert!(slow.is_empty());
            }
        }
    }

    #[test]
    fn no_fee_overflows(
        rate in prop_oneof![Just(u64::MAX), any::<u64>(), 0..2_000_u64],
        incremental in prop_oneof![Just(u64::MAX), any::<u64>()],
        fees in prop_oneof![Just(u64::MAX), any::<u64>()],
        weight in prop_oneof![Just(u64::MAX), any::<u64>()],
        allow_high_fee in any::<bool>(),
    ) {
        let (old, signed) = sent(vec![coin(0, 90_000, AddressType::P2tr)], &[(address(2), 20_000)], 2);
        let mut it = original(&old, &signed);
        it.descendants_fee_sat = fees;
        let fee = NewFee { rate_sat_per_vb: rate, incremental_sat_per_kvb: incremental, allow_high_fee };
        let _ = replace(&it, &[], fee);
        let (coins, parent) = paid(vec![coin(0, 90_000, AddressType::P2tr)]);
        let ancestors = [Ancestor { weight_wu: weight, fee_sat: 0 }; 3];
        let it = Parent { transaction: &parent, fee_sat: fees, ancestors: &ancestors, coins: &coins };
        let _ = accelerate(keyring(), &it, TIP_HEIGHT, CHANGE, rate, allow_high_fee);
    }
}
