//! The comparison log: it can be read back, and one that cannot be written harms nobody.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use btc::shadow::analysis::{Analysis, Conclusion, Report};
use btc::shadow::compare::Verdict;
use btc::shadow::sink::{FileSink, Sink};
use btc::shadow::{Policy, Shadow};
use btc::{BitcoinImplementationType, BitcoinInterface, Config, ErrorKind, Operation};
use btc_tests::{Backend, FakeNode, Outcome, Reply, Suite, Test, failure, healthy};
use serde_json::json;
use tempfile::TempDir;

const TRIALS: &[(&str, Test)] = &[
    ("unwritable_path_is_configuration", unwritable),
    ("full_disk_is_survived_and_counted", full_disk),
    ("lines_read_back_as_they_were", read_back),
    ("log_all_false_keeps_the_counts", only_counts),
    ("unfinished_line_spoils_no_other", unfinished),
    ("two_runs_share_a_log", two_runs),
];

pub(crate) fn add(suite: &mut Suite) {
    for (name, trial) in TRIALS {
        suite.add(format!("log::{name}"), trial);
    }
}

/// A node that knows its height and nothing else.
fn node() -> FakeNode {
    FakeNode::start(|request| match request.method.as_str() {
        "getblockcount" => Reply::Result(json!(7)),
        "getrawtransaction" => Reply::Error(-5, "No such mempool or blockchain transaction"),
        _ => healthy(request),
    })
}

/// Longer than a disk takes.
const LONG: Duration = Duration::from_mins(1);

/// Shadow mode over the Rust implementation twice, which agrees with itself.
fn shadow(node: &FakeNode, log: &Path, log_all: bool) -> btc::BitcoinResult<Shadow> {
    let sink = FileSink::open(log)?;
    shadow_into(node, Box::new(sink), log_all)
}

fn shadow_into(node: &FakeNode, sink: Box<dyn Sink>, log_all: bool) -> btc::BitcoinResult<Shadow> {
    let one = Backend::Rust.connect(&node.config())?;
    Ok(Shadow::new(
        Arc::clone(&one),
        one,
        Policy::default(),
        sink,
        log_all,
    ))
}

fn report(log: &Path) -> btc::BitcoinResult<Report> {
    let mut analysis = Analysis::default();
    analysis.read_file(log, &mut |_| {})?;
    Ok(analysis.finish())
}

fn call(shadow: &Shadow, times: u32) -> Outcome {
    for _ in 0..times {
        assert_eq!(shadow.get_block_height()?, 7);
        let unknown = shadow.get_transaction(&"00".repeat(32));
        failure(unknown, ErrorKind::NotFound, "unknown");
    }
    Ok(())
}

fn unwritable() -> Outcome {
    let folder = TempDir::new()?;
    let file = folder.path().join("file");
    fs::write(&file, "kept")?;
    let node = node();
    for path in [
        folder.path().to_owned(),
        file.join("log"),
        file.join("deeper/log"),
        "/proc/nowhere/log".into(),
    ] {
        let error = failure(FileSink::open(&path), ErrorKind::Configuration, "open");
        assert_eq!(error.operation(), Operation::Log);
        assert!(error.to_string().contains("LOG_FILE"), "{error}");
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
        // The same through the facade, before any call is made.
        let text = path.display().to_string();
        let config = Config::from_sources(
            |name| match name {
                "SHADOW_MODE" => Some("true".to_owned()),
                "LOG_FILE" => Some(text.clone()),
                "BITCOIN_NETWORK" => Some("regtest".to_owned()),
                "BITCOIN_RPC_URL" => Some(node.config().url),
                _ => None,
            },
            None,
        )?;
        failure(btc::connect(&config), ErrorKind::Configuration, "connect");
    }
    let left: Vec<_> = folder.path().read_dir()?.flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read_to_string(file)?, "kept");
    Ok(())
}

