//! Requests over pending coins: confirmed first, what ancestors lack, version 3.

use bitcoin::OutPoint;
use btc_iface::{
    AddressType, CoinSelection, CoinState, ErrorKind, FeeRate, PendingTransaction,
    TransactionRequest,
};
use btc_rust::wallet::build::{Candidate, Draft, deficit_sat};
use proptest::prelude::*;

use crate::pending::{graph, pending, txid};
use crate::request::{candidate, candidates, draft_on, drain, funds, payment, recipients, spent};
use crate::samples::{address, any_type, coin, coins, outputs, per_vb, sum_in, sum_out};

/// An output of the pending transaction with this number.
fn output_of(number: u32, vout: u32, value_sat: u64, state: CoinState) -> Candidate {
    let mut it = candidate(coin(0, value_sat, AddressType::P2wpkh));
    it.coin.outpoint = OutPoint::new(txid(number), vout);
    it.state = state;
    it.height = None;
    it
}

fn trusted(number: u32, vout: u32, value_sat: u64) -> Candidate {
    output_of(number, vout, value_sat, CoinState::TrustedPending)
}

fn pay(
    coins: &[Candidate],
    list: &[PendingTransaction],
    request: &TransactionRequest,
) -> btc_iface::BitcoinResult<Draft> {
    draft_on(&funds(coins, list), request, 1)
}

fn of(value_sat: u64, selection: CoinSelection) -> TransactionRequest {
    TransactionRequest {
        recipients: recipients(&[(address(2), value_sat)]),
        selection: Some(selection),
        ..payment()
    }
}

fn places(draft: &Draft) -> Vec<OutPoint> {
    draft.inputs.iter().map(|it| it.outpoint).collect()
}

#[test]
fn pending_coins_are_taken_only_where_confirmed_ones_do_not_pay() {
    let mut coins = candidates(&[
        coin(0, 50_000, AddressType::P2wpkh),
        coin(1, 60_000, AddressType::P2wpkh),
    ]);
    coins.push(trusted(0, 0, 9_900_000));
    let list = [pending(0, 141, 282, &[])];
    for selection in CoinSelection::ALL {
        let few = pay(&coins, &list, &of(100_000, selection)).expect("enough");
        assert!(
            !places(&few).contains(&coins[2].coin.outpoint),
            "{selection}"
        );
        let many = pay(&coins, &list, &of(200_000, selection)).expect("enough");
        assert!(
            places(&many).contains(&coins[2].coin.outpoint),
            "{selection}"
        );
    }
    // Where the pending coin is needed and enough, the confirmed ones stay.
    let exact = of(9_900_000 - 220, CoinSelection::BranchAndBound);
    let draft = pay(&coins, &list, &exact).expect("enough");
    assert_eq!(places(&draft), [coins[2].coin.outpoint]);
}

#[test]
fn what_a_pending_transaction_lacks_is_paid_by_every_selection() {
    let coins = [trusted(0, 0, 500_000)];
    let list = [pending(0, 141, 141, &[])];
    for selection in CoinSelection::ALL {
        let request = TransactionRequest {
            fee_rate: per_vb(10),
            ..of(100_000, selection)
        };
        let draft = pay(&coins, &list, &request).expect("enough");
        assert_eq!(draft.fee_sat, draft.weight.div_ceil(4) * 10 + 1_269);
        assert_eq!(sum_in(&draft), sum_out(&draft) + draft.fee_sat);
    }
    let request = TransactionRequest {
        fee_rate: per_vb(10),
        ..drain()
    };
    let draft = pay(&coins, &list, &request).expect("enough");
    assert_eq!(draft.fee_sat, draft.weight.div_ceil(4) * 10 + 1_269);
}

#[test]
fn rates_below_1_sat_per_vb_are_exact() {
    let coins = candidates(&[coin(0, 500_000, AddressType::P2wpkh)]);
    for sat_per_kvb in [100, 101, 250, 999, 1_001] {
        for selection in CoinSelection::ALL {
            let request = TransactionRequest {
                fee_rate: FeeRate::from_sat_per_kvb(sat_per_kvb),
                ..of(100_000, selection)
            };
            let draft = pay(&coins, &[], &request).expect("enough");
            let size = draft.weight.div_ceil(4);
            assert_eq!(draft.fee_sat, (size * sat_per_kvb).div_ceil(1_000));
        }
    }
}

