//! Peers that lie about blocks and filters: each lie alone, and beside a peer that tells the truth.

use bitcoin::p2p::message::NetworkMessage;
use btc_iface::ErrorKind;
use btc_regtest::{Chain, Node};

use crate::scripted::{Act, Scripted, instead, say};
use crate::setup::{SHORT, node, over, pay};
use crate::story::Story;
use crate::wallet::Pocket;

/// What a peer makes of a block.
type Lie = Box<dyn Fn(&mut bitcoin::Block) + Send + Sync>;

/// A chain with one payment to the wallet, in its last block but three.
pub(crate) fn paid(pocket: &Pocket<'_>) -> Node {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    chain.mine(105).expect("blocks");
    pay(&mut chain, pocket, &[0]);
    chain.mine(4).expect("blocks");
    node
}

/// Beside an honest peer, whichever is named first, the lie changes nothing.
fn assert_harmless(name: &str, node: &Node, liar: &Scripted, coins: usize) {
    let honest = Scripted::honest(Story::of(node));
    for peers in [[liar, &honest], [&honest, liar]] {
        let mut pocket = Pocket::new(name);
        let source = over(&peers, 1);
        for _ in 0..2 {
            pocket.follow(&source).expect("the honest peer serves");
            pocket.assert_agrees(node);
            assert_eq!(pocket.coins().len(), coins);
        }
    }
}

/// The only peer is this one: an error of this kind, and nothing is believed.
fn assert_refused(name: &str, liar: &Scripted, kind: ErrorKind) {
    let mut pocket = Pocket::new(name);
    let error = pocket.follow(&over(&[liar], 1)).expect_err("a lie");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(pocket.coins().is_empty(), "{}", pocket.log);
}

#[test]
fn scripted_peers_serve_as_nodes_do() {
    let mut pocket = Pocket::new("scripted");
    let node = paid(&pocket);
    let story = Story::of(&node);
    for (block, filter) in story.blocks.iter().zip(&story.filters) {
        let hash = serde_json::json!(block.block_hash());
        let right: serde_json::Value = node.call("getblockfilter", &[hash]).expect("it answers");
        let hex = bitcoin::hex::DisplayHex::to_lower_hex_string(filter.as_slice());
        assert_eq!(right["filter"], hex);
    }
    let peer = Scripted::honest(story);
    pocket.follow(&over(&[&peer], 1)).expect("the scan ends");
    pocket.assert_agrees(&node);
    assert_eq!(pocket.coins().len(), 1);
}

#[test]
fn p2p_filter_headers_that_one_peer_repeats_are_not_a_quorum() {
    let pocket = Pocket::new("repeated");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let hiding = story.clone().without(&pocket.script(0));
    let liar = Scripted::start(
        hiding,
        instead("cfheaders", |answer| {
            say(vec![answer.clone(), answer.clone(), answer])
        }),
    );
    let honest = Scripted::start(story, |request, answers| {
        let mut acts = say(answers);
        if matches!(request, NetworkMessage::GetCFHeaders(_)) {
            acts.insert(0, Act::Wait(SHORT / 6));
        }
        acts
    });
    let mut two = Pocket::new("repeated");
    let error = two.follow(&over(&[&liar, &honest], 2));
    let error = error.expect_err("one is left");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
    assert!(two.log.is_empty(), "{}", two.log);
    let mut one = Pocket::new("repeated");
    one.follow(&over(&[&liar, &honest], 1))
        .expect("one is enough");
    one.assert_agrees(&node);
    assert_eq!(one.coins().len(), 1);
}

#[test]
fn p2p_filters_that_hide_a_payment_are_found_out_beside_another_peer() {
    let pocket = Pocket::new("payment");
    let node = paid(&pocket);
    let liar = Scripted::honest(Story::of(&node).without(&pocket.script(0)));
    assert_harmless("payment", &node, &liar, 1);
    // Once it has lied, it is not asked again.
    let honest = Scripted::honest(Story::of(&node));
    let mut pocket = Pocket::new("payment");
    let source = over(&[&liar, &honest], 1);
    pocket.follow(&source).expect("the honest peer serves");
    let before = liar.heard("version");
    pocket.follow(&source).expect("the honest peer serves");
    assert_eq!(liar.heard("version"), before);
    assert!(honest.heard("version") > 0);
}

#[test]
fn p2p_filters_of_one_peer_alone_can_hide_a_payment() {
    // What no light client can see; the documentation says so.
    let mut pocket = Pocket::new("alone");
    let node = paid(&pocket);
    let liar = Scripted::honest(Story::of(&node).without(&pocket.script(0)));
    pocket.follow(&over(&[&liar], 1)).expect("the scan ends");
    assert!(pocket.coins().is_empty());
    // A filter with nothing in it is seen through, though: the block is read.
    let node = paid(&pocket);
    let mut story = Story::of(&node);
    story.filters.iter_mut().for_each(|it| *it = vec![0]);
    let empty = Scripted::honest(story);
    assert_refused("alone", &empty, ErrorKind::InvalidResponse);
}

