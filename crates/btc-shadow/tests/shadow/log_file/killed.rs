//! The process is killed while it writes.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use btc_shadow::sink::{FileSink, Rotation, Sink};

use super::{LONG, begin, content, files, lines, matched, parts};
use crate::samples::line;

/// Set for the child: the log's path.
const CHILD: &str = "SHADOW_LOG_CHILD";

/// The child, in its own process only: it writes until it is killed, and says what is flushed.
#[test]
fn child() {
    let Ok(path) = env::var(CHILD) else { return };
    let rotation = Rotation {
        max_file_bytes: 64 << 10,
        max_files: 10_000,
        compress: true,
    };
    let sink = FileSink::with(Path::new(&path), rotation).expect("a path that can be written");
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
        let torn = all.lines().filter(|text| {
            !text.is_empty() && serde_json::from_str::<btc_shadow::record::Line>(text).is_err()
        });
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

#[test]
fn a_compression_that_was_interrupted_is_made_up_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    for _ in 0..3 {
        assert!(Killed::start(&path).kill_after(3) > 0);
    }
    // As a killed process leaves it.
    fs::write(folder.path().join("log.gz.tmp"), "half").expect("a new file");
    let rotation = Rotation {
        max_file_bytes: 64 << 10,
        max_files: 10_000,
        compress: true,
    };
    let sink = FileSink::with(&path, rotation).expect("a path that can be written");
    super::until("the older files are compressed", || {
        let mut older = files(&path);
        older.pop();
        older
            .iter()
            .all(|file| file.extension().is_some_and(|it| it == "gz"))
    });
    drop(sink);
    assert!(!folder.path().join("log.gz.tmp").exists());
    let starts: Vec<_> = files(&path)
        .iter()
        .map(|file| {
            // Torn lines are in older files, too, where one was killed.
            let text = content(file);
            let whole = text
                .lines()
                .filter_map(|text| serde_json::from_str(text).ok());
            parts(&whole.collect::<Vec<_>>())
        })
        .collect();
    assert!(starts.iter().flatten().filter(|part| **part == 1).count() == 3);
    assert!(!lines(&path).is_empty() || !starts.is_empty());
}
