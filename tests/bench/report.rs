//! The rows as a table, as JSON, and inside docs/performance.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::Outcome;
use crate::measure::Pair;
use crate::wallet::memory::{Peak, Who};

const BEGIN: &str = "<!-- bench -->";
const END: &str = "<!-- /bench -->";

/// What a row must come to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach {
    /// Ours may take this many thousandths of theirs at the most.
    AtMostMilli(u64),
    /// Ours must be this many times faster at least.
    FasterBy(u64),
}

/// One measured row.
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) against: &'static str,
    pub(crate) reach: Reach,
    pub(crate) pair: Pair,
}

/// One measured number that stands for itself.
pub(crate) struct Figure {
    pub(crate) work: String,
    pub(crate) measured: String,
    /// What it must come to; nothing where there is no such word.
    pub(crate) reach: &'static str,
    pub(crate) is_reached: bool,
}

/// Everything measured in one run.
#[derive(Default)]
pub(crate) struct Results {
    /// What the reads were measured on.
    pub(crate) subject: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) peaks: Vec<Peak>,
    pub(crate) figures: Vec<Figure>,
}

impl Results {
    /// Takes a row, and says it on stderr.
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("{}", line(&row));
        self.rows.push(row);
    }

    /// Takes a figure, and says it on stderr.
    pub(crate) fn tell(&mut self, figure: Figure) {
        eprintln!("{}", figure_line(&figure));
        self.figures.push(figure);
    }
}

fn figure_line(figure: &Figure) -> String {
    let word = match (figure.reach, figure.is_reached) {
        ("", _) => String::new(),
        (reach, true) => format!(" (reach {reach}) ok"),
        (reach, false) => format!(" (reach {reach}) MISSED"),
    };
    format!("{}: {}{word}", figure.work, figure.measured)
}

/// One row as text.
fn line(row: &Row) -> String {
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
pub(crate) fn table(results: &Results) -> String {
    let rows = results.rows.iter();
    let rows = rows.map(|row| line(row) + "\n    against " + row.against + "\n");
    let peaks = results.peaks.iter().map(|peak| format!("{peak}\n"));
    let figures = results.figures.iter().map(figure_line);
    let figures = figures.map(|line| format!("{line}\n"));
    rows.chain(peaks).chain(figures).collect()
}

/// All rows as JSON, with what they were measured on.
pub(crate) fn json(results: &Results) -> Outcome<String> {
    let rows = results.rows.iter().map(|row| {
        json!({
            "work": row.work,
            "against": row.against,
            "ours_ns": u64::try_from(row.pair.ours.as_nanos()).unwrap_or(u64::MAX),
            "theirs_ns": u64::try_from(row.pair.theirs.as_nanos()).unwrap_or(u64::MAX),
            "ratio_milli": row.pair.ratio_milli,
            "reach": reach(row.reach),
            "is_reached": is_reached(row),
        })
    });
    let figures = results.figures.iter().map(|figure| {
        json!({
            "work": figure.work,
            "measured": figure.measured,
            "reach": figure.reach,
            "is_reached": figure.is_reached,
        })
    });
    let peaks = results.peaks.iter().map(|peak| {
        json!({
            "first_sync_of": peak.who.name(),
            "blocks": peak.height,
            "before_kib": peak.before_kib,
            "peak_kib": peak.most_kib,
        })
    });
    let value = json!({
        "subject": results.subject,
        "rows": rows.collect::<Vec<_>>(),
        "peaks": peaks.collect::<Vec<_>>(),
        "figures": figures.collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// Replaces the tables between the marks of a document.
pub(crate) fn into_markdown(path: &Path, results: &Results) -> Outcome<()> {
    let text = std::fs::read_to_string(path)?;
    let (before, rest) = text
        .split_once(BEGIN)
        .ok_or("the document has no mark for the table")?;
    let (_, after) = rest
        .split_once(END)
        .ok_or("the document has no mark for the table's end")?;
    let mut table = format!(
        "{BEGIN}\n{}\n\n\
         | work | against | ours | theirs | measured | reach |\n|---|---|---|---|---|---|\n",
        results.subject
    );
    for row in &results.rows {
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
    table.push('\n');
    table.push_str(&memory_table(&results.peaks));
    table.push_str(&figure_table(&results.figures));
    std::fs::write(path, format!("{before}{table}{END}{after}"))?;
    Ok(())
}

/// Memory by chain length, a line for each wallet.
fn figure_table(figures: &[Figure]) -> String {
    let mut table = String::from("\n| shadow mode | measured | reach |\n|---|---|---|\n");
    for figure in figures {
        let missed = if figure.is_reached { "" } else { " (missed)" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {}{missed} | {} |",
            figure.work, figure.measured, figure.reach
        );
    }
    table
}

fn memory_table(peaks: &[Peak]) -> String {
    let mut by_height: BTreeMap<u32, Vec<&Peak>> = BTreeMap::new();
    for peak in peaks {
        by_height.entry(peak.height).or_default().push(peak);
    }
    let heights = by_height.keys().map(|height| format!(" {height} blocks |"));
    let mut table = format!(
        "| memory of a first sync |{}\n",
        heights.collect::<String>()
    );
    // Writing to a string cannot fail.
    let _ = writeln!(table, "|---|{}", "---|".repeat(by_height.len()));
    for who in Who::ALL {
        let cells = by_height.values().map(|all| {
            let peak = all.iter().find(|peak| peak.who == who);
            peak.map_or(" |".to_owned(), |peak| {
                let (before, most) = (mib(peak.before_kib), mib(peak.most_kib));
                format!(" {before}, then {most} MiB |")
            })
        });
        let _ = writeln!(table, "| {} |{}", who.name(), cells.collect::<String>());
    }
    table
}

fn mib(kib: u64) -> String {
    let tenths = (kib * 10 + 512) / 1024;
    format!("{}.{}", tenths / 10, tenths % 10)
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
