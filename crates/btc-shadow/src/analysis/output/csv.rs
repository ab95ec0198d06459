//! An assessment as comma-separated values (RFC 4180), a line per operation.

use btc_iface::BitcoinImplementationType::{self, Python, Rust};
use btc_iface::ErrorKind;

use super::super::gate::{Assessment, Outcome};
use super::super::report::{OperationReport, Report};
use super::cells::ratio;

const BOTH: [BitcoinImplementationType; 2] = [Python, Rust];

pub(super) fn render(assessment: &Assessment) -> String {
    let mut out = line(&head());
    for operation in &assessment.report.operations {
        out.push_str(&line(&cells(assessment, operation)));
    }
    out
}

fn head() -> Vec<String> {
    let mut head: Vec<String> = [
        "operation",
        "decision",
        "calls",
        "compared",
        "distinct_inputs",
        "is_distinct_exact",
        "matches",
        "mismatches",
        "mismatch_bound",
        "inconclusive",
        "skipped",
        "dropped",
        "unaccounted",
        "compatibility_ppm",
        "only_python_failed",
        "only_rust_failed",
    ]
    .map(str::to_owned)
    .to_vec();
    for who in BOTH {
        for column in ["logged_calls", "p50_ns", "p95_ns", "p99_ns"] {
            head.push(format!("{who}_{column}"));
        }
    }
    head.extend(["p50_ratio", "p95_ratio", "p99_ratio"].map(str::to_owned));
    for who in BOTH {
        for kind in ErrorKind::ALL {
            head.push(format!("{who}_{kind}_errors"));
        }
    }
    for process in ["both", "python", "rust"] {
        head.push(format!("{process}_process_peak_rss_bytes"));
    }
    head
}

fn cells(assessment: &Assessment, o: &OperationReport) -> Vec<String> {
    let bound = assessment.judgement.mismatch_bounds.get(&o.operation);
    let none = String::new;
    let mut cells = vec![
        o.operation.to_string(),
        decision(assessment, o).as_str().to_lowercase(),
        o.calls.to_string(),
        o.compared.to_string(),
        o.distinct_inputs.to_string(),
        o.is_distinct_exact.to_string(),
        o.matches.to_string(),
        o.mismatches.to_string(),
        bound.map_or_else(none, |bound| format!("{bound:.9}")),
        o.inconclusive.to_string(),
        o.skipped.to_string(),
        o.dropped.to_string(),
        o.unaccounted.to_string(),
        o.compatibility_ppm.map_or_else(none, |ppm| ppm.to_string()),
        o.only_python_failed.to_string(),
        o.only_rust_failed.to_string(),
    ];
    let times = BOTH.map(|who| o.times_of(who));
    for times in times {
        let values = times.map(|t| [t.calls, t.p50_ns, t.p95_ns, t.p99_ns]);
        for column in 0..4 {
            cells.push(values.map_or_else(none, |values| values[column].to_string()));
        }
    }
    let quantiles: [fn(&super::super::report::Times) -> u64; 3] =
        [|t| t.p50_ns, |t| t.p95_ns, |t| t.p99_ns];
    for quantile in quantiles {
        let [python, rust] = times.map(|times| times.map(quantile));
        cells.push(ratio(python, rust).replace('-', ""));
    }
    for who in BOTH {
        for kind in ErrorKind::ALL {
            let mut errors = o.errors.iter();
            let found = errors.find(|error| (error.implementation, error.kind) == (who, kind));
            cells.push(found.map_or(0, |error| error.count).to_string());
        }
    }
    for process in [None, Some(Python), Some(Rust)] {
        cells.push(peak(&assessment.report, process));
    }
    cells
}

/// The worst outcome of what is asked of the operation; hold for one that is not judged.
fn decision(assessment: &Assessment, operation: &OperationReport) -> Outcome {
    let criteria = assessment.judgement.criteria.iter();
    let its = criteria.filter(|criterion| criterion.operation == Some(operation.operation));
    let outcomes = its.map(|criterion| criterion.outcome);
    outcomes.max().unwrap_or(Outcome::Hold)
}

fn peak(report: &Report, process: Option<BitcoinImplementationType>) -> String {
    let its = report.memory.iter();
    let its = its.filter(|memory| memory.implementation == process);
    its.map(|memory| memory.peak_rss_bytes)
        .max()
        .map_or_else(String::new, |peak| peak.to_string())
}

/// No cell holds text from a log, so none needs quotation marks.
fn line(cells: &[String]) -> String {
    format!("{}\r\n", cells.join(","))
}
