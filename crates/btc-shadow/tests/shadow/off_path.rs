//! Comparisons off the caller's path: the primary's answer whatever happens beside it, and books
//! that close.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{BitcoinInterface, BitcoinResult, ErrorKind, Operation};
use btc_shadow::compare::Verdict;
use btc_shadow::record::{Comparison, Event};
use btc_shadow::sink::MemorySink;
use btc_shadow::{Counts, LeftOut, OffPath, Policy, Sampling, Shadow, Watch};

use crate::double::{Double, FullDisk, failure};
use crate::samples::transaction;

/// Longer than anything here takes, so that a defect ends in a failure and not in a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// Quick settings, without looks at the tip that the doubles would count.
fn quick() -> OffPath {
    OffPath {
        look_every: Duration::ZERO,
        report_every: Duration::ZERO,
        ..OffPath::default()
    }
}

struct Pair {
    shadow: Shadow,
    secondary: Arc<Double>,
    sink: Arc<MemorySink>,
}

fn pair(
    settings: OffPath,
    rechecks_ms: &[u64],
    secondary: impl Fn(Operation, u64) -> BitcoinResult<u64> + Send + Sync + 'static,
) -> Pair {
    let secondary = Arc::new(Double::new(Rust, secondary));
    let sink = Arc::new(MemorySink::default());
    let policy = Policy {
        recheck_after_ms: rechecks_ms.to_vec(),
    };
    let primary = Arc::new(Double::new(Python, |_, _| Ok(5)));
    let shadow = Shadow::new(
        primary,
        Arc::clone(&secondary) as _,
        policy,
        Box::new(Arc::clone(&sink)),
        true,
    );
    Pair {
        shadow: shadow.off_path(settings).expect("threads"),
        secondary,
        sink,
    }
}

impl Pair {
    /// Ends it, and says what was counted.
    fn end(self) -> (Counts, Vec<Comparison>) {
        let books = self.shadow.books();
        self.shadow.finish(PATIENCE);
        drop(self.shadow);
        let counts = books.counts();
        assert!(counts.close(), "{counts:?}");
        let lines = self.sink.lines();
        let last = lines.last().map(|line| line.event.clone());
        let Some(Event::Totals(totals)) = last else {
            unreachable!("the last line is {last:?}");
        };
        assert!(totals.is_final);
        assert_eq!(
            totals.counts, counts,
            "nothing is recorded after the totals"
        );
        let comparisons = lines.into_iter().filter_map(|line| match line.event {
            Event::Comparison(comparison) => Some(comparison),
            _ => None,
        });
        (counts, comparisons.collect())
    }
}

/// Waits until it holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Holds back whoever passes, until it is opened.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    changed: Condvar,
    held: AtomicU64,
}

impl Gate {
    fn pass(&self) {
        self.held.fetch_add(1, Ordering::SeqCst);
        let mut is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_open {
            is_open = self
                .changed
                .wait(is_open)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open(&self) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

fn ask(shadow: &Shadow, times: usize) {
    for _ in 0..times {
        assert_eq!(shadow.get_balance().expect("the primary answers"), 5);
    }
}

#[test]
fn what_agrees_matches_and_what_differs_does_not() {
    let found = pair(quick(), &[], |operation, _| {
        Ok(if operation == Operation::GetTransaction {
            6
        } else {
            5
        })
    });
    for _ in 0..100 {
        found.shadow.get_transaction("id").expect("answered");
        found.shadow.get_block("hash").expect("answered");
        found.shadow.get_block_height().expect("answered");
        found.shadow.estimate_fee(2).expect("answered");
        found
            .shadow
            .broadcast_transaction(&transaction())
            .expect("sent");
    }
    let (counts, comparisons) = found.end();
    assert_eq!(counts.total(Verdict::Match), 300);
    assert_eq!(counts.total(Verdict::Mismatch), 100);
    assert_eq!(counts.total(Verdict::Skipped), 100);
    assert_eq!(comparisons.len(), 500);
    let mut sequences: Vec<_> = comparisons.iter().map(|line| line.sequence).collect();
    sequences.sort_unstable();
    assert!((1..=500).eq(sequences));
}

#[test]
fn a_secondary_that_hangs_costs_nobody_anything_and_the_books_close() {
    let gate = Arc::new(Gate::default());
    let settings = OffPath {
        timeout: Duration::from_millis(50),
        stuck_threads: 3,
        queue_calls: 64,
        breaker_failures: 4,
        ..quick()
    };
    let behind = Arc::clone(&gate);
    let found = pair(settings, &[], move |_, _| {
        behind.pass();
        Ok(5)
    });
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| ask(&found.shadow, 50));
        }
    });
    until("the breaker opens", || {
        found
            .shadow
            .status()
            .is_some_and(|status| status.is_breaker_open)
    });
    ask(&found.shadow, 10);
    // No more threads than allowed hang.
    assert!(gate.held.load(Ordering::SeqCst) <= 2 + 3 + 1);
    let books = found.shadow.books();
    let in_time = found.shadow.finish(Duration::from_millis(200));
    assert!(!in_time, "what waited was dropped");
    let counts = books.counts();
    assert!(counts.close(), "{counts:?}");
    assert_eq!(counts.total_offered(), 64 * 50 + 10);
    assert_eq!(
        counts.total(Verdict::Match) + counts.total(Verdict::Mismatch),
        0
    );
    assert!(counts.left_out[&LeftOut::QueueFull] > 0, "{counts:?}");
    assert!(counts.left_out[&LeftOut::BreakerOpen] > 0, "{counts:?}");
    gate.open();
    // Those that come back late change nothing.
    until("the threads come back", || {
        found
            .shadow
            .status()
            .is_some_and(|status| status.stuck_threads == 0)
    });
    assert_eq!(books.counts(), counts);
    let lines = found.sink.lines();
    assert!(lines.iter().any(|line| matches!(
        &line.event,
        Event::Breaker(breaker) if breaker.is_open
    )));
}

