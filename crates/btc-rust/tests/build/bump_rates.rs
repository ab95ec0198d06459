//! Replacements: the least rate, descendants, and what the fee is taken from.

use btc_iface::{AddressType, ErrorKind, FeeRate};
use btc_rust::wallet::build::{Original, Purpose, Terms, sign};

use crate::bump::{at, at_rate, entry, min_rate, original, replace, sent};
use crate::request::candidate;
use crate::samples::{address, coin, keyring, missing_sat, per_vb, signer};

#[test]
fn the_least_rate_is_exact() {
    // 141 vB for 282 sat; 0.1 sat/vB more are 15 sat, 297 in all, which 2.1 sat/vB rounded up pay.
    let coins = vec![coin(0, 90_000, AddressType::P2wpkh)];
    let (old, signed) = sent(coins, &[(address(2), 60_000)], 2);
    assert_eq!((old.weight, old.fee_sat), (561, 282));
    let it = original(&old, &signed);
    let error = replace(&it, &[], at(2)).expect_err("no more than before");
    assert_eq!(min_rate(&error), FeeRate::from_sat_per_kvb(2_100));
    assert!(
        error.message().contains("pay 2.1 sat/vB at least"),
        "{error}"
    );
    let new = replace(&it, &[], at(3)).expect("3 is above 2.1");
    assert_eq!(new.fee_sat, 423);
    let new = replace(&it, &[], at_rate(min_rate(&error))).expect("the least");
    assert_eq!(new.fee_sat, 297);
    let least = Terms {
        fee_rate: None,
        ..at(1)
    };
    assert_eq!(replace(&it, &[], least).expect("the least"), new);
}

#[test]
fn the_least_rate_may_be_one_at_which_change_is_dropped() {
    // What is left after the fee of 2 sat/vB is just worth an output; 0.1 sat/vB more are not left.
    let coins = vec![coin(0, 60_000 + 282 + 300, AddressType::P2wpkh)];
    let (old, signed) = sent(coins, &[(address(2), 60_000)], 2);
    assert!(old.change.is_some());
    let it = original(&old, &signed);
    let error = replace(&it, &[], at(2)).expect_err("no more than before");
    let least = min_rate(&error);
    // The fee at which the change is dust: 582 sat for 110 vB, whatever the rate is called.
    assert_eq!(least, FeeRate::from_sat_per_kvb(2_043));
    let new = replace(&it, &[], at_rate(least)).expect("the least");
    assert_eq!((new.change, new.fee_sat), (None, 582));
}

#[test]
fn what_descendants_pay_is_paid_for() {
    let coins = vec![coin(0, 90_000, AddressType::P2wpkh)];
    let (old, signed) = sent(coins, &[(address(2), 40_000)], 2);
    // The recipient pays 60 sat/vB for 110 vB.
    let mut child = entry(0, 440, 6_600);
    child.spends = vec![signed.compute_txid()];
    let descendants = [child];
    let it = Original {
        descendants: &descendants,
        ..original(&old, &signed)
    };
    let error = replace(&it, &[], at(5)).expect_err("the descendant pays more");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // 282 + 6,600 + 15 sat for 141 vB.
    assert_eq!(min_rate(&error), FeeRate::from_sat_per_kvb(48_908));
    let new = replace(&it, &[], at_rate(min_rate(&error))).expect("the least");
    assert_eq!(new.fee_sat, 6_897);
}

#[test]
fn what_took_the_coins_of_a_missing_payment_is_paid_for() {
    let coins = vec![coin(0, 90_000, AddressType::P2wpkh)];
    let (old, signed) = sent(coins, &[(address(2), 40_000)], 2);
    // Another transaction spends the coin, at 30 sat/vB for 141 vB; a child of it pays 1,100 sat.
    let rival = entry(0, 561, 4_230);
    let mut child = entry(1, 440, 1_100);
    child.spends = vec![rival.txid];
    let rivals = [rival.clone(), child];
    let it = Original {
        rivals: &rivals,
        ..original(&old, &signed)
    };
    let error = replace(&it, &[], at(5)).expect_err("the rival pays more");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let new = replace(&it, &[], at_rate(min_rate(&error))).expect("the least");
    // 4,230 + 1,100 + 15 sat for 141 vB, and not what the original paid besides.
    assert_eq!(new.fee_sat, 5_345);
    // Small and dear: the rate of the rival counts, not only the sum.
    let dear = [entry(0, 300, 4_000)];
    let it = Original {
        rivals: &dear,
        ..original(&old, &signed)
    };
    let error = replace(&it, &[], at(40)).expect_err("the rival pays 53 sat/vB");
    let new = replace(&it, &[], at_rate(min_rate(&error))).expect("the least");
    assert!(
        u128::from(new.fee_sat) * 300 >= 4_000 * u128::from(new.weight),
        "{}",
        new.fee_sat
    );
    // What is cheaper than the original changes nothing.
    let cheap = [entry(0, 561, 100)];
    let it = Original {
        rivals: &cheap,
        ..original(&old, &signed)
    };
    let error = replace(&it, &[], at(2)).expect_err("no more than before");
    assert_eq!(min_rate(&error), FeeRate::from_sat_per_kvb(2_100));
}

