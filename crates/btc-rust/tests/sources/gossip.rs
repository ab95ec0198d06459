//! Incoming payments that peers announce: pending for a while, and never trusted.

use std::time::Duration;

use bitcoin::{Amount, OutPoint, Transaction};
use btc_regtest::{Chain, Node};
use btc_rust::wallet::source::Follower as _;
use btc_rust::wallet::source::p2p::{P2pConfig, P2pSource};

use crate::scripted::{Scripted, announce};
use crate::setup::{SHORT, config, node, peer, wait_until};
use crate::story::Story;
use crate::wallet::Pocket;

const LONG: Duration = Duration::from_hours(1);

fn listening(peers: Vec<String>, pending_for: Duration) -> P2pSource {
    let config = P2pConfig {
        pending_for: Some(pending_for),
        timeout: SHORT,
        ..config(peers)
    };
    P2pSource::start(config).expect("a right configuration")
}

/// A source that has begun to listen: the node says so.
fn begun(node: &Node, pocket: &mut Pocket<'_>, pending_for: Duration) -> P2pSource {
    let source = listening(vec![peer(node)], pending_for);
    pocket.follow(&source).expect("the scan ends");
    let relays = || {
        let peers: serde_json::Value = node.call("getpeerinfo", &[]).expect("it answers");
        let peers = peers.as_array().expect("a list").clone();
        peers.iter().any(|it| it["relaytxes"] == true)
    };
    wait_until("it listens", relays);
    source
}

#[test]
fn an_announced_payment_is_pending_until_it_is_confirmed() {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    chain.mine(105).expect("blocks");
    let mut pocket = Pocket::new("announced");
    let source = begun(&node, &mut pocket, LONG);
    let outputs = [(pocket.script(0), Amount::from_sat(70_000))];
    let payment = chain.pay(&outputs, 2).expect("the node takes it");
    let foreign = chain.spend_one().expect("a transaction");
    wait_until("it is heard of", || {
        pocket.follow(&source).expect("the scan ends");
        pocket.counts(payment)
    });
    assert!(!pocket.counts(foreign.compute_txid()));
    assert_eq!(pocket.confirmed(), Amount::ZERO);
    // What listens is another one: it was announced before.
    let mut other = Pocket::new("announced");
    other
        .follow(&listening(vec![peer(&node)], LONG))
        .expect("the scan ends");
    assert!(!other.counts(payment));
    chain.mine(1).expect("a block");
    pocket.follow(&source).expect("the scan ends");
    pocket.assert_agrees(&node);
    assert!(pocket.unconfirmed().is_empty());
    assert_eq!(pocket.coins().len(), 1);
}

#[test]
fn an_announced_payment_that_is_not_confirmed_disappears() {
    let node = node();
    let mut chain = Chain::new(&node, 2).expect("a chain");
    chain.mine(105).expect("blocks");
    let mut pocket = Pocket::new("disappears");
    let source = begun(&node, &mut pocket, Duration::from_secs(4));
    let outputs = [(pocket.script(0), Amount::from_sat(70_000))];
    let payment = chain.pay(&outputs, 2).expect("the node takes it");
    wait_until("it is heard of", || {
        pocket.follow(&source).expect("the scan ends");
        pocket.counts(payment)
    });
    wait_until("its time is over", || {
        pocket.follow(&source).expect("the scan ends");
        !pocket.counts(payment)
    });
    std::thread::sleep(Duration::from_secs(2));
    pocket.follow(&source).expect("the scan ends");
    assert!(!pocket.counts(payment), "it does not come back");
    chain.mine(1).expect("a block");
    pocket.follow(&source).expect("the scan ends");
    assert_eq!(pocket.coins().len(), 1, "but in a block");
}

