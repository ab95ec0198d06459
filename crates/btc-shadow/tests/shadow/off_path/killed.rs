//! A process with shadow mode in it is killed while its log is in the middle of a line.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use btc_shadow::analysis::{Analysis, Report};
use btc_shadow::sink::{FileSink, Sink};

use super::log::{LONG_ENOUGH, pipe};
use super::*;

/// Set for the child: the log's path, which is a pipe that nobody reads.
const CHILD: &str = "SHADOW_KILLED_CHILD";
/// What the parent writes after the child's last bytes.
const END: &[u8] = b"\n--end--\n";

fn shadow(log: &Path) -> (Shadow, Arc<FileSink>) {
    let sink = Arc::new(FileSink::open(log).expect("a path that can be written"));
    let shadow = Shadow::new(
        Arc::new(Double::new(Python, |_, _| Ok(5))),
        Arc::new(Double::new(Rust, |_, _| Ok(5))),
        Policy::default(),
        Box::new(Arc::clone(&sink)),
        true,
    );
    (shadow.off_path(quick()).expect("threads"), sink)
}

/// The child, in its own process only: it calls until it is killed, and says when its log hangs
/// and how many calls were answered since.
#[test]
fn child() {
    let Ok(path) = env::var(CHILD) else { return };
    let (shadow, sink) = shadow(Path::new(&path));
    for _ in 0..LONG_ENOUGH {
        ask(&shadow, 1);
    }
    let books = shadow.books();
    until("all are compared", || {
        books.counts().total(Verdict::Match) == LONG_ENOUGH
    });
    // Never true: the writer fills the pipe meanwhile.
    assert!(!sink.flush(Duration::from_secs(1)));
    println!("\nhangs");
    for answered in 1_u64.. {
        ask(&shadow, 1);
        if answered.is_multiple_of(100) {
            println!("\nanswered {answered}");
        }
    }
}

/// A child that is gone with this.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a child until its log hangs and it has answered calls since, and kills it: what it wrote.
fn killed_in_a_line(folder: &Path) -> Vec<u8> {
    let path = folder.join("pipe");
    let mut end = pipe(&path);
    let child = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "off_path::killed::child", "--nocapture"])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Killed(child.expect("a child"));
    let output = child.0.stdout.take().expect("piped");
    let said = BufReader::new(output).lines().map_while(Result::ok);
    let mut said = said.skip_while(|line| line != "hangs");
    // Callers are answered while the line is half written.
    let answered = said.find(|line| line == "answered 1000");
    assert!(answered.is_some(), "it ends by itself");
    child.0.kill().expect("it runs");
    child.0.wait().expect("it is ours");

    let mut reading = end.try_clone().expect("the same pipe");
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        let mut part = [0; 4096];
        while !all.ends_with(END) {
            let taken = reading.read(&mut part).expect("a pipe");
            all.extend_from_slice(&part[..taken]);
        }
        all.truncate(all.len() - END.len());
        all
    });
    end.write_all(END).expect("a pipe that is read");
    reader.join().expect("a reader")
}

fn report(log: &Path) -> Report {
    let mut analysis = Analysis::default();
    analysis.read_file(log, &mut |_| {}).expect("there");
    analysis.finish()
}

#[test]
fn a_kill_in_the_middle_of_a_line_costs_that_line_and_what_was_not_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = killed_in_a_line(folder.path());
    assert!(!written.ends_with(b"\n"), "the kill met the end of a line");
    let log = folder.path().join("log");
    fs::write(&log, &written).expect("a new file");
    let whole = String::from_utf8_lossy(&written);
    let compared = whole.matches("\"kind\":\"comparison\"").count() as u64;
    assert!(compared > 100, "{compared}");

    let cut = report(&log);
    assert_eq!((cut.runs, cut.unusable_lines, cut.unended_runs), (1, 1, 1));
    // The torn line may be one of them, and counts for nothing.
    assert!(
        compared - cut.compared <= 1,
        "{} of {compared}",
        cut.compared
    );
    assert_eq!((cut.mismatches, cut.repeated_lines), (0, 0));
    let complaints: Vec<_> = cut.problems.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(complaints[0], "the line is unfinished");
    assert!(complaints[1].contains("or was killed"), "{complaints:?}");

    // The next run begins on a line of its own, and adds to what there is.
    let (shadow, sink) = shadow(&log);
    ask(&shadow, 10);
    let books = shadow.books();
    assert!(shadow.finish(PATIENCE));
    drop(shadow);
    assert!(books.counts().close());
    assert!(sink.close(PATIENCE));
    let both = report(&log);
    assert_eq!(
        (both.runs, both.unusable_lines, both.unended_runs),
        (2, 1, 1)
    );
    assert_eq!(both.compared, cut.compared + 10);
    // Two workers: a number may be missing whose line would have come next.
    assert_eq!(both.unaccounted, cut.unaccounted);
    assert!(both.unaccounted <= 2, "{}", both.unaccounted);
}
