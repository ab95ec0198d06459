//! A report as aligned text for people.

use std::fmt::Write as _;

use super::report::{Conclusion, OperationReport, Report};

/// Renders the conclusion first, then a line per operation, then what needs a look.
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
    let _ = writeln!(out, "{}\n", from_where(report));
    if !report.operations.is_empty() {
        out.push_str(&grid(&operation_rows(&report.operations)));
        out.push('\n');
        out.push_str(&grid(&time_rows(&report.operations)));
    }
    list_errors(&mut out, report);
    list_paths(&mut out, report);
    list_reasons(&mut out, report);
    if report.problem_count > 0 {
        let _ = writeln!(out, "\nproblems in the log: {}", report.problem_count);
        for problem in &report.problems {
            let place = match problem.line {
                0 => String::new(),
                line => format!("{}:{line}: ", problem.file),
            };
            let _ = writeln!(out, "  {}", plain(&format!("{place}{}", problem.what)));
        }
    }
    out
}

fn from_where(report: &Report) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    format!(
        "          {} lines from {} run{}",
        report.lines,
        report.runs,
        plural(report.runs)
    )
}

fn operation_rows(operations: &[OperationReport]) -> Vec<Vec<String>> {
    let head = [
        "operation",
        "calls",
        "compared",
        "distinct",
        "mismatches",
        "inconclusive",
        "skipped",
        "compatibility",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
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
    let head = ["operation", "implementation", "logged", "p50", "p95", "p99"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
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

fn list_errors(out: &mut String, report: &Report) {
    let mut rows = vec![
        ["operation", "implementation", "error", "count", "rate"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for o in &report.operations {
        for e in &o.errors {
            rows.push(vec![
                o.operation.to_string(),
                e.implementation.to_string(),
                e.kind.to_string(),
                e.count.to_string(),
                percent(e.rate_ppm),
            ]);
        }
    }
    if rows.len() > 1 {
        out.push('\n');
        out.push_str(&grid(&rows));
    }
}

fn list_paths(out: &mut String, report: &Report) {
    let differing: Vec<_> = report
        .operations
        .iter()
        .filter(|o| !o.paths.is_empty())
        .collect();
    if differing.is_empty() {
        return;
    }
    out.push_str("\nfields that differ\n");
    for o in differing {
        for p in &o.paths {
            let _ = writeln!(
                out,
                "  {} {} in {} places, first at {}:\n    primary   {}\n    secondary {}",
                o.operation,
                plain(&p.path),
                p.count,
                plain(&p.sample.path),
                plain(&p.sample.primary),
                plain(&p.sample.secondary)
            );
        }
    }
}

fn list_reasons(out: &mut String, report: &Report) {
    let uncompared: Vec<_> = report
        .operations
        .iter()
        .filter(|o| !o.reasons.is_empty())
        .collect();
    if uncompared.is_empty() {
        return;
    }
    out.push_str("\nnot compared\n");
    for o in uncompared {
        for r in &o.reasons {
            let _ = writeln!(
                out,
                "  {} {} {} times: {}",
                o.operation,
                r.verdict.as_str(),
                r.count,
                plain(&r.reason)
            );
        }
    }
}

/// Text from a log without what would command a terminal or break the line.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Columns aligned by their widest cell: text to the left, numbers to the right.
fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<_> = (0..columns)
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let is_text = cell.starts_with(|c: char| c.is_ascii_lowercase());
            let is_head = std::ptr::eq(row, &raw const rows[0]);
            let _ = if is_text && !is_head || line.is_empty() {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// Millionths as a percentage with four digits, exact.
fn percent(ppm: u64) -> String {
    format!("{}.{:04} %", ppm / 10_000, ppm % 10_000)
}

fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{}.{} µs", ns / 1_000, ns % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{} ms", ns / 1_000_000, ns % 1_000_000 / 100_000),
        _ => format!(
            "{}.{} s",
            ns / 1_000_000_000,
            ns % 1_000_000_000 / 100_000_000
        ),
    }
}
