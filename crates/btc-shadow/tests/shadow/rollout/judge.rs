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
pub(super) struct Court {
    pub(super) place: Place,
    pub(super) control: Arc<Control>,
    pub(super) judge: Judge,
    pub(super) now_ms: Arc<AtomicU64>,
}

/// What a side did: how long it took in microseconds, and how it failed.
pub(super) type Did = (u64, Option<ErrorKind>);

impl Court {
    pub(super) fn at(percent: u8) -> Self {
        Self::with(percent, Limits::default())
    }

    pub(super) fn with(percent: u8, limits: Limits) -> Self {
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

    pub(super) fn hear(&self, rust: Did, python: Did) {
        self.judge
            .judged(&heard(Operation::GetTransaction, rust, python));
    }

    /// A whole window of so many calls, of which the last ends it.
    pub(super) fn window(&self, calls: u64, call: impl Fn(u64) -> (Did, Did)) {
        for number in 0..calls {
            if number + 1 == calls {
                self.now_ms.fetch_add(60_000, Ordering::Relaxed);
            }
            let (rust, python) = call(number);
            self.hear(rust, python);
        }
    }

    pub(super) fn is_rolled_back(&self) -> bool {
        let state = self.place.file.read().expect("sound");
        assert_eq!(self.control.percent(), state.percent);
        assert_eq!(state.percent == 0, state.is_rolled_back);
        state.is_rolled_back
    }

    pub(super) fn reason(&self) -> String {
        self.place.file.read().expect("sound").reason
    }
}

pub(super) fn heard(operation: Operation, rust: Did, python: Did) -> Comparison {
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

pub(super) const WELL: Did = (2_000, None);
pub(super) const FAILED: Did = (2_000, Some(ErrorKind::Unavailable));

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
