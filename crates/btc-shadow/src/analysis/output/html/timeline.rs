//! The picture of verdicts over time.

use std::fmt::Write as _;

use super::super::super::gathering::Bucket;
use super::super::super::report::Report;
use super::super::words::{grouped, time};
use super::parts::{self, legend, period};
use super::scale::{Area, round_up, time_axis};
use crate::compare::Verdict;

const AREA: Area = Area {
    left: 46.0,
    top: 12.0,
    width: 498.0,
    height: 112.0,
};
/// What most calls end in, and what needs a look. Each has a scale of its own: on one scale, a few
/// mismatches among many matches could not be seen.
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
    let each = period(timeline.width_ms);
    let panels = [
        (
            &COMMON_VERDICTS[..],
            "Matches and skipped calls",
            "verdicts over time",
        ),
        (
            &RARE_VERDICTS[..],
            "Everything else, on its own scale",
            "rare verdicts over time",
        ),
    ];
    let panels = panels.map(|(verdicts, title, label)| {
        let mut svg = format!(
            "<svg class=\"wide\" viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"{label}\">",
            AREA.right() + 16.0,
            AREA.bottom() + 24.0
        );
        bars(&mut svg, &timeline.buckets, AREA, verdicts);
        time_axis(&mut svg, AREA, start, end);
        svg.push_str("</svg>");
        let names = verdicts.iter().map(|verdict| verdict.as_str());
        let names: Vec<_> = names.map(|name| (name, name)).collect();
        format!(
            "<div class=\"card\"><h3>{title}</h3>{svg}{}</div>",
            legend(&names)
        )
    });
    parts::section(
        "Verdicts over time",
        &format!(
            "Logged calls by what they ended in, in each {each}, in UTC. Mismatches that begin at \
             one moment point to what changed then. Recovered calls differed while a block \
             arrived, and agreed when asked again."
        ),
        &format!("<div class=\"pair\">{}</div>", panels.concat()),
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
