//! Scans over the peer-to-peer network.

use btc_regtest::Chain;
use btc_rust::wallet::source::ChainSource as _;
use btc_rust::wallet::source::Piece;
use btc_rust::wallet::source::p2p::P2pSource;

use crate::setup::{config, connect, node, pay, peer, source, wait_until};
use crate::wallet::Pocket;

#[test]
fn the_first_scan_finds_what_was_paid_before_its_address_was_watched() {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    let mut pocket = Pocket::new("first scan");
    chain.mine(105).expect("blocks");
    // Index 30 is watched only after index 15 was found, two blocks later.
    pay(&mut chain, &pocket, &[30]);
    chain.mine(2).expect("blocks");
    pay(&mut chain, &pocket, &[0, 15]);
    chain.mine(1).expect("a block");
    // In a block whose first payment moves the window over the second.
    pay(&mut chain, &pocket, &[34, 50]);
    chain.mine(3).expect("blocks");

    pocket.follow(&source(&node)).expect("the scan ends");
    assert_eq!(pocket.coins().len(), 5, "{}", pocket.log);
    assert_eq!(pocket.passes(), 2);
    pocket.assert_agrees(&node);
}

#[test]
fn the_window_moves_in_the_middle_of_later_blocks() {
    let node = node();
    let mut chain = Chain::new(&node, 2).expect("a chain");
    let mut pocket = Pocket::new("window");
    chain.mine(105).expect("blocks");
    let source = source(&node);
    pocket.follow(&source).expect("an empty wallet");
    for index in [19, 39, 59, 79] {
        pay(&mut chain, &pocket, &[index]);
        chain.mine(1).expect("a block");
    }
    pocket.follow(&source).expect("the scan ends");
    assert_eq!(pocket.log, "bbbbs");
    pocket.assert_agrees(&node);
}

#[test]
fn blocks_of_a_moment_ago_are_seen() {
    let node = node();
    let mut chain = Chain::new(&node, 3).expect("a chain");
    let mut pocket = Pocket::new("moment");
    chain.mine(102).expect("blocks");
    let source = source(&node);
    for round in 0..10 {
        pay(&mut chain, &pocket, &[round]);
        // One is announced by its header, many by the last one's hash.
        chain
            .mine(if round % 2 == 0 { 1 } else { 12 })
            .expect("blocks");
        pocket.follow(&source).expect("the scan ends");
        pocket.assert_agrees(&node);
        assert_eq!(source.tip().expect("a tip"), pocket.tip());
    }
}

#[test]
fn blocks_before_the_birthday_are_left_out() {
    let node = node();
    let mut chain = Chain::new(&node, 4).expect("a chain");
    let mut pocket = Pocket::new("birthday");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[0]);
    chain.mine(1).expect("a block");
    pay(&mut chain, &pocket, &[1]);
    chain.mine(1).expect("a block");
    pocket.birthday = 107;
    let source = source(&node);
    pocket.follow(&source).expect("the scan ends");
    assert_eq!(pocket.coins().len(), 1);
    assert_eq!(pocket.tip().height, 107);
}

#[test]
fn a_wallet_that_was_away_goes_on_where_it_stopped() {
    let node = node();
    let mut chain = Chain::new(&node, 5).expect("a chain");
    let mut pocket = Pocket::new("away");
    chain.mine(160).expect("blocks");
    pay(&mut chain, &pocket, &[0]);
    chain.mine(200).expect("blocks");
    pocket.follow(&source(&node)).expect("the scan ends");
    pay(&mut chain, &pocket, &[1]);
    chain.mine(3).expect("blocks");
    // Another process: nothing but the wallet's own state is left.
    pocket.follow(&source(&node)).expect("the scan ends");
    assert_eq!(pocket.log, "bs");
    pocket.assert_agrees(&node);
}

#[test]
fn a_chain_without_blocks_is_a_tip_too() {
    let node = node();
    let mut pocket = Pocket::new("genesis");
    let source = source(&node);
    pocket.follow(&source).expect("nothing to scan");
    pocket.assert_agrees(&node);
    let mut chain = Chain::new(&node, 6).expect("a chain");
    chain.mine(1).expect("a block");
    pocket.follow(&source).expect("the scan ends");
    pocket.assert_agrees(&node);
}

