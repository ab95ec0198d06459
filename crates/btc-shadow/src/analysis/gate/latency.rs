//! Whether Rust takes longer than Python.

use btc_iface::BitcoinImplementationType::{Python, Rust};

use super::super::output::words::{duration, grouped};
use super::criteria::Found;
use super::{Gate, Outcome};
use crate::analysis::report::OperationReport;

/// A criterion for each quantile, or one that says what is missing for both.
pub(super) fn latency(gate: &Gate, report: &OperationReport) -> Vec<(&'static str, Found)> {
    let (Some(rust), Some(python)) = (report.times_of(Rust), report.times_of(Python)) else {
        let sentence = "durations are not known of both; log all calls (LOG_ALL=true)";
        return vec![("latency", (Outcome::Hold, sentence.to_owned()))];
    };
    let calls = rust.calls.min(python.calls);
    if calls < gate.latency_calls {
        let sentence = format!(
            "durations of {} of {} logged calls",
            grouped(calls),
            grouped(gate.latency_calls)
        );
        return vec![("latency", (Outcome::Hold, sentence))];
    }
    let quantiles = [
        ("p50", (rust.p50_ns, python.p50_ns), gate.p50_ratio),
        ("p99", (rust.p99_ns, python.p99_ns), gate.p99_ratio),
    ];
    let judged = quantiles.map(|(name, durations, limit)| (name, ratio(name, durations, limit)));
    judged.into()
}

#[expect(clippy::cast_precision_loss, reason = "a ratio needs no 53 bits")]
fn ratio(name: &str, (rust_ns, python_ns): (u64, u64), limit: f64) -> Found {
    let ratio = rust_ns as f64 / python_ns.max(1) as f64;
    let sentence = format!(
        "{name} of rust is {} and of python {}, a ratio of {ratio:.3} (at most {limit} is allowed)",
        duration(rust_ns),
        duration(python_ns)
    );
    let outcome = if ratio > limit {
        Outcome::No
    } else {
        Outcome::Go
    };
    (outcome, sentence)
}
