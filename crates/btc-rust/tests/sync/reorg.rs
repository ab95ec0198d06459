//! Blocks taken back: what was in them counts where it turns up again, and nowhere else.

use std::sync::Arc;

use bitcoin::{Address, Network};
use btc_regtest::{Chain, Node};
use btc_rust::wallet::source::Follower;
use serde_json::{Value, json};

use crate::wallet::{RECEIVE, Wallet, nodes, pay, receive, stranger};

/// One payment in, one payment out and one reward, all in the last `depth` blocks; then the node
/// takes the blocks back, and the coin of the payment out goes to somebody else.
fn reorganise(node: &Node, chain: &mut Chain<'_>, wallet: &mut Wallet, depth: u32) {
    pay(chain, receive(0), 300_000);
    chain.mine(1).expect("a block");
    wallet.sync();
    let coins: Vec<_> = wallet.sync().coins;
    let coin = coins
        .iter()
        .find(|coin| coin.value_sat == 300_000)
        .expect("just paid")
        .clone();
    let paid = pay(chain, receive(1), 10_000);
    let spend = Wallet::spend(std::slice::from_ref(&coin), &[(stranger(), 200_000)], 1, 0);
    wallet.send(&spend);
    chain.mine(1).expect("a block");
    Wallet::mine_own(node, 2);
    let above = depth.checked_sub(2).expect("two blocks at least");
    chain.mine(above).expect("blocks");
    let before = wallet.sync_right(node);
    assert!(before.balance.immature_sat > 0 || depth > 101);

    chain.disconnect(depth).expect("blocks");
    let other = Wallet::spend(&[coin], &[(stranger(), 100_000)], 2, 5_000);
    chain
        .mine_transactions(std::slice::from_ref(&other))
        .expect("a block");
    chain.mine_empty(depth).expect("blocks");
    let after = wallet.sync_right(node);
    assert_eq!(after.balance.immature_sat, 0);
    let is_counted = |wallet: &Wallet, txid| {
        let known = wallet.ledger.transaction(txid);
        known.expect("the wallet's").is_counted
    };
    assert!(!is_counted(wallet, spend.compute_txid()), "replaced");
    assert!(is_counted(wallet, other.compute_txid()));
    // Core gives back the transactions of the last ten blocks only.
    assert_eq!(is_counted(wallet, paid), depth <= 10, "depth {depth}");
    let mut fresh = Wallet::new(node, wallet.birthday);
    assert_eq!(fresh.sync(), after);
    chain.mine(1).expect("a block");
    wallet.sync_right(node);
}

#[test]
fn a_reorganisation_of_any_depth_leaves_what_the_other_branch_has() {
    for (name, node) in nodes() {
        let mut chain = Chain::new(&node, 1).expect("regtest");
        chain.mine(250).expect("blocks");
        let mut wallet = Wallet::new(&node, 5);
        wallet.sync();
        let depths: &[u32] = if name == "filters" {
            &[2, 3, 9, 10, 11, 40, 100]
        } else {
            &[2, 11]
        };
        for depth in depths {
            reorganise(&node, &mut chain, &mut wallet, *depth);
        }
    }
}

#[test]
fn every_depth_is_undone_and_done_again() {
    let node = Node::builder().start().expect("a node");
    let mut chain = Chain::new(&node, 2).expect("regtest");
    chain.mine(220).expect("blocks");
    let mut wallet = Wallet::new(&node, 0);
    wallet.sync();
    for depth in 1..=100 {
        if depth % 9 == 0 {
            pay(&mut chain, receive(depth % 10), 10_000 + u64::from(depth));
        }
        let reorg = chain.reorg(depth).expect("another branch");
        let view = wallet.sync();
        assert_eq!(view.tip.height, reorg.fork_height + depth + 1);
        assert_eq!(Some(&view.tip.hash), reorg.connected.last());
        assert!(wallet.ledger.checkpoints().len() < 70);
        if depth % 9 == 0 {
            wallet.sync_right(&node);
        }
    }
}

#[test]
fn a_reorganisation_to_the_birthday_and_below_it_leaves_nothing_behind() {
    let node = Node::builder().start().expect("a node");
    let mut chain = Chain::new(&node, 3).expect("regtest");
    chain.mine(110).expect("blocks");
    let mut wallet = Wallet::new(&node, 112);
    for index in 0..4 {
        pay(&mut chain, receive(index), 50_000);
        chain.mine(1).expect("a block");
        wallet.sync_right(&node);
    }
    chain.reorg_empty(3).expect("another branch");
    wallet.sync_right(&node);
    chain.reorg_empty(14).expect("another branch");
    wallet.sync_right(&node);
    assert_eq!(
        wallet.ledger.highest_used(RECEIVE),
        Some(3),
        "used for ever"
    );
}