#[test]
fn a_rate_that_the_coins_do_not_pay_is_not_called_enough() {
    let coins = vec![coin(0, 41_000, AddressType::P2wpkh)];
    let (old, signed) = sent(coins, &[(address(2), 40_000)], 2);
    let mut child = entry(0, 440, 6_600);
    child.spends = vec![signed.compute_txid()];
    let descendants = [child];
    let it = Original {
        descendants: &descendants,
        ..original(&old, &signed)
    };
    let error = replace(&it, &[], at(3)).expect_err("too low, and there is no more");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    let missing = u64::try_from(missing_sat(&error)).expect("small");
    let least = min_rate(&error);
    assert!(least > per_vb(48), "{error}");
    // With what is missing, and what the further input costs, it goes.
    let more = candidate(coin(3, missing + 100 * 68, AddressType::P2wpkh));
    replace(&it, &[more], at_rate(least)).expect("enough now");
}

#[test]
fn a_transaction_that_pays_nobody_else_keeps_an_output() {
    let coins = vec![coin(0, 50_000, AddressType::P2wpkh)];
    let (mut old, _) = sent(coins, &[(address(2), 20_000)], 2);
    let change = old.change.as_mut().expect("there is change");
    old.transaction.output.remove(0);
    change.vout = 0;
    change.value_sat += 20_000;
    old.transaction.output[0].value += bitcoin::Amount::from_sat(20_000);
    let signed = sign(&old, keyring(), signer()).expect("own coins");
    let it = original(&old, &signed);
    let new = replace(&it, &[], at(400)).expect("enough for an output");
    assert_eq!(new.transaction.output.len(), 1);
    assert!(new.change.expect("its only output").value_sat < 10_000);
    let error = replace(&it, &[], at(455)).expect_err("nothing would be left");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    let more = candidate(coin(3, 90_000, AddressType::P2tr));
    let new = replace(&it, &[more], at(455)).expect("with a further coin");
    assert_eq!((new.transaction.output.len(), new.inputs.len()), (1, 2));
}

#[test]
fn a_recipient_is_paid_less_where_that_is_asked_for() {
    let coins = vec![coin(0, 50_000, AddressType::P2wpkh)];
    let (mut old, _) = sent(coins, &[(address(2), 20_000)], 2);
    old.transaction.output.pop();
    old.change = None;
    old.transaction.output[0].value = bitcoin::Amount::from_sat(49_700);
    let signed = sign(&old, keyring(), signer()).expect("own coins");
    let lower = |rate| Terms {
        purpose: Purpose::LowerRecipient,
        ..at(rate)
    };
    let more = candidate(coin(3, 90_000, AddressType::P2tr));
    let it = original(&old, &signed);
    let new = replace(&it, &[more], lower(10)).expect("the recipient pays");
    assert_eq!((new.change, new.inputs.len()), (None, 1));
    assert_eq!(new.fee_sat, 1_100);
    let output = &new.transaction.output[0];
    assert_eq!(output.script_pubkey, signed.output[0].script_pubkey);
    assert_eq!(output.value.to_sat(), 48_900);
    let error = replace(&it, &[more], lower(452)).expect_err("dust would be left");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");

    let coins = vec![coin(0, 50_000, AddressType::P2wpkh)];
    let (old, signed) = sent(coins, &[(address(2), 20_000)], 2);
    let error = replace(&original(&old, &signed), &[], lower(10)).expect_err("change pays");
    assert!(error.message().contains("has change"), "{error}");
    let coins = vec![coin(0, 50_000, AddressType::P2wpkh)];
    let (old, signed) = sent(coins, &[(address(2), 20_000), (address(3), 29_500)], 2);
    assert_eq!(old.change, None);
    let error = replace(&original(&old, &signed), &[], lower(10)).expect_err("two of them");
    assert!(error.message().contains("several recipients"), "{error}");
}

#[test]
fn a_payment_is_cancelled_into_change_at_the_least_rate() {
    let coins = vec![coin(0, 50_000, AddressType::P2wpkh)];
    let (old, signed) = sent(coins, &[(address(2), 20_000), (address(4), 9_000)], 2);
    let cancel = Terms {
        purpose: Purpose::Cancel,
        fee_rate: None,
        ..at(1)
    };
    let it = original(&old, &signed);
    let new = replace(&it, &[], cancel).expect("enough");
    let change = new.change.expect("all of it");
    assert_eq!(new.transaction.output.len(), 1);
    assert_eq!(change.index, old.change.expect("there is change").index);
    // What it replaces paid, and 0.1 sat/vB for its own 110 vB.
    let least = old.fee_sat + 11;
    assert!(
        new.fee_sat >= least && new.fee_sat <= least + 1,
        "{}",
        new.fee_sat
    );
    assert_eq!(change.value_sat, 50_000 - new.fee_sat);
    let given = Terms {
        fee_rate: Some(per_vb(20)),
        ..cancel
    };
    assert_eq!(replace(&it, &[], given).expect("enough").fee_sat, 2_200);
    let low = Terms {
        fee_rate: Some(per_vb(2)),
        ..cancel
    };
    assert!(min_rate(&replace(&it, &[], low).expect_err("too low")) > per_vb(2));
}
