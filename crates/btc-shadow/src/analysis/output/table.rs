//! An assessment as aligned text for people: the decision first.

use std::fmt::Write as _;

use super::super::gate::{Assessment, Decision, Outcome};
use super::super::report::{GroupReport, Report};
use super::cells::{calls, errors, memory, times};
use super::grid::grid;
use super::words::{grouped, plain, plural, time};

/// Of how many fields that differ a sample is shown.
const MAX_PATHS: usize = 10;

pub(super) fn render(assessment: &Assessment) -> String {
    let (judgement, report) = (&assessment.judgement, &assessment.report);
    let mut out = String::new();
    // Writing to a string cannot fail, here and below. Sentences stay whole, to be searched.
    let _ = writeln!(
        out,
        "{:<8}{}",
        judgement.decision.as_str(),
        plain(&judgement.headline)
    );
    for line in origin(report) {
        let _ = writeln!(out, "        {}", plain(&line));
    }
    for rows in [
        calls(assessment),
        times(report),
        errors(report),
        memory(report),
    ] {
        if rows.len() > 1 {
            out.push('\n');
            out.push_str(&grid(&rows));
        }
    }
    list_paths(&mut out, report, MAX_PATHS);
    list_reasons(&mut out, report);
    list_events(&mut out, report);
    if judgement.decision != Decision::Go {
        out.push_str("\ncriteria not met\n");
        for criterion in judgement.unmet() {
            let word = match criterion.outcome {
                Outcome::No => "no",
                _ => "hold",
            };
            let _ = writeln!(out, "  {word:<5} {}", plain(&criterion.sentence));
        }
    }
    list_problems(&mut out, report);
    out
}

/// Where the evidence comes from, and what is not part of it.
pub(super) fn origin(report: &Report) -> Vec<String> {
    let lines = plural(report.lines, "line", "lines");
    let runs = plural(report.runs as u64, "run", "runs");
    let mut found = vec![format!("{lines} of {runs}")];
    found.extend(report.groups.iter().map(group));
    if report.repeated_lines > 0 {
        let repeated = plural(report.repeated_lines, "line stands", "lines stand");
        found.push(format!(
            "{repeated} in the log more than once and count once"
        ));
    }
    found
}

fn group(group: &GroupReport) -> String {
    let what = match (&group.builds, group.rules) {
        (Some([one, other]), Some(rules)) => format!(
            "{} {} and {} {}, rules {rules}, last begun {}",
            one.implementation,
            one.build,
            other.implementation,
            other.build,
            time(group.last_ms)
        ),
        _ => "unknown builds, whose starts are missing".to_owned(),
    };
    let role = if group.is_newest {
        "judged: "
    } else {
        "not counted: "
    };
    let runs = plural(group.runs, "run", "runs");
    let mismatches = plural(group.mismatches, "mismatch", "mismatches");
    format!(
        "{role}{runs} of {what}: {} compared, {mismatches}",
        grouped(group.compared)
    )
}

/// The fields that differ, each with a sample.
pub(super) fn list_paths(out: &mut String, report: &Report, max: usize) {
    let differing = report.operations.iter();
    let mut paths: Vec<_> = differing
        .flat_map(|o| o.paths.iter().map(|path| (o.operation, path)))
        .collect();
    if paths.is_empty() {
        return;
    }
    let count = paths.len();
    if count > max {
        paths.sort_by_key(|(_, path)| std::cmp::Reverse(path.count));
    }
    out.push_str("\nfields that differ\n");
    for (operation, path) in paths.into_iter().take(max) {
        let _ = writeln!(
            out,
            "  {operation} {} in {} places, first at {}:\n    primary   {}\n    secondary {}",
            plain(&path.path),
            path.count,
            plain(&path.sample.path),
            plain(&path.sample.primary),
            plain(&path.sample.secondary)
        );
    }
    let others = report.operations.iter().map(|o| o.other_paths).sum::<u64>();
    if count > max {
        let _ = writeln!(out, "  and {} other fields", count - max);
    }
    if others > 0 {
        let _ = writeln!(out, "  and {} places in further fields", grouped(others));
    }
}

pub(super) fn list_reasons(out: &mut String, report: &Report) {
    let mut head = "\nnot compared\n";
    for o in &report.operations {
        for r in &o.reasons {
            let _ = writeln!(
                out,
                "{head}  {} {} {}: {}",
                o.operation,
                r.verdict.as_str(),
                plural(r.count, "time", "times"),
                plain(&r.reason)
            );
            head = "";
        }
    }
}

/// What else happened in the runs.
fn list_events(out: &mut String, report: &Report) {
    let events = events(report);
    if !events.is_empty() {
        out.push_str("\nevents\n");
    }
    for event in events {
        let _ = writeln!(out, "  {}", plain(&event));
    }
}

/// What else happened in the runs, a sentence each.
pub(super) fn events(report: &Report) -> Vec<String> {
    let mut events = Vec::new();
    if report.breaker_openings > 0 {
        let times = plural(report.breaker_openings, "time", "times");
        events.push(format!("the breaker opened {times}"));
    }
    if report.lost_lines > 0 {
        let lines = plural(report.lost_lines, "line", "lines");
        events.push(format!("the log could not take {lines}"));
    }
    for f in &report.fallbacks {
        events.push(format!(
            "{} failed in {} with {} {}, and the other answered {} of them",
            f.failed,
            f.operation,
            f.error,
            plural(f.count, "time", "times"),
            grouped(f.answered)
        ));
    }
    for r in &report.rollouts {
        let who = if r.is_automatic { "rolled back" } else { "set" };
        events.push(format!(
            "{}: {who} from {} % to {} % of calls to rust: {}",
            time(r.time_ms),
            r.from_percent,
            r.to_percent,
            r.reason
        ));
    }
    events
}

pub(super) fn list_problems(out: &mut String, report: &Report) {
    if report.problem_count == 0 {
        return;
    }
    let _ = writeln!(out, "\nproblems in the log: {}", report.problem_count);
    for problem in problems(report) {
        let _ = writeln!(out, "  {}", plain(&problem));
    }
}

/// The named problems, with their place.
pub(super) fn problems(report: &Report) -> impl Iterator<Item = String> {
    report.problems.iter().map(|problem| {
        let place = match (problem.file.as_str(), problem.line) {
            ("", 0) => String::new(),
            (file, 0) => format!("{file}: "),
            (file, line) => format!("{file}:{line}: "),
        };
        format!("{place}{}", problem.what)
    })
}
