//! Whether Rust takes longer than Python.

use btc_iface::BitcoinImplementationType::{Python, Rust};

use super::super::output::words::{duration, grouped};
use super::criteria::Found;
use super::{Gate, Outcome};
use crate::analysis::report::{OperationReport, Times};

#[expect(clippy::cast_precision_loss, reason = "a ratio needs no 53 bits")]
pub(super) fn latency(gate: &Gate, report: &OperationReport, name: &str, limit: f64) -> Found {
    let (Some(rust), Some(python)) = (report.times_of(Rust), report.times_of(Python)) else {
        let sentence = format!("{name} is not known of both: log all calls (LOG_ALL=true)");
        return (Outcome::Hold, sentence);
    };
    let of = |times: &Times| match name {
        "p50" => times.p50_ns,
        _ => times.p99_ns,
    };
    let calls = rust.calls.min(python.calls);
    if calls < gate.latency_calls {
        let sentence = format!(
            "{name} of {} of {} logged calls",
            grouped(calls),
            grouped(gate.latency_calls)
        );
        return (Outcome::Hold, sentence);
    }
    let ratio = of(rust) as f64 / of(python).max(1) as f64;
    let sentence = format!(
        "{name} of rust is {} and of python {}, a ratio of {ratio:.2} (at most {limit:.2} is allowed)",
        duration(of(rust)),
        duration(of(python))
    );
    let outcome = if ratio > limit {
        Outcome::No
    } else {
        Outcome::Go
    };
    (outcome, sentence)
}
