//! Transactions on a chain that moves: coins that the secondary does not know, and its tip.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use btc_iface::BitcoinInterface;
use btc_shadow::compare::Verdict;

use super::double::{Primary, Twin};
use super::honest::{block, coin, payment, plan, snapshot, state};
use super::{Scene, expect, expect_reason, scene_of};

/// A twin that at its `n`th plan is at some height and does not know some coins.
fn following(view: impl Fn(u64) -> (u32, Vec<u8>) + Send + Sync + 'static) -> Twin {
    Twin {
        plan: Box::new(move |outputs, fee_rate, snapshot, call| {
            let mut planned = plan(outputs, fee_rate, snapshot)?;
            let (height, unknown) = view(call);
            planned.tip = block(height);
            planned.unknown_coins = unknown.into_iter().map(coin).collect();
            Ok(planned)
        }),
        ..Twin::honest()
    }
}

fn asked(twin: Twin, primary_twin: Option<Twin>) -> Scene {
    let scene = scene_of(3, Primary::honest(), twin, primary_twin);
    let made = scene.shadow.create_transaction(payment(60_000), 2);
    let expected = plan(&payment(60_000), 2, &snapshot()).expect("enough coins");
    assert_eq!(made.expect("made"), expected.transaction);
    assert_eq!(scene.primary.acted.load(Ordering::Relaxed), 1);
    scene
}

fn unknown(number: u8) -> String {
    format!("snapshot.coins[{}]", coin(number))
}

#[test]
fn a_missing_coin_on_the_same_tip_is_a_mismatch() {
    let scene = asked(following(|_| (100, vec![2])), None);
    let found = scene.comparison();
    expect(&found, Verdict::Mismatch, &[&unknown(2)]);
    assert_eq!(found.differences[0].primary, "spendable");
    assert_eq!(found.differences[0].secondary, "unknown");
    assert!(found.differences[0].tip);
    // The call itself, three rechecks, and once more to see that both stay with it.
    assert_eq!(scene.twin.plans.load(Ordering::Relaxed), 5);
}

#[test]
fn a_missing_coin_does_not_hide_another_fault() {
    let twin = Twin {
        plan: Box::new(|outputs, fee_rate, snapshot, _| {
            let mut planned = plan(outputs, fee_rate, snapshot)?;
            planned.transaction.lock_time += 1;
            planned.unknown_coins = vec![coin(0)];
            Ok(planned)
        }),
        ..Twin::honest()
    };
    let scene = asked(twin, None);
    let found = scene.comparison();
    expect(&found, Verdict::Mismatch, &["lock_time", &unknown(0)]);
    assert_eq!(scene.twin.plans.load(Ordering::Relaxed), 1);
}

#[test]
fn a_stale_tip_that_catches_up_is_recovered() {
    let late = following(|call| {
        if call < 3 {
            (99, vec![0])
        } else {
            (100, vec![])
        }
    });
    let scene = asked(late, None);
    let found = scene.comparison();
    expect(&found, Verdict::Recovered, &["snapshot.tip", &unknown(0)]);
    assert!(found.differences[0].primary.starts_with("100 "));
    assert!(found.differences[0].secondary.starts_with("99 "));
    assert_eq!(scene.twin.plans.load(Ordering::Relaxed), 3);
}

#[test]
fn a_twin_that_does_not_follow_the_chain_to_plan_is_made_to() {
    let is_following = Arc::new(AtomicBool::new(false));
    let has_followed = Arc::clone(&is_following);
    let twin = Twin {
        plan: Box::new(move |outputs, fee_rate, snapshot, _| {
            let mut planned = plan(outputs, fee_rate, snapshot)?;
            if !has_followed.load(Ordering::Relaxed) {
                planned.unknown_coins = vec![coin(0)];
            }
            Ok(planned)
        }),
        state: Box::new(move || {
            is_following.store(true, Ordering::Relaxed);
            Ok(state())
        }),
        ..Twin::honest()
    };
    let found = asked(twin, None).comparison();
    expect(&found, Verdict::Recovered, &[&unknown(0)]);
}

#[test]
fn a_stale_tip_that_stays_is_a_mismatch_even_when_all_coins_are_known() {
    let found = asked(following(|_| (99, vec![])), None).comparison();
    expect(&found, Verdict::Mismatch, &["snapshot.tip"]);
    let found = asked(following(|_| (99, vec![0])), None).comparison();
    expect(&found, Verdict::Mismatch, &["snapshot.tip", &unknown(0)]);
}

#[test]
fn a_chain_that_moved_on_leaves_the_question_open() {
    let moved = following(|call| {
        if call < 2 {
            (100, vec![0])
        } else {
            (101, vec![0])
        }
    });
    let found = asked(moved, None).comparison();
    let reason = "the chain moved on from the snapshot";
    expect_reason(&found, Verdict::Inconclusive, reason);
    expect(&found, Verdict::Inconclusive, &[&unknown(0)]);
}

#[test]
fn a_tip_that_is_ahead_and_knows_every_coin_is_a_match() {
    let scene = asked(following(|_| (101, vec![])), None);
    expect(&scene.comparison(), Verdict::Match, &[]);
    assert_eq!(scene.twin.plans.load(Ordering::Relaxed), 1);
}

#[test]
fn a_coin_that_neither_side_has_any_more_is_recovered() {
    let spent = || following(|_| (101, vec![2]));
    let found = asked(spent(), Some(spent())).comparison();
    expect(&found, Verdict::Recovered, &[&unknown(2)]);
}

#[test]
fn a_coin_that_only_the_primary_still_has_is_a_mismatch_wherever_the_chain_went() {
    let ours = following(|_| (101, vec![]));
    let found = asked(following(|_| (101, vec![2])), Some(ours)).comparison();
    expect(&found, Verdict::Mismatch, &[&unknown(2)]);
}

#[test]
fn another_block_at_the_same_height_is_another_chain() {
    let twin = Twin {
        plan: Box::new(|outputs, fee_rate, snapshot, _| {
            let mut planned = plan(outputs, fee_rate, snapshot)?;
            planned.tip.hash = block(7).hash;
            planned.unknown_coins = vec![coin(0)];
            Ok(planned)
        }),
        ..Twin::honest()
    };
    let found = asked(twin, None).comparison();
    let reason = "the chain moved on from the snapshot";
    expect_reason(&found, Verdict::Inconclusive, reason);
}

#[test]
fn coins_that_come_and_go_while_both_sides_are_asked_leave_the_question_open() {
    let theirs = || following(|_| (100, vec![2]));
    let moving = following(|call| {
        (
            100,
            if call.is_multiple_of(2) {
                vec![0]
            } else {
                vec![1]
            },
        )
    });
    let found = asked(theirs(), Some(moving)).comparison();
    let reason = "an answer changed while both sides were asked";
    expect_reason(&found, Verdict::Inconclusive, reason);
    // A primary that stays with what it said is contradicted.
    let still = following(|_| (100, vec![]));
    let found = asked(theirs(), Some(still)).comparison();
    expect(&found, Verdict::Mismatch, &[&unknown(2)]);
}
