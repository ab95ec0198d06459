//! The picture of memory over time.

use std::fmt::Write as _;

use btc_iface::BitcoinImplementationType;

use super::super::super::gathering::MemoryPoint;
use super::super::super::report::Report;
use super::super::cells;
use super::super::words::bytes;
use super::parts::{self, Cell, bar, legend};
use super::scale::{Area, round_up, time_axis};
use super::tiles::peak;

const AREA: Area = Area {
    left: 62.0,
    top: 12.0,
    width: 482.0,
    height: 150.0,
};

pub(super) fn section(report: &Report) -> String {
    if report.memory.is_empty() {
        return String::new();
    }
    let content = format!(
        "<div class=\"pair\"><div class=\"card\"><h3>The most it took</h3>{}</div>{}</div>{}",
        peaks(report),
        picture(report),
        table(report)
    );
    parts::section(
        "Memory",
        "Resident memory of the process that runs and compares both, and of processes that run one \
         implementation alone. Growth is what is left after the first quarter of a run, in which \
         caches fill, unless it is chance.",
        &content,
    )
}

/// A bar for each kind of process.
#[expect(clippy::cast_precision_loss, reason = "a bar needs no 53 bits")]
fn peaks(report: &Report) -> String {
    let processes = [
        ("python", Some(BitcoinImplementationType::Python)),
        ("rust", Some(BitcoinImplementationType::Rust)),
        ("both", None),
    ];
    let peaks = processes.map(|(class, who)| (class, peak(report, who)));
    let most = peaks.iter().filter_map(|(_, peak)| *peak).max();
    let most = most.unwrap_or(1).max(1) as f64;
    let lines = peaks.iter().map(|(class, peak)| {
        let Some(peak) = peak else {
            return format!(
                "<span class=\"kind\"><span>{}</span><span class=\"off\">not measured alone</span></span>",
                name(class)
            );
        };
        format!(
            "<span class=\"kind\"><span>{}</span>{}<b>{}</b></span>",
            name(class),
            bar(class, *peak as f64 / most),
            bytes(*peak)
        )
    });
    format!(
        "<div class=\"kinds tall\">{}</div>",
        lines.collect::<String>()
    )
}

fn name(process: &str) -> &'static str {
    match process {
        "python" => "python alone",
        "rust" => "rust alone",
        _ => "both in one process",
    }
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
        "<svg class=\"wide\" viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"memory over time\">",
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
    let is_there = |name: &&str| {
        let mut processes = series
            .iter()
            .map(|(process, _)| process.map_or("both", BitcoinImplementationType::as_str));
        processes.any(|process| process == *name)
    };
    let shown: Vec<_> = ["python", "rust", "both"]
        .into_iter()
        .filter(is_there)
        .map(|process| (process, name(process)))
        .collect();
    format!(
        "<div class=\"card\"><h3>Over time (UTC)</h3>{svg}{}</div>",
        legend(&shown)
    )
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
    time_axis(svg, AREA, start, end);
}

fn table(report: &Report) -> String {
    let mut rows = cells::memory(report).into_iter();
    let titles = rows.next().unwrap_or_default();
    let titles: Vec<_> = titles.iter().map(String::as_str).collect();
    let cells = rows.map(|row| {
        let cells = row.iter().enumerate().map(|(column, cell)| match column {
            0 => Cell::text(name(cell)).class("name"),
            1 => Cell::text(cell).class("l"),
            _ => Cell::text(cell),
        });
        cells.collect()
    });
    let rows: Vec<_> = cells.collect();
    format!(
        "<details><summary>each run and process</summary>{}</details>",
        parts::table(&titles, rows)
    )
}
