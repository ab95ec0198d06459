//! What the processes do whose clock is set.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{BitcoinInterface, Operation};
use btc_shadow::compare::Verdict;
use btc_shadow::record::Event;
use btc_shadow::rollout::{Consent, Control, Judge, Limits, StateFile};
use btc_shadow::sink::{FileSink, MemorySink, Tee};
use btc_shadow::{OffPath, Policy, Shadow};

use super::{BUILD, FILE, FOLDER, ROLE, set};
use crate::double::Double;
use crate::log_file::until;

/// Calls under each clock.
pub(super) const CALLS: u64 = 50;
/// Memory lines under each clock, at least.
pub(super) const READINGS: usize = 3;

/// Back and forth by hours and by decades, to before 1970, and back to what it was.
pub(super) const CLOCKS: [&str; 8] = [
    "0",
    "-3600",
    "86400",
    "-7200",
    "=-5",
    "=4102444800",
    "315360000",
    "0",
];

/// A child, in its own process only.
#[test]
fn child() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    match env::var(ROLE).as_deref() {
        Ok("jumps") => jumps(&folder),
        Ok("rollout") => rollout(&folder),
        Ok("run") => run(&folder),
        Ok("twice") => {
            run(&folder);
            // The same process with another program in it, which is the same here.
            let this = env::current_exe().expect("this program");
            let mut again = Command::new(this);
            let again = again.args(env::args().skip(1)).env(ROLE, "run");
            unreachable!("{}", again.exec());
        }
        other => unreachable!("{other:?}"),
    }
}

fn clock() -> PathBuf {
    PathBuf::from(env::var(FILE).expect("a clock"))
}

/// The clock as this process sees it, in seconds since 1970 or before.
fn now() -> i64 {
    let of = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => of(since),
        Err(before) => -of(before.duration()),
    }
}

fn settings() -> OffPath {
    OffPath {
        look_every: Duration::ZERO,
        report_every: Duration::from_millis(5),
        ..OffPath::default()
    }
}

/// A shadow over two sides that answer 5, with the log in this folder.
fn shadow(folder: &Path) -> (Shadow, Arc<MemorySink>) {
    let seen = Arc::new(MemorySink::default());
    let file = FileSink::open(&folder.join("log")).expect("a path that can be written");
    let policy = Policy {
        recheck_after_ms: vec![1],
    };
    let [ours, theirs] = [Python, Rust].map(|who| Arc::new(Double::new(who, |_, _| Ok(5))));
    let sink = Box::new(Tee(Arc::clone(&seen), file));
    let shadow = Shadow::new(ours, theirs, policy, sink, true);
    let build = env::var(BUILD).expect("a build");
    let shadow = shadow.with_builds(build.clone(), build);
    (shadow.off_path(settings()).expect("threads"), seen)
}

fn ask(shadow: &Shadow, calls: u64) {
    let books = shadow.books();
    let before = books.counts().total(Verdict::Match);
    for _ in 0..calls {
        assert_eq!(shadow.get_balance().expect("the primary answers"), 5);
    }
    until("all are compared", || {
        books.counts().total(Verdict::Match) == before + calls
    });
}

/// One run from its beginning to its end.
fn run(folder: &Path) {
    let (shadow, _) = shadow(folder);
    ask(&shadow, CALLS);
    let books = shadow.books();
    drop(shadow);
    assert!(books.counts().close(), "{:?}", books.counts());
}

/// One run while the clock is set again and again; says how many seconds it took.
fn jumps(folder: &Path) {
    let began = Instant::now();
    let (shadow, seen) = shadow(folder);
    let readings = || {
        let lines = seen.lines();
        let is_memory = |line: &&btc_shadow::record::Line| matches!(line.event, Event::Memory(_));
        lines.iter().filter(is_memory).count()
    };
    let mut last = now();
    for step in CLOCKS {
        set(&clock(), step);
        let jump = (now() - last).abs();
        assert!(
            step == "0" || jump > 3_000,
            "the clock is not set: {jump} s"
        );
        last = now();
        ask(&shadow, CALLS);
        let before = readings();
        until("memory is reported", || readings() >= before + READINGS);
    }
    let books = shadow.books();
    drop(shadow);
    let counts = books.counts();
    assert!(counts.close(), "{counts:?}");
    println!("\ntook {}", began.elapsed().as_secs());
}

/// A share that is followed and judged while the clock is set.
fn rollout(folder: &Path) {
    let file = StateFile::new(folder.join("rollout.json"));
    let control = Control::open(file.clone(), None).expect("a new file");
    let limits = Limits {
        window: Duration::from_millis(1),
        min_calls: 10,
        windows: 1,
        // More than a busy machine takes, and less than any jump.
        min_p99_excess: Duration::from_mins(10),
        ..Limits::default()
    };
    let judge = Arc::new(Judge::new(Arc::clone(&control), limits));
    let is_wrong = Arc::new(AtomicBool::new(false));
    let whether = Arc::clone(&is_wrong);
    let wrong = move |_: Operation, _| Ok(if whether.load(Ordering::SeqCst) { 6 } else { 5 });
    let shadow = Shadow::new(
        Arc::new(Double::new(Python, |_, _| Ok(5))),
        Arc::new(Double::new(Rust, wrong)),
        Policy {
            recheck_after_ms: Vec::new(),
        },
        Box::new(MemorySink::default()),
        true,
    );
    let shadow = shadow.watched_by(vec![judge]);
    let shadow = shadow.off_path(settings()).expect("threads");
    let jump = Consent {
        to_jump: true,
        after_rollback: false,
    };
    let steps = [1, 5, 10, 25, 50, 75, 99, 100];
    for (clock_is, share) in CLOCKS.into_iter().zip(steps) {
        set(&clock(), clock_is);
        // Whenever the file says that it was changed, it is followed.
        let changed = file.update(|state| state.set(share, jump, "the next step"));
        changed.expect("nothing speaks against it");
        until("the share is followed", || control.percent() == share);
        for _ in 0..5 {
            ask(&shadow, 20);
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(control.percent(), share, "{:?}", control.status());
        assert_eq!(control.status().trouble, None);
    }
    set(&clock(), "-315360000");
    is_wrong.store(true, Ordering::SeqCst);
    shadow.get_balance().expect("the primary answers");
    until("it is rolled back", || control.percent() == 0);
    until("the file says so", || {
        file.read()
            .is_ok_and(|state| state.percent == 0 && state.is_rolled_back)
    });
    let state = file.read().expect("sound");
    let generations: Vec<_> = state.history.iter().map(|it| it.generation).collect();
    assert!(generations.is_sorted(), "{state:?}");
    drop(shadow);
    fs::remove_file(file.path()).expect("there");
}
