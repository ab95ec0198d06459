//! The numbers that stand for the rest: one of each metric, and the worst operation of each.

use btc_iface::BitcoinImplementationType::{self, Python, Rust};

use super::super::super::gate::{Assessment, Outcome};
use super::super::super::report::{OperationReport, Report};
use super::super::words::{bytes, grouped, percent, plural, time};
use super::escape;
use super::parts::period;
use crate::rollout::is_about_money;

pub(super) fn tiles(assessment: &Assessment) -> String {
    let report = &assessment.report;
    let tiles = [
        money(report),
        compatibility(report),
        speed(report),
        errors(report),
        memory(assessment),
        evidence(report),
    ];
    format!("<div class=\"tiles\">{}</div>\n", tiles.concat())
}

fn tile(title: &str, class: &str, value: &str, what: &str) -> String {
    format!(
        "<div class=\"tile\"><span>{}</span><b class=\"{class}\">{}</b><span>{}</span></div>",
        escape(title),
        escape(value),
        escape(what)
    )
}

fn money(report: &Report) -> String {
    let money = report.operations.iter();
    let money = money.filter(|o| is_about_money(o.operation));
    let (mut differ, mut compared) = (0_u64, 0_u64);
    for o in money {
        differ = differ.saturating_add(o.mismatches);
        compared = compared.saturating_add(o.compared);
    }
    let (class, value) = match (differ, compared) {
        (0, 0) => ("", "not known".to_owned()),
        (0, _) => ("go", "none seen".to_owned()),
        _ => ("no", plural(differ, "call", "calls")),
    };
    let what = format!(
        "with different answers among {} that money depends on (all but heights and fee estimates)",
        plural(compared, "call", "calls")
    );
    tile("Money at risk", class, &value, &what)
}

fn compatibility(report: &Report) -> String {
    let value = report.compatibility_ppm;
    let value = value.map_or_else(|| "not known".to_owned(), percent);
    let worst = report.operations.iter().filter(|o| o.mismatches > 0);
    let worst = worst.min_by_key(|o| o.compatibility_ppm);
    let worst = worst.map_or_else(String::new, |o| format!("; worst: {}", o.operation));
    let what = format!(
        "{} of {} compared differ{worst}",
        grouped(report.mismatches),
        plural(report.compared, "call", "calls")
    );
    let class = if report.mismatches > 0 { "no" } else { "" };
    tile("Compatibility", class, &value, &what)
}

/// Rust's median duration as a share of Python's.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs no 53 bits")]
pub(super) fn ratio_of(o: &OperationReport) -> Option<f64> {
    let (python, rust) = (o.times_of(Python)?, o.times_of(Rust)?);
    Some(rust.p50_ns as f64 / python.p50_ns.max(1) as f64)
}

/// `2.0× faster`, of a duration as a multiple of another.
pub(super) fn faster(ratio: f64) -> String {
    match ratio {
        _ if ratio <= 0.0 => "no time at all".to_owned(),
        ..0.995 => format!("{:.1}× faster", 1.0 / ratio),
        1.005.. => format!("{ratio:.2}× slower"),
        _ => "the same".to_owned(),
    }
}

fn speed(report: &Report) -> String {
    let mut ratios: Vec<_> = report
        .operations
        .iter()
        .filter_map(|o| Some((ratio_of(o)?, o.operation)))
        .collect();
    ratios.sort_by(|one, other| one.0.total_cmp(&other.0));
    let Some((worst, operation)) = ratios.last() else {
        return tile(
            "Speed of Rust",
            "",
            "not known",
            "no durations of both in this log",
        );
    };
    let middle = ratios[ratios.len() / 2].0;
    let class = if middle > 1.005 { "no" } else { "" };
    let what = format!(
        "than Python: a typical call of the middle operation. Worst: {operation}, {}",
        faster(*worst)
    );
    tile("Speed of Rust", class, &faster(middle), &what)
}

fn errors(report: &Report) -> String {
    let of = |count: fn(&OperationReport) -> u64| {
        let counts = report.operations.iter().map(count);
        counts.fold(0, u64::saturating_add)
    };
    let (rust, python, both) = (
        of(|o| o.only_rust_failed),
        of(|o| o.only_python_failed),
        of(|o| o.pairs),
    );
    if both == 0 {
        return tile("Errors", "", "not known", "no call that both were asked");
    }
    let class = if rust > python { "no" } else { "" };
    let what = format!(
        "failed in Rust alone, {} in Python alone, of {} that both were asked",
        grouped(python),
        grouped(both)
    );
    tile("Errors", class, &plural(rust, "call", "calls"), &what)
}

/// The most memory of a process of this implementation alone; none: of the one that both share.
pub(super) fn peak(report: &Report, who: Option<BitcoinImplementationType>) -> Option<u64> {
    let its = report.memory.iter().filter(|one| one.implementation == who);
    its.map(|one| one.peak_rss_bytes).max()
}

fn memory(assessment: &Assessment) -> String {
    let report = &assessment.report;
    let mut criteria = assessment.judgement.criteria.iter();
    let outcome = criteria.find(|one| one.name == "memory");
    let (class, trend) = match outcome.map(|one| one.outcome) {
        Some(Outcome::No) => ("no", "it grows"),
        Some(Outcome::Go) => ("", "it does not grow"),
        _ => ("", "too few readings to see whether it grows"),
    };
    let (python, rust) = (peak(report, Some(Python)), peak(report, Some(Rust)));
    let both = peak(report, None);
    let (value, what) = match (rust, python, both) {
        (Some(rust), Some(python), _) => (
            bytes(rust),
            format!(
                "at most for Rust alone, {} for Python alone; {trend}",
                bytes(python)
            ),
        ),
        (_, _, Some(both)) => (
            bytes(both),
            format!("at most for the process that runs both; {trend}"),
        ),
        _ => ("not known".to_owned(), "no readings in this log".to_owned()),
    };
    tile("Memory", class, &value, &what)
}

fn evidence(report: &Report) -> String {
    let buckets = &report.pictures.verdicts.buckets;
    let Some((first, last)) = buckets.first().zip(buckets.last()) else {
        return tile("Evidence", "", "none", "no call in this log");
    };
    let runs = report.newest().map_or(0, |group| group.runs);
    let what = format!(
        "of calls since {} UTC, in {} of these builds",
        &time(first.start_ms)[..16],
        plural(runs, "run", "runs")
    );
    let width = report.pictures.verdicts.width_ms;
    let span = last.start_ms.saturating_sub(first.start_ms) + width;
    tile("Evidence", "", &period(span), &what)
}
