//! The tables of the page: numbers per operation, what was not compared, every criterion.

use btc_iface::BitcoinImplementationType::{self, Python, Rust};

use super::super::super::gate::{Assessment, Outcome};
use super::super::super::report::{OperationReport, Report, Times};
use super::super::cells::{distinct, ratio};
use super::super::words::{bytes, duration, grouped, percent, rate};
use super::escape;
use super::parts::{section, tag};

pub(super) fn operations(assessment: &Assessment) -> String {
    let report = &assessment.report;
    if report.operations.is_empty() {
        return String::new();
    }
    let of = |row: fn(&Assessment, &OperationReport) -> String| -> String {
        let operations = report.operations.iter();
        operations.map(|o| row(assessment, o)).collect()
    };
    let content = format!(
        "<div class=\"card\"><table>{AGREEMENT_HEAD}{}</table></div>\
         <div class=\"card\"><table>{TIMES_HEAD}{}</table></div>\
         <div class=\"card\"><table>{ERRORS_HEAD}{}</table></div>",
        of(agreement_row),
        of(times_row),
        of(errors_row)
    );
    section(
        "Per operation",
        "Agreement, and below it execution time, errors and memory of both implementations.",
        &content,
    )
}

const AGREEMENT_HEAD: &str = "<tr><th class=\"l\">operation</th><th></th><th>calls</th>\
    <th>compared</th><th>distinct inputs</th><th>mismatches</th><th>rate up to</th>\
    <th>inconclusive</th><th>skipped</th><th>dropped</th><th>compatibility</th></tr>";

const TIMES_HEAD: &str = "<tr><th class=\"group\"></th><th class=\"group\" colspan=\"3\">p50</th>\
    <th class=\"group\" colspan=\"3\">p95</th><th class=\"group\" colspan=\"3\">p99</th></tr>\
    <tr><th class=\"l\">operation</th><th>python</th><th>rust</th><th>ratio</th>\
    <th>python</th><th>rust</th><th>ratio</th><th>python</th><th>rust</th><th>ratio</th></tr>";

const ERRORS_HEAD: &str = "<tr><th class=\"group\"></th><th class=\"group\" colspan=\"2\">errors by kind</th>\
    <th class=\"group\" colspan=\"2\">failed alone</th>\
    <th class=\"group\" colspan=\"2\">peak memory of the process</th></tr>\
    <tr><th class=\"l\">operation</th><th class=\"l\">python</th><th class=\"l\">rust</th>\
    <th>python</th><th>rust</th><th>python</th><th>rust</th></tr>";

fn agreement_row(assessment: &Assessment, o: &OperationReport) -> String {
    let judgement = &assessment.judgement;
    let its = judgement.criteria.iter();
    let its = its.filter(|criterion| criterion.operation == Some(o.operation));
    let outcome = its.map(|criterion| criterion.outcome).max();
    let limits = judgement.gate.operations.get(&o.operation);
    let needed = limits.map_or(0, |limits| limits.distinct_inputs);
    let bound = judgement.mismatch_bounds.get(&o.operation);
    let cells = [
        cell("", &grouped(o.calls)),
        cell("", &grouped(o.compared)),
        progress(o, needed),
        cell(
            if o.mismatches > 0 { "bad" } else { "" },
            &grouped(o.mismatches),
        ),
        cell(
            "",
            &bound.map_or_else(|| "-".to_owned(), |bound| rate(*bound)),
        ),
        count(o.inconclusive),
        count(o.skipped),
        count(o.dropped),
        cell(
            "",
            &o.compatibility_ppm.map_or_else(|| "-".to_owned(), percent),
        ),
    ];
    let tag = outcome.map_or_else(|| "not judged".to_owned(), tag);
    format!(
        "<tr><td class=\"l\">{}</td><td class=\"l\">{tag}</td>{}</tr>",
        o.operation,
        cells.concat()
    )
}

fn times_row(assessment: &Assessment, o: &OperationReport) -> String {
    let gate = &assessment.judgement.gate;
    let quantiles: [fn(&Times) -> u64; 3] = [|t| t.p50_ns, |t| t.p95_ns, |t| t.p99_ns];
    let limits = [gate.p50_ratio, f64::INFINITY, gate.p99_ratio];
    let mut cells = String::new();
    for (quantile, limit) in quantiles.into_iter().zip(limits) {
        let [python, rust] = [Python, Rust].map(|who| o.times_of(who).map(quantile));
        let show = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), duration);
        let shown = ratio(python, rust);
        let times = python.zip(rust);
        let is_slow = times.is_some_and(|(python, rust)| is_above(rust, python, limit));
        cells.push_str(&cell("", &show(python)));
        cells.push_str(&cell("", &show(rust)));
        cells.push_str(&cell(if is_slow { "bad" } else { "" }, &shown));
    }
    format!("<tr><td class=\"l\">{}</td>{cells}</tr>", o.operation)
}

