//! A comparison log with as much evidence as the gate asks for, spread as live calls are.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up durations and sizes, all of them small"
)]

use btc::shadow::Counts;
use btc::shadow::compare::{Difference, RULES, Verdict};
use btc::shadow::record::{
    Build, Comparison, Digest, Event, Line, Memory, RunId, Side, Start, Totals, VERSION,
};
use btc::{BitcoinImplementationType as Who, ErrorKind, Operation};

/// The gate asks for 50,750 or 5,073 different inputs; these are some more.
const MANY: u32 = 52_000;
const SOME: u32 = 5_400;
/// Three days of calls, from this moment on.
const BEGIN_MS: u64 = 1_760_000_000_000;
const DAYS_MS: u64 = 3 * 86_400_000;
const READINGS: u32 = 144;

/// One run in which everything agrees, except the call with this number, a transaction one of
/// whose amounts differs by one satoshi.
pub(crate) fn evidence(off_by_one_sat: Option<u32>) -> String {
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let mut calls: Vec<Operation> = Operation::CALLS
        .into_iter()
        .flat_map(|operation| (0..calls_of(operation)).map(move |_| operation))
        .collect();
    for last in (1..calls.len()).rev() {
        calls.swap(last, chance.below(last as u64 + 1));
    }
    let build = |implementation, build: &str| Build {
        implementation,
        build: build.to_owned(),
    };
    let mut log = Log::default();
    log.write(Event::Start(Start {
        time_ms: BEGIN_MS,
        primary: build(Who::Python, "0.1.0 btc_legacy.backend:LegacyBackend"),
        secondary: build(Who::Rust, "0.1.0"),
        log_all: true,
        rules: RULES,
        part: 1,
    }));
    let mut counts = Counts::default();
    let step_ms = DAYS_MS / calls.len() as u64;
    let each = calls.len() as u32 / READINGS;
    let mut time_ms = BEGIN_MS;
    for (number, operation) in (1_u32..).zip(calls) {
        time_ms = BEGIN_MS + u64::from(number) * step_ms + chance.below(step_ms) as u64;
        let mut comparison = call(&mut chance, number, time_ms, operation);
        if off_by_one_sat == Some(number) {
            comparison.operation = Operation::GetTransaction;
            comparison.verdict = Verdict::Mismatch;
            comparison.primary.error = None;
            comparison
                .secondary
                .iter_mut()
                .for_each(|side| side.error = None);
            comparison.differences = vec![Difference {
                path: "outputs[1].value_sat".to_owned(),
                primary: "57000000".to_owned(),
                secondary: "57000001".to_owned(),
                tip: false,
            }];
        }
        let operation = comparison.operation;
        *counts.offered.entry(operation).or_default() += 1;
        let verdicts = counts.verdicts.entry(operation).or_default();
        *verdicts.entry(comparison.verdict).or_default() += 1;
        log.write(Event::Comparison(comparison));
        if number.is_multiple_of(each) {
            let share = f64::from(number) / f64::from(each * READINGS);
            memory(&mut log, &mut chance, time_ms, share, u64::from(number));
        }
    }
    log.write(Event::Totals(Totals {
        time_ms,
        is_final: true,
        counts,
    }));
    log.0
}

fn calls_of(operation: Operation) -> u32 {
    match operation {
        Operation::GetTransaction | Operation::GetBlock | Operation::GetBalance => MANY,
        _ => SOME,
    }
}

/// A call that both answer alike, a few of them with a refusal.
fn call(chance: &mut Chance, number: u32, time_ms: u64, operation: Operation) -> Comparison {
    // Typical durations in microseconds, of Python and of Rust.
    let (python_us, rust_us, refusal) = match operation {
        Operation::GetTransaction => (450.0, 240.0, Some(ErrorKind::NotFound)),
        Operation::GetBlock => (38_000.0, 14_000.0, Some(ErrorKind::NotFound)),
        Operation::GetBlockHeight => (240.0, 190.0, None),
        Operation::GenerateAddress => (1_600.0, 300.0, None),
        Operation::CreateTransaction => (8_000.0, 2_400.0, Some(ErrorKind::Rejected)),
        Operation::BroadcastTransaction => (2_600.0, 2_100.0, Some(ErrorKind::Rejected)),
        Operation::GetBalance => (900.0, 400.0, None),
        _ => (300.0, 220.0, Some(ErrorKind::InvalidInput)),
    };
    let refused = refusal.filter(|_| chance.below(250) == 0);
    let mut side = |implementation, typical_us: f64| Side {
        implementation,
        duration_ns: (typical_us * 1_000.0 * (0.5 * chance.normal()).exp()) as u64,
        error: refused,
        tips: None,
    };
    let (primary, secondary) = (side(Who::Python, python_us), side(Who::Rust, rust_us));
    let moves = matches!(
        operation,
        Operation::GetBlockHeight | Operation::EstimateFee
    );
    let (verdict, reason) = match chance.below(4_000) {
        0 => (
            Verdict::Inconclusive,
            Some("the tip moved between both answers".into()),
        ),
        1..40 if moves => (Verdict::Recovered, None),
        _ => (Verdict::Match, None),
    };
    Comparison {
        sequence: number.into(),
        time_ms,
        operation,
        verdict,
        input: Digest(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        primary,
        secondary: Some(secondary),
        rechecks: u32::from(verdict == Verdict::Recovered),
        differences: Vec::new(),
        reason,
    }
}

/// Readings of the process that compares, and of one for each implementation: they fill their
/// caches first, and stay then.
fn memory(log: &mut Log, chance: &mut Chance, time_ms: u64, share: f64, calls: u64) {
    let warm = (share * 8.0).min(1.0);
    for (implementation, base_mib, cache_mib) in [
        (None, 148.0, 36.0),
        (Some(Who::Python), 71.0, 18.0),
        (Some(Who::Rust), 19.0, 9.0),
    ] {
        let mib = base_mib + cache_mib * warm + chance.normal();
        let rss_bytes = (mib * 1_048_576.0) as u64;
        log.write(Event::Memory(Memory {
            time_ms,
            implementation,
            rss_bytes,
            peak_rss_bytes: rss_bytes + 2_000_000,
            calls,
        }));
    }
}

/// The lines of one run.
#[derive(Default)]
struct Log(String);

impl Log {
    fn write(&mut self, event: Event) {
        let line = Line {
            version: VERSION,
            run: RunId(0x00c0_ffee),
            event,
        };
        self.0 += &serde_json::to_string(&line).expect("a line is plain data");
        self.0.push('\n');
    }
}

/// Numbers that are the same at each run (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> usize {
        usize::try_from(self.next() % end.max(1)).expect("a remainder of a small number")
    }

    /// About normal, with a deviation of 1.
    fn normal(&mut self) -> f64 {
        let sum: u32 = (0..12).map(|_| (self.next() >> 48) as u32).sum();
        f64::from(sum) / 65_536.0 - 6.0
    }
}
