//! The head of the page: the verdict, why, and what to do next.

use std::collections::BTreeSet;

use btc_iface::Operation;

use super::super::super::gate::{Assessment, Criterion, Decision, Outcome};
use super::super::super::report::Report;
use super::super::words::{grouped, plural, time};
use super::escape;
use super::parts::{period, tag};

/// How many reasons of a kind are named; all of them are in the list of criteria.
const MAX_NAMED: usize = 2;
/// How many reasons stand beside the verdict.
const MAX_REASONS: usize = 6;

pub(super) fn verdict(assessment: &Assessment) -> String {
    let judgement = &assessment.judgement;
    let word = judgement.decision.as_str();
    let class = word.to_lowercase();
    let reasons = reasons(assessment);
    let steps: String = next(assessment)
        .into_iter()
        .map(|step| format!("<li>{step}</li>"))
        .collect();
    format!(
        "<header><p class=\"about\">{}</p>\n<div class=\"verdict {class}\">\
         <div class=\"word\">{word}</div><h1>{}</h1>\
         <div class=\"next\"><h2>What to do next</h2><ol>{steps}</ol></div>{reasons}</div></header>\n",
        escape(&about(&assessment.report)),
        escape(&judgement.headline)
    )
}

/// What this page is, for someone who opens it unprepared.
fn about(report: &Report) -> String {
    let question = "May Rust answer in place of Python? Shadow mode asked both the same, and \
                    compared their answers.";
    let builds = report.newest().and_then(|group| group.builds.as_ref());
    let Some([one, other]) = builds else {
        return question.to_owned();
    };
    let last = report.pictures.verdicts.buckets.last();
    let until = last.map_or_else(String::new, |last| {
        format!(", calls up to {} UTC", &time(last.start_ms)[..16])
    });
    format!(
        "{question} Compared: {} {} and {} {}{until}.",
        one.implementation, one.build, other.implementation, other.build
    )
}

/// What speaks against it, one by one, and what is missing, together for all operations.
fn reasons(assessment: &Assessment) -> String {
    let unmet: Vec<_> = assessment.judgement.unmet().collect();
    let (against, missing): (Vec<&Criterion>, Vec<&Criterion>) = unmet
        .into_iter()
        .partition(|criterion| criterion.outcome == Outcome::No);
    let mut lines: Vec<String> = against
        .iter()
        .map(|criterion| line(Outcome::No, "", &criterion.sentence))
        .collect();
    let mut names: Vec<_> = missing.iter().map(|criterion| criterion.name).collect();
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    for name in names {
        let its: Vec<_> = missing.iter().filter(|one| one.name == name).collect();
        let first = its.iter().take(MAX_NAMED).map(|one| &*one.sentence);
        let mut sentence = first.collect::<Vec<_>>().join("; ");
        let others = its.len().saturating_sub(MAX_NAMED) as u64;
        if others > 0 {
            let others = plural(others, "other operation", "other operations");
            sentence = format!("{sentence}; and {others}");
        }
        lines.push(line(Outcome::Hold, title(name), &sentence));
    }
    if lines.is_empty() {
        return String::new();
    }
    let rest = lines.split_off(lines.len().min(MAX_REASONS));
    let more = if rest.is_empty() {
        String::new()
    } else {
        let count = plural(rest.len() as u64, "more reason", "more reasons");
        format!(
            "<details><summary>{count}</summary><ul class=\"reasons\">{}</ul></details>",
            rest.concat()
        )
    };
    format!(
        "<div class=\"why\"><h2>Why</h2><ul class=\"reasons\">{}</ul>{more}</div>",
        lines.concat()
    )
}

fn line(outcome: Outcome, title: &str, sentence: &str) -> String {
    let title = match title {
        "" => String::new(),
        _ => format!("<b>{}</b> ", escape(title)),
    };
    format!("<li>{} {title}{}</li>", tag(outcome), escape(sentence))
}

