//! The log on disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use btc_iface::{ErrorKind, Operation};
use btc_shadow::compare::Verdict;
use btc_shadow::record::{Event, Line, RunId};
use btc_shadow::sink::{FileSink, MemorySink, Sink, Tee};

use crate::log_file::{LONG, until};
use crate::samples::{comparison, line, start, text};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(path: &Path, lines: &[Line]) {
    let sink = FileSink::open(path).expect("a path that can be written");
    for line in lines {
        sink.write(line).expect("a disk with room");
    }
}

#[test]
fn lines_are_appended_to_what_is_there() {
    let folder = folder();
    let path = folder.path().join("log");
    let first = line("a", start(true));
    let second = line("b", comparison(1, Verdict::Match));
    write(&path, std::slice::from_ref(&first));
    write(&path, std::slice::from_ref(&second));
    let expected = [text(&first), text(&second)].concat();
    assert_eq!(fs::read(&path).expect("the log"), expected);
}

#[test]
fn opening_changes_nothing_in_a_log_that_is_whole() {
    let folder = folder();
    let path = folder.path().join("log");
    for content in ["", "one\n"] {
        fs::write(&path, content).expect("a new file");
        write(&path, &[]);
        assert_eq!(fs::read_to_string(&path).expect("the log"), content);
    }
}

#[test]
fn a_line_that_was_left_unfinished_is_ended_first() {
    let folder = folder();
    let path = folder.path().join("log");
    fs::write(&path, b"{\"version\":1,\"run\":\"dead").expect("a new file");
    let next = line("b", start(true));
    write(&path, std::slice::from_ref(&next));
    let expected = [b"{\"version\":1,\"run\":\"dead\n".to_vec(), text(&next)].concat();
    assert_eq!(fs::read(&path).expect("the log"), expected);
}

#[test]
fn the_folders_on_the_way_are_made() {
    let folder = folder();
    let path = folder.path().join("not/there/yet.log");
    write(&path, &[line("a", start(true))]);
    assert!(path.is_file());
}

#[test]
fn a_path_that_cannot_be_written_is_an_error_of_configuration_that_names_log_file() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a new file");
    // A folder, and a path through a file: not even a superuser can write there.
    for path in [folder.path().to_path_buf(), file.join("log")] {
        let error = FileSink::open(&path).expect_err("it cannot be written");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(error.operation(), Operation::Log);
        assert!(error.message().contains("LOG_FILE"), "{error}");
        let path = path.display().to_string();
        assert_eq!(error.context(), [("LOG_FILE".to_owned(), path)]);
        assert_eq!(error.causes().count(), 1);
    }
}

#[test]
fn lines_of_many_threads_do_not_mix_and_all_are_counted() {
    const THREADS: u64 = 64;
    const LINES: u64 = 200;
    let folder = folder();
    let path = folder.path().join("log");
    let sink = FileSink::open(&path).expect("a path that can be written");
    thread::scope(|scope| {
        for number in 0..THREADS {
            let sink = &sink;
            scope.spawn(move || {
                for sequence in 1..=LINES {
                    let event = comparison(sequence, Verdict::Mismatch);
                    sink.write(&line(&format!("{number:x}"), event))
                        .expect("room");
                }
            });
        }
    });
    assert!(sink.flush(LONG));
    let tally = sink.tally();
    assert_eq!(tally.written, THREADS * LINES);
    assert_eq!((tally.pending(), tally.lost, tally.refused), (0, 0, 0));
    let content = fs::read_to_string(&path).expect("the log");
    let mut sequences = BTreeMap::<RunId, Vec<u64>>::new();
    for text in content.lines() {
        let line: Line = serde_json::from_str(text).expect("a whole line");
        let Event::Comparison(comparison) = line.event else {
            unreachable!("only comparisons were written");
        };
        sequences
            .entry(line.run)
            .or_default()
            .push(comparison.sequence);
    }
    assert_eq!(sequences.len() as u64, THREADS);
    for written in sequences.values() {
        // Each thread's lines stand in their order.
        assert!(written.iter().copied().eq(1..=LINES), "{written:?}");
    }
}

#[test]
fn what_was_taken_is_written_by_itself_and_at_the_end() {
    let folder = folder();
    let path = folder.path().join("log");
    let sink = FileSink::open(&path).expect("a path that can be written");
    sink.write(&line("a", start(true))).expect("room");
    // Nobody flushes.
    let is_written =
        || fs::read(&path).is_ok_and(|content| content == text(&line("a", start(true))));
    until("the line is in the file", is_written);
    sink.write(&line("a", comparison(1, Verdict::Match)))
        .expect("room");
    assert!(sink.close(LONG));
    assert_eq!(sink.tally().written, 2);
    // Closed, it takes none.
    let late = sink.write(&line("a", comparison(2, Verdict::Match)));
    assert!(late.is_err());
    assert_eq!((sink.tally().accepted, sink.tally().refused), (2, 1));
    assert_eq!(sink.lost_lines(), 0);
}

#[test]
fn a_sink_in_a_tee_or_shared_is_flushed_and_asked_what_it_lost() {
    struct Lost(u64, bool);
    impl Sink for Lost {
        fn write(&self, _line: &Line) -> io::Result<()> {
            Ok(())
        }
        fn lost_lines(&self) -> u64 {
            self.0
        }
        fn flush(&self, _within: Duration) -> bool {
            self.1
        }
    }
    let tee = Arc::new(Tee(
        Lost(2, false),
        Tee(Lost(3, true), MemorySink::default()),
    ));
    assert_eq!(tee.lost_lines(), 5);
    assert!(!tee.flush(LONG));
    assert!(tee.1.flush(LONG));
}

#[test]
fn no_secret_gets_into_the_file() {
    let key = "L1aW4aubDFB7yfras2S1mN3bqg9nwySY8nkoLmJebSLD5BWv3ENZ";
    let folder = folder();
    let path = folder.path().join("log");
    let Event::Comparison(mut found) = comparison(1, Verdict::Mismatch) else {
        unreachable!("it is one");
    };
    found.differences[0].primary = format!("{key} and more");
    found.reason = Some(format!("rpcpassword={key}").into());
    write(&path, &[line("a", Event::Comparison(found))]);
    let content = fs::read_to_string(&path).expect("the log");
    assert!(!content.contains(&key[..20]), "{content}");
    assert!(content.contains("[redacted] and more"), "{content}");
}
