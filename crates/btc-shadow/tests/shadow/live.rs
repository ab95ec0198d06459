//! `Shadow` on live calls: whose answer is returned, who is asked, and the verdict.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{AddressType, BitcoinInterface, BitcoinResult, ErrorKind, Operation};
use btc_shadow::compare::Verdict;
use btc_shadow::record::{Comparison, Event};
use btc_shadow::sink::MemorySink;
use btc_shadow::{Policy, Shadow};

use crate::double::{Double, failure};
use crate::samples::transaction;

/// Shadow mode over two scripts, with all its parts in reach.
struct Pair {
    shadow: Shadow,
    primary: Arc<Double>,
    secondary: Arc<Double>,
    sink: Arc<MemorySink>,
}

fn pair(
    rechecks: usize,
    primary: impl Fn(Operation, u64) -> BitcoinResult<u64> + Send + Sync + 'static,
    secondary: impl Fn(Operation, u64) -> BitcoinResult<u64> + Send + Sync + 'static,
) -> Pair {
    let primary = Arc::new(Double::new(Python, primary));
    let secondary = Arc::new(Double::new(Rust, secondary));
    let sink = Arc::new(MemorySink::default());
    let policy = Policy {
        recheck_after_ms: vec![0; rechecks],
    };
    let shadow = Shadow::new(
        primary.clone(),
        secondary.clone(),
        policy,
        Box::new(Arc::clone(&sink)),
        true,
    );
    Pair {
        shadow,
        primary,
        secondary,
        sink,
    }
}

impl Pair {
    /// The one comparison that was logged.
    fn comparison(&self) -> Comparison {
        let mut comparisons = self.comparisons();
        assert_eq!(comparisons.len(), 1, "{comparisons:?}");
        comparisons.remove(0)
    }

