//! The chain grows, and the books say what the node would.

use std::sync::{Arc, Mutex};

use btc_regtest::{Chain, Node};
use btc_rust::wallet::source::{ChainSource, Follower};

use crate::wallet::{CHANGE, SIGNER, Wallet, nodes, pay, receive, script, stranger};

#[test]
fn what_is_paid_and_spent_is_found_over_every_kind_of_node() {
    for (name, node) in nodes() {
        let mut chain = Chain::new(&node, 1).expect("regtest");
        chain.mine(110).expect("blocks");
        let mut wallet = Wallet::new(&node, 0);
        assert_eq!(wallet.sync().balance.spendable_sat(), 0, "{name}");
        for index in [0, 3, 7] {
            pay(&mut chain, receive(index), 100_000 + u64::from(index));
            pay(&mut chain, script(CHANGE, index), 50_000);
        }
        wallet.sync_right(&node);
        chain.mine(12).expect("blocks");
        let view = wallet.sync_right(&node);
        assert_eq!(view.balance.confirmed_sat, 450_010, "{name}");
        assert!(view.coins.is_sorted_by_key(|coin| (
            std::cmp::Reverse(coin.value_sat),
            coin.outpoint.txid,
            coin.outpoint.vout
        )));

        let spend = Wallet::spend(&view.coins[..3], &[(stranger(), 60_000)], 9, 0);
        wallet.send(&spend);
        let pending = wallet.sync_right(&node);
        assert!(pending.balance.trusted_pending_sat > 200_000, "{name}");
        let entry = &wallet.ledger.history()[0];
        assert_eq!(
            (entry.txid, entry.block),
            (spend.compute_txid(), None),
            "{name}"
        );
        assert_eq!(entry.fee_sat, Some(2_000), "{name}");
        assert_eq!(entry.net_sat(), -62_000, "{name}");

        chain.mine(1).expect("a block");
        let after = wallet.sync_right(&node);
        let mut fresh = Wallet::new(&node, 0);
        assert_eq!(fresh.sync(), after, "{name}");
        assert_eq!(wallet.ledger.highest_used(CHANGE), Some(9), "{name}");
        let first = wallet.ledger.history()[0].clone();
        assert_eq!(first.txid, spend.compute_txid(), "{name}");
        assert_eq!(first.block.map(|block| block.height), Some(123), "{name}");

        // Nothing comes back: only the inputs say that this one matters.
        let drained = [(stranger(), 240_000)];
        wallet.send(&Wallet::spend_as(&SIGNER, &after.coins, &drained));
        chain.mine(6).expect("blocks");
        assert_eq!(wallet.sync_right(&node).coins, [], "{name}");
        // Paid and spent between two syncs, by outputs that are learned on the way.
        let mut fresh = Wallet::new(&node, 0);
        pay(&mut chain, receive(0), 80_000);
        chain.mine(1).expect("a block");
        let coins = fresh.sync().coins;
        assert_eq!(coins.len(), 1, "{name}");
        wallet.send(&Wallet::spend_as(&SIGNER, &coins, &[(stranger(), 79_000)]));
        chain.mine(6).expect("blocks");
        assert_eq!(wallet.sync_right(&node).coins, [], "{name}");
        assert_eq!(fresh.sync().coins, [], "{name}");
    }
}

#[test]
fn a_long_chain_is_followed_with_few_blocks_in_the_books_and_progress_told() {
    let node = Node::builder().block_filters(true).start().expect("a node");
    let mut chain = Chain::new(&node, 2).expect("regtest");
    chain.mine(1_300).expect("blocks");
    pay(&mut chain, receive(1), 70_000);
    chain.mine(1_200).expect("blocks");
    let mut wallet = Wallet::new(&node, 0);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    wallet.ledger.on_progress(Some(Box::new(move |done, total| {
        heard.lock().expect("no panic").push((done, total));
    })));
    let view = wallet.sync();
    assert_eq!(view.balance.confirmed_sat, 70_000);
    assert_eq!(view.coins[0].block.map(|block| block.height), Some(1_301));
    assert!(wallet.ledger.checkpoints().len() < 20);
    let told = told.lock().expect("no panic").clone();
    assert!(
        told.contains(&(2_501, 2_501)) && told.contains(&(100, 2_501)),
        "{told:?}"
    );
    assert_eq!(wallet.reopen(), view);
}

#[test]
fn coins_of_blocks_ripen_after_a_hundred_confirmations() {
    let node = Node::builder().start().expect("a node");
    let mut chain = Chain::new(&node, 3).expect("regtest");
    chain.mine(3).expect("blocks");
    let mut wallet = Wallet::new(&node, 0);
    Wallet::mine_own(&node, 0);
    let view = wallet.sync_right(&node);
    assert_eq!(view.balance.immature_sat, 5_000_000_000);
    assert_eq!(view.balance.spendable_sat(), 0);
    chain.mine(98).expect("blocks");
    assert_eq!(wallet.sync_right(&node).balance.confirmed_sat, 0);
    chain.mine(1).expect("a block");
    assert_eq!(
        wallet.sync_right(&node).balance.confirmed_sat,
        5_000_000_000
    );
}

#[test]
fn a_source_says_its_name_its_tip_and_its_peers() {
    let node = Node::builder().listen(true).start().expect("a node");
    let other = Node::builder().start().expect("a node");
    let mut chain = Chain::new(&node, 4).expect("regtest");
    let tip = *chain.mine(2).expect("blocks").last().expect("two");
    let wallet = Wallet::new(&node, 0);
    assert_eq!(wallet.source.name(), "core");
    let told = wallet.source.tip().expect("a tip");
    assert_eq!((told.height, told.hash), (2, tip));
    assert_eq!(wallet.source.peers().expect("no peers"), []);
    let address = node.p2p_address().expect("it listens").to_string();
    let params = [serde_json::json!(address), serde_json::json!("onetry")];
    other
        .call::<serde_json::Value>("addnode", &params)
        .expect("a call");
    let peer = (0..500).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        wallet.source.peers().expect("peers").pop()
    });
    let peer = peer.expect("it comes within ten seconds");
    assert_eq!(peer.is_inbound, Some(true));
    assert!(!peer.services.is_empty());
}
