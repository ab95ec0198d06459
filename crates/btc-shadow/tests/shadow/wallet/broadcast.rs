//! Broadcasts: only the primary sends, the secondary checks the bytes on its own.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

use btc_iface::BroadcastVerdict::{Acceptable, Known, Refused};
use btc_iface::rust_bitcoin::Txid;
use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::{
    BitcoinError, BitcoinInterface, BitcoinTransaction, BroadcastVerdict, ErrorKind, Operation,
};
use btc_shadow::compare::Verdict;
use btc_shadow::record::Comparison;

use super::double::{Primary, Twin};
use super::honest::{block, check, payment, plan, snapshot, state};
use super::{Scene, expect, expect_reason, scene, scene_of};
use crate::double::failure;

pub(super) const OPERATION: Operation = Operation::BroadcastTransaction;

pub(super) fn transaction() -> BitcoinTransaction {
    let planned = plan(&payment(60_000), 2, &snapshot());
    planned.expect("enough coins").transaction
}

/// Sends one transaction and checks that the answer is the primary's, given once.
fn sent(primary: Primary, twin: Twin, transaction: &BitcoinTransaction) -> Scene {
    let expected = (primary.send)(transaction).map_err(|error| error.to_string());
    let scene = scene(2, primary, twin);
    let answer = scene.shadow.broadcast_transaction(transaction);
    assert_eq!(answer.map_err(|error| error.to_string()), expected);
    assert_eq!(scene.primary.acted.load(Ordering::Relaxed), 1);
    scene
}

fn accepted(twin: Twin) -> Scene {
    sent(Primary::honest(), twin, &transaction())
}

/// What is found when the primary fails with this kind and message.
fn failed(kind: ErrorKind, message: &'static str, twin: Twin) -> Scene {
    let primary = Primary {
        send: Box::new(move |_| Err(BitcoinError::new(kind, OPERATION, message))),
        ..Primary::honest()
    };
    sent(primary, twin, &transaction())
}

pub(super) fn always(verdict: BroadcastVerdict, reason: Option<&'static str>) -> Twin {
    Twin::hearing(move |_| (verdict, reason))
}

#[test]
fn a_transaction_that_the_secondarys_node_has_is_a_match() {
    let scene = accepted(Twin::honest());
    expect(&scene.comparison(), Verdict::Match, &[]);
    assert_eq!(scene.twin.checks.load(Ordering::Relaxed), 1);
}

#[test]
fn a_transaction_that_arrives_late_is_recovered() {
    let late = |call| (if call < 3 { Acceptable } else { Known }, None);
    let scene = accepted(Twin::hearing(late));
    expect(&scene.comparison(), Verdict::Recovered, &["verdict"]);
    assert_eq!(scene.twin.checks.load(Ordering::Relaxed), 3);
}

#[test]
fn a_transaction_that_never_arrives_was_not_sent() {
    let found = accepted(always(Acceptable, None)).comparison();
    expect(&found, Verdict::Mismatch, &["verdict"]);
    assert_eq!(found.differences[0].secondary, "acceptable");
}

#[test]
fn a_transaction_that_the_secondarys_node_refuses_differs_with_its_reason() {
    let found = accepted(always(Refused, Some("missing-inputs"))).comparison();
    expect(&found, Verdict::Mismatch, &["error.kind", "error.reason"]);
    assert_eq!(found.differences[1].secondary, "missing-inputs");
}

#[test]
fn another_txid_is_caught_on_either_side() {
    let primary = Primary {
        send: Box::new(|_| Ok(Txid::all_zeros().to_string())),
        ..Primary::honest()
    };
    let found = sent(primary, Twin::honest(), &transaction()).comparison();
    expect(&found, Verdict::Mismatch, &["txid"]);
    let twin = Twin {
        check: Box::new(|bytes, _| {
            let mut found = check(bytes, Known, None)?;
            let mut reversed = found.wtxid.to_byte_array();
            reversed.reverse();
            found.wtxid = Hash::from_byte_array(reversed);
            Ok(found)
        }),
        ..Twin::honest()
    };
    let scene = accepted(twin);
    expect(&scene.comparison(), Verdict::Mismatch, &["wtxid"]);
    assert_eq!(scene.twin.checks.load(Ordering::Relaxed), 1);
}

