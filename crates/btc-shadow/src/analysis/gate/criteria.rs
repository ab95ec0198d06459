//! What the gate asks of one operation.

use btc_iface::Operation;

use super::super::output::words::{grouped, percent_of, plural, rate};
use super::latency::latency;
use super::{Allowance, Criterion, Gate, OperationGate, Outcome, lower_bound, upper_bound};
use crate::analysis::report::OperationReport;

/// What was found, and whether it is enough.
pub(super) type Found = (Outcome, String);

pub(super) fn judge_operation(
    gate: &Gate,
    limits: &OperationGate,
    operation: Operation,
    report: Option<&OperationReport>,
) -> Vec<Criterion> {
    let criterion = |name, (outcome, sentence): Found| Criterion {
        name,
        operation: Some(operation),
        outcome,
        sentence: format!("{operation}: {sentence}"),
    };
    let mut criteria = vec![criterion("distinct_inputs", distinct(limits, report))];
    // Nothing more can be said of what was never called.
    let Some(report) = report else {
        return criteria;
    };
    criteria.push(criterion("mismatches", mismatches(gate, limits, report)));
    let shares = [
        (
            "inconclusive",
            report.inconclusive,
            gate.inconclusive_percent,
        ),
        ("dropped", report.dropped, gate.dropped_percent),
    ];
    for (name, part, limit) in shares {
        criteria.push(criterion(name, share(name, part, report.due(), limit)));
    }
    criteria.push(criterion("error_rate", error_rate(gate, report)));
    for (name, found) in latency(gate, report) {
        criteria.push(criterion(name, found));
    }
    if limits.agreed_errors > 0 {
        criteria.push(criterion("error_paths", error_paths(limits, report)));
    }
    criteria
}

fn distinct(limits: &OperationGate, report: Option<&OperationReport>) -> Found {
    let needed = limits.distinct_inputs as u64;
    let found = report.map_or(0, |report| report.distinct_inputs as u64);
    let least = match report {
        Some(report) if !report.is_distinct_exact => "at least ",
        _ => "",
    };
    let what = "distinct inputs";
    if found < needed {
        let sentence = format!("{} of {} {what}", grouped(found), grouped(needed));
        return (Outcome::Hold, sentence);
    }
    let sentence = format!(
        "{least}{} {what} ({} are needed)",
        grouped(found),
        grouped(needed)
    );
    (Outcome::Go, sentence)
}

fn mismatches(gate: &Gate, limits: &OperationGate, report: &OperationReport) -> Found {
    let trials = report.compared.min(report.distinct_inputs as u64);
    let bound = upper_bound(report.mismatches, trials, gate.risk());
    let found = plural(report.mismatches, "mismatch", "mismatches");
    let compared = plural(report.compared, "compared call", "compared calls");
    let allowed = match limits.allowance {
        Allowance::Noise => noise(report) + limits.mismatch_bound,
        Allowance::None if report.mismatches > 0 => {
            let place = report
                .paths
                .first()
                .map_or_else(String::new, |path| format!(", most often at {}", path.path));
            let sentence = format!("{found} in {compared}{place} (none is allowed)");
            return (Outcome::No, sentence);
        }
        Allowance::None => limits.mismatch_bound,
    };
    let outcome = if lower_bound(report.mismatches, report.compared, gate.risk()) > allowed {
        Outcome::No
    } else if bound <= allowed {
        Outcome::Go
    } else if report.mismatches == 0 && report.distinct_inputs < limits.distinct_inputs {
        // That inputs are missing is said already.
        return (Outcome::Go, format!("{found} so far, in {compared}"));
    } else {
        Outcome::Hold
    };
    let sentence = format!(
        "{found} in {compared}, so the rate may be up to {} (at most {} is allowed)",
        rate(bound),
        rate(allowed)
    );
    (outcome, sentence)
}

/// The share of calls in which the node's own answer changed between two reads.
#[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
fn noise(report: &OperationReport) -> f64 {
    let answered = report.compared.saturating_add(report.changed).max(1);
    report.changed as f64 / answered as f64
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
fn share(name: &str, part: u64, whole: u64, limit: f64) -> Found {
    let percent = 100.0 * part as f64 / whole.max(1) as f64;
    let sentence = format!(
        "{} of {} {name}, {} (at most {} is allowed)",
        grouped(part),
        plural(whole, "call", "calls"),
        percent_of(percent),
        percent_of(limit)
    );
    let outcome = if percent > limit {
        Outcome::Hold
    } else {
        Outcome::Go
    };
    (outcome, sentence)
}

/// By how much Rust fails more often. The bound combines the exact bounds of both rates (Zou and
/// Donner, 2008); without a failure of either alone it is the exact bound.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
fn error_rate(gate: &Gate, report: &OperationReport) -> Found {
    let (rust, python, pairs) = (
        report.only_rust_failed,
        report.only_python_failed,
        report.pairs,
    );
    if pairs == 0 {
        let sentence = "no call was answered by both, so error rates cannot be compared";
        return (Outcome::Hold, sentence.to_owned());
    }
    let share = |count: u64| count as f64 / pairs as f64;
    let difference = share(rust) - share(python);
    let above = upper_bound(rust, pairs, gate.risk()) - share(rust);
    let below = share(python) - lower_bound(python, pairs, gate.risk());
    let bound = difference + above.hypot(below);
    // The other way round: what the difference is at least.
    let below = share(rust) - lower_bound(rust, pairs, gate.risk());
    let above = upper_bound(python, pairs, gate.risk()) - share(python);
    let at_least = difference - below.hypot(above);
    let limit = gate.error_rate_difference_percent / 100.0;
    let needed = trials_for(limit, gate.risk());
    if rust == 0 && pairs < needed {
        let sentence = format!(
            "{} of {} calls that both were asked, to compare error rates",
            grouped(pairs),
            grouped(needed)
        );
        return (Outcome::Hold, sentence);
    }
    let sentence = format!(
        "rust alone failed in {} and python alone in {} of {}, so rust may fail more often by up \
         to {} (at most {} is allowed)",
        grouped(rust),
        grouped(python),
        plural(pairs, "call", "calls"),
        rate(bound.max(0.0)),
        rate(limit)
    );
    let outcome = if at_least > limit {
        Outcome::No
    } else if bound > limit {
        Outcome::Hold
    } else {
        Outcome::Go
    };
    (outcome, sentence)
}

/// How many trials without an event show that the rate is no higher than this.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of calls that does not fit is more than any log holds"
)]
fn trials_for(limit: f64, risk: f64) -> u64 {
    (risk.ln() / (-limit).ln_1p()).ceil() as u64
}

fn error_paths(limits: &OperationGate, report: &OperationReport) -> Found {
    let (seen, needed) = (report.agreed_errors, limits.agreed_errors);
    let sentence = format!(
        "{} that both refused alike ({} needed)",
        plural(seen, "call", "calls"),
        grouped(needed)
    );
    let outcome = if seen < needed {
        Outcome::Hold
    } else {
        Outcome::Go
    };
    (outcome, sentence)
}
