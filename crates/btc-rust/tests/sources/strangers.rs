//! Peers that the user did not name: those that connect and do not serve are replaced by others.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use btc_iface::{ErrorKind, Network, WalletInterface as _};
use btc_regtest::Chain;
use btc_rust::wallet::source::ChainSource as _;
use btc_rust::wallet::source::p2p::{P2pConfig, P2pSource, Seeds};

use crate::liars::paid;
use crate::own_payments::{Home, bcrt, state};
use crate::scripted::{Act, Scripted, instead};
use crate::setup::{SHORT, node};
use crate::story::Story;
use crate::wallet::Pocket;

fn found(seeds: Seeds) -> P2pSource {
    let config = P2pConfig {
        timeout: SHORT,
        seeds,
        ..P2pConfig::new(Network::Regtest)
    };
    P2pSource::start(config).expect("a right configuration")
}

/// A source over a DNS of our own that names these.
fn over(peers: &[&Scripted]) -> P2pSource {
    let addresses: Vec<_> = peers.iter().map(|peer| peer.address).collect();
    found(Seeds::from_fn(move |_| addresses.clone()))
}

#[test]
fn two_that_serve_are_enough() {
    let mut pocket = Pocket::new("strangers");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let peers = [
        Scripted::honest(story.clone()),
        Scripted::honest(story.clone()),
    ];
    let source = over(&[&peers[0], &peers[1]]);
    pocket.follow(&source).expect("both serve");
    pocket.assert_agrees(&node);
    assert_eq!(pocket.coins().len(), 1);
    assert_eq!(source.peers().expect("a list").len(), 2);
    // One alone could hide a payment.
    let error = pocket
        .follow(&over(&[&peers[0]]))
        .expect_err("one is not enough");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().starts_with("1 of 2"), "{error}");
}

#[test]
fn strangers_that_refuse_filters_or_blocks_are_replaced() {
    let pocket = Pocket::new("strangers");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let refuse = |command| {
        let manner = instead(command, |_| Vec::new());
        Scripted::start(story.clone(), manner)
    };
    let honest = [
        Scripted::honest(story.clone()),
        Scripted::honest(story.clone()),
    ];
    let replace = |command| {
        let refusing: Vec<_> = (0..4).map(|_| refuse(command)).collect();
        let all: Vec<_> = refusing.iter().chain(&honest).collect();
        let source = over(&all);
        let mut pocket = Pocket::new("strangers");
        let begun = Instant::now();
        pocket.follow(&source).expect(command);
        assert_eq!(pocket.coins().len(), 1, "{command}");
        pocket.assert_agrees(&node);
        assert!(
            begun.elapsed() < SHORT * 8,
            "{command}: {:?}",
            begun.elapsed()
        );
        let begun = Instant::now();
        pocket.follow(&source).expect(command);
        assert!(begun.elapsed() < SHORT, "{command}: {:?}", begun.elapsed());
    };
    std::thread::scope(|scope| {
        for command in ["cfheaders", "cfilter", "block", "headers", "verack"] {
            scope.spawn(move || replace(command));
        }
    });
    let refusing: Vec<_> = (0..4).map(|_| refuse("cfheaders")).collect();
    let all: Vec<_> = refusing.iter().collect();
    let mut pocket = Pocket::new("strangers");
    let begun = Instant::now();
    let error = pocket.follow(&over(&all)).expect_err("none serves");
    assert!(error.kind().is_transport(), "{error}");
    assert!(begun.elapsed() < SHORT * 8, "{:?}", begun.elapsed());
}

#[test]
fn a_stranger_that_lies_is_replaced() {
    let pocket = Pocket::new("strangers");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let hiding = Scripted::honest(story.clone().without(&pocket.script(0)));
    let short = Scripted::honest(story.to(100));
    let honest = [
        Scripted::honest(story.clone()),
        Scripted::honest(story.clone()),
    ];
    let replace = |liar| {
        let mut pocket = Pocket::new("strangers");
        let source = over(&[liar, &honest[0], &honest[1]]);
        pocket.follow(&source).expect("two serve");
        assert_eq!(pocket.coins().len(), 1);
    };
    std::thread::scope(|scope| {
        for liar in [&hiding, &short] {
            // The order is random.
            for _ in 0..4 {
                scope.spawn(move || replace(liar));
            }
        }
    });
}