#[test]
fn the_bytes_are_those_of_the_fields_and_not_of_the_identifiers() {
    let mut other = transaction();
    other.outputs[0].value_sat += 1;
    // A primary that sends what does not belong together is caught.
    let found = sent(Primary::honest(), Twin::honest(), &other).comparison();
    expect(&found, Verdict::Mismatch, &["txid", "wtxid"]);
    // One that refuses it is right, though the bytes by themselves are a transaction.
    let primary = Primary {
        send: Box::new(|_| Err(failure(OPERATION, ErrorKind::InvalidInput))),
        ..Primary::honest()
    };
    let found = sent(primary, always(Acceptable, None), &other).comparison();
    expect(&found, Verdict::Match, &[]);
}

#[test]
fn input_that_both_sides_call_wrong_is_a_match() {
    let twin = || Twin {
        check: Box::new(|_, _| Err(failure(OPERATION, ErrorKind::InvalidInput))),
        ..Twin::honest()
    };
    let found = failed(ErrorKind::InvalidInput, "not a transaction", twin()).comparison();
    expect(&found, Verdict::Match, &[]);
    expect(
        &accepted(twin()).comparison(),
        Verdict::Mismatch,
        &["error.kind"],
    );
    let right = failed(ErrorKind::InvalidInput, "not a transaction", Twin::honest());
    expect(&right.comparison(), Verdict::Mismatch, &["error.kind"]);
}

#[test]
fn a_refusal_is_a_match_when_the_message_holds_the_reasons_class() {
    let cases = [
        (
            "the node rejects the transaction: bad-txns-inputs-missingorspent",
            "missing-inputs",
        ),
        (
            "the node rejects the transaction: min relay fee not met, 0 < 141",
            "min relay fee not met",
        ),
        (
            "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)",
            "max-fee-exceeded",
        ),
        (
            "mempool-script-verify-flag-failed (Signature is not DER), input 0 of 6c7b",
            "mempool-script-verify-flag-failed (Signature is not DER)",
        ),
        (
            "rejected: insufficient fee, rejecting replacement",
            "insufficient fee",
        ),
    ];
    for (message, reason) in cases {
        let scene = failed(ErrorKind::Rejected, message, always(Refused, Some(reason)));
        expect(&scene.comparison(), Verdict::Match, &[]);
    }
    let silent = failed(ErrorKind::Rejected, "no", always(Refused, None));
    expect(&silent.comparison(), Verdict::Match, &[]);
}

#[test]
fn a_refusal_for_another_reason_differs_unless_the_nodes_agree_later() {
    let message = "the node rejects the transaction: dust";
    let found = failed(
        ErrorKind::Rejected,
        message,
        always(Refused, Some("non-final")),
    );
    let found = found.comparison();
    expect(&found, Verdict::Mismatch, &["error.reason"]);
    assert_eq!(found.differences[0].primary, message);
    assert_eq!(found.differences[0].secondary, "non-final");
    let later = |call| {
        (
            Refused,
            Some(if call < 2 { "non-final" } else { "dust, tx 0" }),
        )
    };
    let scene = failed(ErrorKind::Rejected, message, Twin::hearing(later));
    expect(&scene.comparison(), Verdict::Recovered, &["error.reason"]);
}

#[test]
fn a_refusal_of_what_the_node_would_take_is_a_mismatch() {
    for verdict in [Known, Acceptable] {
        let scene = failed(ErrorKind::Rejected, "dust", always(verdict, None));
        let paths = ["error.kind", "error.reason"];
        expect(&scene.comparison(), Verdict::Mismatch, &paths);
        assert_eq!(scene.twin.checks.load(Ordering::Relaxed), 3);
    }
}

