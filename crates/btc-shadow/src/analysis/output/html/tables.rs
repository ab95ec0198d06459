//! The tables of the page: everything at a glance, agreement, durations, every criterion.

use std::cmp::Reverse;

use btc_iface::BitcoinImplementationType::{self, Python, Rust};
use btc_iface::Operation;

use super::super::super::gate::{Assessment, Outcome};
use super::super::super::report::{OperationReport, Report, Times};
use super::super::cells::{distinct, ratio};
use super::super::words::{bytes, duration, grouped, percent, rate};
use super::errors::failures;
use super::escape;
use super::parts::{Cell, bar, section, table, tag};
use super::tiles::{faster, peak, ratio_of};

/// The worst outcome of an operation; none if it is not judged.
fn outcome(assessment: &Assessment, operation: Operation) -> Option<Outcome> {
    let criteria = assessment.judgement.criteria.iter();
    let its = criteria.filter(|criterion| criterion.operation == Some(operation));
    its.map(|criterion| criterion.outcome).max()
}

/// The operations, the worst first.
fn worst_first(assessment: &Assessment) -> Vec<&OperationReport> {
    let mut operations: Vec<_> = assessment.report.operations.iter().collect();
    operations.sort_by_key(|o| Reverse((outcome(assessment, o.operation), o.mismatches)));
    operations
}

pub(super) fn glance(assessment: &Assessment) -> String {
    let report = &assessment.report;
    if report.operations.is_empty() {
        return String::new();
    }
    let titles = [
        "operation",
        "verdict",
        "compatibility",
        "typical time|python",
        "typical time|rust",
        "typical time|rust is",
        "calls that failed|python",
        "calls that failed|rust",
        "peak memory|python",
        "peak memory|rust",
    ];
    let rows = worst_first(assessment).into_iter().map(|o| {
        let times = [Python, Rust].map(|who| {
            let times = o.times_of(who);
            Cell::text(&times.map_or_else(|| "-".to_owned(), |t| duration(t.p50_ns)))
        });
        let [python_time, rust_time] = times;
        let gate = &assessment.judgement.gate;
        let class = match ratio_of(o) {
            Some(ratio) if ratio > gate.p50_ratio && is_timed(assessment, o) => "bad",
            Some(ratio) if ratio < 1.0 => "good",
            _ => "",
        };
        let speed = ratio_of(o).map_or_else(|| "-".to_owned(), faster);
        let failed = [Python, Rust].map(|who| Cell::text(&failures(o, who)));
        let [python_failed, rust_failed] = failed;
        let memory = [Python, Rust].map(|who| Cell::text(&memory_of(report, who)));
        let [python_memory, rust_memory] = memory;
        vec![
            name(o),
            verdict(assessment, o),
            compatibility(o),
            python_time,
            rust_time,
            Cell::text(&speed).class(class),
            python_failed,
            rust_failed,
            python_memory,
            rust_memory,
        ]
    });
    section(
        "Every operation at a glance",
        "The worst first. Typical time is the median: half of the calls take longer. A call may \
         fail rightly, as one for a transaction that does not exist; both should fail alike. \
         Memory is that of the whole process, whichever operation it serves.",
        &table(&titles, rows.collect()),
    )
}

fn name(o: &OperationReport) -> Cell {
    Cell::text(o.operation.as_str()).class("name")
}

fn verdict(assessment: &Assessment, o: &OperationReport) -> Cell {
    let outcome = outcome(assessment, o.operation);
    Cell::markup(outcome.map_or_else(|| "not judged".to_owned(), tag)).class("l")
}

#[expect(clippy::cast_precision_loss, reason = "a bar needs no 53 bits")]
fn compatibility(o: &OperationReport) -> Cell {
    let Some(ppm) = o.compatibility_ppm else {
        return Cell::text("-");
    };
    let (class, fill) = if o.mismatches > 0 {
        ("bad", "no")
    } else {
        ("", "full")
    };
    let bar = bar(fill, ppm as f64 / 1e6);
    Cell::markup(format!("{}{bar}", percent(ppm))).class(class)
}

/// The process of one implementation alone, or the one that both share.
fn memory_of(report: &Report, who: BitcoinImplementationType) -> String {
    match (peak(report, Some(who)), peak(report, None)) {
        (Some(own), _) => bytes(own),
        (None, Some(shared)) => format!("{} (both)", bytes(shared)),
        (None, None) => "-".to_owned(),
    }
}

pub(super) fn agreement(assessment: &Assessment) -> String {
    if assessment.report.operations.is_empty() {
        return String::new();
    }
    let judgement = &assessment.judgement;
    let titles = [
        "operation",
        "verdict",
        "distinct inputs",
        "calls",
        "compared",
        "mismatches",
        "mismatch rate at most",
        "not compared",
    ];
    let rows = worst_first(assessment).into_iter().map(|o| {
        let limits = judgement.gate.operations.get(&o.operation);
        let needed = limits.map_or(0, |limits| limits.distinct_inputs);
        let bound = judgement.mismatch_bounds.get(&o.operation);
        let bad = if o.mismatches > 0 { "bad" } else { "" };
        vec![
            name(o),
            verdict(assessment, o),
            progress(o, needed),
            Cell::count(o.calls),
            Cell::count(o.compared),
            Cell::text(&grouped(o.mismatches)).class(bad),
            Cell::text(&bound.map_or_else(|| "-".to_owned(), |bound| rate(*bound))),
            left_out(o),
        ]
    });
    section(
        "Compatibility: are the answers the same?",
        "The same question again proves little, so only distinct inputs count. Nobody knows the true \
         rate of mismatches; it is at most the one shown, by the exact bound for so many inputs.",
        &table(&titles, rows.collect()),
    )
}

