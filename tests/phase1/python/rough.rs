//! A worker that is killed, hangs, forks and prints nonsense, again and again, beside a primary.
//!
//! `WORKER_FAULTS=1000` makes it a thousand times; the suite makes sixty.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use btc::python::PythonBitcoin;
use btc::shadow::compare::Verdict;
use btc::shadow::sink::FileSink;
use btc::shadow::{OffPath, Policy, Shadow};
use btc::{BitcoinInterface, BitcoinTransaction};
use btc_regtest::Plan;
use btc_tests::{Backend, Fixture, Outcome, Suite, eventually};

use super::lanes::workers_of;
use super::written;

/// Says that this process was started for the trial alone, so that its memory is the trial's.
const ALONE: &str = "BTC_TEST_WORKER_FAULTS_ALONE";
const NAME: &str = "python::rough_workers::python-worker";
const FAULTS: usize = 60;
const KINDS: usize = 7;
const LANES: usize = 4;
/// How long a call may take: a start on a busy machine fits, and no hang takes long.
const CALL_LIMIT: Duration = Duration::from_secs(4);
/// For all faults together, each of which costs a start or a hang.
const PATIENCE_PER_FAULT: Duration = Duration::from_secs(5);
/// How much this process may grow from a third of the faults on. Unbounded lines would take 8 MB
/// for each worker that prints one.
const MAX_GROWTH_KIB: u64 = 24 << 10;

/// An honest class, but for one fault in each call until there is a file `calm`.
const ROUGH: &str = "
import ctypes, os, pathlib, random, signal, sys, time
from btc_legacy.backend import LegacyBackend
HERE = pathlib.Path(__file__).parent

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def hang():
    time.sleep(3600)

def hold_the_lock():
    ctypes.PyDLL(None).sleep(3600)

def fork_and_die():
    if os.fork() == 0:
        time.sleep(3600)
    kill()

def fork_and_answer():
    if os.fork() == 0:
        time.sleep(3600)

def print_bytes():
    os.write(2, b'\\xff\\xfe\\x80 no text\\n' * 1000)
    sys.stdout.buffer.write(bytes(range(256)) * 100)
    sys.stdout.flush()

def print_without_end():
    for _ in range(8):
        os.write(2, b'x' * 1_000_000)
    print('y' * 100_000, end='', flush=True)

FAULTS = [kill, hang, hold_the_lock, fork_and_die, fork_and_answer, print_bytes, print_without_end]

class Own(LegacyBackend):
    def get_transaction(self, txid):
        if not (HERE / 'calm').exists():
            fault = random.choice(FAULTS)
            with (HERE / 'faults').open('a') as file:
                file.write(fault.__name__ + '\\n')
            fault()
        return super().get_transaction(txid)
";

pub(super) fn add(suite: &mut Suite) {
    suite.add(NAME, || {
        if env::var_os(ALONE).is_some() {
            return run();
        }
        let output = Command::new(env::current_exe()?)
            .args([NAME, "--exact", "--nocapture"])
            .env(ALONE, "1")
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() && said.contains("1 passed") {
            let figures = said.lines().filter(|line| line.starts_with("rough: "));
            figures.for_each(|line| println!("{line}"));
            return Ok(());
        }
        Err(format!("{said}\n{failed}").into())
    });
}

