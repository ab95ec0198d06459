//! Requests: which coins are spent, and in which order.

use std::collections::BTreeSet;

use btc_iface::{AddressType, CoinSelection, CoinState, TransactionRequest};
use btc_rust::wallet::build::Hold;

use crate::request::{candidates, check, draft, drain, payment, recipients, refused, spent};
use crate::samples::{address, coin, missing_sat};

#[test]
fn coins_are_chosen_by_those_who_ask() {
    let mut coins = candidates(&[
        coin(0, 50_000, AddressType::P2tr),
        coin(1, 51_000, AddressType::P2wpkh),
        coin(2, 52_000, AddressType::P2pkh),
        coin(3, 900_000, AddressType::P2tr),
        coin(4, 910_000, AddressType::P2tr),
        coin(5, 920_000, AddressType::P2tr),
        coin(6, 930_000, AddressType::P2tr),
    ]);
    coins[3].hold = Some(Hold::Locked);
    coins[4].hold = Some(Hold::Reserved);
    coins[5].state = CoinState::UntrustedPending;
    coins[6].state = CoinState::Immature;
    coins[0].state = CoinState::TrustedPending;
    let place = |number: usize| coins[number].coin.outpoint;
    let set = |numbers: &[usize]| numbers.iter().map(|it| place(*it)).collect::<BTreeSet<_>>();
    let make = |request: &TransactionRequest| spent(&draft(&coins, request, 1).expect("enough"));

    for selection in CoinSelection::ALL {
        let all = TransactionRequest {
            recipients: recipients(&[(address(2), 150_000)]),
            selection: Some(selection),
            ..payment()
        };
        assert_eq!(
            make(&all),
            set(&[0, 1, 2]),
            "{selection}: only what is free to spend"
        );
        let avoid = TransactionRequest {
            avoid: vec![place(1)],
            ..payment()
        };
        assert!(
            !make(&TransactionRequest {
                selection: Some(selection),
                ..avoid
            })
            .contains(&place(1))
        );
        let named = TransactionRequest {
            coins: vec![place(3), place(5)],
            ..all.clone()
        };
        assert_eq!(
            make(&named),
            set(&[3, 5]),
            "{selection}: named ones are spent, and enough"
        );
        let more = TransactionRequest {
            coins: vec![place(2)],
            ..all
        };
        assert_eq!(make(&more), set(&[0, 1, 2]));
    }
    let only = TransactionRequest {
        coins: vec![place(2)],
        only_coins: true,
        ..payment()
    };
    assert_eq!(make(&only), set(&[2]));
    let short = TransactionRequest {
        recipients: recipients(&[(address(2), 60_000)]),
        ..only
    };
    let error = draft(&coins, &short, 1).expect_err("one coin only");
    assert!(missing_sat(&error) > 8_000);

    assert_eq!(make(&drain()), set(&[0, 1, 2]));
    assert_eq!(
        make(&TransactionRequest {
            coins: vec![place(1)],
            ..drain()
        }),
        set(&[1])
    );

    for (named, said) in [(4, "is another transaction's"), (6, "100 confirmations")] {
        let request = TransactionRequest {
            coins: vec![place(named)],
            ..payment()
        };
        refused(&coins, &request, said);
    }
    let both = TransactionRequest {
        coins: vec![place(1)],
        avoid: vec![place(1)],
        ..payment()
    };
    refused(&coins, &both, "drop one");
    let twice = TransactionRequest {
        coins: vec![place(1), place(1)],
        ..payment()
    };
    refused(&coins, &twice, "named twice");
}

#[test]
fn an_exact_set_of_coins_needs_no_change() {
    let values = [40_000, 90_000, 13_000, 70_000, 7_000, 250_000];
    let coins: Vec<_> = (0..)
        .zip(values)
        .map(|(number, value)| coin(number, value, AddressType::P2wpkh))
        .collect();
    // Two inputs and an output at 2 sat/vB: 32 + 8 + 2 + 124 + 542 WU, which is 354 sat; the
    // algorithm rounds up for each input.
    let request = TransactionRequest {
        recipients: recipients(&[(address(2), 83_000 - 360)]),
        ..payment()
    };
    let it = draft(&candidates(&coins), &request, 1).expect("enough");
    assert_eq!(it.change, None);
    assert_eq!(it.fee_sat, 360);
    assert_eq!(
        spent(&it),
        BTreeSet::from([coins[2].outpoint, coins[3].outpoint])
    );
}

#[test]
fn the_oldest_go_first_where_they_shall() {
    let coins: Vec<_> = (0..10)
        .map(|n| coin(n, 50_000, AddressType::P2tr))
        .collect();
    let mut candidates = candidates(&coins);
    for (height, it) in (0..).zip(candidates.iter_mut().rev()) {
        it.height = Some(height);
    }
    let request = TransactionRequest {
        recipients: recipients(&[(address(2), 80_000)]),
        selection: Some(CoinSelection::OldestFirst),
        ..payment()
    };
    let it = draft(&candidates, &request, 1).expect("enough");
    assert_eq!(
        spent(&it),
        BTreeSet::from([coins[9].outpoint, coins[8].outpoint])
    );
}

#[test]
fn nobody_can_tell_change_by_its_place() {
    let coins: Vec<_> = (0..6).map(|n| coin(n, 50_000, AddressType::P2tr)).collect();
    let candidates = candidates(&coins);
    let request = TransactionRequest {
        recipients: recipients(&[(address(2), 120_000), (address(3), 30_000)]),
        selection: Some(CoinSelection::SingleRandomDraw),
        ..payment()
    };
    let drafts: Vec<_> = (0..60)
        .map(|seed| draft(&candidates, &request, seed).expect("enough"))
        .collect();
    let places: BTreeSet<_> = drafts
        .iter()
        .filter_map(|it| it.change)
        .map(|it| it.vout)
        .collect();
    assert_eq!(places, BTreeSet::from([0, 1, 2]));
    let firsts: BTreeSet<_> = drafts.iter().map(|it| it.inputs[0].outpoint).collect();
    assert_eq!(firsts.len(), coins.len());
}

#[test]
fn a_large_wallet_of_small_coins_still_pays() {
    let mut coins: Vec<_> = (0..4_000)
        .map(|n| coin(n, 400, AddressType::P2wpkh))
        .collect();
    coins.extend((0..10).map(|n| coin(10_000 + n, 100_000, AddressType::P2wpkh)));
    for selection in CoinSelection::ALL {
        let request = TransactionRequest {
            recipients: recipients(&[(address(2), 950_000)]),
            selection: Some(selection),
            ..payment()
        };
        let it = draft(&candidates(&coins), &request, 1).expect("light enough");
        assert!(it.weight <= 400_000, "{selection}: {}", it.weight);
        check(&it, &[(address(2), 950_000)], 2);
    }
}
