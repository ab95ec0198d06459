//! Files of a log: rotated, compressed, given twice, damaged, hostile.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use btc_iface::ErrorKind;
use btc_shadow::analysis::{Analysis, Report};
use btc_shadow::compare::Verdict::{self, Match, Mismatch};
use btc_shadow::record::{Event, Line, VERSION};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use crate::samples::{comparison, evidence, line, start, text, totals};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("a disk with room");
    path
}

fn compressed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}

fn texts(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(text).collect()
}

fn read(files: &[PathBuf]) -> Report {
    let mut analysis = Analysis::default();
    for file in files {
        analysis.read_file(file, &mut |_| {}).expect("it is there");
    }
    analysis.finish()
}

fn whats(report: &Report) -> Vec<&str> {
    report.problems.iter().map(|p| p.what.as_str()).collect()
}

/// All that is said of the calls.
fn said(report: &Report) -> String {
    serde_json::to_string(&(&report.operations, &report.groups, &report.memory))
        .expect("plain data")
}

/// A run in three files, each of which opens with the run's start.
fn parts() -> [Vec<u8>; 3] {
    let lines = evidence(
        1,
        "0.1.0",
        |_| 40,
        |one| {
            if one.sequence == 100 {
                one.verdict = Mismatch;
                one.differences = vec![crate::samples::difference("txid")];
            }
        },
    );
    let first = lines[0].clone();
    let part = |number, lines: &[Line]| {
        let mut first = first.clone();
        if let Event::Start(start) = &mut first.event {
            start.part = number;
        }
        [text(&first), texts(lines)].concat()
    };
    [
        part(1, &lines[1..90]),
        part(2, &lines[90..210]),
        part(3, &lines[210..]),
    ]
}

#[test]
fn rotated_and_compressed_files_in_any_order_are_one_log() {
    let folder = folder();
    let [first, second, third] = parts();
    let whole = read(&[write(
        folder.path(),
        "whole",
        &[&first[..], &second, &third].concat(),
    )]);
    assert_eq!((whole.compared, whole.mismatches, whole.runs), (320, 1, 1));
    assert_eq!(whats(&whole), [""; 0]);
    let files = [
        write(folder.path(), "x.log", &third),
        write(folder.path(), "x.log.1", &second),
        // What it is called does not matter.
        write(folder.path(), "x.log.2", &compressed(&first)),
    ];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let report = read(&order.map(|index| files[index].clone()));
        assert_eq!(said(&report), said(&whole));
        assert_eq!(whats(&report), [""; 0]);
    }
}

#[test]
fn what_is_given_twice_counts_once_and_it_is_said() {
    let folder = folder();
    let parts = parts();
    let all = parts.concat();
    let whole = read(&[write(folder.path(), "whole", &all)]);
    let files = [
        write(folder.path(), "one", &parts[0]),
        write(folder.path(), "all.gz", &compressed(&all)),
        write(folder.path(), "cut", &all[..all.len() / 2]),
    ];
    let report = read(&files);
    assert_eq!(said(&report), said(&whole));
    assert!(report.repeated_lines > 89, "{}", report.repeated_lines);
    let said: Vec<_> = whats(&report)
        .into_iter()
        .filter(|what| what.contains("repeats"))
        .collect();
    assert_eq!(
        said,
        [format!(
            "run 00000001 repeats {} of its lines, as when a file is given twice; each counts once",
            report.repeated_lines
        )]
    );
}

#[test]
fn a_compressed_file_that_was_cut_off_is_read_up_to_there() {
    let folder = folder();
    let whole = compressed(&texts(&evidence(1, "0.1.0", |_| 2_000, |_| {})));
    let cut = write(folder.path(), "cut.gz", &whole[..whole.len() / 2]);
    let mut progress = Vec::new();
    let mut analysis = Analysis::default();
    analysis
        .read_file(&cut, &mut |bytes| progress.push(bytes))
        .expect("it can be read");
    let report = analysis.finish();
    assert!(report.lines > 100, "{}", report.lines);
    assert!(
        whats(&report)
            .iter()
            .any(|what| what.contains("damaged or cut off"))
    );
    assert!(progress.is_sorted());
    assert_eq!(progress.last(), Some(&(whole.len() as u64 / 2)));
    let noise = [&b"\x1f\x8b"[..], &[7; 300]].concat();
    let report = read(&[write(folder.path(), "noise", &noise)]);
    assert_eq!((report.lines, report.problem_count), (0, 1));
}

