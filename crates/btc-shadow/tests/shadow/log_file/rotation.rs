//! Files that are full, by one writer and by several.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use btc_shadow::record::Event;
use btc_shadow::sink::{FileSink, Rotation, Sink};

use super::{LONG, begin, content, files, lines, long, matched, parts, sequences, until};

const BYTES: u64 = Rotation::MIN_FILE_BYTES;

fn open(path: &Path, max_files: u32, compress: bool) -> FileSink {
    let rotation = Rotation {
        max_file_bytes: BYTES,
        max_files,
        compress,
    };
    FileSink::with(path, rotation).expect("a path that can be written")
}

fn names(path: &Path) -> Vec<String> {
    let name = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    files(path).iter().map(name).collect()
}

#[test]
fn a_log_takes_no_more_than_its_bound_and_keeps_the_newest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let sink = open(&path, 3, false);
    begin(&sink, "a");
    for sequence in 1..=1_000 {
        sink.write(&matched("a", sequence)).expect("room");
    }
    drop(sink);
    assert_eq!(names(&path), ["log.2", "log.1", "log"]);
    let mut found = Vec::new();
    for file in files(&path) {
        let length = fs::metadata(&file).expect("there").len();
        assert!((1..=BYTES).contains(&length), "{length}");
        let lines = lines(&file);
        assert!(matches!(lines[0].event, Event::Start(_)));
        found.push((parts(&lines), sequences(&lines)));
    }
    let numbers: Vec<_> = found.iter().flat_map(|(parts, _)| parts).collect();
    assert_eq!(*numbers[1], numbers[0] + 1);
    assert_eq!(*numbers[2], numbers[0] + 2);
    assert!(*numbers[0] > 20, "{numbers:?}");
    let kept: Vec<u64> = found
        .into_iter()
        .flat_map(|(_, runs)| runs.into_values().flatten())
        .collect();
    assert!(kept.iter().copied().eq(kept[0]..=1_000), "{kept:?}");
}

#[test]
fn nothing_is_lost_or_doubled_between_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let sink = open(&path, 1_000, false);
    begin(&sink, "a");
    for sequence in 1..=1_000 {
        sink.write(&matched("a", sequence)).expect("room");
        if sequence % 100 == 0 {
            assert!(sink.flush(LONG));
        }
    }
    drop(sink);
    let all: Vec<_> = files(&path).iter().flat_map(|file| lines(file)).collect();
    let found: Vec<_> = sequences(&all).into_values().flatten().collect();
    assert!(found.iter().copied().eq(1..=1_000), "{found:?}");
    let numbers = parts(&all);
    assert!(
        (1..).take(numbers.len()).eq(numbers.iter().copied()),
        "{numbers:?}"
    );
}

#[test]
fn a_new_run_in_a_full_file_begins_in_the_next_one_as_its_first_part() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    fs::write(&path, vec![b'\n'; usize::try_from(BYTES).expect("small")]).expect("a new file");
    let sink = open(&path, 3, false);
    begin(&sink, "a");
    drop(sink);
    assert_eq!(parts(&lines(&path)), [1]);
    assert_eq!(names(&path), ["log.1", "log"]);
}

#[test]
fn older_files_are_compressed_and_hold_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let sink = open(&path, 5, true);
    begin(&sink, "a");
    for sequence in 1..=100 {
        sink.write(&matched("a", sequence)).expect("room");
    }
    assert!(sink.flush(LONG));
    until("the older files are compressed", || {
        let names = names(&path);
        names.len() > 2 && !names.iter().any(|name| name == "log.1" || name == "log.2")
    });
    let all: Vec<_> = files(&path).iter().flat_map(|file| lines(file)).collect();
    let found: Vec<_> = sequences(&all).into_values().flatten().collect();
    assert!(found.iter().copied().eq(1..=100), "{found:?}");
    let packed = files(&path).remove(0);
    let size = fs::metadata(&packed).expect("there").len();
    assert!(size < content(&packed).len() as u64 / 2);
    // The bound holds for them, too.
    for sequence in 101..=1_000 {
        sink.write(&matched("a", sequence)).expect("room");
    }
    drop(sink);
    assert!(names(&path).len() <= 5, "{:?}", names(&path));
    let left = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, names(&path).len(), "nothing unfinished is left");
}

#[test]
fn several_writers_share_a_log_that_rotates() {
    const RUNS: [&str; 4] = ["a", "b", "c", "d"];
    const LINES: u64 = 1_000;
    for compress in [false, true] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        // A lock belongs to an opened file, so threads meet each other as processes do.
        thread::scope(|scope| {
            for run in RUNS {
                let path = &path;
                scope.spawn(move || {
                    let sink = open(path, 10_000, compress);
                    begin(&sink, run);
                    for sequence in 1..=LINES {
                        sink.write(&matched(run, sequence)).expect("room");
                        if sequence % 16 == 0 {
                            assert!(sink.flush(LONG));
                        }
                    }
                });
            }
        });
        let mut all = Vec::new();
        for file in files(&path) {
            let lines = lines(&file);
            assert!(content(&file).len() as u64 <= BYTES);
            let mut known = BTreeSet::new();
            for line in &lines {
                let is_start = matches!(line.event, Event::Start(_));
                assert!(!known.insert(line.run) || is_start, "who is {}?", line.run);
            }
            all.extend(lines);
        }
        let found = sequences(&all);
        assert_eq!(found.len(), RUNS.len());
        for (run, found) in found {
            assert!(found.iter().copied().eq(1..=LINES), "{run}: {found:?}");
        }
    }
}

/// The runs whose starts stand at the top of a file.
fn named(file: &Path) -> Vec<u32> {
    let lines = lines(file);
    let starts = lines
        .iter()
        .take_while(|line| matches!(line.event, Event::Start(_)));
    starts.map(|line| line.run.0).collect()
}

