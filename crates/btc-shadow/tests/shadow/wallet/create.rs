//! New transactions: the secondary plans the same one on the primary's snapshot.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use btc_iface::rust_bitcoin::Witness;
use btc_iface::{AddressType, BitcoinInterface, BitcoinTransaction, ErrorKind, Network, Operation};
use btc_shadow::Shadow;
use btc_shadow::compare::Verdict;
use btc_shadow::record::Comparison;

use super::double::{Primary, Twin};
use super::honest::{address, payment, plan, snapshot};
use super::{Scene, expect, expect_reason, scene, scene_of};
use crate::double::failure;

const OPERATION: Operation = Operation::CreateTransaction;

/// Pays 60,000 sat, which takes two coins and leaves change, and checks that the answer is the
/// primary's.
fn asked(twin: Twin) -> Scene {
    let scene = scene(2, Primary::honest(), twin);
    let expected = plan(&payment(60_000), 2, &snapshot()).expect("enough coins");
    let made = scene.shadow.create_transaction(payment(60_000), 2);
    assert_eq!(made.expect("made"), expected.transaction);
    assert_eq!(scene.primary.acted.load(Ordering::Relaxed), 1);
    scene
}

/// What a primary that fails like this is judged to be, for this payment.
fn failed(kind: ErrorKind, outputs: Vec<(String, u64)>, twin: Twin) -> Comparison {
    let primary = Primary {
        create: Box::new(move |_, _| Err(failure(OPERATION, kind))),
        ..Primary::honest()
    };
    let scene = scene(2, primary, twin);
    let error = scene.shadow.create_transaction(outputs, 2);
    assert_eq!(error.expect_err("it fails").kind(), kind);
    assert_eq!(scene.primary.acted.load(Ordering::Relaxed), 1);
    scene.comparison()
}

/// A twin that does not tell its coins.
fn silent() -> Twin {
    Twin {
        snapshot: Box::new(|| Err(failure(OPERATION, ErrorKind::Unsupported))),
        ..Twin::honest()
    }
}

#[test]
fn the_same_coins_give_the_same_bytes() {
    let scene = asked(Twin::honest());
    expect(&scene.comparison(), Verdict::Match, &[]);
    assert_eq!(scene.twin.plans.load(Ordering::Relaxed), 1);
}

#[test]
fn every_fault_is_caught_at_its_field() {
    type Fault = fn(&mut BitcoinTransaction);
    // A change of what is signed changes the txid; the signatures of the double do not follow.
    let ids = ["txid", "wtxid"];
    let cases: [(&str, &[&str], Fault); 9] = [
        ("wrong change index", &["outputs[1].script_pubkey"], |t| {
            t.outputs[1].script_pubkey =
                address(Network::Regtest, AddressType::P2wpkh, 4).script_pubkey;
        }),
        (
            "swapped outputs",
            &[
                "outputs[0].value_sat",
                "outputs[0].script_pubkey",
                "outputs[1].value_sat",
                "outputs[1].script_pubkey",
            ],
            |t| t.outputs.swap(0, 1),
        ),
        (
            "fee rounded the other way",
            &["outputs[1].value_sat", "fee_sat"],
            |t| {
                t.outputs[1].value_sat += 1;
                t.fee_sat = t.fee_sat.map(|fee_sat| fee_sat - 1);
            },
        ),
        ("change left out", &["outputs.length"], |t| {
            t.outputs.pop();
        }),
        (
            "swapped coins",
            &["inputs[0].previous_output", "inputs[1].previous_output"],
            |t| t.inputs.swap(0, 1),
        ),
        ("another sequence", &["inputs[1].sequence"], |t| {
            t.inputs[1].sequence = 0xffff_fffe;
        }),
        ("another version", &["version"], |t| t.version = 1),
        ("the next height", &["lock_time"], |t| t.lock_time += 1),
        (
            "a script where none belongs",
            &["inputs[0].script_sig"],
            |t| {
                t.inputs[0].script_sig =
                    address(Network::Regtest, AddressType::P2wpkh, 0).script_pubkey;
            },
        ),
    ];
    for (name, expected, fault) in cases {
        let found = asked(Twin::spoiling(fault)).comparison();
        assert_eq!(found.verdict, Verdict::Mismatch, "{name}");
        let is_consequence =
            |path: &&str| !ids.contains(path) && !["size", "weight"].contains(path);
        let fields: Vec<_> = super::paths(&found)
            .into_iter()
            .filter(is_consequence)
            .collect();
        assert_eq!(fields, expected, "{name}");
        for id in ids {
            assert!(super::paths(&found).contains(&id), "{name}: {id}");
        }
        assert!(found.differences.iter().all(|found| !found.tip), "{name}");
    }
}