/// This device takes an open and refuses each write, as a full disk does.
fn full_disk() -> Outcome {
    let node = node();
    let sink = Arc::new(FileSink::open(Path::new("/dev/full"))?);
    let shadow = shadow_into(&node, Box::new(Arc::clone(&sink)), true)?;
    let books = shadow.books();
    call(&shadow, 5)?;
    assert_eq!(
        shadow.implementation_type(),
        BitcoinImplementationType::Rust
    );
    drop(shadow);
    let counts = books.counts();
    assert!(counts.close());
    assert_eq!(counts.total(Verdict::Match), 10);
    // The start, ten comparisons, the totals: taken into memory, and lost with the end.
    assert!(sink.close(LONG));
    assert_eq!(sink.lost_lines(), 12);
    assert_eq!((sink.tally().accepted, sink.tally().pending()), (12, 0));
    Ok(())
}

fn read_back() -> Outcome {
    let folder = TempDir::new()?;
    let log = folder.path().join("made/on/the/way/shadow.log");
    let node = node();
    let sink = Arc::new(FileSink::open(&log)?);
    let shadow = shadow_into(&node, Box::new(Arc::clone(&sink)), true)?;
    call(&shadow, 50)?;
    assert!(sink.flush(LONG));
    // A log can be read while it is written; it only lacks its end.
    let early = report(&log)?;
    assert_eq!((early.compared, early.problem_count), (100, 1));
    drop(shadow);
    assert!(sink.flush(LONG));
    let report = report(&log)?;
    assert_eq!(report.conclusion, Conclusion::Agree);
    assert_eq!((report.compared, report.mismatches), (100, 0));
    assert_eq!((report.lines, report.runs), (102, 1));
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    assert_eq!(report.compatibility_ppm, Some(1_000_000));
    let transactions = &report.operations[0];
    assert_eq!(transactions.operation, Operation::GetTransaction);
    assert_eq!((transactions.calls, transactions.distinct_inputs), (50, 1));
    for line in fs::read_to_string(&log)?.lines() {
        let value: serde_json::Value = serde_json::from_str(line)?;
        assert_eq!(value["version"], 3, "{line}");
    }
    Ok(())
}

fn only_counts() -> Outcome {
    let folder = TempDir::new()?;
    let log = folder.path().join("shadow.log");
    let node = node();
    let shadow = shadow(&node, &log, false)?;
    call(&shadow, 20)?;
    drop(shadow);
    assert_eq!(fs::read_to_string(&log)?.lines().count(), 2);
    let report = report(&log)?;
    assert_eq!((report.compared, report.problem_count), (40, 0));
    assert_eq!(report.conclusion, Conclusion::Agree);
    Ok(())
}

fn unfinished() -> Outcome {
    let folder = TempDir::new()?;
    let log = folder.path().join("shadow.log");
    let node = node();
    let first = shadow(&node, &log, true)?;
    call(&first, 1)?;
    drop(first);
    let whole = fs::read(&log)?;
    fs::write(&log, &whole[..whole.len() - 40])?;
    let cut = report(&log)?;
    assert_eq!(cut.compared, 2);
    assert!(cut.problem_count >= 1, "a cut line is named");
    let second = shadow(&node, &log, true)?;
    call(&second, 1)?;
    drop(second);
    let report = report(&log)?;
    assert_eq!((report.compared, report.runs), (4, 2));
    // The cut line, and the totals that it was.
    assert_eq!(report.problem_count, 2, "{:?}", report.problems);
    Ok(())
}

fn two_runs() -> Outcome {
    let folder = TempDir::new()?;
    let log = folder.path().join("shadow.log");
    let node = node();
    // Runs are told apart by when they began, to the millisecond.
    let first = shadow(&node, &log, true)?;
    std::thread::sleep(std::time::Duration::from_millis(5));
    let second = shadow(&node, &log, true)?;
    std::thread::scope(|scope| {
        let threads = [&first, &second].map(|shadow| scope.spawn(|| call(shadow, 100)));
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Outcome::Ok(())
    })?;
    drop((first, second));
    let report = report(&log)?;
    assert_eq!((report.compared, report.runs), (400, 2));
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    Ok(())
}