#[test]
fn each_new_file_names_the_runs_that_share_the_sink_until_they_are_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let sink = open(&path, 10_000, false);
    let turn_page = |first: u64| {
        let before = files(&path).len();
        let mut sequence = first;
        while files(&path).len() == before {
            sink.write(&matched("a", sequence)).expect("room");
            assert!(sink.flush(LONG));
            sequence += 1;
        }
        sequence
    };
    begin(&sink, "a");
    begin(&sink, "b");
    let next = turn_page(1);
    assert_eq!(named(&path), [0xa, 0xb]);
    assert_eq!(parts(&lines(&path)), [2, 2]);
    // One that begins later counts its own files.
    begin(&sink, "c");
    let next = turn_page(next);
    assert_eq!(named(&path), [0xa, 0xb, 0xc]);
    assert_eq!(parts(&lines(&path)), [3, 3, 2]);
    // The counts on the way end no run.
    for (run, is_final) in [("a", false), ("b", true)] {
        let Event::Totals(mut totals) = crate::samples::totals(1, &[]) else {
            unreachable!("it is one");
        };
        totals.is_final = is_final;
        let line = crate::samples::line(run, Event::Totals(totals));
        sink.write(&line).expect("room");
    }
    let next = turn_page(next);
    assert_eq!(named(&path), [0xa, 0xc]);
    assert_eq!(parts(&lines(&path)), [4, 3]);
    // One that goes on without an end does not fill the files for ever.
    for run in ["1", "2", "3", "4", "5", "6", "7"] {
        begin(&sink, run);
    }
    turn_page(next);
    assert_eq!(named(&path), [0xc, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn runs_that_take_much_to_name_leave_room_for_lines() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let sink = open(&path, 10_000, false);
    for run in ["a", "b", "c", "d", "e"] {
        let Event::Start(mut first) = crate::samples::start(true) else {
            unreachable!("it is one");
        };
        first.primary.build = "x".repeat(1_500);
        let line = crate::samples::line(run, Event::Start(first));
        sink.write(&line).expect("room");
    }
    for sequence in 1..=100 {
        sink.write(&matched("e", sequence)).expect("room");
    }
    drop(sink);
    assert_eq!(named(&path), [0xd, 0xe]);
    assert!(lines(&path).len() > 2);
    let all: Vec<_> = files(&path).iter().flat_map(|file| lines(file)).collect();
    let found: Vec<_> = sequences(&all).into_values().flatten().collect();
    assert!(found.iter().copied().eq(1..=100), "{found:?}");
}

#[test]
fn a_line_longer_than_a_file_gets_one_of_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let sink = open(&path, 100, false);
    let Event::Start(mut first) = crate::samples::start(true) else {
        unreachable!("it is one");
    };
    first.primary.build = "x".repeat(usize::try_from(BYTES).expect("small"));
    sink.write(&crate::samples::line("a", Event::Start(first)))
        .expect("room");
    sink.write(&long("a", 1)).expect("room");
    drop(sink);
    let all: Vec<_> = files(&path).iter().flat_map(|file| lines(file)).collect();
    assert_eq!(sequences(&all).len(), 1);
}

#[test]
fn a_lock_that_another_keeps_costs_no_line_and_nobody_rotates_meanwhile() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let sink = open(&path, 3, false);
    begin(&sink, "a");
    assert!(sink.flush(LONG));
    // As one that was stopped in the middle.
    let other = fs::File::open(&path).expect("there");
    other.lock().expect("free");
    for sequence in 1..=100 {
        sink.write(&matched("a", sequence)).expect("room");
    }
    assert!(sink.flush(LONG));
    assert_eq!(names(&path), ["log"]);
    other.unlock().expect("ours");
    sink.write(&matched("a", 101)).expect("room");
    drop(sink);
    assert_eq!(names(&path), ["log.1", "log"]);
    let all: Vec<_> = files(&path).iter().flat_map(|file| lines(file)).collect();
    let found: Vec<_> = sequences(&all).into_values().flatten().collect();
    assert!(found.iter().copied().eq(1..=101), "{found:?}");
}

#[test]
fn a_log_that_keeps_all_deletes_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let sink = open(&path, Rotation::KEEP_ALL, false);
    begin(&sink, "a");
    for sequence in 1..=2_000 {
        sink.write(&matched("a", sequence)).expect("room");
    }
    drop(sink);
    let names = names(&path);
    assert!(names.len() > 12, "{names:?}");
    let lines: Vec<_> = files(&path).iter().flat_map(|file| lines(file)).collect();
    let found: usize = sequences(&lines).values().map(Vec::len).sum();
    assert_eq!(found, 2_000);
}

#[test]
fn a_log_and_its_folder_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("new/logs/log");
    let sink = open(&path, 4, true);
    begin(&sink, "a");
    for sequence in 1..=1_000 {
        sink.write(&matched("a", sequence)).expect("room");
    }
    drop(sink);
    for name in ["new", "new/logs"] {
        assert_eq!(mode(&folder.path().join(name)), 0o700, "{name}");
    }
    let files = fs::read_dir(folder.path().join("new/logs")).expect("there");
    let modes: Vec<_> = files.flatten().map(|it| mode(&it.path())).collect();
    assert!(
        modes.len() >= 4 && modes.iter().all(|mode| *mode == 0o600),
        "{modes:?}"
    );
    // Whom the operator lets read it reads on in the next file.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("our own file");
    let sink = open(&path, 4, false);
    begin(&sink, "b");
    for sequence in 1..=200 {
        sink.write(&matched("b", sequence)).expect("room");
    }
    drop(sink);
    assert_eq!(mode(&path), 0o640);
}
