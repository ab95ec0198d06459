//! Replays over doubles: all is compared, and what ends early goes on.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};
use btc_shadow::compare::Verdict;
use btc_shadow::replay::{FileSource, Input, Reading, ReplayLog, Settings, State, Tally, run};
use btc_shadow::{Policy, Shadow};
use tempfile::TempDir;

use crate::double::{Double, failure};

/// A folder with a recorded log in it, and what a replay of it needs.
struct Bench {
    folder: TempDir,
    settings: Settings,
}

/// A secondary that takes longer than the primary, so that comparisons wait.
fn slow(operation: Operation) -> u64 {
    if operation == Operation::GetTransaction {
        std::thread::sleep(Duration::from_micros(600));
    }
    5
}

type Answer = dyn Fn(Operation, u64) -> BitcoinResult<u64> + Send + Sync;

impl Bench {
    fn new(lines: &[String]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("calls"), lines.concat()).expect("ours");
        Self {
            folder,
            settings: Settings {
                threads: 4,
                rate: None,
                checkpoint_every: Duration::from_millis(30),
            },
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replays with a primary that answers so, from a state if there is one.
    fn replay(&self, primary: Arc<Answer>, state: Option<&State>) -> (BitcoinResult<Tally>, State) {
        let files = [self.path("calls")];
        let reading = Reading::default();
        let source = match state.map(|state| &state.input) {
            Some(Input::Files(at)) => FileSource::resume(&files, reading, at, 0),
            _ => FileSource::open(&files, reading),
        };
        let source = source.expect("the same file");
        let before = state.map(|state| &state.log);
        let log = Arc::new(ReplayLog::open(&self.path("log"), before).expect("ours"));
        let shadow = Shadow::new(
            Arc::new(Double::new(Python, move |operation, n| {
                primary(operation, n)
            })),
            Arc::new(Double::new(Rust, |operation, _| Ok(slow(operation)))),
            Policy::default(),
            Box::new(Arc::clone(&log)),
            true,
        );
        let shadow = shadow.off_path(self.settings.off_path()).expect("threads");
        let mut kept = state.cloned().unwrap_or_else(|| {
            let position = btc_shadow::replay::Source::position(&source);
            State::new(Python, false, log.flush().expect("ours"), position)
        });
        let tally = kept.tally.clone();
        let ran = run(
            &shadow,
            &log,
            Box::new(source),
            tally,
            &self.settings,
            &mut |input, tally, log, is_end| {
                kept.input = input;
                kept.tally = tally.clone();
                kept.log = log;
                kept.is_finished = is_end;
                kept.write(&self.path("state"))
            },
            &mut |_| {},
        );
        drop(shadow);
        drop(log);
        let read = State::read(&self.path("state")).expect("whole");
        (ran, read.unwrap_or(kept))
    }
}

fn gets(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("{{\"method\":\"get_transaction\",\"arguments\":[\"{n:064}\"]}}\n"))
        .collect()
}

#[test]
fn a_replay_compares_every_call_and_makes_none_that_has_an_effect() {
    let mut lines = gets(500);
    lines.insert(
        3,
        "{\"method\":\"generate_address\",\"arguments\":[\"p2tr\"]}\n".to_owned(),
    );
    let sent = format!(
        "{{\"method\":\"broadcast_transaction\",\"arguments\":[\"{:064}\"]}}\n",
        1
    );
    lines.insert(5, sent);
    lines.insert(9, "{\"lost_calls\":4}\n".to_owned());
    lines.insert(10, "\n".to_owned());
    lines.insert(20, "nonsense\n".to_owned());
    lines.push("{\"method\":\"get_balance\"}".to_owned());
    let bench = Bench::new(&lines);
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&asked);
    let primary = move |operation, _| {
        seen.lock().expect("no panic").insert(operation);
        Ok(5)
    };
    let (tally, state) = bench.replay(Arc::new(primary), None);
    let tally = tally.expect("it comes to its end");
    assert!(state.is_finished);
    assert_eq!((tally.calls, tally.of(Verdict::Match)), (501, 501));
    assert_eq!((tally.read, tally.lost_calls), (506, 4));
    let skipped = [Operation::GenerateAddress, Operation::BroadcastTransaction];
    assert_eq!(
        tally.skipped,
        skipped.map(|operation| (operation, 1)).into()
    );
    assert_eq!((tally.bad_lines, tally.first_bad_lines[0].line), (1, 21));
    assert!(!tally.is_clean(), "a line could not be read");
    let expected = [
        Operation::GetTransaction,
        Operation::GetBlockHeight,
        Operation::GetBalance,
    ];
    assert_eq!(*asked.lock().expect("no panic"), expected.into());
}

