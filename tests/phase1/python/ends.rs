//! The end of the Python side: the class is closed once, always, and nothing is waited for long.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use btc::BitcoinInterface;
use btc_tests::{Backend, Fault, Outcome, Program, eventually, is_alive};
use tempfile::TempDir;

use super::lanes::workers_of;
use super::{Trial, connect, written};

/// The limit of the end, and a start on a busy machine.
const SOON: Duration = Duration::from_secs(20);

pub(super) const FAULTS: &[(&str, Fault)] = &[
    ("is_closed_once_and_always", closed_once),
    ("is_closed_beside_a_call_that_hangs", closed_beside),
    ("close_that_hangs_is_not_waited_for", hanging_close),
];

/// The same, in a program that may have to be built first.
pub(super) const OF_PROGRAMS: &[(&str, Fault)] =
    &[("holds_the_interpreters_lock_at_the_end", holds_the_lock)];

pub(super) const OF_WORKERS: &[(&str, Trial)] =
    &[("no_worker_is_started_to_be_closed", not_started)];

/// It writes down each start and each end, and what each process was.
const WRITING: &str = "
import ctypes, os, pathlib, time
HERE = pathlib.Path(__file__).parent
def note(name):
    with (HERE / name).open('a') as file:
        file.write(f'{os.getpid()}\\n')
class Own:
    def __init__(self, config):
        note('started')
    def get_block_height(self):
        return 7
    def estimate_fee(self, target_blocks):
        note('asked')
        if target_blocks == 99:
            ctypes.PyDLL(None).sleep(60)
        time.sleep(60)
    explain_fee = estimate_fee
    def close(self):
        note('closed')
        if (HERE / 'hang').exists():
            time.sleep(60)
";

fn noted(folder: &Path, name: &str) -> Vec<u32> {
    let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
    text.lines().flat_map(str::parse).collect()
}

fn closed_once(backend: Backend) -> Outcome {
    for limit in [Some(Duration::from_secs(20)), None] {
        let folder = TempDir::new()?;
        let name = format!("writing_{}", limit.is_some());
        let mut config = written(backend, folder.path(), &name, WRITING)?;
        config.timeout = limit;
        let bitcoin = connect(&config)?;
        assert_eq!(bitcoin.get_block_height()?, 7);
        drop(bitcoin);
        let started = noted(folder.path(), "started");
        assert_eq!(noted(folder.path(), "closed"), started, "{limit:?}");
        assert!(!started.is_empty());
        eventually("no worker is left", || workers_of(folder.path()).is_empty());
    }
    Ok(())
}

/// What hangs is left behind or killed; the rest is closed as ever.
fn closed_beside(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let mut config = written(backend, folder.path(), "writing_beside", WRITING)?;
    config.timeout = Some(Duration::from_secs(3));
    let bitcoin = connect(&config)?;
    assert!(bitcoin.estimate_fee(6).is_err());
    assert_eq!(bitcoin.get_block_height()?, 7);
    let begun = Instant::now();
    drop(bitcoin);
    assert!(begun.elapsed() < SOON);
    let (asked, closed) = (
        noted(folder.path(), "asked"),
        noted(folder.path(), "closed"),
    );
    assert_eq!(closed.len(), 1, "{closed:?}");
    if backend == Backend::PythonWorker {
        assert_ne!(asked, closed, "the one that hung was killed");
        eventually("no worker is left", || workers_of(folder.path()).is_empty());
    }
    Ok(())
}

fn hanging_close(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    fs::write(folder.path().join("hang"), "")?;
    let config = written(backend, folder.path(), "writing_hang", WRITING)?;
    let bitcoin = connect(&config)?;
    assert_eq!(bitcoin.get_block_height()?, 7);
    let begun = Instant::now();
    drop(bitcoin);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(noted(folder.path(), "closed").len(), 1);
    eventually("no worker is left", || workers_of(folder.path()).is_empty());
    Ok(())
}

/// In a program of its own: the interpreter of this one would be lost to other trials. It ends,
/// with the time-out as its answer, while the lock is still held.
fn holds_the_lock(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    fs::write(folder.path().join("own.py"), WRITING)?;
    let mode = match backend {
        Backend::PythonWorker => "worker",
        _ => "embedded",
    };
    let program = Program::new("fee 99 --json")
        .env("USE_RUST_BITCOIN", "false")
        .env("PYTHON_MODE", mode)
        .env("PYTHON_BACKEND", "own:Own")
        .env("PYTHONPATH", folder.path())
        .env("PYTHON_TIMEOUT_SECS", "3")
        .env("BITCOIN_NETWORK", "regtest");
    let begun = Instant::now();
    program.run().code(4).says(&["timeout"]);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let asked = noted(folder.path(), "asked");
    assert!(!asked.is_empty());
    eventually("what held it is gone", || {
        !asked.iter().any(|pid| is_alive(*pid))
    });
    Ok(())
}

fn not_started() -> Outcome {
    let folder = TempDir::new()?;
    let config = written(
        Backend::PythonWorker,
        folder.path(),
        "writing_gone",
        WRITING,
    )?;
    let bitcoin = connect(&config)?;
    let started = noted(folder.path(), "started");
    assert_eq!(started.len(), 1);
    std::process::Command::new("kill")
        .args(["-KILL", &started[0].to_string()])
        .status()?;
    eventually("it is gone", || !is_alive(started[0]));
    drop(bitcoin);
    assert_eq!(noted(folder.path(), "started"), started);
    eventually("its guard is gone", || workers_of(folder.path()).is_empty());
    Ok(())
}
