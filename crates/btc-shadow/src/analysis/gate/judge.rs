//! Judges a report by the limits of a gate.

use std::collections::BTreeMap;

use btc_iface::{BitcoinImplementationType, Operation};

use super::super::output::words::{grouped, percent_of, plural};
use super::criteria::judge_operation;
use super::{Criterion, Decision, Gate, Judgement, Outcome, upper_bound};
use crate::analysis::report::{GroupReport, MemoryReport, Report};

pub(super) fn judge(gate: &Gate, report: &Report) -> Judgement {
    let mut criteria = vec![evidence(report), unaccounted(report), memory(gate, report)];
    let mut mismatch_bounds = BTreeMap::new();
    for operation in Operation::CALLS {
        let found = report.operation(operation);
        if let Some(found) = found {
            let trials = found.compared.min(found.distinct_inputs as u64);
            let bound = upper_bound(found.mismatches, trials, gate.risk());
            mismatch_bounds.insert(operation, bound);
        }
        let limits = gate.operations.get(&operation);
        if let Some(limits) = limits.filter(|limits| limits.is_required) {
            criteria.extend(judge_operation(gate, limits, operation, found));
        }
    }
    let outcomes = criteria.iter().map(|criterion| criterion.outcome);
    let decision = outcomes.max().unwrap_or(Decision::Hold);
    let mut judgement = Judgement {
        decision,
        headline: String::new(),
        criteria,
        mismatch_bounds,
        gate: gate.clone(),
    };
    judgement.headline = headline(&judgement, report);
    judgement
}

fn headline(judgement: &Judgement, report: &Report) -> String {
    let criteria = judgement.criteria.len();
    let count = |outcome| {
        let its = judgement.unmet().filter(|one| one.outcome == outcome);
        its.count() as u64
    };
    let compared = grouped(report.compared);
    match judgement.decision {
        Decision::Go => format!(
            "Rust can take over: {compared} calls were compared, and all {criteria} criteria are \
             met."
        ),
        Decision::Hold if report.compared == 0 => {
            "Not yet: no call was compared, so this log proves nothing.".to_owned()
        }
        Decision::Hold => format!(
            "Not yet: nothing speaks against Rust in {}, but evidence is missing for {} of \
             {criteria} criteria.",
            plural(report.compared, "compared call", "compared calls"),
            count(Outcome::Hold)
        ),
        Decision::No => {
            let first = judgement.unmet().next();
            let first = first.map_or("", |one| one.sentence.as_str());
            // The limit follows in the list of reasons.
            let first = first.rsplit_once(" (").map_or(first, |(what, _)| what);
            let others = count(Outcome::No).saturating_sub(1);
            let more = match others {
                0 => String::new(),
                _ => format!("; and {}", plural(others, "more reason", "more reasons")),
            };
            format!("Do not switch to Rust: {first}{more}.")
        }
    }
}

/// Whether the runs say whom they compared, in builds that are one of each implementation.
fn evidence(report: &Report) -> Criterion {
    let criterion = |outcome, sentence: String| Criterion {
        name: "evidence",
        operation: None,
        outcome,
        sentence,
    };
    if report.uncounted_lines > 0 {
        let lines = grouped(report.uncounted_lines);
        let sentence = format!("{lines} lines of too many runs were not counted");
        return criterion(Outcome::Hold, sentence);
    }
    let builds = report.newest().and_then(|group| group.builds.as_ref());
    let Some([one, other]) = builds else {
        let sentence = "the builds that were compared are unknown: the log has no start of a run";
        return criterion(Outcome::Hold, sentence.to_owned());
    };
    if one.implementation == other.implementation {
        let sentence = format!("{} was compared with itself", one.implementation);
        return criterion(Outcome::Hold, sentence);
    }
    if report.is_order_unclear {
        let sentence = "which builds ran last is unclear, because the clock was set between runs of \
                        different ones: give only the files of those that count";
        return criterion(Outcome::Hold, sentence.to_owned());
    }
    let is_stray = |group: &&GroupReport| group.builds.is_none() && group.mismatches > 0;
    if let Some(stray) = report.groups.iter().find(is_stray) {
        let mismatches = plural(stray.mismatches, "mismatch", "mismatches");
        let sentence = format!("{mismatches} in runs whose builds are unknown");
        return criterion(Outcome::Hold, sentence);
    }
    let runs = report.newest().map_or(0, |group| group.runs);
    let sentence = format!(
        "{} of {} {} and {} {}",
        plural(runs, "run", "runs"),
        one.implementation,
        one.build,
        other.implementation,
        other.build
    );
    criterion(Outcome::Go, sentence)
}

fn unaccounted(report: &Report) -> Criterion {
    let calls = plural(report.unaccounted, "call", "calls");
    let (outcome, sentence) = match report.unaccounted {
        0 => (Outcome::Go, "every call ended in a verdict".to_owned()),
        _ => (
            Outcome::Hold,
            format!("{calls} without a verdict (none is allowed)"),
        ),
    };
    Criterion {
        name: "unaccounted",
        operation: None,
        outcome,
        sentence,
    }
}

/// Whether memory stays, in the process that compares and in each that was watched beside it.
fn memory(gate: &Gate, report: &Report) -> Criterion {
    let mut worst = (Outcome::Go, "memory does not grow".to_owned());
    let mut processes: Vec<_> = report.memory.iter().map(|one| one.implementation).collect();
    processes.push(None);
    processes.sort();
    processes.dedup();
    for process in processes {
        let found = memory_of(gate, report, process);
        if found.0 > worst.0 {
            worst = found;
        }
    }
    Criterion {
        name: "memory",
        operation: None,
        outcome: worst.0,
        sentence: worst.1,
    }
}

fn memory_of(
    gate: &Gate,
    report: &Report,
    process: Option<BitcoinImplementationType>,
) -> (Outcome, String) {
    let of_it = |one: &&MemoryReport| one.implementation == process;
    let name = process.map_or_else(
        || "the comparing process".to_owned(),
        |who| format!("the {who} process"),
    );
    let needed = gate.memory_readings;
    let longest = report.memory.iter().filter(of_it);
    let readings = longest.map(|one| one.readings).max().unwrap_or(0);
    if readings < needed {
        let sentence = format!("memory of {name}: {readings} of {needed} readings in one run");
        return (Outcome::Hold, sentence);
    }
    let judged = report.memory.iter().filter(of_it);
    let growth = judged
        .filter(|one| one.readings >= needed && one.is_rising)
        .filter_map(|one| one.growth_percent)
        .fold(0.0, f64::max);
    let limit = gate.memory_growth_percent;
    if growth > limit {
        let sentence = format!(
            "memory of {name} grows by {} over a run (at most {} is allowed)",
            percent_of(growth),
            percent_of(limit)
        );
        return (Outcome::No, sentence);
    }
    (Outcome::Go, "memory does not grow".to_owned())
}
