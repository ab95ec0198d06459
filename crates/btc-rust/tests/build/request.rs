//! Requests: chosen coins, data, drains and limits.

use std::collections::BTreeSet;

use bitcoin::OutPoint;
use bitcoin::secp256k1::rand::SeedableRng;
use bitcoin::secp256k1::rand::rngs::StdRng;
use btc_iface::{
    AddressType, BitcoinResult, CoinSelection, CoinState, ErrorKind, Recipient, SnapshotCoin,
    TransactionRequest,
};
use btc_rust::wallet::build::{
    Candidate, ChangePlace, Draft, Hold, draft_request, dust_limit_sat, parse_address,
};

use crate::samples::{TIP_HEIGHT, address, coin, keyring, missing_sat, sum_in, sum_out};

pub(crate) const CHANGE: ChangePlace = ChangePlace {
    address_type: AddressType::P2tr,
    index: 7,
};

pub(crate) fn candidate(coin: SnapshotCoin) -> Candidate {
    Candidate {
        coin,
        state: CoinState::Confirmed,
        height: Some(100 + coin.index),
        hold: None,
    }
}

pub(crate) fn candidates(coins: &[SnapshotCoin]) -> Vec<Candidate> {
    coins.iter().copied().map(candidate).collect()
}

pub(crate) fn recipients(outputs: &[(String, u64)]) -> Vec<Recipient> {
    outputs
        .iter()
        .map(|(address, value_sat)| Recipient {
            address: address.clone(),
            value_sat: *value_sat,
        })
        .collect()
}

pub(crate) fn draft(
    coins: &[Candidate],
    request: &TransactionRequest,
    seed: u64,
) -> BitcoinResult<Draft> {
    let mut rng = StdRng::seed_from_u64(seed);
    draft_request(
        keyring(),
        coins,
        TIP_HEIGHT,
        CHANGE,
        request,
        CoinSelection::BranchAndBound,
        &mut rng,
    )
}

/// Pays 20,000 sat at 2 sat/vB.
pub(crate) fn payment() -> TransactionRequest {
    TransactionRequest {
        recipients: recipients(&[(address(2), 20_000)]),
        fee_rate_sat_per_vb: 2,
        ..TransactionRequest::default()
    }
}

pub(crate) fn drain() -> TransactionRequest {
    TransactionRequest {
        recipients: Vec::new(),
        drain_to: Some(address(4)),
        ..payment()
    }
}

pub(crate) fn spent(draft: &Draft) -> BTreeSet<OutPoint> {
    draft.inputs.iter().map(|coin| coin.outpoint).collect()
}

/// What holds whatever is asked.
pub(crate) fn check(draft: &Draft, wanted: &[(String, u64)], rate: u64) {
    assert_eq!(sum_in(draft), sum_out(draft) + draft.fee_sat);
    let least = (u128::from(draft.weight) * u128::from(rate)).div_ceil(4);
    assert!(u128::from(draft.fee_sat) >= least);
    assert_eq!(spent(draft).len(), draft.inputs.len());
    let mut left: Vec<_> = draft
        .transaction
        .output
        .iter()
        .map(|output| (output.script_pubkey.clone(), output.value.to_sat()))
        .collect();
    for (address, value) in wanted {
        let script = parse_address(keyring().network(), address).expect("a good address");
        let place = left.iter().position(|it| *it == (script.clone(), *value));
        left.remove(place.expect("each recipient is paid, exactly"));
    }
    if let Some(change) = draft.change {
        let output = &draft.transaction.output[change.vout as usize];
        assert_eq!(left, [(output.script_pubkey.clone(), change.value_sat)]);
        assert!(change.value_sat >= dust_limit_sat(&output.script_pubkey));
        assert_eq!(u128::from(draft.fee_sat), least);
    } else {
        assert!(left.is_empty());
        assert!(u128::from(draft.fee_sat) < least + u128::from(43 * rate + 330 + 1));
    }
    for (input, coin) in draft.transaction.input.iter().zip(&draft.inputs) {
        assert_eq!(input.previous_output, coin.outpoint);
        assert_eq!(input.sequence.0, 0xffff_fffd);
    }
    assert_eq!(draft.transaction.lock_time.to_consensus_u32(), TIP_HEIGHT);
}

