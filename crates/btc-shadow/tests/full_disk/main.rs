//! The log on a disk that is full: a program of its own, which may begin again where it may mount
//! one, and says which tests it had to leave out.

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;

use btc_regtest::Disk;
use btc_regtest::disk::{NO_DISK, enter_namespace};
use btc_shadow::record::Line;
use btc_shadow::sink::{FileSink, Sink};
use libtest_mimic::{Arguments, Completion, Trial};

use crate::support::{LONG, begin, gaps, lines, long, matched, sequences, until};

#[path = "../shadow/samples.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod samples;
#[path = "../shadow/log_file/support.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod support;

type Test = fn(&Disk);

/// The tests, each with the size of its disk in KiB.
const TESTS: [(&str, u32, Test); 2] = [
    (
        "lines_wait_for_room_and_what_did_not_fit_is_marked",
        64 << 10,
        lines_wait_for_room_and_what_did_not_fit_is_marked,
    ),
    (
        "no_part_of_a_line_is_left_at_the_end_of_a_full_disk",
        1 << 10,
        no_part_of_a_line_is_left_at_the_end_of_a_full_disk,
    ),
];

fn main() -> ExitCode {
    enter_namespace();
    let trials = TESTS.map(|(name, kib, test)| {
        Trial::ignorable_test(name, move || {
            let Some(disk) = Disk::mount(kib)? else {
                return Ok(Completion::ignored_with(NO_DISK));
            };
            test(&disk);
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// The lines between two attempts of the writer: within one, a part of a line may be there.
fn lines_between(path: &Path) -> Vec<Line> {
    let file = File::open(path).expect("there");
    // The writer's own; gone with the file.
    file.lock().expect("a file system with locks");
    lines(path)
}

fn lines_wait_for_room_and_what_did_not_fit_is_marked(disk: &Disk) {
    let path = disk.path().join("log");
    let sink = FileSink::open(&path).expect("an empty disk");
    begin(&sink, "a");
    assert!(sink.flush(LONG));
    let filler = disk.fill(8).expect("room for an empty file");
    let (mut sequence, mut taken) = (0, Vec::new());
    // More than waits in memory.
    while sink.tally().refused < 10 {
        sequence += 1;
        if sink.write(&long("a", sequence)).is_ok() {
            taken.push(sequence);
        }
    }
    until("the writer met the full disk", || sink.tally().written >= 2);
    let met = lines_between(&path);
    assert!(met.len() < 10, "the disk has room for four lines");

    fs::remove_file(filler).expect("there");
    assert!(sink.flush(LONG), "there is room now");
    sequence += 1;
    sink.write(&matched("a", sequence)).expect("room");
    taken.push(sequence);
    assert!(sink.close(LONG));
    let tally = sink.tally();
    assert_eq!((tally.written, tally.lost), (tally.accepted, 0));
    let lines = lines(&path);
    assert_eq!(lines.len() as u64, tally.written);
    let found: Vec<_> = sequences(&lines).into_values().flatten().collect();
    assert_eq!(found, taken, "each line that was taken, once, in order");
    let (lost, reason) = gaps(&lines);
    assert_eq!(lost, tally.refused);
    assert!(reason.is_some_and(|it| it.contains("No space left")));
    assert_eq!(found.len() as u64 + tally.refused, sequence);
}

fn no_part_of_a_line_is_left_at_the_end_of_a_full_disk(disk: &Disk) {
    let path = disk.path().join("log");
    let sink = FileSink::open(&path).expect("an empty disk");
    for round in 1..=5 {
        let filler = disk.fill(4 * round).expect("room for an empty file");
        let before = sink.tally().written;
        for sequence in 0..20 {
            sink.write(&long("a", round * 20 + sequence)).expect("room");
        }
        // Pages are of four KiB, so the room ends in the middle of a line. The writer counts a line
        // when it has given up the lock, and may take the lines in several batches.
        until("a part is written, and counted", || {
            let found = lines_between(&path).len() as u64;
            found > before && found == sink.tally().written
        });
        assert!(sink.tally().pending() > 0);
        fs::remove_file(filler).expect("there");
        assert!(sink.flush(LONG));
    }
    drop(sink);
    let found: Vec<_> = sequences(&lines(&path)).into_values().flatten().collect();
    assert!(found.iter().copied().eq(20..120), "{found:?}");
}
