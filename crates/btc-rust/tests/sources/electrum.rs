//! An Electrum server as a source, over a private node.

use std::time::Duration;

use bitcoin::consensus::encode::serialize_hex;
use btc_iface::{ErrorKind, Network};
use btc_regtest::{Chain, ElectrumServer, Node};
use btc_rust::wallet::source::ChainSource as _;
use btc_rust::wallet::source::Follower as _;
use btc_rust::wallet::source::electrum::ElectrumSource;
use serde_json::json;

use crate::setup::{self, TIMEOUT, pay, source};
use crate::wallet::Pocket;

const SHORT: Duration = Duration::from_secs(2);

/// A node that serves filters and an Electrum server.
fn node() -> Node {
    let builder = Node::builder().listen(true).block_filters(true);
    builder.spender_index(true).start().expect("a node starts")
}

fn connect(server: &ElectrumServer) -> ElectrumSource {
    setup::electrum(&server.url(), Network::Regtest, TIMEOUT).expect("it answers")
}

#[test]
fn the_coins_are_those_of_the_blocks() {
    let node = node();
    let server = ElectrumServer::start(&node).expect("a server");
    let mut chain = Chain::new(&node, 1).expect("a chain");
    let mut pocket = Pocket::new("electrum");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[30]);
    chain.mine(2).expect("blocks");
    pay(&mut chain, &pocket, &[0, 15]);
    chain.mine(1).expect("a block");
    pay(&mut chain, &pocket, &[50]);
    chain.mine(12).expect("blocks");
    server.wait_for_tip(&node).expect("it follows");
    let electrum = connect(&server);
    pocket.follow(&electrum).expect("the scan ends");
    assert_eq!(pocket.coins().len(), 4, "{}", pocket.log);
    pocket.assert_agrees(&node);

    let mut by_blocks = Pocket::new("electrum");
    by_blocks.follow(&source(&node)).expect("the scan ends");
    assert_eq!(by_blocks.coins(), pocket.coins());
    assert_eq!(electrum.tip().expect("a tip"), pocket.tip());

    // From one source to the other and back, with the same books.
    pay(&mut chain, &pocket, &[1]);
    chain.mine(1).expect("a block");
    pocket.follow(&source(&node)).expect("the scan ends");
    pocket.assert_agrees(&node);
    pay(&mut chain, &pocket, &[2]);
    chain.mine(1).expect("a block");
    server.wait_for_tip(&node).expect("it follows");
    pocket.follow(&electrum).expect("the scan ends");
    pocket.assert_agrees(&node);
}

#[test]
fn what_is_before_the_birthday_is_left_out() {
    let node = node();
    let mut chain = Chain::new(&node, 2).expect("a chain");
    let mut pocket = Pocket::new("birthday");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[0]);
    chain.mine(1).expect("a block");
    pay(&mut chain, &pocket, &[1]);
    chain.mine(1).expect("a block");
    pocket.birthday = 107;
    let server = ElectrumServer::start(&node).expect("a server");
    pocket.follow(&connect(&server)).expect("the scan ends");
    assert_eq!(pocket.coins().len(), 1);
}

#[test]
fn unconfirmed_transactions_come_and_go() {
    let node = node();
    let server = ElectrumServer::start(&node).expect("a server");
    let mut chain = Chain::new(&node, 3).expect("a chain");
    let mut pocket = Pocket::new("mempool");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[0]);
    chain.mine(1).expect("a block");
    server.wait_for_tip(&node).expect("it follows");
    let electrum = connect(&server);
    pocket.follow(&electrum).expect("the scan ends");

    let incoming = chain
        .pay(&[(pocket.script(1), bitcoin::Amount::from_sat(70_000))], 2)
        .expect("the node takes it");
    server
        .wait_for_transaction(&pocket.script(1), incoming)
        .expect("it follows");
    pocket.follow(&electrum).expect("the scan ends");
    assert!(pocket.counts(incoming));

    let coins = pocket.coins();
    let (coin, _) = coins.iter().find(|(_, it)| it.1).expect("a confirmed coin");
    let own = pocket.spend(*coin, pocket.script(2), 500);
    electrum.broadcast(&own).expect("the node takes it");
    electrum.broadcast(&own).expect("it is known");
    server
        .wait_for_transaction(&pocket.script(2), own.compute_txid())
        .expect("it follows");
    pocket.follow(&electrum).expect("the scan ends");
    assert!(pocket.counts(own.compute_txid()));

    // Somebody with the same keys replaces it.
    let elsewhere = Pocket::new("elsewhere").script(0);
    let rival = pocket.spend(*coin, elsewhere.clone(), 5_000);
    let _: String = node
        .call("sendrawtransaction", &[json!(serialize_hex(&rival))])
        .expect("the node takes it");
    server
        .wait_for_transaction(&elsewhere, rival.compute_txid())
        .expect("it follows");
    pocket.follow(&electrum).expect("the scan ends");
    assert!(!pocket.counts(own.compute_txid()));
    assert!(pocket.counts(incoming) && pocket.counts(rival.compute_txid()));

    chain.mine(1).expect("a block");
    server.wait_for_tip(&node).expect("it follows");
    pocket.follow(&electrum).expect("the scan ends");
    assert!(pocket.unconfirmed().is_empty());
    pocket.assert_agrees(&node);
    electrum.broadcast(&rival).expect("it is in a block");
    let error = electrum.broadcast(&own).expect_err("its coin is spent");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
}

