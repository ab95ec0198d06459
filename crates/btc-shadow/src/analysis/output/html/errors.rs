//! Errors by kind, of both implementations side by side.

use std::collections::BTreeSet;

use btc_iface::BitcoinImplementationType::{self, Python, Rust};
use btc_iface::ErrorKind;

use super::super::super::report::{OperationReport, Report};
use super::super::words::grouped;
use super::escape;
use super::parts::{Cell, bar, legend, section, table};

pub(super) fn section_of(report: &Report) -> String {
    if report.operations.is_empty() {
        return String::new();
    }
    let all = || report.operations.iter().flat_map(|o| &o.errors);
    let most = all().map(|error| error.rate_ppm).max().unwrap_or(0);
    let rows = report.operations.iter().map(|o| {
        vec![
            Cell::text(o.operation.as_str()).class("name"),
            kinds(o, Python, most),
            kinds(o, Rust, most),
            Cell::count(o.only_python_failed),
            Cell::count(o.only_rust_failed),
        ]
    });
    let titles = [
        "operation",
        "share of calls that failed, by kind|python",
        "share of calls that failed, by kind|rust",
        "failed alone|python",
        "failed alone|rust",
    ];
    let seen: BTreeSet<_> = all().map(|error| error.kind).collect();
    let glossary: String = ErrorKind::ALL
        .into_iter()
        .filter(|kind| seen.contains(kind))
        .map(|kind| {
            format!(
                "<li><b>{}</b>: {}</li>",
                escape(kind.as_str()),
                escape(meaning(kind))
            )
        })
        .collect();
    let glossary = if glossary.is_empty() {
        String::new()
    } else {
        format!("<ul class=\"glossary\">{glossary}</ul>")
    };
    section(
        "Errors: do both refuse the same?",
        "The longer the bar, the more calls ended in that error. Bars of equal length on both \
         sides are as it should be; a call that failed alone is one that the other side answered.",
        &format!(
            "{}{}{glossary}",
            legend(&[("python", "python"), ("rust", "rust")]),
            table(&titles, rows.collect())
        ),
    )
}

#[expect(clippy::cast_precision_loss, reason = "a bar needs no 53 bits")]
fn kinds(o: &OperationReport, who: BitcoinImplementationType, most: u64) -> Cell {
    let its = o.errors.iter().filter(|error| error.implementation == who);
    let lines: String = its
        .map(|error| {
            format!(
                "<span class=\"kind\"><span>{}</span>{}<b>{}</b></span>",
                escape(error.kind.as_str()),
                bar(who.as_str(), error.rate_ppm as f64 / most.max(1) as f64),
                percent_short(error.rate_ppm)
            )
        })
        .collect();
    if lines.is_empty() {
        return Cell::text("none").class("l kindly off");
    }
    Cell::markup(format!("<span class=\"kinds\">{lines}</span>")).class("l kindly")
}

/// How many calls failed, of whatever kind, with their share.
pub(super) fn failures(o: &OperationReport, who: BitcoinImplementationType) -> String {
    let its = || o.errors.iter().filter(|error| error.implementation == who);
    let count = its().fold(0_u64, |sum, error| sum.saturating_add(error.count));
    let ppm = its().fold(0_u64, |sum, error| sum.saturating_add(error.rate_ppm));
    if count == 0 {
        return "none".to_owned();
    }
    format!("{} ({})", grouped(count), percent_short(ppm))
}

/// Millionths as a percentage with two digits, which never reads as none.
fn percent_short(ppm: u64) -> String {
    match ppm {
        0..100 => "< 0.01 %".to_owned(),
        _ => format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100),
    }
}

fn meaning(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "what was asked for does not exist",
        ErrorKind::InvalidInput => "the question makes no sense",
        ErrorKind::Rejected => "understood, and refused by the rules of Bitcoin or the node",
        ErrorKind::Unavailable => "the node or the Python side could not be reached",
        ErrorKind::Auth => "the node refused the credentials",
        ErrorKind::Timeout => "no answer in time",
        ErrorKind::Unsupported => "this implementation does not offer it",
        ErrorKind::Configuration => "a setting is wrong",
        ErrorKind::InvalidResponse => "the node answered what cannot be",
        ErrorKind::Internal => "a fault of the implementation itself",
        _ => "another error",
    }
}
