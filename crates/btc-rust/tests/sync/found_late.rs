//! Coins that the wallet finds while or after the mempool is looked at, which has what spends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bitcoin::{
    Amount, OutPoint, Sequence, Transaction, TxIn, TxOut, Witness, absolute, transaction,
};
use btc_iface::{Credentials, Network, NodeConfig};
use btc_regtest::sim::{Fate, Moment, SimNode, coins};
use btc_rust::wallet::keys::{Keyring, Signer};
use btc_rust::wallet::ledger::Ledger;
use btc_rust::wallet::source::core::CoreSource;
use btc_rust::wallet::source::{ChainSource, Follower};
use tempfile::TempDir;

use crate::wallet::{RECEIVE, WORDS};

const PAID_SAT: u64 = 500_000;
const FEE_SAT: u64 = 1_000;

/// Books over a simulated node.
struct Scene {
    node: Arc<SimNode>,
    keyring: Keyring,
    source: CoreSource,
    ledger: Ledger,
    _folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let node = Arc::new(SimNode::builder().start().expect("a node"));
        let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
        let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own output");
        let folder = tempfile::tempdir().expect("a folder");
        let books = folder.path().join("rust.sqlite");
        let config = NodeConfig {
            url: node.rpc_url(),
            credentials: Credentials::CookieFile(node.cookie_file()),
            ..NodeConfig::new(Network::Regtest)
        };
        Self {
            ledger: Ledger::open(&books, &keyring, 0, 10).expect("books"),
            source: CoreSource::connect(&config).expect("connected"),
            node,
            keyring,
            _folder: folder,
        }
    }

    /// A payment to the wallet's addresses at these indices; not handed to the node.
    fn paying(&self, indices: &[u32]) -> Transaction {
        let coin = self.node.open_coins()[0];
        let mut outputs: Vec<TxOut> = indices
            .iter()
            .map(|index| TxOut {
                value: Amount::from_sat(PAID_SAT),
                script_pubkey: self.keyring.script(RECEIVE, *index).expect("a small index"),
            })
            .collect();
        let paid = outputs.iter().map(|it| it.value.to_sat()).sum::<u64>();
        outputs.push(coins::output(1, coin.value.to_sat() - FEE_SAT - paid));
        coins::spend(&[coin], outputs, 2)
    }

    fn follow(&mut self) {
        self.source.follow(&mut self.ledger).expect("followed");
    }

    /// That the books are at the node's tip, and the mempool has this, which spends all there is.
    #[track_caller]
    fn assert_spent_by(&self, spending: &Transaction) {
        assert!(self.node.is_waiting(spending.compute_txid()), "it waits");
        let scanned = self.ledger.scanned().map(|it| it.hash);
        assert_eq!(scanned, Some(self.node.tip().1));
        assert_eq!(self.coins(), [], "the mempool spends it");
    }

    fn coins(&self) -> Vec<OutPoint> {
        let view = self.ledger.view();
        view.coins.iter().map(|it| it.outpoint).collect()
    }
}

/// Another user of the same words sends the first output on, without change.
fn sent_on(paying: &Transaction) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(paying.compute_txid(), 0),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::from_slice(&[vec![1_u8; 71], vec![2_u8; 33]]),
            ..TxIn::default()
        }],
        output: vec![coins::output(2, PAID_SAT - FEE_SAT)],
    }
}

#[test]
fn a_coin_that_waits_to_be_spent_is_not_free_when_its_block_came_during_the_look() {
    let mut scene = Scene::new();
    let paying = scene.paying(&[0]);
    let spending = sent_on(&paying);
    scene.node.submit(&paying).expect("valid");
    scene.node.submit(&spending).expect("valid");
    let is_mined = AtomicBool::new(false);
    let miner = Arc::clone(&scene.node);
    scene.node.set_tap(Some(Box::new(move |call, moment| {
        let is_it = call.name == "getrawmempool" && moment == Moment::Before;
        if is_it && !is_mined.swap(true, Ordering::SeqCst) {
            miner
                .mine_these(vec![paying.clone()], coins::script(3))
                .expect("a block");
        }
        Fate::Proceed
    })));
    scene.follow();
    scene.node.set_tap(None);
    scene.assert_spent_by(&spending);
    // And again, with nothing in the way.
    scene.follow();
    scene.assert_spent_by(&spending);
}

#[test]
fn a_coin_beyond_the_window_that_waits_to_be_spent_is_not_free_when_it_is_found() {
    let alone: &[u32] = &[35];
    for (indices, is_mined) in [(alone, true), (&[35, 0], true), (&[35, 0], false)] {
        let mut scene = Scene::new();
        scene.follow();
        let far = scene.paying(indices);
        let spending = sent_on(&far);
        scene.node.submit(&far).expect("valid");
        if is_mined {
            scene.node.mine(coins::script(3)).expect("a block");
        }
        scene.node.submit(&spending).expect("valid");
        scene.follow();
        assert_eq!(scene.coins().len(), indices.len() - 1, "beyond the window");
        // What waits moves the window; blocks are read again, and the coin is found.
        let near = scene.paying(&[19]);
        scene.node.submit(&near).expect("valid");
        scene.follow();
        let beside = (1..indices.len()).map(|_| OutPoint::new(far.compute_txid(), 1));
        let mut expected: Vec<_> = beside.collect();
        expected.push(OutPoint::new(near.compute_txid(), 0));
        expected.sort();
        let mut found = scene.coins();
        found.sort();
        assert_eq!(found, expected, "{indices:?}, mined: {is_mined}");
        assert!(scene.node.is_waiting(spending.compute_txid()), "it waits");
    }
}

#[test]
fn what_waits_for_others_is_not_asked_for_again_when_a_block_pays_the_wallet() {
    const OTHERS: usize = 9;
    let mut scene = Scene::new();
    for coin in &scene.node.open_coins()[1..=OTHERS] {
        let rest = coin.value.to_sat() - FEE_SAT;
        let foreign = coins::spend(&[*coin], vec![coins::output(4, rest)], 2);
        scene.node.submit(&foreign).expect("valid");
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    scene.node.set_tap(Some(Box::new(move |call, moment| {
        let is_it = call.name == "getrawtransaction" || call.name.starts_with("/rest/tx/");
        if is_it && moment == Moment::Before {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Fate::Proceed
    })));
    scene.follow();
    assert_eq!(asked.swap(0, Ordering::SeqCst), OTHERS);
    let paying = scene.paying(&[0]);
    let mined = scene.node.mine_these(vec![paying], coins::script(3));
    mined.expect("a block");
    scene.follow();
    assert_eq!(scene.coins().len(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}