fn errors_row(assessment: &Assessment, o: &OperationReport) -> String {
    let both = [Python, Rust];
    let cells = [
        both.map(|who| cell("l wrap", &errors(o, who))),
        [o.only_python_failed, o.only_rust_failed].map(count),
        both.map(|who| cell("", &peak(&assessment.report, who))),
    ];
    format!(
        "<tr><td class=\"l\">{}</td>{}</tr>",
        o.operation,
        cells.concat().concat()
    )
}

/// Whether Rust's duration is more than so many times Python's, as the gate sees it.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs no 53 bits")]
fn is_above(rust_ns: u64, python_ns: u64, limit: f64) -> bool {
    rust_ns as f64 / python_ns.max(1) as f64 > limit
}

/// Different inputs, with a bar towards the number that is needed.
#[expect(clippy::cast_precision_loss, reason = "a bar needs no 53 bits")]
fn progress(o: &OperationReport, needed: usize) -> String {
    let share = o.distinct_inputs as f64 / needed.max(1) as f64;
    let class = if share >= 1.0 { " class=\"full\"" } else { "" };
    format!(
        "<td>{} <span class=\"off\">of {}</span><span class=\"bar\"><i{class} style=\"width:{:.0}%\"></i></span></td>",
        distinct(o),
        grouped(needed as u64),
        100.0 * share.min(1.0)
    )
}

fn errors(o: &OperationReport, who: BitcoinImplementationType) -> String {
    let its = o.errors.iter().filter(|error| error.implementation == who);
    let shown: Vec<_> = its
        .map(|error| format!("{} {}", error.kind, percent_short(error.rate_ppm)))
        .collect();
    if shown.is_empty() {
        return "none".to_owned();
    }
    shown.join(", ")
}

/// Millionths as a percentage with two digits, which never reads as none.
fn percent_short(ppm: u64) -> String {
    match ppm {
        0..100 => "< 0.01 %".to_owned(),
        _ => format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100),
    }
}

/// The most memory of a process of this implementation alone, or of the one that both share.
fn peak(report: &Report, who: BitcoinImplementationType) -> String {
    let peak = |process| {
        let its = report
            .memory
            .iter()
            .filter(|one| one.implementation == process);
        its.map(|one| one.peak_rss_bytes).max()
    };
    match (peak(Some(who)), peak(None)) {
        (Some(own), _) => bytes(own),
        (None, Some(shared)) => format!("{} shared", bytes(shared)),
        (None, None) => "-".to_owned(),
    }
}

pub(super) fn not_compared(report: &Report) -> String {
    let rows: String = report
        .operations
        .iter()
        .flat_map(|o| o.reasons.iter().map(move |reason| (o.operation, reason)))
        .map(|(operation, reason)| {
            format!(
                "<tr><td class=\"l\">{operation}</td><td class=\"l\">{}</td>\
                 <td class=\"l wrap\">{}</td>{}</tr>",
                reason.verdict.as_str(),
                escape(&reason.reason),
                cell("", &grouped(reason.count))
            )
        })
        .collect();
    if rows.is_empty() {
        return rows;
    }
    let head = "<tr><th class=\"l\">operation</th><th class=\"l\">verdict</th>\
                <th class=\"l\">reason</th><th>calls</th></tr>";
    section(
        "Why calls were not compared",
        "Logged calls that prove neither agreement nor a difference.",
        &format!("<div class=\"card\"><table>{head}{rows}</table></div>"),
    )
}

pub(super) fn criteria(assessment: &Assessment) -> String {
    let criteria = &assessment.judgement.criteria;
    let rows: String = criteria
        .iter()
        .map(|criterion| {
            format!(
                "<tr><td class=\"l\">{}</td><td class=\"l\">{}</td>\
                 <td class=\"l wrap\">{}</td></tr>",
                tag(criterion.outcome),
                criterion.name,
                escape(&criterion.sentence)
            )
        })
        .collect();
    let met = criteria.iter();
    let met = met.filter(|one| one.outcome == Outcome::Go).count();
    section(
        "What was asked for",
        "Every criterion of the gate, with what was found.",
        &format!(
            "<details><summary>{met} of {} criteria are met</summary><div class=\"card\">\
             <table>{rows}</table></div></details>",
            criteria.len()
        ),
    )
}

fn count(count: u64) -> String {
    cell(if count == 0 { "off" } else { "" }, &grouped(count))
}

fn cell(class: &str, text: &str) -> String {
    let class = match class {
        "" => String::new(),
        _ => format!(" class=\"{class}\""),
    };
    format!("<td{class}>{}</td>", escape(text))
}
