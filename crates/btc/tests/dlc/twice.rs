//! The same offer accepted by two calls at the same moment.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use btc::bitcoin::{Amount, OutPoint, Psbt, ScriptBuf, Transaction};
use btc::discreet::{Dlc, DlcConfig, Enough, Funding, FundingCoin, Parts, Seed, WalletFunding};
use btc::dlc::{ContractState, DlcInterface};
use btc::rust::RustBitcoin;
use btc::{AddressType, BitcoinResult, Network, WalletInterface};

use crate::hostile::offered;
use crate::support::{Party, World, newest};

/// The funding of a wallet, in which one call waits where it would take or free coins.
struct Gate {
    inner: WalletFunding,
    wallet: Arc<dyn WalletInterface>,
    slow: Mutex<Option<ThreadId>>,
    reached: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
    /// The coin of the call that was faster, and whether it could be held for something else.
    coin: Mutex<Option<OutPoint>>,
    was_free: Mutex<bool>,
}

impl Gate {
    fn wait(&self) {
        let is_slow = *self.slow.lock().expect("no panic") == Some(thread::current().id());
        if is_slow {
            *self.slow.lock().expect("no panic") = None;
            self.reached
                .lock()
                .expect("no panic")
                .send(())
                .expect("heard");
            self.go.lock().expect("no panic").recv().expect("let go");
        }
    }
}

impl Funding for Gate {
    fn follow(&self) -> BitcoinResult<()> {
        self.inner.follow()
    }

    fn new_script(&self) -> BitcoinResult<ScriptBuf> {
        self.inner.new_script()
    }

    fn reserve(
        &self,
        reason: &str,
        until_ms: Option<u64>,
        rate: u64,
        enough: Enough<'_>,
    ) -> BitcoinResult<Vec<FundingCoin>> {
        self.wait();
        self.inner.reserve(reason, until_ms, rate, enough)
    }

    fn extend(&self, reason: &str, coins: &[OutPoint], until_ms: Option<u64>) -> BitcoinResult<()> {
        self.inner.extend(reason, coins, until_ms)
    }

    fn release(&self, reason: &str) -> BitcoinResult<()> {
        self.wait();
        self.inner.release(reason)?;
        if let Some(coin) = *self.coin.lock().expect("no panic")
            && self.wallet.hold(&[coin], "rent", None).is_ok()
        {
            *self.was_free.lock().expect("no panic") = true;
        }
        Ok(())
    }

    fn endless(&self, prefix: &str) -> BitcoinResult<Vec<String>> {
        self.inner.endless(prefix)
    }

    fn spent(&self, reason: &str) -> BitcoinResult<()> {
        self.inner.spent(reason)
    }

    fn sign(&self, psbt: &mut Psbt) -> BitcoinResult<()> {
        self.inner.sign(psbt)
    }

    fn own(&self, coins: &[OutPoint]) -> BitcoinResult<Vec<OutPoint>> {
        self.inner.own(coins)
    }

    fn spend_back(&self, coin: &FundingCoin, fee: Amount) -> BitcoinResult<Transaction> {
        self.inner.spend_back(coin, fee)
    }
}

fn gated(world: &World, party: &Party) -> (Dlc, Arc<Gate>, Receiver<()>, Sender<()>) {
    let (reached, heard) = channel();
    let (let_go, go) = channel();
    let wallet: Arc<dyn WalletInterface> = Arc::clone(&party.wallet) as _;
    let gate = Arc::new(Gate {
        inner: WalletFunding::new(Arc::clone(&wallet), Arc::clone(&party.bitcoin) as _),
        wallet,
        slow: Mutex::new(None),
        reached: Mutex::new(reached),
        go: Mutex::new(go),
        coin: Mutex::new(None),
        was_free: Mutex::new(false),
    });
    let folder = party.home.path().join("gated");
    std::fs::create_dir_all(&folder).expect("a folder");
    let seed = Seed::open_or_create(&folder.join("seed")).expect("a seed");
    let bare = Arc::new(RustBitcoin::connect(&world.config()).expect("a node"));
    let with = Parts {
        network: Network::Regtest,
        index: Arc::clone(&bare) as _,
        node: bare,
        funding: Arc::clone(&gate) as _,
    };
    let dlc = Dlc::open(&folder, seed, with, DlcConfig::default()).expect("a store");
    (dlc, gate, heard, let_go)
}

#[test]
fn a_second_call_with_the_same_offer_leaves_the_coins_of_the_first_alone() {
    // With one coin the second call finds none, with two it takes the other and is too late.
    for further in [0, 1] {
        let world = World::new();
        let (alice, bob) = world.parties();
        for _ in 0..further {
            bob.receive(&world, AddressType::P2wpkh);
        }
        world.mine(100);
        bob.wallet.sync().expect("a sync");
        let offer = offered(&world, &alice);
        let (dlc, gate, heard, let_go) = gated(&world, &bob);
        let (first, second) = thread::scope(|scope| {
            let (name, named) = channel::<()>();
            let (dlc, offer) = (&dlc, &offer);
            let second = scope.spawn(move || {
                named.recv().expect("told");
                dlc.accept(offer)
            });
            *gate.slow.lock().expect("no panic") = Some(second.thread().id());
            name.send(()).expect("heard");
            heard.recv().expect("the second call waits");
            let first = dlc.accept(offer).expect("an accept message");
            let coins = bob.wallet.unspent().expect("coins");
            let held = coins.iter().find(|coin| coin.reserved_for.is_some());
            *gate.coin.lock().expect("no panic") = held.map(|coin| coin.outpoint);
            let_go.send(()).expect("heard");
            (first, second.join().expect("no panic"))
        });
        assert!(!*gate.was_free.lock().expect("no panic"));
        assert_eq!(second.expect("the same answer"), first);
        assert_eq!(bob.reserved(), 1);
        let sign = alice.dlc.sign(&first).expect("a sign message");
        let txid = dlc.finalize(&sign).expect("a funding");
        assert_eq!(world.mempool(), [txid]);
        let state = dlc.get(newest(&alice)).expect("it").state;
        assert_eq!(state, ContractState::Broadcast);
    }
}
