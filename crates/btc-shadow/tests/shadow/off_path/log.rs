//! What befalls the log on disk: calls go on meanwhile, and each of them stays counted.

use std::fs;
use std::path::Path;
use std::process::Command;

use btc_shadow::analysis::Analysis;
use btc_shadow::record::Line;
use btc_shadow::sink::{FileSink, Sink};
use tempfile::TempDir;

use super::*;

/// Calls before the log is befallen, and while that holds.
const BEFORE: u64 = 20;
const MEANWHILE: u64 = 200;
/// What a run without reports writes: its start, the comparisons, the last totals.
const LINES: u64 = 1 + BEFORE + MEANWHILE + 1;

/// Calls whose lines are more than a pipe holds that nobody reads, which are 64 KiB.
pub(super) const LONG_ENOUGH: u64 = 2_000;

/// Longer than a disk that works takes.
const LONG: Duration = Duration::from_mins(1);

/// A run whose log is befallen in the middle.
struct Run {
    shadow: Shadow,
    sink: Arc<FileSink>,
}

impl Run {
    fn begin(log: &Path) -> Self {
        let sink = Arc::new(FileSink::open(log).expect("a path that can be written"));
        let shadow = Shadow::new(
            Arc::new(Double::new(Python, |_, _| Ok(5))),
            Arc::new(Double::new(Rust, |_, _| Ok(5))),
            Policy::default(),
            Box::new(Arc::clone(&sink)),
            true,
        );
        let shadow = shadow.off_path(quick()).expect("threads");
        let run = Self { shadow, sink };
        run.compare(BEFORE);
        run
    }

    /// Calls that are answered and compared, whatever becomes of their lines.
    fn compare(&self, calls: u64) {
        let books = self.shadow.books();
        let before = books.counts().total(Verdict::Match);
        for _ in 0..calls {
            ask(&self.shadow, 1);
        }
        until("all are compared", || {
            books.counts().total(Verdict::Match) == before + calls
        });
    }

    /// Ends it; how many lines are in the log, and how many are lost.
    fn end(self) -> (u64, u64) {
        let books = self.shadow.books();
        assert!(self.shadow.finish(PATIENCE));
        drop(self.shadow);
        let counts = books.counts();
        assert!(counts.close(), "{counts:?}");
        assert_eq!(counts.total_offered(), BEFORE + MEANWHILE);
        assert_eq!(counts.total(Verdict::Match), BEFORE + MEANWHILE);
        self.sink.close(Duration::from_millis(20));
        let tally = self.sink.tally();
        assert_eq!(tally.pending(), 0);
        (tally.written, counts.lost_lines + self.sink.lost_lines())
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn a_full_disk_costs_lines_and_no_call() {
    let run = Run::begin(Path::new("/dev/full"));
    run.compare(MEANWHILE);
    assert!(!run.sink.flush(Duration::from_millis(20)), "it is full");
    assert_eq!(run.end(), (0, LINES));
}

#[test]
fn a_deleted_file_costs_what_was_in_it_and_no_call() {
    let folder = folder();
    let log = folder.path().join("log");
    let run = Run::begin(&log);
    assert!(run.sink.flush(LONG));
    fs::remove_file(&log).expect("there");
    run.compare(MEANWHILE);
    assert_eq!(run.end(), (LINES, 0));
    // The totals know of those that went with the file.
    let mut analysis = Analysis::default();
    analysis.read_file(&log, &mut |_| {}).expect("there");
    let report = analysis.finish();
    assert_eq!(report.compared, BEFORE + MEANWHILE);
    assert_eq!((report.unaccounted, report.unended_runs), (0, 0));
    let lacks = format!("lacks {BEFORE} of its lines");
    let complaint = &report.problems[0].what;
    assert!(complaint.ends_with(&lacks), "{complaint}");
}

#[test]
fn a_folder_that_cannot_be_written_costs_lines_and_no_call() {
    let home = folder();
    let folder = home.path().join("logs");
    let run = Run::begin(&folder.join("log"));
    assert!(run.sink.flush(LONG));
    // A file in the folder's place: not even a superuser can write below it.
    fs::rename(&folder, home.path().join("away")).expect("there");
    fs::write(&folder, "in the way").expect("a new file");
    run.compare(MEANWHILE);
    assert!(!run.sink.flush(Duration::from_millis(20)), "it cannot be");
    assert_eq!(run.end(), (1 + BEFORE, MEANWHILE + 1));
}

#[test]
fn a_disk_that_hangs_costs_lines_and_no_call() {
    let folder = folder();
    let log = folder.path().join("pipe");
    let end = pipe(&log);
    let run = Run::begin(&log);
    run.compare(LONG_ENOUGH);
    assert!(!run.sink.flush(Duration::from_secs(1)), "it hangs");
    for _ in 0..MEANWHILE {
        ask(&run.shadow, 1);
    }
    let books = run.shadow.books();
    assert!(run.shadow.finish(PATIENCE));
    drop(run.shadow);
    let counts = books.counts();
    assert!(counts.close(), "{counts:?}");
    assert_eq!(
        counts.total(Verdict::Match),
        BEFORE + LONG_ENOUGH + MEANWHILE
    );
    assert!(!run.sink.close(Duration::from_millis(20)), "it hangs");
    let lost = counts.lost_lines + run.sink.lost_lines();
    // Totals stand in the log after every thousand comparisons, too.
    let lines = LINES + LONG_ENOUGH + (BEFORE + LONG_ENOUGH + MEANWHILE) / 1_000;
    assert_eq!(run.sink.tally().written + lost, lines);
    // Lets the writer go.
    drop(end);
}

/// A pipe in place of a log, and an end of it that keeps it open.
pub(super) fn pipe(path: &Path) -> fs::File {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()));
    let mut both = fs::File::options();
    both.read(true).write(true).open(path).expect("a pipe")
}

#[test]
fn the_last_line_is_there_as_soon_as_the_interface_is_gone() {
    let folder = folder();
    let log = folder.path().join("log");
    for runs in 1..=20 {
        let run = Run::begin(&log);
        let Run { shadow, sink } = run;
        drop(sink);
        drop(shadow);
        // A program may end now.
        let text = fs::read_to_string(&log).expect("there");
        let lines = text.lines().map(serde_json::from_str::<Line>);
        let finals = lines.filter(|line| match line.as_ref().map(|line| &line.event) {
            Ok(Event::Totals(totals)) => totals.is_final,
            _ => false,
        });
        assert_eq!(finals.count(), runs);
    }
}
