//! Several runs under clocks that stand elsewhere: each is told apart, and stale ones prove nothing.

use btc_shadow::analysis::{Gate, Outcome};
use btc_shadow::record::Event;

use super::Place;
use super::child::CALLS;

/// Half a century.
const AHEAD: &str = "1577880000";

#[test]
fn runs_of_one_moment_in_processes_of_one_number_are_told_apart() {
    let place = Place::new();
    place.run("twice", "1", "=1700000000");
    let starts: Vec<_> = place
        .lines()
        .into_iter()
        .filter_map(|line| match line.event {
            Event::Start(start) => Some((line.run, start.time_ms)),
            _ => None,
        })
        .collect();
    let [(one, began), (other, again)] = starts[..] else {
        unreachable!("{starts:?}");
    };
    assert_eq!((began, again), (1_700_000_000_000, 1_700_000_000_000));
    assert_ne!(one, other);
    let report = place.report();
    assert_eq!((report.runs, report.compared), (2, 2 * CALLS));
    assert_eq!(report.repeated_lines, 0);
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
}

/// What the gate says of the evidence as a whole.
fn evidence(place: &Place) -> (Outcome, String) {
    let assessment = Gate::default().judge(place.report());
    let mut criteria = assessment.judgement.criteria.into_iter();
    let found = criteria.find(|one| one.name == "evidence");
    let found = found.expect("it is always judged");
    (found.outcome, found.sentence)
}

#[test]
fn a_new_build_after_a_clock_was_set_back_is_not_taken_for_the_old_one() {
    for (first, second) in [(AHEAD, "0"), ("0", "=-5"), ("0", "-7200")] {
        let place = Place::new();
        place.run("run", "1", first);
        place.run("run", "2", second);
        let (outcome, sentence) = evidence(&place);
        assert_eq!(outcome, Outcome::Hold, "{sentence}");
        assert!(sentence.contains("the clock was set"), "{sentence}");
        let report = place.report();
        assert!(report.is_order_unclear);
        assert_eq!(report.problem_count, 1, "{:?}", report.problems);
    }
}

#[test]
fn nor_where_the_old_builds_beginning_stands_in_an_earlier_file() {
    let place = Place::new();
    place.run("run", "1", AHEAD);
    // As at the head of a file that follows another one.
    let log = std::fs::read_to_string(place.log()).expect("there");
    let (start, rest) = log
        .split_once('\n')
        .expect("it begins with the run's start");
    let start = start.strip_suffix('}').expect("an object");
    let further = format!("{start},\"part\":2}}\n{rest}");
    std::fs::write(place.log(), further).expect("the same file");
    place.run("run", "2", "0");
    let (outcome, sentence) = evidence(&place);
    assert_eq!(outcome, Outcome::Hold, "{sentence}");
    assert!(place.report().is_order_unclear);
}

#[test]
fn the_same_build_under_any_clock_and_a_new_one_under_the_right_one_are_evidence() {
    let place = Place::new();
    for clock in ["0", "-86400", "0"] {
        place.run("run", "1", clock);
    }
    let (outcome, sentence) = evidence(&place);
    assert_eq!(outcome, Outcome::Go, "{sentence}");
    place.run("run", "2", "0");
    let (outcome, sentence) = evidence(&place);
    assert_eq!(outcome, Outcome::Go, "{sentence}");
    let report = place.report();
    assert_eq!(report.compared, CALLS, "the new build's alone");
    assert!(!report.is_order_unclear);
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
}
