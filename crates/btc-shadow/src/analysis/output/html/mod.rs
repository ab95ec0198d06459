//! An assessment as one page for a browser: no script, nothing from elsewhere, light and dark.

mod fields;
mod latency;
mod memory;
mod parts;
mod scale;
mod tables;
mod timeline;

use std::fmt::Write as _;

use super::super::gate::{Assessment, Decision};
use super::super::report::Report;
use super::table::{events, origin, problems};
use super::words::{grouped, percent, plain, plural, time};
use parts::{list, section};

const STYLE: &str = include_str!("style.css");
/// How many reasons stand beside the verdict; the rest is one click away.
const MAX_REASONS: usize = 8;

/// Renders one page that needs nothing else: the verdict in a sentence, the reasons, the numbers
/// per operation, pictures, and a sample of each field that differs. Text from logs is escaped, and
/// the page forbids the browser to run scripts or to load anything.
pub fn render_html(assessment: &Assessment) -> String {
    let report = &assessment.report;
    let decision = assessment.judgement.decision.as_str();
    let body = [
        verdict(assessment),
        tiles(report),
        tables::operations(assessment),
        latency::section(report),
        timeline::section(report),
        memory::section(report),
        fields::section(report),
        tables::not_compared(report),
        section(
            "What else happened",
            "The breaker, reads that failed over, and changes of the roll-out.",
            &list(events(report)),
        ),
        tables::criteria(assessment),
        section(
            "Where the evidence comes from",
            "Only runs with the newest builds and rules count; a change of either starts anew.",
            &list(origin(report)),
        ),
        problem_section(report),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\">\n<title>{decision}: shadow mode</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}{FOOTER}</main>\n</body>\n</html>\n",
        body.concat()
    )
}

const FOOTER: &str = "<footer>GO: the evidence is enough and nothing speaks against it. HOLD: \
    evidence is missing. NO: something speaks against it. Missing data is never taken for \
    agreement. “Up to” is the exact one-sided upper bound of the rate of mismatches; the bounds of \
    all operations hold together. Durations and errors are those of logged calls that both were \
    asked. A secondary's duration of an operation with an effect is that of its check, which has \
    none.</footer>\n";

fn verdict(assessment: &Assessment) -> String {
    let judgement = &assessment.judgement;
    let word = judgement.decision.as_str();
    let class = word.to_lowercase();
    let unmet: Vec<_> = judgement.unmet().map(parts::reason).collect();
    let (shown, rest) = unmet.split_at(unmet.len().min(MAX_REASONS));
    let mut reasons = String::new();
    if judgement.decision != Decision::Go {
        reasons = format!("<ul class=\"reasons\">{}</ul>", shown.concat());
    }
    if !rest.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(
            reasons,
            "<details><summary>{}</summary><ul class=\"reasons\">{}</ul></details>",
            plural(rest.len() as u64, "more reason", "more reasons"),
            rest.concat()
        );
    }
    format!(
        "<header class=\"verdict {class}\"><div class=\"word\">{word}</div><h1>{}</h1><div>{reasons}</div></header>\n",
        escape(&judgement.headline)
    )
}

fn tiles(report: &Report) -> String {
    let compatibility = report
        .compatibility_ppm
        .map_or_else(|| "none".to_owned(), percent);
    let first_and_last = report
        .pictures
        .verdicts
        .buckets
        .first()
        .zip(report.pictures.verdicts.buckets.last());
    let period = first_and_last.map_or_else(
        || "unknown".to_owned(),
        |(first, last)| parts::period(last.start_ms.saturating_sub(first.start_ms)),
    );
    let since = first_and_last.map_or_else(String::new, |(first, _)| {
        format!(" since {} UTC", time(first.start_ms))
    });
    let tiles = [
        (grouped(report.compared), "calls compared".to_owned()),
        (grouped(report.mismatches), "mismatches".to_owned()),
        (compatibility, "compatibility".to_owned()),
        (period, format!("of calls{since}")),
        (
            grouped(report.newest().map_or(0, |group| group.runs)),
            "runs of the newest builds".to_owned(),
        ),
    ];
    let tiles = tiles.map(|(value, what)| {
        format!(
            "<div class=\"tile\"><b>{}</b><span>{}</span></div>",
            escape(&value),
            escape(&what)
        )
    });
    format!("<div class=\"tiles\">{}</div>\n", tiles.concat())
}

fn problem_section(report: &Report) -> String {
    if report.problem_count == 0 {
        return String::new();
    }
    let title = format!("Problems in the log: {}", grouped(report.problem_count));
    section(
        &title,
        "Lines, files and runs that could not be used in full; the first of them.",
        &list(problems(report)),
    )
}

/// Text that is no markup.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no such characters, not even escaped.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}
