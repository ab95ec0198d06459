//! The log on disk.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use btc_iface::{ErrorKind, Operation};
use btc_shadow::compare::Verdict;
use btc_shadow::record::Line;
use btc_shadow::sink::{FileSink, Sink};

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
fn lines_of_several_threads_do_not_mix() {
    const THREADS: u64 = 8;
    const LINES: u64 = 100;
    let folder = folder();
    let path = folder.path().join("log");
    let sink = Arc::new(FileSink::open(&path).expect("a path that can be written"));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let sink = &sink;
            scope.spawn(move || {
                for sequence in 1..=LINES {
                    let event = comparison(sequence, Verdict::Mismatch);
                    sink.write(&line(&number.to_string(), event))
                        .expect("a disk with room");
                }
            });
        }
    });
    let content = fs::read_to_string(&path).expect("the log");
    let lines: Vec<Line> = content
        .lines()
        .map(|text| serde_json::from_str(text).expect("a whole line"))
        .collect();
    assert_eq!(lines.len() as u64, THREADS * LINES);
}