#[test]
fn a_wrong_witness_byte_changes_the_wtxid_and_not_the_txid() {
    let twin = Twin::spoiling(|t| {
        let mut signature = vec![0x30; 71];
        signature[70] = 0x31;
        t.inputs[0].witness = Witness::from_slice(&[signature, vec![0x02; 33]]);
    });
    let found = asked(twin).comparison();
    expect(
        &found,
        Verdict::Mismatch,
        &["inputs[0].witness[0]", "wtxid"],
    );
}

#[test]
fn a_fee_that_one_side_does_not_tell_differs() {
    let found = asked(Twin::spoiling(|t| t.fee_sat = None)).comparison();
    expect(&found, Verdict::Mismatch, &["fee_sat"]);
    assert_eq!(found.differences[0].secondary, "none");
}

#[test]
fn a_wrong_amount_is_not_crowded_out_by_signatures() {
    let twin = Twin::spoiling(|t| {
        let mut input = t.inputs[0].clone();
        input.witness = Witness::from_slice(&[vec![1]]);
        t.inputs = vec![input; 40];
        t.outputs[1].value_sat += 1;
    });
    let found = asked(twin).comparison();
    assert_eq!(found.differences[0].path, "outputs[1].value_sat");
}

#[test]
fn a_fault_is_not_asked_again() {
    let scene = asked(Twin::spoiling(|t| t.lock_time = 0));
    assert_eq!(scene.comparison().verdict, Verdict::Mismatch);
    assert_eq!(scene.twin.plans.load(Ordering::Relaxed), 1);
}

#[test]
fn a_secondary_that_lacks_coins_it_was_shown_differs_in_kind() {
    let twin = Twin {
        plan: Box::new(|_, _, _, _| Err(failure(OPERATION, ErrorKind::Rejected))),
        ..Twin::honest()
    };
    let scene = asked(twin);
    let found = scene.comparison();
    expect(&found, Verdict::Mismatch, &["error.kind"]);
    assert_eq!(found.differences[0].primary, "ok");
    assert_eq!(scene.twin.plans.load(Ordering::Relaxed), 1);
}

#[test]
fn a_twin_that_panics_or_offers_nothing_does_not_reach_the_caller() {
    let twin = Twin {
        plan: Box::new(|_, _, _, _| resume_unwind(Box::new("the twin breaks"))),
        ..Twin::honest()
    };
    let found = asked(twin).comparison();
    expect(&found, Verdict::Mismatch, &["error.kind"]);
    assert_eq!(found.differences[0].secondary, "internal");
    let twin = Twin {
        plan: Box::new(|_, _, _, _| Err(failure(OPERATION, ErrorKind::Unsupported))),
        ..Twin::honest()
    };
    let found = asked(twin).comparison();
    expect_reason(&found, Verdict::Skipped, "unsupported by the secondary");
}

#[test]
fn wrong_input_is_wrong_on_both_sides() {
    for twin in [Twin::honest(), silent()] {
        let found = failed(ErrorKind::InvalidInput, Vec::new(), twin);
        expect(&found, Verdict::Match, &[]);
    }
}

#[test]
fn an_error_of_another_kind_is_caught() {
    let too_much = || payment(1_000_000);
    let cases = [
        // Too few coins, called wrong input.
        (ErrorKind::InvalidInput, too_much(), "rejected"),
        // Wrong input, called too few coins.
        (ErrorKind::Rejected, Vec::new(), "invalid_input"),
        (ErrorKind::Internal, Vec::new(), "invalid_input"),
    ];
    for (kind, outputs, secondary) in cases {
        for twin in [Twin::honest(), silent()] {
            let found = failed(kind, outputs.clone(), twin);
            expect(&found, Verdict::Mismatch, &["error.kind"]);
            assert_eq!(found.differences[0].secondary, secondary);
        }
    }
}

