//! One honest peer is enough, whatever two others do.

use bitcoin::p2p::message::NetworkMessage;

use crate::liars::paid;
use crate::scripted::{Act, Scripted, instead, message, say};
use crate::setup::over;
use crate::story::Story;
use crate::wallet::Pocket;

/// A peer that tells this story in a manner of its own.
type Liar = fn(&Story, &Pocket<'_>) -> Scripted;

const LIARS: &[(&str, Liar)] = &[
    ("hides a payment", |story, pocket| {
        Scripted::honest(story.clone().without(&pocket.script(0)))
    }),
    ("has empty filters", |story, _| {
        let mut story = story.clone();
        story.filters.iter_mut().for_each(|it| *it = vec![0]);
        Scripted::honest(story)
    }),
    ("is behind", |story, _| Scripted::honest(story.to(100))),
    ("has a branch with less work", |story, _| {
        Scripted::honest(story.to(100).mine(3))
    }),
    ("tells the library something else", |story, pocket| {
        let peer = Scripted::honest(story.clone());
        peer.tell_the_library(story.clone().without(&pocket.script(0)));
        peer
    }),
    ("hands out false blocks", |story, _| {
        let manner = instead("block", |answer| {
            let NetworkMessage::Block(mut block) = answer else {
                return Vec::new();
            };
            block.txdata[0].output[0].value += bitcoin::Amount::ONE_SAT;
            say(vec![NetworkMessage::Block(block)])
        });
        Scripted::start(story.clone(), manner)
    }),
    ("hands out no blocks", |story, _| {
        Scripted::start(story.clone(), instead("block", |_| Vec::new()))
    }),
    ("hands out no filters", |story, _| {
        Scripted::start(story.clone(), instead("cfilter", |_| vec![Act::HangUp]))
    }),
    ("stalls", |story, _| {
        Scripted::start(story.clone(), instead("headers", |_| Vec::new()))
    }),
    ("talks nonsense", |story, _| {
        let nonsense = || {
            let mut bytes = message(NetworkMessage::Verack);
            bytes[16..20].copy_from_slice(&40_000_000_u32.to_le_bytes());
            vec![Act::Bytes(bytes)]
        };
        Scripted::start(story.clone(), instead("cfheaders", move |_| nonsense()))
    }),
];

#[test]
fn p2p_one_honest_peer_is_enough_whatever_two_others_do() {
    let name = "pairs";
    let pocket = Pocket::new(name);
    let node = paid(&pocket);
    let story = Story::of(&node);
    let tip = story.template(Vec::new()).header.prev_blockhash;
    let honest = Scripted::honest(story.clone());
    let try_pair = |first: usize, second: usize| {
        let pocket = Pocket::new(name);
        let what = format!("{} and {}", LIARS[first].0, LIARS[second].0);
        let liars = [first, second].map(|at| LIARS[at].1(&story, &pocket));
        let mut pocket = Pocket::new(name);
        // The honest one comes first, second or last.
        let mut peers = vec![&liars[0], &liars[1]];
        peers.insert((first + second) % 3, &honest);
        let source = over(&peers, 1);
        for _ in 0..2 {
            pocket.follow(&source).expect(&what);
            assert_eq!(pocket.coins().len(), 1, "{what}: {}", pocket.log);
            assert_eq!(pocket.tip().hash, tip, "{what}");
        }
    };
    std::thread::scope(|scope| {
        for first in 0..LIARS.len() {
            let try_pair = &try_pair;
            scope.spawn(move || (first..LIARS.len()).for_each(|second| try_pair(first, second)));
        }
    });
    assert!(honest.heard("version") > 50);
}
