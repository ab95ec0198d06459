//! Broadcasts whose turn comes later: what the chain did between the primary's answer and then.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::BroadcastVerdict::{Acceptable, Refused};
use btc_iface::{
    BitcoinError, BitcoinInterface, BitcoinTransaction, BlockRef, ErrorKind, Operation,
};
use btc_shadow::compare::Verdict;
use btc_shadow::record::Event;
use btc_shadow::sink::MemorySink;
use btc_shadow::{OffPath, Policy, Shadow};

use super::broadcast::{OPERATION, always, transaction};
use super::double::{Primary, Twin};
use super::honest::{block, payment, plan, seal, snapshot, state};
use super::scene_of;
use crate::double::Double;

/// What depends on the transaction alone, and what depends on the chain.
const REASONS: [&str; 2] = ["dust", "non-final"];

/// Both nodes have thrown it out.
pub(super) fn refusing(reason: &'static str) -> Twin {
    always(Refused, Some(reason))
}

/// Another block at the height of the snapshot's tip.
pub(super) fn rival() -> BlockRef {
    BlockRef {
        hash: block(7).hash,
        ..snapshot().tip
    }
}

/// The verdict on the one broadcast, once it is there.
pub(super) fn judged(shadow: &Shadow) -> Vec<(Verdict, u64)> {
    let books = shadow.books();
    loop {
        let counts = books.counts();
        if let Some(found) = counts.verdicts.get(&OPERATION).filter(|it| !it.is_empty()) {
            return found.clone().into_iter().collect();
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn until_matches(shadow: &Shadow, number: u64) {
    while shadow.books().counts().total(Verdict::Match) < number {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Off the caller's path on one thread, with looks at the tip so often; zero for never.
fn off_path(shadow: Shadow, look_every: Duration) -> Shadow {
    let settings = OffPath {
        workers: 1,
        look_every,
        ..OffPath::default()
    };
    shadow.off_path(settings).expect("threads")
}

/// A transaction that no reorganisation makes too early.
pub(super) fn without_lock_time() -> BitcoinTransaction {
    let mut transaction = transaction();
    transaction.lock_time = 0;
    seal(&mut transaction);
    transaction
}

/// What is found when the tip at the secondary's turn is `now`, and both nodes refuse for a reason.
fn found_at(now: BlockRef, has_built: bool, reason: &'static str) -> Vec<(Verdict, u64)> {
    found_of(&transaction(), Some(now), has_built, || refusing(reason))
}

/// The same of a transaction; the nodes say what `twin` does, and no tip if there is none.
fn found_of(
    transaction: &BitcoinTransaction,
    now: Option<BlockRef>,
    has_built: bool,
    twin: impl Fn() -> Twin,
) -> Vec<(Verdict, u64)> {
    let primary_twin = twin();
    let twin = Twin {
        state: Box::new(move || {
            let mut state = state();
            state.tip = now.ok_or_else(|| {
                crate::double::failure(Operation::GetBalance, ErrorKind::Unavailable)
            })?;
            Ok(state)
        }),
        ..twin()
    };
    let scene = scene_of(2, Primary::honest(), twin, Some(primary_twin));
    let shadow = off_path(scene.shadow, Duration::ZERO);
    let height = shadow.get_block_height().expect("a height");
    assert_eq!(height, snapshot().tip.height);
    if has_built {
        // Its snapshot names the block.
        let built = shadow.create_transaction(payment(60_000), 2);
        built.expect("enough coins");
    }
    shadow.broadcast_transaction(transaction).expect("sent");
    judged(&shadow)
}

#[test]
fn a_chain_that_moved_before_the_secondarys_turn_leaves_the_question_open() {
    let next = block(snapshot().tip.height + 1);
    for reason in REASONS {
        for has_built in [false, true] {
            let found = found_at(next, has_built, reason);
            assert_eq!(found, [(Verdict::Inconclusive, 1)]);
        }
    }
}

#[test]
fn a_chain_that_stood_still_leaves_the_primary_wrong() {
    for reason in REASONS {
        let found = found_at(snapshot().tip, true, reason);
        assert_eq!(found, [(Verdict::Mismatch, 1)], "{reason}");
    }
}

#[test]
fn a_reorganisation_to_the_same_height_is_a_chain_that_moved() {
    for reason in REASONS {
        let found = found_at(rival(), true, reason);
        assert_eq!(found, [(Verdict::Inconclusive, 1)], "{reason}");
    }
}

#[test]
fn where_the_height_alone_was_known_a_reason_that_another_chain_gives_leaves_the_question_open() {
    for tip in [snapshot().tip, rival()] {
        let found = found_at(tip, false, "non-final");
        assert_eq!(found, [(Verdict::Inconclusive, 1)]);
        // No chain makes a transaction dust.
        assert_eq!(found_at(tip, false, "dust"), [(Verdict::Mismatch, 1)]);
    }
}

#[test]
fn a_reorganisation_during_the_call_leaves_the_question_open() {
    let shadow: Arc<OnceLock<Shadow>> = Arc::default();
    let during = Arc::clone(&shadow);
    let built = AtomicU32::new(0);
    let primary = Primary {
        create: Box::new(move |outputs, fee_rate| {
            let planned = plan(outputs, fee_rate, &snapshot())?;
            let mut after = snapshot();
            if built.fetch_add(1, Ordering::SeqCst) > 0 {
                after.tip = rival();
            }
            Ok((planned.transaction, after))
        }),
        // Another caller sees the new block before the answer is there.
        send: Box::new(move |transaction| {
            let shadow = during.get().expect("it is there");
            shadow.create_transaction(payment(60_000), 2)?;
            Ok(transaction.txid.to_string())
        }),
        ..Primary::honest()
    };
    let twin = Twin {
        state: Box::new(|| {
            let mut state = state();
            state.tip = rival();
            Ok(state)
        }),
        ..refusing("non-final")
    };
    let scene = scene_of(2, primary, twin, Some(refusing("non-final")));
    let off_path = off_path(scene.shadow, Duration::ZERO);
    assert!(shadow.set(off_path).is_ok());
    let shadow = shadow.get().expect("it is there");
    shadow.get_block_height().expect("a height");
    shadow
        .create_transaction(payment(60_000), 2)
        .expect("enough coins");
    shadow.broadcast_transaction(&transaction()).expect("sent");
    assert_eq!(judged(shadow), [(Verdict::Inconclusive, 1)]);
}

#[test]
fn what_nodes_dropped_for_its_lock_time_may_have_been_sent() {
    let tip = snapshot().tip;
    let old = without_lock_time();
    let young = BitcoinTransaction {
        lock_time: tip.height,
        ..transaction()
    };
    let dropped = || always(Acceptable, None);
    let found = found_of(&young, Some(tip), false, dropped);
    assert_eq!(found, [(Verdict::Inconclusive, 1)]);
    for (transaction, has_built) in [(&young, true), (&old, true), (&old, false)] {
        let found = found_of(transaction, Some(tip), has_built, dropped);
        assert_eq!(found, [(Verdict::Mismatch, 1)], "it was never sent");
    }
}

#[test]
fn a_tip_that_is_not_told_excuses_nothing_by_itself() {
    let old = without_lock_time();
    let found = found_of(&old, None, true, || always(Acceptable, None));
    assert_eq!(found, [(Verdict::Mismatch, 1)]);
}

#[test]
fn a_chain_that_went_up_and_came_back_has_moved() {
    // No lock time explains it, and of the tip only heights are known: 100, 101, 100.
    let old = without_lock_time();
    let ahead = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&ahead);
    let shadow: Arc<OnceLock<Shadow>> = Arc::default();
    let during = Arc::clone(&shadow);
    let primary = Primary {
        height: Box::new(move || snapshot().tip.height + seen.load(Ordering::SeqCst)),
        // Another caller asks meanwhile.
        send: Box::new(move |transaction| {
            let shadow = during.get().expect("it is there");
            for blocks in [1, 0] {
                ahead.store(blocks, Ordering::SeqCst);
                shadow.get_block_height()?;
            }
            Ok(transaction.txid.to_string())
        }),
        ..Primary::honest()
    };
    let dropped = || always(Acceptable, None);
    let scene = scene_of(2, primary, dropped(), Some(dropped()));
    let off_path = off_path(scene.shadow, Duration::ZERO);
    assert!(shadow.set(off_path).is_ok());
    let shadow = shadow.get().expect("it is there");
    shadow.get_block_height().expect("a height");
    shadow.broadcast_transaction(&old).expect("sent");
    assert_eq!(judged(shadow), [(Verdict::Inconclusive, 1)]);
}

/// Refused as too early; then a reorganisation takes its inputs away.
#[test]
fn two_refusals_of_two_chains_are_no_difference() {
    let found = |now: BlockRef| {
        let primary = Primary {
            send: Box::new(|_| {
                let message = "the node rejects the transaction: non-final";
                Err(BitcoinError::new(ErrorKind::Rejected, OPERATION, message))
            }),
            ..Primary::honest()
        };
        let refused = || refusing("bad-txns-inputs-missingorspent");
        let twin = Twin {
            state: Box::new(move || {
                let mut state = state();
                state.tip = now;
                Ok(state)
            }),
            ..refused()
        };
        let scene = scene_of(2, primary, twin, Some(refused()));
        let shadow = off_path(scene.shadow, Duration::ZERO);
        shadow.get_block_height().expect("a height");
        let built = shadow.create_transaction(payment(60_000), 2);
        built.expect("enough coins");
        let refusal = shadow.broadcast_transaction(&transaction());
        assert_eq!(
            refusal.expect_err("it is refused").kind(),
            ErrorKind::Rejected
        );
        judged(&shadow)
    };
    for moved in [rival(), block(snapshot().tip.height + 1)] {
        assert_eq!(found(moved), [(Verdict::Inconclusive, 1)]);
    }
    assert_eq!(
        found(snapshot().tip),
        [(Verdict::Mismatch, 1)],
        "one of them is wrong"
    );
}

#[test]
fn a_look_at_the_tip_asks_no_wallet() {
    let asked = Arc::default();
    let counts = Arc::clone(&asked);
    let twin = Twin {
        state: Box::new(move || {
            AtomicU64::fetch_add(&counts, 1, Ordering::SeqCst);
            Ok(state())
        }),
        ..Twin::honest()
    };
    let scene = scene_of(2, Primary::honest(), twin, Some(refusing(REASONS[0])));
    let shadow = off_path(scene.shadow, Duration::from_millis(1));
    for number in 1..=20 {
        shadow.get_block_height().expect("a height");
        until_matches(&shadow, number);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_queue_that_never_empties_does_not_hide_a_new_block() {
    let height = Arc::new(AtomicU32::new(100));
    let tip = Arc::clone(&height);
    let primary = Double::new(Python, move |operation, _| {
        Ok(match operation {
            Operation::GetBlockHeight => tip.load(Ordering::SeqCst).into(),
            _ => 5,
        })
    });
    let slow = Double::new(Rust, |_, _| {
        thread::sleep(Duration::from_millis(5));
        Ok(5)
    });
    let sink = Arc::new(MemorySink::default());
    let shadow = Shadow::new(
        Arc::new(primary),
        Arc::new(slow),
        Policy::default(),
        Box::new(Arc::clone(&sink)),
        true,
    );
    let shadow = off_path(shadow, Duration::from_millis(1));
    let has_seen = |height| {
        sink.lines().iter().any(|line| match &line.event {
            Event::Comparison(it) => it.primary.tips == Some([height; 2]),
            _ => false,
        })
    };
    for height_now in [100, 101] {
        height.store(height_now, Ordering::SeqCst);
        let deadline = Instant::now() + Duration::from_mins(1);
        while !has_seen(height_now) {
            assert!(Instant::now() < deadline, "nobody looks at the tip");
            // Twice as many as the worker compares meanwhile.
            for _ in 0..2 {
                shadow.get_balance().expect("the primary answers");
            }
            thread::sleep(Duration::from_millis(5));
        }
        let status = shadow.status().expect("it is off the path");
        assert!(height_now == 100 || status.queued > 0, "{status:?}");
    }
}
