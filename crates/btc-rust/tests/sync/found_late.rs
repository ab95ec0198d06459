//! Coins that the wallet finds while or after the mempool is looked at, which has what spends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

    /// A payment to the wallet's address at an index; not handed to the node.
    fn paying(&self, index: u32) -> Transaction {
        let coin = self.node.open_coins()[0];
        let rest = coin.value.to_sat() - FEE_SAT - PAID_SAT;
        let paid = TxOut {
            value: Amount::from_sat(PAID_SAT),
            script_pubkey: self.keyring.script(RECEIVE, index).expect("a small index"),
        };
        coins::spend(&[coin], vec![paid, coins::output(1, rest)], 2)
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
        let coins = self.ledger.view().coins.clone();
        assert_eq!(coins, [], "the mempool spends it");
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
    let paying = scene.paying(0);
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
    let mut scene = Scene::new();
    scene.follow();
    let far = scene.paying(35);
    let spending = sent_on(&far);
    scene.node.submit(&far).expect("valid");
    scene.node.mine(coins::script(3)).expect("a block");
    scene.node.submit(&spending).expect("valid");
    scene.follow();
    assert_eq!(scene.ledger.view().coins, [], "beyond the window");
    // What waits moves the window; blocks are read again, and the coin is found in one.
    let near = scene.paying(19);
    scene.node.submit(&near).expect("valid");
    scene.follow();
    let coins = scene.ledger.view().coins.clone();
    let found: Vec<_> = coins.iter().map(|it| it.outpoint.txid).collect();
    assert_eq!(found, [near.compute_txid()], "the mempool spends the other");
    assert!(scene.node.is_waiting(spending.compute_txid()), "it waits");
}
