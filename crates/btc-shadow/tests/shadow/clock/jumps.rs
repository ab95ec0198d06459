//! One run under a clock that is set again and again: its counts, its numbers and its memory.

use btc_iface::Operation;
use btc_shadow::analysis::Conclusion;
use btc_shadow::compare::Verdict;
use btc_shadow::record::Event;

use super::Place;
use super::child::{CALLS, CLOCKS, READINGS};

#[test]
fn a_clock_that_is_set_changes_no_count_and_no_duration() {
    let place = Place::new();
    let said = place.run("jumps", "1", "0");
    let took = said.lines().find_map(|line| line.strip_prefix("took "));
    let took: usize = took.expect("it ends").parse().expect("a number");

    let calls = CALLS * CLOCKS.len() as u64;
    let report = place.report();
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    assert_eq!(report.conclusion, Conclusion::Agree);
    assert_eq!((report.compared, report.runs), (calls, 1));
    assert_eq!((report.unaccounted, report.lost_lines), (0, 0));
    assert!(!report.is_order_unclear);
    let balance = report.operation(Operation::GetBalance).expect("called");
    // A question of the moment is another one each second: seconds that passed, not ones that the
    // clock left out.
    let distinct = balance.distinct_inputs;
    assert!((1..=took + 2).contains(&distinct), "{distinct} in {took} s");
    for times in &balance.times {
        assert!(times.p99_ns < 3_600_000_000_000, "{times:?}");
    }

    let (mut readings, mut numbers, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for line in place.lines() {
        match line.event {
            Event::Memory(memory) => readings.push(memory.time_ms),
            Event::Comparison(comparison) => {
                assert_eq!(comparison.verdict, Verdict::Match);
                numbers.push(comparison.sequence);
                times.push(comparison.time_ms);
            }
            _ => {}
        }
    }
    numbers.sort_unstable();
    assert!((1..=calls).eq(numbers));
    assert!(!times.is_sorted(), "lines say what the clock said");
    // The trend of memory is judged over an even time.
    assert!(readings.len() >= READINGS * CLOCKS.len());
    assert!(readings.is_sorted(), "{readings:?}");
    let span = readings.last().zip(readings.first()).map(|(b, a)| b - a);
    assert!(span.is_some_and(|ms| ms <= (took as u64 + 2) * 1_000));
}

#[test]
fn a_rollout_follows_its_file_and_rolls_back_whatever_the_clock_says() {
    Place::new().run("rollout", "1", "0");
}
