//! How comparisons go, wait, are left out, and end.

use super::*;

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
    // So long that a busy machine sees it wait, and compares the others meanwhile.
    let found = pair(quick(), &[2_000, 30], |_, call| {
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