#[test]
fn what_ends_early_goes_on_and_compares_all_at_least_once() {
    let bench = Bench::new(&gets(3000));
    let is_gone = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&is_gone);
    // The primary goes for good after a while, as a node that is stopped.
    let primary = move |operation, n| {
        std::thread::sleep(Duration::from_micros(100));
        if operation == Operation::GetTransaction && n > 1500 {
            gone.store(true, Ordering::SeqCst);
            return Err(failure(operation, ErrorKind::Auth));
        }
        Ok(5)
    };
    let (ran, state) = bench.replay(Arc::new(primary), None);
    assert_eq!(ran.map_err(|error| error.kind()), Err(ErrorKind::Auth));
    assert!(is_gone.load(Ordering::SeqCst) && !state.is_finished);
    let done = state.tally.calls;
    assert!(done > 0 && done <= 1500, "{done}");
    assert_eq!(
        state.tally.of(Verdict::Match),
        done,
        "what is told is compared"
    );
    let (ran, state) = bench.replay(Arc::new(|_, _| Ok(5)), Some(&state));
    let tally = ran.expect("it comes to its end");
    assert!(state.is_finished && tally.is_clean());
    assert_eq!((tally.calls, tally.compared()), (3000, 3000));
    // Each question is in the log.
    let log = fs::read_to_string(bench.path("log")).expect("ours");
    let inputs: BTreeSet<String> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter(|line| line["operation"] == "get_transaction" && line["verdict"] == "match")
        .map(|line| line["input"].to_string())
        .collect();
    assert_eq!(inputs.len(), 3000);
}

#[test]
fn a_primary_that_is_away_for_a_moment_is_asked_again() {
    let bench = Bench::new(&gets(200));
    let primary = |operation, n| match n {
        50..60 if operation == Operation::GetTransaction => {
            Err(failure(operation, ErrorKind::Unavailable))
        }
        _ => Ok(5),
    };
    let (ran, _) = bench.replay(Arc::new(primary), None);
    let tally = ran.expect("it came back");
    assert!(tally.is_clean(), "{tally:?}");
    assert_eq!((tally.retries, tally.of(Verdict::Match)), (10, 200));
}

#[test]
fn a_resume_on_another_file_is_refused_and_on_a_longer_one_goes_on() {
    let lines = gets(50);
    let bench = Bench::new(&lines);
    let (ran, state) = bench.replay(Arc::new(|_, _| Ok(5)), None);
    ran.expect("it comes to its end");
    let Input::Files(at) = &state.input else {
        unreachable!("files");
    };
    let files = [bench.path("calls")];
    let resume = || FileSource::resume(&files, Reading::default(), at, 50);
    assert!(!resume().expect("the same").has_grown());
    let refused = |text: String| {
        fs::write(&files[0], text).expect("ours");
        let error: BitcoinError = resume().err().expect("another file");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains("--restart"), "{error}");
    };
    refused(lines[..49].concat());
    refused(lines.concat().replacen("00\"", "01\"", 1));
    refused(gets(51)[1..].concat());
    fs::write(&files[0], gets(60).concat()).expect("ours");
    assert!(resume().expect("it has grown").has_grown());
    let (ran, _) = bench.replay(Arc::new(|_, _| Ok(5)), Some(&state));
    assert_eq!(ran.expect("it goes on").calls, 60);
    // A state that is damaged is no state.
    fs::write(bench.path("state"), "{").expect("ours");
    let error = State::read(&bench.path("state")).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Configuration);
}