#[test]
fn a_limit_that_the_test_does_not_know_leaves_the_question_open() {
    let message = "Unspendable output exceeds maximum configured by user (maxburnamount)";
    let found = failed(ErrorKind::Rejected, message, always(Acceptable, None)).comparison();
    let reason = "the node's test does not know the limit on burnt value";
    expect_reason(&found, Verdict::Inconclusive, reason);
}

/// What is found when the primary took or refused a transaction, the nodes of both sides say this
/// from then on, and the chain moves meanwhile, or not.
fn found_later(
    primary: Primary,
    (ours, theirs): (BroadcastVerdict, BroadcastVerdict),
    moves: bool,
) -> Comparison {
    let calls = AtomicU64::new(0);
    let twin = Twin {
        state: Box::new(move || {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            let mut now = state();
            now.tip = block(if moves && call > 0 { 101 } else { 100 });
            Ok(now)
        }),
        ..always(theirs, Some("non-final"))
    };
    let primary_twin = always(ours, Some("non-final"));
    let scene = scene_of(2, primary, twin, Some(primary_twin));
    // What the caller gets is tested elsewhere.
    let _ = scene.shadow.broadcast_transaction(&transaction());
    scene.comparison()
}

#[test]
fn a_chain_that_moved_leaves_the_question_open_when_both_nodes_say_the_same() {
    let reason = "the chain moved, and both sides' nodes say the same now";
    let refusing = || Primary {
        send: Box::new(|_| Err(BitcoinError::new(ErrorKind::Rejected, OPERATION, "dust"))),
        ..Primary::honest()
    };
    for verdict in [Acceptable, Refused] {
        let found = found_later(Primary::honest(), (verdict, verdict), true);
        expect_reason(&found, Verdict::Inconclusive, reason);
        let found = found_later(refusing(), (verdict, verdict), true);
        expect_reason(&found, Verdict::Inconclusive, reason);
        // It was the same chain all the time: the primary's word is wrong.
        let found = found_later(Primary::honest(), (verdict, verdict), false);
        assert_eq!(found.verdict, Verdict::Mismatch);
        let found = found_later(refusing(), (verdict, verdict), false);
        assert_eq!(found.verdict, Verdict::Mismatch);
    }
    // The primary's node has it still.
    for theirs in [Acceptable, Refused] {
        let found = found_later(Primary::honest(), (Known, theirs), true);
        assert_eq!(found.verdict, Verdict::Mismatch);
    }
}

#[test]
fn an_unknown_outcome_leaves_the_question_open() {
    for kind in [ErrorKind::Timeout, ErrorKind::Unavailable] {
        let scene = failed(kind, "no answer", Twin::honest());
        let reason = format!("no answer from the primary: {kind}");
        expect_reason(&scene.comparison(), Verdict::Inconclusive, &reason);
        assert_eq!(scene.twin.checks.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_twin_that_panics_fails_or_offers_nothing_does_not_reach_the_caller() {
    let twin = Twin {
        check: Box::new(|_, _| resume_unwind(Box::new("the twin breaks"))),
        ..Twin::honest()
    };
    expect(
        &accepted(twin).comparison(),
        Verdict::Mismatch,
        &["error.kind"],
    );
    let failing = |kind| Twin {
        check: Box::new(move |_, _| Err(failure(OPERATION, kind))),
        ..Twin::honest()
    };
    let found = accepted(failing(ErrorKind::Unsupported)).comparison();
    expect_reason(&found, Verdict::Skipped, "unsupported by the secondary");
    let found = accepted(failing(ErrorKind::Timeout)).comparison();
    let reason = "no answer from the secondary: timeout";
    expect_reason(&found, Verdict::Inconclusive, reason);
}
