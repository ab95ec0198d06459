//! Which runs are evidence: those of the newest builds under the newest rules.

use btc_iface::BitcoinImplementationType;
use btc_shadow::analysis::Decision;
use btc_shadow::compare::Verdict;
use btc_shadow::record::Event;

use crate::analysis_gate::{judge, mismatch, small, the_unmet};
use crate::samples::{evidence, line, totals};

#[test]
fn a_new_build_starts_anew_and_the_old_one_is_reported() {
    let old = evidence(
        1,
        "0.1.0",
        |_| 300,
        |one| {
            if one.sequence == 3 {
                mismatch(one, "txid");
            }
        },
    );
    let new = evidence(2, "0.2.0", |_| 300, |_| {});
    // The files come in any order.
    for lines in [
        [old.clone(), new.clone()].concat(),
        [new, old.clone()].concat(),
    ] {
        let assessment = judge(&small(), lines);
        assert_eq!(assessment.judgement.decision, Decision::Go);
        let groups = &assessment.report.groups;
        assert_eq!(groups.len(), 2);
        assert!(groups[0].is_newest && !groups[1].is_newest);
        assert_eq!((groups[0].mismatches, groups[1].mismatches), (0, 1));
    }
    let thin = evidence(2, "0.2.0", |_| 10, |_| {});
    let assessment = judge(&small(), [old, thin].concat());
    assert_eq!(assessment.judgement.decision, Decision::Hold);
    assert_eq!(assessment.report.compared, 80);
}

#[test]
fn other_rules_start_anew_and_other_roles_do_not() {
    let one = evidence(1, "0.1.0", |_| 150, |_| {});
    let mut other = evidence(2, "0.1.0", |_| 150, |_| {});
    let mut both = [one.clone(), other.clone()].concat();
    if let Some(Event::Start(start)) = both.get_mut(one.len()).map(|line| &mut line.event) {
        std::mem::swap(&mut start.primary, &mut start.secondary);
    }
    assert_eq!(judge(&small(), both).judgement.decision, Decision::Go);
    if let Event::Start(start) = &mut other[0].event {
        start.rules += 1;
    }
    let assessment = judge(&small(), [one, other].concat());
    assert_eq!(assessment.judgement.decision, Decision::Hold);
    assert_eq!(assessment.report.compared, 150 * 8);
}

#[test]
fn runs_whose_builds_are_unknown_or_equal_are_a_hold() {
    let mut lines = evidence(1, "0.1.0", |_| 300, |_| {});
    let mut alone = lines.clone();
    if let Event::Start(start) = &mut alone[0].event {
        start.secondary.implementation = BitcoinImplementationType::Python;
    }
    let assessment = judge(&small(), alone);
    assert_eq!(the_unmet(&assessment).2, "python was compared with itself");
    let mut stray = lines.clone();
    stray.push(line("7", totals(1, &[(Verdict::Mismatch, 1)])));
    let assessment = judge(&small(), stray);
    assert_eq!(
        the_unmet(&assessment).2,
        "1 mismatch in runs whose builds are unknown"
    );
    lines.remove(0);
    let assessment = judge(&small(), lines);
    assert_eq!(the_unmet(&assessment).1, "evidence");
}
