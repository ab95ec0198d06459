//! The picture of verdicts over time.

use std::fmt::Write as _;

use super::super::super::gathering::Bucket;
use super::super::super::report::Report;
use super::super::words::{grouped, time};
use super::parts::{self, legend, period};
use super::scale::{Area, round_up, time_marks};
use crate::compare::Verdict;

/// What most calls end in, and what needs a look. Each has a scale of its own: on one scale, a few
/// mismatches among many matches could not be seen.
const COMMON: Area = Area {
    left: 58.0,
    top: 16.0,
    width: 1026.0,
    height: 96.0,
};
const RARE: Area = Area {
    top: 148.0,
    ..COMMON
};
const COMMON_VERDICTS: [Verdict; 2] = [Verdict::Match, Verdict::Skipped];
const RARE_VERDICTS: [Verdict; 4] = [
    Verdict::Mismatch,
    Verdict::Inconclusive,
    Verdict::Dropped,
    Verdict::Recovered,
];

pub(super) fn section(report: &Report) -> String {
    let timeline = &report.pictures.verdicts;
    let (Some(first), Some(last)) = (timeline.buckets.first(), timeline.buckets.last()) else {
        return String::new();
    };
    let (start, end) = (first.start_ms, last.start_ms + timeline.width_ms);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"verdicts over time\">",
        COMMON.right() + 16.0,
        RARE.bottom() + 24.0
    );
    let each = period(timeline.width_ms);
    for (area, verdicts, title) in [
        (COMMON, &COMMON_VERDICTS[..], "matches and skipped calls"),
        (
            RARE,
            &RARE_VERDICTS[..],
            "everything else, on its own scale",
        ),
    ] {
        bars(&mut svg, &timeline.buckets, area, verdicts);
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\">{title}, in each {each}</text>",
            area.left,
            area.top - 6.0
        );
    }
    for (share, label) in time_marks(start, end) {
        let x = COMMON.x(share);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            RARE.bottom(),
            RARE.bottom() + 4.0,
            RARE.bottom() + 17.0
        );
    }
    svg.push_str("</svg>");
    let names: Vec<_> = COMMON_VERDICTS
        .iter()
        .chain(&RARE_VERDICTS)
        .map(|verdict| verdict.as_str())
        .collect();
    parts::section(
        "Verdicts over time",
        "Logged calls by what they ended in, in UTC. Mismatches that begin at one moment point to \
         what changed then.",
        &format!("<div class=\"card\">{svg}{}</div>", legend(&names)),
    )
}

#[expect(clippy::cast_precision_loss, reason = "a picture needs no 53 bits")]
fn bars(svg: &mut String, buckets: &[Bucket], area: Area, verdicts: &[Verdict]) {
    let count = |bucket: &Bucket, verdict: Verdict| bucket.counts[verdict as usize] as f64;
    let total = |bucket: &Bucket| verdicts.iter().map(|of| count(bucket, *of)).sum::<f64>();
    let highest = round_up(buckets.iter().map(total).fold(0.0, f64::max));
    axis(svg, area, highest);
    let step = area.width / buckets.len() as f64;
    // A gap between bars, where there is room for one.
    let width = (step - (step * 0.2).min(1.0)).min(40.0);
    for (index, bucket) in buckets.iter().enumerate() {
        let mut below = 0.0;
        for verdict in verdicts {
            let calls = count(bucket, *verdict);
            if calls <= 0.0 {
                continue;
            }
            // What happened at all can be seen.
            let height = (area.height * calls / highest).max(1.5);
            below += height;
            let _ = write!(
                svg,
                "<rect class=\"v {name}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.2}\" \
                 height=\"{height:.1}\"><title>{}: {} {name}</title></rect>",
                area.x(0.0) + index as f64 * step,
                area.bottom() - below,
                time(bucket.start_ms),
                grouped(bucket.counts[*verdict as usize]),
                name = verdict.as_str()
            );
        }
    }
}

fn axis(svg: &mut String, area: Area, highest: f64) {
    for share in [0.0, 0.5, 1.0] {
        let y = area.y(share);
        let class = if share > 0.0 { "grid" } else { "axis" };
        let value = highest * share;
        let label = if value.fract() > 0.0 && highest < 10.0 {
            String::new()
        } else {
            short(value)
        };
        let _ = write!(
            svg,
            "<line class=\"{class}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            area.left,
            area.right(),
            area.left - 7.0,
            y + 3.5
        );
    }
}

/// A number of calls in few characters.
fn short(value: f64) -> String {
    match value {
        _ if value >= 1e9 => format!("{value:.1e}"),
        _ if value >= 1e6 => format!("{:.1} M", value / 1e6),
        _ if value >= 1e4 => format!("{:.0} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}