/// What is missing when a criterion of this name is on hold.
fn title(name: &str) -> &'static str {
    match name {
        "distinct_inputs" => "Too few distinct inputs were seen.",
        "mismatches" => "Too few calls agree to be sure of the rest.",
        "error_rate" => "It is not sure yet that Rust fails no more often.",
        "latency" => "Too few calls were timed.",
        "error_paths" => "Nothing was refused yet, so refusals were not compared.",
        "inconclusive" => "Too many calls could not be judged.",
        "dropped" => "Too many calls were left out under load.",
        "memory" => "Memory was not watched long enough.",
        _ => "",
    }
}

/// Steps, as markup.
fn next(assessment: &Assessment) -> Vec<String> {
    let report = &assessment.report;
    match assessment.judgement.decision {
        Decision::Go => vec![
            "Let Rust answer a small share: <code>btc rollout set 1</code>. Keep shadow mode on."
                .to_owned(),
            "Raise it step by step. One mismatch about money takes it back to Python by itself."
                .to_owned(),
            "The way back at any moment: <code>btc rollout rollback</code>, or \
             <code>PRIMARY_IMPL=python</code> and a restart."
                .to_owned(),
        ],
        Decision::Hold => {
            let mut steps = vec!["Let Python answer, and keep shadow mode on.".to_owned()];
            steps.extend(to_collect(assessment));
            steps.push("Then run <code>btc analyze</code> again, over all logs.".to_owned());
            steps
        }
        Decision::No => {
            let look = if report.mismatches > 0 {
                "Look at “Fields that differ” below: it shows both answers, side by side."
            } else {
                "Look at the reasons below: each names what passed its limit."
            };
            vec![
                "Let Python answer: <code>PRIMARY_IMPL=python</code>, or <code>btc rollout \
                 rollback</code> where Rust answers already."
                    .to_owned(),
                look.to_owned(),
                "Repair it and begin anew: what was seen of this build does not count for the next."
                    .to_owned(),
            ]
        }
    }
}

/// How much longer it takes, and what nobody calls.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of a time"
)]
fn to_collect(assessment: &Assessment) -> Option<String> {
    let report = &assessment.report;
    let gate = &assessment.judgement.gate;
    let mut never = Vec::new();
    let mut slowest: Option<(f64, Operation, u64)> = None;
    for (operation, limits) in &gate.operations {
        if !limits.is_required || !Operation::CALLS.contains(operation) {
            continue;
        }
        let found = report
            .operation(*operation)
            .map_or(0, |o| o.distinct_inputs);
        if found == 0 {
            never.push(operation.as_str());
        } else if found < limits.distinct_inputs {
            let left = limits.distinct_inputs - found;
            let times = left as f64 / found as f64;
            if slowest.is_none_or(|(most, ..)| times > most) {
                slowest = Some((times, *operation, left as u64));
            }
        }
    }
    if report.operations.is_empty() {
        return Some(
            "Let calls come: <code>SHADOW_MODE=true</code> for the program, or <code>btc shadow \
             soak</code> for a load on a private node."
                .to_owned(),
        );
    }
    if !never.is_empty() {
        let mix: Vec<_> = never.iter().map(|name| format!("{name}=1")).collect();
        return Some(format!(
            "Call what was never called: {}. On a private node: <code>btc shadow soak --mix {}</code>.",
            never.join(", "),
            mix.join(",")
        ));
    }
    let (times, operation, left) = slowest?;
    let buckets = &report.pictures.verdicts.buckets;
    let (first, last) = (buckets.first()?, buckets.last()?);
    let span_ms = last.start_ms - first.start_ms + report.pictures.verdicts.width_ms;
    let longer = period((span_ms as f64 * times) as u64);
    Some(format!(
        "Collect more calls: at the pace of this log it takes about {longer} more. Furthest from \
         enough is {operation}, with {} distinct inputs to go.",
        grouped(left)
    ))
}
