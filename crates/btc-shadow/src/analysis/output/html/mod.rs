//! An assessment as one page for a browser: no script, nothing from elsewhere, light and dark.

mod errors;
mod fields;
mod latency;
mod memory;
mod parts;
mod scale;
mod tables;
mod tiles;
mod timeline;
mod verdict;

use super::super::gate::Assessment;
use super::super::report::Report;
use super::table::{events, origin, problems};
use super::words::{grouped, plain};
use parts::{list, section};

const STYLE: &str = include_str!("style.css");

/// Renders one page that needs nothing else: the verdict in a sentence, the reasons, the numbers
/// per operation, pictures, and a sample of each field that differs. Text from logs is escaped, and
/// the page forbids the browser to run scripts or to load anything.
pub fn render_html(assessment: &Assessment) -> String {
    let report = &assessment.report;
    let decision = assessment.judgement.decision.as_str();
    let body = [
        verdict::verdict(assessment),
        tiles::tiles(assessment),
        fields::section(report),
        tables::glance(assessment),
        tables::agreement(assessment),
        latency::section(assessment),
        errors::section_of(report),
        memory::section(report),
        timeline::section(report),
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
         style-src 'unsafe-inline'\">\n<title>{decision}: may Rust take over from Python?</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}{FOOTER}</main>\n</body>\n</html>\n",
        body.concat()
    )
}

const FOOTER: &str = "<footer>GO: the evidence is enough and nothing speaks against it. HOLD: \
    evidence is missing. NO: something speaks against it. Missing data is never taken for \
    agreement. The bounds of the rates of all operations hold together, with the confidence of the \
    gate. Durations and errors are those of logged calls that both were asked. Where an operation \
    has an effect, the secondary only checks what the primary did, and its duration is that of the \
    check.</footer>\n";

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