fn left_out(o: &OperationReport) -> Cell {
    let parts = [
        (o.inconclusive, "inconclusive"),
        (o.skipped, "skipped"),
        (o.dropped, "dropped"),
    ];
    let named = parts.iter().filter(|(count, _)| *count > 0);
    let named: Vec<_> = named
        .map(|(count, what)| format!("{} {what}", grouped(*count)))
        .collect();
    if named.is_empty() {
        return Cell::count(0);
    }
    Cell::text(&named.join(", ")).class("wrap")
}

/// Different inputs, with a bar towards the number that is needed.
#[expect(clippy::cast_precision_loss, reason = "a bar needs no 53 bits")]
fn progress(o: &OperationReport, needed: usize) -> Cell {
    let share = o.distinct_inputs as f64 / needed.max(1) as f64;
    let bar = bar(if share >= 1.0 { "full" } else { "" }, share);
    Cell::markup(format!(
        "<span>{} <span class=\"off\">of {}</span></span>{bar}",
        distinct(o),
        grouped(needed as u64)
    ))
}

/// Durations at three places of the distribution.
pub(super) fn times(assessment: &Assessment) -> String {
    let gate = &assessment.judgement.gate;
    let titles = [
        "operation",
        "median|python",
        "median|rust",
        "median|rust ÷ python",
        "95 of 100 within|python",
        "95 of 100 within|rust",
        "95 of 100 within|rust ÷ python",
        "99 of 100 within|python",
        "99 of 100 within|rust",
        "99 of 100 within|rust ÷ python",
    ];
    let quantiles: [fn(&Times) -> u64; 3] = [|t| t.p50_ns, |t| t.p95_ns, |t| t.p99_ns];
    let limits = [gate.p50_ratio, f64::INFINITY, gate.p99_ratio];
    let rows = worst_first(assessment).into_iter().map(|o| {
        let mut cells = vec![name(o)];
        for (quantile, limit) in quantiles.into_iter().zip(limits) {
            let [python, rust] = [Python, Rust].map(|who| o.times_of(who).map(quantile));
            let show = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), duration);
            let times = python.zip(rust);
            let is_slow = times.is_some_and(|(python, rust)| is_above(rust, python, limit))
                && is_timed(assessment, o);
            let class = if is_slow { "bad" } else { "" };
            cells.push(Cell::text(&show(python)));
            cells.push(Cell::text(&show(rust)));
            cells.push(Cell::text(&ratio(python, rust)).class(class));
        }
        cells
    });
    format!(
        "<div class=\"trio\">{}</div>",
        table(&titles, rows.collect())
    )
}

/// Whether enough calls were timed for a duration to count.
fn is_timed(assessment: &Assessment, o: &OperationReport) -> bool {
    let calls = [Python, Rust].map(|who| o.times_of(who).map_or(0, |times| times.calls));
    calls.into_iter().min() >= Some(assessment.judgement.gate.latency_calls)
}

/// Whether Rust's duration is more than so many times Python's, as the gate sees it.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs no 53 bits")]
fn is_above(rust_ns: u64, python_ns: u64, limit: f64) -> bool {
    rust_ns as f64 / python_ns.max(1) as f64 > limit
}

pub(super) fn not_compared(report: &Report) -> String {
    let reasons = report
        .operations
        .iter()
        .flat_map(|o| o.reasons.iter().map(move |reason| (o, reason)));
    let rows: Vec<_> = reasons
        .map(|(o, reason)| {
            vec![
                name(o),
                Cell::text(reason.verdict.as_str()).class("l"),
                Cell::text(&reason.reason).class("l wrap"),
                Cell::count(reason.count),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    section(
        "Why calls were not compared",
        "Logged calls that prove neither agreement nor a difference: inconclusive ones, about \
         which nothing can be said; skipped ones, by rule; dropped ones, for want of room or time.",
        &table(&["operation", "verdict", "reason", "calls"], rows),
    )
}

pub(super) fn criteria(assessment: &Assessment) -> String {
    let criteria = &assessment.judgement.criteria;
    let rows = criteria.iter().map(|criterion| {
        let operation = criterion.operation.map_or("all", Operation::as_str);
        vec![
            Cell::text(operation).class("name"),
            Cell::markup(tag(criterion.outcome)).class("l"),
            Cell::text(criterion.name).class("l"),
            Cell::text(&criterion.sentence).class("l wrap"),
        ]
    });
    let met = criteria.iter();
    let met = met.filter(|one| one.outcome == Outcome::Go).count();
    let titles = ["operation", "outcome", "criterion", "what was found"];
    section(
        "Everything that was asked for",
        "Every criterion of the gate, with what was found. One NO makes the verdict NO, one HOLD \
         makes it HOLD.",
        &format!(
            "<details><summary>{} of {} criteria are met: show all</summary>{}</details>",
            escape(&met.to_string()),
            criteria.len(),
            table(&titles, rows.collect())
        ),
    )
}
