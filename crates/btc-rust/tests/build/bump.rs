//! Replacements and children: what they pay, what they keep, and what is refused.

use bitcoin::{OutPoint, Transaction, Txid};
use btc_iface::{AddressType, BitcoinResult, CoinState, ErrorKind, SnapshotCoin};
use btc_rust::wallet::build::{
    Candidate, Change, ChangePlace, Draft, Hold, NewFee, Original, Parent, accelerate, bump,
    dust_limit_sat, plan, sign,
};

use crate::psbt::paid;
use crate::request::candidate;
use crate::samples::{
    TIP_HEIGHT, address, coin, keyring, missing_sat, signer, snapshot, sum_in, sum_out,
};

pub(crate) const CHANGE: ChangePlace = ChangePlace {
    address_type: AddressType::P2tr,
    index: 9,
};

/// At the incremental rate of Bitcoin Core 30 and later: 0.1 sat/vB.
pub(crate) fn at(rate: u64) -> NewFee {
    NewFee {
        rate_sat_per_vb: rate,
        incremental_sat_per_kvb: 100,
        allow_high_fee: false,
    }
}

pub(crate) fn sent(
    coins: Vec<SnapshotCoin>,
    outputs: &[(String, u64)],
    rate: u64,
) -> (Draft, Transaction) {
    let draft = plan(
        keyring(),
        &snapshot(coins, AddressType::P2wpkh),
        outputs,
        rate,
    );
    let draft = draft.expect("enough");
    let signed = sign(&draft, keyring(), signer()).expect("own coins");
    (draft, signed)
}

pub(crate) fn original<'a>(draft: &'a Draft, signed: &'a Transaction) -> Original<'a> {
    Original {
        transaction: signed,
        inputs: &draft.inputs,
        change: draft.change,
        descendants_fee_sat: 0,
    }
}

pub(crate) fn replace(
    it: &Original<'_>,
    further: &[Candidate],
    fee: NewFee,
) -> BitcoinResult<Draft> {
    bump(keyring(), it, further, TIP_HEIGHT, CHANGE, fee)
}

pub(crate) fn min_rate(error: &btc_iface::BitcoinError) -> u64 {
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let mut context = error.context().iter();
    let (_, text) = context
        .find(|(name, _)| name == "min_fee_rate_sat_per_vb")
        .expect("the rate that would do");
    text.parse().expect("a whole number")
}

/// Everything but change, in its order.
fn payments(transaction: &Transaction, change: Option<Change>) -> Vec<bitcoin::TxOut> {
    let mut outputs = transaction.output.clone();
    if let Some(change) = change {
        outputs.remove(change.vout as usize);
    }
    outputs
}

/// What must hold for any replacement.
pub(crate) fn check(new: &Draft, old: &Draft, signed: &Transaction, fee: NewFee, descendants: u64) {
    assert_eq!(sum_in(new), sum_out(new) + new.fee_sat);
    assert_eq!(
        payments(&new.transaction, new.change),
        payments(signed, old.change)
    );
    assert_eq!(new.inputs[..old.inputs.len()], old.inputs[..]);
    if let Some(change) = new.change {
        let output = &new.transaction.output[change.vout as usize];
        assert_eq!(output.value.to_sat(), change.value_sat);
        assert!(change.value_sat >= dust_limit_sat(&output.script_pubkey));
        if let Some(old) = old.change {
            assert_eq!(
                output.script_pubkey,
                signed.output[old.vout as usize].script_pubkey
            );
        }
    }
    let vsize = new.weight.div_ceil(4);
    assert!(new.fee_sat * 4 >= new.weight * fee.rate_sat_per_vb);
    let relay = (vsize * fee.incremental_sat_per_kvb).div_ceil(1_000);
    assert!(
        new.fee_sat >= old.fee_sat + descendants + relay,
        "rules 3 and 4"
    );
    let old_weight = signed.weight().to_wu();
    assert!(
        new.fee_sat * old_weight > old.fee_sat * new.weight,
        "a higher rate"
    );
}

#[test]
fn change_is_lowered_then_dropped_then_coins_are_added() {
    let coins = vec![coin(0, 50_000, AddressType::P2wpkh)];
    let (old, signed) = sent(coins, &[(address(2), 40_000)], 1);
    let old_change = old.change.expect("there is change");
    let further = [candidate(coin(3, 30_000, AddressType::P2wpkh))];
    let make = |rate| replace(&original(&old, &signed), &further, at(rate)).expect("enough");

    let lowered = make(5);
    let change = lowered.change.expect("still worth it");
    assert!(change.value_sat < old_change.value_sat);
    assert_eq!(
        (change.index, change.vout),
        (old_change.index, old_change.vout)
    );
    let dropped = make(70);
    assert_eq!((dropped.change, dropped.inputs.len()), (None, 1));
    assert_eq!(dropped.fee_sat, 10_000);
    let added = make(100);
    assert_eq!((added.change.is_some(), added.inputs.len()), (true, 2));
}

