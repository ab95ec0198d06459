//! The fields that differ: where, how often, and a sample of each.

use std::collections::BTreeMap;

use btc_iface::Operation;

use super::super::super::report::{FieldPath, Report};
use super::super::words::{grouped, plural};
use super::{escape, parts};
use crate::compare::Difference;

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
    let off_by = off_by(sample).map_or_else(String::new, |sat| {
        let amount = plural(sat, "satoshi", "satoshis");
        format!("<span>apart by</span><b>{amount}</b>")
    });
    let what = meaning(&path.path).map_or_else(String::new, |what| format!("{what}; "));
    format!(
        "<div class=\"card\"><div class=\"field\"><h3><code>{}</code></h3>\
         <span class=\"off\">{what}{operation}, {}{tip}</span></div><div class=\"sample\">\
         <span>first at</span><code>{}</code><span>primary</span><code>{}</code>\
         <span>secondary</span><code>{}</code>{off_by}</div></div>",
        escape(&path.path),
        plural(path.count, "place", "places"),
        escape(&sample.path),
        escape(&sample.primary),
        escape(&sample.secondary)
    )
}

/// How many satoshis lie between two amounts.
fn off_by(sample: &Difference) -> Option<u64> {
    let is_amount = sample.path.ends_with("_sat");
    let amounts = [&sample.primary, &sample.secondary].map(|text| text.parse::<i64>().ok());
    let [Some(one), Some(other)] = amounts else {
        return None;
    };
    is_amount.then(|| one.abs_diff(other))
}

/// What a field is, in words.
fn meaning(path: &str) -> Option<&'static str> {
    let last = path.rsplit('.').next().unwrap_or(path);
    Some(match last.trim_end_matches("[]") {
        "value_sat" => "the amount of an output, in satoshis",
        "fee_sat" => "the fee, in satoshis",
        "sat_per_vb" => "the fee rate, in satoshis per virtual byte",
        "script_pubkey" => "who is paid",
        "txid" | "wtxid" => "which transaction it is",
        "address" => "where money is to be sent",
        "height" | "block_height" => "the height of a block",
        "block_hash" => "the block it is in",
        _ if last.ends_with("_sat") => "an amount, in satoshis",
        _ => return None,
    })
}
