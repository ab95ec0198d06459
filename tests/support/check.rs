//! Checks that read well: the kind of a failure, and that something ends.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use btc::{BitcoinError, BitcoinResult, ErrorKind};

/// The error of a call that must fail with this kind.
#[track_caller]
pub fn failure<T>(result: BitcoinResult<T>, kind: ErrorKind, what: &str) -> BitcoinError {
    let error = result
        .map(|_| "an answer")
        .expect_err(&format!("{what}: must fail with {kind}"));
    let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
    assert_eq!(error.kind(), kind, "{what}: {error}; causes: {causes:#?}");
    error
}

/// Runs something on a thread of its own, and fails when it takes longer than it ever may.
#[track_caller]
pub fn bounded<T: Send + 'static>(
    limit: Duration,
    what: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::sync_channel(1);
    let worker = thread::spawn(move || {
        // Nobody listens any more when the limit is over.
        let _ = sender.send(run());
    });
    match receiver.recv_timeout(limit) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(worker.join().err().unwrap_or_else(|| Box::new("gone")))
        }
        Err(mpsc::RecvTimeoutError::Timeout) => {
            panic!("{what}: hangs, no end within {limit:?}")
        }
    }
}

/// Waits until something holds, and fails when it never does.
#[track_caller]
pub fn eventually(what: &str, check: impl Fn() -> bool) {
    const LIMIT: Duration = Duration::from_mins(1);
    let deadline = Instant::now() + LIMIT;
    while !check() {
        assert!(
            Instant::now() < deadline,
            "still not so after {LIMIT:?}: {what}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a process that was sent a signal to stop has stopped with all its threads, which
/// happens a little later.
#[track_caller]
pub fn until_stopped(pid: u32) {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    eventually("the process is stopped", || {
        tasks
            .read_dir()
            .is_ok_and(|tasks| tasks.flatten().all(|task| state(&task.path()) == Some('T')))
    });
}

/// Whether a process is there and not merely waiting to be collected.
pub fn is_alive(pid: u32) -> bool {
    state(&Path::new("/proc").join(pid.to_string())).is_some_and(|state| state != 'Z')
}

/// The state's letter, as in `R`, `S`, `T` and `Z`.
fn state(process: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    // It follows the name, which stands in parentheses.
    stat.rsplit_once(") ")?.1.chars().next()
}