fn refused(coins: &[Candidate], request: &TransactionRequest, said: &str) {
    let error = draft(coins, request, 1).expect_err(said);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.message().contains(said), "{error}");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let coins = candidates(&[coin(0, 100_000, AddressType::P2tr)]);
    let named = OutPoint::null();
    for (request, said) in [
        (
            TransactionRequest {
                recipients: vec![],
                ..payment()
            },
            "nothing to do",
        ),
        (
            TransactionRequest {
                fee_rate_sat_per_vb: 0,
                ..payment()
            },
            "fee rate of 0",
        ),
        (
            TransactionRequest {
                fee_rate_sat_per_vb: 1_001,
                ..payment()
            },
            "above 1000",
        ),
        (
            TransactionRequest {
                data: Some(vec![0; 81]),
                ..payment()
            },
            "80 at most",
        ),
        (
            TransactionRequest {
                drain_to: Some("x".to_owned()),
                ..payment()
            },
            "not a bitcoin address",
        ),
        (
            TransactionRequest {
                only_coins: true,
                ..payment()
            },
            "none is named",
        ),
        (
            TransactionRequest {
                coins: vec![named],
                ..payment()
            },
            "not an unspent coin",
        ),
        (
            TransactionRequest {
                recipients: recipients(&[(address(2), 293)]),
                ..payment()
            },
            "dust",
        ),
    ] {
        refused(&coins, &request, said);
    }
}

#[test]
fn a_fee_out_of_proportion_needs_consent() {
    let coins = candidates(&[coin(0, 100_000, AddressType::P2tr)]);
    let mut request = TransactionRequest {
        recipients: recipients(&[(address(2), 2_000)]),
        ..payment()
    };
    refused(
        &coins,
        &request,
        "more than 10 % of the 2000 sat that are sent",
    );
    request.allow_high_fee = true;
    draft(&coins, &request, 1).expect("allowed");
    request.fee_rate_sat_per_vb = 1_001;
    let error = draft(&coins, &request, 1).expect_err("more than there is");
    assert_eq!(error.kind(), ErrorKind::Rejected);

    let mut request = TransactionRequest {
        fee_rate_sat_per_vb: 95,
        ..drain()
    };
    refused(&coins, &request, "of the 100000 sat that are spent");
    request.fee_rate_sat_per_vb = 80;
    draft(&coins, &request, 1).expect("a fee below a tenth");
}

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

    for (named, said) in [(4, "reserved"), (6, "100 confirmations")] {
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
fn what_is_left_goes_where_it_was_asked_to() {
    let coins = candidates(&[coin(0, 1_000_000, AddressType::P2tr)]);
    let request = TransactionRequest {
        drain_to: Some(address(3)),
        ..payment()
    };
    let it = draft(&coins, &request, 1).expect("enough");
    let script = parse_address(keyring().network(), &address(3)).expect("a good address");
    let drained = it
        .transaction
        .output
        .iter()
        .find(|output| output.script_pubkey == script);
    let value = drained.expect("the rest").value.to_sat();
    assert_eq!((it.change, value), (None, 980_000 - it.fee_sat));
}

#[test]
fn data_is_carried_in_an_output_without_value() {
    let coins = candidates(&[coin(0, 100_000, AddressType::P2tr)]);
    for length in [0, 1, 75, 76, 80] {
        let data = vec![0x55; length];
        let request = TransactionRequest {
            recipients: vec![],
            data: Some(data.clone()),
            ..payment()
        };
        let it = draft(&coins, &request, 1).expect("enough");
        let output = it
            .transaction
            .output
            .iter()
            .find(|output| output.value.to_sat() == 0);
        let script = &output.expect("the data").script_pubkey;
        assert!(script.is_op_return());
        let push = script
            .instructions()
            .nth(1)
            .expect("a push")
            .expect("a valid script");
        assert_eq!(push.push_bytes().expect("bytes").as_bytes(), data);
        assert_eq!(it.transaction.output.len(), 2, "change besides");
    }
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