#[test]
fn several_compressed_streams_in_one_file_are_read() {
    let folder = folder();
    let [first, second, third] = parts().map(|part| compressed(&part));
    let report = read(&[write(folder.path(), "x", &[first, second, third].concat())]);
    assert_eq!((report.compared, report.problem_count), (320, 0));
}

#[test]
fn a_compressed_bomb_of_one_line_takes_a_line_of_memory() {
    let folder = folder();
    let bomb = compressed(&vec![b'x'; 50 << 20]);
    let report = read(&[write(folder.path(), "bomb", &bomb)]);
    assert_eq!((report.lines, report.problem_count), (0, 1));
}

#[test]
fn lines_of_version_1_are_named_as_such() {
    let old = br#"{"version":1,"run":"1714-22-0","kind":"comparison","sequence":1,"time_ms":1,"operation":"get_block","verdict":"match","input":"abc"}"#;
    let mut content = old.to_vec();
    content.push(b'\n');
    content.extend(texts(&[line("a", start(true))]));
    let folder = folder();
    let report = read(&[write(folder.path(), "old", &content)]);
    assert_eq!(report.problems[0].line, 1);
    assert_eq!(
        report.problems[0].what,
        "version 1 is none that this build reads, which are 2 to 3"
    );
    assert_eq!((report.unusable_lines, report.lines), (1, 1));
}

/// A log as version 2 wrote it: a match, an error that both have, a mismatch after a recheck, and
/// a call whose secondary was not asked.
const VERSION_2: &str = r#"{"version":2,"run":"0000000a","kind":"start","time_ms":1790000000000,"primary":{"implementation":"python","build":"0.1.0 a"},"secondary":{"implementation":"rust","build":"0.1.0 a"},"log_all":true,"rules":1}
{"version":2,"run":"0000000a","kind":"comparison","sequence":1,"time_ms":1790000000001,"operation":"get_transaction","verdict":"match","input":"00000000000000b1","primary":{"implementation":"python","duration_ns":85000,"tips":[840000,840001]},"secondary":{"implementation":"rust","duration_ns":43000,"tips":[840001,840001]}}
{"version":2,"run":"0000000a","kind":"comparison","sequence":2,"time_ms":1790000000002,"operation":"get_transaction","verdict":"match","input":"00000000000000b2","primary":{"implementation":"python","duration_ns":85000,"error":"not_found","tips":[840001,840001]},"secondary":{"implementation":"rust","duration_ns":43000,"error":"not_found","tips":[840001,840001]}}
{"version":2,"run":"0000000a","kind":"comparison","sequence":3,"time_ms":1790000000003,"operation":"get_transaction","verdict":"mismatch","input":"00000000000000b3","primary":{"implementation":"python","duration_ns":85000,"tips":[840001,840001]},"secondary":{"implementation":"rust","duration_ns":43000,"error":"internal"},"rechecks":2,"differences":[{"path":"error.kind","primary":"none","secondary":"internal"}]}
{"version":2,"run":"0000000a","kind":"comparison","sequence":4,"time_ms":1790000000004,"operation":"get_transaction","verdict":"dropped","input":"00000000000000b4","primary":{"implementation":"python","duration_ns":85000},"reason":"queue_full"}
{"version":2,"run":"0000000a","kind":"totals","time_ms":1790000000005,"is_final":true,"counts":{"offered":{"get_transaction":4},"verdicts":{"get_transaction":{"match":2,"mismatch":1,"dropped":1}}}}
"#;

#[test]
fn lines_of_version_2_say_the_same_as_those_of_today() {
    let lines: Result<Vec<Line>, _> = VERSION_2.lines().map(serde_json::from_str).collect();
    let mut lines = lines.expect("they are understood");
    let Event::Comparison(mismatch) = &lines[3].event else {
        unreachable!("the fourth line is one");
    };
    let secondary = mismatch.secondary.as_ref().expect("it was asked");
    assert_eq!(mismatch.primary.tips, Some([840_001; 2]));
    assert_eq!((mismatch.primary.error, secondary.tips), (None, None));
    assert_eq!(secondary.error, Some(ErrorKind::Internal));
    for line in &mut lines {
        line.version = VERSION;
    }
    let folder = folder();
    let old = read(&[write(folder.path(), "old", VERSION_2.as_bytes())]);
    let new = read(&[write(folder.path(), "new", &texts(&lines))]);
    assert_eq!((old.lines, old.problem_count), (6, 0), "{:?}", old.problems);
    assert_eq!((old.compared, old.mismatches), (3, 1));
    assert_eq!(said(&old), said(&new));
}

