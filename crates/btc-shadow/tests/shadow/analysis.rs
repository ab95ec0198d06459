//! What an analysis concludes from logs that are whole, torn, mixed or hostile.

use std::fs;
use std::io::Write;

use btc_iface::{BitcoinImplementationType, ErrorKind};
use btc_shadow::analysis::{Analysis, Conclusion, Report};
use btc_shadow::compare::Verdict::{Inconclusive, Match, Mismatch, Recovered, Skipped};
use btc_shadow::record::{Event, Line, VERSION};

use crate::samples::{comparison, line, start, text, totals, with_errors};

fn analyse(lines: impl IntoIterator<Item = Line>) -> Report {
    let mut analysis = Analysis::default();
    for line in lines {
        analysis.add(line);
    }
    analysis.finish()
}

/// The report on the content of one file, and the bytes that were reported as read.
fn analyse_file(content: &[u8]) -> (Report, Vec<u64>) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(content).expect("a disk with room");
    let mut analysis = Analysis::default();
    let mut progress = Vec::new();
    analysis
        .read_file(file.path(), &mut |bytes| progress.push(bytes))
        .expect("a file that is there");
    (analysis.finish(), progress)
}

/// A whole run of this name: its start, its comparisons, its totals.
fn run(name: &str, verdicts: &[btc_shadow::compare::Verdict]) -> Vec<Line> {
    let mut counts = std::collections::BTreeMap::new();
    let mut lines = vec![line(name, start(true))];
    for (sequence, verdict) in (1..).zip(verdicts) {
        *counts.entry(*verdict).or_default() += 1;
        lines.push(line(name, comparison(sequence, *verdict)));
    }
    let counts: Vec<_> = counts.into_iter().collect();
    lines.push(line(name, totals(verdicts.len() as u64, &counts)));
    lines
}

fn whats(report: &Report) -> Vec<&str> {
    report.problems.iter().map(|p| p.what.as_str()).collect()
}

#[test]
fn an_empty_log_is_no_evidence() {
    for content in ["", "\n\n", "  \n"] {
        let (report, _) = analyse_file(content.as_bytes());
        assert_eq!(report.conclusion, Conclusion::NoEvidence);
        assert_eq!(report.compatibility_ppm, None);
        assert_eq!((report.lines, report.problem_count), (0, 0));
    }
}

#[test]
fn calls_that_were_not_compared_are_no_evidence() {
    let report = analyse(run("a", &[Inconclusive, Skipped, Inconclusive]));
    assert_eq!(report.conclusion, Conclusion::NoEvidence);
    assert_eq!(report.operations[0].inconclusive, 2);
    assert_eq!(report.operations[0].skipped, 1);
    assert_eq!(report.operations[0].calls, 3);
    assert_eq!(report.operations[0].compatibility_ppm, None);
}

#[test]
fn a_whole_run_is_counted_and_has_no_problem() {
    let report = analyse(run("a", &[Match, Recovered, Mismatch, Match, Inconclusive]));
    assert_eq!(report.conclusion, Conclusion::Differ);
    assert_eq!((report.compared, report.mismatches), (4, 1));
    assert_eq!(report.compatibility_ppm, Some(750_000));
    assert_eq!((report.runs, report.lines), (1, 7));
    assert_eq!(whats(&report), [""; 0]);
    let height = &report.operations[0];
    assert_eq!((height.matches, height.distinct_inputs), (3, 1));
    assert_eq!(height.paths.len(), 1);
    assert_eq!(
        (height.paths[0].path.as_str(), height.paths[0].count),
        ("height", 1)
    );
    let times: Vec<_> = height
        .times
        .iter()
        .map(|times| (times.implementation, times.calls, times.p50_ns))
        .collect();
    assert_eq!(
        times,
        [
            (BitcoinImplementationType::Python, 5, 2_000),
            (BitcoinImplementationType::Rust, 5, 1_000),
        ]
    );
}

#[test]
fn one_mismatch_among_many_never_reads_as_none() {
    const MATCHES: u64 = 10_000_000;
    let counts = totals(MATCHES + 1, &[(Match, MATCHES), (Mismatch, 1)]);
    let report = analyse([line("a", start(false)), line("a", counts)]);
    assert_eq!(report.conclusion, Conclusion::Differ);
    assert_eq!(report.compatibility_ppm, Some(999_999));
    assert_eq!(report.operations[0].compatibility_ppm, Some(999_999));
    let counts = totals(MATCHES, &[(Match, MATCHES)]);
    let report = analyse([line("a", start(false)), line("a", counts)]);
    assert_eq!(report.conclusion, Conclusion::Agree);
    assert_eq!(report.compatibility_ppm, Some(1_000_000));
}

