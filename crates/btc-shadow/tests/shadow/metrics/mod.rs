//! Metrics in Prometheus' text format: what is counted, and that it can be read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{BitcoinInterface, ErrorKind, Operation};
use btc_shadow::compare::Verdict;
use btc_shadow::metrics::{self, Metrics};
use btc_shadow::record::{Comparison, Event};
use btc_shadow::sink::MemorySink;
use btc_shadow::{Books, Policy, Shadow, Watch};

use self::parser::{Family, parse};
use crate::double::{Double, failure};
use crate::samples::{comparison, difference, with_errors};

mod documents;
mod parser;
mod server;

/// A run of ten heights, of which the third is an error on both sides.
fn run() -> (Arc<Books>, Vec<Comparison>) {
    let sink = Arc::new(MemorySink::default());
    let policy = Policy {
        recheck_after_ms: Vec::new(),
    };
    let answer = |operation, call| match call {
        3 => Err(failure(operation, ErrorKind::NotFound)),
        _ => Ok(2),
    };
    let shadow = Shadow::new(
        Arc::new(Double::new(Python, answer)),
        Arc::new(Double::new(Rust, answer)),
        policy,
        Box::new(Arc::clone(&sink)),
        true,
    );
    for _ in 0..10 {
        // The third is an error.
        let _ = shadow.get_block_height();
    }
    let books = shadow.books();
    drop(shadow);
    let lines = sink.lines().into_iter();
    let judged = lines.filter_map(|line| match line.event {
        Event::Comparison(comparison) => Some(comparison),
        _ => None,
    });
    (books, judged.collect())
}

fn families(metrics: &Metrics) -> BTreeMap<String, Family> {
    parse(&metrics.render())
}

fn judged(operation: Operation, paths: &[&str]) -> Comparison {
    let Event::Comparison(mut found) = comparison(1, Verdict::Mismatch) else {
        unreachable!("it is one");
    };
    found.operation = operation;
    found.differences = paths.iter().map(|path| difference(path)).collect();
    found
}

#[test]
fn a_run_is_counted_by_operation_verdict_and_kind() {
    let (books, judged) = run();
    let metrics = Metrics::new(books);
    for comparison in &judged {
        metrics.judged(comparison);
    }
    let families = families(&metrics);
    let sample = |family: &str, labels: &[(&str, &str)]| {
        let family = families
            .get(family)
            .unwrap_or_else(|| unreachable!("{family}"));
        family.value(labels)
    };
    let height = ("operation", "get_block_height");
    assert_eq!(sample("btc_shadow_calls_total", &[height]), Some(10.0));
    let none = [("operation", "get_block")];
    assert_eq!(sample("btc_shadow_calls_total", &none), Some(0.0));
    let verdict = |verdict| sample("btc_shadow_verdicts_total", &[height, ("verdict", verdict)]);
    assert_eq!(verdict("match"), Some(10.0));
    assert_eq!(verdict("mismatch"), Some(0.0));
    assert_eq!(sample("btc_shadow_open_calls", &[]), Some(0.0));
    assert_eq!(sample("btc_shadow_compatibility_ratio", &[]), Some(1.0));
    assert_eq!(sample("btc_shadow_lost_lines_total", &[]), Some(0.0));
    for implementation in ["python", "rust"] {
        let side = ("implementation", implementation);
        let errors = |kind| sample("btc_shadow_errors_total", &[height, side, ("kind", kind)]);
        assert_eq!(errors("not_found"), Some(1.0));
        assert_eq!(errors("timeout"), Some(0.0));
        let durations = &families["btc_shadow_call_duration_seconds"];
        assert_eq!(durations.count(&[height, side]), Some(10.0));
    }
    let memory = sample("process_resident_memory_bytes", &[]).expect("this is Linux");
    let peak = sample("btc_shadow_peak_resident_memory_bytes", &[]).expect("this is Linux");
    assert!(memory > 1e6 && peak > 1e6, "{memory} {peak}");
}

#[test]
fn nothing_that_was_not_measured_is_shown() {
    let families = families(&Metrics::new(Arc::default()));
    assert!(!families.contains_key("btc_shadow_compatibility_ratio"));
    for empty in [
        "btc_shadow_call_duration_seconds",
        "btc_shadow_errors_total",
        "btc_shadow_mismatched_fields_total",
    ] {
        assert!(families[empty].samples.is_empty(), "{empty}");
    }
}