#[test]
fn too_few_coins_are_counted_on_the_secondarys_own() {
    let found = failed(ErrorKind::Rejected, payment(1_000_000), Twin::telling());
    expect(&found, Verdict::Match, &[]);
    let found = failed(ErrorKind::Rejected, payment(60_000), Twin::telling());
    expect(&found, Verdict::Mismatch, &["error.kind"]);
    assert_eq!(found.differences[0].secondary, "ok");
}

#[test]
fn too_few_coins_prove_nothing_when_the_secondary_does_not_tell_its_own() {
    for outputs in [payment(60_000), payment(1_000_000)] {
        let found = failed(ErrorKind::Rejected, outputs, silent());
        let reason = "the secondary does not tell its coins";
        expect_reason(&found, Verdict::Inconclusive, reason);
    }
}

#[test]
fn too_few_coins_are_judged_on_what_both_sides_say_now() {
    // The coins arrived after the primary had failed: its own twin sees them too.
    let primary = Primary {
        create: Box::new(|_, _| Err(failure(OPERATION, ErrorKind::Rejected))),
        ..Primary::honest()
    };
    let scene = scene_of(1, primary, Twin::telling(), Some(Twin::telling()));
    let answer = scene.shadow.create_transaction(payment(60_000), 2);
    assert_eq!(answer.expect_err("it fails").kind(), ErrorKind::Rejected);
    expect(&scene.comparison(), Verdict::Recovered, &["error.kind"]);
    // A primary that is broken still says so.
    let primary = Primary {
        create: Box::new(|_, _| Err(failure(OPERATION, ErrorKind::Rejected))),
        ..Primary::honest()
    };
    let broken = Twin {
        plan: Box::new(|_, _, _, _| Err(failure(OPERATION, ErrorKind::Rejected))),
        ..Twin::telling()
    };
    let scene = scene_of(1, primary, Twin::telling(), Some(broken));
    let answer = scene.shadow.create_transaction(payment(60_000), 2);
    assert_eq!(answer.expect_err("it fails").kind(), ErrorKind::Rejected);
    expect(&scene.comparison(), Verdict::Mismatch, &["error.kind"]);
}

#[test]
fn a_primary_that_cannot_be_asked_leaves_the_question_open() {
    let found = failed(ErrorKind::Unavailable, payment(1), Twin::honest());
    let reason = "no answer from the primary: unavailable";
    expect_reason(&found, Verdict::Inconclusive, reason);
    assert_eq!(found.secondary, None);
}

#[test]
fn without_wallets_only_the_primary_is_asked() {
    let primary = Arc::new(Primary::honest());
    let secondary = Arc::new(super::Untouchable::default());
    let sink = Arc::new(btc_shadow::sink::MemorySink::default());
    let shadow = Shadow::new(
        Arc::clone(&primary) as _,
        Arc::clone(&secondary) as _,
        btc_shadow::Policy::default(),
        Box::new(sink),
        true,
    );
    let made = shadow.create_transaction(payment(60_000), 2);
    assert_eq!(made.expect("made").outputs[0].value_sat, 60_000);
    let counts = shadow.books().counts();
    assert_eq!(counts.total(Verdict::Skipped), 1);
    assert_eq!(secondary.touched(), 0);
}

#[test]
fn a_class_with_the_eight_operations_alone_pays_as_without_shadow_mode() {
    let missing = failure(OPERATION, ErrorKind::Unsupported);
    let primary = Primary {
        create: Box::new(move |_, _| Err(missing.clone())),
        create_alone: Some(Box::new(|outputs, fee_rate| {
            let planned = plan(outputs, fee_rate, &snapshot())?;
            Ok((planned.transaction, snapshot()))
        })),
        ..Primary::honest()
    };
    let scene = scene(2, primary, Twin::honest());
    let made = scene.shadow.create_transaction(payment(60_000), 2);
    let expected = plan(&payment(60_000), 2, &snapshot()).expect("enough coins");
    assert_eq!(made.expect("made"), expected.transaction);
    let found = scene.comparison();
    assert_eq!(found.verdict, Verdict::Skipped, "{found:?}");
    assert_eq!(scene.secondary.touched(), 0);
}
