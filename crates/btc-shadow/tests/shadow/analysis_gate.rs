//! Go, hold and no: what the gate makes of synthetic runs.

use btc_iface::{ErrorKind, Operation};
use btc_shadow::analysis::{Analysis, Assessment, Decision, Gate, Outcome};
use btc_shadow::compare::Verdict;
use btc_shadow::record::{Comparison, Event, Line, RunId};

use crate::samples::{difference, evidence, line, memory, start};

/// A gate that little evidence passes, so that one thing at a time can be missing.
pub(crate) fn small() -> Gate {
    let mut gate = Gate {
        latency_calls: 100,
        error_rate_difference_percent: 2.0,
        ..Gate::default()
    };
    for limits in gate.operations.values_mut() {
        limits.distinct_inputs = 300;
        limits.mismatch_bound = 0.02;
    }
    gate
}

/// The judgement on these lines.
pub(crate) fn judge(gate: &Gate, lines: impl IntoIterator<Item = Line>) -> Assessment {
    let mut analysis = Analysis::default();
    for line in lines {
        analysis.add(line);
    }
    gate.judge(analysis.finish())
}

/// The judgement on small evidence in which `change` makes something of each call.
fn changed(change: impl Fn(&mut Comparison)) -> Assessment {
    judge(&small(), evidence(1, "0.1.0", |_| 300, change))
}

/// The name and the sentence of each criterion with this outcome.
fn sentences(assessment: &Assessment, outcome: Outcome) -> Vec<(&str, &str)> {
    let criteria = assessment.judgement.criteria.iter();
    let its = criteria.filter(|criterion| criterion.outcome == outcome);
    its.map(|one| (one.name, one.sentence.as_str())).collect()
}

/// The one criterion that is not met, with its outcome.
pub(crate) fn the_unmet(assessment: &Assessment) -> (Outcome, &'static str, &str) {
    let unmet: Vec<_> = assessment.judgement.unmet().collect();
    assert_eq!(unmet.len(), 1, "{unmet:?}");
    assert_eq!(assessment.judgement.decision, unmet[0].outcome);
    (unmet[0].outcome, unmet[0].name, unmet[0].sentence.as_str())
}

/// Makes a mismatch at this path of a call.
pub(crate) fn mismatch(comparison: &mut Comparison, path: &str) {
    comparison.verdict = Verdict::Mismatch;
    comparison.differences = vec![difference(path)];
}

#[test]
fn enough_evidence_is_a_go_and_one_satoshi_is_a_no() {
    let gate = Gate::default();
    let needed = |operation| gate.operations[&operation].distinct_inputs as u64;
    let mut lines = evidence(1, "0.1.0", needed, |_| {});
    let assessment = judge(&gate, lines.clone());
    assert_eq!(
        sentences(&assessment, Outcome::Hold),
        [],
        "{}",
        assessment.judgement.headline
    );
    assert_eq!(assessment.judgement.decision, Decision::Go);
    let bound = assessment.judgement.mismatch_bounds[&Operation::GetBalance];
    assert!((0.999e-4..=1e-4).contains(&bound), "{bound}");

    // One call more, which differs by a satoshi, in a run that was killed.
    let Some(Line {
        event: Event::Comparison(last),
        ..
    }) = lines.get(1).cloned()
    else {
        unreachable!("the second line is a comparison");
    };
    let mut last = last;
    last.sequence = 1_000_000;
    mismatch(&mut last, "outputs[0].value_sat");
    lines.push(Line {
        version: 2,
        run: RunId(1),
        event: Event::Comparison(last),
    });
    let assessment = judge(&gate, lines);
    assert_eq!(assessment.judgement.decision, Decision::No);
    assert_eq!(
        sentences(&assessment, Outcome::No),
        [(
            "mismatches",
            "get_transaction: 1 mismatch in 50,751 compared calls, most often at \
             outputs[].value_sat (none is allowed)"
        )]
    );
}

#[test]
fn thin_evidence_is_a_hold_that_says_how_much_is_missing() {
    let assessment = judge(&Gate::default(), evidence(1, "0.1.0", |_| 1_200, |_| {}));
    assert_eq!(assessment.judgement.decision, Decision::Hold);
    let held = sentences(&assessment, Outcome::Hold);
    assert!(held.contains(&(
        "distinct_inputs",
        "get_block: 1,200 of 50,750 distinct inputs"
    )));
    assert!(held.contains(&(
        "distinct_inputs",
        "estimate_fee: 1,200 of 5,073 distinct inputs"
    )));
    assert!(held.contains(&(
        "error_rate",
        "get_balance: 1,200 of 5,073 calls that both were asked, to compare error rates"
    )));
    assert_eq!(sentences(&assessment, Outcome::No), []);
}

