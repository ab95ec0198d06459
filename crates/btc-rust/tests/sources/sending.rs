//! Peers that lie about transactions which they are handed, or say nothing about them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::Transaction;
use bitcoin::constants::genesis_block;
use bitcoin::p2p::message::NetworkMessage;
use bitcoin::p2p::message_blockdata::Inventory;
use btc_iface::{ErrorKind, Network};
use btc_rust::wallet::source::ChainSource as _;

use crate::scripted::{Act, Scripted, say};
use crate::setup::{over, over_within};
use crate::story::Story;
use crate::wallet::Pocket;

const SHORT: Duration = Duration::from_secs(1);

/// What a peer does with what it is handed.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Keeps,
    Drops,
    HangsUp,
}

struct Taker {
    peer: Scripted,
    taken: Arc<Mutex<Vec<Transaction>>>,
}

impl Taker {
    /// Whatever it is handed, it does not relay it.
    fn new(manner: Manner) -> Self {
        let taken = Arc::new(Mutex::new(Vec::<Transaction>::new()));
        let pool = Arc::clone(&taken);
        let peer = Scripted::start(Story::empty(3), move |request, answers| match request {
            NetworkMessage::Tx(transaction) => {
                let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
                pool.push(transaction.clone());
                match manner {
                    Manner::HangsUp => vec![Act::HangUp],
                    _ => Vec::new(),
                }
            }
            NetworkMessage::GetData(items) if manner == Manner::Keeps => {
                let pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
                let told = items.iter().zip(answers).map(|(item, answer)| {
                    let Inventory::WitnessTransaction(txid) = item else {
                        return answer;
                    };
                    let mut pool = pool.iter();
                    let found = pool.find(|it| it.compute_txid() == *txid);
                    found.map_or(answer, |it| NetworkMessage::Tx(it.clone()))
                });
                say(told.collect())
            }
            _ => say(answers),
        });
        Self { peer, taken }
    }

    fn taken(&self) -> usize {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.len()
    }
}

fn payment() -> Transaction {
    let mut payment = genesis_block(Network::Regtest).txdata[0].clone();
    payment.input[0].previous_output.txid = payment.compute_txid();
    payment.input[0].previous_output.vout = 0;
    payment
}

#[test]
fn p2p_a_peer_that_keeps_a_payment_to_itself_does_not_swallow_it() {
    for keeper_at in [0, 1] {
        let takers = [Taker::new(Manner::Keeps), Taker::new(Manner::Keeps)];
        let peers = [&takers[keeper_at].peer, &takers[1 - keeper_at].peer];
        let sent = over(&peers, 1).broadcast(&payment());
        assert_eq!(sent.expect("both take it"), payment().compute_txid());
        assert_eq!((takers[0].taken(), takers[1].taken()), (1, 1));
    }
}

#[test]
fn p2p_one_peer_that_keeps_a_payment_is_enough() {
    let takers = [Manner::Drops, Manner::HangsUp, Manner::Keeps].map(Taker::new);
    let peers: Vec<_> = takers.iter().map(|it| &it.peer).collect();
    over(&peers, 1).broadcast(&payment()).expect("one has it");
    assert!(takers.iter().all(|it| it.taken() == 1));
}

#[test]
fn p2p_only_two_peers_that_do_not_keep_a_payment_refuse_it() {
    use Manner::{Drops, HangsUp};
    let nowhere = Scripted::start(Story::empty(0), |_, _| vec![Act::HangUp]);
    let cases: [(&[Manner], bool, ErrorKind); 6] = [
        (&[Drops], false, ErrorKind::Timeout),
        (&[Drops, Drops], false, ErrorKind::Rejected),
        (&[Drops, Drops, HangsUp], false, ErrorKind::Timeout),
        (&[Drops, Drops], true, ErrorKind::Timeout),
        (&[HangsUp], true, ErrorKind::Timeout),
        (&[], true, ErrorKind::Unavailable),
    ];
    for (manners, is_away, kind) in cases {
        let takers: Vec<_> = manners.iter().map(|it| Taker::new(*it)).collect();
        let mut peers: Vec<_> = takers.iter().map(|it| &it.peer).collect();
        if is_away {
            peers.push(&nowhere);
        }
        let error = over(&peers, 1).broadcast(&payment());
        let error = error.expect_err("none has it");
        assert_eq!(error.kind(), kind, "{}: {error}", manners.len());
    }
}

#[test]
fn p2p_a_peer_that_is_silent_about_transactions_is_asked_once() {
    let story = Story::empty(3).pay(&[Pocket::new("mute").script(0)]);
    let mute = || {
        Scripted::start(story.clone(), |request, answers| match request {
            NetworkMessage::GetData(items) if matches!(items[0], Inventory::WitnessBlock(_)) => {
                say(answers)
            }
            NetworkMessage::GetData(_) => Vec::new(),
            _ => say(answers),
        })
    };
    let honest = Scripted::honest(story.clone());
    let (first, second) = (mute(), mute());
    for peers in [vec![&first, &honest], vec![&second]] {
        let mut pocket = Pocket::new("mute");
        let source = over_within(SHORT, &peers, 1);
        pocket.follow(&source).expect("they serve");
        let coin = *pocket.coins().keys().next().expect("a coin");
        let own = pocket.spend(coin, pocket.script(1), 500);
        honest.tell(Story {
            mempool: vec![own.clone()],
            ..story.clone()
        });
        pocket.remember(&own);
        pocket.follow(&source).expect("they serve");
        assert!(pocket.counts(own.compute_txid()));
        let begun = Instant::now();
        for _ in 0..3 {
            pocket.follow(&source).expect("they serve");
        }
        assert!(begun.elapsed() < SHORT, "{:?}", begun.elapsed());
    }
}
