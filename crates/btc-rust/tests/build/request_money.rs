//! The rules of money for any coins and any request, under every selection.

use bitcoin::secp256k1::rand::SeedableRng;
use bitcoin::secp256k1::rand::rngs::StdRng;
use btc_iface::{AddressType, CoinSelection, ErrorKind, TransactionRequest};
use btc_rust::wallet::build::{Funds, MAX_MONEY_SAT, draft_request, sign};
use proptest::prelude::*;

use crate::plan::spared_wu;
use crate::request::{candidates, check, draft, drain, funds, payment, recipients, spent};
use crate::samples::{
    address, any_type, coin, coins, keyring, missing_sat, outputs, per_vb, plan, prevouts, signer,
    snapshot, sum_in, sum_out,
};
use crate::verify::verify;

fn any_selection() -> impl Strategy<Value = CoinSelection> {
    prop::sample::select(CoinSelection::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_selection_keeps_the_rules_of_money(
        coins in coins(30),
        outputs in outputs(),
        rate in 1..200_u64,
        selection in any_selection(),
        seed in any::<u64>(),
    ) {
        let mut request = TransactionRequest {
            recipients: recipients(&outputs),
            fee_rate: per_vb(rate),
            selection: Some(selection),
            allow_high_fee: true,
            ..TransactionRequest::default()
        };
        let mut candidates = candidates(&coins);
        match draft(&candidates, &request, seed) {
            Ok(it) => {
                check(&it, &outputs, rate);
                prop_assert_eq!(&draft(&candidates, &request, seed).expect("as before"), &it);
                let is_high = u128::from(it.fee_sat) * 10
                    > outputs.iter().map(|(_, value)| u128::from(*value)).sum();
                request.allow_high_fee = false;
                prop_assert_eq!(draft(&candidates, &request, seed).is_err(), is_high);
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Rejected);
                let missing = u64::try_from(missing_sat(&error)).expect("small amounts");
                let largest = candidates
                    .iter_mut()
                    .max_by_key(|it| (it.coin.address_type == AddressType::P2tr, it.coin.value_sat))
                    .expect("one at least");
                // Enough for the fee of a coin that was not worth its input before.
                largest.coin.value_sat += missing + 147 * rate;
                let it = draft(&candidates, &request, seed).expect("enough now");
                check(&it, &outputs, rate);
            }
        }
    }

    #[test]
    fn largest_first_is_the_deterministic_mode(
        coins in coins(30),
        outputs in outputs(),
        rate in 1..200_u64,
        seed in any::<u64>(),
    ) {
        let request = TransactionRequest {
            recipients: recipients(&outputs),
            fee_rate: per_vb(rate),
            selection: Some(CoinSelection::LargestFirst),
            allow_high_fee: true,
            ..TransactionRequest::default()
        };
        let planned = plan(keyring(), &snapshot(coins.clone(), AddressType::P2tr), &outputs, rate);
        let drafted = draft(&candidates(&coins), &request, seed);
        match (planned, drafted) {
            (Ok(planned), Ok(drafted)) => prop_assert_eq!(planned, drafted),
            (Err(planned), Err(drafted)) => prop_assert_eq!(missing_sat(&planned), missing_sat(&drafted)),
            (planned, drafted) => prop_assert!(false, "{:?} but {:?}", planned, drafted),
        }
    }

    #[test]
    fn a_drain_leaves_no_change(
        coins in coins(30),
        rate in 1..200_u64,
        data in prop::option::of(prop::collection::vec(any::<u8>(), 0..=80)),
        name_all in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let request = TransactionRequest {
            fee_rate: per_vb(rate),
            data: data.clone(),
            coins: if name_all { coins.iter().map(|coin| coin.outpoint).collect() } else { vec![] },
            allow_high_fee: true,
            ..drain()
        };
        match draft(&candidates(&coins), &request, seed) {
            Ok(it) => {
                prop_assert_eq!(it.change, None);
                prop_assert_eq!(sum_in(&it), sum_out(&it) + it.fee_sat);
                let least = u128::from(it.weight.div_ceil(4)) * u128::from(rate);
                prop_assert_eq!(u128::from(it.fee_sat), least);
                prop_assert_eq!(it.transaction.output.len(), 1 + usize::from(data.is_some()));
                if name_all {
                    prop_assert_eq!(it.inputs.len(), coins.len());
                }
                for coin in coins.iter().filter(|coin| !spent(&it).contains(&coin.outpoint)) {
                    prop_assert!(coin.value_sat <= 148 * rate, "left behind: {:?}", coin);
                }
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Rejected);
                prop_assert!(missing_sat(&error) > 0);
            }
        }
    }

    #[test]
    fn no_request_overflows(
        values in prop::collection::vec(prop_oneof![Just(u64::MAX), any::<u64>(), 0..MAX_MONEY_SAT, 0..100_000_u64], 0..6),
        paid in prop::collection::vec(prop_oneof![any::<u64>(), 0..MAX_MONEY_SAT, 0..100_000_u64], 0..3),
        rate in prop_oneof![Just(u64::MAX), any::<u64>(), 0..MAX_MONEY_SAT, 0..1_000_000_u64],
        selection in any_selection(),
        name_first in any::<bool>(),
        drain_to in prop::option::of(Just(address(4))),
        data in prop::option::of(prop::collection::vec(any::<u8>(), 0..=100)),
        height in any::<u32>(),
        seed in any::<u64>(),
    ) {
        let coins: Vec<_> = (0..).zip(values)
            .map(|(number, value)| coin(number, value, AddressType::ALL[number as usize % 4]))
            .collect();
        let outputs: Vec<_> = (0..).zip(paid).map(|(n, value)| (address(n), value)).collect();
        let request = TransactionRequest {
            recipients: recipients(&outputs),
            data,
            drain_to,
            fee_rate: per_vb(rate),
            coins: coins.iter().take(usize::from(name_first)).map(|coin| coin.outpoint).collect(),
            selection: Some(selection),
            allow_high_fee: true,
            ..TransactionRequest::default()
        };
        let mut rng = StdRng::seed_from_u64(seed);
        let candidates = candidates(&coins);
        let funds = Funds { tip_height: height, ..funds(&candidates, &[]) };
        let made = draft_request(keyring(), &funds, &request, selection, &mut rng);
        match made {
            Ok(it) => {
                prop_assert_eq!(sum_in(&it), sum_out(&it) + it.fee_sat);
                prop_assert!(sum_in(&it) <= MAX_MONEY_SAT);
            }
            Err(error) => prop_assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Rejected)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn signed_it_weighs_what_was_drafted(
        coins in coins(12),
        selection in any_selection(),
        change_type in any_type(),
        seed in any::<u64>(),
    ) {
        let mut coins = coins;
        coins.push(coin(1_000, 1_000_000, change_type));
        let request = TransactionRequest {
            data: Some(b"for the record".to_vec()),
            selection: Some(selection),
            ..payment()
        };
        let it = draft(&candidates(&coins), &request, seed).expect("enough");
        let signed = sign(&it, keyring(), signer()).expect("own coins");
        verify(&signed, &prevouts(&it.inputs));
        prop_assert_eq!(signed.weight().to_wu() + spared_wu(&signed, &it.inputs), it.weight);
    }
}
