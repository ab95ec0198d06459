//! `Judge` by windows: how often both sides fail, how long they take, and what a window is.

use std::sync::atomic::Ordering;
use std::time::Duration;

use btc_iface::{ErrorKind, Operation};
use btc_shadow::Watch;
use btc_shadow::compare::Verdict;
use btc_shadow::rollout::Limits;

use super::judge::{Court, Did, FAILED, WELL, heard};

/// Fails once in so many calls.
fn once_in(rate: u64, number: u64) -> Did {
    if number.is_multiple_of(rate) {
        FAILED
    } else {
        WELL
    }
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
