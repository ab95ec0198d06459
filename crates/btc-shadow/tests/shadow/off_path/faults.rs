//! What goes wrong beside the caller: it costs a verdict, a line or a thread, and nobody's answer.

use super::*;

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
        until("both workers hang", || {
            gate.held.load(Ordering::SeqCst) == 2
        });
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

/// Slower by count and not by the clock: each of its answers takes a thousand of the primary's.
#[test]
fn a_secondary_a_thousand_times_slower_is_dropped_from_and_not_waited_for() {
    const CALLS: u64 = 5_000;
    const QUEUE: u64 = 8;
    let settings = OffPath {
        queue_calls: 8,
        workers: 1,
        ..quick()
    };
    let answered = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let (count, over) = (Arc::clone(&answered), Arc::clone(&is_over));
    let found = pair(settings, &[], move |_, _| {
        let later = count.load(Ordering::SeqCst) + 1_000;
        until("the primary goes on meanwhile", || {
            count.load(Ordering::SeqCst) >= later || over.load(Ordering::SeqCst)
        });
        Ok(5)
    });
    for _ in 0..CALLS {
        ask(&found.shadow, 1);
        answered.fetch_add(1, Ordering::SeqCst);
    }
    is_over.store(true, Ordering::SeqCst);
    let (counts, _) = found.end();
    // Those it was asked meanwhile, the one in hand, and those that waited at the end.
    let most = CALLS / 1_000 + 1 + QUEUE;
    let matches = counts.total(Verdict::Match);
    assert!((QUEUE..=most).contains(&matches), "{counts:?}");
    assert_eq!(counts.left_out[&LeftOut::QueueFull], CALLS - matches);
}