fn run() -> Outcome {
    let wanted = env::var("WORKER_FAULTS").map_or(Ok(FAULTS), |text| text.parse())?;
    let fixture = Fixture::start(&Plan::small())?;
    let folder = tempfile::tempdir()?;
    let mut config = written(Backend::PythonWorker, folder.path(), "rough", ROUGH)?;
    config.node = fixture.config();
    config.timeout = Some(CALL_LIMIT);
    config.max_lanes = LANES;
    let secondary = Arc::new(PythonBitcoin::connect(&config)?);
    let rust = fixture.backends.real(Backend::Rust)?;
    let txid = fixture.summary.mempool.first().ok_or("no mempool")?;
    let txid = txid.to_string();
    let expected = rust.get_transaction(&txid)?;

    let log = tempfile::tempdir()?;
    let settings = OffPath {
        breaker_failures: u64::MAX,
        workers: LANES,
        queue_calls: 64,
        ..OffPath::default()
    };
    let policy = Policy {
        recheck_after_ms: vec![1],
    };
    let sink = Box::new(FileSink::open(&log.path().join("log"))?);
    let python = Arc::clone(&secondary) as Arc<dyn BitcoinInterface>;
    let shadow = Shadow::new(rust, python, policy, sink, true).off_path(settings)?;
    let books = shadow.books();

    let begun = Instant::now();
    let (asked, from, to) = suffer(&shadow, &txid, &expected, folder.path(), wanted)?;
    fs::write(folder.path().join("calm"), "")?;
    let took = begun.elapsed();
    drop(shadow);
    // Each lane answers, all at the same time, whatever its worker went through.
    eventually("calls that hang are over", || {
        all_answer(&secondary, &txid, &expected)
    });
    drop(secondary);
    eventually("no process is left", || {
        workers_of(folder.path()).is_empty() && children() == 0
    });
    eventually("no thread is left", || threads() == 0);

    let counts = books.counts();
    assert!(counts.close(), "{counts:?}");
    assert_eq!(counts.total(Verdict::Mismatch), 0, "{counts:?}");
    assert!(counts.total(Verdict::Match) > 0, "{counts:?}");
    let kinds = kinds(folder.path());
    println!(
        "rough: {wanted} faults in {:.0} s {kinds:?}; {asked} calls of the primary; \
         {from} KiB of memory after a third, {to} KiB at the end",
        took.as_secs_f32()
    );
    assert_eq!(kinds.len(), KINDS, "{kinds:?}");
    assert!(
        to < from + MAX_GROWTH_KIB,
        "it grew from {from} to {to} KiB"
    );
    Ok(())
}

/// Asks until there were this many faults. Returns how many calls there were, and this process's
/// memory after a third of the faults and after all.
fn suffer(
    shadow: &Shadow,
    txid: &str,
    expected: &BitcoinTransaction,
    folder: &Path,
    wanted: usize,
) -> Result<(u64, u64, u64), Box<dyn std::error::Error + Send + Sync>> {
    let is_over = AtomicBool::new(false);
    let deadline = Instant::now() + PATIENCE_PER_FAULT * u32::try_from(wanted)?;
    let reach = |count: usize| -> Result<u64, String> {
        while kinds(folder).values().sum::<usize>() < count {
            if Instant::now() > deadline {
                return Err(format!("after {:?}: a lane is lost", kinds(folder)));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(memory_kib())
    };
    thread::scope(|scope| {
        let callers: Vec<_> = (0..LANES)
            .map(|_| {
                scope.spawn(|| {
                    let mut asked = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = shadow.get_transaction(txid).expect("the primary answers");
                        assert_eq!(answer, *expected);
                        asked += 1;
                        thread::sleep(Duration::from_millis(2));
                    }
                    asked
                })
            })
            .collect();
        let memory = reach(wanted / 3).and_then(|from| Ok((from, reach(wanted)?)));
        is_over.store(true, Ordering::Relaxed);
        let asked = callers
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        let (from, to) = memory?;
        Ok((asked, from, to))
    })
}

/// Whether each lane answers at the same time as the others.
fn all_answer(python: &PythonBitcoin, txid: &str, expected: &BitcoinTransaction) -> bool {
    thread::scope(|scope| {
        let calls: Vec<_> = (0..LANES)
            .map(|_| scope.spawn(|| python.get_transaction(txid).is_ok_and(|it| it == *expected)))
            .collect();
        calls.into_iter().all(|it| it.join().expect("no panic"))
    })
}

/// How many faults of each kind there were.
fn kinds(folder: &Path) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(folder.join("faults")).unwrap_or_default();
    text.lines().fold(BTreeMap::new(), |mut kinds, kind| {
        *kinds.entry(kind.to_owned()).or_default() += 1;
        kinds
    })
}

fn memory_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// How many Python processes this one has, those that merely wait to be collected among them.
fn children() -> usize {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let pids = tasks.flatten().flat_map(|task| {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let pids = text.split_whitespace().map(str::to_owned);
        pids.collect::<Vec<_>>()
    });
    pids.filter(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.starts_with("python")
    })
    .count()
}

/// How many threads serve Python.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .filter(|name| name.starts_with("btc-python"))
        .count()
}
