//! Peers that lie: each lie alone, and beside a peer that tells the truth.

use std::time::Duration;

use bitcoin::p2p::message::NetworkMessage;
use btc_iface::ErrorKind;
use btc_regtest::{Chain, Node};
use btc_rust::wallet::source::p2p::{P2pConfig, P2pSource};

use crate::scripted::{Act, Scripted, say};
use crate::setup::{config, node, pay};
use crate::story::Story;
use crate::wallet::Pocket;

const SHORT: Duration = Duration::from_secs(3);

/// A chain with one payment to the wallet, in its last block but two.
fn paid(pocket: &Pocket<'_>) -> Node {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    chain.mine(105).expect("blocks");
    pay(&mut chain, pocket, &[0]);
    chain.mine(3).expect("blocks");
    node
}

fn over(peers: &[&Scripted], required_peers: u8) -> P2pSource {
    let config = P2pConfig {
        timeout: SHORT,
        required_peers,
        ..config(peers.iter().map(|peer| peer.host()).collect())
    };
    P2pSource::start(config).expect("a right configuration")
}

#[test]
fn scripted_peers_serve_as_nodes_do() {
    let mut pocket = Pocket::new("scripted");
    let node = paid(&pocket);
    let story = Story::of(&node);
    for (block, filter) in story.blocks.iter().zip(&story.filters) {
        let hash = serde_json::json!(block.block_hash());
        let right: serde_json::Value = node.call("getblockfilter", &[hash]).expect("it answers");
        let hex = bitcoin::hex::DisplayHex::to_lower_hex_string(filter);
        assert_eq!(right["filter"], hex);
    }
    let peer = Scripted::honest(story);
    pocket.follow(&over(&[&peer], 1)).expect("the scan ends");
    pocket.assert_agrees(&node);
    assert_eq!(pocket.coins().len(), 1);
}

#[test]
fn p2p_filter_headers_that_one_peer_repeats_are_not_a_quorum() {
    let mut pocket = Pocket::new("repeated");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let liar = Scripted::start(story.clone().without(&pocket.script(0)), |_, answers| {
        let mut acts = Vec::new();
        for answer in answers {
            let times = if matches!(answer, NetworkMessage::CFHeaders(_)) {
                3
            } else {
                1
            };
            acts.extend(std::iter::repeat_n(answer, times).map(Act::Say));
        }
        acts
    });
    let honest = Scripted::start(story, |request, answers| {
        let mut acts = say(answers);
        if matches!(request, NetworkMessage::GetCFHeaders(_)) {
            acts.insert(0, Act::Wait(SHORT / 6));
        }
        acts
    });
    pocket.follow(&over(&[&liar, &honest], 2)).ok();
    assert!(
        pocket.scanned.is_none() || pocket.coins().len() == 1,
        "{}",
        pocket.log
    );
}