#[test]
fn more_runs_builds_fields_and_reasons_than_can_be_are_bounded_and_said() {
    let mut analysis = Analysis::default();
    for number in 0..20_000_u32 {
        let run = format!("{number:x}");
        let mut began = start(true);
        if let Event::Start(start) = &mut began {
            start.primary.build = format!("{number}{}", "b".repeat(500));
        }
        analysis.add(line(&run, began));
        let mut event = comparison(1, Mismatch);
        if let Event::Comparison(comparison) = &mut event {
            comparison.differences[0].path = format!("field{number}");
            comparison.reason = Some(format!("reason {number}").into());
            comparison.time_ms = u64::from(number) << 40;
        }
        analysis.add(line(&run, event));
        analysis.add(line(&run, totals(1, &[(Mismatch, 1)])));
    }
    let report = analysis.finish();
    assert_eq!(report.lines, 60_000);
    assert_eq!(report.runs, 16_384);
    assert!(report.uncounted_lines > 0);
    assert!(report.groups.len() <= 65, "{}", report.groups.len());
    assert!(report.problems.len() <= 20);
    let total: u64 = report.groups.iter().map(|group| group.mismatches).sum();
    assert_eq!(total, 16_384);
}

#[test]
fn numbers_out_of_range_are_problems_or_harmless() {
    let of = |sequence: &str, time: &str, duration: &str| {
        format!(
            "{{\"version\":2,\"run\":\"0000000a\",\"kind\":\"comparison\",\"sequence\":{sequence},\
             \"time_ms\":{time},\"operation\":\"get_block\",\"verdict\":\"match\",\
             \"input\":\"0123456789abcdef\",\"primary\":{{\"implementation\":\"python\",\
             \"duration_ns\":{duration}}}}}\n"
        )
    };
    let big = u64::MAX.to_string();
    let huge = "9".repeat(400);
    let content: String = [
        of(&big, &big, &big),
        of("0", "0", "0"),
        of(&huge, "1", "1"),
        of("-1", "1", "1"),
        of("1.5", "1", "1"),
        of("1e3", "1", "1"),
        of("2", &huge, "1"),
        of("3", "1", "NaN"),
    ]
    .concat();
    let folder = folder();
    let report = read(&[write(folder.path(), "x", content.as_bytes())]);
    assert_eq!((report.lines, report.unusable_lines), (2, 6));
    assert_eq!(report.compared, 2);
}

proptest! {
    /// A log that is cut into files anywhere, in any order, some of them twice, says the same.
    #[test]
    fn files_cut_anywhere_and_given_in_any_order_add_up(
        verdicts in proptest::collection::vec(proptest::sample::select(Verdict::ALL.to_vec()), 1..40),
        cuts in proptest::collection::vec(0..40_usize, 0..4),
        order in Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle(),
        twice in 0..5_usize,
    ) {
        let began = line("a", start(true));
        let events: Vec<_> = (1..).zip(&verdicts).map(|(number, verdict)| line("a", comparison(number, *verdict))).collect();
        let mut whole = Analysis::default();
        for line in [vec![began.clone()], events.clone()].concat() {
            whole.add(line);
        }
        let whole = whole.finish();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(events.len())).collect();
        cuts.extend([0, events.len()]);
        cuts.sort_unstable();
        let files: Vec<_> = cuts.windows(2).map(|cut| &events[cut[0]..cut[1]]).collect();
        let mut analysis = Analysis::default();
        for index in order.into_iter().chain([twice]) {
            if let Some(file) = files.get(index) {
                analysis.add(began.clone());
                for line in *file {
                    analysis.add(line.clone());
                }
            }
        }
        let report = analysis.finish();
        prop_assert_eq!((report.compared, report.mismatches), (whole.compared, whole.mismatches));
        let counts = |report: &Report| report.operations.iter().map(|o| (o.calls, o.times.iter().map(|t| t.calls).sum::<u64>())).collect::<Vec<_>>();
        prop_assert_eq!(counts(&report), counts(&whole));
        let twice = files.get(twice).map_or(0, |file| file.len() as u64);
        prop_assert_eq!(report.repeated_lines, twice);
    }
}

#[test]
fn a_match_that_repeats_with_another_verdict_is_the_first_one() {
    let mut analysis = Analysis::default();
    analysis.add(line("a", start(true)));
    analysis.add(line("a", comparison(1, Match)));
    analysis.add(line("a", comparison(1, Mismatch)));
    let report = analysis.finish();
    assert_eq!((report.compared, report.repeated_lines), (1, 1));
}