#[test]
fn p2p_filters_that_hide_a_spend_are_found_out_beside_another_peer() {
    let mut pocket = Pocket::new("spend");
    let node = paid(&pocket);
    let before = Story::of(&node);
    pocket
        .follow(&over(&[&Scripted::honest(before.clone())], 1))
        .expect("the scan ends");
    let coin = *pocket.coins().keys().next().expect("a coin");
    let elsewhere = Pocket::new("elsewhere").script(0);
    let spend = pocket.spend(coin, elsewhere, 500);
    let truth = before.mine_with(vec![spend]).mine(2);
    let liar = Scripted::honest(truth.clone().without(&pocket.script(0)));
    // The payment itself is hidden as well, but that was seen before.
    let liar_about_the_spend = {
        let mut story = truth.clone();
        let at = story.blocks.len() - 3;
        story.filters[at] = truth.clone().without(&pocket.script(0)).filters[at].clone();
        Scripted::honest(story)
    };
    let honest = Scripted::honest(truth);
    pocket
        .follow(&over(&[&liar, &honest], 1))
        .expect("the scan ends");
    assert!(pocket.coins().is_empty());
    // A wallet that does not know the coin yet cannot tell who lies, and reads the block.
    for peers in [
        [&liar_about_the_spend, &honest],
        [&honest, &liar_about_the_spend],
    ] {
        let mut fresh = Pocket::new("spend");
        fresh.follow(&over(&peers, 1)).expect("the scan ends");
        assert!(fresh.coins().is_empty(), "{}", fresh.log);
        assert!(fresh.log.contains("bb"), "both blocks: {}", fresh.log);
    }
}

#[test]
fn p2p_filters_that_are_not_those_announced_are_not_read() {
    let pocket = Pocket::new("announced");
    let node = paid(&pocket);
    let hiding = Story::of(&node).without(&pocket.script(0));
    let announces = |story: Story| {
        let filters = hiding.filters.clone();
        Scripted::start(story, move |request, answers| {
            let mut answers = answers;
            if let NetworkMessage::GetCFilters(asked) = request {
                let start = usize::try_from(asked.start_height).expect("few");
                for (answer, filter) in answers.iter_mut().zip(&filters[start..]) {
                    if let NetworkMessage::CFilter(told) = answer {
                        told.filter.clone_from(filter);
                    }
                }
            }
            say(answers)
        })
    };
    let liar = announces(Story::of(&node));
    assert_harmless("announced", &node, &liar, 1);
    assert_refused("announced", &liar, ErrorKind::Unavailable);
}

#[test]
fn p2p_a_peer_that_tells_the_library_something_else_is_found_out() {
    let pocket = Pocket::new("tongues");
    let node = paid(&pocket);
    let liar = Scripted::honest(Story::of(&node));
    liar.tell_the_library(Story::of(&node).without(&pocket.script(0)));
    assert_harmless("tongues", &node, &liar, 1);
}

#[test]
fn p2p_blocks_that_are_not_what_they_should_be_are_not_read() {
    let pocket = Pocket::new("blocks");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let other = story.blocks[3].clone();
    let lies: [(&str, Lie); 3] = [
        (
            "another block",
            Box::new(move |block| *block = other.clone()),
        ),
        (
            "transactions that are not its own",
            Box::new(|block| {
                if let Some(last) = block.txdata.last_mut() {
                    last.output[0].value += bitcoin::Amount::ONE_SAT;
                }
            }),
        ),
        (
            "witnesses that are not its own",
            Box::new(|block| {
                if let Some(last) = block.txdata.last_mut() {
                    last.input[0].witness.push([1]);
                }
            }),
        ),
    ];
    for (what, lie) in lies {
        let liar = Scripted::start(
            story.clone(),
            instead("block", move |answer| {
                let NetworkMessage::Block(mut block) = answer else {
                    return Vec::new();
                };
                lie(&mut block);
                say(vec![NetworkMessage::Block(block)])
            }),
        );
        assert_harmless("blocks", &node, &liar, 1);
        assert_refused("blocks", &liar, ErrorKind::InvalidResponse);
        assert!(liar.heard("getdata") > 0, "{what}");
    }
}

#[test]
fn p2p_a_peer_that_hands_out_no_blocks_is_replaced() {
    let pocket = Pocket::new("refuses");
    let node = paid(&pocket);
    let story = Story::of(&node);
    let refusing = Scripted::start(
        story.clone(),
        instead("block", |answer| {
            let NetworkMessage::Block(block) = answer else {
                return Vec::new();
            };
            let hash = bitcoin::p2p::message_blockdata::Inventory::WitnessBlock(block.block_hash());
            say(vec![NetworkMessage::NotFound(vec![hash])])
        }),
    );
    let mute = Scripted::start(story, instead("block", |_| Vec::new()));
    for liar in [refusing, mute] {
        assert_harmless("refuses", &node, &liar, 1);
        assert_refused("refuses", &liar, ErrorKind::Unavailable);
    }
}