#[test]
fn a_branch_that_comes_back_counts_again() {
    let node = Node::builder().start().expect("a node");
    let mut chain = Chain::new(&node, 4).expect("regtest");
    chain.mine(110).expect("blocks");
    let mut wallet = Wallet::new(&node, 0);
    wallet.sync();
    pay(&mut chain, receive(0), 50_000);
    wallet.sync_right(&node);
    let first = chain.mine(1).expect("a block")[0];
    Wallet::mine_own(&node, 1);
    let before = wallet.sync_right(&node);
    let hash = serde_json::json!(first);
    for _ in 0..3 {
        let _: serde_json::Value = node
            .call("invalidateblock", std::slice::from_ref(&hash))
            .expect("a block");
        let view = wallet.sync_right(&node);
        assert_eq!(view.balance.untrusted_pending_sat, 50_000);
        assert_eq!(view.balance.immature_sat, 0);
        let _: serde_json::Value = node
            .call("reconsiderblock", std::slice::from_ref(&hash))
            .expect("a block");
        assert_eq!(wallet.sync_right(&node), before);
    }
}

#[test]
fn what_the_other_branch_confirms_before_the_birthday_does_not_count() {
    let node = Node::builder().start().expect("a node");
    let mut chain = Chain::new(&node, 5).expect("regtest");
    chain.mine(110).expect("blocks");
    let mut wallet = Wallet::new(&node, 108);
    pay(&mut chain, receive(0), 500_000);
    assert_eq!(wallet.sync_right(&node).coins.len(), 1);
    chain.disconnect(4).expect("blocks");
    // Block 107 confirms it; the next payment spends its change, so it is an ancestor of one that
    // counts.
    chain.mine(1).expect("a block");
    let child = pay(&mut chain, receive(1), 20_000);
    let raw: String = node
        .call("getrawtransaction", &[serde_json::json!(child)])
        .expect("a transaction");
    let raw: bitcoin::Transaction =
        bitcoin::consensus::encode::deserialize_hex(&raw).expect("a transaction");
    let parent = raw.input[0].previous_output.txid;
    assert!(
        wallet.ledger.transaction(parent).is_some(),
        "the first payment"
    );
    assert_eq!(wallet.sync_right(&node).coins.len(), 1);
    chain.mine(4).expect("blocks");
    let view = wallet.sync_right(&node);
    assert_eq!(view.balance.spendable_sat(), 20_000);
}

#[test]
fn a_reorganisation_while_blocks_are_read_again_leaves_nothing_of_the_old_branch() {
    for (name, node) in nodes() {
        let node = Arc::new(node);
        let mut chain = Chain::new(&node, 5).expect("regtest");
        chain.mine(257).expect("blocks");
        pay(&mut chain, receive(0), 70_000);
        chain.mine(3).expect("blocks");
        let mut wallet = Wallet::new(&node, 0);
        assert_eq!(wallet.sync().balance.confirmed_sat, 70_000, "{name}");
        wallet.ledger.read_again_from(0).expect("a file");
        let other = Arc::clone(&node);
        let mut is_done = false;
        wallet.ledger.on_progress(Some(Box::new(move |_, _| {
            if !std::mem::replace(&mut is_done, true) {
                replace_three(&other);
            }
        })));
        // The payment waits again, and the block that it was in has no other.
        let view = wallet.sync_right(&node);
        assert_eq!(view.balance.confirmed_sat, 0, "{name}");
        assert_eq!(view.balance.untrusted_pending_sat, 70_000, "{name}");
    }
}

/// Four empty blocks in place of the last three.
fn replace_three(node: &Node) {
    let hash: Value = node.call("getblockhash", &[json!(258)]).expect("a block");
    let _: Value = node.call("invalidateblock", &[hash]).expect("its end");
    let address = Address::from_script(&stranger(), Network::Regtest).expect("an address");
    for _ in 0..4 {
        let none: [String; 0] = [];
        let block = node.call::<Value>("generateblock", &[json!(address), json!(none)]);
        block.expect("an empty block");
    }
}
