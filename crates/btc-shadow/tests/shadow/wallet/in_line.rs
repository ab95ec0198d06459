//! Broadcasts that are compared while the caller waits: what the chain and the books did meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use btc_iface::BroadcastVerdict::Acceptable;
use btc_iface::{BitcoinError, BitcoinInterface, BlockRef, ErrorKind, Operation};
use btc_shadow::compare::Verdict;

use super::broadcast::{OPERATION, always};
use super::double::{Primary, Twin};
use super::honest::{block, snapshot, state};
use super::scene_of;
use super::turn::{judged, refusing, rival, without_lock_time};

/// The caller waits for the comparison, and no answer that passes by tells of the chain.
#[test]
fn in_line_a_reorganisation_to_the_same_height_during_the_call_leaves_the_question_open() {
    let found = |during: BlockRef, is_told: bool| {
        let tip = Arc::new(Mutex::new(snapshot().tip));
        let seen = Arc::clone(&tip);
        let primary = Primary {
            send: Box::new(move |transaction| {
                *tip.lock().expect("whole") = during;
                Ok(transaction.txid.to_string())
            }),
            ..Primary::honest()
        };
        let dropped = || always(Acceptable, None);
        let twin = Twin {
            state: Box::new(move || {
                let mut state = state();
                state.tip = *seen.lock().expect("whole");
                is_told.then_some(state).ok_or_else(|| {
                    crate::double::failure(Operation::GetBalance, ErrorKind::Unavailable)
                })
            }),
            ..dropped()
        };
        let scene = scene_of(2, primary, twin, Some(dropped()));
        let sent = scene.shadow.broadcast_transaction(&without_lock_time());
        sent.expect("sent");
        judged(&scene.shadow)
    };
    for moved in [rival(), block(snapshot().tip.height + 1)] {
        assert_eq!(found(moved, true), [(Verdict::Inconclusive, 1)]);
    }
    for is_told in [true, false] {
        let found = found(snapshot().tip, is_told);
        assert_eq!(found, [(Verdict::Mismatch, 1)], "it was never sent");
    }
}

/// Both sides' nodes are asked one after the other, and the chain may move between the two.
#[test]
fn two_nodes_that_are_asked_while_the_chain_moves_prove_nothing() {
    let found = |still_after: u64| {
        let height = Arc::new(AtomicU64::new(0));
        let moving = move || {
            let looks = height.fetch_add(1, Ordering::SeqCst).min(still_after);
            let mut state = state();
            state.tip = block(snapshot().tip.height + u32::try_from(looks).expect("few"));
            Ok(state)
        };
        let twin = Twin {
            state: Box::new(moving),
            ..always(Acceptable, None)
        };
        let primary = Some(refusing("dust"));
        let scene = scene_of(2, Primary::honest(), twin, primary);
        let sent = scene.shadow.broadcast_transaction(&without_lock_time());
        sent.expect("sent");
        judged(&scene.shadow)
    };
    assert_eq!(found(u64::MAX), [(Verdict::Inconclusive, 1)]);
    // It moved during the call; the two nodes differ on a chain that stands still.
    assert_eq!(found(4), [(Verdict::Mismatch, 1)]);
}

/// The node refused it; then another call of this program took its coins.
#[test]
fn a_refusal_by_books_that_changed_since_is_no_difference() {
    const BOOKS: &str = "coin-reserved-for-another-transaction: a coin is reserved";
    let found = |said: &'static str, secondary: &'static str, primary_now: Twin| {
        let primary = Primary {
            send: Box::new(move |_| Err(BitcoinError::new(ErrorKind::Rejected, OPERATION, said))),
            ..Primary::honest()
        };
        let scene = scene_of(2, primary, refusing(secondary), Some(primary_now));
        let refusal = scene.shadow.broadcast_transaction(&without_lock_time());
        assert_eq!(refusal.expect_err("refused").kind(), ErrorKind::Rejected);
        judged(&scene.shadow)
    };
    let by_node = "the node rejects the transaction: bad-txns-inputs-missingorspent";
    let open = [(Verdict::Inconclusive, 1)];
    assert_eq!(found(by_node, BOOKS, refusing(BOOKS)), open);
    // The primary does not say why, or says what no chain changes.
    for said in ["the node refused it: try again", "dust"] {
        assert_eq!(
            found(said, BOOKS, refusing(BOOKS)),
            [(Verdict::Mismatch, 1)]
        );
    }
    // The primary's own books say something else, or the reason does not come from books.
    for (secondary, primary_now) in [
        (BOOKS, refusing("dust")),
        (BOOKS, always(Acceptable, None)),
        ("dust", refusing("dust")),
    ] {
        let found = found(by_node, secondary, primary_now);
        assert_eq!(found, [(Verdict::Mismatch, 1)]);
    }
}
