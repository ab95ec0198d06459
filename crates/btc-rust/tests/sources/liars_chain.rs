//! Peers that lie about the chain or do not serve: alone, and beside a peer that tells the truth.

use std::time::Instant;

use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::message::NetworkMessage;
use bitcoin::{BlockHash, CompactTarget};
use btc_iface::ErrorKind;
use btc_rust::wallet::source::ChainSource as _;

use crate::liars::paid;
use crate::scripted::{Act, Scripted, instead, message, say};
use crate::setup::{SHORT, over};
use crate::story::{Story, work};
use crate::wallet::Pocket;

/// Headers on top of a story's, made by a function of the last one.
fn more_headers(
    story: &Story,
    count: usize,
    make: fn(&Header) -> Header,
) -> impl Fn(&NetworkMessage, Vec<NetworkMessage>) -> Vec<Act> + Send + Sync + 'static + use<> {
    let mut all: Vec<_> = story.blocks.iter().map(|block| block.header).collect();
    for _ in 0..count {
        let last = all[all.len() - 1];
        all.push(make(&Header {
            prev_blockhash: last.block_hash(),
            time: last.time + 1,
            ..last
        }));
    }
    move |request, answers| match request {
        NetworkMessage::GetHeaders(asked) if !asked.locator_hashes.is_empty() => {
            let locator = &asked.locator_hashes;
            let known = all
                .iter()
                .rposition(|it| locator.contains(&it.block_hash()));
            let above = all[known.map_or(1, |at| at + 1)..].to_vec();
            say(vec![NetworkMessage::Headers(above)])
        }
        _ => say(answers),
    }
}

fn without_work(header: &Header) -> Header {
    let mut header = *header;
    while header.validate_pow(header.target()).is_ok() {
        header.nonce += 1;
    }
    header
}

/// At four times the difficulty of regtest, which has one only.
fn with_other_bits(header: &Header) -> Header {
    let mut header = *header;
    header.bits = CompactTarget::from_consensus(0x201f_ffff);
    work(&mut header);
    header
}

/// With its work, above a block that is in no chain.
fn elsewhere(header: &Header) -> Header {
    let mut header = *header;
    header.prev_blockhash = BlockHash::from_byte_array([3; 32]);
    work(&mut header);
    header
}

#[test]
fn p2p_headers_that_are_worth_nothing_are_not_believed() {
    let pocket = Pocket::new("worth");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let honest = Scripted::honest(story.clone());
    let lies = [
        Scripted::start(story.clone(), more_headers(&story, 5, without_work)),
        Scripted::start(story.clone(), more_headers(&story, 5, with_other_bits)),
        Scripted::start(story.clone(), more_headers(&story, 1, elsewhere)),
        Scripted::start(story.clone(), more_headers(&story, 5, elsewhere)),
    ];
    let height = story.height();
    for liar in lies {
        for peers in [[&liar, &honest], [&honest, &liar]] {
            let mut pocket = Pocket::new("worth");
            let source = over(&peers, 1);
            // Nor is it the tip that a new wallet's birthday is counted from.
            assert_eq!(source.tip().expect("a tip").height, height);
            pocket.follow(&source).expect("the scan ends");
            pocket.assert_agrees(&node);
            assert_eq!(pocket.coins().len(), 1);
        }
        let mut pocket = Pocket::new("worth");
        let error = pocket.follow(&over(&[&liar], 1)).expect_err("no work");
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
        assert!(pocket.log.is_empty(), "{}", pocket.log);
    }
}

#[test]
fn p2p_headers_without_work_told_to_the_library_alone_are_not_believed() {
    let pocket = Pocket::new("library");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let mut other = story.clone();
    for _ in 0..3 {
        let mut block = other.template(Vec::new());
        block.header = with_other_bits(&block.header);
        other.blocks.push(block);
        other.filters.push(vec![0]);
    }
    let liar = Scripted::honest(story.clone());
    liar.tell_the_library(other);
    let honest = Scripted::honest(story);
    for peers in [[&liar, &honest], [&honest, &liar]] {
        let mut pocket = Pocket::new("library");
        pocket.follow(&over(&peers, 1)).expect("the scan ends");
        pocket.assert_agrees(&node);
    }
    let mut pocket = Pocket::new("library");
    let error = pocket.follow(&over(&[&liar], 1)).expect_err("a lie");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
}

#[test]
fn p2p_a_branch_with_less_work_than_the_wallet_knows_undoes_nothing() {
    let mut pocket = Pocket::new("branch");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let honest = Scripted::honest(story.clone());
    pocket.follow(&over(&[&honest], 1)).expect("the scan ends");
    let (tip, before) = (pocket.tip(), pocket.confirmed());
    let height = usize::try_from(tip.height).expect("few");
    // Parted below the payment, and one block short of the truth.
    let shorter = story.to(height - 6).mine(5);
    let liar = Scripted::honest(shorter.clone());
    let running = over(&[&liar], 1);
    let error = pocket.follow(&running).expect_err("less work");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!((pocket.tip(), pocket.confirmed()), (tip, before));
    for peers in [[&liar, &honest], [&honest, &liar]] {
        pocket.follow(&over(&peers, 1)).expect("the honest serves");
        assert_eq!((pocket.tip(), pocket.confirmed()), (tip, before));
    }
    // As much work: the wallet stays where it is. More: it goes over.
    liar.tell(shorter.clone().mine(1));
    pocket.follow(&running).expect("no news");
    assert_eq!((pocket.tip(), pocket.confirmed()), (tip, before));
    liar.tell(shorter.mine(2));
    pocket.follow(&running).expect("more work");
    assert!(pocket.log.starts_with('d'), "{}", pocket.log);
    assert!(pocket.coins().is_empty());
}

