//! An assessment as Markdown, for a ticket or a pull request.

use std::fmt::Write as _;

use super::super::gate::{Assessment, Decision, Outcome};
use super::cells::{Rows, calls, errors, memory, times};
use super::table::{events, origin, problems};
use super::words::plain;

/// Of how many fields that differ a sample is shown.
const MAX_PATHS: usize = 10;

pub(super) fn render(assessment: &Assessment) -> String {
    let (judgement, report) = (&assessment.judgement, &assessment.report);
    let mut out = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        out,
        "# {}: {}\n",
        judgement.decision.as_str(),
        text(&judgement.headline)
    );
    list(&mut out, origin(report));
    if judgement.decision != Decision::Go {
        out.push_str("\n## Criteria not met\n\n");
        let unmet = judgement.unmet().map(|criterion| {
            let word = match criterion.outcome {
                Outcome::No => "no",
                _ => "hold",
            };
            format!("{word}: {}", criterion.sentence)
        });
        list(&mut out, unmet);
    }
    for (title, rows) in [
        ("Calls", calls(assessment)),
        ("Time", times(report)),
        ("Errors", errors(report)),
        ("Memory", memory(report)),
        ("Fields that differ", paths(assessment)),
    ] {
        if rows.len() > 1 {
            let _ = writeln!(out, "\n## {title}\n");
            table(&mut out, &rows);
        }
    }
    let events = events(report);
    if !events.is_empty() {
        out.push_str("\n## Events\n\n");
        list(&mut out, events);
    }
    if report.problem_count > 0 {
        let _ = writeln!(out, "\n## Problems in the log: {}\n", report.problem_count);
        list(&mut out, problems(report));
    }
    out
}

fn paths(assessment: &Assessment) -> Rows {
    let mut rows = vec![super::grid::row([
        "operation",
        "field",
        "places",
        "first at",
        "primary",
        "secondary",
    ])];
    let operations = assessment.report.operations.iter();
    let paths = operations.flat_map(|o| o.paths.iter().map(|path| (o.operation, path)));
    for (operation, path) in paths.take(MAX_PATHS) {
        rows.push(vec![
            operation.to_string(),
            path.path.clone(),
            path.count.to_string(),
            path.sample.path.clone(),
            path.sample.primary.clone(),
            path.sample.secondary.clone(),
        ]);
    }
    rows
}

fn table(out: &mut String, rows: &Rows) {
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().map(|cell| text(cell)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
        if number == 0 {
            let is_text = |column: usize| {
                rows.get(1).is_none_or(|row: &Vec<String>| {
                    row[column].starts_with(|c: char| c.is_ascii_lowercase())
                })
            };
            let rule = |column| if is_text(column) { "---|" } else { "---:|" };
            let rules: String = (0..row.len()).map(rule).collect();
            let _ = writeln!(out, "|{rules}");
        }
    }
}

fn list(out: &mut String, sentences: impl IntoIterator<Item = String>) {
    for sentence in sentences {
        let _ = writeln!(out, "- {}", text(&sentence));
    }
}

/// Text that is no markup.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '#' | '!' | '~' | '@' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}
