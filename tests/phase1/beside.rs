//! What goes wrong beside a live primary, off its path: its answers stay, and the books close.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use btc::python::{PythonBitcoin, PythonConfig, PythonMode};
use btc::shadow::compare::Verdict;
use btc::shadow::sink::FileSink;
use btc::shadow::{Books, LeftOut, OffPath, Policy, Shadow};
use btc::{BitcoinInterface, BitcoinTransaction};
use btc_tests::{Backend, Fixture, Outcome, Suite, bounded, python_config};

use crate::Phase;

/// Far more than any of these takes.
const LIMIT: Duration = Duration::from_mins(2);
/// A secondary that does not answer never works its queue off, so that the end takes all the time
/// it may. The books must close all the same.
const DRAIN: Duration = Duration::from_millis(300);
const THREADS: usize = 64;
const ROUNDS: usize = 20;

type Honest = (Arc<dyn BitcoinInterface>, String, BitcoinTransaction);

/// A class that cannot answer, where it runs, and whether the breaker must have opened.
const CLASSES: &[(&str, PythonMode, bool)] = &[
    ("Raises", PythonMode::Embedded, false),
    ("Hangs", PythonMode::Embedded, true),
    ("WrongType", PythonMode::Embedded, false),
    ("NotANumber", PythonMode::Embedded, false),
    ("Huge", PythonMode::Embedded, false),
    ("Exits", PythonMode::Embedded, false),
    ("Raises", PythonMode::Worker, false),
    ("Hangs", PythonMode::Worker, true),
    ("Huge", PythonMode::Worker, false),
    ("Exits", PythonMode::Worker, false),
    ("Dies", PythonMode::Worker, true),
];

type Trial = fn(&Fixture) -> Outcome;

const KILLS: [(&str, Trial); 2] = [
    ("workers_that_are_killed_come_back", killed),
    (
        "workers_killed_at_each_start_wait_longer",
        killed_at_each_start,
    ),
];

/// In place of the package: it counts the starts in its folder, and kills the process as the
/// system does when memory runs out.
const KILLED_AT_START: &str = "\
import os, pathlib, signal
with (pathlib.Path(__file__).parent.parent / 'starts').open('a') as starts:
    starts.write('one\\n')
os.kill(os.getpid(), signal.SIGKILL)
";

pub(crate) fn add(suite: &mut Suite, phase: &Arc<Phase>) {
    for (class, mode, opens) in CLASSES {
        let phase = Arc::clone(phase);
        let way = match mode {
            PythonMode::Worker => "worker",
            PythonMode::Embedded => "embedded",
        };
        suite.add(format!("beside::{class}::{way}"), move || {
            phase.reading(|fixture| broken(fixture, class, *mode, *opens))
        });
    }
    for (name, trial) in KILLS {
        let phase = Arc::clone(phase);
        suite.add(format!("beside::{name}"), move || phase.reading(trial));
    }
}

/// The planted class as the secondary, while 64 threads ask the primary.
fn broken(fixture: &Fixture, class: &'static str, mode: PythonMode, opens: bool) -> Outcome {
    let config = PythonConfig {
        backend: format!("btc_legacy.planted:{class}"),
        timeout: Some(Duration::from_mins(1)),
        ..python_config(&fixture.config(), mode)
    };
    let secondary = Arc::new(PythonBitcoin::connect(&config)?);
    let left_behind = Arc::downgrade(&secondary);
    let (rust, txid, expected) = honest(fixture)?;
    let folder = tempfile::tempdir()?;
    let settings = OffPath {
        timeout: Duration::from_millis(200),
        breaker_failures: 3,
        queue_calls: 256,
        drain: DRAIN,
        ..OffPath::default()
    };
    let shadow = over(rust, secondary, &folder.path().join("log"), settings)?;
    let books = shadow.books();
    let asked = bounded(LIMIT, class, move || -> Outcome {
        ask_from_all_threads(&shadow, &txid, &expected);
        if opens {
            // A few more, as long as it takes to notice.
            let started = Instant::now();
            while !shadow.status().is_some_and(|status| status.is_breaker_open) {
                assert!(started.elapsed() < LIMIT, "the breaker stays closed");
                ask(&shadow, &txid, &expected);
                thread::sleep(Duration::from_millis(5));
            }
            for _ in 0..10 {
                ask(&shadow, &txid, &expected);
            }
        }
        drop(shadow);
        Ok(())
    });
    asked?;
    let counts = books.counts();
    assert!(counts.close(), "{counts:?}");
    assert!(counts.total_offered() >= (THREADS * ROUNDS * 2) as u64);
    assert_eq!(
        counts.total(Verdict::Match),
        0,
        "{class} answers nothing right"
    );
    assert_eq!(counts.lost_lines, 0, "{counts:?}");
    if opens {
        assert!(
            counts.left_out.contains_key(&LeftOut::BreakerOpen),
            "{counts:?}"
        );
        return Ok(());
    }
    // Calls that were left behind would hold up the Python of other trials.
    wait("the last call ends", || left_behind.strong_count() == 0)
}

