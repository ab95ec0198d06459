//! Balances: one number, and the buckets and coins behind two that differ.

use std::panic::resume_unwind;

use btc_iface::BitcoinInterface;
use btc_shadow::compare::Verdict;

use super::double::{Primary, Twin};
use super::honest::{block, coin, state};
use super::{Scene, expect, scene_of};

/// A primary that has 120,000 sat, or this much more.
fn asked(more_sat: u64, twin: Twin, primary_twin: Option<Twin>) -> Scene {
    let primary = Primary {
        balance_sat: 120_000 + more_sat,
        ..Primary::honest()
    };
    let scene = scene_of(1, primary, twin, primary_twin);
    let balance = scene.shadow.get_balance();
    assert_eq!(balance.expect("a balance"), 120_000 + more_sat);
    scene
}

#[test]
fn equal_balances_are_not_taken_apart() {
    let unasked = || Twin {
        state: Box::new(|| resume_unwind(Box::new("it was asked"))),
        ..Twin::honest()
    };
    let found = asked(0, unasked(), Some(unasked())).comparison();
    expect(&found, Verdict::Match, &[]);
}

#[test]
fn without_the_primarys_twin_there_is_the_number_alone() {
    let found = asked(10_000, Twin::honest(), None).comparison();
    expect(&found, Verdict::Mismatch, &["balance_sat"]);
}

#[test]
fn a_difference_is_followed_to_the_bucket_and_the_coin() {
    let ours = Twin {
        state: Box::new(|| {
            let mut state = state();
            state.balance.confirmed_sat += 10_000;
            state.balance.immature_sat = 7;
            state.coins[1].1 += 9_999;
            state.coins.push((coin(9), 1));
            Ok(state)
        }),
        ..Twin::honest()
    };
    let found = asked(10_000, Twin::honest(), Some(ours)).comparison();
    let coins = [1, 9].map(|number| format!("coins[{}]", coin(number)));
    let fields = [
        "balance_sat",
        "balance.confirmed_sat",
        "balance.immature_sat",
        &coins[0],
        &coins[1],
    ];
    expect(&found, Verdict::Mismatch, &fields);
    let last = &found.differences[4];
    assert_eq!(
        (last.primary.as_str(), last.secondary.as_str()),
        ("1", "none")
    );
}

#[test]
fn states_at_different_tips_say_so() {
    let ahead = Twin {
        state: Box::new(|| {
            let mut state = state();
            state.tip = block(101);
            Ok(state)
        }),
        ..Twin::honest()
    };
    let found = asked(1, ahead, Some(Twin::honest())).comparison();
    expect(&found, Verdict::Mismatch, &["balance_sat", "tip"]);
}

#[test]
fn a_twin_that_panics_leaves_the_number() {
    let breaking = || Twin {
        state: Box::new(|| resume_unwind(Box::new("the twin breaks"))),
        ..Twin::honest()
    };
    let found = asked(1, Twin::honest(), Some(breaking())).comparison();
    expect(&found, Verdict::Mismatch, &["balance_sat"]);
    let found = asked(1, breaking(), Some(Twin::honest())).comparison();
    expect(&found, Verdict::Mismatch, &["balance_sat"]);
}