#[test]
fn p2p_a_chain_shorter_than_the_wallets_is_an_error_after_a_while() {
    let node = paid(&Pocket::new("short"));
    let story = Story::of(&node);
    let honest = Scripted::honest(story.clone());
    let try_at = |height| {
        let mut pocket = Pocket::new("short");
        pocket.follow(&over(&[&honest], 1)).expect("the scan ends");
        let tip = pocket.tip();
        let behind = Scripted::honest(story.to(height));
        let begun = Instant::now();
        let error = pocket
            .follow(&over(&[&behind], 1))
            .expect_err("it is behind");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(begun.elapsed() >= SHORT, "it may catch up");
        assert_eq!(pocket.tip(), tip);
        for peers in [[&behind, &honest], [&honest, &behind]] {
            let source = over(&peers, 1);
            pocket.follow(&source).expect("the honest serves");
            assert_eq!(pocket.tip(), tip);
            let begun = Instant::now();
            pocket.follow(&source).expect("the honest serves");
            assert_eq!(pocket.tip(), tip);
            assert!(begun.elapsed() < SHORT / 2, "it is not waited for again");
        }
        // It catches up while it is waited for.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(SHORT / 3);
                behind.tell(story.clone());
            });
            let caught_up = pocket.follow(&over(&[&behind], 1));
            caught_up.expect("it catches up");
        });
        assert_eq!(pocket.tip(), tip);
    };
    std::thread::scope(|scope| {
        for height in [0, 50, 106] {
            scope.spawn(move || try_at(height));
        }
    });
}

#[test]
fn p2p_peers_that_do_not_serve_are_replaced() {
    let pocket = Pocket::new("serve");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let oversize = || {
        let mut bytes = message(NetworkMessage::Verack);
        bytes[4..12].copy_from_slice(b"headers\0");
        bytes[16..20].copy_from_slice(&40_000_000_u32.to_le_bytes());
        vec![Act::Bytes(bytes), Act::Wait(SHORT * 4)]
    };
    let drip = |answer: NetworkMessage| {
        let bytes = message(answer).into_iter();
        bytes
            .flat_map(|byte| [Act::Bytes(vec![byte]), Act::Wait(SHORT / 20)])
            .collect()
    };
    let peers = [
        (
            "oversize headers",
            Scripted::start(story.clone(), instead("headers", move |_| oversize())),
        ),
        (
            "drips headers",
            Scripted::start(story.clone(), instead("headers", drip)),
        ),
        (
            "drips filters",
            Scripted::start(story.clone(), instead("cfilter", drip)),
        ),
        (
            "no headers",
            Scripted::start(story.clone(), instead("headers", |_| Vec::new())),
        ),
        (
            "no filter headers",
            Scripted::start(story.clone(), instead("cfheaders", |_| Vec::new())),
        ),
        (
            "no filters",
            Scripted::start(story.clone(), instead("cfilter", |_| Vec::new())),
        ),
        (
            "hangs up at filters",
            Scripted::start(story.clone(), instead("cfilter", |_| vec![Act::HangUp])),
        ),
        (
            "stalls after the handshake",
            Scripted::start(story.clone(), |request, answers| match request {
                NetworkMessage::Version(_) => say(answers),
                _ => vec![Act::Wait(SHORT * 10)],
            }),
        ),
        (
            "another network",
            Scripted::start(story.clone(), |_, _| {
                let mut bytes = message(NetworkMessage::Verack);
                bytes[..4].copy_from_slice(&btc_iface::Network::Signet.magic().to_bytes());
                vec![Act::Bytes(bytes)]
            }),
        ),
    ];
    let tip = story.template(Vec::new()).header.prev_blockhash;
    let honest = Scripted::honest(story);
    std::thread::scope(|scope| {
        for (name, peer) in &peers {
            let honest = &honest;
            scope.spawn(move || assert_replaced(name, peer, honest, tip));
        }
    });
}

/// Beside an honest peer, it costs one timeout at most, and once; alone, it is an error.
fn assert_replaced(name: &str, peer: &Scripted, honest: &Scripted, tip: BlockHash) {
    for order in [[peer, honest], [honest, peer]] {
        let mut pocket = Pocket::new("serve");
        let source = over(&order, 1);
        let begun = Instant::now();
        pocket.follow(&source).expect(name);
        assert_eq!(pocket.coins().len(), 1, "{name}");
        assert_eq!(pocket.tip().hash, tip, "{name}");
        assert!(begun.elapsed() < SHORT * 4, "{name}: {:?}", begun.elapsed());
        let begun = Instant::now();
        pocket.follow(&source).expect(name);
        assert!(begun.elapsed() < SHORT, "{name}: {:?}", begun.elapsed());
    }
    let mut pocket = Pocket::new("serve");
    let error = pocket.follow(&over(&[peer], 1)).expect_err(name);
    let is_said = error.kind().is_transport()
        || [ErrorKind::InvalidResponse, ErrorKind::Configuration].contains(&error.kind());
    assert!(is_said, "{name}: {error}");
    assert!(pocket.coins().is_empty());
}
