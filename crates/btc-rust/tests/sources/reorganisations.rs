//! Reorganisations, while a source runs and between two of them.

use std::time::Duration;

use btc_iface::ErrorKind;
use btc_regtest::{Chain, Node};
use btc_rust::wallet::source::p2p::{P2pConfig, P2pSource};

use crate::setup::{config, node, pay, peer, source};
use crate::wallet::Pocket;

/// A source that is impatient.
fn short(node: &Node) -> P2pSource {
    let config = P2pConfig {
        timeout: Duration::from_secs(3),
        ..config(vec![peer(node)])
    };
    P2pSource::start(config).expect("a right configuration")
}

/// A chain with a payment in each of the last blocks.
fn history(chain: &mut Chain<'_>, pocket: &Pocket<'_>, blocks: u32) {
    chain.mine(110).expect("blocks");
    for index in 0..blocks {
        pay(chain, pocket, &[index % 20]);
        chain.mine(1).expect("a block");
    }
}

#[test]
fn a_running_source_sees_reorganisations() {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    let mut pocket = Pocket::new("running");
    history(&mut chain, &pocket, 22);
    let source = source(&node);
    pocket.follow(&source).expect("the scan ends");
    for depth in [1, 2, 3, 5, 8, 13, 20] {
        chain.reorg(depth).expect("a reorganisation");
        pocket.follow(&source).expect("the scan ends");
        assert!(pocket.log.starts_with('d'), "depth {depth}: {}", pocket.log);
        pocket.assert_agrees(&node);
    }
}

#[test]
fn a_reorganisation_without_the_transactions_takes_the_coins_away() {
    let node = node();
    let mut chain = Chain::new(&node, 2).expect("a chain");
    let mut pocket = Pocket::new("empty");
    history(&mut chain, &pocket, 4);
    let source = source(&node);
    pocket.follow(&source).expect("the scan ends");
    let before = pocket.confirmed();
    chain.reorg_empty(2).expect("a reorganisation");
    pocket.follow(&source).expect("the scan ends");
    assert!(pocket.confirmed() < before);
    pocket.assert_agrees(&node);
    chain.mine(1).expect("a block");
    pocket.follow(&source).expect("the scan ends");
    assert_eq!(pocket.confirmed(), before);
}

#[test]
fn a_source_that_starts_later_sees_reorganisations() {
    let node = node();
    let mut chain = Chain::new(&node, 3).expect("a chain");
    let mut pocket = Pocket::new("stopped");
    history(&mut chain, &pocket, 22);
    pocket.follow(&source(&node)).expect("the scan ends");
    for depth in [1, 4, 20] {
        chain.reorg(depth).expect("a reorganisation");
        pocket.follow(&source(&node)).expect("the scan ends");
        assert!(pocket.log.starts_with('d'), "depth {depth}: {}", pocket.log);
        pocket.assert_agrees(&node);
    }
}

#[test]
fn a_reorganisation_below_the_place_where_the_node_began_is_survived() {
    let node = node();
    let mut chain = Chain::new(&node, 4).expect("a chain");
    let mut pocket = Pocket::new("deep");
    history(&mut chain, &pocket, 1);
    chain.mine(100).expect("blocks");
    pocket.follow(&source(&node)).expect("the scan ends");
    chain.mine(150).expect("blocks");
    pay(&mut chain, &pocket, &[7]);
    chain.mine(1).expect("a block");
    let source = source(&node);
    pocket.follow(&source).expect("the scan ends");
    // The node began at a block that is 144 or more below; this is far deeper.
    chain.reorg_empty(200).expect("a reorganisation");
    pocket.follow(&source).expect("the scan ends");
    assert!(pocket.log.contains('d'), "{}", pocket.log);
    pocket.assert_agrees(&node);
}

#[test]
fn a_chain_that_became_shorter_is_an_error_after_a_while() {
    let node = node();
    let mut chain = Chain::new(&node, 5).expect("a chain");
    let mut pocket = Pocket::new("shorter");
    history(&mut chain, &pocket, 3);
    let source = short(&node);
    pocket.follow(&source).expect("the scan ends");
    let (tip, before) = (pocket.tip(), pocket.confirmed());
    chain.disconnect(2).expect("blocks taken back");
    for source in [&source, &short(&node)] {
        let error = pocket.follow(source).expect_err("the node is behind");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.message().contains("less work"), "{error}");
        assert_eq!((pocket.tip(), pocket.confirmed()), (tip, before));
    }
    chain.mine_empty(2).expect("blocks");
    pocket.follow(&source).expect("as good as the wallet's");
    pocket
        .follow(&short(&node))
        .expect("as good as the wallet's");
    assert_eq!((pocket.tip(), pocket.confirmed()), (tip, before));
    chain.mine_empty(1).expect("a block");
    pocket.follow(&source).expect("it has more work");
    assert!(pocket.log.starts_with('d'), "{}", pocket.log);
    pocket.assert_agrees(&node);
}
