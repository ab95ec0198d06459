//! The documents name what there is: the table of metrics, and the dashboard.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use btc_iface::Operation;
use btc_shadow::Watch;
use btc_shadow::metrics::{self, Metrics};
use serde_json::Value;

use super::{families, judged, run};

fn document(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::read_to_string(docs.join(name)).expect("a document")
}

/// Metrics of a run in which everything happened.
fn everything() -> Metrics {
    let (books, comparisons) = run();
    let metrics = Metrics::new(books);
    for comparison in &comparisons {
        metrics.judged(comparison);
    }
    metrics.judged(&judged(Operation::GetBlock, &["length"]));
    for name in [
        metrics::QUEUE_DEPTH,
        metrics::BREAKER_OPEN,
        metrics::LOG_LOST_LINES,
        metrics::PYTHON_MEMORY,
    ] {
        let added = metrics.gauge(name, "As the document says.", Box::new(|| 0.0));
        added.expect("a free name");
    }
    metrics
}

/// The names of metrics in a text, as words.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    words
        .filter(|word| word.starts_with("btc_shadow_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn the_table_has_each_metric_with_its_kind_and_labels() {
    let text = document("metrics.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let families = families(&everything());
    let listed: BTreeSet<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let there: BTreeSet<_> = families.keys().map(String::as_str).collect();
    assert_eq!(listed, there);
    for row in rows {
        let family = &families[row[0].trim_matches('`')];
        assert_eq!(row[1], family.kind, "{row:?}");
        let listed: BTreeSet<_> = row[2]
            .split(", ")
            .map(|label| label.trim_matches('`'))
            .filter(|label| !label.is_empty())
            .collect();
        for sample in &family.samples {
            let labels = sample.labels.keys().map(String::as_str);
            let labels: BTreeSet<_> = labels.filter(|label| *label != "le").collect();
            assert_eq!(labels, listed, "{row:?}");
        }
    }
}

#[test]
fn alerts_and_text_name_metrics_that_there_are() {
    let families = families(&everything());
    for name in names(&document("metrics.md")) {
        assert!(families.contains_key(name), "{name}");
    }
}

#[test]
fn the_dashboard_shows_metrics_that_there_are_and_leaves_none_out() {
    let dashboard: Value = serde_json::from_str(&document("grafana-dashboard.json")).expect("JSON");
    let mut expressions = Vec::new();
    collect(&dashboard, &mut expressions);
    assert!(expressions.len() > 15, "{expressions:?}");
    let metrics = everything();
    let families = families(&metrics);
    let series: BTreeSet<_> = families
        .values()
        .flat_map(|family| family.samples.iter().map(|sample| sample.name.as_str()))
        .collect();
    let mut shown = BTreeSet::new();
    for expression in &expressions {
        let names = names(expression);
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(series.contains(name), "{name} in {expression}");
            shown.insert(name);
        }
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            let count = |letter| expression.matches(letter).count();
            assert_eq!(count(open), count(close), "{expression}");
        }
    }
    for name in families.keys() {
        assert!(
            shown.iter().any(|it| it.starts_with(name.as_str())),
            "{name}"
        );
    }
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
}

/// The queries of panels.
fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(expression)) = fields.get("expr") {
                found.push(expression.clone());
            }
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}