#[test]
fn what_another_process_has_heard_of_is_gone_and_an_own_payment_stays() {
    let name = "restarted";
    let story = Story::empty(20).pay(&[Pocket::new(name).script(0)]).mine(2);
    let peers = [
        Scripted::honest(story.clone()),
        Scripted::honest(story.clone()),
    ];
    let mut pocket = Pocket::new(name);
    pocket
        .follow(&over(&[&peers[0], &peers[1]]))
        .expect("both serve");
    let coin = *pocket.coins().keys().next().expect("a coin");
    let own = pocket.spend(coin, pocket.script(2), 500);
    let mut gift = own.clone();
    gift.input[0].previous_output.vout = 7;
    pocket.remember(&own);
    pocket.remember(&gift);
    let source = over(&[&peers[0], &peers[1]]);
    for _ in 0..2 {
        pocket.follow(&source).expect("both serve");
        assert!(pocket.counts(own.compute_txid()));
        assert!(!pocket.counts(gift.compute_txid()));
    }
}

#[test]
fn the_seeds_are_asked_again_when_their_peers_are_used_up() {
    let pocket = Pocket::new("strangers");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let first = [
        Scripted::honest(story.clone()),
        Scripted::honest(story.clone()),
    ];
    let addresses = Arc::new(Mutex::new(Vec::<SocketAddr>::new()));
    let asked = Arc::new(AtomicUsize::new(0));
    let (dns, count) = (Arc::clone(&addresses), Arc::clone(&asked));
    let source = found(Seeds::from_fn(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        dns.lock().expect("no panic").clone()
    }));
    let mut pocket = Pocket::new("strangers");
    let error = pocket.follow(&source).expect_err("no one is named");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("no peer"), "{error}");
    *addresses.lock().expect("no panic") = first.iter().map(|it| it.address).collect();
    pocket.follow(&source).expect("two serve");
    let before = asked.load(Ordering::SeqCst);
    pocket.follow(&source).expect("two serve");
    assert_eq!(asked.load(Ordering::SeqCst), before, "they serve still");
    // What they have is not the chain any more.
    for peer in &first {
        peer.tell(story.to(20));
    }
    let second = [
        Scripted::honest(story.clone()),
        Scripted::honest(story.clone()),
    ];
    addresses
        .lock()
        .expect("no panic")
        .extend(second.iter().map(|it| it.address));
    pocket.follow(&source).expect("two others serve");
    pocket.assert_agrees(&node);
    assert!(asked.load(Ordering::SeqCst) > before);
}

#[test]
fn a_payment_that_strangers_refuse_does_not_count_although_it_was_followed_meanwhile() {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    let home = Home::new(&node, &mut chain);
    let story = Story::of(&node);
    // They do not ask for what they are offered, and take their time to say that they do not have it.
    let slow = || {
        let manner = instead("notfound", |answer| {
            vec![Act::Wait(SHORT / 3), Act::Say(answer)]
        });
        Scripted::start(story.clone(), manner)
    };
    let peers = [slow(), slow()];
    let wallet = home.over(Arc::new(over(&[&peers[0], &peers[1]])));
    wallet.sync().expect("both serve");
    let before = wallet.unspent().expect("books");
    let built = wallet.create_transaction(vec![(bcrt(), 70_000)], 2);
    let built = built.expect("enough coins");
    let is_over = AtomicBool::new(false);
    let counted = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                wallet.sync().expect("both serve");
                counted.fetch_or(state(&wallet, built.txid).is_some(), Ordering::SeqCst);
            }
        });
        let sent = wallet.broadcast_transaction(&built);
        is_over.store(true, Ordering::SeqCst);
        sent
    });
    assert_eq!(sent.expect_err("none has it").kind(), ErrorKind::Rejected);
    assert!(
        counted.into_inner(),
        "it was looked at while it was offered"
    );
    for _ in 0..2 {
        // One that followed at that moment may have read the row before it was deleted.
        wallet.sync().expect("both serve");
        assert_eq!(state(&wallet, built.txid), None);
        let after = wallet.unspent().expect("books");
        assert_eq!(after.len(), before.len());
    }
}
