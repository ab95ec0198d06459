//! `Judge`: what rolls back at once, what after two windows, and what never.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{ErrorKind, Operation};
use btc_shadow::Watch;
use btc_shadow::compare::{Difference, Verdict};
use btc_shadow::record::{Comparison, Digest, Side};
use btc_shadow::rollout::{Clock, Consent, Control, Judge, Limits};

use super::{JUMP, Place};

/// A judge whose clock the test moves.
struct Court {
    place: Place,
    control: Arc<Control>,
    judge: Judge,
    now_ms: Arc<AtomicU64>,
}

/// What a side did: how long it took in microseconds, and how it failed.
type Did = (u64, Option<ErrorKind>);

impl Court {
    fn at(percent: u8) -> Self {
        Self::with(percent, Limits::default())
    }

    fn with(percent: u8, limits: Limits) -> Self {
        let place = Place::at(percent);
        let control = place.control();
        let now_ms = Arc::new(AtomicU64::new(7));
        let hand = Arc::clone(&now_ms);
        let clock: Clock = Arc::new(move || Duration::from_millis(hand.load(Ordering::Relaxed)));
        Self {
            judge: Judge::with_clock(Arc::clone(&control), limits, clock),
            place,
            control,
            now_ms,
        }
    }

    fn hear(&self, rust: Did, python: Did) {
        self.judge
            .judged(&heard(Operation::GetTransaction, rust, python));
    }

    /// A whole window of so many calls, of which the last ends it.
    fn window(&self, calls: u64, call: impl Fn(u64) -> (Did, Did)) {
        for number in 0..calls {
            if number + 1 == calls {
                self.now_ms.fetch_add(60_000, Ordering::Relaxed);
            }
            let (rust, python) = call(number);
            self.hear(rust, python);
        }
    }

    fn is_rolled_back(&self) -> bool {
        let state = self.place.file.read().expect("sound");
        assert_eq!(self.control.percent(), state.percent);
        assert_eq!(state.percent == 0, state.is_rolled_back);
        state.is_rolled_back
    }

    fn reason(&self) -> String {
        self.place.file.read().expect("sound").reason
    }
}

fn heard(operation: Operation, rust: Did, python: Did) -> Comparison {
    let side = |implementation, (micros, error): Did| Side {
        implementation,
        duration_ns: micros * 1000,
        error,
        tips: None,
    };
    Comparison {
        sequence: 17,
        time_ms: 1,
        operation,
        verdict: Verdict::Match,
        input: Digest(1),
        primary: side(Rust, rust),
        secondary: Some(side(Python, python)),
        rechecks: 0,
        differences: Vec::new(),
        reason: None,
    }
}

fn mismatch(operation: Operation, path: &str) -> Comparison {
    Comparison {
        verdict: Verdict::Mismatch,
        differences: vec![Difference {
            path: path.to_owned(),
            primary: "a secret 1".to_owned(),
            secondary: "a secret 2".to_owned(),
            tip: false,
        }],
        ..heard(operation, WELL, WELL)
    }
}

const WELL: Did = (2_000, None);
const FAILED: Did = (2_000, Some(ErrorKind::Unavailable));

/// Fails once in so many calls.
fn once_in(rate: u64, number: u64) -> Did {
    if number.is_multiple_of(rate) {
        FAILED
    } else {
        WELL
    }
}

#[test]
fn one_mismatch_about_money_is_enough() {
    for operation in Operation::CALLS {
        let court = Court::at(25);
        court
            .judge
            .judged(&mismatch(operation, "outputs[0].value_sat"));
        let is_about_money = !matches!(
            operation,
            Operation::GetBlockHeight | Operation::EstimateFee
        );
        assert_eq!(court.is_rolled_back(), is_about_money, "{operation}");
        if is_about_money {
            let reason = format!("mismatch in {operation} at outputs[0].value_sat (call 17)");
            assert_eq!(court.reason(), reason);
        }
    }
}

#[test]
fn no_other_verdict_rolls_back() {
    for verdict in Verdict::ALL {
        let court = Court::at(25);
        let comparison = Comparison {
            verdict,
            reason: Some(Cow::Borrowed("why")),
            ..mismatch(Operation::CreateTransaction, "txid")
        };
        court.judge.judged(&comparison);
        assert_eq!(court.is_rolled_back(), verdict == Verdict::Mismatch);
    }
}