#[test]
fn mismatches_are_counted_by_field_without_indices_and_within_bounds() {
    let metrics = Metrics::new(Arc::default());
    let block = Operation::GetBlock;
    metrics.judged(&judged(
        block,
        &["[1].outputs[0].value_sat", "[2].outputs[3].value_sat"],
    ));
    metrics.judged(&judged(block, &["[9].outputs[0].value_sat", "length"]));
    metrics.judged(&judged(Operation::GetBalance, &["balance_sat"]));
    let name = "btc_shadow_mismatched_fields_total";
    let value = |operation, field| {
        let labels = [("operation", operation), ("field", field)];
        families(&metrics)[name].value(&labels)
    };
    assert_eq!(value("get_block", "outputs.value_sat"), Some(2.0));
    assert_eq!(value("get_block", "length"), Some(1.0));
    assert_eq!(value("get_balance", "balance_sat"), Some(1.0));
    assert_eq!(
        families(&metrics)["btc_shadow_rechecks_total"].value(&[]),
        Some(0.0)
    );

    // Whatever a backend makes up: names with quotes, long ones, thousands of them.
    metrics.judged(&judged(block, &["say \"a\\b\"\nc", &"x".repeat(1_000)]));
    for number in 0..5_000 {
        metrics.judged(&judged(block, &[&format!("field{number}")]));
    }
    assert_eq!(value("get_block", "say \"a\\b\"\nc"), Some(1.0));
    let families = families(&metrics);
    let samples = &families[name].samples;
    assert!(samples.len() <= 101, "{}", samples.len());
    let total: f64 = samples.iter().map(|sample| sample.value).sum();
    assert!((total - 5_006.0).abs() < 0.5, "{total}: all are counted");
    assert!(metrics.render().len() < 100_000);
}

#[test]
fn a_secondary_that_was_not_asked_and_rechecks_are_counted_as_such() {
    let metrics = Metrics::new(Arc::default());
    let skipped = with_errors(
        comparison(1, Verdict::Skipped),
        Some(ErrorKind::Internal),
        None,
    );
    let Event::Comparison(mut skipped) = skipped else {
        unreachable!("it is one");
    };
    skipped.secondary = None;
    skipped.rechecks = 3;
    metrics.judged(&skipped);
    let families = families(&metrics);
    let durations = &families["btc_shadow_call_duration_seconds"];
    let side = |implementation| {
        let operation = ("operation", "get_block_height");
        durations.count(&[operation, ("implementation", implementation)])
    };
    assert_eq!((side("python"), side("rust")), (Some(1.0), None));
    assert_eq!(families["btc_shadow_rechecks_total"].value(&[]), Some(3.0));
    assert!(!families["btc_shadow_mismatched_fields_total"].has("whole"));
}

#[test]
fn gauges_are_read_at_each_scrape() {
    let metrics = Metrics::new(Arc::default());
    let depth = Arc::new(AtomicU64::new(0));
    let read = Arc::clone(&depth);
    let gauge = move || f64::from(u32::try_from(read.load(Ordering::Relaxed)).unwrap_or(0));
    let added = metrics.gauge(metrics::QUEUE_DEPTH, "Calls that wait.", Box::new(gauge));
    added.expect("a free name");
    for value in [0, 7, 3] {
        depth.store(value, Ordering::Relaxed);
        let now = families(&metrics)[metrics::QUEUE_DEPTH].value(&[]);
        assert_eq!(now, u32::try_from(value).ok().map(f64::from));
    }
    // One that panics takes no other with it.
    let panics = || std::panic::resume_unwind(Box::new("the gauge breaks"));
    let added = metrics.gauge("broken", "It breaks.", Box::new(panics));
    added.expect("a free name");
    let families = families(&metrics);
    assert!(!families.contains_key("broken"));
    assert!(families.contains_key(metrics::QUEUE_DEPTH));
}

#[test]
fn a_name_that_is_taken_or_none_is_refused() {
    let metrics = Metrics::new(Arc::default());
    let add = |name| metrics.gauge(name, "", Box::new(|| 1.0));
    add("mine").expect("a free name");
    for name in ["mine", "btc_shadow_calls_total", "", "a b", "1st"] {
        let error = add(name).expect_err("no name");
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
}

#[test]
fn many_threads_count_without_losing_one() {
    let metrics = Metrics::new(Arc::default());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    metrics.judged(&judged(Operation::GetBlock, &["length"]));
                }
            });
        }
    });
    let families = families(&metrics);
    let labels = [("operation", "get_block"), ("implementation", "rust")];
    let durations = &families["btc_shadow_call_duration_seconds"];
    assert_eq!(durations.count(&labels), Some(8_000.0));
    let labels = [("operation", "get_block"), ("field", "length")];
    let fields = &families["btc_shadow_mismatched_fields_total"];
    assert_eq!(fields.value(&labels), Some(8_000.0));
}
