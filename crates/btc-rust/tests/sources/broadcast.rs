//! Transactions handed to peers, and what becomes of the wallet's own.

use bitcoin::Transaction;
use bitcoin::consensus::encode::serialize_hex;
use btc_iface::ErrorKind;
use btc_regtest::{Chain, Node};
use btc_rust::wallet::source::ChainSource as _;
use btc_rust::wallet::source::Follower as _;
use btc_rust::wallet::source::p2p::P2pSource;
use serde_json::{Value, json};

use crate::setup::{config, connect, node, pay, peer, source};
use crate::wallet::Pocket;

fn mempool(node: &Node) -> Vec<String> {
    node.call("getrawmempool", &[]).expect("the node answers")
}

fn send(node: &Node, transaction: &Transaction) {
    let _: String = node
        .call("sendrawtransaction", &[json!(serialize_hex(transaction))])
        .expect("the node takes it");
}

#[test]
fn a_transaction_reaches_the_mempool_and_may_be_sent_twice() {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    chain.mine(103).expect("blocks");
    let transaction = chain.spend_one().expect("a transaction");
    let source = source(&node);
    for _ in 0..2 {
        let txid = source.broadcast(&transaction).expect("the node takes it");
        assert_eq!(txid, transaction.compute_txid());
        assert_eq!(mempool(&node), [txid.to_string()]);
    }
    chain.mine(1).expect("a block");
    source
        .broadcast(&transaction)
        .expect("it is in the newest block");
}

#[test]
fn what_two_peers_do_not_keep_is_rejected() {
    let (node, second) = (node(), node());
    let mut chain = Chain::new(&node, 2).expect("a chain");
    chain.mine(103).expect("blocks");
    connect(&node, &second);
    let good = chain.spend_one().expect("a transaction");
    let both = config(vec![peer(&node), peer(&second)]);
    let both = P2pSource::start(both).expect("a right configuration");
    let one = source(&node);
    let refused = |transaction: &Transaction| {
        let error = both.broadcast(transaction).expect_err("both refuse");
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        // One alone may have relayed it.
        let error = one.broadcast(transaction).expect_err("the node refuses");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    };
    let mut broken = good.clone();
    broken.output[0].value -= bitcoin::Amount::ONE_SAT;
    let mut homeless = good.clone();
    homeless.input[0].previous_output.vout = 77;
    refused(&broken);
    refused(&homeless);
    both.broadcast(&good).expect("the nodes take it");
    // A double spend that does not pay for its replacement.
    let mut rival = good.clone();
    rival.output.truncate(1);
    refused(&rival);
    assert_eq!(mempool(&node), [good.compute_txid().to_string()]);
}

#[test]
fn a_peer_that_is_away_is_passed_over() {
    let (first, second) = (node(), node());
    let mut chain = Chain::new(&second, 3).expect("a chain");
    chain.mine(103).expect("blocks");
    let transaction = chain.spend_one().expect("a transaction");
    first.stop().expect("it stops");
    let peers = vec![peer(&first), peer(&second)];
    let source = P2pSource::start(config(peers)).expect("a right configuration");
    source.broadcast(&transaction).expect("the second takes it");
    assert_eq!(mempool(&second).len(), 1);
    second.stop().expect("it stops");
    let error = source
        .broadcast(&transaction)
        .expect_err("no server is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[test]
fn an_own_transaction_counts_while_the_peer_has_it() {
    let node = node();
    let mut chain = Chain::new(&node, 4).expect("a chain");
    let mut pocket = Pocket::new("own");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[0, 1]);
    chain.mine(1).expect("a block");
    let source = source(&node);
    pocket.follow(&source).expect("the scan ends");
    let coins: Vec<_> = pocket.coins().into_keys().collect();
    let elsewhere = Pocket::new("elsewhere").script(0);

    let own = pocket.spend(coins[0], pocket.script(2), 500);
    source.broadcast(&own).expect("the node takes it");
    pocket.remember(&own);
    pocket.follow(&source).expect("the scan ends");
    assert!(pocket.counts(own.compute_txid()), "{}", pocket.log);
    assert!(pocket.log.ends_with('m'));

    // Somebody with the same keys replaces it.
    let rival = pocket.spend(coins[0], elsewhere, 5_000);
    send(&node, &rival);
    pocket.follow(&source).expect("the scan ends");
    assert!(!pocket.counts(own.compute_txid()));
    assert_eq!(pocket.coins().len(), 2, "the coin is free again");

    chain.mine(1).expect("a block");
    pocket.follow(&source).expect("the scan ends");
    assert_eq!(pocket.coins().len(), 1, "the rival was mined");
    pocket.assert_agrees(&node);
    assert!(pocket.unconfirmed().is_empty());
}

#[test]
fn a_mined_transaction_is_not_asked_for() {
    let node = node();
    let mut chain = Chain::new(&node, 5).expect("a chain");
    let mut pocket = Pocket::new("mined");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[0]);
    chain.mine(1).expect("a block");
    let source = source(&node);
    pocket.follow(&source).expect("the scan ends");
    let coin = *pocket.coins().keys().next().expect("a coin");
    let own = pocket.spend(coin, pocket.script(2), 500);
    source.broadcast(&own).expect("the node takes it");
    pocket.remember(&own);
    chain.mine(3).expect("blocks");
    pocket.follow(&source).expect("the scan ends");
    assert_eq!(pocket.log, "bs");
    pocket.assert_agrees(&node);
    let info: Value = node.call("getmempoolinfo", &[]).expect("it answers");
    assert_eq!(info["size"], 0);
}
