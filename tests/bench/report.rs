//! The rows as a table, as JSON, and inside docs/performance.md.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::Outcome;
use crate::rows::{Reach, Row, Subject};

const BEGIN: &str = "<!-- bench -->";
const END: &str = "<!-- /bench -->";

/// One row as text.
pub(crate) fn line(row: &Row) -> String {
    format!(
        "{:<38} {:>10} against {:>10}: {:<14} (reach {}) {}",
        row.work,
        time(row.pair.ours),
        time(row.pair.theirs),
        ratio(row),
        reach(row.reach),
        if is_reached(row) { "ok" } else { "MISSED" }
    )
}

/// All rows as text.
pub(crate) fn table(rows: &[Row]) -> String {
    rows.iter().fold(String::new(), |out, row| {
        out + &line(row) + "\n    against " + row.against + "\n"
    })
}

/// All rows as JSON, with what they were measured on.
pub(crate) fn json(rows: &[Row], subject: &Subject) -> Outcome<String> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "work": row.work,
                "against": row.against,
                "ours_ns": u64::try_from(row.pair.ours.as_nanos()).unwrap_or(u64::MAX),
                "theirs_ns": u64::try_from(row.pair.theirs.as_nanos()).unwrap_or(u64::MAX),
                "ratio_milli": row.pair.ratio_milli,
                "reach": reach(row.reach),
                "is_reached": is_reached(row),
            })
        })
        .collect();
    let value = json!({
        "node": subject.node_version,
        "transactions": subject.transactions,
        "block_bytes": subject.block_bytes,
        "rows": rows,
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// Replaces the table between the marks of a document.
pub(crate) fn into_markdown(path: &Path, rows: &[Row], subject: &Subject) -> Outcome<()> {
    let text = std::fs::read_to_string(path)?;
    let (before, rest) = text
        .split_once(BEGIN)
        .ok_or("the document has no mark for the table")?;
    let (_, after) = rest
        .split_once(END)
        .ok_or("the document has no mark for the table's end")?;
    let mut table = format!(
        "{BEGIN}\nNode `{}`; the full block has {} transactions in {} bytes.\n\n\
         | work | against | ours | theirs | measured | reach |\n|---|---|---|---|---|---|\n",
        subject.node_version, subject.transactions, subject.block_bytes
    );
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {}{} | {} |",
            row.work,
            row.against,
            time(row.pair.ours),
            time(row.pair.theirs),
            ratio(row),
            if is_reached(row) { "" } else { " (missed)" },
            reach(row.reach),
        );
    }
    std::fs::write(path, format!("{before}{table}{END}{after}"))?;
    Ok(())
}

fn is_reached(row: &Row) -> bool {
    match row.reach {
        Reach::AtMostMilli(limit) => row.pair.ratio_milli <= limit,
        Reach::FasterBy(times) => row.pair.ratio_milli * times <= 1000,
    }
}

fn ratio(row: &Row) -> String {
    let milli = row.pair.ratio_milli;
    match row.reach {
        Reach::AtMostMilli(_) => format!("{}.{:03} ×", milli / 1000, milli % 1000),
        Reach::FasterBy(_) => {
            let tenfold = 10_000 / milli.max(1);
            format!("{}.{} × faster", tenfold / 10, tenfold % 10)
        }
    }
}

fn reach(reach: Reach) -> String {
    match reach {
        Reach::AtMostMilli(limit) => format!("≤ {}.{:02} ×", limit / 1000, limit % 1000 / 10),
        Reach::FasterBy(times) => format!("≥ {times} × faster"),
    }
}

fn time(duration: Duration) -> String {
    let ns = duration.as_nanos();
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{}.{} µs", ns / 1000, ns % 1000 / 100),
        _ => format!("{}.{} ms", ns / 1_000_000, ns % 1_000_000 / 100_000),
    }
}
