//! Whether both sides agreed, as aligned text: for a comparison that was just made.

use std::fmt::Write as _;

use super::super::report::{Conclusion, OperationReport, Report};
use super::grid::{grid, row};
use super::table::{list_paths, list_problems, list_reasons};
use super::words::{duration, percent};

/// Renders the conclusion first, then a line per operation, then what needs a look. Whether the
/// evidence is enough is another question, which [`Gate`] answers.
///
/// [`Gate`]: crate::analysis::Gate
pub fn render_table(report: &Report) -> String {
    let mut out = String::new();
    let compatibility = report
        .compatibility_ppm
        .map_or_else(|| "none".to_owned(), percent);
    // Writing to a string cannot fail, here and below.
    let _ = match report.conclusion {
        Conclusion::Agree => writeln!(
            out,
            "AGREE     {} calls compared, no difference (compatibility {compatibility})",
            report.compared
        ),
        Conclusion::Differ => writeln!(
            out,
            "DIFFER    {} of {} compared calls differ (compatibility {compatibility})",
            report.mismatches, report.compared
        ),
        Conclusion::NoEvidence => {
            writeln!(
                out,
                "NOTHING   no call was compared: this log proves nothing"
            )
        }
    };
    let plural = if report.runs == 1 { "" } else { "s" };
    let _ = writeln!(
        out,
        "          {} lines from {} run{plural}\n",
        report.lines, report.runs
    );
    if !report.operations.is_empty() {
        out.push_str(&grid(&operation_rows(&report.operations)));
        out.push('\n');
        out.push_str(&grid(&time_rows(&report.operations)));
    }
    let errors = super::cells::errors(report);
    if errors.len() > 1 {
        out.push('\n');
        out.push_str(&grid(&errors));
    }
    list_paths(&mut out, report, usize::MAX);
    list_reasons(&mut out, report);
    list_problems(&mut out, report);
    out
}

fn operation_rows(operations: &[OperationReport]) -> Vec<Vec<String>> {
    let mut rows = vec![row([
        "operation",
        "calls",
        "compared",
        "distinct",
        "mismatches",
        "inconclusive",
        "skipped",
        "compatibility",
    ])];
    for o in operations {
        rows.push(vec![
            o.operation.to_string(),
            o.calls.to_string(),
            o.compared.to_string(),
            o.distinct_inputs.to_string(),
            o.mismatches.to_string(),
            o.inconclusive.to_string(),
            o.skipped.to_string(),
            o.compatibility_ppm.map_or_else(|| "-".to_owned(), percent),
        ]);
    }
    rows
}

fn time_rows(operations: &[OperationReport]) -> Vec<Vec<String>> {
    let mut rows = vec![row([
        "operation",
        "implementation",
        "logged",
        "p50",
        "p95",
        "p99",
    ])];
    for o in operations {
        for t in &o.times {
            rows.push(vec![
                o.operation.to_string(),
                t.implementation.to_string(),
                t.calls.to_string(),
                duration(t.p50_ns),
                duration(t.p95_ns),
                duration(t.p99_ns),
            ]);
        }
    }
    rows
}
