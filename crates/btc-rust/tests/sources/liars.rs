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
fn p2p_a_slow_peer_is_waited_for_before_one_alone_is_believed() {
    let mut pocket = Pocket::new("slow");
    let node = paid(&pocket);
    let liar = Scripted::honest(Story::of(&node).without(&pocket.script(0)));
    let slow = Scripted::start(Story::of(&node), |request, answers| {
        let mut acts = say(answers);
        if matches!(request, NetworkMessage::Version(_)) {
            acts.insert(0, Act::Wait(SHORT / 2));
        }
        acts
    });
    pocket
        .follow(&over(&[&liar, &slow], 1))
        .expect("the slow one serves");
    pocket.assert_agrees(&node);
    assert_eq!(pocket.coins().len(), 1);
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
    let honest = Scripted::honest(truth);
    pocket
        .follow(&over(&[&liar, &honest], 1))
        .expect("the scan ends");
    assert!(pocket.coins().is_empty());
}

#[test]
fn p2p_where_peers_differ_and_none_can_be_shown_to_lie_the_block_is_read() {
    let name = "undecided";
    let mut pocket = Pocket::new(name);
    let node = paid(&pocket);
    let known = Story::of(&node);
    let mut chain = Chain::new(&node, 2).expect("a chain");
    chain.mine(101).expect("blocks");
    pay(&mut chain, &pocket, &[1]);
    chain.mine(1).expect("a block");
    let before = Story::of(&node);
    // The wallet elsewhere has spent the coin before this one has heard of it.
    pocket
        .follow(&over(&[&Scripted::honest(before.clone())], 1))
        .expect("the scan ends");
    let coins = pocket.coins();
    let mut coins = coins.iter();
    let (coin, _) = coins
        .find(|(_, coin)| coin.0.to_sat() == 100_001)
        .expect("a coin");
    let spend = pocket.spend(*coin, Pocket::new("elsewhere").script(0), 500);
    let truth = before.mine_with(vec![spend]).mine(2);
    let mut hiding = truth.clone();
    let at = truth.blocks.len() - 3;
    let hidden = truth.clone().without(&pocket.script(1));
    hiding.filters[at].clone_from(&hidden.filters[at]);
    let (liar, honest) = (Scripted::honest(hiding), Scripted::honest(truth));
    for peers in [[&liar, &honest], [&honest, &liar]] {
        let mut pocket = Pocket::new(name);
        pocket
            .follow(&over(&[&Scripted::honest(known.clone())], 1))
            .expect("the scan ends");
        pocket.follow(&over(&peers, 1)).expect("the scan ends");
        assert_eq!(pocket.log, "bbs", "both blocks");
        assert_eq!(pocket.coins().len(), 1, "the other one is spent");
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
                // Without witnesses, the coinbase does not have to commit to them.
                for transaction in &mut block.txdata {
                    for input in &mut transaction.input {
                        input.witness.clear();
                    }
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
    std::thread::scope(|scope| {
        for liar in [&refusing, &mute] {
            scope.spawn(|| assert_harmless("refuses", &node, liar, 1));
            scope.spawn(|| assert_refused("refuses", liar, ErrorKind::Unavailable));
        }
    });
}
