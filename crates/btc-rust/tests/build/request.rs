//! Requests: chosen coins, data, drains and limits.

use std::collections::BTreeSet;

use bitcoin::OutPoint;
use bitcoin::secp256k1::rand::SeedableRng;
use bitcoin::secp256k1::rand::rngs::StdRng;
use btc_iface::{
    AddressType, BitcoinResult, CoinSelection, CoinState, ErrorKind, PendingTransaction, Recipient,
    SnapshotCoin, TransactionRequest,
};
use btc_rust::wallet::build::{
    Candidate, ChangePlace, DEFAULT_MAX_FEE_RATE, Draft, Funds, draft_request, dust_limit_sat,
    parse_address,
};

use crate::samples::{TIP_HEIGHT, address, coin, keyring, per_vb, sum_in, sum_out};

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
    draft_on(&funds(coins, &[]), request, seed)
}

/// The same with pending transactions.
pub(crate) fn draft_on(
    funds: &Funds<'_>,
    request: &TransactionRequest,
    seed: u64,
) -> BitcoinResult<Draft> {
    let mut rng = StdRng::seed_from_u64(seed);
    let selection = CoinSelection::BranchAndBound;
    draft_request(keyring(), funds, request, selection, &mut rng)
}

pub(crate) fn funds<'a>(coins: &'a [Candidate], pending: &'a [PendingTransaction]) -> Funds<'a> {
    Funds {
        coins,
        pending,
        tip_height: TIP_HEIGHT,
        change: CHANGE,
        max_rate: DEFAULT_MAX_FEE_RATE,
    }
}

/// Pays 20,000 sat at 2 sat/vB.
pub(crate) fn payment() -> TransactionRequest {
    TransactionRequest {
        recipients: recipients(&[(address(2), 20_000)]),
        fee_rate: per_vb(2),
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
    let least = u128::from(draft.weight.div_ceil(4)) * u128::from(rate);
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

pub(crate) fn refused(coins: &[Candidate], request: &TransactionRequest, said: &str) {
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
                fee_rate: per_vb(0),
                ..payment()
            },
            "fee rate of 0",
        ),
        (
            TransactionRequest {
                fee_rate: per_vb(1_001),
                ..payment()
            },
            "above MAX_FEE_RATE (1000",
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
    request.fee_rate = per_vb(1_001);
    let error = draft(&coins, &request, 1).expect_err("more than there is");
    assert_eq!(error.kind(), ErrorKind::Rejected);

    let mut request = TransactionRequest {
        fee_rate: per_vb(95),
        ..drain()
    };
    refused(&coins, &request, "of the 100000 sat that are spent");
    request.fee_rate = per_vb(80);
    draft(&coins, &request, 1).expect("a fee below a tenth");
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
