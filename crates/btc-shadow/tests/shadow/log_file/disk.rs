//! A full disk: a small file system of its own, where that may be mounted, and `/dev/full`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use btc_shadow::record::Line;
use btc_shadow::sink::{FileSink, Sink};
use tempfile::TempDir;

use super::{LONG, begin, gaps, lines, long, matched, sequences, until};

struct Disk(TempDir);

impl Disk {
    fn mount(kib: u32) -> Option<Self> {
        let place = tempfile::tempdir().expect("a folder for the test");
        let size = format!("size={kib}k");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(place.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(place));
        }
        println!("skipped: mounting a small tmpfs takes root");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file that leaves this many KiB free; removing it frees the rest.
    fn fill(&self, free_kib: u64) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).expect("room for an empty file");
        while file.write_all(&[0; 4096]).is_ok() {}
        let length = file.metadata().expect("open").len();
        file.set_len(length.saturating_sub(free_kib << 10))
            .expect("shorter");
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "still in use");
    }
}

/// The lines between two attempts of the writer: within one, a part of a line may be there.
fn lines_between(path: &Path) -> Vec<Line> {
    let file = File::open(path).expect("there");
    // The writer's own; gone with the file.
    file.lock().expect("a file system with locks");
    lines(path)
}

#[test]
fn lines_wait_for_room_and_what_did_not_fit_is_marked() {
    let Some(disk) = Disk::mount(64 << 10) else {
        return;
    };
    let path = disk.path().join("log");
    let sink = FileSink::open(&path).expect("an empty disk");
    begin(&sink, "a");
    assert!(sink.flush(LONG));
    let filler = disk.fill(8);
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

#[test]
fn no_part_of_a_line_is_left_at_the_end_of_a_full_disk() {
    let Some(disk) = Disk::mount(1 << 10) else {
        return;
    };
    let path = disk.path().join("log");
    let sink = FileSink::open(&path).expect("an empty disk");
    for round in 1..=5 {
        let filler = disk.fill(4 * round);
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