#[test]
fn a_named_coin_of_version_3_makes_a_payment_of_version_3() {
    let mut truc = pending(0, 141, 282, &[]);
    truc.version = 3;
    let mut coins = vec![trusted(0, 0, 80_000), trusted(1, 0, 70_000)];
    coins.push(candidate(coin(3, 60_000, AddressType::P2wpkh)));
    let list = [truc.clone(), pending(1, 141, 282, &[])];
    let name = |numbers: &[usize]| TransactionRequest {
        coins: numbers.iter().map(|it| coins[*it].coin.outpoint).collect(),
        ..payment()
    };
    let version = |request: &TransactionRequest| {
        let draft = pay(&coins, &list, request).expect("enough");
        assert!(draft.transaction.version.0 == 2 || draft.weight <= 4_000);
        draft.transaction.version.0
    };
    assert_eq!(version(&payment()), 2, "unnamed, it stays where it is");
    assert_eq!((version(&name(&[0])), version(&name(&[1]))), (3, 2));
    let more = TransactionRequest {
        recipients: recipients(&[(address(2), 130_000)]),
        ..name(&[0])
    };
    let draft = pay(&coins, &list, &more).expect("with the confirmed one");
    assert_eq!(
        spent(&draft),
        [0, 2].map(|it| coins[it].coin.outpoint).into()
    );
    let most = TransactionRequest {
        recipients: recipients(&[(address(2), 150_000)]),
        ..more.clone()
    };
    let error = pay(&coins, &list, &most).expect_err("the one of version 2 is not mixed in");
    assert_eq!(error.kind(), ErrorKind::Rejected);

    let refuse = |list: &[PendingTransaction], request: &TransactionRequest, said: &str| {
        let error = pay(&coins, list, request).expect_err(said);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains(said), "{error}");
    };
    refuse(&list, &name(&[0, 1]), "not mixed");
    let child = [truc.clone(), pending(7, 141, 282, &[0])];
    refuse(&child, &name(&[0]), "has a child already");
    let mut young = truc;
    young.spends.push(txid(8));
    let chain = [young, pending(8, 141, 282, &[])];
    refuse(&chain, &name(&[0]), "is a child already");
}

#[test]
fn named_coins_on_which_nodes_take_no_more_are_refused() {
    let list: Vec<_> = (0..25)
        .map(|number: u32| {
            let parents: Vec<u32> = number.checked_sub(1).into_iter().collect();
            pending(number, 141, 1_410, &parents)
        })
        .collect();
    let coins = [trusted(24, 0, 900_000), trusted(23, 1, 900_000)];
    let name = |number: usize| TransactionRequest {
        coins: vec![coins[number].coin.outpoint],
        only_coins: true,
        ..payment()
    };
    let error = pay(&coins, &list, &name(0)).expect_err("25 ancestors");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.message().contains("24 at most"), "{error}");
    // It has a child in the list, and with that 25 connected ones, but 24 ancestors.
    pay(&coins, &list, &name(1)).expect("24 ancestors");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_selection_pays_for_what_it_stands_on(
        confirmed in coins(6),
        list in graph(8),
        values in prop::collection::vec((any::<prop::sample::Index>(), 500..300_000_u64, any_type()), 0..10),
        outputs in outputs(),
        rate in 100..40_000_u64,
        selection in prop::sample::select(CoinSelection::ALL.to_vec()),
        drains in any::<bool>(),
    ) {
        let mut coins = candidates(&confirmed);
        for (vout, (of, value_sat, address_type)) in (0..).zip(values) {
            let mut it = trusted(0, vout, value_sat);
            it.coin.address_type = address_type;
            it.coin.outpoint.txid = of.get(&list).txid;
            coins.push(it);
        }
        let mut request = TransactionRequest {
            recipients: recipients(&outputs),
            fee_rate: FeeRate::from_sat_per_kvb(rate),
            selection: Some(selection),
            allow_high_fee: true,
            ..TransactionRequest::default()
        };
        if drains {
            request.recipients.clear();
            request.drain_to = Some(address(4));
        }
        let Ok(draft) = pay(&coins, &list, &request) else {
            return Ok(());
        };
        prop_assert_eq!(sum_in(&draft), sum_out(&draft) + draft.fee_sat);
        let pending_inputs = draft.inputs.iter().filter(|it| {
            list.iter().any(|tx| tx.txid == it.outpoint.txid)
        });
        let of: Vec<_> = pending_inputs.map(|it| it.outpoint.txid).collect();
        let deficit = deficit_sat(&list, of, request.fee_rate);
        let wanted = request.fee_rate.fee_sat(draft.weight.div_ceil(4)) + deficit;
        prop_assert!(u128::from(draft.fee_sat) >= wanted);
        if draft.change.is_some() || drains {
            prop_assert_eq!(u128::from(draft.fee_sat), wanted);
        }
    }
}