#[test]
fn reorganisations_are_followed() {
    let node = node();
    let server = ElectrumServer::start(&node).expect("a server");
    let mut chain = Chain::new(&node, 4).expect("a chain");
    let mut pocket = Pocket::new("reorganisations");
    chain.mine(110).expect("blocks");
    for index in 0..22 {
        pay(&mut chain, &pocket, &[index % 20]);
        chain.mine(1).expect("a block");
    }
    server.wait_for_tip(&node).expect("it follows");
    let electrum = connect(&server);
    pocket.follow(&electrum).expect("the scan ends");
    chain.reorg_empty(1).expect("a reorganisation");
    server.wait_for_tip(&node).expect("it follows");
    let before = pocket.confirmed();
    pocket.follow(&electrum).expect("the scan ends");
    assert!(pocket.confirmed() < before, "the last is unconfirmed again");
    pocket.assert_agrees(&node);
    for depth in [1, 2, 5, 12, 20] {
        chain.reorg(depth).expect("a reorganisation");
        server.wait_for_tip(&node).expect("it follows");
        pocket.follow(&electrum).expect("the scan ends");
        pocket.assert_agrees(&node);
    }
}

#[test]
fn a_server_that_was_away_is_used_again() {
    let node = node();
    let server = ElectrumServer::start(&node).expect("a server");
    let mut chain = Chain::new(&node, 5).expect("a chain");
    let mut pocket = Pocket::new("restart");
    chain.mine(105).expect("blocks");
    server.wait_for_tip(&node).expect("it follows");
    let electrum = connect(&server);
    pocket.follow(&electrum).expect("the scan ends");
    server.stop().expect("it stops");
    let error = pocket.follow(&electrum).expect_err("no server is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let transaction = chain.spend_one().expect("a transaction");
    let error = electrum
        .broadcast(&transaction)
        .expect_err("no server is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.restart().expect("it starts again");
    pay(&mut chain, &pocket, &[0]);
    chain.mine(1).expect("a block");
    server.wait_for_tip(&node).expect("it follows");
    pocket.follow(&electrum).expect("over a new connection");
    // The kept connection is lost without a failed call in between.
    server.restart().expect("it starts again");
    pocket.follow(&electrum).expect("over a new connection");
    pocket.assert_agrees(&node);
    let peer = electrum.peers().expect("the server").remove(0);
    assert!(peer.user_agent.expect("a name").contains("Electrum"));
}

#[test]
fn wrong_addresses_are_told() {
    let connect = |url: &str, network| {
        let error = setup::electrum(url, network, SHORT).err();
        error.expect("no server")
    };
    for url in ["http://127.0.0.1:1", "127.0.0.1:1", "tcp://x", ""] {
        let error = connect(url, Network::Regtest);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{url}: {error}");
    }
    let error = connect("tcp://127.0.0.1:1", Network::Regtest);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let node = node();
    let server = ElectrumServer::start(&node).expect("a server");
    let error = connect(&server.url(), Network::Signet);
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
}

#[test]
fn an_incoming_transaction_that_was_replaced_is_gone() {
    let node = node();
    let server = ElectrumServer::start(&node).expect("a server");
    let mut chain = Chain::new(&node, 6).expect("a chain");
    let (mut payer, mut pocket) = (Pocket::new("payer"), Pocket::new("payee"));
    chain.mine(105).expect("blocks");
    pay(&mut chain, &payer, &[0]);
    chain.mine(1).expect("a block");
    server.wait_for_tip(&node).expect("it follows");
    let electrum = connect(&server);
    payer.follow(&electrum).expect("the scan ends");
    let coin = *payer.coins().keys().next().expect("a coin");
    let payment = payer.spend(coin, pocket.script(0), 500);
    electrum.broadcast(&payment).expect("the node takes it");
    let txid = payment.compute_txid();
    server
        .wait_for_transaction(&pocket.script(0), txid)
        .expect("it follows");
    pocket.follow(&electrum).expect("the scan ends");
    assert!(pocket.counts(txid));
    let regret = payer.spend(coin, payer.script(1), 5_000);
    electrum.broadcast(&regret).expect("the node takes it");
    server
        .wait_for_transaction(&payer.script(1), regret.compute_txid())
        .expect("it follows");
    pocket.follow(&electrum).expect("the scan ends");
    assert!(!pocket.counts(txid));
    assert!(pocket.coins().is_empty());
}
