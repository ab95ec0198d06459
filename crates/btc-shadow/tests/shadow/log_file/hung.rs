//! A disk that hangs: a pipe that nobody reads.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use btc_shadow::record::Line;
use btc_shadow::sink::{FileSink, Sink};
use tempfile::TempDir;

use super::{LONG, begin, gaps, long, matched, sequences};

/// A pipe, and an end of it that keeps it open.
fn pipe() -> (TempDir, PathBuf, File) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()));
    let mut both = File::options();
    let end = both.read(true).write(true).open(&path).expect("a pipe");
    (folder, path, end)
}

#[test]
fn nobody_waits_for_a_disk_that_hangs_and_all_is_accounted_for() {
    let (_folder, path, end) = pipe();
    let sink = FileSink::open(&path).expect("a pipe");
    begin(&sink, "a");
    let mut refused = 0;
    let mut sequence = 0;
    while refused < 100 {
        sequence += 1;
        refused += u64::from(sink.write(&long("a", sequence)).is_err());
    }
    assert!(!sink.flush(Duration::from_millis(20)), "it hangs");
    let tally = sink.tally();
    assert_eq!(tally.refused, refused);
    assert_eq!(tally.accepted + refused, 1 + sequence);

    // It comes back.
    let reader = thread::spawn(move || {
        let mut lines = Vec::new();
        for text in BufReader::new(end).lines() {
            let text = text.expect("text");
            if text == "end" {
                break;
            }
            lines.push(serde_json::from_str::<Line>(&text).expect("a whole line"));
        }
        lines
    });
    assert!(sink.flush(LONG));
    sink.write(&matched("a", sequence + 1)).expect("room");
    assert!(sink.close(LONG));
    std::fs::write(&path, "end\n").expect("a pipe that is read");
    let lines = reader.join().expect("a reader");
    let tally = sink.tally();
    assert_eq!((tally.written, tally.lost), (tally.accepted, 0));
    assert_eq!(lines.len() as u64, tally.written);
    let (lost, reason) = gaps(&lines);
    assert_eq!(lost, refused);
    let reason = reason.expect("a gap");
    assert!(reason.contains("faster than the disk"), "{reason}");
    let compared: usize = sequences(&lines).values().map(Vec::len).sum();
    assert_eq!(compared as u64 + refused, sequence + 1);
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let (_folder, path, end) = pipe();
    let sink = FileSink::open(&path).expect("a pipe");
    for sequence in 1..=200 {
        sink.write(&long("a", sequence)).expect("room in memory");
    }
    assert!(!sink.close(Duration::from_millis(20)), "it hangs");
    let tally = sink.tally();
    assert_eq!((tally.pending(), tally.written + tally.lost), (0, 200));
    assert!(sink.lost_lines() > 0);
    // Lets the writer go.
    drop(end);
    drop(sink);
}