#[test]
fn a_held_share_is_rolled_back_too() {
    let court = Court::at(25);
    let hold = court.place.file.update(|state| {
        state.hold("the weekend");
        Ok(())
    });
    hold.expect("allowed");
    court.control.refresh();
    court
        .judge
        .judged(&mismatch(Operation::GetBlock, "[0].txid"));
    assert!(court.is_rolled_back());
}

#[test]
fn at_0_percent_a_mismatch_asks_for_an_acknowledgement() {
    let court = Court::at(0);
    court
        .judge
        .judged(&mismatch(Operation::GetBlock, "[0].txid"));
    court
        .judge
        .judged(&mismatch(Operation::GetBlock, "[1].txid"));
    assert!(court.is_rolled_back());
    assert_eq!(
        court.reason(),
        "mismatch in get_block at [0].txid (call 17)"
    );
    let set = |consent| {
        let file = &court.place.file;
        file.update(|state| state.set(1, consent, "up"))
    };
    set(JUMP).expect_err("not acknowledged");
    let after = Consent {
        after_rollback: true,
        ..JUMP
    };
    set(after).expect("acknowledged");
}

#[test]
fn two_windows_with_more_failures_are_enough_and_one_is_not() {
    let court = Court::at(25);
    let bad = |number| (once_in(50, number), WELL);
    court.window(100, bad);
    assert!(!court.is_rolled_back());
    court.window(100, bad);
    assert!(court.is_rolled_back());
    let reason = court.reason();
    assert!(
        reason.contains("rust failed in 2 of 100 calls, python in 0 of 100"),
        "{reason}"
    );
    assert!(reason.contains("2 windows"), "{reason}");
}

#[test]
fn windows_must_be_bad_in_a_row() {
    let court = Court::at(25);
    let bad = |number| (once_in(50, number), WELL);
    for _ in 0..3 {
        court.window(100, bad);
        court.window(100, |_| (WELL, WELL));
    }
    assert!(!court.is_rolled_back());
}

#[test]
fn the_limit_of_failures_is_one_percentage_point() {
    for (rust, python, is_breach) in [
        // Exactly one point more.
        (100, u64::MAX, false),
        (99, u64::MAX, true),
        // Both fail, as when the node is away.
        (1, 1, false),
        (10, 10, false),
        (10, 11, false),
        (10, 20, true),
        // Python fails more.
        (u64::MAX, 2, false),
    ] {
        let court = Court::at(25);
        let from_one = |rate, number| once_in(rate, number + 1);
        for _ in 0..2 {
            court.window(990, |number| {
                (from_one(rust, number), from_one(python, number))
            });
        }
        assert_eq!(court.is_rolled_back(), is_breach, "{rust} {python}");
    }
}

#[test]
fn what_is_an_answer_is_no_failure() {
    use ErrorKind::{InvalidInput, NotFound, Rejected, Unsupported};
    for kind in ErrorKind::ALL {
        let court = Court::at(25);
        for _ in 0..2 {
            court.window(100, |_| ((2_000, Some(kind)), WELL));
        }
        let is_answer = matches!(kind, InvalidInput | NotFound | Rejected | Unsupported);
        assert_eq!(court.is_rolled_back(), !is_answer, "{kind}");
    }
}

#[test]
fn failures_count_when_the_other_side_was_not_asked() {
    let court = Court::at(25);
    for number in 0..200 {
        if number % 100 == 99 {
            court.now_ms.fetch_add(60_000, Ordering::Relaxed);
        }
        let mut comparison = heard(Operation::BroadcastTransaction, FAILED, WELL);
        comparison.secondary = None;
        comparison.verdict = Verdict::Inconclusive;
        court.judge.judged(&comparison);
    }
    assert!(court.is_rolled_back());
}

#[test]
fn it_does_not_matter_who_answers_the_caller() {
    for is_rust_first in [true, false] {
        let court = Court::at(25);
        for number in 0..200 {
            if number % 100 == 99 {
                court.now_ms.fetch_add(60_000, Ordering::Relaxed);
            }
            let mut comparison = heard(Operation::GetBlock, FAILED, WELL);
            if !is_rust_first {
                let rust = comparison.secondary.replace(comparison.primary.clone());
                comparison.primary = rust.expect("it was asked");
            }
            court.judge.judged(&comparison);
        }
        assert!(court.is_rolled_back());
    }
}

