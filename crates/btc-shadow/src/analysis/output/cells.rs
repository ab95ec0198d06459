//! The tables of an assessment, cell by cell, for every format that has tables.

use btc_iface::BitcoinImplementationType::{Python, Rust};

use super::super::gate::Assessment;
use super::super::report::{OperationReport, Report, Times};
use super::grid::row;
use super::words::{bytes, duration, grouped, percent, percent_of, rate};

/// Rows of equal length, the first of which is the head.
pub(super) type Rows = Vec<Vec<String>>;

/// What became of the calls of each operation.
pub(super) fn calls(assessment: &Assessment) -> Rows {
    let mut rows = vec![row([
        "operation",
        "calls",
        "compared",
        "distinct",
        "mismatches",
        "up to",
        "inconclusive",
        "skipped",
        "dropped",
        "compatibility",
    ])];
    for o in &assessment.report.operations {
        let bound = assessment.judgement.mismatch_bounds.get(&o.operation);
        rows.push(vec![
            o.operation.to_string(),
            grouped(o.calls),
            grouped(o.compared),
            distinct(o),
            grouped(o.mismatches),
            bound.map_or_else(|| "-".to_owned(), |bound| rate(*bound)),
            grouped(o.inconclusive),
            grouped(o.skipped),
            grouped(o.dropped),
            o.compatibility_ppm.map_or_else(|| "-".to_owned(), percent),
        ]);
    }
    rows
}

/// Different inputs, with a mark for "at least".
pub(super) fn distinct(operation: &OperationReport) -> String {
    let least = if operation.is_distinct_exact {
        ""
    } else {
        "≥ "
    };
    format!("{least}{}", grouped(operation.distinct_inputs as u64))
}

/// How long each implementation took, with Rust's share of Python's time.
pub(super) fn times(report: &Report) -> Rows {
    let mut rows = vec![row([
        "operation",
        "p50 python",
        "p50 rust",
        "ratio",
        "p95 python",
        "p95 rust",
        "ratio",
        "p99 python",
        "p99 rust",
        "ratio",
    ])];
    for o in report.operations.iter().filter(|o| !o.times.is_empty()) {
        let mut cells = vec![o.operation.to_string()];
        let quantiles: [fn(&Times) -> u64; 3] = [|t| t.p50_ns, |t| t.p95_ns, |t| t.p99_ns];
        for quantile in quantiles {
            let [python, rust] = [Python, Rust].map(|who| o.times_of(who).map(quantile));
            let show = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), duration);
            cells.extend([show(python), show(rust), ratio(python, rust)]);
        }
        rows.push(cells);
    }
    rows
}

/// Rust's duration as a multiple of Python's.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs no 53 bits")]
pub(super) fn ratio(python: Option<u64>, rust: Option<u64>) -> String {
    match (python, rust) {
        (Some(python), Some(rust)) => format!("{:.2}", rust as f64 / python.max(1) as f64),
        _ => "-".to_owned(),
    }
}

/// The errors of each implementation by kind.
pub(super) fn errors(report: &Report) -> Rows {
    let mut rows = vec![row([
        "operation",
        "implementation",
        "error",
        "count",
        "rate",
    ])];
    for o in &report.operations {
        for e in &o.errors {
            rows.push(vec![
                o.operation.to_string(),
                e.implementation.to_string(),
                e.kind.to_string(),
                grouped(e.count),
                percent(e.rate_ppm),
            ]);
        }
    }
    rows
}

/// The memory of each process.
pub(super) fn memory(report: &Report) -> Rows {
    let mut rows = vec![row([
        "process", "run", "readings", "last", "peak", "growth",
    ])];
    for m in &report.memory {
        let process = m.implementation.map_or("both", |who| who.as_str());
        let growth = match m.growth_percent {
            None => "-".to_owned(),
            // Up and down by chance.
            Some(_) if !m.is_rising => "none".to_owned(),
            Some(growth) => percent_of(growth),
        };
        rows.push(vec![
            process.to_owned(),
            m.run.clone(),
            grouped(m.readings as u64),
            bytes(m.last_rss_bytes),
            bytes(m.peak_rss_bytes),
            growth,
        ]);
    }
    rows
}
