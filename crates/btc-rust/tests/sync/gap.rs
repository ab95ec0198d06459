//! The window of watched scripts: what moves it, and what is found because it moved.

use btc_regtest::{Chain, Node};
use btc_rust::wallet::source::Follower;

use crate::wallet::{CHANGE, GAP, RECEIVE, Wallet, nodes, pay, receive, script};

#[test]
fn the_first_scan_is_repeated_until_the_window_stands_still() {
    for (name, node) in nodes() {
        let mut chain = Chain::new(&node, 1).expect("regtest");
        chain.mine(110).expect("blocks");
        // Each is beyond the window that those before it have opened.
        for (index, sat) in [(45, 1), (38, 2), (19, 4)] {
            pay(&mut chain, receive(index), sat * 10_000);
            chain.mine(1).expect("a block");
        }
        let mut wallet = Wallet::new(&node, 0);
        assert!(wallet.ledger.is_first_scan(), "{name}");
        assert_eq!(
            wallet.sync_right(&node).balance.confirmed_sat,
            70_000,
            "{name}"
        );
        assert!(!wallet.ledger.is_first_scan(), "{name}");
        assert_eq!(wallet.ledger.highest_used(RECEIVE), Some(45), "{name}");
        assert_eq!(
            wallet.ledger.watched().len(),
            // Six steps of the paid chain, two of each other.
            (6 + 7 * 2) * GAP as usize,
            "{name}"
        );
    }
}

#[test]
fn a_payment_that_waits_moves_the_window_over_blocks_that_were_read() {
    for (name, node) in nodes() {
        let mut chain = Chain::new(&node, 7).expect("regtest");
        chain.mine(110).expect("blocks");
        let mut wallet = Wallet::new(&node, 0);
        wallet.sync();
        pay(&mut chain, receive(2 * GAP + 2), 50_000);
        chain.mine(1).expect("a block");
        assert_eq!(wallet.sync().balance.confirmed_sat, 0, "{name}");
        // Within the window, and near enough to its end to move it.
        pay(&mut chain, receive(2 * GAP - 1), 30_000);
        let state = wallet.sync_right(&node);
        assert_eq!(state.balance.confirmed_sat, 50_000, "{name}");
        assert_eq!(state.balance.untrusted_pending_sat, 30_000, "{name}");
    }
}

#[test]
fn what_is_beyond_the_gap_is_not_found() {
    let node = Node::builder().block_filters(true).start().expect("a node");
    let mut chain = Chain::new(&node, 2).expect("regtest");
    chain.mine(110).expect("blocks");
    pay(&mut chain, receive(2 * GAP), 10_000);
    chain.mine(1).expect("a block");
    let mut wallet = Wallet::new(&node, 0);
    assert_eq!(wallet.sync().balance.confirmed_sat, 0);
    // An index given out elsewhere opens the window, for what comes.
    wallet
        .ledger
        .set_next(RECEIVE, 2 * GAP + 1)
        .expect("a file");
    assert_eq!(wallet.sync().balance.confirmed_sat, 0);
    pay(&mut chain, receive(2 * GAP), 20_000);
    chain.mine(1).expect("a block");
    // A payment moves the window, and blocks are read again.
    assert_eq!(wallet.sync().balance.confirmed_sat, 30_000);
    // Before the first scan it opens it for all blocks.
    let mut told = Wallet::new(&node, 0);
    told.ledger.set_next(RECEIVE, 2 * GAP + 1).expect("a file");
    assert_eq!(told.sync().balance.confirmed_sat, 30_000);
    assert_eq!(told.ledger.highest_used(RECEIVE), Some(2 * GAP));
    assert!(told.ledger.is_used(RECEIVE, 2 * GAP) && !told.ledger.is_used(RECEIVE, 0));
}

#[test]
fn blocks_already_on_their_way_are_looked_at_again_when_the_window_moves() {
    for (name, node) in nodes() {
        let mut chain = Chain::new(&node, 3).expect("regtest");
        chain.mine(110).expect("blocks");
        let mut wallet = Wallet::new(&node, 0);
        wallet.sync();
        for index in [9, 19, 29, 39, 49] {
            pay(&mut chain, receive(index), 10_000);
            chain.mine(1).expect("a block");
        }
        chain.mine(10).expect("blocks");
        assert_eq!(
            wallet.sync_right(&node).balance.confirmed_sat,
            50_000,
            "{name}"
        );
    }
}

#[test]
fn an_output_of_a_known_transaction_counts_once_its_script_is_watched() {
    let node = Node::builder().start().expect("a node");
    let mut chain = Chain::new(&node, 4).expect("regtest");
    chain.mine(110).expect("blocks");
    let mut wallet = Wallet::new(&node, 0);
    wallet.sync();
    let far = bitcoin::Amount::from_sat(10_000);
    chain
        .pay(
            &[(receive(45), far), (receive(24), far), (receive(15), far)],
            5,
        )
        .expect("coins");
    // 15 moves the window to 30 and with it 24 counts, which moves it to 40.
    assert_eq!(wallet.sync().balance.untrusted_pending_sat, 20_000);
    chain.mine(1).expect("a block");
    let before = wallet.sync();
    assert_eq!(before.balance.confirmed_sat, 20_000);
    assert_eq!(wallet.reopen(), before);
    pay(&mut chain, receive(31), 10_000);
    let after = wallet.sync_right(&node);
    assert_eq!(after.balance.confirmed_sat, 30_000, "45 as well");
}

#[test]
fn what_the_mempool_held_all_along_is_found_when_the_window_moves() {
    let node = Node::builder().start().expect("a node");
    let mut chain = Chain::new(&node, 5).expect("regtest");
    chain.mine(110).expect("blocks");
    let mut wallet = Wallet::new(&node, 0);
    pay(&mut chain, script(CHANGE, 28), 10_000);
    pay(&mut chain, script(CHANGE, 22), 20_000);
    assert_eq!(wallet.sync().balance.untrusted_pending_sat, 0);
    pay(&mut chain, script(CHANGE, 13), 40_000);
    assert_eq!(
        wallet.sync_right(&node).balance.untrusted_pending_sat,
        70_000
    );
}

#[test]
fn blocks_are_read_again_whenever_a_payment_moves_the_window() {
    for (name, node) in nodes() {
        let mut chain = Chain::new(&node, 6).expect("regtest");
        chain.mine(110).expect("blocks");
        let mut wallet = Wallet::new(&node, 0);
        wallet.sync();
        // Case 18 of the review, with a gap limit of ten: each beyond what those before it open.
        for index in [45, 25, 35, 55, 15, 5, 65] {
            pay(&mut chain, receive(index), 10_000);
            chain.mine(1).expect("a block");
            wallet.sync();
        }
        let running = wallet.sync_right(&node);
        assert_eq!(running.balance.confirmed_sat, 70_000, "{name}");
        assert!(!wallet.ledger.is_first_scan(), "{name}");
        let mut restored = Wallet::new(&node, 0);
        assert_eq!(restored.sync(), running, "{name}");
        assert_eq!(wallet.reopen(), running, "{name}");
    }
}
