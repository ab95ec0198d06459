//! Pictures of durations: for each operation, the share of calls that took no longer.

use std::fmt::Write as _;

use btc_iface::Operation;

use super::super::super::gate::Assessment;
use super::super::super::report::{LatencyCurve, Report};
use super::super::words::duration;
use super::parts::{self, legend};
use super::scale::Area;
use super::tables;

const AREA: Area = Area {
    left: 42.0,
    top: 8.0,
    width: 232.0,
    height: 118.0,
};

/// The calls from which on percentiles are drawn.
const MIN_CALLS: u64 = 50;
/// The most marks for which there is room.
const MAX_MARKS: usize = 4;

pub(super) fn section(assessment: &Assessment) -> String {
    let report = &assessment.report;
    let panels: String = Operation::CALLS
        .into_iter()
        .filter_map(|operation| panel(report, operation))
        .collect();
    if panels.is_empty() {
        return panels;
    }
    let content = format!(
        "{}<div class=\"panels\">{panels}</div>{}",
        legend(&[("python", "python"), ("rust", "rust")]),
        tables::times(assessment)
    );
    parts::section(
        "Execution time: how long do calls take?",
        "The curve further left is the faster one: it rises from no call to all of them, along the \
         time they took, on a logarithmic scale. The dots are the median and the time within \
         which 99 of 100 calls end. In the table, rust ÷ python below 1 is faster; red is beyond \
         the limit. Of generate_address, create_transaction and broadcast_transaction, the side \
         that does not answer only checks the other's work, and its time is that of the check.",
        &content,
    )
}

fn panel(report: &Report, operation: Operation) -> Option<String> {
    let all = &report.pictures.latency;
    let curves: Vec<_> = all
        .iter()
        .filter(|curve| curve.operation == operation && !curve.points.is_empty())
        .collect();
    let values = || {
        curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|point| point.0))
    };
    let scale = Scale::over(values().min()?, values().max()?);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"durations of {operation}\">",
        AREA.right() + 14.0,
        AREA.bottom() + 22.0
    );
    frame(&mut svg, &scale);
    for curve in &curves {
        draw(&mut svg, curve, &scale);
        dots(&mut svg, report, curve, &scale);
    }
    svg.push_str("</svg>");
    Some(format!(
        "<div class=\"card\"><h3>{operation}</h3>{svg}</div>"
    ))
}

/// Decades of nanoseconds.
struct Scale {
    first: f64,
    decades: f64,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "a picture needs no 53 bits")]
    fn over(low: u64, high: u64) -> Self {
        let low = (low.max(1) as f64).log10();
        let high = (high.max(1) as f64).log10();
        // At least one whole decade, to have two marks.
        let first = (low * 2.0).floor() / 2.0;
        let last = ((high * 2.0).ceil() / 2.0).max(first + 1.0);
        Self {
            first,
            decades: last - first,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a picture needs no 53 bits")]
    fn share(&self, ns: u64) -> f64 {
        ((ns.max(1) as f64).log10() - self.first) / self.decades
    }

    /// The powers of ten within; every second or third one, where there are many.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "durations end at an hour"
    )]
    fn marks(&self) -> impl Iterator<Item = u64> {
        let (first, last) = (self.first.ceil(), self.first + self.decades);
        let powers = (first as u32)..=(last.floor() as u32);
        let step = 1 + powers.clone().count().saturating_sub(1) / MAX_MARKS;
        powers
            .step_by(step)
            .map(|power| 10_u64.saturating_pow(power))
    }
}

fn frame(svg: &mut String, scale: &Scale) {
    for (share, label) in [(0.0, "0"), (0.5, "50 %"), (1.0, "100 %")] {
        let y = AREA.y(share);
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            AREA.left,
            AREA.right(),
            AREA.left - 5.0,
            y + 3.5
        );
    }
    for mark in scale.marks() {
        let x = AREA.x(scale.share(mark));
        let label = duration(mark).replace(".0 ", " ");
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            AREA.top,
            AREA.bottom(),
            AREA.bottom() + 17.0
        );
    }
}

fn draw(svg: &mut String, curve: &LatencyCurve, scale: &Scale) {
    let _ = write!(svg, "<path class=\"curve {}\" d=\"", curve.implementation);
    for (index, (ns, share)) in curve.points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let (x, y) = (AREA.x(scale.share(*ns)), AREA.y(*share));
        let _ = write!(svg, "{command}{x:.1} {y:.1}");
    }
    // Once all calls are over, it stays so.
    let _ = write!(svg, "H{:.1}\"/>", AREA.right());
}

fn dots(svg: &mut String, report: &Report, curve: &LatencyCurve, scale: &Scale) {
    let operation = report.operation(curve.operation);
    let times = operation.and_then(|o| o.times_of(curve.implementation));
    // Of a few calls, a percentile is one of them, which lies beside the curve.
    let Some(times) = times.filter(|times| times.calls >= MIN_CALLS) else {
        return;
    };
    for (name, ns, share) in [("p50", times.p50_ns, 0.5), ("p99", times.p99_ns, 0.99)] {
        let _ = write!(
            svg,
            "<circle class=\"dot {who}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"><title>{who} {name}: \
             {}</title></circle>",
            AREA.x(scale.share(ns)),
            AREA.y(share),
            duration(ns),
            who = curve.implementation
        );
    }
}
