//! New addresses: the secondary derives the index that the primary reserved.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use btc_iface::{AddressType, BitcoinInterface, ErrorKind, Network, Operation};
use btc_shadow::OffPath;
use btc_shadow::compare::Verdict;

use super::double::{Primary, Twin};
use super::honest::{address, snapshot};
use super::{Scene, expect, expect_reason, scene};
use crate::double::failure;

const OPERATION: Operation = Operation::GenerateAddress;

/// Asks for one address and checks that the answer is the primary's.
fn asked(primary: Primary, twin: Twin) -> Scene {
    let expected = (primary.reserve)(AddressType::P2tr);
    let scene = scene(2, primary, twin);
    let answer = scene.shadow.generate_address(AddressType::P2tr);
    assert_eq!(answer.ok(), expected.ok());
    assert_eq!(scene.primary.acted.load(Ordering::Relaxed), 1);
    scene
}

fn failing(kind: ErrorKind) -> Primary {
    Primary {
        reserve: Box::new(move |_| Err(failure(OPERATION, kind))),
        ..Primary::honest()
    }
}

#[test]
fn the_same_index_gives_the_same_address() {
    let found = asked(Primary::honest(), Twin::honest()).comparison();
    expect(&found, Verdict::Match, &[]);
    assert!(found.secondary.is_some());
}

#[test]
fn an_address_of_another_index_differs_in_address_script_and_index() {
    let twin = Twin {
        derive: Box::new(|address_type, index| {
            Ok(address(Network::Regtest, address_type, index + 1))
        }),
        ..Twin::honest()
    };
    let found = asked(Primary::honest(), twin).comparison();
    let fields = ["address", "script_pubkey", "index"];
    expect(&found, Verdict::Mismatch, &fields);
    assert_eq!(found.differences[2].primary, "7");
    assert_eq!(found.differences[2].secondary, "8");
}

#[test]
fn a_wrong_prefix_differs_in_the_address_alone() {
    let twin = Twin {
        derive: Box::new(|address_type, index| {
            let other = address(Network::Bitcoin, address_type, index);
            Ok(btc_iface::BitcoinAddress {
                network: Network::Regtest,
                ..other
            })
        }),
        ..Twin::honest()
    };
    let found = asked(Primary::honest(), twin).comparison();
    expect(&found, Verdict::Mismatch, &["address"]);
    assert!(found.differences[0].primary.starts_with("bcrt1"));
    assert!(found.differences[0].secondary.starts_with("bc1"));
}

#[test]
fn the_type_that_was_asked_for_is_derived() {
    let primary = Primary {
        reserve: Box::new(|_| Ok(address(Network::Regtest, AddressType::P2wpkh, 7))),
        ..Primary::honest()
    };
    let found = asked(primary, Twin::honest()).comparison();
    let fields = ["address", "address_type", "script_pubkey"];
    expect(&found, Verdict::Mismatch, &fields);
    assert_eq!(found.differences[1].primary, "p2wpkh");
    assert_eq!(found.differences[1].secondary, "p2tr");
}

#[test]
fn an_address_without_an_index_is_skipped_with_the_reason() {
    let primary = Primary {
        reserve: Box::new(|address_type| {
            let address = address(Network::Regtest, address_type, 7);
            Ok(btc_iface::BitcoinAddress {
                index: None,
                ..address
            })
        }),
        ..Primary::honest()
    };
    let found = asked(primary, Twin::honest()).comparison();
    let reason = "the primary's address does not name its index";
    expect_reason(&found, Verdict::Skipped, reason);
    assert_eq!(found.secondary, None);
}

#[test]
fn a_twin_that_offers_nothing_is_skipped_with_the_reason() {
    let twin = Twin {
        derive: Box::new(|_, _| Err(failure(OPERATION, ErrorKind::Unsupported))),
        ..Twin::honest()
    };
    let found = asked(Primary::honest(), twin).comparison();
    expect_reason(&found, Verdict::Skipped, "unsupported by the secondary");
}

#[test]
fn a_twin_that_panics_is_an_internal_error_and_not_the_callers() {
    let twin = Twin {
        derive: Box::new(|_, _| resume_unwind(Box::new("the twin breaks"))),
        ..Twin::honest()
    };
    let found = asked(Primary::honest(), twin).comparison();
    expect(&found, Verdict::Mismatch, &["error.kind"]);
    assert_eq!(found.differences[0].secondary, "internal");
}

#[test]
fn a_failure_is_judged_by_whether_the_secondary_can_derive_at_all() {
    let found = asked(failing(ErrorKind::Rejected), Twin::honest()).comparison();
    expect(&found, Verdict::Mismatch, &["error.kind"]);
    let twin = Twin {
        derive: Box::new(|_, index| {
            assert_eq!(index, 0);
            Err(failure(OPERATION, ErrorKind::InvalidInput))
        }),
        ..Twin::honest()
    };
    let found = asked(failing(ErrorKind::InvalidInput), twin).comparison();
    expect(&found, Verdict::Match, &[]);
}

#[test]
fn a_side_that_cannot_be_asked_leaves_the_question_open() {
    let found = asked(failing(ErrorKind::Timeout), Twin::honest()).comparison();
    let reason = "no answer from the primary: timeout";
    expect_reason(&found, Verdict::Inconclusive, reason);
    assert_eq!(found.secondary, None);
    let twin = Twin {
        derive: Box::new(|_, _| Err(failure(OPERATION, ErrorKind::Unavailable))),
        ..Twin::honest()
    };
    let found = asked(Primary::honest(), twin).comparison();
    let reason = "no answer from the secondary: unavailable";
    expect_reason(&found, Verdict::Inconclusive, reason);
}

#[test]
fn what_a_slow_snapshot_saw_at_its_end_was_not_known_at_its_beginning() {
    // The look of the first comparison begins before the second call, and ends with a coin on the
    // address that the second call was given.
    let (has_begun, begun) = mpsc::channel();
    let (go_on, gone_on) = mpsc::channel::<()>();
    let (begins, waits) = (Mutex::new(Some(has_begun)), Mutex::new(gone_on));
    let twin = Twin {
        snapshot: Box::new(move || {
            if let Some(begins) = begins.lock().expect("one worker").take() {
                begins.send(()).expect("the test waits");
                waits.lock().expect("one worker").recv().expect("let go");
            }
            let mut seen = snapshot();
            seen.coins[0].address_type = AddressType::P2tr;
            seen.coins[0].index = 7;
            Ok(seen)
        }),
        ..Twin::honest()
    };
    let index = AtomicU32::new(5);
    let primary = Primary {
        reserve: Box::new(move |address_type| {
            let index = index.fetch_add(1, Ordering::SeqCst);
            Ok(address(Network::Regtest, address_type, index))
        }),
        ..Primary::honest()
    };
    let settings = OffPath {
        workers: 1,
        ..OffPath::default()
    };
    let scene = scene(2, primary, twin);
    let shadow = scene.shadow.off_path(settings).expect("threads");
    let ask = || {
        let answer = shadow.generate_address(AddressType::P2tr);
        answer.expect("the primary answers").index
    };
    assert_eq!(ask(), Some(5));
    begun.recv().expect("the worker looks");
    assert_eq!((ask(), ask()), (Some(6), Some(7)));
    go_on.send(()).expect("the worker waits");
    let books = shadow.books();
    assert!(shadow.finish(Duration::from_mins(1)));
    let counts = books.counts();
    assert_eq!(counts.total(Verdict::Mismatch), 0, "{counts:?}");
    assert_eq!(counts.total(Verdict::Match), 3, "{counts:?}");
}