#[test]
fn the_end_waits_for_no_one_who_hangs() {
    for _ in 0..20 {
        let gate = Arc::new(Gate::default());
        let behind = Arc::clone(&gate);
        let found = pair(quick(), &[], move |_, _| {
            behind.pass();
            Ok(5)
        });
        ask(&found.shadow, 5);
        until("both workers hang", || gate.held.load(Ordering::SeqCst) == 2);
        let books = found.shadow.books();
        assert!(!found.shadow.finish(Duration::ZERO));
        drop(found.shadow);
        let counts = books.counts();
        assert!(counts.close(), "{counts:?}");
        assert_eq!(counts.total(Verdict::Inconclusive), 2);
        assert_eq!(counts.left_out[&LeftOut::Ended], 3);
        gate.open();
    }
}

#[test]
fn workers_come_back_after_a_hang() {
    let gate = Arc::new(Gate::default());
    let hangs = Arc::new(AtomicBool::new(true));
    let settings = OffPath {
        timeout: Duration::from_millis(20),
        stuck_threads: 0,
        workers: 1,
        breaker_failures: 1000,
        ..quick()
    };
    let (behind, whether) = (Arc::clone(&gate), Arc::clone(&hangs));
    let found = pair(settings, &[], move |_, _| {
        if whether.load(Ordering::SeqCst) {
            behind.pass();
        }
        Ok(5)
    });
    ask(&found.shadow, 1);
    until("it is left behind", || {
        found
            .shadow
            .status()
            .is_some_and(|status| status.stuck_threads == 1)
    });
    hangs.store(false, Ordering::SeqCst);
    ask(&found.shadow, 10);
    gate.open();
    let (counts, _) = found.end();
    assert_eq!(counts.total(Verdict::Inconclusive), 1);
    assert_eq!(counts.total(Verdict::Match), 10);
}

#[test]
fn the_breaker_lets_one_call_through_after_a_pause_and_closes() {
    let is_down = Arc::new(AtomicBool::new(true));
    let settings = OffPath {
        breaker_failures: 3,
        ..quick()
    };
    let whether = Arc::clone(&is_down);
    let found = pair(settings, &[], move |operation, _| {
        if whether.load(Ordering::SeqCst) {
            return Err(failure(operation, ErrorKind::Unavailable));
        }
        Ok(5)
    });
    let is_open = || {
        found
            .shadow
            .status()
            .is_some_and(|status| status.is_breaker_open)
    };
    until("it opens", || {
        ask(&found.shadow, 1);
        is_open()
    });
    let asked = found.secondary.calls(Operation::GetBalance);
    ask(&found.shadow, 100);
    is_down.store(false, Ordering::SeqCst);
    until("it closes", || {
        ask(&found.shadow, 1);
        !is_open()
    });
    assert!(found.secondary.calls(Operation::GetBalance) >= asked);
    let lines = found.sink.lines();
    let changes: Vec<_> = lines
        .iter()
        .filter_map(|line| match &line.event {
            Event::Breaker(breaker) => Some(breaker.is_open),
            _ => None,
        })
        .collect();
    assert_eq!(changes, [true, false]);
    let (counts, _) = found.end();
    assert!(counts.left_out[&LeftOut::BreakerOpen] >= 50, "{counts:?}");
    assert!(counts.total(Verdict::Match) > 0);
}

