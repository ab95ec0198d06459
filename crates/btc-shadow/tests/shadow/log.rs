//! What a run writes into its log, and what it does when the log takes nothing.

use std::collections::BTreeSet;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{BitcoinInterface, Operation};
use btc_shadow::analysis::{Analysis, Conclusion, Report};
use btc_shadow::compare::Verdict;
use btc_shadow::record::{Event, Line};
use btc_shadow::sink::{FileSink, MemorySink, Sink, Tee};
use btc_shadow::{Policy, Shadow};

use crate::double::{Double, FullDisk};

/// Shadow mode in which the secondary's first `wrong` heights differ.
fn shadow(sink: impl Sink + 'static, log_all: bool, wrong: u64) -> Shadow {
    let policy = Policy {
        recheck_after_ms: Vec::new(),
    };
    let secondary = move |_, call| Ok(if call <= wrong { 1 } else { 2 });
    Shadow::new(
        Arc::new(Double::new(Python, |_, _| Ok(2))),
        Arc::new(Double::new(Rust, secondary)),
        policy,
        Box::new(sink),
        log_all,
    )
}

fn ask(shadow: &Shadow, times: u64) {
    for _ in 0..times {
        assert_eq!(shadow.get_block_height().expect("a height"), 2);
    }
}

fn analyse(lines: Vec<Line>) -> Report {
    let mut analysis = Analysis::default();
    for line in lines {
        analysis.add(line);
    }
    analysis.finish()
}

#[test]
fn a_run_begins_with_who_is_compared_and_ends_with_its_totals() {
    let sink = Arc::new(MemorySink::default());
    let run = shadow(Arc::clone(&sink), true, 1);
    ask(&run, 3);
    drop(run);
    let lines = sink.lines();
    assert_eq!(lines.len(), 1 + 3 + 1);
    let Event::Start(start) = &lines[0].event else {
        unreachable!("the first line is {:?}", lines[0]);
    };
    assert_eq!(start.primary.implementation, Python);
    assert_eq!(start.secondary.implementation, Rust);
    assert!(start.log_all);
    let Event::Totals(totals) = &lines[4].event else {
        unreachable!("the last line is {:?}", lines[4]);
    };
    assert_eq!(totals.counts.offered[&Operation::GetBlockHeight], 3);
    assert_eq!(totals.counts.total(Verdict::Match), 2);
    assert_eq!(totals.counts.total(Verdict::Mismatch), 1);
    assert!(lines.iter().all(|line| line.run == lines[0].run));
    assert_eq!(lines[0].run.to_string().len(), 8);
}

#[test]
fn the_end_of_a_run_is_in_the_file_although_others_hold_the_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    // As the metrics do, and threads that are on their way out.
    let held = Arc::new(FileSink::open(&path).expect("a path that can be written"));
    let run = shadow(Arc::clone(&held), true, 0);
    ask(&run, 3);
    drop(run);
    let text = std::fs::read_to_string(&path).expect("the log");
    let last = text.lines().last().expect("lines");
    let last: Line = serde_json::from_str(last).expect("a whole line");
    assert!(
        matches!(&last.event, Event::Totals(totals) if totals.is_final),
        "{last:?}"
    );
}

#[test]
fn without_log_all_matches_are_counts_only_and_the_report_is_the_same() {
    let report = |log_all, lines| {
        let sink = Arc::new(MemorySink::default());
        let run = shadow(Arc::clone(&sink), log_all, 2);
        ask(&run, 10);
        drop(run);
        assert_eq!(sink.lines().len(), lines);
        analyse(sink.lines())
    };
    for report in [report(false, 1 + 2 + 1), report(true, 1 + 10 + 1)] {
        assert_eq!((report.compared, report.mismatches), (10, 2));
        assert_eq!(report.compatibility_ppm, Some(800_000));
        assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    }
}

#[test]
fn totals_are_written_after_every_thousand_calls() {
    let sink = Arc::new(MemorySink::default());
    let run = shadow(Arc::clone(&sink), false, 0);
    ask(&run, 2_500);
    let offered = |lines: Vec<Line>| -> Vec<u64> {
        let lines = lines.into_iter();
        lines
            .filter_map(|line| match line.event {
                Event::Totals(totals) => Some(totals.counts.total_offered()),
                _ => None,
            })
            .collect()
    };
    assert_eq!(offered(sink.lines()), [1_000, 2_000]);
    drop(run);
    assert_eq!(offered(sink.lines()), [1_000, 2_000, 2_500]);
}

