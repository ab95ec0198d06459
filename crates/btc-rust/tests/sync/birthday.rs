//! What lies before the birthday does not count, and is not asked for.

use btc_regtest::{Chain, Node};
use btc_rust::wallet::source::{ChainSource, Follower};
use serde_json::json;

use crate::reference::{self, State};
use crate::wallet::{Wallet, nodes, pay, receive};

#[test]
fn the_scan_begins_at_the_birthday() {
    for (name, node) in nodes() {
        let mut chain = Chain::new(&node, 1).expect("regtest");
        chain.mine(110).expect("blocks");
        pay(&mut chain, receive(0), 10_000);
        chain.mine(1).expect("a block");
        pay(&mut chain, receive(1), 20_000);
        chain.mine(8).expect("blocks");
        for (birthday, sat) in [
            (0, 30_000),
            (111, 30_000),
            (112, 20_000),
            (113, 0),
            (119, 0),
        ] {
            let mut wallet = Wallet::new(&node, birthday);
            let view = wallet.sync_right(&node);
            assert_eq!(view.balance.confirmed_sat, sat, "{name}: {birthday}");
        }
    }
}

#[test]
fn a_birthday_above_the_tip_waits_for_its_block() {
    let node = Node::builder().start().expect("a node");
    let mut chain = Chain::new(&node, 2).expect("regtest");
    chain.mine(110).expect("blocks");
    let mut wallet = Wallet::new(&node, 113);
    pay(&mut chain, receive(0), 10_000);
    chain.mine(1).expect("a block");
    assert_eq!(wallet.sync().tip.height, 111);
    pay(&mut chain, receive(1), 20_000);
    chain.mine(1).expect("a block");
    wallet.sync_right(&node);
    pay(&mut chain, receive(2), 40_000);
    chain.mine(1).expect("a block");
    assert_eq!(wallet.sync_right(&node).balance.confirmed_sat, 40_000);
    // The node falls back below the birthday and comes up another way.
    chain.disconnect(6).expect("blocks");
    chain.mine_empty(3).expect("blocks");
    assert_eq!(wallet.sync().balance.confirmed_sat, 0);
    chain.mine_empty(6).expect("blocks");
    wallet.sync_right(&node);
}

#[test]
fn blocks_that_a_node_has_pruned_are_an_error_that_says_which() {
    let node = Node::builder()
        .prune(1)
        .arg("-fastprune")
        .start()
        .expect("a node");
    let mut chain = Chain::new(&node, 3).expect("regtest");
    chain.mine(110).expect("blocks");
    let mut old = Wallet::new(&node, 0);
    let mut young = Wallet::new(&node, 900);
    chain.mine(890).expect("blocks");
    let pruned: u32 = node
        .call("pruneblockchain", &[json!(700)])
        .expect("a node that prunes");
    assert!(pruned > 100, "{pruned}");
    let error = old.source.follow(&mut old.ledger).expect_err("pruned");
    assert_eq!(error.kind(), btc_iface::ErrorKind::NotFound);
    assert!(error.message().starts_with("block 0 is needed"), "{error}");
    assert!(error.message().contains("birthday"), "{error}");
    assert_eq!(old.ledger.scanned(), None);
    young.sync();
    assert_eq!(State::from(&young.sync()), reference::state(&node, 900));
}