    fn comparisons(&self) -> Vec<Comparison> {
        let lines = self.sink.lines().into_iter();
        lines
            .filter_map(|line| match line.event {
                Event::Comparison(comparison) => Some(comparison),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn the_answer_is_the_primarys_whatever_the_secondary_does() {
    type Secondary = fn(Operation, u64) -> BitcoinResult<u64>;
    let cases: [(&str, Secondary, Verdict); 5] = [
        ("agrees", |_, _| Ok(5), Verdict::Match),
        ("differs", |_, _| Ok(6), Verdict::Mismatch),
        (
            "fails",
            |operation, _| Err(failure(operation, ErrorKind::Internal)),
            Verdict::Mismatch,
        ),
        (
            "does not offer it",
            |operation, _| Err(failure(operation, ErrorKind::Unsupported)),
            Verdict::Skipped,
        ),
        (
            "panics",
            |_, _| resume_unwind(Box::new("the secondary breaks")),
            Verdict::Mismatch,
        ),
    ];
    for (name, secondary, verdict) in cases {
        let pair = pair(0, |_, _| Ok(5), secondary);
        let shadow = &pair.shadow;
        let found = shadow.get_transaction("id").expect(name);
        assert_eq!(found.outputs[0].value_sat, 5, "{name}");
        let block = shadow.get_block("hash").expect(name);
        assert_eq!(block[0].outputs[0].value_sat, 5, "{name}");
        assert_eq!(shadow.get_block_height().expect(name), 5, "{name}");
        assert_eq!(shadow.get_balance().expect(name), 5, "{name}");
        assert_eq!(shadow.estimate_fee(6).expect(name), 5, "{name}");
        let verdicts: Vec<_> = pair
            .comparisons()
            .iter()
            .map(|comparison| comparison.verdict)
            .collect();
        assert_eq!(verdicts, [verdict; 5], "{name}");
    }
}

#[test]
fn an_error_of_the_primary_is_returned_with_its_message() {
    let pair = pair(
        0,
        |operation, _| Err(failure(operation, ErrorKind::Rejected)),
        |_, _| Ok(5),
    );
    let error = pair.shadow.get_balance().expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.message(), "as the test wants it");
    let found = pair.comparison();
    assert_eq!(found.verdict, Verdict::Mismatch);
    assert_eq!(found.differences[0].path, "error.kind");
    assert_eq!(found.primary.error, Some(ErrorKind::Rejected));
    assert_eq!(found.secondary.expect("it was asked").error, None);
}

#[test]
fn a_panic_of_the_primary_goes_on_to_the_caller() {
    let pair = pair(
        0,
        |_, _| resume_unwind(Box::new("the primary breaks")),
        |_, _| Ok(5),
    );
    let caught = catch_unwind(AssertUnwindSafe(|| pair.shadow.get_balance()));
    let panic = caught.expect_err("it panicked");
    assert_eq!(
        panic.downcast_ref::<&str>().copied(),
        Some("the primary breaks")
    );
    assert_eq!(pair.secondary.asked(), []);
    let counts = pair.shadow.books().counts();
    assert!(counts.close(), "{counts:?}");
    assert_eq!(counts.total(Verdict::Inconclusive), 1);
}

#[test]
fn a_panic_of_the_secondary_is_recorded_as_an_internal_error() {
    let pair = pair(
        0,
        |_, _| Ok(5),
        |_, _| resume_unwind(Box::new("the secondary breaks")),
    );
    pair.shadow.get_balance().expect("the primary answers");
    let found = pair.comparison();
    let secondary = found.secondary.expect("it was asked");
    assert_eq!(secondary.error, Some(ErrorKind::Internal));
    assert_eq!(found.differences[0].secondary, "internal");
}

#[test]
fn a_height_that_converges_is_recovered_and_keeps_its_difference() {
    let pair = pair(
        3,
        |_, _| Ok(10),
        |_, call| Ok(if call < 3 { 9 } else { 10 }),
    );
    assert_eq!(pair.shadow.get_block_height().expect("a height"), 10);
    let found = pair.comparison();
    assert_eq!(found.verdict, Verdict::Recovered);
    assert_eq!(found.differences[0].path, "height");
    // The call itself, one recheck that still differed, one that agreed.
    assert_eq!(pair.primary.calls(Operation::GetBlockHeight), 3);
    assert_eq!(pair.secondary.calls(Operation::GetBlockHeight), 3);
}

#[test]
fn a_height_that_never_converges_is_a_mismatch() {
    let pair = pair(3, |_, _| Ok(10), |_, _| Ok(9));
    assert_eq!(pair.shadow.get_block_height().expect("a height"), 10);
    assert_eq!(pair.comparison().verdict, Verdict::Mismatch);
    // The call itself, three rechecks, and once more to see that both stay with it.
    assert_eq!(pair.secondary.calls(Operation::GetBlockHeight), 5);
}

#[test]
fn what_changes_faster_than_it_can_be_asked_leaves_the_question_open() {
    let pair = pair(3, |_, call| Ok(10 + call), |_, _| Ok(9));
    assert_eq!(pair.shadow.get_block_height().expect("a height"), 11);
    let found = pair.comparison();
    assert_eq!(found.verdict, Verdict::Inconclusive);
    let reason = "an answer changed while both sides were asked";
    assert_eq!(found.reason.as_deref(), Some(reason));
    // The call itself, three rechecks, and once more after the last one.
    assert_eq!(pair.primary.calls(Operation::GetBlockHeight), 5);
    assert_eq!(pair.secondary.calls(Operation::GetBlockHeight), 5);
}

#[test]
fn a_difference_counts_when_both_sides_stay_with_it() {
    let later = |height| move |_, call| Ok(if call < 4 { 9 } else { height });
    for (height, verdict) in [
        (8, Verdict::Inconclusive),
        (9, Verdict::Mismatch),
        (10, Verdict::Recovered),
    ] {
        let pair = pair(2, |_, _| Ok(10), later(height));
        pair.shadow.get_block_height().expect("a height");
        assert_eq!(pair.comparison().verdict, verdict);
    }
}

#[test]
fn the_first_answer_is_returned_even_when_a_recheck_brings_another() {
    let pair = pair(1, |_, call| Ok(9 + call), |_, _| Ok(11));
    assert_eq!(pair.shadow.get_block_height().expect("a height"), 10);
    assert_eq!(pair.comparison().verdict, Verdict::Recovered);
}

#[test]
fn a_recheck_in_which_a_side_breaks_recovers_nothing() {
    let breaks = |operation, call| match call {
        1 => Ok(10),
        2 => resume_unwind(Box::new("the primary breaks")),
        _ => Err(failure(operation, ErrorKind::Unavailable)),
    };
    let pair = pair(2, breaks, |_, _| Ok(9));
    assert_eq!(pair.shadow.get_block_height().expect("a height"), 10);
    assert_eq!(pair.comparison().verdict, Verdict::Mismatch);
}

#[test]
fn what_no_block_can_explain_is_not_asked_again() {
    let pair = pair(3, |_, _| Ok(1), |_, call| Ok(if call < 2 { 2 } else { 1 }));
    pair.shadow.get_transaction("id").expect("known");
    let found = pair.comparison();
    assert_eq!(found.verdict, Verdict::Mismatch);
    assert_eq!(found.differences[0].path, "outputs[0].value_sat");
    assert_eq!(pair.secondary.calls(Operation::GetTransaction), 1);
}

#[test]
fn a_transaction_that_arrives_late_at_one_side_is_recovered() {
    let late = |operation, call| match call {
        1 => Err(failure(operation, ErrorKind::NotFound)),
        _ => Ok(1),
    };
    let pair = pair(1, |_, _| Ok(1), late);
    pair.shadow.get_transaction("id").expect("known");
    assert_eq!(pair.comparison().verdict, Verdict::Recovered);
}

#[test]
fn what_acts_never_reaches_the_secondary() {
    let pair = pair(3, |_, _| Ok(5), |_, _| Ok(6));
    let shadow = &pair.shadow;
    for _ in 0..10 {
        let sent = shadow.broadcast_transaction(&transaction());
        assert_eq!(sent.expect("sent"), "5");
        let made = shadow.create_transaction(vec![("a".to_owned(), 1)], 1);
        assert_eq!(made.expect("made").outputs[0].value_sat, 5);
        let address = shadow.generate_address(AddressType::P2tr);
        assert_eq!(address.expect("an address").address, "5");
    }
    assert_eq!(pair.secondary.asked(), []);
    for operation in [
        Operation::BroadcastTransaction,
        Operation::CreateTransaction,
        Operation::GenerateAddress,
    ] {
        assert_eq!(pair.primary.calls(operation), 10, "{operation}");
    }
    let comparisons = pair.comparisons();
    assert_eq!(comparisons.len(), 30);
    for comparison in comparisons {
        assert_eq!(comparison.verdict, Verdict::Skipped);
        assert_eq!(comparison.secondary, None);
        assert_eq!(
            comparison.reason.as_deref(),
            Some("only the primary may act")
        );
    }
}

#[test]
fn a_failed_broadcast_is_returned_and_not_repeated() {
    let pair = pair(
        3,
        |operation, _| Err(failure(operation, ErrorKind::Timeout)),
        |_, _| Ok(6),
    );
    let error = pair
        .shadow
        .broadcast_transaction(&transaction())
        .expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(pair.primary.calls(Operation::BroadcastTransaction), 1);
    assert_eq!(pair.secondary.asked(), []);
}

#[test]
fn the_implementation_is_the_primarys() {
    let pair = pair(0, |_, _| Ok(1), |_, _| Ok(1));
    assert_eq!(pair.shadow.implementation_type(), Python);
}

#[test]
fn the_default_policy_asks_again_at_growing_intervals() {
    let waits = Policy::default().recheck_after_ms;
    assert!(waits.len() > 1 && waits.is_sorted());
}

#[test]
fn the_books_close_under_eight_threads() {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 200;
    // Every fourth call of the secondary differs, every fourth fails, every fourth panics.
    let pair = pair(
        1,
        |_, _| Ok(5),
        |operation, call| match call % 4 {
            0 => Ok(6),
            1 => Err(failure(operation, ErrorKind::Unavailable)),
            2 => resume_unwind(Box::new("the secondary breaks")),
            _ => Ok(5),
        },
    );
    let books = pair.shadow.books();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    pair.shadow.get_transaction("id").expect("answered");
                    pair.shadow.estimate_fee(2).expect("answered");
                    pair.shadow
                        .broadcast_transaction(&transaction())
                        .expect("answered");
                }
            });
        }
    });
    let counts = books.counts();
    assert!(counts.close(), "{counts:?}");
    assert_eq!(counts.total_offered(), THREADS * ROUNDS * 3);
    let all: u64 = Verdict::ALL
        .iter()
        .map(|verdict| counts.total(*verdict))
        .sum();
    assert_eq!(all, THREADS * ROUNDS * 3);
    let of = |operation, verdict| counts.verdicts[&operation].get(&verdict).copied();
    let each = Some(THREADS * ROUNDS / 4);
    let operation = Operation::GetTransaction;
    assert_eq!(of(operation, Verdict::Match), each);
    assert_eq!(of(operation, Verdict::Inconclusive), each);
    assert_eq!(of(operation, Verdict::Mismatch), Some(THREADS * ROUNDS / 2));
    let acted = of(Operation::BroadcastTransaction, Verdict::Skipped);
    assert_eq!(acted, Some(THREADS * ROUNDS));
    // Every call has its own number.
    let mut sequences: Vec<_> = pair
        .comparisons()
        .iter()
        .map(|comparison| comparison.sequence)
        .collect();
    sequences.sort_unstable();
    assert!((1..=THREADS * ROUNDS * 3).eq(sequences));
}