#[test]
fn an_empty_log_is_a_hold_for_every_operation() {
    let assessment = judge(&Gate::default(), []);
    assert_eq!(assessment.judgement.decision, Decision::Hold);
    let held = sentences(&assessment, Outcome::Hold);
    for operation in Operation::CALLS {
        let missing = format!("{operation}: 0 of ");
        assert!(
            held.iter()
                .any(|(_, sentence)| sentence.starts_with(&missing))
        );
    }
    assert!(assessment.judgement.headline.contains("proves nothing"));
}

#[test]
fn the_small_gate_lets_the_small_evidence_pass() {
    let assessment = changed(|_| {});
    let unmet: Vec<_> = assessment.judgement.unmet().collect();
    assert_eq!(assessment.judgement.decision, Decision::Go, "{unmet:?}");
}

#[test]
fn the_same_input_again_is_no_further_evidence() {
    let assessment = changed(|one| {
        if one.operation == Operation::GetBlock {
            one.input.0 %= 1 << 20;
        }
    });
    let (outcome, name, sentence) = the_unmet(&assessment);
    assert_eq!((outcome, name), (Outcome::Hold, "distinct_inputs"));
    assert!(sentence.starts_with("get_block: ") && sentence.ends_with(" of 300 distinct inputs"));
}

#[test]
fn a_rust_that_is_slower_is_a_no_only_with_enough_calls() {
    let slower = |one: &mut Comparison| {
        if one.operation == Operation::GetBalance
            && let Some(rust) = &mut one.secondary
        {
            rust.duration_ns = 2_300;
        }
    };
    let assessment = changed(slower);
    let found = sentences(&assessment, Outcome::No);
    assert_eq!(
        found.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["p50", "p99"]
    );
    assert!(found[0].1.contains("a ratio of 1.15"), "{found:?}");

    let gate = Gate {
        latency_calls: 301,
        ..small()
    };
    let assessment = judge(&gate, evidence(1, "0.1.0", |_| 300, slower));
    assert_eq!(sentences(&assessment, Outcome::No), []);
    let held = sentences(&assessment, Outcome::Hold);
    assert!(held.contains(&(
        "latency",
        "get_balance: durations of 300 of 301 logged calls"
    )));
}

#[test]
fn durations_that_are_not_logged_are_a_hold() {
    let mut lines = evidence(1, "0.1.0", |_| 300, |_| {});
    lines.retain(|line| !matches!(line.event, Event::Comparison(_)));
    if let Event::Start(start) = &mut lines[0].event {
        start.log_all = false;
    }
    let assessment = judge(&small(), lines);
    assert_eq!(assessment.judgement.decision, Decision::Hold);
    let held = sentences(&assessment, Outcome::Hold);
    assert!(
        held.iter()
            .any(|(name, what)| *name == "latency" && what.contains("LOG_ALL=true"))
    );
}

#[test]
fn missing_memory_is_a_hold_and_growing_memory_a_no() {
    let mut lines = evidence(1, "0.1.0", |_| 300, |_| {});
    lines.retain(|line| !matches!(line.event, Event::Memory(_)));
    let (outcome, name, sentence) = {
        let assessment = judge(&small(), lines.clone());
        let (outcome, name, sentence) = the_unmet(&assessment);
        (outcome, name, sentence.to_owned())
    };
    assert_eq!((outcome, name), (Outcome::Hold, "memory"));
    assert!(sentence.contains("0 of 20 readings"), "{sentence}");

    let grows = |minute| memory(minute, 200_000_000 + minute * 1_000_000);
    lines.extend((0..60).map(|minute| line("1", grows(minute))));
    let assessment = judge(&small(), lines);
    let (outcome, name, sentence) = the_unmet(&assessment);
    assert_eq!((outcome, name), (Outcome::No, "memory"));
    assert!(
        sentence.contains("the comparing process grows by 18"),
        "{sentence}"
    );
}