/// An honest Python worker is killed again and again, as when memory runs out, and each time
/// another takes its place.
fn killed(fixture: &Fixture) -> Outcome {
    // Its name is in the workers' arguments, which tells them from those of other trials.
    let mark = tempfile::tempdir()?;
    let config = PythonConfig {
        max_lanes: 2,
        search_path: vec![mark.path().to_owned()],
        ..python_config(&fixture.config(), PythonMode::Worker)
    };
    let secondary = Arc::new(PythonBitcoin::connect(&config)?);
    let (rust, txid, expected) = honest(fixture)?;
    let folder = tempfile::tempdir()?;
    let settings = OffPath {
        breaker_failures: 3,
        drain: DRAIN,
        ..OffPath::default()
    };
    let shadow = over(rust, secondary, &folder.path().join("log"), settings)?;
    let books = shadow.books();
    let is_over = AtomicBool::new(false);
    let matches = |books: &Books| books.counts().total(Verdict::Match);
    let run = thread::scope(|scope| -> Outcome {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    ask(&shadow, &txid, &expected);
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        let outcome = (0..3).try_for_each(|round| -> Outcome {
            // It has come back from the last time.
            let before = matches(&books);
            wait("comparisons go on", || matches(&books) > before + 10)?;
            let killed = kill_workers(mark.path())?;
            if killed == 0 {
                return Err(format!("round {round}: there was no worker to kill").into());
            }
            Ok(())
        });
        let before = matches(&books);
        let last = outcome.and_then(|()| wait("it comes back", || matches(&books) > before + 10));
        is_over.store(true, Ordering::Relaxed);
        last
    });
    run?;
    drop(shadow);
    let counts = books.counts();
    assert!(counts.close(), "{counts:?}");
    assert_eq!(counts.total(Verdict::Mismatch), 0, "{counts:?}");
    Ok(())
}

/// A worker that is killed before it is ready, again and again: the next starts come later and
/// later, calls in between are answered at once, and it comes back when it can.
fn killed_at_each_start(fixture: &Fixture) -> Outcome {
    let mark = tempfile::tempdir()?;
    let config = PythonConfig {
        search_path: vec![mark.path().to_owned()],
        ..python_config(&fixture.config(), PythonMode::Worker)
    };
    let secondary = Arc::new(PythonBitcoin::connect(&config)?);
    let (rust, txid, expected) = honest(fixture)?;
    let folder = tempfile::tempdir()?;
    // The breaker would leave the secondary alone, too.
    let settings = OffPath {
        breaker_failures: u64::MAX,
        queue_calls: 256,
        ..OffPath::default()
    };
    let shadow = over(rust, secondary, &folder.path().join("log"), settings)?;
    let books = shadow.books();
    let total = |verdict| books.counts().total(verdict);
    let calling = |what: &str, holds: &dyn Fn() -> bool| {
        wait(what, || {
            (0..20).for_each(|_| ask(&shadow, &txid, &expected));
            holds()
        })
    };
    calling("it is compared", &|| total(Verdict::Match) > 10)?;

    let package = mark.path().join("package");
    let planted = mark.path().join("btc_legacy");
    fs::create_dir(&package)?;
    fs::write(package.join("__init__.py"), KILLED_AT_START)?;
    fs::rename(&package, &planted)?;
    let before = total(Verdict::Inconclusive);
    assert!(
        kill_workers(mark.path())? > 0,
        "there was no worker to kill"
    );
    let starts =
        || fs::read_to_string(mark.path().join("starts")).map_or(0, |it| it.lines().count());
    calling("it is started again", &|| starts() >= 5)?;
    let refused = total(Verdict::Inconclusive) - before;
    let starts = starts() as u64;
    assert!(starts * 10 <= refused, "{starts} starts in {refused} calls");

    fs::rename(&planted, &package)?;
    let before = total(Verdict::Match);
    calling("it comes back", &|| total(Verdict::Match) > before + 10)?;
    drop(shadow);
    let counts = books.counts();
    assert!(counts.close(), "{counts:?}");
    assert_eq!(counts.total(Verdict::Mismatch), 0, "{counts:?}");
    Ok(())
}

/// The primary, a transaction to ask it for, and its answer.
fn honest(fixture: &Fixture) -> Result<Honest, Box<dyn std::error::Error + Send + Sync>> {
    let rust = fixture.backends.real(Backend::Rust)?;
    let first = fixture.summary.mempool.first().ok_or("no mempool")?;
    let txid = first.to_string();
    let expected = rust.get_transaction(&txid)?;
    Ok((rust, txid, expected))
}

fn over(
    primary: Arc<dyn BitcoinInterface>,
    secondary: Arc<PythonBitcoin>,
    log: &Path,
    settings: OffPath,
) -> Result<Shadow, Box<dyn std::error::Error + Send + Sync>> {
    let policy = Policy {
        recheck_after_ms: vec![1],
    };
    let sink = Box::new(FileSink::open(log)?);
    Ok(Shadow::new(primary, secondary, policy, sink, true).off_path(settings)?)
}

fn ask(shadow: &Shadow, txid: &str, expected: &BitcoinTransaction) {
    let answer = shadow.get_transaction(txid).expect("the primary answers");
    assert_eq!(answer, *expected);
    shadow.get_block_height().expect("the primary answers");
}

fn ask_from_all_threads(shadow: &Shadow, txid: &str, expected: &BitcoinTransaction) {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    ask(shadow, txid, expected);
                }
            });
        }
    });
}

fn wait(what: &str, holds: impl Fn() -> bool) -> Outcome {
    let started = Instant::now();
    while !holds() {
        if started.elapsed() > LIMIT {
            return Err(format!("never: {what}").into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Kills the Python workers with this folder among their arguments with SIGKILL; how many there
/// were.
fn kill_workers(mark: &Path) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    let mut pids = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        pids.extend(children.split_whitespace().map(str::to_owned));
    }
    let is_worker = |pid: &String| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(&*mark.to_string_lossy())
    };
    pids.retain(is_worker);
    for pid in &pids {
        // One that has ended in between is as good.
        let _ = Command::new("kill")
            .args(["-KILL", pid])
            .stderr(Stdio::null())
            .status()?;
    }
    Ok(pids.len())
}