#[test]
fn large_answers_are_bounded_by_their_bytes() {
    let gate = Arc::new(Gate::default());
    let settings = OffPath {
        workers: 1,
        queue_bytes: 1,
        ..quick()
    };
    let behind = Arc::clone(&gate);
    let found = pair(settings, &[], move |_, _| {
        behind.pass();
        Ok(5)
    });
    // One may be there whatever its size, a second may not.
    found.shadow.get_transaction("id").expect("answered");
    found.shadow.get_transaction("id").expect("answered");
    ask(&found.shadow, 1);
    gate.open();
    until("its room is free again", || {
        found
            .shadow
            .status()
            .is_some_and(|status| status.queued_bytes == 0)
    });
    found.shadow.get_transaction("id").expect("answered");
    let (counts, _) = found.end();
    assert_eq!(counts.left_out[&LeftOut::QueueFull], 1);
    assert_eq!(counts.total(Verdict::Match), 3);
}

#[test]
fn a_sample_is_compared_and_the_rest_is_counted() {
    let settings = OffPath {
        sampling: Sampling::default().with(Operation::GetBalance, 100_000),
        ..quick()
    };
    let found = pair(settings, &[], |_, _| Ok(5));
    for _ in 0..1000 {
        ask(&found.shadow, 1);
        // Slow enough for the queue.
        until("there is room", || {
            found
                .shadow
                .status()
                .is_some_and(|status| status.queued < 1000)
        });
    }
    let asked = Arc::clone(&found.secondary);
    let (counts, comparisons) = found.end();
    let compared = counts.total(Verdict::Match);
    assert!(compared.abs_diff(100) <= 5, "{compared}");
    assert_eq!(counts.left_out[&LeftOut::Sampling], 1000 - compared);
    assert_eq!(asked.calls(Operation::GetBalance), compared);
    assert_eq!(comparisons.len() as u64, compared);
}

#[test]
fn a_difference_of_the_moment_is_asked_again_later_and_others_go_on() {
    let found = pair(quick(), &[30, 30], |_, call| {
        Ok(if call == 1 { 6 } else { 5 })
    });
    ask(&found.shadow, 1);
    until("it waits", || {
        found
            .shadow
            .status()
            .is_some_and(|status| status.waiting == 1)
    });
    ask(&found.shadow, 20);
    until("it is settled", || {
        found
            .shadow
            .status()
            .is_some_and(|status| status.waiting == 0)
    });
    let (counts, comparisons) = found.end();
    assert_eq!(counts.total(Verdict::Recovered), 1);
    assert_eq!(counts.total(Verdict::Match), 20);
    let recovered = comparisons
        .iter()
        .find(|line| line.verdict == Verdict::Recovered);
    let recovered = recovered.expect("it was counted");
    assert_eq!((recovered.rechecks, recovered.sequence > 1), (1, true));
}

#[test]
fn what_waits_at_the_end_is_asked_once_more_and_never_called_a_mismatch() {
    for (second, verdict) in [(5, Verdict::Recovered), (6, Verdict::Inconclusive)] {
        let found = pair(quick(), &[60_000, 60_000], move |_, call| {
            Ok(if call == 1 { 6 } else { second })
        });
        ask(&found.shadow, 1);
        until("it waits", || {
            found
                .shadow
                .status()
                .is_some_and(|status| status.waiting == 1)
        });
        let (counts, _) = found.end();
        assert_eq!(counts.total(verdict), 1, "{counts:?}");
    }
}

#[test]
fn too_many_that_wait_are_inconclusive() {
    let settings = OffPath {
        waiting_calls: 3,
        ..quick()
    };
    let found = pair(settings, &[60_000], |_, _| Ok(6));
    ask(&found.shadow, 10);
    until("all are judged or wait", || {
        found.shadow.books().counts().total(Verdict::Inconclusive) == 7
    });
    let (counts, comparisons) = found.end();
    assert_eq!(counts.total(Verdict::Inconclusive), 10);
    let reasons = comparisons.iter().filter_map(|line| line.reason.as_deref());
    let full = reasons
        .filter(|reason| reason.starts_with("too many"))
        .count();
    assert_eq!(full, 7);
}

