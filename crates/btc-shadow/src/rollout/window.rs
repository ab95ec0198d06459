//! `Window`: how often both sides failed and how long they took, over a stretch of time.

use std::time::Duration;

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{BitcoinImplementationType, ErrorKind, Operation};
use hdrhistogram::Histogram;

use super::judge::Limits;
use crate::record::{Comparison, Side};

/// The reads: both sides do the same work for them, so that their times compare.
const READS: [Operation; 5] = [
    Operation::GetTransaction,
    Operation::GetBlock,
    Operation::GetBlockHeight,
    Operation::GetBalance,
    Operation::EstimateFee,
];
/// An hour; what takes longer counts as that.
const MAX_MICROS: u64 = 3_600_000_000;

/// What was seen since it began.
pub(super) struct Window {
    began: Duration,
    rust: Tally,
    python: Tally,
    times: [Option<Times>; READS.len()],
}

#[derive(Default)]
struct Tally {
    calls: u64,
    failures: u64,
}

/// How long both sides took for one operation, in microseconds, when both answered.
struct Times {
    rust: Histogram<u32>,
    python: Histogram<u32>,
}

impl Window {
    pub(super) fn new(began: Duration) -> Self {
        Self {
            began,
            rust: Tally::default(),
            python: Tally::default(),
            times: [const { None }; READS.len()],
        }
    }

    pub(super) fn add(&mut self, comparison: &Comparison) {
        let side = |implementation| side(comparison, implementation);
        let (rust, python) = (side(Rust), side(Python));
        self.rust.add(rust);
        self.python.add(python);
        let index = READS.iter().position(|read| *read == comparison.operation);
        if let (Some(index), Some(rust), Some(python)) = (index, rust, python)
            && rust.error.is_none()
            && python.error.is_none()
        {
            let times = self.times[index].get_or_insert_with(Times::new);
            times.add(rust, python);
        }
    }

    /// Whether it is long enough to be judged.
    pub(super) fn is_over(&self, now: Duration, limits: &Limits) -> bool {
        now.saturating_sub(self.began) >= limits.window && self.rust.calls >= limits.min_calls
    }

    /// What is wrong with Rust, if anything.
    pub(super) fn breach(&self, limits: &Limits) -> Option<String> {
        self.too_many_failures(limits).or_else(|| {
            let slow = |(read, times): (&Operation, &Option<Times>)| {
                times.as_ref()?.too_slow(*read, limits)
            };
            READS.iter().zip(&self.times).find_map(slow)
        })
    }

    fn too_many_failures(&self, limits: &Limits) -> Option<String> {
        let (rust, python) = (&self.rust, &self.python);
        // A side that was not asked has not failed. Rates are compared over their common
        // denominator, without rounding.
        let of = |count: u64, all: u64| i128::from(count) * i128::from(all.max(1));
        let excess = of(rust.failures, python.calls) - of(python.failures, rust.calls);
        let all = i128::from(rust.calls.max(1)) * i128::from(python.calls.max(1));
        let is_breach = excess * 1000 > all * i128::from(limits.max_failures_per_mille);
        is_breach.then(|| {
            format!(
                "rust failed in {} of {} calls, python in {} of {}",
                rust.failures, rust.calls, python.failures, python.calls
            )
        })
    }
}

impl Tally {
    fn add(&mut self, side: Option<&Side>) {
        if let Some(side) = side {
            self.calls += 1;
            self.failures += u64::from(side.error.is_some_and(is_failure));
        }
    }
}

impl Times {
    fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, MAX_MICROS, 2).expect("the bounds are in their order");
        Self {
            rust: histogram(),
            python: histogram(),
        }
    }

    fn add(&mut self, rust: &Side, python: &Side) {
        self.rust.saturating_record(micros(rust));
        self.python.saturating_record(micros(python));
    }

    fn too_slow(&self, operation: Operation, limits: &Limits) -> Option<String> {
        if self.rust.len() < limits.min_calls {
            return None;
        }
        let p99 = |histogram: &Histogram<u32>| histogram.value_at_quantile(0.99);
        let (rust, python) = (p99(&self.rust), p99(&self.python));
        let excess = Duration::from_micros(rust.saturating_sub(python));
        let is_breach = u128::from(rust) * 100
            > u128::from(python) * u128::from(limits.max_p99_percent)
            && excess >= limits.min_p99_excess;
        is_breach.then(|| {
            format!(
                "rust's p99 for {operation} was {rust} µs, python's {python} µs, in {} calls",
                self.rust.len()
            )
        })
    }
}

fn side(comparison: &Comparison, implementation: BitcoinImplementationType) -> Option<&Side> {
    let sides = [Some(&comparison.primary), comparison.secondary.as_ref()];
    let mut sides = sides.into_iter().flatten();
    sides.find(|side| side.implementation == implementation)
}

fn micros(side: &Side) -> u64 {
    (side.duration_ns / 1000).max(1)
}

/// Whether the implementation failed. The other kinds are answers: that something does not exist,
/// is malformed, is refused or not offered.
fn is_failure(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::InvalidInput
            | ErrorKind::Rejected
            | ErrorKind::Unsupported
    )
}