#[test]
fn when_a_peer_dies_the_other_serves_on() {
    let (first, second) = (node(), node());
    let mut chain = Chain::new(&first, 7).expect("a chain");
    let mut pocket = Pocket::new("two peers");
    chain.mine(105).expect("blocks");
    for index in 0..5 {
        pay(&mut chain, &pocket, &[index]);
        chain.mine(1).expect("a block");
    }
    connect(&first, &second);
    let mut victim = Some(&first);
    pocket.on_piece = Box::new(move |piece| {
        if matches!(piece, Piece::Block { .. })
            && let Some(victim) = victim.take()
        {
            victim.kill9().expect("it runs");
        }
    });
    let peers = vec![peer(&first), peer(&second)];
    let source = P2pSource::start(config(peers)).expect("a right configuration");
    pocket.follow(&source).expect("the second serves on");
    assert!(!first.is_running());
    assert_eq!(pocket.coins().len(), 5);
    pocket.assert_agrees(&second);
    pocket.on_piece = Box::new(|_| {});
    pocket.follow(&source).expect("and again");
}

#[test]
fn two_peers_agree_on_the_filters() {
    let (first, second) = (node(), node());
    let mut chain = Chain::new(&first, 8).expect("a chain");
    let mut pocket = Pocket::new("agree");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[3]);
    chain.mine(1).expect("a block");
    connect(&first, &second);
    let mut config = config(vec![peer(&first), peer(&second)]);
    config.required_peers = 2;
    let source = P2pSource::start(config).expect("a right configuration");
    pocket.follow(&source).expect("both agree");
    pocket.assert_agrees(&first);
    for round in 10..13 {
        pay(&mut chain, &pocket, &[round]);
        chain.mine(1).expect("a block");
        connect(&first, &second);
        pocket.follow(&source).expect("both agree");
        pocket.assert_agrees(&first);
    }
}

#[test]
fn a_node_that_was_away_is_used_again() {
    let node = node();
    let mut chain = Chain::new(&node, 9).expect("a chain");
    let mut pocket = Pocket::new("restart");
    chain.mine(105).expect("blocks");
    let source = source(&node);
    pocket.follow(&source).expect("the scan ends");
    node.restart().expect("it starts again");
    let mut chain = Chain::new(&node, 10).expect("a chain");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[0]);
    chain.mine(1).expect("a block");
    pocket.follow(&source).expect("the scan ends");
    pocket.assert_agrees(&node);
}

#[test]
fn a_dropped_source_leaves_no_connection() {
    let node = node();
    Chain::new(&node, 11)
        .expect("a chain")
        .mine(3)
        .expect("blocks");
    let source = source(&node);
    let mut pocket = Pocket::new("drop");
    pocket.follow(&source).expect("the scan ends");
    let connections = || -> u32 { node.call("getconnectioncount", &[]).expect("it answers") };
    assert!(connections() > 0);
    drop(source);
    wait_until("no connection is left", || connections() == 0);
}

#[test]
fn a_chain_longer_than_one_answer_is_followed() {
    let (first, second) = (node(), node());
    let mut chain = Chain::new(&first, 12).expect("a chain");
    let mut pocket = Pocket::new("long");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[0]);
    chain.mine(4_200).expect("blocks");
    connect(&first, &second);
    let peers = vec![peer(&first), peer(&second)];
    let source = P2pSource::start(config(peers)).expect("a right configuration");
    assert_eq!(source.tip().expect("a tip").height, 4_305);
    pocket.follow(&source).expect("the scan ends");
    pocket.assert_agrees(&first);
    assert_eq!(pocket.coins().len(), 1);
    // The wallet was away for as long.
    chain.mine(2_100).expect("blocks");
    connect(&first, &second);
    pocket.follow(&source).expect("the scan ends");
    let peers = vec![peer(&second), peer(&first)];
    let other = P2pSource::start(config(peers)).expect("a right configuration");
    chain.mine(2_100).expect("blocks");
    connect(&first, &second);
    pocket.follow(&other).expect("the scan ends");
    pocket.assert_agrees(&first);
}