#[test]
fn errors_are_counted_by_implementation_and_kind() {
    let both = with_errors(
        comparison(1, Match),
        Some(ErrorKind::NotFound),
        Some(ErrorKind::NotFound),
    );
    let one = with_errors(comparison(2, Mismatch), None, Some(ErrorKind::Internal));
    let report = analyse([both, one, comparison(3, Match)].map(|event| line("a", event)));
    let errors: Vec<_> = report.operations[0]
        .errors
        .iter()
        .map(|error| {
            (
                error.implementation,
                error.kind,
                error.count,
                error.rate_ppm,
            )
        })
        .collect();
    let third = 333_333;
    assert_eq!(
        errors,
        [
            (
                BitcoinImplementationType::Python,
                ErrorKind::NotFound,
                1,
                third
            ),
            (
                BitcoinImplementationType::Rust,
                ErrorKind::NotFound,
                1,
                third
            ),
            (
                BitcoinImplementationType::Rust,
                ErrorKind::Internal,
                1,
                third
            ),
        ]
    );
}

#[test]
fn a_torn_last_line_is_named_and_the_rest_is_read() {
    let mut content: Vec<u8> = run("a", &[Match, Match]).iter().flat_map(text).collect();
    let whole = content.len();
    content.extend_from_slice(&text(&line("a", comparison(3, Match)))[..60]);
    let (report, progress) = analyse_file(&content);
    assert_eq!(report.compared, 2);
    assert_eq!(report.problem_count, 1);
    assert_eq!(report.problems[0].line, 5);
    assert_eq!(report.problems[0].what, "the line is unfinished");
    assert_eq!(progress, [whole as u64 + 60]);
}

#[test]
fn an_unknown_version_is_named_and_not_counted() {
    let mut newer = line("a", comparison(1, Mismatch));
    newer.version = VERSION + 1;
    let mut content: Vec<u8> = run("a", &[Match]).iter().flat_map(text).collect();
    content.extend(text(&newer));
    let (report, _) = analyse_file(&content);
    assert_eq!(report.conclusion, Conclusion::Agree);
    assert_eq!(report.problem_count, 1);
    assert_eq!(report.problems[0].line, 4);
    assert!(report.problems[0].what.contains("version 4"));
}

#[test]
fn a_gap_in_the_sequence_is_named() {
    let mut lines = run("a", &[Match, Match, Match, Match]);
    lines.remove(2);
    let report = analyse(lines);
    assert_eq!(whats(&report), ["run 0000000a lacks 1 of its lines"]);
    // The totals still count the call.
    assert_eq!(report.compared, 4);
}

#[test]
fn a_run_that_logs_mismatches_only_has_gaps_by_design() {
    let lines = [
        start(false),
        comparison(9, Mismatch),
        totals(9, &[(Match, 8), (Mismatch, 1)]),
    ];
    let report = analyse(lines.map(|event| line("a", event)));
    assert_eq!((report.compared, report.mismatches), (9, 1));
    assert_eq!(whats(&report), [""; 0]);
}

#[test]
fn a_killed_run_has_no_totals_and_counts_what_it_logged() {
    let mut lines = run("a", &[Match, Mismatch]);
    lines.pop();
    let report = analyse(lines);
    assert_eq!((report.compared, report.mismatches), (2, 1));
    assert_eq!(
        whats(&report),
        ["run 0000000a has no totals: it has not ended, or was killed"]
    );
}

#[test]
fn what_a_run_logged_after_its_last_totals_counts_too() {
    let events = [
        start(true),
        comparison(1, Match),
        totals(1, &[(Match, 1)]),
        comparison(2, Mismatch),
        comparison(3, Match),
    ];
    let report = analyse(events.map(|event| line("a", event)));
    assert_eq!((report.compared, report.mismatches), (3, 1));
}

#[test]
fn a_log_whose_beginning_is_missing_says_so() {
    let report = analyse(run("a", &[Match, Match]).split_off(2));
    assert_eq!(
        whats(&report),
        ["run 0000000a has no start: an earlier part of the log is missing"]
    );
    assert_eq!(report.compared, 2);
}

