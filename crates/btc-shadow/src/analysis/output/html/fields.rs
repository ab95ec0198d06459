//! The fields that differ: where, how often, and a sample of each.

use std::collections::BTreeMap;

use btc_iface::Operation;

use super::super::super::report::{FieldPath, Report};
use super::super::words::{grouped, plural};
use super::{escape, parts};

/// How many fields the map and the samples show, the most frequent ones.
const MAX_ROWS: usize = 20;
const MAX_SAMPLES: usize = 12;

pub(super) fn section(report: &Report) -> String {
    let mut found: Vec<(Operation, &FieldPath)> = report
        .operations
        .iter()
        .flat_map(|o| o.paths.iter().map(|path| (o.operation, path)))
        .collect();
    if found.is_empty() {
        return String::new();
    }
    found.sort_by_key(|(_, path)| std::cmp::Reverse(path.count));
    let samples: String = found.iter().take(MAX_SAMPLES).map(sample).collect();
    let rest = found.len().saturating_sub(MAX_SAMPLES);
    let more = if rest > 0 {
        format!(
            "<p>and {}</p>",
            plural(rest as u64, "other field", "other fields")
        )
    } else {
        String::new()
    };
    parts::section(
        "Fields that differ",
        "What the two answers disagree about: how often each field differed, and the first place where \
         it did, with both values. The primary is the side whose answer was returned.",
        &format!("{}{samples}{more}", heat_map(report, &found)),
    )
}

/// Fields by operations; the darker, the more often, on a logarithmic scale.
fn heat_map(report: &Report, found: &[(Operation, &FieldPath)]) -> String {
    let mut rows: BTreeMap<&str, BTreeMap<Operation, u64>> = BTreeMap::new();
    for (operation, path) in found {
        let row = rows.entry(&path.path).or_default();
        *row.entry(*operation).or_default() += path.count;
    }
    let most = found.iter().map(|(_, path)| path.count).max().unwrap_or(1);
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.values().max().copied()));
    let differing = report.operations.iter().filter(|o| !o.paths.is_empty());
    let operations: Vec<_> = differing.map(|o| o.operation).collect();
    let head: String = operations
        .iter()
        .map(|operation| format!("<th>{}</th>", operation.as_str().replace('_', "<br>")))
        .collect();
    let body: String = rows
        .iter()
        .take(MAX_ROWS)
        .map(|(path, counts)| {
            let cells: String = operations
                .iter()
                .map(|operation| cell(counts.get(operation).copied(), most))
                .collect();
            format!(
                "<tr><td class=\"l wrap mono\">{}</td>{cells}</tr>",
                escape(path)
            )
        })
        .collect();
    format!(
        "<div class=\"card\"><table class=\"heat\"><tr><th class=\"l\">field</th>{head}</tr>{body}</table></div>"
    )
}

#[expect(clippy::cast_precision_loss, reason = "a shade needs no 53 bits")]
fn cell(count: Option<u64>, most: u64) -> String {
    let Some(count) = count else {
        return "<td class=\"off\">·</td>".to_owned();
    };
    let share = (count as f64 + 1.0).ln() / (most as f64 + 1.0).ln();
    format!(
        "<td style=\"background:rgba(var(--heat),{:.2})\">{}</td>",
        0.15 + 0.6 * share,
        grouped(count)
    )
}

fn sample((operation, path): &(Operation, &FieldPath)) -> String {
    let sample = &path.sample;
    let tip = if sample.tip {
        ", which a new block may change"
    } else {
        ""
    };
    format!(
        "<div class=\"card\"><div class=\"field\"><h3><code>{}</code></h3>\
         <span class=\"off\">{operation}, {}{tip}</span></div><div class=\"sample\">\
         <span>first at</span><code>{}</code><span>primary</span><code>{}</code>\
         <span>secondary</span><code>{}</code></div></div>",
        escape(&path.path),
        plural(path.count, "place", "places"),
        escape(&sample.path),
        escape(&sample.primary),
        escape(&sample.secondary)
    )
}
