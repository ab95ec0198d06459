//! Replacements: what they pay, what they keep, and what is refused.

use bitcoin::{OutPoint, Transaction};
use btc_iface::{AddressType, BitcoinResult, CoinState, ErrorKind, FeeRate, SnapshotCoin};
use btc_rust::wallet::build::{
    Candidate, Change, ChangePlace, Draft, Funds, Hold, MempoolEntry, Original, Purpose,
    RelayRules, Terms, bump, dust_limit_sat, sign,
};

use crate::request::{candidate, funds};
use crate::samples::{
    address, coin, keyring, missing_sat, per_vb, plan, signer, snapshot, sum_in, sum_out,
};

pub(crate) const CHANGE: ChangePlace = ChangePlace {
    address_type: AddressType::P2tr,
    index: 9,
};

/// What Bitcoin Core has asked for since version 30.
pub(crate) const RELAY: RelayRules = RelayRules {
    incremental: FeeRate::from_sat_per_kvb(100),
    min_rate: FeeRate::from_sat_per_kvb(100),
    full_rbf: true,
};

pub(crate) fn at_rate(rate: FeeRate) -> Terms {
    Terms {
        purpose: Purpose::RaiseFee,
        fee_rate: Some(rate),
        relay: RELAY,
        allow_high_fee: false,
    }
}

pub(crate) fn at(sat_per_vb: u64) -> Terms {
    at_rate(per_vb(sat_per_vb))
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
        descendants: &[],
        rivals: &[],
    }
}

pub(crate) fn replace(
    it: &Original<'_>,
    further: &[Candidate],
    terms: Terms,
) -> BitcoinResult<Draft> {
    let funds = Funds {
        change: CHANGE,
        ..funds(further, &[])
    };
    bump(keyring(), it, &funds, terms)
}

/// The rate that would do, in sat/kvB.
pub(crate) fn min_rate(error: &btc_iface::BitcoinError) -> FeeRate {
    let mut context = error.context().iter();
    let (_, text) = context
        .find(|(name, _)| name == "min_fee_rate_sat_per_kvb")
        .expect("the rate that would do");
    FeeRate::from_sat_per_kvb(text.parse().expect("a whole number"))
}

/// Everything but change, in its order.
pub(crate) fn payments(transaction: &Transaction, change: Option<Change>) -> Vec<bitcoin::TxOut> {
    let mut outputs = transaction.output.clone();
    if let Some(change) = change {
        outputs.remove(change.vout as usize);
    }
    outputs
}

/// What must hold for any replacement that raises the fee.
pub(crate) fn check(new: &Draft, old: &Draft, signed: &Transaction, terms: Terms) {
    assert_eq!(sum_in(new), sum_out(new) + new.fee_sat);
    assert_eq!(
        payments(&new.transaction, new.change),
        payments(signed, old.change)
    );
    assert_eq!(new.inputs[..old.inputs.len()], old.inputs[..]);
    assert!(!new.transaction.output.is_empty());
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
    let rate = terms.fee_rate.unwrap_or_default();
    assert!(u128::from(new.fee_sat) >= rate.fee_sat(new.weight.div_ceil(4)));
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
    let refuse = |it: &Original<'_>, terms: Terms, said: &str| {
        let error = replace(it, &[], terms).expect_err(said);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(said), "{error}");
    };
    refuse(&good, at(0), "fee rate of 0");
    refuse(&good, at(1_001), "above MAX_FEE_RATE (1000");
    let others = Original {
        inputs: &old.inputs[1..],
        ..good
    };
    refuse(&others, at(20), "not all inputs");
    let descendants: Vec<MempoolEntry> = (0..100).map(|n| entry(n, 400, 10)).collect();
    let many = Original {
        descendants: &descendants,
        ..good
    };
    refuse(&many, at(500), "101 transactions would go");
}

/// A descendant with this fee, of this weight.
pub(crate) fn entry(number: u32, weight_wu: u64, fee_sat: u64) -> MempoolEntry {
    MempoolEntry {
        txid: coin(3 * (5_000 + number), 1, AddressType::P2tr)
            .outpoint
            .txid,
        weight_wu,
        fee_sat,
        modified_fee_sat: fee_sat,
        spends: Vec::new(),
    }
}

#[test]
fn a_transaction_that_does_not_signal_is_replaced_where_nodes_do_so() {
    let coins = vec![coin(0, 50_000, AddressType::P2wpkh)];
    let (old, mut signed) = sent(coins, &[(address(2), 40_000)], 1);
    for input in &mut signed.input {
        input.sequence.0 = 0xffff_fffe;
    }
    let it = original(&old, &signed);
    replace(&it, &[], at(5)).expect("nodes have done so since Bitcoin Core 28");
    let mut strict = at(5);
    strict.relay.full_rbf = false;
    let error = replace(&it, &[], strict).expect_err("this node says that it does not");
    assert!(error.message().contains("--child"), "{error}");
    signed.version.0 = 3;
    replace(&original(&old, &signed), &[], strict).expect("version 3 signals (BIP431)");
}