#[test]
fn equal_inputs_have_equal_digests_and_others_have_others() {
    let sink = Arc::new(MemorySink::default());
    let run = shadow(Arc::clone(&sink), true, 0);
    for txid in ["a", "b", "a"] {
        run.get_transaction(txid).expect("known");
    }
    let digests: Vec<_> = sink
        .lines()
        .into_iter()
        .filter_map(|line| match line.event {
            Event::Comparison(comparison) => Some(comparison.input),
            _ => None,
        })
        .collect();
    assert_eq!(digests[0], digests[2]);
    assert_ne!(digests[0], digests[1]);
    assert!(digests.iter().all(|digest| digest.to_string().len() == 16));
}

#[test]
fn runs_that_begin_in_the_same_moment_have_names_of_their_own() {
    let sink = Arc::new(MemorySink::default());
    for _ in 0..50 {
        let run = shadow(Arc::clone(&sink), true, 0);
        ask(&run, 1);
    }
    let names: BTreeSet<_> = sink.lines().into_iter().map(|line| line.run).collect();
    assert_eq!(names.len(), 50);
    let report = analyse(sink.lines());
    assert_eq!((report.runs, report.compared), (50, 50));
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
}

#[test]
fn a_full_disk_is_counted_and_costs_no_answer() {
    let sink = Arc::new(FullDisk::default());
    let run = shadow(Arc::clone(&sink), true, 0);
    ask(&run, 7);
    let books = run.books();
    drop(run);
    // The start, each call, the totals.
    assert_eq!(sink.offered.load(Ordering::Relaxed), 1 + 7 + 1);
    let counts = books.counts();
    assert_eq!(counts.lost_lines, 1 + 7 + 1);
    assert_eq!(counts.total(Verdict::Match), 7);
    assert!(counts.close());
}

#[test]
fn a_sink_that_panics_costs_no_answer_either() {
    struct Panics;
    impl Sink for Panics {
        fn write(&self, _line: &Line) -> io::Result<()> {
            resume_unwind(Box::new("the sink breaks"))
        }
    }
    let run = shadow(Panics, true, 0);
    ask(&run, 3);
    let books = run.books();
    drop(run);
    assert_eq!(books.counts().lost_lines, 1 + 3 + 1);
}

#[test]
fn lines_that_were_lost_are_a_problem_of_their_run() {
    // The disk is full during the first call only.
    struct Hiccup(MemorySink);
    impl Sink for Hiccup {
        fn write(&self, line: &Line) -> io::Result<()> {
            match &line.event {
                Event::Comparison(comparison) if comparison.sequence == 1 => {
                    Err(io::ErrorKind::StorageFull.into())
                }
                _ => self.0.write(line),
            }
        }
    }
    let sink = Arc::new(Hiccup(MemorySink::default()));
    let run = shadow(Arc::clone(&sink), true, 1);
    ask(&run, 4);
    drop(run);
    let report = analyse(sink.0.lines());
    // The lost line was the mismatch: the totals still tell.
    assert_eq!(report.conclusion, Conclusion::Differ);
    assert_eq!((report.compared, report.mismatches), (4, 1));
    let what: Vec<_> = report.problems.iter().map(|p| p.what.as_str()).collect();
    assert_eq!(what.len(), 2, "{what:?}");
    assert!(
        what.iter().any(|what| what.contains("could not write 1")),
        "{what:?}"
    );
    assert!(what.iter().any(|what| what.contains("lacks 1")), "{what:?}");
}

#[test]
fn a_tee_hands_each_line_to_both_and_fails_when_one_does() {
    let memory = Arc::new(MemorySink::default());
    let disk = Arc::new(FullDisk::default());
    let run = shadow(Tee(Arc::clone(&disk), Arc::clone(&memory)), true, 0);
    ask(&run, 2);
    assert_eq!(disk.offered.load(Ordering::Relaxed), 3);
    assert_eq!(memory.lines().len(), 3);
    assert_eq!(run.books().counts().lost_lines, 3);
}
