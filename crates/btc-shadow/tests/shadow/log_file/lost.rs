//! The file or its folder is deleted, moved or made useless while it is written to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use btc_shadow::sink::{FileSink, Sink};

use super::{LONG, begin, lines, matched, parts, sequences};

#[test]
fn a_deleted_file_is_made_anew_and_says_who_is_compared() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("not/there/log");
    let sink = FileSink::open(&path).expect("a new file");
    begin(&sink, "a");
    for sequence in 1..=9 {
        sink.write(&matched("a", sequence)).expect("room");
        assert!(sink.flush(LONG));
        match sequence {
            3 => fs::remove_file(&path).expect("there"),
            6 => fs::remove_dir_all(folder.path().join("not")).expect("there"),
            _ => {}
        }
    }
    assert_eq!(sink.tally().written, 10);
    let lines = lines(&path);
    assert_eq!(parts(&lines), [3]);
    let found: Vec<_> = sequences(&lines).into_values().flatten().collect();
    assert_eq!(found, [7, 8, 9]);
}

#[test]
fn a_file_that_was_moved_away_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let moved = folder.path().join("log.old");
    let sink = FileSink::open(&path).expect("a new file");
    begin(&sink, "a");
    sink.write(&matched("a", 1)).expect("room");
    assert!(sink.flush(LONG));
    fs::rename(&path, &moved).expect("there");
    sink.write(&matched("a", 2)).expect("room");
    drop(sink);
    assert_eq!(lines(&moved).len(), 2);
    assert_eq!(parts(&lines(&path)), [2]);
    assert_eq!(lines(&path).len(), 2);
}

#[test]
fn lines_wait_for_a_folder_that_cannot_be_used() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let folder = home.path().join("logs");
    let path = folder.join("log");
    let sink = FileSink::open(&path).expect("a new file");
    begin(&sink, "a");
    assert!(sink.flush(LONG));
    // A file in the folder's place: not even a superuser can write below it.
    fs::rename(&folder, home.path().join("away")).expect("there");
    fs::write(&folder, "in the way").expect("a new file");
    for sequence in 1..=5 {
        sink.write(&matched("a", sequence)).expect("room in memory");
    }
    assert!(!sink.flush(std::time::Duration::from_millis(20)));
    assert_eq!(sink.tally().pending(), 5);
    fs::remove_file(&folder).expect("there");
    assert!(sink.flush(LONG));
    let found: Vec<_> = sequences(&lines(&path)).into_values().flatten().collect();
    assert_eq!(found, [1, 2, 3, 4, 5]);
    assert_eq!((sink.tally().refused, sink.lost_lines()), (0, 0));
}

#[test]
fn a_file_that_others_move_on_meanwhile_can_be_opened() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // There is nothing to be moved, at times.
                let _ = fs::rename(&path, folder.path().join("moved"));
            }
        });
        let opened: Vec<_> = (0..200).map(|_| FileSink::open(&path).map(drop)).collect();
        is_over.store(true, Ordering::Relaxed);
        let failed = opened.into_iter().filter_map(Result::err);
        assert_eq!(failed.map(|it| it.to_string()).next(), None);
    });
}

#[test]
fn behind_a_link_the_file_itself_is_written_to() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (link, path) = (folder.path().join("link"), folder.path().join("file"));
    symlink(&path, &link).expect("a new link");
    let sink = FileSink::open(&link).expect("a file to be made");
    begin(&sink, "a");
    assert!(sink.flush(LONG));
    fs::remove_file(&path).expect("there");
    sink.write(&matched("a", 1)).expect("room");
    drop(sink);
    assert!(link.is_symlink());
    assert_eq!(lines(&link).len(), 2);
}

#[test]
fn a_run_that_begins_in_a_deleted_file_begins_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let sink = FileSink::open(&path).expect("a new file");
    fs::remove_file(&path).expect("there");
    begin(&sink, "a");
    drop(sink);
    assert_eq!(parts(&lines(&path)), [1]);
}

#[test]
fn what_a_full_disk_never_took_is_lost_at_the_end() {
    // A device that refuses each write.
    let sink = FileSink::open(Path::new("/dev/full")).expect("it can be opened");
    begin(&sink, "a");
    for sequence in 1..=9 {
        sink.write(&matched("a", sequence)).expect("room in memory");
    }
    assert_eq!(sink.lost_lines(), 0, "there may be room yet");
    assert!(sink.close(LONG));
    assert_eq!(sink.lost_lines(), 10);
    let tally = sink.tally();
    assert_eq!((tally.accepted, tally.written, tally.pending()), (10, 0, 0));
}
