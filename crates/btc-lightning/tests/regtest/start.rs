//! Starting: what is wrong with the directory or with Bitcoin Core is said, typed and soon.

use std::time::{Duration, Instant};

use btc_iface::lightning::{Health, LightningErrorKind as Kind, LightningInterface};
use btc_iface::{Credentials, Network, Secret};
use btc_lightning::{LightningConfig, LightningNode};
use futures_lite::future::block_on;

use crate::world::{AWAY, World, eventually, seed};

fn refused(config: &LightningConfig, name: &str) -> Kind {
    let begun = Instant::now();
    let started = LightningNode::start(config.clone(), seed(name));
    assert!(begun.elapsed() < Duration::from_secs(30), "in bounded time");
    match started {
        Ok(_) => unreachable!("it must be refused"),
        Err(cause) => cause.kind(),
    }
}

#[test]
fn a_wrong_password_another_network_and_a_silent_node_are_told_apart_in_bounded_time() {
    let world = World::start();
    let dir = tempfile::tempdir().expect("a folder");
    let good = LightningConfig::new(dir.path().join("node"), world.node_config());
    let mut wrong = good.clone();
    wrong.chain.credentials = Credentials::UserPassword {
        user: "lightning".to_owned(),
        password: Secret::new("guessed".to_owned()),
    };
    assert_eq!(refused(&wrong, "x"), Kind::ChainAuth);
    let mut signet = good.clone();
    signet.directory = dir.path().join("signet");
    signet.chain.network = Network::Signet;
    assert_eq!(refused(&signet, "x"), Kind::WrongChain);
    let mut away = good.clone();
    away.chain.url = "http://127.0.0.1:1".to_owned();
    assert_eq!(refused(&away, "x"), Kind::ChainUnavailable);
    world.core.pause().expect("frozen");
    let mut hasty = good.clone();
    hasty.chain.timeout = Duration::from_secs(2);
    assert_eq!(refused(&hasty, "x"), Kind::ChainUnavailable);
    world.core.resume().expect("awake");
    // None of these has spoilt the directory.
    let node = LightningNode::start(good.clone(), seed("x")).expect("all is well now");
    assert_eq!(refused(&good, "x"), Kind::Locked);
    drop(node);
    assert_eq!(refused(&good, "another seed"), Kind::Configuration);
}

#[test]
fn a_chain_that_does_not_know_our_last_block_is_refused() {
    let (world, other) = (World::start(), World::start());
    let mut ln = world.ln("alice");
    world.mine(10);
    world.synced(&[&ln]);
    ln.stop();
    // To another address, or both chains would be the same.
    other.mine_to(20, AWAY);
    let mut moved = ln.config.clone();
    moved.chain = other.node_config();
    assert_eq!(refused(&moved, "alice"), Kind::WrongChain);
    ln.start();
}

#[test]
fn a_bitcoin_core_that_has_not_caught_up_is_waited_for_and_closes_no_channel() {
    let world = World::start();
    let (mut a, b, handle) = world.pair(1_000_000, 0);
    world.mine(3);
    world.synced(&[&a, &b]);
    a.stop();
    // Headers are there before blocks are, as after a new disk.
    let height = world.height();
    let below = world.call("getblockhash", &[(height - 20).into()]);
    let disconnected = world.call("getblockhash", &[(height - 19).into()]);
    world.call("invalidateblock", std::slice::from_ref(&disconnected));
    assert_eq!(world.call("getbestblockhash", &[]), below);
    assert_eq!(refused(&a.config, "alice"), Kind::ChainUnavailable);
    world.call("reconsiderblock", &[disconnected]);
    assert_eq!(world.height(), height);
    a.start();
    eventually("the channel is usable", || {
        a.channel(handle).is_some_and(|channel| channel.is_usable)
    });
}

#[test]
fn a_node_without_its_bitcoin_core_says_so_and_goes_on_when_it_is_back() {
    let world = World::start();
    let mut ln = world.ln("alice");
    ln.stop();
    ln.config.stale_after = Duration::from_secs(4);
    ln.start();
    world.core.stop().expect("stopped");
    eventually(
        "it says that it does not see the chain",
        || matches!(ln.health(), Health::ChainStale { cause, .. } if cause.contains("cannot be reached")),
    );
    world.core.restart().expect("back");
    world.mine(3);
    world.synced(&[&ln]);
    eventually("it is well again", || ln.health() == Health::Well);
}

#[test]
fn many_that_wait_do_not_keep_others_from_being_answered() {
    let world = World::start();
    let ln = world.ln("alice");
    let long = Duration::from_secs(40);
    let mut waiting: Vec<_> = (0..600)
        .map(|_| Box::pin(ln.node().wait_events(u64::MAX, 1, long)))
        .collect();
    for wait in &mut waiting {
        let answer = block_on(futures_lite::future::poll_once(wait));
        assert!(answer.is_none(), "there is nothing to answer yet");
    }
    let begun = Instant::now();
    block_on(ln.node().balances()).expect("an answer");
    assert!(begun.elapsed() < Duration::from_secs(10), "in time");
}

#[test]
fn a_stopped_node_refuses_everything_and_gives_its_directory_back() {
    let world = World::start();
    let mut ln = world.ln("alice");
    block_on(ln.node().stop()).expect("a clean stop");
    let refused = block_on(ln.node().balances()).expect_err("stopped");
    assert_eq!(refused.kind(), Kind::Stopped);
    // The lock is free although the old one is still there.
    let second = LightningNode::start(ln.config.clone(), ln.seed.clone()).expect("free");
    drop(second);
    ln.restart();
}