#[test]
fn errors_of_rust_alone_are_a_no_when_they_are_surely_more() {
    let fails = |share: u64| {
        changed(move |one| {
            let is_hit = one.operation == Operation::GetBalance && one.sequence % share == 0;
            if let (true, Some(rust)) = (is_hit, &mut one.secondary) {
                rust.error = Some(ErrorKind::Timeout);
                one.verdict = Verdict::Inconclusive;
            }
        })
    };
    let assessment = fails(4);
    let found = sentences(&assessment, Outcome::No);
    assert!(
        matches!(&found[..], [("error_rate", what)] if what.starts_with("get_balance: rust alone failed in 74")),
        "{found:?}"
    );
    // A few may be chance.
    let assessment = fails(100);
    assert_eq!(sentences(&assessment, Outcome::No), []);
    assert!(
        sentences(&assessment, Outcome::Hold)
            .iter()
            .any(|(name, _)| *name == "error_rate")
    );
}

#[test]
fn inconclusive_dropped_and_unaccounted_calls_are_a_hold() {
    for (verdict, name) in [
        (Verdict::Inconclusive, "inconclusive"),
        (Verdict::Dropped, "dropped"),
    ] {
        let mut seen = false;
        let assessment = judge(
            &small(),
            evidence(
                1,
                "0.1.0",
                |_| 310,
                |one| {
                    if one.operation == Operation::GetBlock && one.sequence % 62 == 0 {
                        one.verdict = verdict;
                        one.secondary = None;
                    }
                },
            ),
        );
        for (criterion, sentence) in sentences(&assessment, Outcome::Hold) {
            assert_eq!(criterion, name);
            assert!(
                sentence.starts_with("get_block: 5 of 310 calls "),
                "{sentence}"
            );
            seen = true;
        }
        assert!(seen, "{name}");
    }
    let mut lines = evidence(1, "0.1.0", |_| 300, |_| {});
    if let Some(Event::Totals(totals)) = lines.last_mut().map(|line| &mut line.event) {
        *totals
            .counts
            .offered
            .entry(Operation::GetBlock)
            .or_default() += 2;
    }
    let assessment = judge(&small(), lines);
    let (outcome, name, sentence) = the_unmet(&assessment);
    assert_eq!((outcome, name), (Outcome::Hold, "unaccounted"));
    assert_eq!(sentence, "2 calls without a verdict (none is allowed)");
}

#[test]
fn error_paths_must_have_been_seen() {
    let assessment = changed(|one| {
        if one.operation == Operation::BroadcastTransaction {
            one.primary.error = None;
            if let Some(secondary) = &mut one.secondary {
                secondary.error = None;
            }
        }
    });
    let (outcome, name, sentence) = the_unmet(&assessment);
    assert_eq!((outcome, name), (Outcome::Hold, "error_paths"));
    assert!(
        sentence.starts_with("broadcast_transaction: 0 calls"),
        "{sentence}"
    );
}

#[test]
fn fee_rates_may_differ_as_often_as_the_node_changes_its_mind() {
    let differ = |noisy: bool| {
        changed(move |one| {
            if one.operation != Operation::EstimateFee {
                return;
            }
            match one.sequence % 10 {
                0 if one.sequence % 20 == 0 => mismatch(one, "sat_per_vb"),
                1 | 2 if noisy => {
                    one.verdict = Verdict::Inconclusive;
                    one.reason = Some("an answer changed while both sides were asked".into());
                }
                _ => {}
            }
        })
    };
    let found = |assessment: &Assessment| {
        let criteria = assessment.judgement.criteria.iter();
        let mut its = criteria.filter(|one| {
            (one.name, one.operation) == ("mismatches", Some(Operation::EstimateFee))
        });
        its.next().map(|one| one.outcome)
    };
    assert_eq!(found(&differ(true)), Some(Outcome::Go));
    assert_eq!(found(&differ(false)), Some(Outcome::No));
}

#[test]
fn an_operation_that_is_not_required_is_not_asked_for() {
    let mut gate = small();
    for (operation, limits) in &mut gate.operations {
        limits.is_required = *operation == Operation::GetBlock;
    }
    let only = |operation| {
        if operation == Operation::GetBlock {
            300
        } else {
            0
        }
    };
    let assessment = judge(&gate, evidence(1, "0.1.0", only, |_| {}));
    assert_eq!(assessment.judgement.decision, Decision::Go);
    let assessment = judge(&gate, [line("1", start(true))]);
    assert_eq!(assessment.judgement.decision, Decision::Hold);
}