#[test]
fn calls_without_a_verdict_are_named() {
    for counts in [totals(3, &[(Match, 2)]), totals(1, &[(Match, 2)])] {
        let report = analyse([line("a", start(false)), line("a", counts)]);
        assert_eq!(whats(&report), ["run 0000000a has calls without a verdict"]);
    }
}

#[test]
fn a_run_whose_last_totals_are_not_final_has_not_ended() {
    let mut counts = totals(3, &[(Match, 2)]);
    if let Event::Totals(totals) = &mut counts {
        totals.is_final = false;
    }
    let report = analyse([line("a", start(false)), line("a", counts)]);
    assert_eq!(
        whats(&report),
        ["run 0000000a has not ended, or was killed: its last calls are unknown"]
    );
    assert_eq!(report.compared, 2);
}

#[test]
fn verdicts_on_an_operation_that_was_never_offered_do_not_close() {
    let mut counts = totals(2, &[(Match, 2)]);
    if let Event::Totals(totals) = &mut counts {
        totals.counts.offered.clear();
    }
    let report = analyse([line("a", start(false)), line("a", counts)]);
    assert_eq!(whats(&report), ["run 0000000a has calls without a verdict"]);
}

#[test]
fn several_runs_in_several_files_add_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut analysis = Analysis::default();
    for (name, runs) in [
        ("one", [run("a", &[Match, Match]), run("b", &[Match])]),
        ("two", [run("c", &[Mismatch, Skipped]), run("d", &[])]),
    ] {
        let path = folder.path().join(name);
        let content: Vec<u8> = runs.concat().iter().flat_map(text).collect();
        fs::write(&path, content).expect("a disk with room");
        analysis.read_file(&path, &mut |_| {}).expect("it is there");
    }
    let report = analysis.finish();
    assert_eq!((report.runs, report.compared, report.mismatches), (4, 4, 1));
    assert_eq!(report.operations[0].skipped, 1);
    assert_eq!(whats(&report), [""; 0]);
}

#[test]
fn a_line_of_two_megabytes_is_one_problem_and_the_next_line_is_read() {
    let mut content = vec![b'x'; 2 << 20];
    content.push(b'\n');
    content.extend(run("a", &[Match]).iter().flat_map(text));
    let size = content.len() as u64;
    let (report, progress) = analyse_file(&content);
    assert_eq!(report.compared, 1);
    assert_eq!((report.problem_count, report.problems[0].line), (1, 1));
    assert_eq!(progress, [size]);
}

#[test]
fn bytes_that_are_no_text_are_one_problem() {
    let mut content = b"\xff\xfe{\x00\xc3\n".to_vec();
    content.extend(run("a", &[Match]).iter().flat_map(text));
    let (report, _) = analyse_file(&content);
    assert_eq!(report.compared, 1);
    assert_eq!((report.problem_count, report.problems[0].line), (1, 1));
}

#[test]
fn problems_beyond_the_twentieth_are_counted_and_not_named() {
    let (report, _) = analyse_file("nonsense\n".repeat(50).as_bytes());
    assert_eq!(report.problem_count, 50);
    assert_eq!(report.problems.len(), 20);
    assert_eq!(report.problems[19].line, 20);
    assert_eq!(report.conclusion, Conclusion::NoEvidence);
}

#[test]
fn progress_is_told_now_and_then_and_at_the_end() {
    let content = "x\n".repeat(10_000);
    let (_, progress) = analyse_file(content.as_bytes());
    assert!(progress.len() > 1 && progress.is_sorted(), "{progress:?}");
    assert_eq!(progress.last(), Some(&20_000));
}

#[test]
fn a_log_that_is_not_there_is_not_found_and_a_folder_is_no_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing");
    let mut analysis = Analysis::default();
    for (path, kind) in [
        (missing.as_path(), ErrorKind::NotFound),
        (folder.path(), ErrorKind::Configuration),
    ] {
        let error = analysis
            .read_file(path, &mut |_| {})
            .expect_err("it cannot be read");
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(&path.display().to_string()));
    }
}

#[test]
fn counts_beyond_all_bounds_stay_at_the_bound() {
    let counts = totals(u64::MAX, &[(Match, u64::MAX), (Mismatch, u64::MAX)]);
    let mut twice = [start(false), counts.clone()]
        .map(|event| line("a", event))
        .to_vec();
    twice.extend([start(false), counts].map(|event| line("b", event)));
    let report = analyse(twice);
    assert_eq!(report.conclusion, Conclusion::Differ);
    assert_eq!(report.mismatches, u64::MAX);
    assert_ne!(report.compatibility_ppm, Some(1_000_000));
}
