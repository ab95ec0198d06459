//! Callers beside one that follows the chain: who waits, and what a follow must not miss.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bitcoin::{Transaction, Txid};
use btc_iface::{
    AddressType, BitcoinResult, BlockRef, Chain, CoinSelection, Network, WalletInterface,
};
use btc_rust::wallet::RustWallet;
use btc_rust::wallet::reservations::Reservations;
use btc_rust::wallet::source::{ChainSource, Follower, Peer, Piece};

use crate::support::plain_wallet;

/// Far longer than a call takes that does not wait.
const PATIENCE: Duration = Duration::from_secs(20);

type Step = Box<dyn FnMut(&mut dyn Follower) -> BitcoinResult<()> + Send>;

/// A source that does what the test says.
struct Scripted(Mutex<Step>);

impl Scripted {
    fn wallet(dir: &std::path::Path, step: Step) -> RustWallet {
        let source = Arc::new(Self(Mutex::new(step)));
        RustWallet::open(dir, None, CoinSelection::LargestFirst, source).expect("sound")
    }
}

impl ChainSource for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        Ok(genesis())
    }

    fn follow(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        let mut step = self.0.lock().expect("no panic");
        step(follower)
    }

    fn broadcast(&self, transaction: &Transaction) -> BitcoinResult<Txid> {
        Ok(transaction.compute_txid())
    }

    fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        Ok(Vec::new())
    }
}

fn genesis() -> BlockRef {
    BlockRef {
        height: 0,
        hash: bitcoin::constants::genesis_block(Network::Regtest).block_hash(),
    }
}

fn done(follower: &mut dyn Follower) -> BitcoinResult<()> {
    follower.take(Piece::Scanned(genesis()))?;
    follower.at_tip().map(drop)
}

#[test]
fn reads_and_new_addresses_do_not_wait_for_one_that_follows() {
    let (_parent, dir) = plain_wallet();
    let (entered, has_entered) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let mut follows = 0;
    let step: Step = Box::new(move |follower| {
        follows += 1;
        if follows > 1 {
            entered.send(()).expect("the test waits");
            gone.recv().expect("the test lets it go on");
        }
        done(follower)
    });
    let wallet = Scripted::wallet(&dir, step);
    wallet.sync().expect("the first scan");
    thread::scope(|scope| {
        let slow = scope.spawn(|| wallet.sync());
        has_entered.recv_timeout(PATIENCE).expect("it follows");
        let (said, hears) = mpsc::channel();
        scope.spawn(|| {
            let said = said;
            wallet.balance().expect("books");
            wallet.unspent().expect("books");
            wallet
                .generate_address(AddressType::P2tr)
                .expect("an index");
            wallet.addresses(AddressType::P2tr).expect("books");
            said.send(()).expect("the test waits");
        });
        hears.recv_timeout(PATIENCE).expect("they do not wait");
        go.send(()).expect("it waits");
        slow.join().expect("no panic").expect("followed");
    });
}

#[test]
fn callers_that_wait_together_share_one_follow() {
    const CALLERS: usize = 8;
    let (_parent, dir) = plain_wallet();
    let (entered, has_entered): (Sender<()>, Receiver<()>) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let step: Step = Box::new(move |follower| {
        let mut follows = counted.lock().expect("no panic");
        *follows += 1;
        if *follows == 2 {
            entered.send(()).expect("the test waits");
            gone.recv().expect("the test lets it go on");
        }
        done(follower)
    });
    let wallet = Scripted::wallet(&dir, step);
    wallet.sync().expect("the first scan");
    thread::scope(|scope| {
        let first = scope.spawn(|| wallet.get_balance());
        has_entered.recv_timeout(PATIENCE).expect("it follows");
        let rest: Vec<_> = (0..CALLERS)
            .map(|_| scope.spawn(|| wallet.get_balance()))
            .collect();
        // Long enough that all have asked; fewer only make the count smaller.
        thread::sleep(Duration::from_millis(200));
        go.send(()).expect("it waits");
        first.join().expect("no panic").expect("a balance");
        for caller in rest {
            caller.join().expect("no panic").expect("a balance");
        }
    });
    // The first scan, the one they met, and one that began after the last of them had asked.
    let follows = *count.lock().expect("no panic");
    assert!((3..=4).contains(&follows), "{follows} follows");
}

#[test]
fn an_address_given_out_while_blocks_are_fetched_is_looked_for_in_them() {
    let (_parent, dir) = plain_wallet();
    let folder = dir.clone();
    let mut passes = 0;
    let step: Step = Box::new(move |follower| {
        loop {
            passes += 1;
            let watched = follower.watched().len();
            if passes == 1 {
                // The blocks are here; now the other side gives out addresses far ahead.
                let mut shared = Reservations::open(&folder).expect("sound");
                let keychain = (AddressType::P2wpkh, Chain::Receive);
                shared.take_index(keychain, 75).expect("an index");
            }
            follower.take(Piece::Scanned(genesis()))?;
            if !follower.at_tip()? {
                assert_eq!(passes, 2, "once more, and once only");
                return Ok(());
            }
            assert!(follower.watched().len() > watched, "it is watched now");
            assert_eq!(follower.scanned(), None, "from where this follow began");
        }
    });
    let wallet = Scripted::wallet(&dir, step);
    wallet.sync().expect("followed");
}

#[test]
fn in_the_background_callers_do_not_ask_the_source_at_all() {
    let (_parent, dir) = plain_wallet();
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let (entered, has_entered) = mpsc::channel();
    let step: Step = Box::new(move |follower| {
        *counted.lock().expect("no panic") += 1;
        done(follower)?;
        entered.send(()).expect("the test counts");
        Ok(())
    });
    let wallet = Arc::new(Scripted::wallet(&dir, step));
    let follower = wallet
        .follow_in_background(Duration::from_hours(1))
        .expect("a thread");
    has_entered.recv_timeout(PATIENCE).expect("it follows");
    while wallet.newest_balance().0 != genesis() || wallet.get_balance().is_err() {
        thread::yield_now();
    }
    let before = *count.lock().expect("no panic");
    for _ in 0..50 {
        assert_eq!(wallet.get_balance().expect("a balance"), 0);
    }
    assert_eq!(
        *count.lock().expect("no panic"),
        before,
        "nothing was asked"
    );
    wallet.sync().expect("who needs the tip asks");
    assert_eq!(*count.lock().expect("no panic"), before + 1);
    drop(follower);
    wallet.get_balance().expect("a balance");
    assert_eq!(
        *count.lock().expect("no panic"),
        before + 2,
        "by itself again"
    );
}