#[test]
fn a_window_lasts_until_it_has_both_its_time_and_its_calls() {
    // Enough time, not enough calls.
    let court = Court::at(25);
    for _ in 0..99 {
        court.now_ms.fetch_add(60_000, Ordering::Relaxed);
        court.hear(FAILED, WELL);
    }
    assert!(!court.is_rolled_back());
    court.hear(FAILED, WELL);
    assert!(!court.is_rolled_back());
    // Enough calls, not enough time.
    court.now_ms.fetch_add(59_999, Ordering::Relaxed);
    for _ in 0..10_000 {
        court.hear(FAILED, WELL);
    }
    assert!(!court.is_rolled_back());
    court.now_ms.fetch_add(1, Ordering::Relaxed);
    court.hear(FAILED, WELL);
    assert!(court.is_rolled_back());
}

#[test]
fn two_windows_with_a_longer_p99_are_enough() {
    for (slow_micros, slow_calls, is_breach) in [
        (20_000, 2, true),
        (20_000, 1, false),
        (2_900, 100, false),
        (3_200, 100, true),
    ] {
        let court = Court::at(25);
        for _ in 0..2 {
            court.window(100, |number| {
                let rust = if number < slow_calls {
                    slow_micros
                } else {
                    2_000
                };
                ((rust, None), WELL)
            });
        }
        assert_eq!(
            court.is_rolled_back(),
            is_breach,
            "{slow_micros} {slow_calls}"
        );
        if is_breach {
            let reason = court.reason();
            assert!(reason.contains("p99 for get_transaction"), "{reason}");
        }
    }
}

#[test]
fn times_compare_by_operation_and_for_answered_reads_only() {
    // Slow only beside another operation's times.
    let court = Court::at(25);
    let hear = |operation, rust: Did, python: Did| {
        for _ in 0..2 {
            for number in 0..150 {
                if number == 149 {
                    court.now_ms.fetch_add(60_000, Ordering::Relaxed);
                }
                court.judge.judged(&heard(operation, rust, python));
            }
        }
    };
    hear(Operation::GetBlock, (90_000, None), (90_000, None));
    hear(Operation::GetBlockHeight, (1_000, None), (1_000, None));
    // Building takes the primary longer than planning takes the twin.
    hear(Operation::CreateTransaction, (90_000, None), WELL);
    // To fail, or to find nothing, is another kind of work.
    hear(
        Operation::GetBlock,
        (90_000, Some(ErrorKind::NotFound)),
        WELL,
    );
    // Below a millisecond everything is noise.
    hear(Operation::GetBalance, (900, None), (100, None));
    assert!(!court.is_rolled_back());
    hear(Operation::GetBalance, (9_000, None), (1_000, None));
    assert!(court.is_rolled_back());
}

#[test]
fn windows_start_anew_when_the_share_changes() {
    let court = Court::at(25);
    let bad = |number| (once_in(50, number), WELL);
    court.window(100, bad);
    court.place.set(50);
    court.control.refresh();
    court.window(100, bad);
    assert!(!court.is_rolled_back());
    court.window(100, bad);
    assert!(court.is_rolled_back());
}

#[test]
fn at_0_percent_windows_say_nothing() {
    let court = Court::at(0);
    for _ in 0..5 {
        court.window(100, |_| (FAILED, WELL));
    }
    assert!(!court.place.file.read().expect("sound").is_rolled_back);
}

#[test]
fn the_limits_can_be_others() {
    let limits = Limits {
        window: Duration::from_secs(10),
        min_calls: 10,
        windows: 1,
        max_failures_per_mille: 500,
        ..Limits::default()
    };
    for (rate, is_breach) in [(2, false), (1, true)] {
        let court = Court::with(25, limits.clone());
        for number in 0..10 {
            if number == 9 {
                court.now_ms.fetch_add(10_000, Ordering::Relaxed);
            }
            court.hear(once_in(rate, number), WELL);
        }
        assert_eq!(court.is_rolled_back(), is_breach);
    }
}
