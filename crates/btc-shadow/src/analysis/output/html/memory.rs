//! The picture of memory over time.

use std::fmt::Write as _;

use btc_iface::BitcoinImplementationType;

use super::super::super::gathering::MemoryPoint;
use super::super::super::report::Report;
use super::super::cells;
use super::super::words::bytes;
use super::escape;
use super::parts::{self, legend};
use super::scale::{Area, round_up, time_marks};

const AREA: Area = Area {
    left: 76.0,
    top: 10.0,
    width: 1008.0,
    height: 150.0,
};

pub(super) fn section(report: &Report) -> String {
    if report.memory.is_empty() {
        return String::new();
    }
    let content = format!("{}{}", picture(report), table(report));
    parts::section(
        "Memory",
        "Resident memory of the process that compares both, and of processes that run one \
         implementation. Growth is what is left after the first quarter of a run, unless it is \
         chance.",
        &content,
    )
}

#[expect(clippy::cast_precision_loss, reason = "a picture needs no 53 bits")]
fn picture(report: &Report) -> String {
    let series = &report.pictures.memory;
    let points = || series.iter().flat_map(|(_, points)| points);
    let times = || points().map(|point| point.time_ms);
    let (Some(start), Some(end)) = (times().min(), times().max()) else {
        return String::new();
    };
    let most = points().map(|point| point.rss_bytes).max().unwrap_or(0);
    // Round in MiB, which the labels are in.
    let highest = round_up(most as f64 / 1_048_576.0) * 1_048_576.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"memory over time\">",
        AREA.right() + 16.0,
        AREA.bottom() + 24.0
    );
    frame(&mut svg, highest, (start, end));
    let span = end.saturating_sub(start).max(1) as f64;
    let place = |point: &MemoryPoint| {
        let x = AREA.x((point.time_ms - start) as f64 / span);
        (x, AREA.y(point.rss_bytes as f64 / highest))
    };
    for (process, points) in series {
        let who = process.map_or("both", |who| who.as_str());
        // Writing to a string cannot fail, here and below.
        let _ = write!(svg, "<path class=\"curve {who}\" d=\"");
        for (index, point) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let (x, y) = place(point);
            let _ = write!(svg, "{command}{x:.1} {y:.1}");
        }
        svg.push_str("\"/>");
        if let Some(last) = points.last() {
            let (x, y) = place(last);
            let _ = write!(
                svg,
                "<circle class=\"dot {who}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\">\
                 <title>{who}: {}</title></circle>",
                bytes(last.rss_bytes)
            );
        }
    }
    svg.push_str("</svg>");
    let names = [
        (None, "both"),
        (Some("python"), "python"),
        (Some("rust"), "rust"),
    ];
    let is_there = |name: Option<&str>| {
        let mut processes = series
            .iter()
            .map(|(process, _)| process.map(BitcoinImplementationType::as_str));
        processes.any(|process| process == name)
    };
    let shown: Vec<_> = names
        .into_iter()
        .filter(|(process, _)| is_there(*process))
        .map(|(_, name)| name)
        .collect();
    format!("<div class=\"card\">{svg}{}</div>", legend(&shown))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes of memory, and not negative"
)]
fn frame(svg: &mut String, highest: f64, (start, end): (u64, u64)) {
    for share in [0.0, 0.5, 1.0] {
        let y = AREA.y(share);
        let class = if share > 0.0 { "grid" } else { "axis" };
        let label = match share {
            _ if share > 0.0 => bytes((highest * share) as u64).replace(".0 ", " "),
            _ => "0".to_owned(),
        };
        let _ = write!(
            svg,
            "<line class=\"{class}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            AREA.left,
            AREA.right(),
            AREA.left - 7.0,
            y + 3.5
        );
    }
    for (share, label) in time_marks(start, end) {
        let x = AREA.x(share);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            AREA.bottom(),
            AREA.bottom() + 4.0,
            AREA.bottom() + 17.0
        );
    }
}

fn table(report: &Report) -> String {
    let rows = cells::memory(report);
    let html: String = rows
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let tag = if number == 0 { "th" } else { "td" };
            let cells: String = row
                .iter()
                .enumerate()
                .map(|(column, cell)| {
                    let class = if column < 2 { " class=\"l\"" } else { "" };
                    format!("<{tag}{class}>{}</{tag}>", escape(cell))
                })
                .collect();
            format!("<tr>{cells}</tr>")
        })
        .collect();
    format!("<div class=\"card\"><table>{html}</table></div>")
}