#[test]
fn an_announced_payment_that_was_replaced_is_gone() {
    let node = node();
    let mut chain = Chain::new(&node, 3).expect("a chain");
    let (mut payer, mut pocket) = (Pocket::new("payer"), Pocket::new("payee"));
    chain.mine(105).expect("blocks");
    crate::setup::pay(&mut chain, &payer, &[0]);
    chain.mine(1).expect("a block");
    let source = begun(&node, &mut pocket, LONG);
    payer.follow(&source).expect("the scan ends");
    let coin = *payer.coins().keys().next().expect("a coin");
    let send = |transaction: &Transaction| {
        let hex = bitcoin::consensus::encode::serialize_hex(transaction);
        let _: String = node
            .call("sendrawtransaction", &[serde_json::json!(hex)])
            .expect("the node takes it");
    };
    pocket.follow(&source).expect("the scan ends");
    let payment = payer.spend(coin, pocket.script(0), 500);
    send(&payment);
    wait_until("it is heard of", || {
        pocket.follow(&source).expect("the scan ends");
        pocket.counts(payment.compute_txid())
    });
    send(&payer.spend(coin, payer.script(1), 5_000));
    pocket.follow(&source).expect("the scan ends");
    assert!(!pocket.counts(payment.compute_txid()));
}

#[test]
fn p2p_an_announced_transaction_that_spends_the_wallets_coin_is_left_out() {
    let node = node();
    let mut chain = Chain::new(&node, 4).expect("a chain");
    let mut pocket = Pocket::new("false");
    chain.mine(105).expect("blocks");
    crate::setup::pay(&mut chain, &pocket, &[0]);
    chain.mine(1).expect("a block");
    let story = Story::of(&node);
    let honest = Scripted::honest(story.clone());
    let source = listening(vec![honest.host()], LONG);
    pocket.follow(&source).expect("the scan ends");
    let coin = *pocket.coins().keys().next().expect("a coin");
    let mut theft = pocket.spend(coin, pocket.script(1), 500);
    theft.input[0].witness.clear();
    // Made up, which no light client can tell.
    let mut gift = theft.clone();
    gift.input[0].previous_output = OutPoint::new(theft.compute_txid(), 7);
    let liar = announce(story, vec![theft.clone(), gift.clone()]);
    let source = listening(vec![liar.host()], Duration::from_secs(5));
    wait_until("it is heard of", || {
        pocket.follow(&source).expect("the scan ends");
        pocket.counts(gift.compute_txid())
    });
    assert!(!pocket.counts(theft.compute_txid()));
    assert!(pocket.coins().contains_key(&coin), "it is not spent");
    wait_until("its time is over", || {
        pocket.follow(&source).expect("the scan ends");
        !pocket.counts(gift.compute_txid())
    });
    assert_eq!(pocket.coins().len(), 1);
}

#[test]
fn p2p_a_flood_of_announcements_is_not_swallowed() {
    let node = node();
    let mut chain = Chain::new(&node, 5).expect("a chain");
    let mut pocket = Pocket::new("flood");
    chain.mine(105).expect("blocks");
    let coinbase = Story::of(&node).blocks[1].txdata[0].clone();
    let payment = |number: u32| {
        let mut transaction = coinbase.clone();
        transaction.input[0].previous_output = OutPoint::new(coinbase.compute_txid(), number);
        transaction.output[0].script_pubkey = pocket.script(0);
        transaction
    };
    let flood: Vec<_> = (0..3_000).map(payment).collect();
    let liar = announce(Story::of(&node), flood);
    let source = listening(vec![liar.host()], LONG);
    pocket.follow(&source).expect("the scan ends");
    wait_until("some are heard of", || {
        pocket.follow(&source).expect("the scan ends");
        !pocket.unconfirmed().is_empty()
    });
    std::thread::sleep(Duration::from_secs(1));
    pocket.follow(&source).expect("the scan ends");
    assert!(
        pocket.unconfirmed().len() <= 100,
        "{}",
        pocket.unconfirmed().len()
    );
}