#[test]
fn calls_after_the_end_are_counted_as_dropped() {
    let found = pair(quick(), &[], |_, _| Ok(5));
    ask(&found.shadow, 3);
    assert!(found.shadow.finish(PATIENCE));
    ask(&found.shadow, 2);
    let (counts, _) = found.end();
    assert_eq!(counts.total(Verdict::Match), 3);
    assert_eq!(counts.left_out[&LeftOut::Ended], 2);
}

#[test]
fn an_end_in_the_middle_of_calls_loses_none() {
    for _ in 0..20 {
        let found = pair(quick(), &[], |_, _| Ok(5));
        let barrier = Barrier::new(5);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    ask(&found.shadow, 200);
                });
            }
            barrier.wait();
            found.shadow.finish(PATIENCE);
        });
        let (counts, _) = found.end();
        assert_eq!(counts.total_offered(), 800);
        let left_out = counts.left_out.get(&LeftOut::Ended).copied().unwrap_or(0);
        assert_eq!(counts.total(Verdict::Match) + left_out, 800, "{counts:?}");
    }
}

#[test]
fn panics_of_the_secondary_the_log_and_a_watcher_stay_where_they_are() {
    struct Broken;
    impl Watch for Broken {
        fn judged(&self, _: &Comparison) {
            resume_unwind(Box::new("the watcher breaks"));
        }
    }
    let disk = Arc::new(FullDisk::default());
    let shadow = Shadow::new(
        Arc::new(Double::new(Python, |_, _| Ok(5))),
        Arc::new(Double::new(Rust, |_, _| {
            resume_unwind(Box::new("the secondary breaks"))
        })),
        Policy {
            recheck_after_ms: Vec::new(),
        },
        Box::new(Arc::clone(&disk)),
        true,
    );
    let shadow = shadow
        .watched_by(vec![Arc::new(Broken)])
        .off_path(quick())
        .expect("threads");
    ask(&shadow, 50);
    let books = shadow.books();
    assert!(shadow.finish(PATIENCE));
    drop(shadow);
    let counts = books.counts();
    assert!(counts.close(), "{counts:?}");
    assert_eq!(counts.total(Verdict::Mismatch), 50);
    // Each line, and each word to the watcher.
    assert_eq!(counts.lost_lines, disk.offered.load(Ordering::SeqCst) + 50);
}

#[test]
fn a_secondary_a_thousand_times_slower_is_dropped_from_and_not_waited_for() {
    let settings = OffPath {
        queue_calls: 8,
        workers: 1,
        ..quick()
    };
    let found = pair(settings, &[], |_, _| {
        thread::sleep(Duration::from_millis(5));
        Ok(5)
    });
    ask(&found.shadow, 500);
    let (counts, _) = found.end();
    assert!(counts.left_out[&LeftOut::QueueFull] > 400, "{counts:?}");
    assert!(counts.total(Verdict::Match) >= 8, "{counts:?}");
}

#[test]
fn the_tip_is_looked_at_and_stamped() {
    let settings = OffPath {
        look_every: Duration::from_millis(5),
        ..quick()
    };
    let found = pair(settings, &[], |_, _| Ok(5));
    until("the tip is known", || {
        ask(&found.shadow, 1);
        let lines = found.sink.lines();
        lines.iter().any(|line| {
            matches!(&line.event, Event::Comparison(comparison)
                if comparison.primary.tips == Some([5, 5])
                && comparison.secondary.as_ref().is_some_and(|side| side.tips == Some([5, 5])))
        })
    });
    found.end();
}

#[test]
fn memory_and_totals_are_reported_now_and_then() {
    let settings = OffPath {
        report_every: Duration::from_millis(10),
        ..quick()
    };
    let found = pair(settings, &[], |_, _| Ok(5));
    until("there are reports", || {
        let lines = found.sink.lines();
        let reports = lines.iter().filter(|line| {
            matches!(&line.event, Event::Memory(memory)
                if memory.rss_bytes > 0 && memory.peak_rss_bytes >= memory.rss_bytes)
        });
        reports.count() >= 2
    });
    found.end();
}
