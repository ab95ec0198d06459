//! The process is killed while it writes.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use btc_shadow::record::Line;
use btc_shadow::sink::{FileSink, Rotation, Sink};

use super::{LONG, begin, content, files, matched, parts, sequences, until};
use crate::samples::line;

/// Set for the child: the log's path.
const CHILD: &str = "SHADOW_LOG_CHILD";

/// Many small files, so that a kill is likely to meet them while they move on.
const ROTATION: Rotation = Rotation {
    max_file_bytes: 64 << 10,
    max_files: 10_000,
    compress: true,
};

/// The child, in its own process only: it writes until it is killed, and says what is flushed.
#[test]
fn child() {
    let Ok(path) = env::var(CHILD) else { return };
    let sink = FileSink::with(Path::new(&path), ROTATION).expect("a path that can be written");
    begin(&sink, "c");
    for sequence in 1.. {
        if sink.write(&matched("c", sequence)).is_ok() && sequence % 2_000 == 0 {
            assert!(sink.flush(LONG));
            println!("\nflushed {sequence}");
        }
    }
}

/// A child that is gone with this.
struct Killed(Child);

impl Killed {
    fn start(path: &Path) -> Self {
        let child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "log_file::killed::child", "--nocapture"])
            .env(CHILD, path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("a child"))
    }

    /// Lets it work on until it has flushed so often, kills it, and returns the last number that
    /// it said was flushed.
    fn kill_after(mut self, times: usize) -> u64 {
        let output = self.0.stdout.take().expect("piped");
        let mut said = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("flushed ")?.parse().ok());
        let mut last = 0;
        for number in said.by_ref().take(times) {
            last = number;
        }
        self.0.kill().expect("it runs");
        // What it still said before.
        said.last().unwrap_or(last)
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_process_leaves_whole_lines_and_at_most_one_torn_at_the_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    for round in 1..=6 {
        let flushed = Killed::start(&path).kill_after(round);
        assert!(flushed > 0, "the child wrote nothing");
        let all = content(&path);
        let torn = all
            .lines()
            .filter(|text| !text.is_empty() && serde_json::from_str::<Line>(text).is_err());
        // One for each process that was killed.
        assert!(torn.count() <= round);

        // The next one finds its way.
        let sink = FileSink::open(&path).expect("a path that can be written");
        sink.write(&line("d", crate::samples::start(true)))
            .expect("room");
        drop(sink);
        assert!(content(&path).ends_with("}\n"));
        // All that was flushed is there, whatever file it is in by now.
        let mut count = 0;
        for file in files(&path) {
            count += content(&file).matches("\"kind\":\"comparison\"").count() as u64;
        }
        assert!(count >= flushed, "{count} of {flushed}");
        for file in files(&path) {
            fs::remove_file(file).expect("there");
        }
    }
}

/// The whole lines of a file, and how many are torn.
fn whole_lines(file: &Path) -> (Vec<Line>, usize) {
    let text = content(file);
    let texts = text.lines().filter(|text| !text.is_empty());
    let whole: Vec<_> = texts
        .clone()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect();
    let torn = texts.count() - whole.len();
    (whole, torn)
}

/// Waits until all but the current file are compressed.
fn await_compression(path: &Path) {
    until("the older files are compressed", || {
        let mut older = files(path);
        older.pop();
        older
            .iter()
            .all(|file| file.extension().is_some_and(|it| it == "gz"))
    });
}

#[test]
fn a_compression_that_was_interrupted_is_made_up_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let mut flushed = Vec::new();
    for _ in 0..3 {
        flushed.push(Killed::start(&path).kill_after(3));
    }
    // As a killed process leaves it.
    fs::write(folder.path().join("log.gz.tmp"), "half").expect("a new file");
    let sink = FileSink::with(&path, ROTATION).expect("a path that can be written");
    await_compression(&path);
    drop(sink);
    assert!(!folder.path().join("log.gz.tmp").exists());

    let (mut all, mut torn) = (Vec::new(), 0);
    for file in files(&path) {
        let (whole, more) = whole_lines(&file);
        all.extend(whole);
        torn += more;
    }
    // One at most for each process that was killed, in whatever file.
    assert!(torn <= flushed.len(), "{torn} torn lines");
    let firsts = parts(&all).into_iter().filter(|part| *part == 1);
    assert_eq!(firsts.count(), flushed.len());
    // What each of them wrote is there once and in order, up to what it flushed at least.
    let found: Vec<_> = sequences(&all).into_values().flatten().collect();
    let mut ends = Vec::new();
    for (index, sequence) in found.iter().enumerate() {
        let next = found.get(index + 1).copied();
        match next {
            Some(next) if next == sequence + 1 => {}
            Some(1) | None => ends.push(*sequence),
            Some(next) => unreachable!("{next} follows {sequence}"),
        }
    }
    assert_eq!(ends.len(), flushed.len());
    for (end, flushed) in ends.into_iter().zip(flushed) {
        assert!(end >= flushed && flushed > 0, "{end} of {flushed}");
    }
}

#[test]
fn what_a_kill_left_between_two_renames_is_mended_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let name = |name: &str| folder.path().join(name);
    // Killed while the files moved on, when 4 had and 3 had not; and once before, when a
    // compressed file had its name and the plain one was still there.
    for (number, text) in ["6\n", "5\n", "4\n", "2\n", "1\n"].iter().enumerate() {
        let number = [0, 1, 2, 4, 5][number];
        let file = match number {
            0 => path.clone(),
            number => name(&format!("log.{number}")),
        };
        fs::write(file, text).expect("a new file");
    }
    fs::write(name("log.2.gz"), "half").expect("a new file");
    let sink = FileSink::with(&path, ROTATION).expect("a path that can be written");
    await_compression(&path);
    drop(sink);
    let names: Vec<_> = files(&path)
        .iter()
        .filter_map(|file| Some(file.file_name()?.to_str()?.to_owned()))
        .collect();
    let expected = ["log.4.gz", "log.3.gz", "log.2.gz", "log.1.gz", "log"];
    assert_eq!(names, expected);
    let texts: String = files(&path).iter().map(|file| content(file)).collect();
    assert_eq!(texts, "1\n2\n4\n5\n6\n");
}

#[test]
fn what_a_killed_compression_left_is_cleared_where_nothing_is_compressed_any_more() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    fs::write(folder.path().join("log.gz.tmp"), "half").expect("a new file");
    drop(FileSink::open(&path).expect("a path that can be written"));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}