#[test]
fn change_keeps_its_place_and_new_change_goes_last() {
    let coins = vec![coin(0, 50_000, AddressType::P2wpkh)];
    let (mut old, _) = sent(coins, &[(address(2), 20_000), (address(3), 10_000)], 1);
    old.transaction.output.swap(0, 2);
    old.change.as_mut().expect("there is change").vout = 0;
    let signed = sign(&old, keyring(), signer()).expect("own coins");
    let new = replace(&original(&old, &signed), &[], at(5)).expect("enough");
    assert_eq!(new.change.expect("lowered").vout, 0);
    assert_eq!(new.transaction.output[1..], signed.output[1..]);

    let coins = vec![coin(0, 20_150, AddressType::P2wpkh)];
    let (old, signed) = sent(coins, &[(address(2), 20_000)], 1);
    assert_eq!(old.change, None);
    let further = [candidate(coin(3, 30_000, AddressType::P2wpkh))];
    let new = replace(&original(&old, &signed), &further, at(5)).expect("enough");
    let change = new.change.expect("of the added coin");
    assert_eq!(
        (change.vout, change.address_type, change.index),
        (1, AddressType::P2tr, 9)
    );
}

#[test]
fn only_confirmed_coins_that_are_free_are_added() {
    let (old, signed) = sent(
        vec![coin(0, 20_300, AddressType::P2wpkh)],
        &[(address(2), 20_000)],
        1,
    );
    let good = candidate(coin(3, 30_000, AddressType::P2wpkh));
    let child = SnapshotCoin {
        outpoint: OutPoint::new(signed.compute_txid(), 1),
        ..good.coin
    };
    for bad in [
        Candidate {
            state: CoinState::TrustedPending,
            coin: child,
            ..good
        },
        Candidate {
            state: CoinState::UntrustedPending,
            ..good
        },
        Candidate {
            state: CoinState::Immature,
            ..good
        },
        Candidate {
            hold: Some(Hold::Locked),
            ..good
        },
        Candidate {
            hold: Some(Hold::Reserved),
            ..good
        },
        Candidate {
            coin: old.inputs[0],
            ..good
        },
    ] {
        let error = replace(&original(&old, &signed), &[bad], at(20)).expect_err("none to add");
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(missing_sat(&error) > 1_000);
    }
    replace(&original(&old, &signed), &[good], at(20)).expect("a good one");
}

#[test]
fn what_cannot_be_replaced_is_refused() {
    let coins = vec![
        coin(0, 50_000, AddressType::P2wpkh),
        coin(1, 40_000, AddressType::P2tr),
    ];
    let (old, signed) = sent(coins, &[(address(2), 80_000)], 10);
    let good = original(&old, &signed);
    let refuse = |it: &Original<'_>, fee: NewFee, said: &str| {
        let error = replace(it, &[], fee).expect_err(said);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(said), "{error}");
    };
    refuse(&good, at(0), "fee rate of 0");
    refuse(&good, at(1_001), "above 1000");
    let mut closed = signed.clone();
    for input in &mut closed.input {
        input.sequence.0 = 0xffff_fffe;
    }
    refuse(
        &Original {
            transaction: &closed,
            ..good
        },
        at(20),
        "does not allow",
    );
    refuse(
        &Original {
            inputs: &old.inputs[1..],
            ..good
        },
        at(20),
        "not all inputs",
    );
    let least = min_rate(&replace(&good, &[], at(10)).expect_err("no more than before"));
    assert_eq!(least, 11);
    replace(&good, &[], at(least)).expect("just enough");
    let costly = Original {
        descendants_fee_sat: 3_000,
        ..good
    };
    let least = min_rate(&replace(&costly, &[], at(12)).expect_err("the descendants paid more"));
    let new = replace(&costly, &[], at(least)).expect("just enough");
    assert!(new.fee_sat >= old.fee_sat + 3_000);
}

#[test]
fn what_cannot_be_accelerated_is_refused() {
    let (coins, parent) = paid(vec![
        coin(0, 2_000, AddressType::P2tr),
        coin(1, 900, AddressType::P2tr),
    ]);
    let it = Parent {
        transaction: &parent,
        fee_sat: 200,
        ancestors: &[],
        coins: &coins,
    };
    let make = |it: &Parent<'_>, rate| accelerate(keyring(), it, TIP_HEIGHT, CHANGE, rate, false);
    for (bad, rate, kind) in [
        (Parent { coins: &[], ..it }, 5, ErrorKind::InvalidInput),
        (
            Parent {
                fee_sat: 5_000,
                ..it
            },
            5,
            ErrorKind::InvalidInput,
        ),
        (it, 0, ErrorKind::InvalidInput),
        (it, 1_001, ErrorKind::InvalidInput),
        (it, 50, ErrorKind::Rejected),
    ] {
        assert_eq!(make(&bad, rate).expect_err("no child").kind(), kind);
    }
    let mut foreign = coins.clone();
    foreign[0].outpoint.txid = Txid::from_raw_hash(bitcoin::hashes::Hash::all_zeros());
    let error = make(
        &Parent {
            coins: &foreign,
            ..it
        },
        5,
    )
    .expect_err("not its outputs");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(make(&it, 5).expect("one output is enough").inputs.len(), 1);
    assert_eq!(make(&it, 8).expect("both are needed").inputs.len(), 2);
    let mut truc = parent.clone();
    truc.version = bitcoin::transaction::Version(3);
    let mut coins = coins.clone();
    for coin in &mut coins {
        coin.outpoint.txid = truc.compute_txid();
    }
    let child = make(
        &Parent {
            transaction: &truc,
            coins: &coins,
            ..it
        },
        5,
    )
    .expect("enough");
    assert_eq!(child.transaction.version.0, 3);
}
